//! Which facts stand behind the answer?

use super::gather::MOST;
use super::shapes::{Fact, Is};
use crate::preferences::{Verdict, Way};
use crate::why::met::{By, Met};
use crate::why::reach::{Reach, was_open};
use crate::why::sent::{Sent, State};
use crate::why::verdict::{Case, made_at};
use crate::why::words::time;
use carillon_backplane::log::{TracedConnection, TracedNotice, Untraced};
use carillon_protocol::{Epoch, EventId};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Of an event that the log does not have.
pub(super) fn missing(id: &EventId, answer: &str, untraced: &Untraced, sees_all: bool) -> Fact {
    let was = untraced.was.map(|(seq, at)| json!({"seq": seq, "stored_at": at.to_string()}));
    let data = json!({
        "id": id,
        "oldest": untraced.oldest.filter(|_| sees_all).map(|at| at.to_string()),
        "was": was,
        "made": made_at(id).map(|at| at.to_string()),
    });
    fact("log", Is::No, answer.to_owned(), data)
}

/// All of an event that the log has, in the order of its way. People who ask about themselves are not told what is others' or the
/// installation's: another's connection, nodes, webhooks.
pub(super) fn all(case: &Case<'_>, epoch: &Epoch, sees_all: bool) -> Vec<Fact> {
    let mut facts = vec![log(case, epoch)];
    facts.extend(case.notice.map(|notice| standing(case, notice)));
    facts.extend(case.met.iter().map(channel));
    let except = case.event.except.as_ref().filter(|_| sees_all || case.excepted().is_some());
    facts.extend(except.map(|connection| {
        let is_theirs = case.excepted().is_some();
        let words = match is_theirs {
            true => format!("their connection {connection} asked not to get it back"),
            false => format!(
                "the connection {connection}, which is not theirs as far as known, asked not to get it back"
            ),
        };
        fact("except", Is::from(!is_theirs), words, json!({"connection": connection, "theirs": is_theirs}))
    }));
    facts.push(sessions(case, sees_all));
    facts.extend(case.reach.iter().map(|reach| device(case, reach)));
    facts.extend(case.person.more_devices.then(|| {
        let words = format!("they have more than {MOST} devices; those seen last are told");
        fact("devices", Is::Unknown, words, json!({"most": MOST}))
    }));
    facts.extend(activity(case));
    facts.push(preferences(case));
    facts.extend(case.notice.filter(|notice| sees_all && !notice.steps.is_empty()).map(escalation));
    facts.extend(case.sent.iter().map(webhook));
    facts
}

fn fact(code: &'static str, is: Is, words: String, data: Value) -> Fact {
    Fact { code, is, words, data }
}

fn moment(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}

fn log(case: &Case<'_>, epoch: &Epoch) -> Fact {
    let event = case.event;
    let words = format!("committed at {} as number {}", time(event.at), event.seq);
    let data = json!({
        "id": case.id, "seq": event.seq, "epoch": epoch, "time": event.time.to_string(), "stored_at": event.at.to_string(),
        "type": event.kind, "source": event.source, "actor": event.actor, "priority": event.priority,
        "channels": event.channels,
    });
    fact("log", Is::Yes, words, data)
}

/// What the notice is to the person.
fn standing(case: &Case<'_>, notice: &TracedNotice) -> Fact {
    let (seq, at) = (case.event.seq, notice.at.unwrap_or_default());
    let read = notice.read.unwrap_or(seq <= at.read_to);
    let archived = notice.archived.unwrap_or(seq <= at.archived_to);
    let is_over = notice.retracted_at.is_some() || notice.expires_at.is_some_and(|end| end <= case.asked.now);
    let put_off = notice.snoozed_until.is_some_and(|until| until > case.asked.now);
    let is_theirs = case.met.iter().any(|met| met.by.meets()) && !case.shown.is_muted();
    let in_inbox = is_theirs && notice.at.is_some() && at.cleared_to < seq && !is_over && !notice.deleted;
    let words = match () {
        () if notice.retracted_at.is_some() => "taken back",
        () if is_over => "expired",
        () if notice.deleted => "deleted",
        () if !in_inbox => "not in their inbox",
        () if put_off => "in their inbox, put off",
        () if archived => "in their inbox, archived",
        () if notice.acked_at.is_some() => "in their inbox, they took note",
        () if read => "in their inbox, read",
        () => "in their inbox, unread",
    };
    let data = json!({
        "title": notice.title, "requires_ack": notice.requires_ack, "expires_at": moment(notice.expires_at),
        "retracted_at": moment(notice.retracted_at), "in_inbox": in_inbox, "opened": notice.at.is_some(), "read": read,
        "seen": read || seq <= at.seen_to, "archived": archived, "deleted": notice.deleted,
        "snoozed_until": moment(notice.snoozed_until), "acked_at": moment(notice.acked_at),
    });
    fact("notice", Is::from(in_inbox && !put_off), format!("a notice: {words}"), data)
}

