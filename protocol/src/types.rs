//! Which types of events does somebody want?
//!
//! One grammar wherever types are chosen: a type, or the beginning of one followed by a `*` (`appointment.*`).

use crate::ident::{InvalidName, plain_text};
use crate::limits;

/// A type of events, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypePattern(Box<str>);

impl TypePattern {
    /// The grammar in words.
    pub const ALLOWED: &'static str =
        "1-256 bytes without white space or control characters; a * only at the end";

    /// Takes a pattern that fits the grammar, refuses any other.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let fits = plain_text(text, limits::ATTRIBUTE_BYTES)
            && !text.strip_suffix('*').unwrap_or(text).contains(|c: char| c == '*' || c.is_whitespace());
        if fits { Ok(Self(text.into())) } else { Err(InvalidName { what: "type", allowed: Self::ALLOWED }) }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With what the types it is for begin; none if it is for one type only.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether it is for this type.
    pub fn matches(&self, kind: &str) -> bool {
        match self.prefix() {
            Some(prefix) => kind.starts_with(prefix),
            None => *self.0 == *kind,
        }
    }
}

/// The types that somebody wants of a channel: those that one of its patterns is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeFilter(Box<[TypePattern]>);

impl TypeFilter {
    /// Takes 1 to [`limits::TYPES_PER_FILTER`] patterns of at most [`limits::TYPE_PATTERN_BYTES`] bytes, in any order; the fault in
    /// words. The same patterns are the same filter, however they were written.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut all = Vec::new();
        for text in patterns {
            let pattern = TypePattern::new(text).map_err(|fault| format!("each {fault}"))?;
            if text.len() > limits::TYPE_PATTERN_BYTES {
                return Err(format!(
                    "each must be at most {} bytes; a longer type is chosen by its beginning and a *",
                    limits::TYPE_PATTERN_BYTES
                ));
            }
            all.push(pattern);
            if all.len() > limits::TYPES_PER_FILTER {
                return Err(format!("at most {}", limits::TYPES_PER_FILTER));
            }
        }
        if all.is_empty() {
            return Err("at least one; leave it out for every type".into());
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all.into()))
    }

    /// Whether an event of this type is wanted.
    pub fn matches(&self, kind: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(kind))
    }

    /// Its patterns, in their order.
    pub fn patterns(&self) -> &[TypePattern] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_a_type_or_the_beginning_of_one() {
        let long = "a".repeat(256);
        for good in ["a", "order.paid", "order.*", "*", "č.*", long.as_str()] {
            assert!(TypePattern::new(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(257);
        for bad in ["", "a*b", "**", "*a", "a b", "a\t*", "a\u{0}", too_long.as_str()] {
            assert!(TypePattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_is_the_same_in_any_order_and_its_faults_are_named() {
        let filter = |texts: &[&str]| TypeFilter::new(texts.iter().copied());
        assert_eq!(filter(&["b", "a.*", "b"]), filter(&["a.*", "b"]));
        assert_ne!(filter(&["a"]), filter(&["a*"]));
        let long = "a".repeat(129);
        let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (bad, why) in [
            (&[][..], "at least one"),
            (&["a", "b c"], "each type must be 1-256 bytes without white space"),
            (&[long.as_str()], "at most 128 bytes"),
            (&many, "at most 16"),
        ] {
            let fault = filter(bad).unwrap_err();
            assert!(fault.contains(why), "{fault}");
        }
        assert!(filter(&many[..16]).is_ok());
    }

    proptest! {
        #[test]
        fn a_filter_wants_what_one_of_its_patterns_says(
            patterns in prop::collection::vec("[ab.]{0,3}\\*?", 1..6), kind in "[ab.]{1,4}",
        ) {
            let good: Vec<&str> = patterns.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
            prop_assume!(!good.is_empty());
            let naive = good.iter().any(|text| match text.split_once('*') {
                Some((prefix, _)) => kind.len() >= prefix.len() && kind[..prefix.len()] == *prefix,
                None => *text == kind,
            });
            prop_assert_eq!(TypeFilter::new(good).unwrap().matches(&kind), naive);
        }
    }
}
