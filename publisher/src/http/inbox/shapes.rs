//! How do requests and answers about inboxes look?

use crate::http::openapi::shapes::{EscalationStep, Priority, ProblemDocument};
use carillon_backplane::log::{self, Counts, Item};
use carillon_protocol::escalation::after_text;
use carillon_protocol::{Channel, Epoch, EventId};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoResponses, ToSchema};

/// An entry of an inbox: a notice, or the newest of a group.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct InboxItem {
    /// The number of its event; what marks name.
    #[schema(minimum = 1)]
    seq: u64,
    /// The id of its event.
    id: String,
    r#type: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    /// In which language title and body are, if its type has texts in yours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    locale: Option<String>,
    /// Where a click leads: a URL or a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    action: Option<String>,
    /// What the application put there; else its event's data, if that has at most 8 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>, nullable = false)]
    data: Option<Box<RawValue>>,
    #[schema(value_type = Priority)]
    priority: String,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    actor: Option<String>,
    /// When it happened.
    time: String,
    /// Whether it is read; of a group: all of it.
    read: bool,
    /// Whether it was seen; of a group: all of it.
    seen: bool,
    archived: bool,
    /// Whether people are asked to take note of it.
    requires_ack: bool,
    /// When this person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    group: Option<String>,
    /// With a group: how many of it this view has, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    snoozed_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at: Option<String>,
}

impl From<Item> for InboxItem {
    fn from(item: Item) -> Self {
        let Item { seq, kind, group, count, shown, requires_ack, text, .. } = item;
        Self {
            seq: seq.0,
            id: text.id,
            r#type: kind,
            title: text.title,
            body: text.body,
            locale: text.locale,
            action: text.action,
            // It was JSON when it was stored.
            data: text.data.and_then(|json| RawValue::from_string(json).ok()),
            priority: text.priority,
            actor: text.actor,
            time: text.time.to_string(),
            read: shown.read,
            seen: shown.seen,
            archived: shown.archived,
            requires_ack,
            acked_at: item.acked_at.map(|at| at.to_string()),
            count: group.is_some().then_some(count),
            group,
            snoozed_until: item.snoozed_until.map(|at| at.to_string()),
            expires_at: item.expires_at.map(|at| at.to_string()),
        }
    }
}

/// How much of an inbox is unread.
#[derive(Serialize, ToSchema, Default)]
pub(in crate::http) struct InboxSummary {
    /// One more with everything that the person does. 0: nobody has used the tenant.
    version: u64,
    /// Entries that are unread: at most 100, or with `exact=true` 10,000.
    unread: u64,
    /// Those of them that were not seen.
    unseen: u64,
    /// There when there are more than that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>, nullable = false)]
    more: bool,
}

impl InboxSummary {
    pub(super) fn of(version: u64, counts: Counts) -> Self {
        Self { version, unread: counts.unread, unseen: counts.unseen, more: counts.more }
    }
}

/// One page of an inbox.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct InboxPage {
    /// At most `limit`, newest first; fewer, or none, say nothing about what follows.
    pub(super) items: Vec<InboxItem>,
    /// Cursor for `after`: the next page. Null on the last one.
    pub(super) next: Option<String>,
    /// The life of the log in which `seq` counts; null: nobody has used the tenant.
    #[schema(value_type = Option<String>)]
    pub(super) epoch: Option<Epoch>,
    #[serde(flatten)]
    pub(super) summary: InboxSummary,
}

/// What a person's inbox is after they have done something.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct InboxMarked {
    #[serde(flatten)]
    pub(super) summary: InboxSummary,
    /// Of what is done to all: up to where it holds now. Never backwards, never beyond the newest event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) up_to: Option<u64>,
}

/// Which channels a person follows.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Follows {
    #[schema(value_type = Vec<String>, max_items = 200)]
    pub(super) channels: Vec<Channel>,
}

/// A notice that was taken back.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RetractedNotice {
    #[schema(value_type = String)]
    pub(super) id: EventId,
    pub(super) seq: u64,
    pub(super) retracted_at: String,
}

