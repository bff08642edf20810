//! What happens when a part that the node cannot do without panics?
//!
//! The process ends. A shard's connections belong to it alone and a stream has no other feeder, so a node that lost one
//! would look ready and be deaf. Its clients come back to other nodes with their cursors; nothing is lost.

/// Held by a thread or task for as long as it works: whoever panics with it in hand takes the process along.
pub(crate) struct SharedFate(pub(crate) &'static str);

impl Drop for SharedFate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(part = self.0, "panicked; the node ends, its clients resume elsewhere");
            std::process::abort();
        }
    }
}
