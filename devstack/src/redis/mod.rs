//! A private Redis: loopback only, nothing on disk; alone or as a cluster of three.

mod cluster;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub use self::cluster::start_cluster;
use crate::ports::{self, Ports};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};

const READY: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);
/// How long one command may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What a private Redis shall be like.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis` or, in a cluster, `redis-1`.
    pub name: String,
    /// `redis-server`.
    pub program: PathBuf,
    /// Its working folder; created if it is not there.
    pub folder: PathBuf,
    /// Its log file.
    pub log: PathBuf,
    /// Whether it outlives us.
    pub detached: bool,
    /// Where its port comes from.
    pub ports: Ports,
}

/// A running private Redis.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    addr: SocketAddr,
    bus: Option<u16>,
}

/// Why there is no private Redis.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// Its folder or a port cannot be used.
    #[error("cannot prepare redis: {0}")]
    Prepare(#[from] io::Error),
    /// The server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The nodes did not become a cluster.
    #[error("the redis cluster did not form: {0}")]
    Cluster(String),
}

impl Redis {
    /// Starts it and waits until it answers.
    pub async fn start(config: RedisConfig) -> Result<Self, RedisError> {
        Self::start_as(config, None).await
    }

    /// With `bus` it is a node of a cluster that talks to its fellows on that port.
    async fn start_as(config: RedisConfig, bus: Option<u16>) -> Result<Self, RedisError> {
        std::fs::create_dir_all(&config.folder)?;
        let port = config.ports.take(&config.name).map_err(io::Error::from)?;
        let process = Process::start(server(&config, port, bus))?;
        let redis = Self { process, addr: ports::loopback(port), bus };
        redis.ready().await?;
        Ok(redis)
    }

    /// Waits until it answers a PING.
    pub async fn ready(&self) -> Result<(), ProcessError> {
        let answers = || async { matches!(command(self.addr, "PING").await.as_deref(), Ok("PONG")) };
        self.process.ready(READY, answers).await
    }

    /// Kills it if it runs, starts it again, empty, on the same port, and waits until it is ready.
    pub async fn restart(&self) -> Result<(), ProcessError> {
        self.process.restart()?;
        self.ready().await
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs one command given as one line (`CLIENT KILL TYPE pubsub`); the answer as text.
    pub async fn command(&self, line: &str) -> io::Result<String> {
        command(self.addr, line).await
    }
}

fn server(config: &RedisConfig, port: u16, bus: Option<u16>) -> Spec {
    let mut words = vec![
        "--bind".to_owned(),
        "127.0.0.1".into(),
        "--port".into(),
        port.to_string(),
        "--protected-mode".into(),
        "yes".into(),
        "--save".into(),
        String::new(),
        "--appendonly".into(),
        "no".into(),
        "--daemonize".into(),
        "no".into(),
    ];
    if let Some(bus) = bus {
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port"];
        words.extend(cluster.map(Into::into));
        words.push(bus.to_string());
    }
    Spec {
        name: config.name.clone(),
        program: config.program.clone(),
        args: words.into_iter().map(Into::into).collect(),
        env: Vec::new(),
        log: config.log.clone(),
        folder: config.folder.clone(),
        account: None,
        lifetime: if config.detached { Lifetime::Detached } else { Lifetime::Tied(Signal::KILL) },
        stop: Signal::TERM,
        grace: GRACE,
    }
}

/// Sends one inline command (RESP: words separated by blanks) and reads its answer: a status, number or string.
async fn command(addr: SocketAddr, line: &str) -> io::Result<String> {
    let talk = async {
        let mut socket = BufReader::new(TcpStream::connect(addr).await?);
        socket.write_all(format!("{line}\r\n").as_bytes()).await?;
        let mut head = String::new();
        socket.read_line(&mut head).await?;
        let head = head.trim_end();
        match head.split_at_checked(1) {
            Some(("+" | ":", rest)) => Ok(rest.to_owned()),
            Some(("-", fault)) => Err(io::Error::other(fault.to_owned())),
            Some(("$", length)) => {
                let length: usize = length.parse().map_err(io::Error::other)?;
                let mut text = vec![0; length];
                socket.read_exact(&mut text).await?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            _ => Err(io::Error::other(format!("answer {head:?} is no status, number or string"))),
        }
    };
    tokio::time::timeout(ANSWER, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    pub(super) fn config(folder: &std::path::Path) -> RedisConfig {
        RedisConfig {
            name: "redis".into(),
            program: find::servers().unwrap().redis,
            folder: folder.into(),
            log: folder.join("redis.log"),
            detached: false,
            ports: Ports::random(),
        }
    }

    #[tokio::test]
    async fn a_killed_redis_comes_back_empty_on_its_port() {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(config(folder.path())).await.unwrap();
        redis.command("SET key value").await.unwrap();
        assert_eq!(redis.command("GET key").await.unwrap(), "value");
        redis.process().kill().unwrap();
        assert!(redis.command("PING").await.is_err());
        redis.restart().await.unwrap();
        assert_eq!(redis.command("DBSIZE").await.unwrap(), "0");
    }

    #[tokio::test]
    async fn a_frozen_redis_does_not_answer_until_thawed() {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start(config(folder.path())).await.unwrap();
        redis.process().freeze().unwrap();
        assert_eq!(redis.command("PING").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        redis.process().thaw().unwrap();
        redis.ready().await.unwrap();
    }

    #[tokio::test]
    async fn three_nodes_become_a_cluster_that_serves_every_slot() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = start_cluster(config(folder.path())).await.unwrap();
        for node in &nodes {
            let info = node.command("CLUSTER INFO").await.unwrap();
            assert!(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3"), "{info}");
            assert!(info.contains("cluster_slots_assigned:16384"), "{info}");
        }
    }
}