fn channel(met: &Met) -> Fact {
    let (name, pattern) = (met.channel.as_str(), met.pattern.as_deref().unwrap_or_default());
    let words = match met.by {
        By::Anyone => "everybody in the tenant is in it".to_owned(),
        By::Own => "it is their own".to_owned(),
        By::Role => "they have this role".to_owned(),
        By::Member => "a device or connection of theirs is in it".to_owned(),
        By::Follows => "they follow it in their inbox".to_owned(),
        By::Token => "their token opens it, and no connection of theirs is in it".to_owned(),
        By::Rule => format!("the rule {pattern} lets them in, and no connection of theirs is in it"),
        By::Ask => {
            format!("the rule {pattern} leaves it to the application, and no connection of theirs is in it")
        }
        By::Refused => {
            format!("the rule {pattern} names neither them nor a role of theirs; a token could open it")
        }
        By::NoRule => "no rule is for it; a token could open it".to_owned(),
        By::OtherPerson => "it is somebody else's".to_owned(),
        By::OtherRole => "they are not known to have this role".to_owned(),
    };
    let is = match met.by {
        By::OtherRole => Is::Unknown,
        _ => Is::from(met.by.meets()),
    };
    let verdict = match met.by {
        By::Rule | By::Token => Some("allowed"),
        By::Ask => Some("ask"),
        By::Refused | By::NoRule => Some("forbidden"),
        _ => None,
    };
    let data = json!({
        "channel": name, "by": met.by.as_str(), "pattern": met.pattern, "source": met.source, "verdict": verdict,
    });
    fact("channel", is, format!("{name}: {words}"), data)
}

fn sessions(case: &Case<'_>, sees_all: bool) -> Fact {
    let (at, all) = (case.event.at, &case.person.connections);
    let open: Vec<&TracedConnection> = all.iter().filter(|it| was_open(it, at)).collect();
    let ended = |it: &&TracedConnection| it.closed.as_ref().is_some_and(|(closed, _)| *closed <= at);
    let before = all.iter().find(ended);
    let after = all.iter().filter(|it| it.opened_at > at).min_by_key(|it| it.opened_at);
    let words = match open.len() {
        0 => format!("not connected at {}", time(at)),
        1 => format!("connected at {}", time(at)),
        n => format!("{n} connections at {}", time(at)),
    };
    let data = json!({
        "at": at.to_string(),
        "open": open.iter().map(|it| connection(it, sees_all)).collect::<Vec<_>>(),
        "before": before.map(|it| connection(it, sees_all)),
        "after": after.map(|it| connection(it, sees_all)),
    });
    fact("sessions", Is::from(!open.is_empty()), words, data)
}

fn connection(it: &TracedConnection, sees_all: bool) -> Value {
    json!({
        "connection": it.connection, "device": it.device, "node": sees_all.then_some(&it.node), "transport": it.transport,
        "opened_at": it.opened_at.to_string(),
        "closed_at": moment(it.closed.as_ref().map(|(at, _)| *at)),
        "reason": it.closed.as_ref().map(|(_, reason)| reason),
    })
}

