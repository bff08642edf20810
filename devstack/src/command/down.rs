//! How does a stack stop that somebody else started?

use std::path::Path;
use std::time::Duration;

use super::{CommandError, say};
use crate::process::{Identity, Signal, kill_tree, signal, signal_tree};
use crate::state::{Recorded, State, Verdict};
use crate::wait;

/// A supervisor stops everything in order: drains, the last requests, a checkpoint of Postgres.
const SUPERVISOR: Duration = Duration::from_secs(90);
/// Time for each group of processes before it is killed.
const GRACE: Duration = Duration::from_secs(20);
/// Time for killed processes to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// `carillon down`
pub(super) async fn run(data: &Path) -> Result<(), CommandError> {
    let Some(state) = State::load(data)? else {
        say("nothing is running");
        return Ok(());
    };
    stop(data, &state).await?;
    say("stopped");
    Ok(())
}

/// Stops what the state names, whoever watches over it, and forgets it.
pub(super) async fn stop(data: &Path, state: &State) -> Result<(), CommandError> {
    if !state.detached && state.judge(Identity::is_alive) == Verdict::Live {
        let supervisor = &state.supervisor;
        signal(supervisor.pid, Signal::TERM)
            .map_err(|error| CommandError::Io("cannot stop `carillon up`".into(), error))?;
        wait::until_true("the end of `carillon up`", SUPERVISOR, || !supervisor.is_alive()).await?;
    }
    end(&state.processes).await?;
    // The supervisor has usually forgotten the stack itself.
    if State::load(data)?.is_some() {
        state.forget(data)?;
    }
    Ok(())
}

/// Ends these processes in order, each only if it is still exactly the one that was recorded.
pub(super) async fn end(processes: &[Recorded]) -> Result<(), CommandError> {
    let fault = |error| CommandError::Io("cannot stop a process".into(), error);
    for rank in 0..=LAST_RANK {
        let group: Vec<&Recorded> = processes
            .iter()
            .filter(|process| self::rank(&process.name) == rank && process.identity.is_alive())
            .collect();
        for process in &group {
            // A frozen process cannot take its leave.
            signal_tree(process.identity.pid, Signal::CONT).map_err(fault)?;
            let farewell = if process.name == "postgres" { Signal::INT } else { Signal::TERM };
            signal(process.identity.pid, farewell).map_err(fault)?;
        }
        let gone = || group.iter().all(|process| !process.identity.is_alive());
        if wait::until_true("a kind end", GRACE, gone).await.is_err() {
            for process in group.iter().filter(|process| process.identity.is_alive()) {
                kill_tree(process.identity.pid).map_err(fault)?;
            }
            wait::until_true("the end of killed processes", LEAVE, gone).await?;
        }
    }
    Ok(())
}

const LAST_RANK: u8 = 4;

/// Who may go first: nothing goes before what depends on it.
fn rank(name: &str) -> u8 {
    match name {
        "postgres" | "redis" => LAST_RANK,
        _ if name.starts_with("redis-") => LAST_RANK,
        "haproxy" => 3,
        _ if name.starts_with("publisher") => 2,
        _ if name.starts_with("gateway") => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stops_before_what_depends_on_it() {
        let order = ["demo", "gateway-12", "publisher", "haproxy", "redis-3"].map(rank);
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        assert_eq!(rank("postgres"), rank("redis"));
    }

    #[tokio::test]
    async fn a_stranger_with_a_reused_process_id_is_left_alone() {
        let own = Identity::own().unwrap();
        let stale = Recorded {
            name: "gateway-1".into(),
            identity: Identity { start: own.start - 1, ..own },
            spec: None,
        };
        end(&[stale]).await.unwrap();
    }
}
