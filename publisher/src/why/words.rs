//! How is the answer said?
//!
//! One sentence for the verdict, and at most two more for what else somebody should know. People and devices are called by their ids,
//! times are UTC.

use super::met::{By, Met};
use super::reach::{Got, Reach};
use super::sent::{Sent, State};
use super::verdict::{Case, Verdict, made_at};
use crate::preferences::Way;
use carillon_backplane::log::{TracedConnection, Untraced};
use carillon_protocol::{EventId, TenantId};
use jiff::Timestamp;

/// Names that are listed in a sentence.
const LISTED: usize = 4;

/// Of an event that the log does not have. Who may not see all of it is not told how far it reaches back.
pub fn of_missing(
    (tenant, id): (&TenantId, &EventId),
    verdict: Verdict,
    untraced: &Untraced,
    sees_all: bool,
) -> String {
    let reaches = match untraced.oldest {
        _ if !sees_all => return format!("No event {id} was published in {tenant}, or under another id."),
        Some(oldest) => format!("the log reaches back to {}", time(oldest)),
        None => "the log is empty".to_owned(),
    };
    match (verdict, untraced.was, made_at(id)) {
        (Verdict::PastRetention, Some((seq, at)), _) => {
            format!("{id} was committed at {} as number {seq}; the log has it no more: {reaches}.", time(at))
        }
        (Verdict::PastRetention, None, Some(made)) => {
            format!("The log of {tenant} has no event {id}, whose id was made at {}: {reaches}.", time(made))
        }
        _ => format!("No event {id} was published in {tenant}, or under another id: {reaches}."),
    }
}

