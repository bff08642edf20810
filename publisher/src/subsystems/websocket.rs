//! Which gateways serve connections?

use super::{Reason, RedisNumbers, State, redis, worst};
use carillon_backplane::bus::{BusHealth, DownCause, NodeCard, NodeState, Registry};
use serde::Serialize;
use utoipa::ToSchema;

/// How the gateways are.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WebsocketHealth {
    /// The worst of the reasons; `up` without one.
    pub state: State,
    /// Why it is not `up`.
    pub reasons: Vec<Reason>,
    /// How many gateways there are; null when Redis did not say.
    pub nodes: Option<Nodes>,
    /// Open connections of all of them; only for an API key for all tenants that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connections: Option<u64>,
    /// Each of them; as `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gateways: Option<Vec<GatewayNumbers>>,
    /// Redis, as this publisher sees it.
    pub redis: RedisNumbers,
}

/// Gateways that told within ten seconds how they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Nodes {
    /// All of them.
    pub alive: usize,
    /// Those that take connections.
    pub serving: usize,
    /// Those that an operator has emptied.
    pub evacuating: usize,
    /// Those that are stopping.
    pub draining: usize,
}

/// A gateway as it described itself last.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GatewayNumbers {
    /// `CARILLON_NODE`.
    pub node: String,
    /// `serving`, `evacuating` or `draining`.
    pub state: &'static str,
    /// Its release.
    pub version: String,
    /// Open connections.
    pub connections: u64,
    /// Tenants it follows.
    pub tenants: u64,
    /// Events that passed its streams, a second.
    pub events_per_second: f64,
    /// Event frames it wrote, a second.
    pub deliveries_per_second: f64,
    /// When it started, in milliseconds since 1970 by its own clock.
    pub started_ms: u64,
}

/// What to think of it. `whole`: whoever asks may know about all tenants.
pub(super) fn judge(registry: &Registry, bus: BusHealth, whole: bool) -> WebsocketHealth {
    let mut reasons = Vec::new();
    let cards = match registry {
        Registry::Known(fleet) => Some(&fleet.nodes),
        Registry::Unknown(_) => None,
    };
    let count =
        |state: NodeState| cards.map_or(0, |cards| cards.iter().filter(|card| card.state == state).count());
    let nodes = cards.map(|cards| Nodes {
        alive: cards.len(),
        serving: count(NodeState::Serving),
        evacuating: count(NodeState::Evacuating),
        draining: count(NodeState::Draining),
    });
    match (registry, nodes) {
        (_, Some(Nodes { alive: 0, .. })) => {
            let message = "no gateway tells how it is";
            reasons.push(Reason::new(State::Down, "no_nodes", message));
        }
        (_, Some(Nodes { alive, serving: 0, .. })) => {
            let message = format!("{alive} gateways run, and none of them takes connections");
            reasons.push(Reason::new(State::Down, "none_serving", message));
        }
        (Registry::Unknown(DownCause::Refused), _) => {
            let message = "redis refuses the hash of the gateways: a publisher needs HGETALL on it";
            reasons.push(Reason::new(State::Degraded, "registry_refused", message));
        }
        (Registry::Unknown(_), _) if bus.is_up() => {
            let message = "redis has not told yet which gateways there are";
            reasons.push(Reason::new(State::Degraded, "registry_missing", message));
        }
        _ => {}
    }
    let meaning = match bus {
        BusHealth::Down { cause: DownCause::Refused, .. } if nodes.is_some() => {
            "it takes no announcements: events arrive later, and where gateways may not publish either, signals reach one gateway's clients alone"
        }
        _ => {
            "events arrive later, signals reach one gateway's clients alone, and which gateways there are is not known"
        }
    };
    reasons.extend(redis(bus, meaning));
    let told = cards.filter(|_| whole);
    WebsocketHealth {
        state: worst(&reasons),
        reasons,
        nodes,
        connections: told.map(|cards| cards.iter().map(|card| card.connections).sum()),
        gateways: told.map(|cards| cards.iter().map(numbers).collect()),
        redis: bus.into(),
    }
}

fn numbers(card: &NodeCard) -> GatewayNumbers {
    GatewayNumbers {
        node: card.node.clone(),
        state: match card.state {
            NodeState::Serving => "serving",
            NodeState::Evacuating => "evacuating",
            NodeState::Draining => "draining",
        },
        version: card.version.clone(),
        connections: card.connections,
        tenants: card.tenants,
        events_per_second: card.events_per_second,
        deliveries_per_second: card.deliveries_per_second,
        started_ms: card.started_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::bus::Fleet;
    use std::time::Instant;

    fn fleet(states: &[NodeState]) -> Registry {
        let card = |(n, state): (usize, &NodeState)| NodeCard {
            node: format!("gateway-{n}"),
            database: None,
            version: "0.1.0".to_owned(),
            state: *state,
            connections: 10,
            tenants: 2,
            events_per_second: 0.0,
            deliveries_per_second: 0.0,
            started_ms: 1,
            incarnation: 1,
            minute: None,
            address: None,
            beat: 1,
        };
        let nodes = states.iter().enumerate().map(card).collect();
        Registry::Known(Fleet { nodes, settled_since: Instant::now() })
    }

    fn codes(health: &WebsocketHealth) -> (State, Vec<&'static str>) {
        (health.state, health.reasons.iter().map(|reason| reason.code).collect())
    }

    #[test]
    fn it_is_up_while_one_gateway_serves_and_down_when_none_does() {
        use NodeState::{Draining, Evacuating, Serving};
        let of = |states: &[NodeState]| codes(&judge(&fleet(states), BusHealth::Up, true));
        assert_eq!(of(&[Serving, Evacuating, Draining]), (State::Up, vec![]));
        assert_eq!(of(&[Evacuating, Draining]), (State::Down, vec!["none_serving"]));
        assert_eq!(of(&[]), (State::Down, vec!["no_nodes"]));
    }

    #[test]
    fn without_redis_nothing_is_said_of_the_gateways_and_that_is_no_proof_that_they_are_gone() {
        let down = BusHealth::Down { since: Instant::now(), cause: DownCause::Closed };
        let health = judge(&Registry::Unknown(DownCause::Closed), down, true);
        assert_eq!(codes(&health), (State::Degraded, vec!["redis"]));
        assert_eq!((health.nodes, health.connections, health.gateways), (None, None, None));
        let of = |cause| codes(&judge(&Registry::Unknown(cause), BusHealth::Up, true));
        assert_eq!(of(DownCause::Refused), (State::Degraded, vec!["registry_refused"]));
        assert_eq!(of(DownCause::Starting), (State::Degraded, vec!["registry_missing"]));
        // It answers, and takes no announcements.
        let refusing = BusHealth::Down { since: Instant::now(), cause: DownCause::Refused };
        let health = judge(&fleet(&[NodeState::Serving]), refusing, true);
        assert_eq!((codes(&health), health.nodes.unwrap().serving), ((State::Degraded, vec!["redis"]), 1));
        assert!(health.reasons[0].message.contains("takes no announcements"), "{:?}", health.reasons);
    }

    #[test]
    fn whoever_asks_for_one_tenant_learns_how_many_gateways_serve_and_not_how_much_they_do() {
        let registry = fleet(&[NodeState::Serving, NodeState::Serving]);
        let whole = judge(&registry, BusHealth::Up, true);
        assert_eq!((whole.connections, whole.gateways.unwrap().len()), (Some(20), 2));
        let part = judge(&registry, BusHealth::Up, false);
        assert_eq!((part.nodes.unwrap().serving, part.connections, part.gateways), (2, None, None));
    }
}
