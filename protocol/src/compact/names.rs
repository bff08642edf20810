//! Which numbers stand for what a tenant's events have in common?
//!
//! A number is given at the first use and never means anything else, so a reader who was told a name once needs it no more. A reader
//! is told those names alone that an event for it uses: what others talk about is none of its business. What finds no room is
//! spelled out in each frame.

use std::collections::HashMap;

/// Most types with their sources.
const KINDS: u8 = 8;
/// Most channels. With the types as many as a reader's set has bits.
const CHANNELS: u8 = 7;
/// Longest JSON of one name: a frame that tells names is still within the largest.
const NAME_BYTES: usize = 128;

/// The names of one tenant on one node.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Box<str>, u8>,
    kinds: u8,
    channels: u8,
}

impl Names {
    /// The number of a type with its source, from their JSON; none if there is no room for it.
    pub(super) fn kind(&mut self, json: &str) -> Option<u8> {
        self.number(json, KINDS, |names| &mut names.kinds)
    }

    /// The number of a channel, from its JSON.
    pub(super) fn channel(&mut self, json: &str) -> Option<u8> {
        self.number(json, CHANNELS, |names| &mut names.channels)
    }

    fn number(&mut self, json: &str, most: u8, count: impl Fn(&mut Self) -> &mut u8) -> Option<u8> {
        if let Some(number) = self.numbers.get(json) {
            return Some(*number);
        }
        if json.len() > NAME_BYTES || *count(self) == most {
            return None;
        }
        let number = self.kinds + self.channels;
        *count(self) += 1;
        self.numbers.insert(json.into(), number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i10_names_have_bounds_and_numbers_keep_their_meaning() {
        let mut names = Names::default();
        let kind = |n: usize| format!(r#"["t{n}","s"]"#);
        let channel = |n: usize| format!(r#""contact:{n}""#);
        for n in 0..20 {
            assert_eq!(names.kind(&kind(n)).is_some(), n < 8, "{n}");
            assert_eq!(names.channel(&channel(n)).is_some(), n < 7, "{n}");
        }
        assert_eq!((names.kind(&kind(0)), names.channel(&channel(0))), (Some(0), Some(1)));
        assert_eq!((names.kind(&kind(7)), names.channel(&channel(6))), (Some(14), Some(13)));
        assert_eq!((names.kind(&kind(8)), names.channel(&channel(7))), (None, None));
        let mut long = Names::default();
        assert_eq!((long.channel(&"x".repeat(129)), long.channel(&"x".repeat(128))), (None, Some(0)));
    }
}
