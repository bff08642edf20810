//! Which gateways are dead, so that the connections they left open are closed?
//!
//! One that has written nothing to the database for a while and has been missing in the registry of nodes in Redis just as long. So
//! who is cut off from one of the two is not given up. While Redis is away, and for a while after it came back, perhaps empty, nobody is.

use super::{Candidate, report};
use crate::worker::{Outcome, Report, Schedule, Task};
use carillon_backplane::bus::{NodesWatch, Registry};
use carillon_backplane::log::{GatewayRun, LogError, Maintenance};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing must have been heard; longer than a pause of a database or of Redis that its clients get over.
const SILENT: Duration = Duration::from_secs(30);
/// From when on it is looked whether they are missing in the registry, too: a gateway writes every five seconds.
const QUIET: Duration = Duration::from_secs(12);
/// Connections closed in a slice.
const SLICE: u32 = 2_000;
const SCHEDULE: Schedule = Schedule {
    period: Duration::from_secs(5),
    more: Duration::from_millis(300),
    retry: Duration::from_secs(5),
    deadline: Duration::from_secs(15),
};

pub(super) fn task(candidate: Candidate, nodes: NodesWatch) -> Task {
    let missing = Arc::new(Mutex::new(Missing::default()));
    Task::new("lost_sessions", SCHEDULE, move || {
        let (candidate, nodes, missing) = (candidate.clone(), nodes.clone(), missing.clone());
        async move { report(run(&candidate, &nodes, &missing).await) }
    })
}

async fn run(
    candidate: &Candidate,
    nodes: &NodesWatch,
    missing: &Mutex<Missing>,
) -> Result<Report, LogError> {
    let silent = candidate.log.silent_runs(QUIET.as_secs() as u32).await?;
    let living = match nodes.now() {
        Registry::Known(fleet) => {
            let run = |node: &str, number| GatewayRun { node: node.to_owned(), number };
            Some(fleet.nodes.iter().map(|card| run(&card.node, card.incarnation)).collect::<HashSet<_>>())
        }
        Registry::Unknown(_) => None,
    };
    let dead = {
        let mut missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.look(silent, living.as_ref(), Instant::now())
    };
    let Some(dead) = dead.first() else { return Ok(Report::new(Outcome::Done, "no gateway is dead")) };
    if let Some(elsewhere) = candidate.lacks_lease(Maintenance::LostSessions).await? {
        return Ok(elsewhere);
    }
    let closed = candidate.log.close_lost_sessions(dead, SILENT.as_secs() as u32, SLICE).await?;
    let node = &dead.node;
    tracing::info!(node, closed, "connections of a gateway that is dead are closed");
    Ok(Report::new(Outcome::More, format!("{closed} of {node} closed")))
}

/// Since when gateways that do not write are missing in the registry, too.
#[derive(Default)]
struct Missing(HashMap<GatewayRun, Instant>);

impl Missing {
    /// Looks at those that do not write. Answers those that are dead.
    fn look(
        &mut self,
        silent: Vec<GatewayRun>,
        living: Option<&HashSet<GatewayRun>>,
        now: Instant,
    ) -> Vec<GatewayRun> {
        // A registry without any gateway may be one that was emptied.
        let Some(living) = living.filter(|living| !living.is_empty()) else {
            self.0.clear();
            return Vec::new();
        };
        let since = |run: &GatewayRun| self.0.get(run).copied().unwrap_or(now);
        let missing = silent.into_iter().filter(|run| !living.contains(run));
        self.0 = missing.map(|run| (run.clone(), since(&run))).collect();
        let is_dead = |(_, since): &(&GatewayRun, &Instant)| now.duration_since(**since) >= SILENT;
        self.0.iter().filter(is_dead).map(|(run, _)| run.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(node: &str, number: u64) -> GatewayRun {
        GatewayRun { node: node.into(), number }
    }

    #[test]
    fn nobody_is_given_up_while_redis_is_away_or_empty_or_came_back_a_moment_ago() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut missing = Missing::default();
        let silent = || vec![run("a", 1)];
        let (other, own, empty) =
            (HashSet::from([run("b", 2)]), HashSet::from([run("a", 1), run("b", 2)]), HashSet::new());
        assert!(missing.look(silent(), Some(&other), at(0)).is_empty(), "it is missing since now");
        assert!(missing.look(silent(), Some(&other), at(29)).is_empty());
        assert!(missing.look(silent(), None, at(30)).is_empty());
        assert!(missing.look(silent(), Some(&other), at(31)).is_empty(), "Redis is back");
        assert!(missing.look(silent(), Some(&empty), at(60)).is_empty());
        assert!(missing.look(silent(), Some(&other), at(62)).is_empty());
        assert!(missing.look(silent(), Some(&own), at(80)).is_empty(), "it lives, and cannot write");
        assert!(missing.look(silent(), Some(&other), at(90)).is_empty());
        assert!(missing.look(Vec::new(), Some(&other), at(100)).is_empty(), "it lives, without Redis");
        assert!(missing.look(silent(), Some(&other), at(110)).is_empty());
        assert_eq!(missing.look(silent(), Some(&other), at(140)), [run("a", 1)]);
        let again = HashSet::from([run("a", 7)]);
        assert_eq!(
            missing.look(silent(), Some(&again), at(141)),
            [run("a", 1)],
            "another run is another gateway"
        );
    }
}
