//! What tells two events apart that have the same number in two logs?
//!
//! Logs of equal length may differ: one that lost its end and has grown again has other events under the same numbers.
//! So heads carry a tag of their newest event, and a batch that of the event before it.

use sha2::{Digest, Sha256};
use std::num::NonZeroU64;

/// The first eight bytes of an event's SHA-256; `carillon.tag` computes the same in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// The tag of an event's JSON, as it is stored. None for the one in 2⁶⁴ that cannot be told from "not known".
    pub fn of(body: &[u8]) -> Option<Self> {
        let digest: [u8; 32] = Sha256::digest(body).into();
        let first = digest.first_chunk().copied().unwrap_or_default();
        Self::from_number(u64::from_be_bytes(first))
    }

    /// A tag as it is stored; zero stands for "not known".
    pub fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// As it is stored.
    pub fn number(tag: Option<Self>) -> u64 {
        tag.map_or(0, |tag| tag.0.get())
    }

    /// Whether both are known and differ: then the events do.
    pub fn differ(one: Option<Self>, other: Option<Self>) -> bool {
        one.zip(other).is_some_and(|(one, other)| one != other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_known_tags_can_differ() {
        let (one, other) = (Tag::of(b"{}"), Tag::of(b"{ }"));
        assert!(Tag::differ(one, other) && !Tag::differ(one, one) && !Tag::differ(one, None));
        assert_eq!(Tag::from_number(Tag::number(one)), one);
        // printf '{}' | sha256sum
        assert_eq!(Tag::number(one), 0x4413_6fa3_55b3_678a);
    }
}
