//! Notices of which types stand in a person's inbox?
//!
//! Pure. What the person says counts before what their tenant says, and that before what the type says; within one of them the pattern
//! that says most about the type: the type itself, else the longest beginning. Nobody keeps a mandatory type out, or in. What nobody has
//! said anything about stands in the inbox.

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// What a type says about inboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeSays {
    /// It stands in every inbox.
    Always,
    /// It stands in none.
    Never,
    /// It stands in the inbox of whoever has said nothing.
    On,
    /// It does not.
    Off,
}

impl TypeSays {
    /// By its name in SQL.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    fn is_mandatory(self) -> bool {
        matches!(self, Self::Always | Self::Never)
    }

    fn is_on(self) -> bool {
        matches!(self, Self::Always | Self::On)
    }
}

/// Which types stand in an inbox: of the patterns that are for a type the first one decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxRules {
    /// Whole types, with their place among the patterns.
    exact: HashMap<String, (usize, bool)>,
    /// Beginnings of types, in the order of their places.
    beginnings: Vec<(String, usize, bool)>,
    /// All of it as a text.
    text: String,
}

/// What preferences say about one pattern.
#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    inbox: Option<bool>,
}

impl InboxRules {
    /// Of the types that a person and their tenant name (the member `types` of their preferences, JSON), and of the types that say
    /// something themselves.
    pub fn of<'a>(
        person: Option<&str>,
        tenant: Option<&str>,
        types: impl Iterator<Item = (&'a str, TypeSays)> + Clone,
    ) -> Self {
        let mut rules = Self::default();
        types
            .clone()
            .filter(|(_, says)| says.is_mandatory())
            .for_each(|(kind, says)| rules.add(kind, says.is_on()));
        for said in [person, tenant].into_iter().flatten() {
            let mut wishes: Vec<(String, bool)> = read(said);
            wishes.sort_by_key(|(pattern, _)| std::cmp::Reverse((!pattern.ends_with('*'), pattern.len())));
            wishes.iter().for_each(|(pattern, on)| rules.add(pattern, *on));
        }
        types.filter(|(_, says)| !says.is_mandatory()).for_each(|(kind, says)| rules.add(kind, says.is_on()));
        let exact = rules.exact.values().map(|(_, on)| on);
        if exact.chain(rules.beginnings.iter().map(|(_, _, on)| on)).all(|on| *on) {
            // Nothing is kept out.
            return Self::default();
        }
        rules
    }

    fn add(&mut self, pattern: &str, on: bool) {
        let place = self.exact.len() + self.beginnings.len();
        match pattern.strip_suffix('*') {
            Some(beginning) => self.beginnings.push((beginning.to_owned(), place, on)),
            // What was said before counts.
            None if self.exact.contains_key(pattern) => return,
            None => drop(self.exact.insert(pattern.to_owned(), (place, on))),
        }
        self.text.push_str(pattern);
        self.text.push_str(if on { " on\n" } else { " off\n" });
    }

    /// Whether notices of a type stand in the inbox.
    pub fn has(&self, kind: &str) -> bool {
        let exact = self.exact.get(kind).copied();
        let beginning = self.beginnings.iter().find(|(beginning, _, _)| kind.starts_with(beginning.as_str()));
        let beginning = beginning.map(|(_, place, on)| (*place, *on));
        [exact, beginning].into_iter().flatten().min().is_none_or(|(_, on)| on)
    }

    /// Two inboxes with the same text have the same rules; empty: nothing is kept out.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What cannot be read says nothing: somebody rather gets too much than nothing at all.
fn read(types: &str) -> Vec<(String, bool)> {
    let wishes: BTreeMap<String, Wish> = serde_json::from_str(types).unwrap_or_else(|error| {
        tracing::warn!(%error, "stored preferences cannot be read");
        BTreeMap::new()
    });
    wishes.into_iter().filter_map(|(pattern, wish)| Some((pattern, wish.inbox?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(person: &str, tenant: &str, types: &[(&str, TypeSays)]) -> InboxRules {
        InboxRules::of(Some(person), Some(tenant), types.iter().copied())
    }

    #[test]
    fn a_person_counts_before_their_tenant_and_that_before_the_type() {
        let rules = rules(
            r#"{"a.*":{"inbox":false},"a.1":{"inbox":true,"toast":false},"t.*":{"toast":false}}"#,
            r#"{"a.2":{"inbox":true},"b*":{"inbox":false},"b.1":{"inbox":true},"must":{"inbox":false}}"#,
            &[
                ("must", TypeSays::Always),
                ("hidden", TypeSays::Never),
                ("b.2", TypeSays::On),
                ("c", TypeSays::Off),
            ],
        );
        let expected = [
            ("a.1", true),
            ("a.2", false),
            ("a", true),
            ("b.1", true),
            ("b.2", false),
            ("b", false),
            ("c", false),
            ("c.1", true),
            ("must", true),
            ("hidden", false),
            ("t.1", true),
        ];
        for (kind, on) in expected {
            assert_eq!(rules.has(kind), on, "{kind}");
        }
    }

    #[test]
    fn where_nothing_is_kept_out_there_are_no_rules() {
        let none = [
            rules("{}", "{}", &[]),
            rules(r#"{"a":{"inbox":true}}"#, "{}", &[("b", TypeSays::On), ("c", TypeSays::Always)]),
            rules("[", "{}", &[]),
            InboxRules::of(None, None, std::iter::empty()),
        ];
        for rules in none {
            assert_eq!((rules.text(), rules.has("a")), ("", true));
        }
        let (one, other) =
            (rules(r#"{"a":{"inbox":false}}"#, "{}", &[]), rules("{}", r#"{"a":{"inbox":false}}"#, &[]));
        assert_eq!(one.text(), other.text(), "whoever said it");
    }
}
