//! Does this node take new connections?

use carillon_backplane::bus::NodeState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The state of a node's door, shared by all who ask before letting somebody in.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<AtomicU8>);

const SERVING: u8 = 0;
const EVACUATING: u8 = 1;
const DRAINING: u8 = 2;

impl Door {
    /// Whether new connections are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SERVING
    }

    pub(crate) fn state(&self) -> NodeState {
        match self.0.load(Ordering::Relaxed) {
            SERVING => NodeState::Serving,
            EVACUATING => NodeState::Evacuating,
            _ => NodeState::Draining,
        }
    }

    /// Opens or closes it. A node that drains never opens again.
    pub(crate) fn set(&self, state: NodeState) {
        let state = match state {
            NodeState::Serving => SERVING,
            NodeState::Evacuating => EVACUATING,
            NodeState::Draining => DRAINING,
        };
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != DRAINING).then_some(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_drains_never_opens_again() {
        let door = Door::default();
        assert!(door.is_open());
        door.set(NodeState::Evacuating);
        assert!(!door.is_open() && door.state() == NodeState::Evacuating);
        door.set(NodeState::Serving);
        assert!(door.is_open());
        door.set(NodeState::Draining);
        door.set(NodeState::Serving);
        assert!(!door.is_open() && door.state() == NodeState::Draining);
    }
}
