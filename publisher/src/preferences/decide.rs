//! Would this person get something of this type now, by which means, and why not?
//!
//! For each means by itself: what a person says counts before what their tenant says, that before what the type says; within one of
//! them the pattern that says more about the type. What nobody has said anything about comes. Mandatory types come as their type says.
//! When it is quiet nothing is shown and nothing goes on, but what is critical; the inbox has it whatever the hour is.

use super::document::Document;
use super::quiet::{self, Hours, Quiet};
use super::zone::Zone;
use crate::types::{Definition, Means, TypeSet};
use carillon_protocol::TypePattern;
use carillon_protocol::event::Priority;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// All that is said about what a person gets.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// By themselves.
    pub person: Document,
    /// By their tenant, for whoever has said nothing.
    pub tenant: Document,
}

/// A way in which something gets to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is in the inbox and counted.
    Inbox,
    /// A page shows it as it happens.
    Toast,
    /// The browser shows it on the desktop.
    Desktop,
    /// It goes on to the tenant's webhooks for people.
    Webhooks,
}

/// Who said that somebody gets something, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The type cannot be switched off.
    Mandatory,
    /// Their own preference for this pattern.
    Person(String),
    /// Their tenant's default for this pattern.
    Tenant(String),
    /// The type's default.
    Type,
    /// Nobody.
    Nobody,
}

/// Whether it comes in a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is switched on.
    pub on: bool,
    /// By whom.
    pub because: Because,
    /// It is on, and held because it is quiet.
    pub held: bool,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Toast, Self::Desktop, Self::Webhooks];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Toast => "toast",
            Self::Desktop => "desktop",
            Self::Webhooks => "webhooks",
        }
    }

    fn of(self, means: &Means) -> Option<bool> {
        match self {
            Self::Inbox => means.inbox,
            Self::Toast => means.toast,
            Self::Desktop => means.desktop,
            Self::Webhooks => means.webhooks,
        }
    }
}

impl Because {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Mandatory => "the type is mandatory: nobody can switch it off".to_owned(),
            Self::Person(pattern) => format!("their own preference for {pattern} says so"),
            Self::Tenant(pattern) => format!("the tenant's default for {pattern} says so"),
            Self::Type => "the type's default says so".to_owned(),
            Self::Nobody => "nobody has said anything about it".to_owned(),
        }
    }
}

impl Settings {
    /// The hours in which it is quiet for them: ranges and zone are each theirs, else their tenant's; the zone else UTC.
    pub fn hours(&self) -> Hours {
        let both = [&self.person, &self.tenant].map(|document| document.quiet_hours.as_ref());
        let zone = both.iter().flatten().find_map(|hours| hours.zone.as_deref());
        let ranges = both.iter().flatten().find_map(|hours| hours.ranges.as_deref());
        let zone = zone.and_then(Zone::named).unwrap_or_else(Zone::utc);
        Hours::new(zone, ranges.unwrap_or_default())
    }

    /// How quiet it is for them.
    pub fn quiet(&self, now: Timestamp) -> Quiet {
        quiet::at(&self.hours(), self.person.do_not_disturb_until, now)
    }

    /// In which language they read.
    pub fn locale(&self) -> Option<&str> {
        self.person.locale.as_deref().or(self.tenant.locale.as_deref())
    }

    /// Whether something of this type is switched on, and by whom.
    fn is_on(&self, way: Way, kind: &str, says: Option<&Definition>) -> (bool, Because) {
        let default = says.and_then(|says| way.of(&says.defaults));
        if says.is_some_and(|says| says.mandatory) {
            return (default.unwrap_or(true), Because::Mandatory);
        }
        if let Some((pattern, on)) = said(&self.person.types, way, kind) {
            return (on, Because::Person(pattern.to_owned()));
        }
        if let Some((pattern, on)) = said(&self.tenant.types, way, kind) {
            return (on, Because::Tenant(pattern.to_owned()));
        }
        match default {
            Some(on) => (on, Because::Type),
            None => (true, Because::Nobody),
        }
    }

    /// Whether something of this type and priority comes to them in a way.
    pub fn verdict(
        &self,
        way: Way,
        kind: &str,
        says: Option<&Definition>,
        priority: Priority,
        quiet: Quiet,
    ) -> Verdict {
        let (on, because) = self.is_on(way, kind, says);
        let held = on && way != Way::Inbox && quiet.now && priority != Priority::Critical;
        Verdict { on, because, held }
    }

