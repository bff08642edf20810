//! How do a webhook, a delivery and a test look?

use crate::http::openapi::shapes::ProblemDocument;
use carillon_backplane::log::{StoredDelivery, StoredWebhook};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// What is to be set. Unknown fields are refused; what is left out has its default.
#[derive(ToSchema)]
#[schema(example = json!({"url": "https://app.example/carillon", "types": ["order.*"]}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct WebhookBody {
    /// Where events are sent: `https`, at most 2,048 bytes, to a public address.
    url: String,
    /// Patterns of the types that are sent; left out or empty: all.
    types: Option<Vec<String>>,
    /// Patterns of the channels whose events are sent, as in tokens: a bare `*` is for no reserved channel; left out or empty: all.
    channels: Option<Vec<String>>,
    /// True (the default): an event is sent when the one before was delivered. False: up to 32 at a time, in any order.
    ordered: Option<bool>,
    /// What messages are signed with: `whsec_` and base64 of 24 to 64 bytes; left out: one is made, or stays. Of another one than before the one
    /// before signs, too, for 24 hours.
    secret: Option<String>,
}

/// A webhook: a cursor on the tenant's log.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct Webhook {
    /// Its name.
    id: String,
    /// Where events are sent.
    url: String,
    /// Patterns of the types that are sent; none: all.
    types: Vec<String>,
    /// Patterns of the channels whose events are sent; none: all.
    channels: Vec<String>,
    /// Whether an event waits until the one before was delivered.
    ordered: bool,
    /// `enabled` or `disabled`.
    state: &'static str,
    /// Why it is disabled: `administrator`, `gone` (it answered 410), `failing` (for five days), `too_many_failed` (1,000 deliveries are
    /// parked).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The history of the log that `seq` counts in.
    epoch: String,
    /// Everything up to here was delivered, is not wanted, or stands among the failed deliveries.
    seq: u64,
    /// Events of the log after it.
    behind: u64,
    /// Failed deliveries that are tried again.
    retrying: u32,
    /// Failed deliveries that only a person sends again.
    parked: u32,
    /// Nothing is sent before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waits_until: Option<String>,
    /// Of the first failed attempt since the last delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failing_since: Option<String>,
    /// Of the last delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivered_at: Option<String>,
    /// What messages are signed with: only in the answer to the request that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) secret: Option<String>,
    /// Until when the secret before signs, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret_before_until: Option<String>,
    /// Since when it is there.
    created_at: String,
    /// When an administrator changed it last.
    changed_at: String,
}

impl From<StoredWebhook> for Webhook {
    fn from(stored: StoredWebhook) -> Self {
        let text = |at: jiff::Timestamp| format!("{at:.3}");
        Self {
            id: stored.id,
            url: stored.url,
            types: stored.types,
            channels: stored.channels,
            ordered: stored.ordered,
            state: if stored.disabled.is_some() { "disabled" } else { "enabled" },
            reason: stored.disabled,
            epoch: stored.cursor.epoch.as_str().to_owned(),
            seq: stored.cursor.seq.0,
            behind: stored.head.0.saturating_sub(stored.cursor.seq.0),
            retrying: stored.retrying,
            parked: stored.parked,
            waits_until: stored.waits_until.filter(|until| *until > jiff::Timestamp::now()).map(text),
            failing_since: stored.failing_since.map(text),
            delivered_at: stored.delivered_at.map(text),
            secret: None,
            secret_before_until: stored.before_until.map(text),
            created_at: text(stored.created_at),
            changed_at: text(stored.changed_at),
        }
    }
}

/// A tenant's webhooks.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct Webhooks {
    /// All of them, by name: at most 50.
    pub(super) webhooks: Vec<Webhook>,
}

/// Where a replay begins.
#[derive(ToSchema)]
#[schema(example = json!({"from_seq": 4711}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct ReplayBody {
    /// The first event that is sent, again or for the first time; a number, or the same as a text.
    #[schema(minimum = 1)]
    from_seq: u64,
}

