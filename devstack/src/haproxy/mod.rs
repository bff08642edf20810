//! The load balancer in front of the gateways and publishers.

pub mod config;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

pub use self::config::{Backend, Balancer};
use crate::ports::{self, Ports};
use crate::process::{Lifetime, Process, ProcessError, Signal, Spec};
use crate::wait;

const READY: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);
/// How often a reload is asked for, and how long one may take.
const RELOADS: u32 = 5;
const RELOAD: Duration = Duration::from_secs(2);
const ADMIN: &str = "haproxy.sock";
/// What its process and its port are called.
pub const NAME: &str = "haproxy";

/// How HAProxy is started.
#[derive(Debug, Clone)]
pub struct HaproxyConfig {
    /// `haproxy`.
    pub program: PathBuf,
    /// Where its configuration lies; created if it is not there.
    pub folder: PathBuf,
    /// Where its command socket lies; must exist and have a short path.
    pub sockets: PathBuf,
    /// Its log file.
    pub log: PathBuf,
    /// Whether it outlives us.
    pub detached: bool,
    /// Where its port comes from.
    pub ports: Ports,
}

/// A running HAProxy.
#[derive(Debug)]
pub struct Haproxy {
    process: Process,
    file: PathBuf,
    balancer: Balancer,
}

/// Why there is no load balancer.
#[derive(Debug, thiserror::Error)]
pub enum HaproxyError {
    /// Its configuration cannot be written, or its command socket not be used.
    #[error("cannot control haproxy: {0}")]
    Control(#[from] io::Error),
    /// The server did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A new configuration was not taken over.
    #[error("haproxy did not take its new configuration; its last lines:\n{log}")]
    Reload {
        /// The end of its log.
        log: String,
    },
}

impl Haproxy {
    /// Starts it in front of these servers.
    pub async fn start(
        config: HaproxyConfig,
        gateways: Vec<Backend>,
        publishers: Vec<Backend>,
    ) -> Result<Self, HaproxyError> {
        let HaproxyConfig { program, folder, sockets, log, detached, ports } = config;
        std::fs::create_dir_all(&folder)?;
        let listen = ports::loopback(ports.take(NAME).map_err(io::Error::from)?);
        let balancer = Balancer { listen, admin: sockets.join(ADMIN), gateways, publishers };
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, balancer.render())?;
        let process = Process::start(Spec {
            name: NAME.into(),
            program,
            // -W: a master in the foreground whose worker is replaced without refusing a connection.
            args: vec!["-W".into(), "-f".into(), file.clone().into()],
            env: Vec::new(),
            log,
            folder,
            account: None,
            lifetime: if detached { Lifetime::Detached } else { Lifetime::Tied(Signal::TERM) },
            stop: Signal::TERM,
            grace: GRACE,
        })?;
        let haproxy = Self { process, file, balancer };
        haproxy.ready().await?;
        Ok(haproxy)
    }

    /// Waits until it accepts connections.
    pub async fn ready(&self) -> Result<(), ProcessError> {
        let accepts = || async { TcpStream::connect(self.balancer.listen).await.is_ok() };
        self.process.ready(READY, accepts).await
    }

    /// Kills it if it runs, starts it again on the same port, and waits until it is ready.
    pub async fn restart(&self) -> Result<(), ProcessError> {
        self.process.restart()?;
        self.ready().await
    }

    /// Adds a gateway; connections that exist stay.
    pub async fn add_gateway(&mut self, gateway: Backend) -> Result<(), HaproxyError> {
        let name = gateway.name.clone();
        self.balancer.gateways.push(gateway);
        std::fs::write(&self.file, self.balancer.render())?;
        let knows = || async {
            let servers = self.admin("show servers state gateways").await.ok()?;
            servers.contains(&name).then_some(())
        };
        let mut heard = Err(());
        for _ in 0..RELOADS {
            // A master that has only just started ignores the signal; a second reload does no harm.
            self.process.signal(Signal::USR2)?;
            heard = wait::until("the reload", RELOAD, knows).await.map_err(drop);
            if heard.is_ok() {
                break;
            }
        }
        heard.map_err(|()| HaproxyError::Reload { log: self.process.log_tail() })
    }

    /// Runs one command of HAProxy's management guide (`set server gateways/gateway-1 state drain`).
    pub async fn admin(&self, command: &str) -> io::Result<String> {
        let mut socket = UnixStream::connect(&self.balancer.admin).await?;
        socket.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Its process (the master; its worker is a child).
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.balancer.listen
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::find;

    /// An HTTP server that answers everything with 200 and its name.
    async fn named(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let length = name.len();
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        addr
    }

    async fn backend(name: &'static str) -> Backend {
        let addr = named(name).await;
        Backend { name: name.into(), addr, ops_port: addr.port() }
    }

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer.rsplit_once("\r\n\r\n").unwrap().1.to_owned()
    }

    #[tokio::test]
    async fn haproxy_accepts_the_configuration_routes_by_path_and_takes_another_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let config = HaproxyConfig {
            program: find::servers().unwrap().haproxy,
            folder: folder.path().into(),
            sockets: folder.path().into(),
            log: folder.path().join("haproxy.log"),
            detached: false,
            ports: Ports::random(),
        };
        let (gateway, publisher) = (backend("gateway-1").await, backend("publisher").await);
        let mut haproxy = Haproxy::start(config, vec![gateway], vec![publisher]).await.unwrap();
        for (path, server) in [
            ("/v1/ws?since=1", "gateway-1"),
            ("/ws", "gateway-1"),
            ("/v1/events", "publisher"),
            ("/v1/events/1", "publisher"),
            ("/docs", "publisher"),
            ("/openapi.json", "publisher"),
            ("/v1/nothing", "publisher"),
        ] {
            assert_eq!(get(haproxy.addr(), path).await, server, "{path}");
        }
        haproxy.add_gateway(backend("gateway-2").await).await.unwrap();
        assert_eq!(get(haproxy.addr(), "/v1/events").await, "publisher");
        let identity = haproxy.process().identity().unwrap();
        drop(haproxy);
        assert!(!identity.is_alive());
    }
}
