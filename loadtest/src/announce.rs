//! What does Redis pay to hand one announcement to as many gateways?
//!
//! A gateway that follows a tenant is one subscriber of its channel, so an announcement costs Redis a part for itself and a
//! part for each gateway. This measures both: connections that subscribe and read, and one that publishes at a fixed rate.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::TargetArgs;
use crate::clock::run_name;
use crate::failure::Failure;
use crate::procfs::{CpuMark, CpuUsed, allow_files};
use crate::table::Table;
use crate::target::Target;

/// Longest time until a subscription is confirmed, and until the last message is there.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often messages are published: as many at a time as the rate asks for.
const TICK: Duration = Duration::from_millis(1);

/// `carillon-loadtest announce`
#[derive(Debug, Args)]
pub(crate) struct AnnounceArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Numbers of subscribers, one after another.
    #[arg(long, default_value = "1,8,64", value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    subscribers: Vec<u32>,
    /// Messages a second.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long each number of subscribers is measured.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 400, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    bytes: u32,
}

/// What `announce` found.
#[derive(Debug, Serialize)]
pub(crate) struct Announce {
    bytes: u32,
    rate: u32,
    steps: Vec<Step>,
}

/// So many subscribers.
#[derive(Debug, Serialize)]
struct Step {
    subscribers: u32,
    messages: u64,
    seconds: f64,
    cpu: Vec<CpuUsed>,
    /// CPU of Redis, user and system, for one message to all of them.
    cpu_us_per_message: f64,
}

impl crate::Report for Announce {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.heading(format!("messages of {} bytes, {} a second", self.bytes, self.rate));
        for step in &self.steps {
            let cost = format!("{:.1} µs of Redis a message", step.cpu_us_per_message);
            table.figure(format!("{} subscribers", step.subscribers), cost);
        }
        table
    }

    /// A message that a subscriber did not get is a failure of the run.
    fn is_right(&self) -> bool {
        true
    }
}

/// `carillon-loadtest announce`
pub(crate) fn run(args: &AnnounceArgs) -> Result<Announce, Failure> {
    let target = Target::new(&args.target)?;
    let redis = target.redis()?;
    let pids: Vec<(String, u32)> = target.pids.iter().filter(|(name, _)| name == "redis").cloned().collect();
    if pids.is_empty() {
        return Err(Failure::Usage("no process called redis: give --stack or --pid redis=PID".into()));
    }
    allow_files(u64::from(args.subscribers.iter().max().copied().unwrap_or(0)) + 64)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut steps = Vec::new();
    for &subscribers in &args.subscribers {
        steps.push(runtime.block_on(step(redis, &pids, subscribers, args))?);
    }
    Ok(Announce { bytes: args.bytes, rate: args.rate, steps })
}

async fn step(
    redis: SocketAddr,
    pids: &[(String, u32)],
    subscribers: u32,
    args: &AnnounceArgs,
) -> Result<Step, Failure> {
    let channel = format!("loadtest:{}", run_name());
    let messages = u64::from(args.rate) * u64::from(args.seconds);
    let payload = "x".repeat(args.bytes as usize);
    let expected = messages * command(&["message", &channel, &payload]).len() as u64;
    let mut readers = JoinSet::new();
    for number in 0..subscribers {
        let socket = subscribe(redis, &channel, number as usize).await?;
        readers.spawn(read_all(socket, expected));
    }
    let mark = CpuMark::now(pids)?;
    let begun = Instant::now();
    publish(redis, command(&["PUBLISH", &channel, &payload]), args, messages).await?;
    let late = |_| Failure::Late { what: "the last message".into(), patience: PATIENCE };
    while let Some(read) = timeout(PATIENCE, readers.join_next()).await.map_err(late)? {
        read.map_err(|_| Failure::Usage("a reader of the load test panicked".into()))??;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), mark.used()?);
    let used_ms: f64 = cpu.iter().map(|used| used.user_ms + used.system_ms).sum();
    let cpu_us_per_message = used_ms * 1_000.0 / messages as f64;
    Ok(Step { subscribers, messages, seconds, cpu, cpu_us_per_message })
}

/// A connection that is subscribed: the confirmation has been read.
async fn subscribe(redis: SocketAddr, channel: &str, number: usize) -> Result<TcpStream, Failure> {
    let failed = |why: String| Failure::Connect { number, address: redis.to_string(), why };
    let mut socket = TcpStream::connect(redis).await.map_err(|error| failed(error.to_string()))?;
    socket.write_all(&command(&["SUBSCRIBE", channel])).await?;
    let confirmation = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
    let mut answer = vec![0; confirmation.len()];
    let late = |_| Failure::Late { what: "a subscription".into(), patience: PATIENCE };
    timeout(PATIENCE, socket.read_exact(&mut answer)).await.map_err(late)??;
    if answer != confirmation.as_bytes() {
        return Err(failed(format!("Redis answered {:?}", String::from_utf8_lossy(&answer))));
    }
    Ok(socket)
}

/// Reads until `expected` bytes have come.
async fn read_all(mut socket: TcpStream, expected: u64) -> Result<(), Failure> {
    let (mut buffer, mut got) = (vec![0; 64 * 1024], 0);
    while got < expected {
        match socket.read(&mut buffer).await? {
            0 => return Err(Failure::Usage("Redis closed the connection of a subscriber".into())),
            more => got += more as u64,
        }
    }
    if got > expected {
        Err(Failure::Usage("a subscriber got more than was published".into()))
    } else {
        Ok(())
    }
}

/// Publishes `messages` times at the rate, and reads what Redis answers.
async fn publish(
    redis: SocketAddr,
    message: Vec<u8>,
    args: &AnnounceArgs,
    messages: u64,
) -> Result<(), Failure> {
    let (mut answers, mut requests) = TcpStream::connect(redis).await?.into_split();
    let drain = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while answers.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    let mut sent = 0;
    while sent < messages {
        ticks.tick().await;
        let due = (begun.elapsed().as_secs_f64() * f64::from(args.rate)) as u64 + 1;
        let now = due.min(messages).saturating_sub(sent);
        for _ in 0..now {
            requests.write_all(&message).await?;
        }
        sent += now;
    }
    drop(requests);
    // Redis closes once it has answered everything.
    let _ = timeout(PATIENCE, drain).await;
    Ok(())
}

/// A command as Redis reads it, and a message as it sends one: an array of texts.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_texts() {
        assert_eq!(command(&["PUBLISH", "c", "hello"]), b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$5\r\nhello\r\n");
    }

    #[tokio::test]
    async fn a_reader_wants_exactly_what_was_published() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (sent, right) in [(9, false), (10, true), (11, false)] {
            let reader = TcpStream::connect(address).await.unwrap();
            let (mut writer, _) = listener.accept().await.unwrap();
            writer.write_all(&vec![0; sent]).await.unwrap();
            drop(writer);
            assert_eq!(read_all(reader, 10).await.is_ok(), right, "{sent}");
        }
    }
}