/// What became of a notice.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NoticeStatus {
    /// The id of its event.
    #[schema(value_type = String)]
    pub(super) id: EventId,
    pub(super) seq: u64,
    pub(super) r#type: String,
    pub(super) title: String,
    pub(super) time: String,
    pub(super) requires_ack: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) retracted_at: Option<String>,
    /// People it is for, as far as they are known.
    pub(super) audience: u64,
    /// How many of them have it on a device, or have seen it.
    pub(super) delivered: u64,
    /// How many have seen it.
    pub(super) seen: u64,
    /// How many have read it.
    pub(super) read: u64,
    /// How many have taken note.
    pub(super) acked: u64,
    /// Those who have not taken note: without `list`, or with `list=not_acked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) not_acked: Option<Vec<NoticePerson>>,
    /// With another `list`: those who were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) people: Option<Vec<NoticePerson>>,
    /// For `after`: the next page. Null on the last one.
    pub(super) next: Option<String>,
    /// With `escalate`: how far each step is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<NoticeEscalation>>)]
    pub(super) escalate: Vec<NoticeEscalation>,
}

/// How far a step of an escalation is.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NoticeEscalation {
    after: String,
    to: String,
    who: String,
    /// When people are looked at, for the first time or again. Null: never again.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// People who were named to the webhook.
    told: u64,
    /// People for whom it is quiet: they are looked at again.
    held: u64,
}

impl From<log::NoticeStep> for NoticeEscalation {
    fn from(step: log::NoticeStep) -> Self {
        let log::NoticeStep { after, webhook, who, due_at, told, held } = step;
        Self {
            after: after_text(after),
            to: format!("webhook:{webhook}"),
            who,
            due_at: due_at.map(|at| at.to_string()),
            told,
            held,
        }
    }
}

/// What somebody has done with a notice.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NoticePerson {
    user: String,
    delivered: bool,
    seen: bool,
    read: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acked_at: Option<String>,
}

impl From<log::NoticePerson> for NoticePerson {
    fn from(person: log::NoticePerson) -> Self {
        let log::NoticePerson { user, delivered, seen, read, acked_at } = person;
        Self { user, delivered, seen, read, acked_at: acked_at.map(|at| at.to_string()) }
    }
}

/// Up to which entry.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"up_to": 17}))]
pub(in crate::http) struct UpToBody {
    /// The `seq` of the newest entry that was shown. May also be a text, `<epoch>:<seq>`, which is refused when the log is another one.
    #[schema(value_type = u64, minimum = 0)]
    up_to: u64,
}

/// Until when.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"until": "2030-03-01T09:30:00Z"}))]
pub(in crate::http) struct SnoozeBody {
    /// A time to come, at most a year ahead. Null: it is shown again at once.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// Whom a notice is for; at least one of these, unless its type has an audience.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct NoticeAudience {
    /// Everybody of the tenant.
    tenant: Option<bool>,
    #[schema(max_items = 100)]
    roles: Option<Vec<String>>,
    /// Whoever follows these channels.
    #[schema(max_items = 100)]
    channels: Option<Vec<String>>,
    #[schema(max_items = 100)]
    users: Option<Vec<String>>,
}

/// A notice.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"tenant": "studio-nova", "title": "The practice closes at noon", "body": "On 24 December.", "audience": {"roles": ["reception"]}, "requires_ack": true}))]
pub(in crate::http) struct NoticeBody {
    /// One line, at most 256 characters. Left out together with `body`: the templates of the type fill them.
    #[schema(max_length = 256, min_length = 1)]
    title: Option<String>,
    /// At most 4,096 characters; line feeds and tabs are kept.
    #[schema(max_length = 4096, min_length = 1)]
    body: Option<String>,
    /// The event type whose templates fill it. Default: its own type.
    #[schema(max_length = 256, min_length = 1)]
    template: Option<String>,
    /// Variables of the templates, an object of at most 8 KiB; members of `data` stand in for what it leaves out.
    #[schema(value_type = Option<Object>)]
    vars: Option<serde_json::Value>,
    /// Where a click leads: a URL or a path of at most 2,048 bytes; none that a page would run.
    #[schema(max_length = 2048, min_length = 1)]
    action: Option<String>,
    /// Notices of one group are one entry, the newest. At most 128 bytes.
    #[schema(max_length = 128, min_length = 1)]
    group: Option<String>,
    /// How urgent it is. Default: `normal`.
    priority: Option<Priority>,
    /// Whether people are asked to take note.
    requires_ack: Option<bool>,
    /// From when on it is in no inbox any more.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Any JSON of at most 8 KiB.
    data: Option<serde_json::Value>,
    /// Which webhooks are told of people who have not taken note in time.
    #[schema(max_items = 5)]
    escalate: Option<Vec<EscalationStep>>,
    /// Left out, or naming nobody: that of its type, which must have one then.
    audience: Option<NoticeAudience>,
    /// What its event is called. Default: `notice`.
    r#type: Option<String>,
    /// Whose log. Only needed with credentials for several tenants.
    tenant: Option<String>,
    /// The event's name within the tenant, and its idempotency key.
    id: Option<String>,
    /// Default: `api`.
    source: Option<String>,
    subject: Option<String>,
    actor: Option<String>,
    except: Option<String>,
    #[schema(format = DateTime)]
    time: Option<String>,
}

