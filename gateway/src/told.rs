//! What do publishers hear of each tenant on this node?
//!
//! Every few seconds the node writes what a tenant uses here into Redis, so that `GET /v1/stats` is answered without asking nodes. A
//! tenant without a connection here costs nothing but its last word.

use crate::stream::feed::Streams;
use carillon_backplane::bus::{LimitStore, TenantUsage};
use carillon_protocol::TenantId;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often.
const PACE: Duration = Duration::from_secs(5);
/// Tenants that are told of at a time; the others have their turn after them.
const TOGETHER: usize = 2_000;
/// Longest wait for Redis, of one tenant.
const ANSWER: Duration = Duration::from_millis(500);

/// What the counters were when a tenant was told of last.
#[derive(Clone, Copy)]
struct Last {
    events: u64,
    deliveries: u64,
    at: Instant,
}

/// Tells until `stop`. `me` is this run of the node, as its card has it.
pub(crate) async fn run(store: LimitStore, me: String, streams: Streams, stop: CancellationToken) {
    let mut last: HashMap<TenantId, Last> = HashMap::new();
    let mut turn = 0;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pace.tick() => {}
        }
        let now: HashMap<TenantId, [u64; 4]> = streams.numbers().await.into_iter().collect();
        for tenant in due(&now, &last, &mut turn) {
            let numbers = now.get(&tenant).copied().unwrap_or_default();
            let usage = usage(numbers, last.get(&tenant).copied());
            let is_over = usage.connections == 0;
            let told = tokio::time::timeout(ANSWER, store.tell_usage(&tenant, &me, &usage, is_over)).await;
            if !matches!(told, Ok(Ok(()))) {
                // Redis is away, which others tell. In the next turn it is tried again.
                break;
            }
            let [_, events, deliveries, _] = numbers;
            match is_over {
                true => drop(last.remove(&tenant)),
                false => drop(last.insert(tenant, Last { events, deliveries, at: Instant::now() })),
            }
        }
    }
}

/// Who is told of now: tenants with connections, and those that had some. (pure)
fn due(now: &HashMap<TenantId, [u64; 4]>, last: &HashMap<TenantId, Last>, turn: &mut usize) -> Vec<TenantId> {
    let with_connections =
        now.iter().filter(|(_, [connections, ..])| *connections > 0).map(|(tenant, _)| tenant);
    let mut tenants: Vec<TenantId> = with_connections.chain(last.keys()).cloned().collect();
    tenants.sort_unstable();
    tenants.dedup();
    if tenants.len() > TOGETHER {
        let start = *turn % tenants.len();
        tenants.rotate_left(start);
        tenants.truncate(TOGETHER);
        *turn = start + TOGETHER;
    }
    tenants
}

fn usage([connections, events, deliveries, subscriptions]: [u64; 4], last: Option<Last>) -> TenantUsage {
    let rate = |count: u64, before: fn(Last) -> u64| {
        let Some(last) = last else { return 0.0 };
        let seconds = last.at.elapsed().as_secs_f64().max(1e-3);
        (count.saturating_sub(before(last)) as f64 / seconds * 10.0).round() / 10.0
    };
    TenantUsage {
        connections,
        subscriptions,
        events_per_second: rate(events, |last| last.events),
        deliveries_per_second: rate(deliveries, |last| last.deliveries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> TenantId {
        TenantId::new(format!("tenant-{n:05}")).unwrap()
    }

    #[test]
    fn each_tenant_with_connections_has_its_turn_and_one_that_lost_its_last_is_told_of_once_more() {
        let now: HashMap<TenantId, [u64; 4]> = (0..5_000).map(|n| (tenant(n), [1, 0, 0, 3])).collect();
        let (mut turn, mut told) = (0, std::collections::HashSet::new());
        for _ in 0..3 {
            let due = due(&now, &HashMap::new(), &mut turn);
            assert_eq!(due.len(), TOGETHER);
            told.extend(due);
        }
        assert_eq!(told.len(), 5_000);
        let had = HashMap::from([(tenant(7), Last { events: 0, deliveries: 0, at: Instant::now() })]);
        let nobody = HashMap::from([(tenant(7), [0, 9, 9, 0]), (tenant(8), [0, 9, 9, 0])]);
        assert_eq!(due(&nobody, &had, &mut 0), [tenant(7)]);
        assert!(due(&nobody, &HashMap::new(), &mut 0).is_empty());
    }

    #[test]
    fn rates_are_of_the_time_since_the_last_word() {
        let last = Last { events: 100, deliveries: 1_000, at: Instant::now() - Duration::from_secs(10) };
        let told = usage([3, 150, 3_000, 9], Some(last));
        assert_eq!((told.connections, told.subscriptions), (3, 9));
        assert!((4.9..=5.0).contains(&told.events_per_second), "{told:?}");
        assert!((199.0..=200.0).contains(&told.deliveries_per_second), "{told:?}");
        assert_eq!(usage([3, 150, 3_000, 9], None).events_per_second, 0.0, "not known yet");
    }
}
