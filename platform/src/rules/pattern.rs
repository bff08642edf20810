//! Which channels is a rule for, and which of two patterns says more?
//!
//! A channel is read in segments, which `:` divides. Of a pattern each segment is literal text, or ends with one `{name}`, which
//! stands for at least one character and no `:` (`order:{order}`, `order_{order}`); a `*` at the end of all stands for
//! anything, also nothing (`branch:*`). Reserved channels are opened only by patterns that name them: `tenant`, `user:…`, `role:…`.

use carillon_protocol::{Channel, limits};

/// Places (`{name}`) of a pattern at most.
const PLACES: usize = 8;
/// Longest name of a place.
const NAME: usize = 32;
/// The place that holds a person: `self` is whoever's id stands there.
pub const USER: &str = "user";

/// Which channels a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Characters that are literal.
    literal: usize,
}

/// What a segment of a channel must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// This beginning and at least one character more.
    Place { prefix: Box<str>, is_user: bool },
    /// This beginning, and then anything up to the channel's end.
    Rest { prefix: Box<str> },
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It is empty or too long.
    #[error("must have 1-{} characters", limits::CHANNEL_BYTES)]
    Length,
    /// A `*` stands elsewhere.
    #[error("a * stands only at the end, and not right behind a {{name}}")]
    Star,
    /// A brace without its other half, a bad name, or something behind the name.
    #[error("a {{name}} ends its segment; names are 1-32 of a-z, 0-9 and _, and begin with a letter")]
    Place,
    /// A name is there twice.
    #[error("a {{name}} is given twice")]
    Repeated,
    /// Too many places.
    #[error("at most {PLACES} of {{name}}")]
    Places,
    /// What is literal is no part of a channel.
    #[error("literal text must be what channels have: A-Z, a-z, 0-9, _, ., @, : and -")]
    Literal,
}

impl Pattern {
    /// The grammar in words.
    pub const ALLOWED: &'static str =
        "a channel in which a segment may end with {name}, and the whole with one *";

    /// Takes a text that fits the grammar, refuses any other and says why.
    pub fn new(text: &str) -> Result<Self, PatternFault> {
        if !(1..=limits::CHANNEL_BYTES).contains(&text.len()) {
            return Err(PatternFault::Length);
        }
        let (body, rest) = match text.strip_suffix('*') {
            Some(body) => (body, true),
            None => (text, false),
        };
        if body.contains('*') || (rest && body.ends_with('}')) {
            return Err(PatternFault::Star);
        }
        let mut names: Vec<&str> = Vec::new();
        let mut segments =
            body.split(':').map(|part| segment(part, &mut names)).collect::<Result<Vec<_>, _>>()?;
        if let (true, Some(last)) = (rest, segments.last_mut()) {
            // What stands before the star is literal: a place would have ended with its brace.
            if let Segment::Literal(prefix) = last {
                *last = Segment::Rest { prefix: std::mem::take(prefix) };
            }
        }
        if names.len() > PLACES {
            return Err(PatternFault::Places);
        }
        if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
            return Err(PatternFault::Repeated);
        }
        let places: usize = names.iter().map(|name| name.len() + 2).sum();
        let pattern = Self { text: text.into(), literal: body.len() - places, segments: segments.into() };
        // A channel of it shows whether the literal text is what channels have.
        match Channel::new(pattern.filled_with("x")) {
            Ok(channel) if pattern.matches(&channel) => Ok(pattern),
            _ => Err(PatternFault::Literal),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a segment of its channels is a person (`{user}`).
    pub fn names_a_user(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Place { is_user: true, .. }))
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How much it says: of two patterns for one channel the one that says more counts. The literal characters first; with
    /// as many, one without a star says more.
    pub(super) fn rank(&self) -> (usize, bool) {
        (self.literal, !matches!(self.segments.last(), Some(Segment::Rest { .. })))
    }

    /// Whether it is for this channel.
    pub fn matches(&self, channel: &Channel) -> bool {
        self.walk(channel).is_some()
    }

