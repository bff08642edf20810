//! How do the bus tests get a Redis of their own, and how do they break it?
#![allow(dead_code, reason = "each test binary uses a part")]

use carillon_backplane::bus::{BusConfig, BusEvent, BusEvents, BusHealth, BusMode, Listener};
use carillon_protocol::ident::TenantId;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a test waits for something that should happen soon, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A private redis-server on loopback, ended when dropped.
pub(crate) struct Redis {
    pub(crate) port: u16,
    child: Child,
    args: Vec<String>,
    _dir: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(extra: &[&str]) -> Self {
        // A free port may be taken by another test before the server binds it.
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            let port = free_port();
            let mut args: Vec<String> =
                ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]
                    .iter()
                    .chain(extra)
                    .map(|&arg| arg.to_owned())
                    .collect();
            args.extend([
                "--port".into(),
                port.to_string(),
                "--dir".into(),
                dir.path().display().to_string(),
            ]);
            if args.iter().any(|arg| arg == "--cluster-enabled") {
                args.extend(["--cluster-port".into(), free_port().to_string()]);
            }
            let mut redis = Self { port, child: spawn(&args), args, _dir: dir };
            if redis.wait_ready() {
                return redis;
            }
        }
        panic!("redis-server did not come up on any of ten ports");
    }

    /// A sentinel, alone in its judgement, that watches this server under the name `m`.
    pub(crate) fn watched_by_sentinel(&self) -> Self {
        for _ in 0..10 {
            let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
            let file = dir.path().join("sentinel.conf");
            let watch = format!("monitor m 127.0.0.1 {} 1", self.port);
            let lines = ["down-after-milliseconds m 500", "failover-timeout m 3000", watch.as_str()];
            let lines: String = lines.iter().rev().map(|line| format!("sentinel {line}\n")).collect();
            std::fs::write(&file, format!("bind 127.0.0.1\nport {port}\n{lines}")).unwrap();
            let args = vec![file.display().to_string(), "--sentinel".into()];
            let mut sentinel = Self { port, child: spawn(&args), args, _dir: dir };
            if sentinel.wait_ready() {
                return sentinel;
            }
        }
        panic!("the sentinel did not come up on any of ten ports");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> BusConfig {
        BusConfig::new(self.url(), BusMode::Standalone, "t")
    }

    /// One command, its whole answer as text.
    pub(crate) fn command(&self, line: &str) -> String {
        self.try_command(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub(crate) fn try_command(&self, line: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        if let Some(at) = self.args.iter().position(|arg| arg == "--requirepass") {
            stream.write_all(array(&["AUTH", &self.args[at + 1]]).as_bytes())?;
            reader.read_line(&mut first)?;
            first.clear();
        }
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        reader.read_line(&mut first)?;
        if let Some(length) = first.strip_prefix('$').and_then(|text| text.trim().parse::<usize>().ok()) {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        Ok(first.trim_end().to_owned())
    }

    /// One command whose words may hold anything; the first line of its answer.
    pub(crate) fn words(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(array(words).as_bytes()).unwrap();
        let mut first = String::new();
        BufReader::new(stream).read_line(&mut first).unwrap();
        first.trim_end().to_owned()
    }

    /// The port other cluster nodes talk to.
    pub(crate) fn cluster_port(&self) -> &str {
        let at = self.args.iter().position(|arg| arg == "--cluster-port").expect("a cluster node");
        &self.args[at + 1]
    }

    pub(crate) fn kill_subscribers(&self) {
        self.command("CLIENT KILL TYPE pubsub");
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL; everything in it is lost.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same port after a crash.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.args);
        assert!(self.wait_ready(), "redis-server did not come back");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it is up, and it is ours: another test's server may have taken the port first.
    fn wait_ready(&mut self) -> bool {
        let ours = format!("process_id:{}\r\n", self.child.id());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if self.try_command("INFO server").is_ok_and(|answer| answer.contains(&ours)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command as RESP has it.
fn array(words: &[&str]) -> String {
    let words_with_lengths = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n", words.len()) + &words_with_lengths.collect::<String>()
}

fn spawn(args: &[String]) -> Child {
    Command::new("redis-server")
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("these tests need redis-server (7.0 or newer) in PATH: {error}"))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Waits for the health to be as asked.
pub(crate) async fn health(listener: &Listener, wanted: impl FnMut(&BusHealth) -> bool) {
    let mut changes = listener.health_changes();
    let waited = tokio::time::timeout(PATIENCE, changes.wait_for(wanted)).await;
    assert!(waited.is_ok(), "the listener stayed {:?}", listener.health());
}

pub(crate) async fn up(listener: &Listener) {
    health(listener, BusHealth::is_up).await;
}

/// A listener that is up and its events after the first, which tells of the first connection.
pub(crate) async fn listen(config: &BusConfig) -> (Listener, BusEvents) {
    let (listener, mut events) = Listener::connect(config).unwrap();
    up(&listener).await;
    assert!(matches!(next(&mut events).await, BusEvent::Interrupted { .. }));
    (listener, events)
}

pub(crate) async fn next(events: &mut BusEvents) -> BusEvent {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.expect("no event in time").expect("the listener ended")
}

/// The next message, over any interruptions.
pub(crate) async fn message(events: &mut BusEvents) -> (TenantId, String) {
    loop {
        if let BusEvent::Message { tenant, payload } = next(events).await {
            return (tenant, String::from_utf8(payload.to_vec()).unwrap());
        }
    }
}

/// The next interruption, over any messages.
pub(crate) async fn interruption(events: &mut BusEvents) {
    while !matches!(next(events).await, BusEvent::Interrupted { .. }) {}
}

/// Looks again and again until it is so.
pub(crate) async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