fn device(case: &Case<'_>, reach: &Reach) -> Fact {
    use crate::why::reach::Got;
    let (device, seq) = (&reach.device, case.event.seq);
    let words = match reach.got {
        Got::Acked => format!("acknowledged everything up to {}", reach.acked),
        Got::Delivered => {
            format!("has everything up to {}, acknowledged up to {}", reach.delivered, reach.acked)
        }
        Got::Behind => format!("was connected and has everything up to {}, not {seq}", reach.delivered),
        Got::Offline => format!("was not connected and has everything up to {}, not {seq}", reach.delivered),
        Got::CameLater => format!("was seen for the first time after it, at {}", time(device.first_seen)),
        Got::NotInChannel => "was in none of its channels when it was connected last".to_owned(),
    };
    let data = json!({
        "device": device.device, "first_seen": device.first_seen.to_string(), "last_seen": device.last_seen.to_string(),
        "delivered": reach.delivered, "acked": reach.acked, "has": reach.got.has(), "acknowledged": reach.got == Got::Acked,
        "in_channel": reach.in_channel, "connected": reach.connected, "got": reach.got.as_str(),
    });
    fact("device", Is::from(reach.got.has()), format!("{}: {words}", device.device), data)
}

/// What their pages say later shows at least that somebody was there.
fn activity(case: &Case<'_>) -> Option<Fact> {
    let (at, name) = case.person.did.as_ref()?;
    let words = format!("the first thing their pages said after it: {name}, at {}", time(*at));
    Some(fact("activity", Is::Yes, words, json!({"after": {"time": at.to_string(), "name": name}})))
}

fn preferences(case: &Case<'_>) -> Fact {
    let (shown, kind) = (case.shown, &case.event.kind);
    let mut data = Map::new();
    data.insert("type".to_owned(), json!(kind));
    data.insert("priority".to_owned(), json!(shown.priority.as_str()));
    data.insert("at".to_owned(), json!(shown.at.to_string()));
    data.insert("quiet".to_owned(), json!(shown.quiet.now));
    data.insert("quiet_until".to_owned(), moment(shown.quiet.until));
    data.insert("zone".to_owned(), json!(shown.zone));
    data.insert("wall_clock".to_owned(), json!(shown.wall_clock));
    for (way, Verdict { on, because, held }) in &shown.ways {
        let said = json!({"gets": *on && !held, "held": held, "why": because.text()});
        data.insert(way.as_str().to_owned(), said);
    }
    let words = match () {
        () if shown.is_muted() => {
            format!("{kind} is kept out of their inbox: {}", shown.by(Way::Inbox).because.text())
        }
        () if shown.is_held() => format!("it was quiet for them ({} in {})", shown.wall_clock, shown.zone),
        () if shown.is_silent() => format!("toast and desktop are off for {kind}"),
        () => "nothing held it".to_owned(),
    };
    let is_free = !shown.is_muted() && !shown.is_held() && !shown.is_silent();
    fact("preferences", Is::from(is_free), words, Value::Object(data))
}

fn escalation(notice: &TracedNotice) -> Fact {
    let steps = notice.steps.iter().map(|step| {
        json!({
            "step": step.step, "after": step.after, "webhook": step.webhook, "who": step.who, "due_at": moment(step.due_at),
            "told": step.told,
        })
    });
    let told: u64 = notice.steps.iter().map(|step| step.told).sum();
    let words = format!("{} steps; {told} people were named to webhooks", notice.steps.len());
    fact("escalation", Is::Yes, words, json!({"steps": steps.collect::<Vec<_>>()}))
}

fn webhook(sent: &Sent) -> Fact {
    let (failures, next_at, attempts) = match &sent.state {
        State::Failed(failed) => {
            let attempts: Value = serde_json::from_str(&failed.attempts).unwrap_or_default();
            (failed.failures, moment(failed.next_at), attempts)
        }
        _ => (0, Value::Null, json!([])),
    };
    let words = match &sent.state {
        State::Delivered => "its endpoint has taken it".to_owned(),
        State::Failed(failed) if failed.parked => {
            format!("failed {failures} times, and is not tried again by itself")
        }
        State::Failed(_) => format!("failed {failures} times, and is tried again"),
        State::Waiting => "its turn has not come".to_owned(),
        State::Disabled(reason) => format!("it is disabled: {reason}"),
    };
    let data = json!({
        "webhook": sent.webhook, "state": sent.state.as_str(), "failures": failures, "next_at": next_at, "attempts": attempts,
    });
    let is = match sent.state {
        State::Waiting => Is::Unknown,
        _ => Is::from(!sent.state.fails()),
    };
    fact("webhook", is, format!("{}: {words}", sent.webhook), data)
}
