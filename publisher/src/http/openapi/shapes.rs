//! Which shapes do requests and answers have?
//!
//! These types describe; validation, which tells every fault at once, is in [`crate::event`]. Defaults stand in words:
//! openapi-typescript makes a field that has a `default` mandatory. So does it that a CloudEvent's list may be a text, too: of a
//! field with two types openapi-generator makes code that does not compile, and oapi-codegen nothing at all.

#![expect(dead_code, reason = "the types describe JSON for utoipa; nothing builds them")]

use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// An event in Carillon's plain form.
///
/// At least one of `channels`, `users`, `roles` and `tenant_wide` says whom it is for; together they make at most 100
/// channels. Unknown fields are refused. The event's CloudEvents JSON has at most 64 KiB.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"tenant": "studio-nova", "type": "appointment.created", "users": ["42"], "roles": ["reception"], "data": {"at": "2026-03-01T09:30:00Z", "client": "Mila Kovač"}}))]
pub(in crate::http) struct PlainEvent {
    /// What happened, without white space.
    r#type: String,
    /// Whose log. Only needed with credentials for several tenants.
    tenant: Option<String>,
    /// Any JSON; kept byte for byte but for white space.
    data: Option<serde_json::Value>,
    /// Which system it happened in. Default: `api`.
    source: Option<String>,
    /// What it happened to.
    subject: Option<String>,
    /// Who did it. With a user token: its own user, another only with capability `admin`.
    actor: Option<String>,
    /// How urgent it is.
    priority: Option<Priority>,
    /// What it is the latest value of, in each of its channels. With `data: null` the key has none any more.
    key: Option<String>,
    /// What it says in the inboxes of all it is for. In the event it stands as a text.
    notify: Option<Notify>,
    /// Channels it goes to: `[A-Za-z0-9_.@:-]{1,128}`; after `user:` and `role:` any name.
    #[schema(max_items = 100)]
    channels: Option<Vec<String>>,
    /// One channel, instead of `channels`.
    channel: Option<String>,
    /// People it goes to: `42` is the channel `user:42`.
    #[schema(max_items = 100)]
    users: Option<Vec<String>>,
    /// Roles it goes to: `admin` is the channel `role:admin`.
    #[schema(max_items = 100)]
    roles: Option<Vec<String>>,
    /// Whether it goes to everyone of the tenant (the channel `tenant`).
    tenant_wide: Option<bool>,
    /// A connection that does not get it as it happens: the `connection` of its `welcome`. With a user token it must be the same person's.
    except: Option<String>,
    /// The event's name within the tenant; by default also its idempotency key.
    id: Option<String>,
    /// When it happened, 1970 to 9999; kept in UTC. Default: now.
    #[schema(format = DateTime)]
    time: Option<String>,
}

/// How urgent an event is.
#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Priority {
    Low,
    Normal,
    High,
    Urgent,
    Critical,
}

/// A CloudEvent 1.0 in JSON form.
///
/// `tenant`, `channels`, `users`, `roles`, `tenantwide` and `except` say where it goes and do not stay in the event. Further attributes are extensions: names of 1-20 of a-z and 0-9; text, number or boolean.
#[derive(ToSchema)]
#[schema(example = json!({"specversion": "1.0", "id": "a-1", "source": "/shop", "type": "order.paid", "tenant": "studio-nova", "channels": ["order:17"], "datacontenttype": "application/json", "data": {"total": 12.50}}))]
pub(in crate::http) struct CloudEvent {
    /// `1.0`.
    specversion: String,
    /// The event's name within the tenant, and its idempotency key.
    id: String,
    /// Which system it happened in.
    source: String,
    /// What happened, without white space.
    r#type: String,
    /// When it happened. Default: now.
    #[schema(format = DateTime)]
    time: Option<String>,
    /// What it happened to.
    subject: Option<String>,
    /// Media type of the data; kept.
    datacontenttype: Option<String>,
    /// Schema of the data; kept.
    dataschema: Option<String>,
    /// Any JSON.
    data: Option<serde_json::Value>,
    /// Bytes in base64, instead of `data`; kept as they are.
    data_base64: Option<String>,
    /// Whose log.
    tenant: Option<String>,
    /// Channels it goes to. May also be one text: names with commas between them, or the JSON of an array.
    #[schema(max_items = 100)]
    channels: Option<Vec<String>>,
    /// People it goes to. May also be one text; for names with commas it is the JSON of an array, `["Smith, John"]`.
    #[schema(max_items = 100)]
    users: Option<Vec<String>>,
    /// Roles it goes to. May also be one text.
    #[schema(max_items = 100)]
    roles: Option<Vec<String>>,
    /// Whether it goes to everyone of the tenant.
    tenantwide: Option<bool>,
    /// A connection that does not get it as it happens.
    except: Option<String>,
    /// Who did it.
    actor: Option<String>,
    /// How urgent it is.
    priority: Option<Priority>,
    /// What it is the latest value of, in each of its channels; kept. With `data: null` the key has none any more.
    latestkey: Option<String>,
    /// What it says in the inboxes of all it is for; kept. May also be a text that is its JSON.
    notify: Option<Notify>,
}