    /// The text at `{user}` in a channel that it is for.
    pub fn user_in<'c>(&self, channel: &'c Channel) -> Option<&'c str> {
        self.walk(channel).flatten()
    }

    /// None if it is not for this channel; else the text at `{user}`, if it has that.
    fn walk<'c>(&self, channel: &'c Channel) -> Option<Option<&'c str>> {
        let reserved = channel.is_reserved();
        let (mut left, mut user) = (Some(channel.as_str()), None);
        for (index, segment) in self.segments.iter().enumerate() {
            let all = left?;
            let (part, behind) = match all.split_once(':') {
                Some((part, behind)) => (part, Some(behind)),
                None => (all, None),
            };
            match segment {
                Segment::Literal(text) if part == &**text => {}
                _ if reserved && index == 0 => return None,
                Segment::Place { prefix, is_user } => {
                    let filled = part.strip_prefix(&**prefix).filter(|filled| !filled.is_empty())?;
                    user = user.or(is_user.then_some(filled));
                }
                Segment::Rest { prefix } => return all.starts_with(&**prefix).then_some(user),
                Segment::Literal(_) => return None,
            }
            left = behind;
        }
        left.is_none().then_some(user)
    }

    /// Whether some channel could be of both and neither says more: nobody could tell which rule counts.
    pub fn ties_with(&self, other: &Self) -> bool {
        self.rank() == other.rank() && self.overlaps(other)
    }

    /// Whether some channel could be of both.
    fn overlaps(&self, other: &Self) -> bool {
        if self.is_reserved() != other.is_reserved() {
            return false;
        }
        let (ours, theirs) = (&self.segments, &other.segments);
        for index in 0..ours.len().max(theirs.len()) {
            let (Some(one), Some(two)) = (ours.get(index), theirs.get(index)) else { return false };
            let meets = match (one, two) {
                (Segment::Rest { prefix }, other) | (other, Segment::Rest { prefix }) => {
                    return match other {
                        Segment::Literal(text) => text.starts_with(&**prefix),
                        Segment::Place { prefix: two, .. } | Segment::Rest { prefix: two } => {
                            either_begins(prefix, two)
                        }
                    };
                }
                (Segment::Literal(one), Segment::Literal(two)) => one == two,
                (Segment::Literal(text), Segment::Place { prefix, .. })
                | (Segment::Place { prefix, .. }, Segment::Literal(text)) => {
                    text.len() > prefix.len() && text.starts_with(&**prefix)
                }
                (Segment::Place { prefix: one, .. }, Segment::Place { prefix: two, .. }) => {
                    either_begins(one, two)
                }
            };
            if !meets {
                return false;
            }
        }
        true
    }

    /// Whether its channels are reserved ones.
    fn is_reserved(&self) -> bool {
        match &self.segments[..] {
            [Segment::Literal(only)] => &**only == "tenant",
            [Segment::Literal(first), ..] => matches!(&**first, "user" | "role"),
            _ => false,
        }
    }

    /// A channel of it, with this text for each place and for the rest.
    pub(super) fn filled_with(&self, filling: &str) -> String {
        let parts = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => text.to_string(),
            Segment::Place { prefix, .. } | Segment::Rest { prefix } => format!("{prefix}{filling}"),
        });
        parts.collect::<Vec<_>>().join(":")
    }
}

fn either_begins(one: &str, two: &str) -> bool {
    one.starts_with(two) || two.starts_with(one)
}

