//! What does an event in Carillon's own plain form say?

use super::draft::{Data, Draft};
use super::fault::{Fault, FaultCode, Faults, member};
use super::fields::{Fields, compact, read_priority};
use super::hint;
use super::notify;
use super::targets::{Named, Needs, Targets};
use carillon_protocol::{Channel, ConnectionName, EventId, LatestKey, TenantId, UserId, limits};

/// The `source` of an event that names none.
const DEFAULT_SOURCE: &str = "api";

/// Reads one plain event; every fault is added.
pub(super) fn read(mut fields: Fields<'_>, faults: &mut Faults) -> Draft {
    let at = fields.here();
    let kind = fields.required("type", faults, |fields, faults| fields.attribute("type", true, faults));
    let deletes = fields.has("key") && fields.is_null("data");
    // Faults are told in this order.
    let tenant = fields.named("tenant", |text| TenantId::new(text), faults);
    let id = fields.named("id", |text| EventId::new(text), faults);
    let source = fields.attribute("source", false, faults);
    let subject = fields.attribute("subject", false, faults);
    let actor = fields.named("actor", |text| UserId::new(text), faults);
    let priority = fields.named("priority", read_priority, faults);
    let key = fields.named("key", |text| LatestKey::new(text), faults);
    let notice = notify::take(&mut fields, faults);
    let (channels, named) = channels(&mut fields, Needs::of_event(notice.is_some()), faults);
    let draft = Draft {
        tenant,
        id,
        kind: kind.unwrap_or_default(),
        source: source.unwrap_or_else(|| DEFAULT_SOURCE.to_owned()),
        subject,
        actor,
        priority,
        key,
        notice,
        channels,
        named,
        except: fields.named("except", |text| ConnectionName::new(text), faults),
        time: fields.time("time", faults),
        extras: Vec::new(),
        data: data(&mut fields, faults).or(deletes.then_some(Data::Null)),
    };
    for (name, _) in fields.rest() {
        faults.add(Fault::at(member(at, &name), FaultCode::UnknownField, hint::unknown_field(&name)));
    }
    draft
}

fn channels(fields: &mut Fields<'_>, needs: Needs, faults: &mut Faults) -> (Vec<Channel>, Named) {
    let before = faults.len();
    if fields.has("channel") && fields.has("channels") {
        let detail = "give either channel or channels";
        faults.add(Fault::at(fields.pointer("channel"), FaultCode::Conflicting, detail));
    }
    let most = limits::CHANNELS_PER_EVENT;
    let mut channels = fields.names("channels", most, |text| Channel::new(text), faults);
    let one = fields.named("channel", |text| Channel::new(text), faults);
    let text = one.is_some().then_some("channel");
    channels.extend(one);
    let targets = Targets {
        channels,
        text,
        users: fields.names("users", most, |text| UserId::new(text), faults),
        roles: fields.names("roles", most, Channel::role, faults),
        tenant_wide: fields.flag("tenant_wide", faults).unwrap_or(false),
    };
    targets.into_channels((faults.len() > before, needs), fields.here(), faults)
}

fn data(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Data> {
    let raw = fields.take("data")?;
    compact(raw, &fields.pointer("data"), faults).map(Data::Json)
}
