//! When is a room's news handed out: at once, or together with what comes next?
//!
//! A write costs the kernel a fixed price, whatever is in it, so the cheapest delivery is one that shares its write with
//! others. After a fan-out a room rests for a multiple of the time that took, so a busy large room gathers events while
//! a small or quiet one is written to at once: its rest is over long before its next event. The rest is bounded, and
//! with it the latency that it adds (docs/adr/0007).

/// How long a room rests after a fan-out, as a multiple of the time that took.
const REST: u64 = 3;
/// Shortest rest, in microseconds: a shard sleeps in milliseconds.
const SHORTEST_REST_US: u64 = 1_000;
/// Longest rest, in microseconds.
const LONGEST_REST_US: u64 = 10_000;

/// How long a room rests after a fan-out that took so long, in microseconds.
pub(super) fn rest_us(took_us: u64) -> u64 {
    match (took_us * REST).min(LONGEST_REST_US) {
        // Nothing wakes a shard so soon, and so little is not worth waiting for.
        ..SHORTEST_REST_US => 0,
        rest_us => rest_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_follows_from_what_was_done_and_is_bounded() {
        assert_eq!([0, 100, 333].map(rest_us), [0; 3], "small rooms never rest");
        assert_eq!([334, 1_000, 3_333].map(rest_us), [1_002, 3_000, 9_999]);
        assert_eq!([3_334, 1_000_000].map(rest_us), [LONGEST_REST_US; 2]);
    }
}
