//! What is kept of a client's messages while it may refer back to them (RFC 7692 section 7.2.3.2)?
//!
//! The last 32 KiB of what it sent compressed, as text: that is all a deflate stream can point to. Nothing before its first
//! compressed message, and never more than it has sent.

/// The largest distance of deflate (RFC 1951 section 3.2.5).
pub const MOST: usize = 32 * 1024;

/// The last of what one client sent.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Window(Vec<u8>);

impl Window {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Bytes on the heap.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// A message was read: it is the newest from now on.
    pub(super) fn push(&mut self, message: &[u8]) {
        let newest = message.get(message.len().saturating_sub(MOST)..).unwrap_or_default();
        let stays = self.0.len().min(MOST - newest.len());
        self.0.drain(..self.0.len() - stays);
        // By halves: a client that sends a little now and then has no use for doubling.
        let needed = self.0.len() + newest.len();
        if needed > self.0.capacity() {
            let target = (needed + needed / 2).min(MOST);
            self.0.reserve_exact(target - self.0.len());
        }
        self.0.extend_from_slice(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_end_of_all_that_came_and_no_more() {
        let (mut window, mut all) = (Window::default(), Vec::new());
        assert_eq!(window.held_bytes(), 0);
        for (n, length) in [10, 0, 1, 700, 20_000, 20_000, 5, 40_000, 1, MOST, 3].into_iter().enumerate() {
            let message: Vec<u8> = (0..length).map(|at| (at % 251) as u8 ^ n as u8).collect();
            window.push(&message);
            all.extend(message);
            assert_eq!(window.as_slice(), &all[all.len().saturating_sub(MOST)..], "after {length}");
            assert!(
                window.held_bytes() <= MOST && window.held_bytes() <= all.len() * 3 / 2,
                "after {length}"
            );
        }
    }
}
