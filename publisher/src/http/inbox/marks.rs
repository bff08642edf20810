//! What does a person do with one entry of their inbox, and with all of them?
//!
//! Nothing is stored that can be worked out: what is done to one entry is a mark, what is done to all of them moves a watermark to the
//! newest entry that the client has shown. So what arrived since is not touched. Each answer is counted after it.

use super::shapes::{InboxMarked, InboxSummary, MarkProblems, NoEntry, SnoozeBody, UpToBody};
use super::{Mine, person};
use crate::access::Caller;
use crate::event::request::{Unreadable, value};
use crate::event::{Fault, FaultCode, rfc3339};
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, body};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use carillon_backplane::log::{Deed, Inbox, MOST_COUNTED, Mark, Marked};
use carillon_platform::whole::whole;
use carillon_protocol::{Epoch, Seq, TenantId, limits};
use http::Uri;
use jiff::{Span, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

type Named = Result<Path<String>, PathRejection>;
type Answer = Result<Json<InboxMarked>, Problem>;

/// How far ahead something may be put off, in hours: a year.
const SNOOZE_HOURS: i64 = 366 * 24;

/// Entries that a frame names.
const CHANGED: usize = 100;

/// What devices hear of an entry.
#[derive(Serialize, Default)]
struct Changed {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acked: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snoozed_until: Option<Option<String>>,
}

impl Changed {
    fn by(deed: Deed, seq: Seq) -> Self {
        let mut it = Self { seq: seq.0, ..Self::default() };
        match deed {
            Deed::Read => it.read = Some(true),
            Deed::Unread => it.read = Some(false),
            Deed::Archive => it.archived = Some(true),
            Deed::Unarchive => it.archived = Some(false),
            Deed::Delete => it.deleted = Some(true),
            Deed::Restore => it.deleted = Some(false),
            Deed::Snooze(until) => it.snoozed_until = Some(until.map(|at| at.to_string())),
            Deed::Ack => (it.read, it.acked) = (Some(true), Some(true)),
        }
        it
    }
}

/// A handler for each thing that a person does with one entry and that needs no body.
macro_rules! one {
    ($(#[$($doc:tt)*])+ $method:ident $path:literal $id:literal $name:ident $deed:expr) => {
        $(#[$($doc)*])+
        #[utoipa::path(
            $method,
            path = $path,
            operation_id = $id,
            tag = "inbox",
            params(
                ("seq" = u64, Path, description = "The `seq` of the entry."),
                ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
            ),
            responses((status = 200, description = "It is so.", body = InboxMarked), NoEntry, MarkProblems),
        )]
        pub(in crate::http) async fn $name(
            State(app): State<Arc<App>>,
            caller: Caller,
            named: Named,
            uri: Uri,
        ) -> Answer {
            mark(&app, &caller, &uri, named, $deed).await
        }
    };
}

one! {
    /// Mark an entry as read.
    ///
    /// Of a group all of it up to there, here as with the others but `unread` and `ack`.
    post "/v1/inbox/{seq}/read" "readEntry" read Deed::Read
}
one! {
    /// Mark an entry as unread.
    ///
    /// Of a group the newest.
    post "/v1/inbox/{seq}/unread" "unreadEntry" unread Deed::Unread
}
one! {
    /// Archive an entry.
    ///
    /// It is not unread any more, and is read or not as before when it comes back.
    post "/v1/inbox/{seq}/archive" "archiveEntry" archive Deed::Archive
}
one! {
    /// Take an entry out of the archive.
    ///
    /// Undoes `archive`, for one entry of `archive-all`, too.
    post "/v1/inbox/{seq}/unarchive" "unarchiveEntry" unarchive Deed::Unarchive
}
one! {
    /// Delete an entry from your inbox.
    ///
    /// From nobody else's. `PUT` of the same undoes it.
    delete "/v1/inbox/{seq}" "deleteEntry" delete Deed::Delete
}
one! {
    /// Put an entry back that was deleted.
    ///
    /// It is as it was.
    put "/v1/inbox/{seq}" "restoreEntry" restore Deed::Restore
}
one! {
    /// Say that you have taken note of an entry.
    ///
    /// For those with `requires_ack`; it is read then, too. The first time counts.
    post "/v1/inbox/{seq}/ack" "ackEntry" ack Deed::Ack
}

/// Put an entry off until a time.
///
/// It is not shown until then; afterwards it is where it was, and unread.
#[utoipa::path(
    post,
    path = "/v1/inbox/{seq}/snooze",
    operation_id = "snoozeEntry",
    tag = "inbox",
    params(
        ("seq" = u64, Path, description = "The `seq` of the entry."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    request_body(content = SnoozeBody),
    responses((status = 200, description = "It is so.", body = InboxMarked), NoEntry, MarkProblems),
)]
pub(in crate::http) async fn snooze(
    State(app): State<Arc<App>>,
    caller: Caller,
    named: Named,
    request: Request,
) -> Answer {
    let (uri, said) = said(&app, &caller, request).await?;
    let until = match member(&said, "until")? {
        Value::Null => None,
        Value::String(text) => Some(until(text)?),
        _ => return Err(faulty("until", FaultCode::WrongType, "must be a time, or null")),
    };
    mark(&app, &caller, &uri, named, Deed::Snooze(until)).await
}

/// A handler for each thing that a person does with everything up to an entry.
macro_rules! all {
    ($(#[$($doc:tt)*])+ $path:literal $id:literal $name:ident $mark:expr) => {
        $(#[$($doc)*])+
        #[utoipa::path(
            post,
            path = $path,
            operation_id = $id,
            tag = "inbox",
            params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
            request_body(content = UpToBody),
            responses((status = 200, description = "It is so.", body = InboxMarked), MarkProblems),
        )]
        pub(in crate::http) async fn $name(
            State(app): State<Arc<App>>,
            caller: Caller,
            request: Request,
        ) -> Answer {
            advance(&app, &caller, request, $mark).await
        }
    };
}

all! {
    /// Mark everything up to an entry as read.
    ///
    /// What was marked as unread up to there, too. What is put off until a time stays unread.
    "/v1/inbox/read-all" "readAll" read_all Mark::Read
}
all! {
    /// Say that everything up to an entry was seen.
    ///
    /// For the badge: seen is not read.
    "/v1/inbox/seen-all" "seenAll" seen_all Mark::Seen
}
all! {
    /// Archive everything up to an entry.
    ///
    /// What is put off until a time comes back all the same.
    "/v1/inbox/archive-all" "archiveAll" archive_all Mark::Archive
}
all! {
    /// Delete everything up to an entry from your inbox.
    ///
    /// Archived and put off entries, too. This cannot be undone.
    "/v1/inbox/clear" "clearInbox" clear Mark::Clear
}

async fn mark(app: &Arc<App>, caller: &Caller, uri: &Uri, named: Named, deed: Deed) -> Answer {
    let asked = Query::read(uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
    // Of a number that is none there is no entry.
    let seq = named.ok().and_then(|Path(text)| text.parse().ok()).map(Seq).ok_or_else(missing)?;
    let mine = Mine::enter(app, caller, asked.as_ref()).await?;
    app.health.check_writing()?;
    let (_, sight) = mine.open().await?.ok_or_else(missing)?;
    let changed = match app.health.ask(app.log.mark_notice(mine.whose(), &sight, seq, deed)).await? {
        Marked::Done(changed) => changed,
        Marked::Missing => return Err(missing()),
        Marked::NotAsked => {
            return Err(Problem::new(Code::InvalidMark, "this notice asks nobody to take note of it"));
        }
    };
    let (version, counts) = mine.counts(MOST_COUNTED).await?;
    if !changed.is_empty() {
        let changed: Vec<Changed> =
            changed.into_iter().take(CHANGED).map(|seq| Changed::by(deed, seq)).collect();
        let changed = serde_json::value::to_raw_value(&changed).ok();
        mine.tell(version, counts, |frame| frame.changed = changed.as_deref());
    }
    Ok(Json(InboxMarked { summary: InboxSummary::of(version, counts), up_to: None }))
}

async fn advance(app: &Arc<App>, caller: &Caller, request: Request, mark: Mark) -> Answer {
    let (uri, said) = said(app, caller, request).await?;
    let asked = Query::read(&uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
    let named = up_to(&said)?;
    let mine = Mine::enter(app, caller, asked.as_ref()).await?;
    app.health.check_writing()?;
    let Some((inbox, _)) = mine.open().await? else {
        return Ok(Json(InboxMarked { summary: InboxSummary::default(), up_to: Some(0) }));
    };
    let up_to = named.in_log(&inbox)?;
    let advanced = app.health.ask(app.log.advance_inbox(mine.whose(), mark, up_to)).await?;
    let (version, counts) = mine.counts(MOST_COUNTED).await?;
    if let Some(reached) = advanced.filter(|it| it.moved).map(|it| it.reached) {
        mine.tell(version, counts, |frame| match mark {
            Mark::Read => frame.read_to = Some(reached),
            Mark::Seen => frame.seen_to = Some(reached),
            Mark::Archive => frame.archived_to = Some(reached),
            Mark::Clear => frame.cleared_to = Some(reached),
        });
    }
    let up_to = advanced.map(|advanced| advanced.reached.0);
    Ok(Json(InboxMarked { summary: InboxSummary::of(version, counts), up_to }))
}

/// Up to which entry, as it was named.
enum UpTo {
    Seq(Seq),
    Within(Epoch, Seq),
}

impl UpTo {
    /// The seq, if it is one of this log's.
    fn in_log(self, inbox: &Inbox) -> Result<Seq, Problem> {
        match self {
            Self::Seq(seq) => Ok(seq),
            Self::Within(epoch, seq) if epoch == inbox.epoch => Ok(seq),
            Self::Within(..) => {
                let detail =
                    "is of another log: it was restored or has lost its end since; read the inbox again";
                Err(faulty("up_to", FaultCode::InvalidCursor, detail))
            }
        }
    }
}

fn up_to(said: &Value) -> Result<UpTo, Problem> {
    // As the document says: a number of 64 bits with a sign.
    let fits = |seq: &u64| i64::try_from(*seq).is_ok();
    let detail = "must be the seq of an entry, or <epoch>:<seq>";
    match member(said, "up_to")? {
        number @ Value::Number(_) => whole(number).filter(fits).map(|seq| UpTo::Seq(Seq(seq))),
        Value::String(text) => text.rsplit_once(':').and_then(|(epoch, seq)| {
            let seq = seq.parse().ok().filter(fits)?;
            Some(UpTo::Within(Epoch::new(epoch).ok()?, Seq(seq)))
        }),
        Value::Null => return Err(faulty("up_to", FaultCode::Required, "is required")),
        _ => return Err(faulty("up_to", FaultCode::WrongType, detail)),
    }
    .ok_or_else(|| faulty("up_to", FaultCode::Invalid, detail))
}

/// A time to come.
fn until(text: &str) -> Result<Timestamp, Problem> {
    let invalid = |detail: &str| faulty("until", FaultCode::Invalid, detail);
    let moment = rfc3339::parse(text).ok_or_else(|| invalid(&format!("must be {}", rfc3339::ALLOWED)))?;
    let (at, now) = (moment.to_string().parse::<Timestamp>().ok(), Timestamp::now());
    let latest = now.checked_add(Span::new().hours(SNOOZE_HOURS)).unwrap_or(Timestamp::MAX);
    at.filter(|at| *at > now && *at <= latest)
        .ok_or_else(|| invalid("must be a time to come, at most a year ahead"))
}

/// The body's only member.
fn member<'a>(said: &'a Value, name: &str) -> Result<&'a Value, Problem> {
    let Value::Object(members) = said else {
        let fault = Fault::at("", FaultCode::WrongType, "must be an object");
        return Err(invalid(fault));
    };
    if let Some(other) = members.keys().find(|key| *key != name) {
        let pointer = crate::event::fault::member("", other);
        let detail = format!("is not known here; known is {name}");
        return Err(invalid(Fault::at(pointer, FaultCode::UnknownField, detail)));
    }
    Ok(members.get(name).unwrap_or(&Value::Null))
}

fn faulty(name: &str, code: FaultCode, detail: &str) -> Problem {
    invalid(Fault::at(format!("/{name}"), code, detail))
}

fn invalid(fault: Fault) -> Problem {
    let Fault { detail, .. } = &fault;
    Problem::new(Code::InvalidMark, format!("the body: {detail}; nothing was changed")).at(vec![fault])
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no such entry in this inbox")
}

/// Reads a body: who may have none here is told before.
async fn said(app: &Arc<App>, caller: &Caller, request: Request) -> Result<(Uri, Value), Problem> {
    let (parts, sent) = request.into_parts();
    let judged = || {
        let asked = Query::read(&parts.uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
        let identity = person(app, caller, asked.as_ref())?;
        body::is_json(&parts.headers)?;
        Ok(identity)
    };
    let identity = match judged() {
        Ok(identity) => identity,
        Err(problem) => {
            body::discard(&app.bodies, &parts, sent, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    let holder = body::holder(&caller.publisher(), Some(&identity.tenant));
    let held = body::read(&app.bodies, holder, &parts, sent).await?;
    let said = value(&held.bytes).map_err(|fault| match fault {
        Unreadable::NotJson(detail) => Problem::new(Code::InvalidJson, detail),
        Unreadable::Faulty(mut faults) if !faults.is_empty() => invalid(faults.swap_remove(0)),
        Unreadable::Faulty(_) => Problem::new(Code::InvalidJson, "the body is not valid"),
    })?;
    Ok((parts.uri, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_watermark_is_a_number_of_64_bits_with_a_sign() {
        let most = i64::MAX.unsigned_abs();
        for (said, taken) in [
            (json!(17), true),
            (json!(17.0), true),
            (json!(most), true),
            (json!(most + 1), false),
            (json!(u64::MAX), false),
            (json!(-1), false),
            (json!(format!("e1:{most}")), true),
            (json!(format!("e1:{}", most + 1)), false),
            (json!("17"), false),
            (json!(null), false),
        ] {
            assert_eq!(up_to(&json!({"up_to": said})).is_ok(), taken, "{said}");
        }
    }
}
