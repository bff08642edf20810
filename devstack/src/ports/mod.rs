//! Which TCP ports may a server of the stack listen on?

mod book;
mod holder;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use self::book::{FILE, PortError, Ports};
pub use self::holder::Holder;

/// Lowest port we take: below live well-known services.
const LOWEST: u16 = 10_000;

/// A free port on loopback, never handed out twice by this process.
///
/// Ports come from below the kernel's ephemeral range: a killed server must find its port free when it
/// restarts, and a port of the ephemeral range could meanwhile be the source port of some client's connection.
/// Other processes pick too; the choice is random, and whoever starts a server retries once on a collision.
pub fn free() -> io::Result<u16> {
    let range = below_ephemeral();
    let mut taken = taken();
    for _ in 0..200 {
        let port = random_in(&range);
        if !taken.contains(&port) && is_free(port) {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("found no free port in {range:?}")))
}

/// From now on [`free`] hands out none of these.
fn reserve(ports: impl Iterator<Item = u16>) {
    taken().extend(ports);
}

/// Ports that are spoken for in this process.
fn taken() -> MutexGuard<'static, HashSet<u16>> {
    static TAKEN: OnceLock<Mutex<HashSet<u16>>> = OnceLock::new();
    TAKEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a server, and once more (with fresh ports) if somebody else took its port meanwhile.
pub(crate) async fn retry_if_taken<T, E, F, Fut>(mut start: F) -> Result<T, E>
where
    E: std::fmt::Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    match start().await {
        // The error carries the server's last lines, and all of ours quote the system's EADDRINUSE.
        Err(error) if error.to_string().to_lowercase().contains("address already in use") => start().await,
        other => other,
    }
}

/// `127.0.0.1:port`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

fn random_in(range: &Range<u16>) -> u16 {
    let random = uuid::Uuid::new_v4().as_u128() as u64;
    range.start + (random % u64::from(range.end - range.start)) as u16
}

fn below_ephemeral() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    usable(&text)
}

/// The range below the ephemeral one in the kernel's words ("32768\t60999"), or a customary one where too
/// little lies below.
fn usable(ephemeral: &str) -> Range<u16> {
    const CUSTOMARY: u16 = 32_768;
    const ROOM: u16 = 1_000;
    let low = ephemeral.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(CUSTOMARY);
    if low >= LOWEST + ROOM { LOWEST..low } else { LOWEST..CUSTOMARY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_distinct_and_below_the_ephemeral_range() {
        let ports: HashSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| below_ephemeral().contains(port) && is_free(*port)));
    }

    #[tokio::test]
    async fn only_a_taken_port_is_worth_a_second_try() {
        let mut tries = 0;
        let started = retry_if_taken(|| {
            tries += 1;
            std::future::ready(if tries == 1 { Err("bind: Address already in use") } else { Ok(tries) })
        });
        assert_eq!(started.await, Ok(2));
        let mut tries = 0;
        let failed = retry_if_taken(|| {
            tries += 1;
            std::future::ready(Err::<(), _>("no such file"))
        });
        assert!(failed.await.is_err());
        assert_eq!(tries, 1);
    }

    #[test]
    fn a_wide_ephemeral_range_does_not_leave_us_without_ports() {
        assert_eq!(usable("32768\t60999\n"), LOWEST..32_768);
        assert_eq!(usable("1024\t65535\n"), LOWEST..32_768);
        assert_eq!(usable(""), LOWEST..32_768);
        assert_eq!(usable("20000 60999"), LOWEST..20_000);
    }
}