fn segment<'a>(part: &'a str, names: &mut Vec<&'a str>) -> Result<Segment, PatternFault> {
    let Some((prefix, place)) = part.split_once('{') else {
        return if part.contains('}') { Err(PatternFault::Place) } else { Ok(Segment::Literal(part.into())) };
    };
    let name = place.strip_suffix('}').filter(|name| {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=NAME).contains(&name.len())
            && name.bytes().all(valid)
            && name.starts_with(|first: char| first.is_ascii_lowercase())
    });
    let name = name.ok_or(PatternFault::Place)?;
    names.push(name);
    Ok(Segment::Place { prefix: prefix.into(), is_user: name == USER })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn a_place_is_one_segment_and_a_star_is_the_rest() {
        for (text, for_it, not_for_it) in [
            (
                "order:{order}",
                &["order:1", "order:a.b"][..],
                &["order", "order:", "order:1:2", "orders:1"][..],
            ),
            ("order_{order}", &["order_X"], &["order_", "order", "order_X:1"]),
            ("branch:*", &["branch:", "branch:1", "branch:1:desk"], &["branch", "branches:1"]),
            ("br*", &["br", "branch", "branch:1"], &["b", "user:br", "abr"]),
            ("a:{x}:c", &["a:b:c"], &["a:b:d", "a:b", "a:b:c:d", "a::c"]),
            ("a:{x}:*", &["a:b:", "a:b:c:d"], &["a:b", "a::b"]),
            ("*", &["a", "a:b"], &["tenant", "user:mila", "role:head"]),
            ("{x}", &["a"], &["tenant", "a:b"]),
            ("tenant", &["tenant"], &["tenants"]),
            ("user:{user}", &["user:mila", "user:Mila Kovač"], &["user:a:b", "role:mila"]),
            ("user:*", &["user:a:b"], &["users:a"]),
            ("{kind}:{x}", &["a:b"], &["user:b", "role:b"]),
            ("user*", &["user", "users"], &["user:mila"]),
        ] {
            let pattern = pattern(text);
            for name in for_it {
                assert!(pattern.matches(&channel(name)), "{text} is for {name}");
            }
            for name in not_for_it {
                assert!(!pattern.matches(&channel(name)), "{text} is not for {name}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_named() {
        let long = "x".repeat(129);
        for (text, fault) in [
            ("", PatternFault::Length),
            (long.as_str(), PatternFault::Length),
            ("a*b", PatternFault::Star),
            ("**", PatternFault::Star),
            ("a:{x}*", PatternFault::Star),
            ("a:{x}b", PatternFault::Place),
            ("a:{}", PatternFault::Place),
            ("a:{X}", PatternFault::Place),
            ("a:{x", PatternFault::Place),
            ("a:x}", PatternFault::Place),
            ("{a}{b}", PatternFault::Place),
            ("{a}:{a}", PatternFault::Repeated),
            ("{a}:{b}:{c}:{d}:{e}:{f}:{g}:{h}:{i}", PatternFault::Places),
            ("a b", PatternFault::Literal),
            ("contact:é", PatternFault::Literal),
            ("user:", PatternFault::Literal),
        ] {
            assert_eq!(Pattern::new(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn only_patterns_that_say_as_much_about_one_channel_tie() {
        for (one, two) in [
            ("order:{order}", "order:{id}"),
            ("a:{x}:c", "a:b:{y}"),
            ("a:b{x}", "a:b{y}"),
            ("ab{x}:d", "a{x}:de"),
            ("a:*", "a:*"),
        ] {
            let expected = (one, two) != ("ab{x}:d", "a{x}:de");
            assert_eq!(pattern(one).ties_with(&pattern(two)), expected, "{one} {two}");
            assert_eq!(pattern(two).ties_with(&pattern(one)), expected, "{two} {one}");
        }
        for (one, two) in [
            ("order:{order}", "order:*"),
            ("a:{x}", "b:{x}"),
            ("a:{x}:c", "a:{x}:d"),
            ("{a}:xxxx", "user:{n}"),
        ] {
            assert!(!pattern(one).ties_with(&pattern(two)), "{one} {two}");
        }
    }

    #[test]
    fn a_person_is_found_in_the_channel() {
        assert_eq!(pattern("staff:{user}:{x}").user_in(&channel("staff:mila:1")), Some("mila"));
        assert_eq!(pattern("staff_{user}").user_in(&channel("staff_mila")), Some("mila"));
        assert_eq!(pattern("staff:{who}").user_in(&channel("staff:mila")), None);
        assert!(pattern("staff:{user}").names_a_user() && !pattern("staff:{who}").names_a_user());
    }
}
