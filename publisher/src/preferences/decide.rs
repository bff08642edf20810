//! Would this person get something of this type now, by which means, and why not?
//!
//! For each means by itself: what a person says counts before what their tenant says, that before what the type says; within one of
//! them the pattern that says more about the type. What nobody has said anything about comes. Mandatory types come as their type says.
//! When it is quiet nothing is shown and nothing goes on, but what is critical; the inbox has it whatever the hour is.

use super::document::Document;
use super::quiet::{self, Hours, Quiet};
use super::zone::Zone;
use crate::types::{Definition, Means};
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
    use carillon_backplane::log::InboxRules;
    use serde_json::{Value, json};

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
            assert_eq!(settings.is_on(Way::Inbox, kind, None).0, on, "{kind}");
        }
    }

    /// What the inbox shows, and what the tester says of it, are one rule.
    #[test]
    fn what_stands_in_the_inbox_is_what_the_verdict_says() {
        let types = [
            ("must", json!({"mandatory": true})),
            ("never", json!({"mandatory": true, "defaults": {"inbox": false}})),
            ("a.typed", json!({"defaults": {"inbox": false}})),
            ("b.typed", json!({"defaults": {"inbox": false}})),
            ("c.typed", json!({"defaults": {"inbox": true}})),
        ]
        .map(|(kind, body)| (kind, super::tests::says(body)));
        let said = [
            json!({"a.*": {"inbox": true}, "a.x*": {"inbox": false}, "must": {"inbox": false}, "c*": {"toast": false}}),
            json!({"*": {"inbox": false}, "a.x1": {"inbox": true}, "b*": {"inbox": true}}),
        ];
        let [person, tenant] = said.each_ref().map(|types| types.to_string());
        let says = types.iter().filter_map(|(kind, says)| Some((*kind, says.inbox()?)));
        let rules = InboxRules::of(Some(&person), Some(&tenant), says);
        let [person, tenant] = said.map(|types| json!({"types": types}));
        let settings = settings(person, tenant);
        for kind in
            ["must", "never", "a", "a.typed", "a.x1", "a.y", "b.typed", "bare", "c", "c.typed", "z", "a.x"]
        {
            let typed = types.iter().find(|(named, _)| *named == kind).map(|(_, says)| says);
            let (verdict, _) = settings.is_on(Way::Inbox, kind, typed);
            assert_eq!(rules.has(kind), verdict, "{kind}");
        }
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
