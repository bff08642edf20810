//! How does an operator have a node emptied?
//!
//! By a signal, because a signal needs no port and no password: whoever may send it may also stop the process.
//! `SIGUSR1` empties the node and keeps it up; `SIGUSR2` takes that back. `carillon-gateway evacuate` and `return`
//! send them.

use carillon_backplane::bus::NodeState;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// An operator's wishes, as they come in.
pub(crate) struct Wishes {
    evacuate: tokio::signal::unix::Signal,
    stay: tokio::signal::unix::Signal,
}

impl Wishes {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            evacuate: signal(SignalKind::user_defined1())?,
            stay: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next wish.
    pub(crate) async fn next(&mut self) -> NodeState {
        tokio::select! {
            _ = self.evacuate.recv() => NodeState::Evacuating,
            _ = self.stay.recv() => NodeState::Serving,
        }
    }
}

/// Sends a wish to a gateway on this machine (or in this container, where it is process 1).
///
/// # Errors
/// There is no such process, it is no gateway (whose answer to these signals might be to die), or it belongs to
/// somebody else.
pub fn wish(pid: u32, state: NodeState) -> io::Result<()> {
    let wished = match state {
        NodeState::Evacuating => Signal::USR1,
        NodeState::Serving => Signal::USR2,
        NodeState::Draining => Signal::TERM,
    };
    let program = |process: &str| std::fs::read_to_string(format!("/proc/{process}/comm"));
    if program(&pid.to_string())? != program("self")? {
        return Err(io::Error::other(format!("process {pid} is no gateway; name one with --pid")));
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, wished)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_a_process_that_is_no_gateway_is_not_sent() {
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let refused = wish(other.id(), NodeState::Evacuating).unwrap_err();
        assert!(refused.to_string().contains("is no gateway"), "{refused}");
        assert!(other.try_wait().unwrap().is_none(), "it lives");
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(wish(u32::MAX, NodeState::Serving).is_err());
    }
}
