//! How does a request to publish become acknowledged events?

use super::body;
use super::content::{Accepts, Content};
use super::dry_run;
use super::parsing::{self, Turn};
use super::permit::rules_of;
use super::prepare::{Context, NEEDS_SCOPE, Prepared, invalid, prepare};
use super::problem::{Code, Problem};
use super::query::Query;
use super::quota::{Quota, rate_headers};
use super::{App, caller, suspended, unknown_tenant};
use crate::access::{Caller, Scope};
use crate::batcher::Room;
use crate::event::binary::Attributes;
use crate::event::count;
use crate::event::fault::{LISTED_FAULTS, element};
use crate::event::request::{self, Publication, Unreadable};
use crate::event::{Draft, Fault, FaultCode};
use crate::limits::{DayLeft, Left, NoNotices};
use crate::types::TypesOf;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{Append, Appended};
use carillon_platform::telemetry::Sending;
use carillon_protocol::{ConnectionName, Epoch, EventId, Seq, TenantId, limits};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use jiff::{Timestamp, Unit};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

const CONNECTION: &str = "x-carillon-connection";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Where an event stands in its tenant's log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The event's id: yours, or a UUIDv7 made for it.
    #[schema(value_type = String, max_length = 128)]
    id: EventId,
    /// Its number: gapless per tenant, in commit order.
    #[schema(value_type = u64, minimum = 1)]
    seq: Seq,
    /// The life of the tenant's log; a seq means nothing without it.
    #[schema(value_type = String, max_length = 32)]
    epoch: Epoch,
}

/// Publishes what the body holds in the form that this path takes.
pub(super) async fn publish(app: Arc<App>, request: Request, accepts: Accepts) -> Result<Response, Problem> {
    receive(app, request, accepts, false).await
}

