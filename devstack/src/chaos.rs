//! How does a network link fail on demand? A TCP proxy that cuts, swallows or delays.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::ports;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks under way on a delayed direction; more waits in the sender's socket.
const UNDER_WAY: usize = 256;

/// A link between two programs: connect to [`ChaosProxy::addr`] instead of to the upstream.
///
/// Every method returns when its effect is in place. Dropped, the link is cut for good.
#[derive(Debug)]
pub struct ChaosProxy {
    addr: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<io::Result<()>>)>,
    weather: watch::Sender<Weather>,
    task: JoinHandle<()>,
}

/// What the link does to bytes that travel.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    /// Nothing passes in these directions and nobody is told.
    swallow: Option<Way>,
    /// Each chunk arrives this much later.
    delay: Duration,
    /// What Redis says to a connection that has subscribed arrives this much later. It stays when the link is clear again.
    news_delay: Duration,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever connects to the upstream.
    There,
    /// From the upstream.
    Back,
    /// Both.
    Both,
}

impl Weather {
    fn swallows(self, way: Way) -> bool {
        self.swallow.is_some_and(|swallowed| swallowed == Way::Both || swallowed == way)
    }
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Cut,
    CutOnce,
    Restore,
    LeadTo(SocketAddr),
}

impl ChaosProxy {
    /// A clear link to `upstream` on a free port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_late(upstream, Duration::ZERO).await
    }

    /// A link to Redis on which subscribers hear everything this much later; commands and their answers are not late.
    pub async fn start_late(upstream: SocketAddr, news_delay: Duration) -> io::Result<Self> {
        let addr = ports::loopback(ports::free()?);
        let listener = TcpListener::bind(addr).await?;
        let (orders, inbox) = mpsc::channel(1);
        let (weather, forecast) = watch::channel(Weather { news_delay, ..Weather::default() });
        let link = Link { addr, upstream, listener: Some(listener), connections: JoinSet::new(), forecast };
        Ok(Self { addr, orders, weather, task: tokio::spawn(link.run(inbox)) })
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes all connections and refuses new ones.
    pub async fn cut(&self) -> io::Result<()> {
        self.order(Order::Cut).await
    }

    /// Closes all connections and goes on accepting new ones.
    pub async fn cut_once(&self) -> io::Result<()> {
        self.order(Order::CutOnce).await
    }

    /// Leads new connections to another upstream; those there are stay. What a service address does after a failover.
    pub async fn lead_to(&self, upstream: SocketAddr) -> io::Result<()> {
        self.order(Order::LeadTo(upstream)).await
    }

    /// Keeps and accepts connections but forwards nothing: no reset, no end, only silence.
    pub fn blackhole(&self) {
        self.silence(Way::Both);
    }

    /// Keeps and accepts connections but forwards nothing that goes this way.
    pub fn silence(&self, way: Way) {
        self.weather.send_modify(|weather| weather.swallow = Some(way));
    }

    /// Lets each chunk arrive this much later; zero ends it.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// A clear link again: accepts, forwards (also what waited in a black hole), without delay.
    pub async fn restore(&self) -> io::Result<()> {
        self.weather.send_modify(|weather| {
            *weather = Weather { news_delay: weather.news_delay, ..Weather::default() };
        });
        self.order(Order::Restore).await
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        let gone = || io::Error::other("the chaos proxy has stopped");
        let (reply, answer) = oneshot::channel();
        self.orders.send((order, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The proxy's task: owns the listener and, through the set, all connections.
struct Link {
    addr: SocketAddr,
    upstream: SocketAddr,
    /// None while the link is cut: the kernel refuses connections to a closed port.
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
    forecast: watch::Receiver<Weather>,
}

impl Link {
    async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<io::Result<()>>)>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, reply)) = order else { return };
                    let _ = reply.send(self.obey(order).await);
                }
                Ok((client, _)) = accept(self.listener.as_ref()) => {
                    self.connections.spawn(connection(client, self.upstream, self.forecast.clone()));
                }
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Cut => {
                self.listener = None;
                self.connections.shutdown().await;
            }
            Order::CutOnce => self.connections.shutdown().await,
            Order::Restore if self.listener.is_none() => {
                self.listener = Some(TcpListener::bind(self.addr).await?);
            }
            Order::Restore => {}
            Order::LeadTo(upstream) => self.upstream = upstream,
        }
        Ok(())
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// One connection until either side ends it; a half that ends is passed on as such.
async fn connection(client: TcpStream, upstream: SocketAddr, mut forecast: watch::Receiver<Weather>) {
    if clear(&mut forecast, Way::Both).await.is_none() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let subscribed = Arc::new(AtomicBool::new(false));
    let there = direction(client_reads, server_writes, forecast.clone(), Way::There, &subscribed);
    let back = direction(server_reads, client_writes, forecast, Way::Back, &subscribed);
    // A fault in one direction ends both: so does a real link.
    let _ = tokio::try_join!(there, back);
}

/// Moves bytes one way. Reading goes on while chunks are under way, so a delay costs latency, not throughput.
async fn direction(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut forecast: watch::Receiver<Weather>,
    way: Way,
    subscribed: &AtomicBool,
) -> io::Result<()> {
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; CHUNK];
    let mut ended = false;
    loop {
        let due = under_way.front().map(|(due, _)| *due);
        tokio::select! {
            read = from.read(&mut buffer), if !ended && under_way.len() < UNDER_WAY => {
                let read = read?;
                ended = read == 0;
                let chunk = buffer[..read].to_vec();
                let Weather { mut delay, news_delay, .. } = *forecast.borrow();
                match way {
                    Way::Back if subscribed.load(Ordering::Relaxed) => delay += news_delay,
                    Way::There if !news_delay.is_zero() && subscribes(&chunk) => {
                        subscribed.store(true, Ordering::Relaxed);
                    }
                    _ => {}
                }
                under_way.push_back((Instant::now() + delay, chunk));
            }
            () = arrival(due) => {
                if clear(&mut forecast, way).await.is_none() {
                    return Ok(());
                }
                match under_way.pop_front() {
                    Some((_, chunk)) if chunk.is_empty() => return to.shutdown().await,
                    Some((_, chunk)) => to.write_all(&chunk).await?,
                    None => {}
                }
            }
        }
    }
}

/// Whether a client of Redis asks for messages here (also SSUBSCRIBE and PSUBSCRIBE).
fn subscribes(chunk: &[u8]) -> bool {
    const COMMAND: &[u8] = b"SUBSCRIBE\r\n";
    chunk.windows(COMMAND.len()).any(|window| window == COMMAND)
}

async fn arrival(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Waits until the link swallows nothing that goes this way; none when the proxy is gone.
async fn clear(forecast: &mut watch::Receiver<Weather>, way: Way) -> Option<()> {
    forecast.wait_for(|weather| !weather.swallows(way)).await.ok().map(drop)
}

#[cfg(test)]
mod tests;