impl Case<'_> {
    /// The answer in words.
    pub fn answer(&self, verdict: Verdict) -> String {
        let mut sentences = vec![self.sentence(verdict)];
        sentences.extend(self.reached_also(verdict));
        sentences.extend(self.quiet_also(verdict));
        sentences.extend(self.webhooks_also(verdict));
        sentences.truncate(3);
        sentences.join(" ")
    }

    /// Who did not get it: the person, or one device.
    fn whom(&self) -> String {
        match self.asked.device {
            Some(device) => format!("the device {device} of {}", self.asked.user),
            None => self.asked.user.to_string(),
        }
    }

    fn sentence(&self, verdict: Verdict) -> String {
        let (user, whom, at) = (self.asked.user, self.whom(), time(self.event.at));
        let notice = self.notice;
        let at_time = |at: Option<Timestamp>| at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
        let until =
            |end: Option<Timestamp>| end.map(|end| format!(" until {}", time(end))).unwrap_or_default();
        match verdict {
            Verdict::NeverPublished | Verdict::PastRetention => format!("The log does not have {}.", self.id),
            Verdict::Retracted => {
                let taken = notice.and_then(|notice| notice.retracted_at);
                format!("The notice was taken back{}: it is in no inbox any more.", at_time(taken))
            }
            Verdict::Expired => {
                let end = notice.and_then(|notice| notice.expires_at);
                format!("The notice expired{}: it is in no inbox any more.", at_time(end))
            }
            Verdict::NotAddressed => {
                format!(
                    "It was not sent to {user}: it went to {}, and none of that is theirs.",
                    self.channels()
                )
            }
            Verdict::Forbidden => {
                format!("It went to {}, where {user} may not be: {}.", self.channels(), self.refusal())
            }
            Verdict::NotSubscribed if self.met.iter().any(|met| met.by.meets()) => {
                format!("It went to {}, and {whom} has subscribed to none of that.", self.channels())
            }
            Verdict::NotSubscribed => {
                let why = self.permission();
                format!(
                    "It went to {}, where {user} may be ({why}), and no connection of theirs is.",
                    self.channels()
                )
            }
            Verdict::Excepted => format!(
                "It was published by {user}'s own connection {}, which asked not to get it back (X-Carillon-Connection).",
                self.excepted().unwrap_or_default()
            ),
            Verdict::Muted => {
                let why = self.shown.by(Way::Inbox).because.text();
                format!("Notices of the type {} do not stand in {user}'s inbox: {why}.", self.event.kind)
            }
            Verdict::BeforeFirstSeen => {
                format!(
                    "{user} was seen for the first time after it: what went to many before is not in their inbox."
                )
            }
            Verdict::Cleared => format!("{user} emptied their inbox after it."),
            Verdict::Deleted => format!("{user} deleted it from their inbox."),
            Verdict::Snoozed => {
                let end = notice.and_then(|notice| notice.snoozed_until);
                format!("{user} has put it off{}; then it is in their inbox again, unread.", until(end))
            }
            Verdict::Acked => match notice.and_then(|notice| notice.acked_at) {
                Some(acked) => format!("{user} took note of it at {}.", time(acked)),
                None => format!("It reached {user}: {} acknowledged it.", self.devices(Got::Acked)),
            },
            Verdict::Read => format!("{user} has read it."),
            Verdict::Archived => format!("{user} has archived it."),
            Verdict::DeviceUnknown => {
                format!("No device {} of {user} has ever been seen.", self.asked.device.unwrap_or_default())
            }
            Verdict::NeverConnected => {
                format!("{user} has never been connected: no device and no connection of theirs is known.")
            }
            Verdict::WebhookFailing => format!("{whom} was not connected at {at}, and {}.", self.failing()),
            Verdict::Offline => {
                format!("{whom} was not connected at {at}, when it was committed{}.", self.away())
            }
            Verdict::DeviceBehind => format!(
                "It has not reached {}: {whom} was connected at {at}, and their cursor is before it.",
                self.devices(Got::Behind)
            ),
            Verdict::NoReceipt => format!(
                "{whom} was connected at {at} and should have got it; the client names no device, so nothing says that it did."
            ),
            Verdict::QuietHours => format!(
                "It reached {whom} and did not ring: it was quiet for {user}{} (their clock in {} showed {}), and only what is critical passes.",
                until(self.shown.quiet.until),
                self.shown.zone,
                self.shown.wall_clock
            ),
            Verdict::NotShown => {
                let why = self.shown.by(Way::Toast).because.text();
                format!(
                    "It reached {whom} and did not ring: toast and desktop are off for {}: {why}.",
                    self.event.kind
                )
            }
            Verdict::Delivered => {
                format!("It reached {user}: {} has it and has not acknowledged it.", self.devices_with_it())
            }
        }
    }

    /// Whether devices have it all the same, or some have not.
    fn reached_also(&self, verdict: Verdict) -> Option<String> {
        let is_told = matches!(
            verdict,
            Verdict::Acked
                | Verdict::Delivered
                | Verdict::QuietHours
                | Verdict::NotShown
                | Verdict::DeviceBehind
        );
        let missing: Vec<&Reach> =
            self.reach.iter().filter(|reach| matches!(reach.got, Got::Behind | Got::Offline)).collect();
        if is_told && verdict != Verdict::DeviceBehind && !missing.is_empty() {
            return Some(format!(
                "It has not reached {}.",
                names(missing.iter().map(|it| &*it.device.device))
            ));
        }
        let has_it = self.has_it().next().is_some();
        (!is_told && has_it).then(|| format!("The event itself reached {}.", self.devices_with_it()))
    }

    fn quiet_also(&self, verdict: Verdict) -> Option<String> {
        let is_held = self.notice.is_some() && self.shown.is_held() && verdict != Verdict::QuietHours;
        let is_about_it = !matches!(
            verdict,
            Verdict::Retracted | Verdict::Muted | Verdict::NotAddressed | Verdict::Forbidden
        );
        (is_held && is_about_it).then(|| "It was quiet for them then, so nothing rang.".to_owned())
    }

    fn webhooks_also(&self, verdict: Verdict) -> Option<String> {
        let fails = self.sent.iter().any(|sent| sent.state.fails());
        (fails && verdict != Verdict::WebhookFailing).then(|| {
            let failing = self.failing();
            let mut letters = failing.chars();
            let first: String =
                letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
            format!("{first}{}.", letters.as_str())
        })
    }

    fn channels(&self) -> String {
        names(self.met.iter().map(|met| met.channel.as_str()))
    }

    fn devices(&self, wanted: Got) -> String {
        names(self.reach.iter().filter(|reach| reach.got == wanted).map(|reach| &*reach.device.device))
    }

    fn devices_with_it(&self) -> String {
        names(self.has_it().map(|reach| &*reach.device.device))
    }

    fn refusal(&self) -> String {
        let refused = self.met.iter().find(|met| met.by == By::Refused);
        match refused {
            Some(Met { channel, pattern: Some(pattern), source, .. }) => {
                let whose = if *source == Some("tenant") { "of the tenant" } else { "of the installation" };
                format!(
                    "the rule {pattern} {whose} is for {channel} and names neither them nor a role of theirs"
                )
            }
            _ => "no rule is for that".to_owned(),
        }
    }

    fn permission(&self) -> String {
        match self.met.iter().find(|met| met.by.may_be_in()) {
            Some(Met { by: By::Rule, pattern: Some(pattern), .. }) => format!("the rule {pattern} lets them"),
            Some(Met { by: By::Ask, pattern: Some(pattern), .. }) => {
                format!("the rule {pattern} leaves it to the application")
            }
            _ => "their token opens it".to_owned(),
        }
    }

    /// When they were connected before and after.
    fn away(&self) -> String {
        let at = self.event.at;
        let before = self.person.connections.iter().filter_map(|it| Some((it, it.closed.as_ref()?)));
        let before = before.filter(|(_, (closed, _))| *closed <= at).max_by_key(|(_, (closed, _))| *closed);
        let after = self.person.connections.iter().filter(|it| it.opened_at > at);
        let after = after.min_by_key(|it| it.opened_at);
        let left = before.map(|(_, (closed, reason))| {
            format!("; the last connection ended at {} ({reason})", time(*closed))
        });
        let came: Option<String> = after.map(|TracedConnection { opened_at, device, .. }| match device {
            Some(device) => format!("; {device} came back at {} and has not caught up", time(*opened_at)),
            None => format!(
                "; a client without a device's name came at {}, and nothing says what it caught up with",
                time(*opened_at)
            ),
        });
        let waits = came.is_none().then(|| "; they get it when they come back".to_owned());
        [left, came, waits].into_iter().flatten().collect()
    }

    fn failing(&self) -> String {
        match self.sent.iter().find(|sent| sent.state.fails()) {
            Some(Sent { webhook, state: State::Failed(failed) }) => {
                let then = match failed.next_at {
                    Some(next) => format!("it is tried again at {}", time(next)),
                    None => "it is not tried again by itself".to_owned(),
                };
                let times = if failed.failures == 1 { "once" } else { &format!("{} times", failed.failures) };
                format!("the webhook {webhook} failed {times}; {then}")
            }
            Some(Sent { webhook, state: State::Disabled(reason) }) => {
                format!("the webhook {webhook} is disabled ({reason})")
            }
            _ => "no webhook fails".to_owned(),
        }
    }
}

/// In UTC, to the second.
pub fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Some names, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let more = all.len().saturating_sub(LISTED);
    let listed = all.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