/// Publishes it, or checks it in the same way and stores nothing.
pub(super) async fn receive(
    app: Arc<App>,
    request: Request,
    accepts: Accepts,
    is_dry_run: bool,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    // A request that is refused by its head still has its body read, so that the client sees the answer.
    let mut sending = app.traces.send(traceparent(&parts.headers).as_deref());
    let (caller, mut context, content) = match head(&app, &parts, accepts, &sending).await {
        Ok(head) => head,
        Err(problem) => {
            body::discard(&app.bodies, &parts, body, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    context.is_dry_run = is_dry_run;
    let publisher = caller.publisher();
    let tenant = only_tenant(&caller, context.tenant.as_ref());
    let held = match body::read(&app.bodies, body::holder(&publisher, tenant.as_ref()), &parts, body).await {
        Ok(held) => held,
        Err(problem) => {
            app.metrics.body_refused(problem.code);
            return Err(problem);
        }
    };
    let bytes = held.bytes.len();
    let events = match &content {
        Content::Events(_) => count::elements(&held.bytes),
        Content::Data(_) => 1,
    };
    let room = if parsing::is_large(bytes) || Room::is_needed_for(events) {
        Some(app.intake.room(events, tenant.as_ref(), &publisher).await?)
    } else {
        None
    };
    let turn = app.parsing.turn(bytes, body::holder(&publisher, tenant.as_ref())).await?;
    let is_binary = matches!(content, Content::Data(_));
    let whose = (caller, context);
    let read = move || match &content {
        Content::Events(form) => request::read(&held.bytes, *form),
        Content::Data(attributes) => request::read_binary(&held.bytes, attributes),
    };
    let publication = turn.run(move || read().map_err(unreadable)).await?;
    let stored = store(&app, publication, whose, Admitted { room, turn }, &mut sending, began).await;
    stored.map_err(|mut problem| {
        if is_binary {
            problem.errors = problem.errors.into_iter().map(Attributes::place).collect();
        }
        problem
    })
}

/// What a large request has: room in the intake, and its turn to be parsed and checked.
pub(super) struct Admitted {
    pub(super) room: Option<Room>,
    pub(super) turn: Turn,
}

/// Stores the events of a request and answers it.
pub(super) async fn store(
    app: &App,
    publication: Publication,
    (caller, context): (Caller, Context),
    Admitted { room, turn }: Admitted,
    sending: &mut Sending,
    began: Instant,
) -> Result<Response, Problem> {
    let (publisher, array) = (caller.publisher(), publication.array);
    let rules = rules_of(app, &caller, &publication.drafts, &context).await?;
    let types = types_of(app, &caller, &publication.drafts, &context).await?;
    let is_dry_run = context.is_dry_run;
    let asker = is_dry_run.then(|| caller.clone());
    let sealed = move || prepare(publication, &caller, &context, (&rules, &types), now(), fresh_id);
    let Prepared { appends, uses } = turn.run(sealed).await?;
    let tenants = by_tenant(&appends);
    if !is_dry_run {
        sending.events(appends.len());
    }
    // Whoever tries asks the tenant's application and walks its devices as often as who publishes.
    app.rates.take(&uses).map_err(too_often)?;
    if !is_dry_run && !tenants.keys().any(|tenant| app.limits.is_suspended(tenant)) {
        turn.leads_to_log();
    }
    drop(turn);
    // A dry run makes no tenant.
    let is_looked_for = !is_dry_run || app.tenants.must_be_registered();
    for tenant in tenants.keys().filter(|_| is_looked_for) {
        if !app.tenants.ensure(tenant, &publisher).await? {
            return Err(unknown_tenant().at(naming(
                tenant,
                &appends,
                array,
                (FaultCode::UnknownTenant, "is not registered"),
            )));
        }
    }
    // After all that may take a while. No caller is let through: not even who administers the installation publishes there.
    if let Some(tenant) = tenants.keys().find(|tenant| app.limits.is_suspended(tenant)) {
        return Err(suspended().at(naming(
            tenant,
            &appends,
            array,
            (FaultCode::TenantSuspended, "is suspended"),
        )));
    }
    if let Some(asker) = &asker {
        return dry_run::answer(app, asker, &appends).await;
    }
    // They count as under way until they are stored and can be counted, or are refused: whoever asked may be gone before that.
    let of_day = app.limits.take_notices((&app.log, &app.health), &appends).await;
    let of_day = of_day.map_err(|fault| too_many_notices(app, fault))?;
    let left_today = of_day.left().copied();
    let left = app.limits.take_all(&tenants).await.map_err(|left| limited(app, &left))?;
    let ids: Vec<EventId> = appends.iter().map(|append| append.event.id.clone()).collect();
    let results = match app.intake.append(appends, &publisher, room, of_day).await {
        Ok(results) => results,
        Err(fault) => {
            if fault.stored_nothing() {
                app.limits.give_back(&tenants).await;
            }
            return Err(fault.into());
        }
    };
    app.metrics.total_seconds.record(began.elapsed());
    if results.contains(&Appended::UnknownTenant) {
        app.limits.give_back(&tenants).await;
        tenants.keys().for_each(|tenant| app.tenants.forget(tenant));
        return Err(match app.tenants.must_be_registered() {
            true => unknown_tenant(),
            false => Problem::new(Code::Unavailable, "the tenant was removed a moment ago; try again"),
        });
    }
    let mut response = answer(ids, results, array)?;
    let quotas = left.as_ref().map(Quota::from).into_iter().chain(left_today.as_ref().map(Quota::from));
    for (name, value) in quotas.flat_map(|quota| rate_headers(&quota)) {
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// How many there are for each tenant.
fn by_tenant(appends: &[Append]) -> BTreeMap<TenantId, u32> {
    let mut counts: BTreeMap<TenantId, u32> = BTreeMap::new();
    appends.iter().for_each(|append| *counts.entry(append.tenant.clone()).or_default() += 1);
    counts
}

/// The types of the tenants that the events are for.
async fn types_of(
    app: &App,
    caller: &Caller,
    drafts: &[Draft],
    context: &Context,
) -> Result<TypesOf, Problem> {
    let mut found = TypesOf::default();
    let mut before: Option<Option<&TenantId>> = None;
    for draft in drafts {
        let named = draft.tenant.as_ref().or(context.tenant.as_ref());
        if before == Some(named) {
            continue;
        }
        before = Some(named);
        // Who may not enter is told so later, with everything else.
        if let Ok(entry) = caller.enter(named)
            && !found.has(&entry.tenant)
        {
            let types = app.types.of(&entry.tenant).await?;
            found.add(entry.tenant, types);
        }
    }
    Ok(found)
}

/// A tenant's limit has no room for the events.
fn limited(app: &App, left: &Left) -> Problem {
    app.metrics.publish_limited("events");
    let Left { limit, wait, .. } = left;
    let wait_ms = wait.as_millis().max(1);
    let detail = format!(
        "the tenant publishes {limit} events a second at most; nothing was stored, try again in {wait_ms} ms"
    );
    Problem::new(Code::RateLimited, detail).limited(left)
}

/// A tenant's limit has no room for the notices today.
fn too_many_notices(app: &App, fault: NoNotices) -> Problem {
    let left = match fault {
        NoNotices::Limit(left) => left,
        NoNotices::Log(error) => return error.into(),
    };
    app.metrics.publish_limited("notices");
    let DayLeft { limit, notices, wait } = left;
    let detail = format!(
        "the tenant sends {limit} notices a day at most and has {notices} left; nothing was stored, try again in {} s",
        wait.as_secs().max(1)
    );
    Problem::new(Code::TooManyNotices, detail).limited(&left)
}

fn too_often(wait: Duration) -> Problem {
    let detail = format!(
        "you publish more into a channel than its rule lets a person a second; nothing was stored, try again in {} ms",
        wait.as_millis().max(1)
    );
    Problem::new(Code::RateLimited, detail)
}

/// The tenant of every event, if that is known before the body.
pub(super) fn only_tenant(caller: &Caller, asked: Option<&TenantId>) -> Option<TenantId> {
    match caller {
        Caller::Key(key) => key.tenant.clone(),
        Caller::User(_) | Caller::Relayed(_) => caller.enter(asked).ok().map(|entry| entry.tenant),
    }
}

pub(super) fn unreadable(fault: Unreadable) -> Problem {
    match fault {
        Unreadable::NotJson(detail) => Problem::new(Code::InvalidJson, detail),
        Unreadable::Faulty(faults) => invalid(faults),
    }
}

/// The events that name this tenant.
fn naming(
    tenant: &TenantId,
    appends: &[Append],
    array: bool,
    (code, detail): (FaultCode, &str),
) -> Vec<Fault> {
    let named = appends.iter().enumerate().filter(|(_, append)| append.tenant == *tenant);
    let pointer = |index| if array { format!("/{index}/tenant") } else { "/tenant".to_owned() };
    let fault = |index| Fault::at(pointer(index), code, detail);
    named.take(LISTED_FAULTS).map(|(index, _)| fault(index)).collect()
}

/// Everything that can be judged before the body.
async fn head(
    app: &App,
    parts: &Parts,
    accepts: Accepts,
    sending: &Sending,
) -> Result<(Caller, Context, Content), Problem> {
    let caller = caller(app, parts).await?;
    if !caller.may(Scope::Publish) {
        return Err(Problem::new(Code::MissingScope, NEEDS_SCOPE));
    }
    let content = accepts.content(&parts.headers)?;
    let mut query = Query::read(&parts.uri, &["tenant"])?;
    let context = Context {
        is_dry_run: false,
        tenant: query.named("tenant", |text| TenantId::new(text))?,
        key: idempotency_key(&parts.headers)?,
        traceparent: sending.traceparent().map(str::to_owned),
        except: except(&parts.headers)?,
    };
    Ok((caller, context, content))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=limits::IDEMPOTENCY_KEY_BYTES).contains(&bytes.len());
    if given.next().is_none() && fits && bytes.iter().all(u8::is_ascii_graphic) {
        return Ok(Some(String::from_utf8_lossy(bytes).into_owned()));
    }
    let detail =
        format!("must be there once, with 1-{} visible ASCII characters", limits::IDEMPOTENCY_KEY_BYTES);
    let fault = Fault::in_header("Idempotency-Key", FaultCode::Invalid, detail.clone());
    Err(Problem::new(Code::InvalidHeader, format!("Idempotency-Key {detail}")).at(vec![fault]))
}

/// Which connection does not get the events.
pub(super) fn except(headers: &HeaderMap) -> Result<Option<ConnectionName>, Problem> {
    let mut given = headers.get_all(CONNECTION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let name = value.to_str().ok().and_then(|text| ConnectionName::new(text).ok());
    if let (Some(name), None) = (name, given.next()) {
        return Ok(Some(name));
    }
    let detail = format!("must be there once and be {}", ConnectionName::ALLOWED);
    let fault = Fault::in_header("X-Carillon-Connection", FaultCode::Invalid, detail.clone());
    Err(Problem::new(Code::InvalidHeader, format!("X-Carillon-Connection {detail}")).at(vec![fault]))
}

/// The trace context (W3C Trace Context, 3.2). A malformed one is ignored, as that document asks.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let [version, trace, parent, flags] = parts[..] else { return None };
    let formed = hex(&version, 2) && hex(&trace, 32) && hex(&parent, 16) && hex(&flags, 2);
    let nothing = |part: &str| part.bytes().all(|b| b == b'0');
    (formed && version != "ff" && !nothing(trace) && !nothing(parent)).then(|| text.to_owned())
}

/// The publisher's clock, to the millisecond: more digits would only look exact.
fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// A UUIDv7: ids in order of time keep the index on them small.
fn fresh_id() -> EventId {
    EventId::new(uuid::Uuid::now_v7().to_string()).expect("a UUID is 36 characters of a-f, 0-9 and -")
}

/// `201` with a receipt for each event, in order.
fn answer(ids: Vec<EventId>, results: Vec<Appended>, array: bool) -> Result<Response, Problem> {
    let mut mismatches = Vec::new();
    let mut receipts = Vec::with_capacity(results.len());
    let mut replayed = true;
    for (index, (id, result)) in ids.into_iter().zip(results).enumerate() {
        match result {
            Appended::Stored { seq, epoch, .. } => {
                replayed = false;
                receipts.push(Receipt { id, seq, epoch });
            }
            Appended::Replayed { id, seq, epoch } => receipts.push(Receipt { id, seq, epoch }),
            Appended::Conflict => {
                let pointer = if array { element("", index) } else { String::new() };
                let detail = "its idempotency key (or id) was used before for another event";
                mismatches.push(Fault::at(pointer, FaultCode::IdempotencyMismatch, detail));
            }
            Appended::Refused | Appended::UnknownTenant => {}
        }
    }
    if !mismatches.is_empty() {
        let detail =
            "an idempotency key (or event id) was used before for something else; nothing was stored";
        return Err(Problem::new(Code::IdempotencyMismatch, detail).at(mismatches));
    }
    let body = match (array, receipts.first()) {
        (false, Some(receipt)) => serde_json::to_string(receipt),
        _ => serde_json::to_string(&receipts),
    };
    let body = body.map_err(|_| Problem::new(Code::Internal, "the receipts cannot be written"))?;
    let json = HeaderValue::from_static("application/json");
    let mut response = (StatusCode::CREATED, [(header::CONTENT_TYPE, json)], body).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii() {
        let read =
            |value: &str| idempotency_key(&headers(IDEMPOTENCY_KEY, value)).map_err(|problem| problem.code);
        assert_eq!(read("order-1/paid"), Ok(Some("order-1/paid".to_owned())));
        assert_eq!(read(&"k".repeat(255)).map(|key| key.is_some()), Ok(true));
        for bad in ["", "a b", "ключ", &"k".repeat(256)] {
            assert_eq!(read(bad), Err(Code::InvalidHeader), "{bad}");
        }
        assert_eq!(idempotency_key(&HeaderMap::new()).ok(), Some(None));
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        let read = |value: &str| traceparent(&headers("traceparent", value));
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(read(good).as_deref(), Some(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