/// A new secret.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(in crate::http) struct RotateBody {
    /// `whsec_` and base64 of 24 to 64 bytes; left out: one is made.
    secret: Option<String>,
}

/// An attempt to deliver an event.
#[derive(ToSchema, Serialize, Deserialize)]
pub(in crate::http) struct WebhookAttempt {
    /// When it began.
    at: String,
    /// The answer's status; null: there was none.
    status: Option<u16>,
    /// How long it took, in milliseconds.
    ms: u64,
    /// Why it was no delivery.
    error: Option<String>,
}

/// A delivery that failed.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct WebhookDelivery {
    /// Of which event.
    seq: u64,
    /// `retrying`, or `parked`: only a person sends it again.
    state: &'static str,
    /// How often it failed.
    failures: u32,
    /// When it is tried again; left out of a parked one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_at: Option<String>,
    /// The last ten attempts, oldest first.
    attempts: Vec<WebhookAttempt>,
    /// The beginning of the last answer's body, at most 20 KiB.
    answer: String,
}

impl From<StoredDelivery> for WebhookDelivery {
    fn from(stored: StoredDelivery) -> Self {
        Self {
            seq: stored.seq.0,
            state: if stored.next_at.is_some() { "retrying" } else { "parked" },
            failures: stored.failures,
            next_at: stored.next_at.map(|at| format!("{at:.3}")),
            attempts: serde_json::from_str(&stored.attempts).unwrap_or_default(),
            answer: stored.answer,
        }
    }
}

/// Deliveries that failed.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct WebhookDeliveries {
    /// At most `limit`, by number.
    pub(super) deliveries: Vec<WebhookDelivery>,
    /// For `after`: the next page. Null on the last one.
    pub(super) next: Option<u64>,
}

/// What a test came to.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct WebhookTest {
    /// Whether the answer was a 2xx.
    pub(super) delivered: bool,
    /// The name of the message (`webhook-id`).
    pub(super) message: String,
    /// The answer's status; null: there was none.
    pub(super) status: Option<u16>,
    /// How long it took, in milliseconds.
    pub(super) ms: u64,
    /// Why it is no delivery; null: it is one.
    pub(super) error: Option<String>,
    /// The beginning of the answer's body, at most 20 KiB.
    pub(super) answer: String,
}

const PROBLEMS: [(&str, &str); 6] = [
    ("400", "`invalid_parameter`"),
    (
        "401",
        "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`",
    ),
    ("403", "`missing_scope`, `tenant_forbidden`"),
    ("429", "`too_many_requests`: this tenant, key or user reads as much at a time as it may"),
    ("500", "`internal`"),
    ("503", "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`"),
];
const OF_WRITES: [(&str, &str); 8] = [
    ("400", "`invalid_json`, `invalid_body`, `invalid_parameter`"),
    ("403", "`missing_scope`, `tenant_forbidden`, `unknown_tenant`"),
    ("408", "`request_timeout`: the body took longer than 10 s"),
    ("413", "`body_too_large`"),
    ("415", "`unsupported_media_type`"),
    ("422", "`invalid_webhook`: every fault with its JSON pointer; nothing changed"),
    ("429", "`body_share_full`, `too_many_requests`"),
    (
        "503",
        "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`",
    ),
];

/// Why webhooks are not read.
pub(in crate::http) struct ReadProblems;
/// Why nothing was done with a webhook.
pub(in crate::http) struct WriteProblems;

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        responses(&PROBLEMS)
    }
}

impl IntoResponses for WriteProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = responses(&PROBLEMS);
        all.extend(responses(&OF_WRITES));
        all
    }
}

fn responses(problems: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let response = |(status, what): &(&str, &str)| {
        let content = Content::new(Some(schema.clone()));
        let response = ResponseBuilder::new().description(*what).content("application/problem+json", content);
        ((*status).to_owned(), response.build().into())
    };
    problems.iter().map(response).collect()
}