    /// Which types stand in their inbox, as a list of which the first pattern that is for a type decides; none: it stands there.
    /// Empty when nothing keeps anything out, so that most inboxes need no look at their notices' types.
    pub fn inbox_rules(&self, types: &TypeSet) -> Vec<(TypePattern, bool)> {
        let mut rules = Vec::new();
        let mut add =
            |pattern: &str, on: bool| rules.extend(TypePattern::new(pattern).ok().map(|it| (it, on)));
        for (kind, says) in types.all().filter(|(_, says)| says.mandatory) {
            add(kind, says.defaults.inbox.unwrap_or(true));
        }
        for said in [&self.person.types, &self.tenant.types] {
            let mut patterns: Vec<(&str, bool)> =
                said.iter().filter_map(|(pattern, means)| Some((pattern.as_str(), means.inbox?))).collect();
            patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(weight(pattern)));
            patterns.into_iter().for_each(|(pattern, on)| add(pattern, on));
        }
        for (kind, says) in types.all() {
            if let Some(on) = says.defaults.inbox {
                add(kind, on);
            }
        }
        if rules.iter().all(|(_, on)| *on) { Vec::new() } else { rules }
    }

    /// Whether notices of this type stand in their inbox.
    pub fn is_in_inbox(&self, kind: &str, says: Option<&Definition>) -> bool {
        self.is_on(Way::Inbox, kind, says).0
    }
}

/// What the pattern that says most about a type says about a way.
fn said<'a>(types: &'a BTreeMap<String, Means>, way: Way, kind: &str) -> Option<(&'a str, bool)> {
    let patterns = types.iter().filter_map(|(pattern, means)| {
        let on = way.of(means)?;
        let beginning = pattern.strip_suffix('*');
        let matches = beginning.map_or(pattern == kind, |beginning| kind.starts_with(beginning));
        matches.then_some((weight(pattern), pattern.as_str(), on))
    });
    patterns.max_by_key(|(says, _, _)| *says).map(|(_, pattern, on)| (pattern, on))
}