/// What an event says in people's inboxes. Unknown fields are refused.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct Notify {
    /// One line. Left out together with `body`: the templates of the event's type fill them.
    #[schema(max_length = 256, min_length = 1)]
    title: Option<String>,
    /// At most 4,096 characters; line feeds and tabs are kept.
    #[schema(max_length = 4096, min_length = 1)]
    body: Option<String>,
    /// The event type whose templates fill it. Default: the event's own.
    #[schema(max_length = 256, min_length = 1)]
    template: Option<String>,
    /// Variables of the templates, an object of at most 8 KiB; members of `data` stand in for what it leaves out.
    #[schema(value_type = Option<Object>)]
    vars: Option<serde_json::Value>,
    /// Where a click leads: a URL or a path; none that a page would run.
    #[schema(max_length = 2048, min_length = 1)]
    action: Option<String>,
    /// Notices of one group are one entry, the newest.
    #[schema(max_length = 128, min_length = 1)]
    group: Option<String>,
    /// Default: the event's, else `normal`.
    priority: Option<Priority>,
    /// Whether people are asked to take note.
    requires_ack: Option<bool>,
    /// From when on it is in no inbox any more.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Any JSON of at most 8 KiB. Default: the event's, if that is no larger.
    data: Option<serde_json::Value>,
    /// Which webhooks are told of people who have not taken note in time.
    #[schema(max_items = 5)]
    escalate: Option<Vec<EscalationStep>>,
}

/// When which webhook is told of whom. Unknown fields are refused.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"after": "5m", "to": "webhook:push"}))]
pub(in crate::http) struct EscalationStep {
    /// How long after the notice was stored: a number and `s`, `m`, `h` or `d`, from `1s` to `30d`.
    after: String,
    /// `webhook:` and the name of a webhook.
    #[schema(pattern = "^webhook:[A-Za-z0-9_.-]{1,64}$")]
    to: String,
    /// `not_acked` (the default): who has not taken note. `not_delivered`: whom it has not even reached.
    #[schema(pattern = "^(not_acked|not_delivered)$")]
    who: Option<String>,
}

/// An event as it is stored and delivered: CloudEvents 1.0 JSON, with the publisher's extension attributes.
#[derive(ToSchema)]
pub(in crate::http) struct StoredEvent {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    /// UTC, with `Z`.
    #[schema(format = DateTime)]
    time: String,
    subject: Option<String>,
    actor: Option<String>,
    priority: Option<Priority>,
    /// What it is the latest value of, in each of its channels.
    latestkey: Option<String>,
    /// What it says in people's inboxes: the JSON of an object, with `title`, what else it was given, and what templates made of it in `locales`.
    notify: Option<String>,
    data: Option<serde_json::Value>,
    /// Instead of `data`, when the publisher sent bytes.
    data_base64: Option<String>,
}

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(in crate::http) struct ProblemDocument {
    /// `urn:carillon:problem:<code>`
    r#type: String,
    /// The same for every problem of this code.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What about this request.
    detail: String,
    /// The stable name of the problem; the description of this document lists all.
    code: String,
    /// What to tell the operator.
    request_id: String,
    /// Every fault found, at most 100.
    errors: Option<Vec<FaultDocument>>,
}

/// One fault; it has one of `pointer`, `parameter` and `header`.
#[derive(ToSchema)]
pub(in crate::http) struct FaultDocument {
    /// JSON pointer into the body; for an array it begins with the event's index.
    pointer: Option<String>,
    /// A query parameter.
    parameter: Option<String>,
    /// A header.
    header: Option<String>,
    /// The stable name of the fault; the description of this document lists all.
    code: String,
    /// What to do about it.
    detail: String,
}

