//! Does this node take new connections?

use carillon_backplane::bus::NodeState;
use std::sync::Arc;
use tokio::sync::watch;

/// The state of a node's door, shared by all who ask before letting somebody in.
#[derive(Clone)]
pub(crate) struct Door(Arc<watch::Sender<NodeState>>);

impl Default for Door {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(NodeState::Serving)))
    }
}

impl Door {
    /// Whether new connections are taken.
    pub(crate) fn is_open(&self) -> bool {
        self.state() == NodeState::Serving
    }

    pub(crate) fn state(&self) -> NodeState {
        *self.0.borrow()
    }

    /// Opens or closes it. A node that drains never opens again.
    pub(crate) fn set(&self, state: NodeState) {
        self.0.send_if_modified(|now| {
            let changes = *now != NodeState::Draining && *now != state;
            if changes {
                *now = state;
            }
            changes
        });
    }

    /// Resolves when the node serves (true), or never will again (false).
    pub(crate) async fn opens(&self) -> bool {
        self.becomes(|state| state != NodeState::Evacuating).await == NodeState::Serving
    }

    /// Resolves when the node does not serve.
    pub(crate) async fn closes(&self) {
        self.becomes(|state| state != NodeState::Serving).await;
    }

    async fn becomes(&self, wanted: impl Fn(NodeState) -> bool) -> NodeState {
        let mut states = self.0.subscribe();
        let seen = states.wait_for(|state| wanted(*state)).await.map(|state| *state);
        // The sender lives as long as `self`.
        seen.unwrap_or(NodeState::Draining)
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
    #[tokio::test]
    async fn who_waits_for_the_door_hears_of_every_change() {
        let door = Door::default();
        assert!(door.opens().await, "it is open");
        let waiting = tokio::spawn({
            let door = door.clone();
            async move {
                door.closes().await;
                let opened = door.opens().await;
                door.closes().await;
                (opened, door.opens().await)
            }
        });
        for state in [NodeState::Evacuating, NodeState::Serving, NodeState::Draining] {
            door.set(state);
            tokio::task::yield_now().await;
        }
        let heard = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
        assert_eq!(heard.unwrap().unwrap(), (true, false));
    }
}