/// How much a pattern says about a type: the type itself says more than any beginning of it.
fn weight(pattern: &str) -> (bool, usize) {
    (!pattern.ends_with('*'), pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preferences::document::Of;
    use crate::types::set::OwnTypes;
    use carillon_backplane::log::{StoredType, StoredTypes};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn settings(person: Value, tenant: Value) -> Settings {
        Settings {
            person: Document::read(person, Of::Person).unwrap(),
            tenant: Document::read(tenant, Of::Tenant).unwrap(),
        }
    }

    fn says(body: Value) -> Definition {
        Definition::read(body).unwrap()
    }

    const LOUD: Quiet = Quiet { now: false, until: None, next_change: None };
    const QUIET: Quiet = Quiet { now: true, until: None, next_change: None };

    #[test]
    fn a_person_counts_before_their_tenant_and_that_before_the_type_for_each_means_by_itself() {
        let settings = settings(
            json!({"types": {"order.*": {"toast": false}, "order.paid": {"desktop": true}, "*": {"webhooks": false}}}),
            json!({"types": {"order.paid": {"toast": true, "desktop": false, "inbox": false}, "order*": {"webhooks": true}}}),
        );
        let typed = says(json!({"defaults": {"inbox": true, "toast": true}}));
        let verdict = |way, kind| settings.verdict(way, kind, Some(&typed), Priority::Normal, LOUD);
        let expected = [
            (Way::Inbox, false, Because::Tenant("order.paid".into())),
            (Way::Toast, false, Because::Person("order.*".into())),
            (Way::Desktop, true, Because::Person("order.paid".into())),
            (Way::Webhooks, false, Because::Person("*".into())),
        ];
        for (way, on, because) in expected {
            assert_eq!(verdict(way, "order.paid"), Verdict { on, because, held: false }, "{way:?}");
        }
        assert_eq!(verdict(Way::Inbox, "order.sent").because, Because::Type);
        assert_eq!(verdict(Way::Desktop, "shift.moved").because, Because::Nobody);
        assert!(verdict(Way::Desktop, "shift.moved").on, "what nobody says anything about comes");
        assert_eq!(verdict(Way::Toast, "orders").because, Because::Type, "order.* is not for it");
    }

    #[test]
    fn the_pattern_that_says_more_counts_and_the_type_itself_most() {
        let settings = settings(
            json!({"types": {"*": {"inbox": false}, "a.*": {"inbox": true}, "a.b.*": {"inbox": false}, "a.b.c": {"inbox": true}}}),
            json!({}),
        );
        for (kind, on) in [("x", false), ("a.x", true), ("a.b.x", false), ("a.b.c", true), ("a.b.cd", false)]
        {
            assert_eq!(settings.is_in_inbox(kind, None), on, "{kind}");
        }
    }

    /// The list and the verdict are one rule.
    #[test]
    fn the_first_pattern_of_an_inboxs_rules_says_what_the_verdict_says() {
        let mut stored = StoredTypes::default();
        for (kind, says) in [
            ("must", json!({"mandatory": true})),
            ("never", json!({"mandatory": true, "defaults": {"inbox": false}})),
            ("a.typed", json!({"defaults": {"inbox": false}})),
            ("b.typed", json!({"defaults": {"inbox": false}})),
            ("bare", json!({})),
        ] {
            let definition = serde_json::to_string(&super::tests::says(says)).unwrap();
            stored.types.push(StoredType { kind: kind.into(), definition });
        }
        let types = TypeSet::new(Some(Arc::new(OwnTypes::stored(&stored))), None);
        let settings = settings(
            json!({"types": {"a.*": {"inbox": true}, "a.x*": {"inbox": false}, "must": {"inbox": false}, "c*": {"toast": false}}}),
            json!({"types": {"*": {"inbox": false}, "a.x1": {"inbox": true}, "b*": {"inbox": true}}}),
        );
        let rules = settings.inbox_rules(&types);
        for kind in ["must", "never", "a", "a.typed", "a.x1", "a.y", "b.typed", "bare", "c", "z", "a.x"] {
            let says = types.get(kind).and_then(|found| found.definition());
            let first = rules.iter().find(|(pattern, _)| pattern.matches(kind)).is_none_or(|(_, on)| *on);
            assert_eq!(first, settings.is_in_inbox(kind, says), "{kind}");
        }
        assert!(Settings::default().inbox_rules(&TypeSet::default()).is_empty());
    }

    #[test]
    fn nobody_switches_off_what_is_mandatory_and_it_keeps_quiet_nevertheless() {
        let settings = settings(
            json!({"types": {"*": {"inbox": false, "toast": false, "desktop": true}}}),
            json!({"types": {"*": {"inbox": false}}}),
        );
        let must = says(json!({"mandatory": true, "defaults": {"desktop": false}}));
        let verdict = |way, quiet| settings.verdict(way, "a", Some(&must), Priority::High, quiet);
        assert!(verdict(Way::Inbox, QUIET).on && !verdict(Way::Inbox, QUIET).held);
        assert!(verdict(Way::Toast, LOUD).on && verdict(Way::Toast, QUIET).held);
        assert!(!verdict(Way::Desktop, LOUD).on, "as its type says");
        assert_eq!(verdict(Way::Toast, LOUD).because, Because::Mandatory);
    }

    #[test]
    fn when_it_is_quiet_only_the_inbox_gets_something_and_what_is_critical_passes() {
        let settings = Settings::default();
        for way in Way::ALL {
            let held = settings.verdict(way, "a", None, Priority::Urgent, QUIET).held;
            assert_eq!(held, way != Way::Inbox, "{way:?}");
            assert!(!settings.verdict(way, "a", None, Priority::Critical, QUIET).held, "{way:?}");
        }
        let off = super::tests::settings(json!({"types": {"a": {"toast": false}}}), json!({}));
        assert!(!off.verdict(Way::Toast, "a", None, Priority::Normal, QUIET).held, "what is off is not held");
    }

    #[test]
    fn ranges_and_zone_are_each_theirs_or_their_tenants() {
        let night = json!([{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "22:00", "to": "07:00"}]);
        let tenant = json!({"quiet_hours": {"zone": "Europe/Berlin", "ranges": night}, "locale": "de"});
        let at: Timestamp = "2026-06-01T20:30:00Z".parse().unwrap();
        for (person, zone, quiet) in [
            (json!({}), "Europe/Berlin", true),
            (json!({"quiet_hours": {"zone": "America/New_York"}}), "America/New_York", false),
            (json!({"quiet_hours": {"ranges": []}}), "Europe/Berlin", false),
            (json!({"quiet_hours": {"zone": "Asia/Tokyo", "ranges": night}}), "Asia/Tokyo", true),
        ] {
            let settings = settings(person.clone(), tenant.clone());
            assert_eq!((settings.hours().zone(), settings.quiet(at).now), (zone, quiet), "{person}");
        }
        let nobody = settings(json!({"quiet_hours": {"ranges": night}}), json!({}));
        assert_eq!((nobody.hours().zone(), nobody.quiet(at).now), ("UTC", false), "a person without a zone");
        assert_eq!(settings(json!({}), tenant.clone()).locale(), Some("de"));
        assert_eq!(settings(json!({"locale": "fr"}), tenant).locale(), Some("fr"));
    }
}
