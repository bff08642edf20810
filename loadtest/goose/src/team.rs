//! Who uses Carillon, and which events does each kind of team send, how often and to whom?

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The person of the back office whose listening checks the team's events.
pub(crate) const LISTENER: &str = "back-office";
/// A channel that nobody is in.
const NOWHERE: &str = "elsewhere:nobody";

/// One kind of team.
#[derive(Debug)]
pub(crate) struct Team {
    /// Part of its tenant's name.
    pub(crate) name: &'static str,
    /// Roles that are addressed; the listener has them all.
    pub(crate) roles: &'static [&'static str],
    /// Channels that are addressed; the listener joins them all.
    pub(crate) channels: &'static [&'static str],
    /// What it sends.
    mix: &'static [Kind],
}

/// One type of event.
#[derive(Debug)]
struct Kind {
    /// CloudEvents type.
    name: &'static str,
    source: &'static str,
    to: To,
    /// How often, among the team's others.
    weight: u32,
    priority: Option<&'static str>,
    /// What a person would read.
    text: &'static str,
}

/// Whom an event is for. Whatever it is, the team's listener is among them.
#[derive(Debug, Clone, Copy)]
enum To {
    Everybody,
    Channel(&'static str),
    Role(&'static str),
    /// The listener, as a user.
    Listener,
    /// A role and a channel: an event for several of a connection's channels comes once.
    Both(&'static str, &'static str),
}

const fn kind(weight: u32, name: &'static str, source: &'static str, to: To, text: &'static str) -> Kind {
    Kind { name, source, to, weight, priority: None, text }
}

const fn urgent(weight: u32, name: &'static str, source: &'static str, to: To, text: &'static str) -> Kind {
    Kind { name, source, to, weight, priority: Some("urgent"), text }
}

use To::{Both, Channel, Everybody, Listener, Role};

/// The five kinds.
pub(crate) static TEAMS: [Team; 5] = [
    Team {
        name: "appointments",
        roles: &["admin", "staff"],
        channels: &[],
        mix: &[
            kind(6, "appointment.created", "telegram", Everybody, "Passport photo, Tuesday 10:30"),
            kind(4, "appointment.confirmed", "admin_panel", Everybody, "Confirmed by the studio"),
            kind(2, "appointment.updated", "admin_panel", Listener, "Moved to Wednesday 09:00"),
            kind(1, "appointment.cancelled", "telegram", Both("staff", "tenant"), "The client is ill"),
            kind(5, "bot.message.received", "telegram", Everybody, "Do you have time on Saturday?"),
            kind(3, "bot.command.executed", "telegram", Everybody, "/book"),
            kind(2, "slot.created", "api", Role("staff"), "Daylight room, Friday 15:00"),
            kind(1, "user.login", "system", Role("admin"), "Front desk"),
        ],
    },
    Team {
        name: "crm",
        roles: &["owner", "staff", "reception"],
        channels: &["branch:harbour", "branch:garden", "service:massage"],
        mix: &[
            kind(
                5,
                "appointment.created",
                "backend",
                Both("reception", "branch:harbour"),
                "Massage with Elif",
            ),
            kind(4, "appointment.completed", "backend", Channel("branch:garden"), "Facial, 60 minutes"),
            kind(4, "client.checked_in", "front-desk", Channel("branch:harbour"), "Waiting at the desk"),
            kind(3, "staff.status_changed", "rota", Role("reception"), "Pavel is on break"),
            kind(2, "appointment.reminder", "backend", Channel("service:massage"), "Tomorrow at noon"),
            urgent(1, "payment.alert", "backend", Role("owner"), "A card was declined twice"),
            urgent(1, "inventory.alert", "backend", Both("owner", "branch:garden"), "Massage oil is low"),
            kind(1, "announcement.published", "backend", Everybody, "Team meeting at 17:00"),
        ],
    },
    Team {
        name: "leads",
        roles: &["ADMIN", "EMPLOYEE"],
        channels: &["contact:123", "campaign:7", "lead:42"],
        mix: &[
            kind(6, "message.received", "app", Channel("contact:123"), "Is the offer still open?"),
            kind(5, "message.sent", "app", Channel("contact:123"), "It is, until Friday"),
            kind(4, "message.status_changed", "app", Both("EMPLOYEE", "contact:123"), "delivered"),
            kind(3, "campaign.progress", "app", Channel("campaign:7"), "450 of 1,000 sent"),
            kind(2, "lead.updated", "app", Channel("lead:42"), "Qualified"),
            kind(1, "lead.assigned", "app", Listener, "Lead 42 is yours"),
            kind(1, "dashboard.stats", "app", Everybody, "31 open leads"),
            urgent(1, "system.alert", "app", Role("ADMIN"), "The provider answers slowly"),
        ],
    },
    Team {
        name: "shop",
        roles: &["super_admin"],
        channels: &["merchant_X", "admin_dashboard", "order_X"],
        mix: &[
            kind(5, "bot_message", "bot", Channel("merchant_X"), "Two of the blue ones, please"),
            kind(4, "new_order", "bot", Both("super_admin", "merchant_X"), "Order 1044, 59.90"),
            kind(4, "order_status_changed", "dashboard", Channel("order_X"), "packed"),
            kind(2, "command_executed", "bot", Channel("merchant_X"), "/catalogue"),
            kind(2, "inventory_updated", "dashboard", Channel("admin_dashboard"), "12 left"),
            kind(1, "bot_status", "bot", Everybody, "connected"),
            urgent(1, "error", "bot", Channel("admin_dashboard"), "The phone is offline"),
        ],
    },
    Team {
        name: "school",
        roles: &["director", "principal", "teacher", "parent"],
        channels: &["class:7b"],
        mix: &[
            kind(4, "fee_assignment_created", "finance", Role("parent"), "Trip to the coast"),
            kind(3, "payment_received", "finance", Both("director", "class:7b"), "35.00 for the trip"),
            urgent(2, "approval_request_pending", "workflow", Role("principal"), "A substitute is needed"),
            kind(2, "school_context_switched", "app", Listener, "Now at the northern school"),
            kind(2, "user_login", "app", Role("teacher"), "From the staff room"),
            kind(1, "system_maintenance", "app", Everybody, "Tonight from ten to eleven"),
        ],
    },
];

impl Team {
    /// One event as the publish API takes it, with the moment it was made (milliseconds since 1970).
    pub(crate) fn event(&self) -> Value {
        let all = self.mix.iter().map(|kind| kind.weight).sum();
        let mut left = fastrand::u32(0..all);
        let mut chosen = &self.mix[0];
        for kind in self.mix {
            chosen = kind;
            if left < kind.weight {
                break;
            }
            left -= kind.weight;
        }
        chosen.event()
    }
}

impl Kind {
    fn event(&self) -> Value {
        let mut event = json!({
            "type": self.name, "source": self.source, "data": {"stamp": now_ms(), "text": self.text},
        });
        if let Some(priority) = self.priority {
            event["priority"] = priority.into();
        }
        match self.to {
            Everybody => event["tenant_wide"] = true.into(),
            Channel(channel) => event["channels"] = json!([channel]),
            Role(role) => event["roles"] = json!([role]),
            Listener => event["users"] = json!([LISTENER]),
            Both(role, channel) => {
                event["roles"] = json!([role]);
                event["channels"] = json!([channel]);
            }
        }
        event
    }
}

/// The same event, for nobody: its number is a hole for every listener.
pub(crate) fn sent_elsewhere(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        ["tenant_wide", "roles", "users"].into_iter().for_each(|target| _ = event.remove(target));
        event.insert("channels".into(), json!([NOWHERE]));
    }
    event
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use carillon_protocol::{Channel as Checked, TenantId};

    use super::*;

    #[test]
    fn every_event_reaches_the_team_s_listener() {
        for team in &TEAMS {
            for kind in team.mix {
                let (role, channel) = match kind.to {
                    Role(role) => (Some(role), None),
                    Channel(channel) => (None, Some(channel)),
                    Both(role, channel) => (Some(role), Some(channel)),
                    Everybody | Listener => (None, None),
                };
                assert!(role.is_none_or(|role| team.roles.contains(&role)), "{kind:?}");
                let reached = |channel| team.channels.contains(&channel) || channel == "tenant";
                assert!(channel.is_none_or(reached), "{kind:?}");
                assert!(!kind.text.is_empty() && kind.weight > 0);
            }
        }
    }

    #[test]
    fn names_are_names_of_the_contract() {
        for team in &TEAMS {
            assert!(TenantId::new(format!("goose-19a5e6f2b10-{}", team.name)).is_ok(), "{}", team.name);
            assert!(
                team.channels.iter().all(|channel| Checked::new(*channel).is_ok()),
                "{:?}",
                team.channels
            );
        }
        assert!(Checked::new(NOWHERE).is_ok());
    }

    #[test]
    fn the_whole_mix_is_sent() {
        for team in &TEAMS {
            let sent: BTreeSet<String> = (0..2_000).map(|_| team.event()["type"].to_string()).collect();
            let mix: BTreeSet<String> = team.mix.iter().map(|kind| format!("\"{}\"", kind.name)).collect();
            assert_eq!(sent, mix, "{}", team.name);
        }
    }

    #[test]
    fn an_event_sent_elsewhere_keeps_nothing_of_its_targets() {
        let event = sent_elsewhere(json!({"type": "x", "tenant_wide": true, "roles": ["a"], "users": ["b"]}));
        assert_eq!(event, json!({"type": "x", "channels": [NOWHERE]}));
    }
}
