//! Does this node take new connections?

use carillon_backplane::bus::NodeState;
use std::sync::Arc;
use tokio::sync::watch;

/// What a node says about itself: it serves, it is being evacuated, or it drains; shared by all who ask before a connection is taken.
#[derive(Clone)]
pub(crate) struct Serving(Arc<watch::Sender<NodeState>>);

impl Default for Serving {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(NodeState::Serving)))
    }
}

impl Serving {
    /// Whether new connections are taken.
    pub(crate) fn takes_connections(&self) -> bool {
        self.state() == NodeState::Serving
    }

    pub(crate) fn state(&self) -> NodeState {
        *self.0.borrow()
    }

    /// Changes the state. A node that drains never serves again.
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
    pub(crate) async fn starts(&self) -> bool {
        self.becomes(|state| state != NodeState::Evacuating).await == NodeState::Serving
    }

    /// Resolves when the node does not serve.
    pub(crate) async fn stops(&self) {
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
    fn a_node_that_drains_never_serves_again() {
        let serving = Serving::default();
        assert!(serving.takes_connections());
        serving.set(NodeState::Evacuating);
        assert!(!serving.takes_connections() && serving.state() == NodeState::Evacuating);
        serving.set(NodeState::Serving);
        assert!(serving.takes_connections());
        serving.set(NodeState::Draining);
        serving.set(NodeState::Serving);
        assert!(!serving.takes_connections() && serving.state() == NodeState::Draining);
    }
    #[tokio::test]
    async fn who_waits_for_a_node_to_serve_hears_of_every_change() {
        let serving = Serving::default();
        assert!(serving.starts().await, "it serves");
        let waiting = tokio::spawn({
            let serving = serving.clone();
            async move {
                serving.stops().await;
                let started = serving.starts().await;
                serving.stops().await;
                (started, serving.starts().await)
            }
        });
        for state in [NodeState::Evacuating, NodeState::Serving, NodeState::Draining] {
            serving.set(state);
            tokio::task::yield_now().await;
        }
        let heard = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
        assert_eq!(heard.unwrap().unwrap(), (true, false));
    }
}
