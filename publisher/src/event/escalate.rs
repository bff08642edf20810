//! Who is told when people do not take note of a notice, and when, as its publisher says it?

use super::fault::{Fault, FaultCode, Faults, element, member};
use super::fields::{Fields, read_text};
use carillon_protocol::WebhookId;
use carillon_protocol::escalation::{self, Escalation, Missed, STEPS};
use serde_json::value::RawValue;

/// The member of a notice.
const ESCALATE: &str = "escalate";

/// Reads the steps of a notice, and whether people are asked to take note of it: they are, where somebody is told that they did not.
pub(super) fn read(
    fields: &mut Fields<'_>,
    requires_ack: Option<bool>,
    faults: &mut Faults,
) -> (Vec<Escalation>, bool) {
    let steps = steps(fields, faults);
    let is_wanted = steps.iter().position(|step| step.who == Missed::NotAcked);
    if let (Some(step), Some(false)) = (is_wanted, requires_ack) {
        let detail =
            "nobody can take note where requires_ack is false: leave that out, or ask for who not_delivered";
        let pointer = member(&element(&fields.pointer(ESCALATE), step), "who");
        faults.add(Fault::at(pointer, FaultCode::Conflicting, detail));
    }
    (steps, requires_ack.unwrap_or(is_wanted.is_some()))
}

fn steps(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<Escalation> {
    let Some(value) = fields.take(ESCALATE) else { return Vec::new() };
    let pointer = fields.pointer(ESCALATE);
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        faults.add(Fault::at(pointer, FaultCode::WrongType, "must be an array of steps"));
        return Vec::new();
    };
    if elements.len() > STEPS {
        faults.add(Fault::at(pointer, FaultCode::TooMany, format!("must have at most {STEPS} steps")));
        return Vec::new();
    }
    let each = elements.into_iter().enumerate();
    each.filter_map(|(index, step)| read_step(step, &element(&pointer, index), faults)).collect()
}

fn read_step(step: &RawValue, at: &str, faults: &mut Faults) -> Option<Escalation> {
    if !step.get().starts_with('{') {
        faults.add(Fault::at(at, FaultCode::WrongType, "must be an object with after and to"));
        return None;
    }
    let mut fields = Fields::of(step, at, faults)?;
    let read = {
        let allowed = "a number and s, m, h or d, such as 5m: at least 1s, at most 30d";
        let after = one(&mut fields, "after", allowed, faults, escalation::after);
        let to = one(&mut fields, "to", "webhook: and the name of a webhook", faults, escalation::webhook);
        let who = match fields.has("who") {
            false => {
                // Null counts as not given.
                fields.take("who");
                Some(Missed::NotAcked)
            }
            true => one(&mut fields, "who", "not_acked or not_delivered", faults, |text| {
                Missed::ALL.into_iter().find(|who| who.as_str() == text)
            }),
        };
        (after, to, who)
    };
    for (name, _) in fields.rest() {
        let detail = "is not a field of a step; known are after, to and who";
        faults.add(Fault::at(member(at, &name), FaultCode::UnknownField, detail));
    }
    let (after, to, who): (Option<u32>, Option<WebhookId>, Option<Missed>) = read;
    Some(Escalation { after: after?, to: to?, who: who? })
}

/// A text that must be there and that `read` understands.
fn one<T>(
    fields: &mut Fields<'_>,
    name: &str,
    allowed: &str,
    faults: &mut Faults,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let pointer = fields.pointer(name);
    fields.required(name, faults, |fields, faults| {
        let text = read_text(fields.take(name)?, &pointer, faults)?;
        let found = read(&text);
        if found.is_none() {
            faults.add(Fault::at(&*pointer, FaultCode::Invalid, format!("must be {allowed}")));
        }
        found
    })
}