/// What may go wrong when somebody looks into their inbox.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum InboxProblems {
    #[response(
        status = 400,
        description = "`invalid_parameter`, `invalid_cursor`",
        content_type = "application/problem+json"
    )]
    Malformed(ProblemDocument),
    #[response(
        status = 401,
        description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`",
        content_type = "application/problem+json"
    )]
    Unauthenticated(ProblemDocument),
    #[response(
        status = 403,
        description = "`missing_scope` (an API key), `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`",
        content_type = "application/problem+json"
    )]
    Forbidden(ProblemDocument),
    #[response(status = 429, description = "`too_many_requests`", content_type = "application/problem+json")]
    TooMany(ProblemDocument),
    #[response(status = 500, description = "`internal`", content_type = "application/problem+json")]
    Internal(ProblemDocument),
    #[response(
        status = 503,
        description = "`unavailable`, `ask_unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`",
        content_type = "application/problem+json"
    )]
    Unavailable(ProblemDocument),
}

/// What more may go wrong with a mark on one entry.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum NoEntry {
    #[response(
        status = 404,
        description = "`not_found`: no such entry in this inbox",
        content_type = "application/problem+json"
    )]
    Missing(ProblemDocument),
}

/// What more may go wrong when somebody follows a channel.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum FollowProblems {
    #[response(
        status = 409,
        description = "`too_many_follows`: 200",
        content_type = "application/problem+json"
    )]
    TooMany(ProblemDocument),
}

/// What may go wrong with a mark.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum MarkProblems {
    #[response(
        status = 400,
        description = "`invalid_json`, `invalid_body`, `invalid_parameter`",
        content_type = "application/problem+json"
    )]
    Malformed(ProblemDocument),
    #[response(
        status = 401,
        description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`",
        content_type = "application/problem+json"
    )]
    Unauthenticated(ProblemDocument),
    #[response(
        status = 403,
        description = "`missing_scope` (an API key), `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`",
        content_type = "application/problem+json"
    )]
    Forbidden(ProblemDocument),
    #[response(
        status = 408,
        description = "`request_timeout`: the body took longer than 10 s",
        content_type = "application/problem+json"
    )]
    Late(ProblemDocument),
    #[response(status = 413, description = "`body_too_large`", content_type = "application/problem+json")]
    TooLarge(ProblemDocument),
    #[response(
        status = 415,
        description = "`unsupported_media_type`",
        content_type = "application/problem+json"
    )]
    MediaType(ProblemDocument),
    #[response(
        status = 422,
        description = "`invalid_mark`: with the JSON pointer of the fault; nothing changed",
        content_type = "application/problem+json"
    )]
    Invalid(ProblemDocument),
    #[response(
        status = 429,
        description = "`body_share_full`, `too_many_requests`",
        content_type = "application/problem+json"
    )]
    TooMany(ProblemDocument),
    #[response(status = 500, description = "`internal`", content_type = "application/problem+json")]
    Internal(ProblemDocument),
    #[response(
        status = 503,
        description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`",
        content_type = "application/problem+json"
    )]
    Unavailable(ProblemDocument),
}