/// Of every path that publishes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PublishQuery {
    /// Tenant of events that name none.
    tenant: Option<String>,
}

/// Of every path that publishes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct PublishHeaders {
    /// 1-255 visible ASCII characters. A repeat with the same key and the same body gets the first answer; with another body, 422 `idempotency_mismatch`.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// A connection that gets none of these events as they happen, but those that name one themselves: the `connection` of its `welcome`.
    #[param(rename = "X-Carillon-Connection")]
    connection: Option<String>,
    /// 1-128 of A-Z, a-z, 0-9 and `-_.:/+=@`; echoed, else one is made.
    #[param(rename = "X-Request-Id")]
    request_id: Option<String>,
    /// W3C trace context, kept with the events; a malformed one is ignored.
    traceparent: Option<String>,
}

/// Attributes of a CloudEvent in binary mode. What is not visible ASCII is percent-encoded, and so are `"` and `%`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct AttributeHeaders {
    /// `1.0`.
    #[param(rename = "ce-specversion", example = "1.0")]
    specversion: String,
    /// The event's name within the tenant, and its idempotency key.
    #[param(rename = "ce-id", example = "b-1")]
    id: String,
    /// Which system it happened in.
    #[param(rename = "ce-source", example = "/shop")]
    source: String,
    /// What happened, without white space.
    #[param(rename = "ce-type", example = "order.paid")]
    r#type: String,
    /// When it happened. Default: now.
    #[param(rename = "ce-time")]
    time: Option<String>,
    /// What it happened to.
    #[param(rename = "ce-subject")]
    subject: Option<String>,
    /// Schema of the data; kept.
    #[param(rename = "ce-dataschema")]
    dataschema: Option<String>,
    /// Whose log.
    #[param(rename = "ce-tenant", example = "studio-nova")]
    tenant: Option<String>,
    /// Channels it goes to: names with commas between them, or the JSON of an array. At least one of `ce-channels`, `ce-users`, `ce-roles` and `ce-tenantwide` says whom the event is for; together they make at most 100 channels.
    #[param(rename = "ce-channels", example = "order:17")]
    channels: Option<String>,
    /// People it goes to: names with commas between them, or the JSON of an array, for names that have commas themselves (`["Smith, John"]`).
    #[param(rename = "ce-users")]
    users: Option<String>,
    /// Roles it goes to, as `ce-users`.
    #[param(rename = "ce-roles")]
    roles: Option<String>,
    /// Whether it goes to everyone of the tenant.
    #[param(rename = "ce-tenantwide")]
    tenantwide: Option<String>,
    /// A connection that does not get it as it happens.
    #[param(rename = "ce-except")]
    except: Option<String>,
    /// Who did it.
    #[param(rename = "ce-actor")]
    actor: Option<String>,
    /// How urgent it is.
    #[param(rename = "ce-priority")]
    priority: Option<String>,
    /// What it is the latest value of, in each of its channels; kept. With the body `null` the key has none any more.
    #[param(rename = "ce-latestkey")]
    latestkey: Option<String>,
}

/// What may go wrong with a request to publish.
#[derive(IntoResponses)]
pub(in crate::http) enum PublishProblems {
    #[response(
        status = 400,
        description = "`invalid_json`, `invalid_body`, `invalid_header`, `invalid_parameter`",
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
        description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `tenant_suspended`, `unknown_tenant`, `actor_forbidden`; `forbidden`: without the capability `publish` a channel rule decides, and `errors` says what none allows",
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
        description = "`validation` (every fault with its JSON pointer; nothing stored), `idempotency_mismatch`",
        content_type = "application/problem+json"
    )]
    Invalid(ProblemDocument),
    #[response(
        status = 429,
        description = "`tenant_share_full`, `caller_share_full`: too many events, or requests of 32 KiB and more, of this tenant or these credentials are waiting; `body_share_full`: too many of their bodies are being read; `rate_limited`: more than the channel's rule lets a person publish a second (nothing stored); `too_many_notices`: as many notices today as the tenant's limit says (nothing stored)",
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds to wait."))
    )]
    ShareFull(ProblemDocument),
    #[response(status = 500, description = "`internal`", content_type = "application/problem+json")]
    Internal(ProblemDocument),
    #[response(
        status = 503,
        description = "nothing stored: `overloaded`, `tenant_busy`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `no_partition`, `database_session`; outcome unknown, repeat with the same key: `unavailable`",
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds to wait."))
    )]
    Unavailable(ProblemDocument),
}
