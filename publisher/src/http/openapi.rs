//! `GET /openapi.json`: what is the contract, for programs?
//!
//! The operations are described at their handlers; here stand the shapes requests have and the two ways to
//! authenticate. These types describe; validation, which tells every fault at once, is in [`crate::event`].

#![expect(dead_code, reason = "the types describe JSON for utoipa; nothing builds them")]

use super::problem::Code;
use crate::event::FaultCode;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use std::fmt::Write;
use std::sync::LazyLock;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{OpenApi, ToSchema};

/// An event in Carillon's plain form.
///
/// At least one of `channels`, `users`, `roles` and `tenant_wide` says whom it is for; together they make at most 100
/// channels. Unknown fields are refused. The event's CloudEvents JSON has at most 64 KiB.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({"type": "appointment.created", "users": ["42"], "roles": ["reception"], "data": {"at": "2026-03-01T09:30:00Z", "client": "Mila Kovač"}}))]
pub(super) struct PlainEvent {
    /// What happened, without white space.
    #[schema(min_length = 1, max_length = 256)]
    r#type: String,
    /// Whose log. Only needed with credentials for several tenants.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant: Option<String>,
    /// Any JSON; kept byte for byte but for white space.
    data: Option<serde_json::Value>,
    /// Which system it happened in.
    #[schema(max_length = 256, default = "api")]
    source: Option<String>,
    /// What it happened to.
    #[schema(max_length = 256)]
    subject: Option<String>,
    /// Who did it. With a user token: its own user, another only with capability `admin`.
    #[schema(max_length = 128)]
    actor: Option<String>,
    /// How urgent it is.
    priority: Option<Priority>,
    /// Channels it goes to: `[A-Za-z0-9_.@:-]{1,128}`.
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
    /// The event's name within the tenant; by default also its idempotency key.
    #[schema(max_length = 128)]
    id: Option<String>,
    /// When it happened, 1970 to 9999; kept in UTC. Default: now.
    #[schema(format = DateTime)]
    time: Option<String>,
}

/// How urgent an event is.
#[derive(ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Priority {
    Low,
    Normal,
    High,
    Urgent,
    Critical,
}

/// One plain event, or an array of 1 to 500.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum PlainEvents {
    #[schema(title = "One event")]
    One(Box<PlainEvent>),
    #[schema(title = "1 to 500 events")]
    Several(Vec<PlainEvent>),
}

/// A CloudEvent 1.0 in JSON form.
///
/// `tenant`, `channels`, `users`, `roles` and `tenantwide` say where it goes and do not stay in the event; arrays may be
/// comma-separated texts. Further attributes are extensions: names of 1-20 of a-z and 0-9; text, number or boolean.
#[derive(ToSchema)]
#[schema(example = json!({"specversion": "1.0", "id": "a-1", "source": "/shop", "type": "order.paid", "channels": "order:17", "datacontenttype": "application/json", "data": {"total": 12.50}}))]
pub(super) struct CloudEvent {
    /// `1.0`.
    specversion: String,
    /// The event's name within the tenant, and its idempotency key.
    #[schema(min_length = 1, max_length = 128)]
    id: String,
    /// Which system it happened in.
    #[schema(min_length = 1, max_length = 256)]
    source: String,
    /// What happened, without white space.
    #[schema(min_length = 1, max_length = 256)]
    r#type: String,
    /// When it happened. Default: now.
    #[schema(format = DateTime)]
    time: Option<String>,
    /// What it happened to.
    #[schema(max_length = 256)]
    subject: Option<String>,
    /// Media type of the data; kept.
    #[schema(max_length = 256)]
    datacontenttype: Option<String>,
    /// Schema of the data; kept.
    #[schema(max_length = 256)]
    dataschema: Option<String>,
    /// Any JSON.
    data: Option<serde_json::Value>,
    /// Bytes in base64, instead of `data`; kept as they are.
    data_base64: Option<String>,
    /// Whose log.
    tenant: Option<String>,
    /// Channels it goes to.
    channels: Option<Names>,
    /// People it goes to.
    users: Option<Names>,
    /// Roles it goes to.
    roles: Option<Names>,
    /// Whether it goes to everyone of the tenant.
    tenantwide: Option<bool>,
    /// Who did it.
    #[schema(max_length = 128)]
    actor: Option<String>,
    /// How urgent it is.
    priority: Option<Priority>,
}

/// Names: an array, or for libraries whose attributes are scalars a comma-separated text. At most 100.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Names {
    #[schema(title = "Array of at most 100")]
    Array(Vec<String>),
    #[schema(title = "Comma-separated text")]
    Text(String),
}

/// An event as it is stored and delivered: CloudEvents 1.0 JSON.
#[derive(ToSchema)]
pub(super) struct StoredEvent {
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
    data: Option<serde_json::Value>,
}

/// One receipt, or for an array one for each event, in order.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum Receipts {
    #[schema(title = "Of one event")]
    One(super::publish::Receipt),
    #[schema(title = "Of an array")]
    Several(Vec<super::publish::Receipt>),
}

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(super) struct ProblemDocument {
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
pub(super) struct FaultDocument {
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

#[derive(OpenApi)]
#[openapi(
    info(title = "Carillon publisher", version = "1", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(super::publish::publish, super::list::list, super::list::event),
    components(schemas(PlainEvent, Priority, Names, StoredEvent, FaultDocument)),
    tags((name = "events", description = "The tenant's log: an acknowledged event is committed, ordered and delivered."))
)]
struct Contract;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut contract = Contract::openapi();
    contract.info.description = Some(description());
    let components = contract.components.get_or_insert_default();
    let bearer = |description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build(),
        )
    };
    let api_key = "An API key, `crln_<id>_<secret>`, with the scope `publish` or `read`.";
    let token = "A user token (JWT). Publishing needs the capability `publish`.";
    let header = ApiKeyValue::with_description("X-Api-Key", api_key);
    let named = [
        ("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header))),
        ("apiKeyBearer", bearer(api_key)),
        ("userToken", bearer(token)),
    ];
    let insert = |(name, scheme): (&str, SecurityScheme)| (name.to_owned(), scheme.into());
    components.security_schemes.extend(named.map(insert));
    let nothing: [&str; 0] = [];
    let schemes = ["apiKey", "apiKeyBearer", "userToken"];
    contract.security = Some(schemes.map(|scheme| SecurityRequirement::new(scheme, nothing)).to_vec());
    contract.to_json().unwrap_or_default()
});

/// The prose of the document, with every code there is.
fn description() -> String {
    let mut text = String::from(
        "Publish events and read a tenant's log. Errors are `application/problem+json` (RFC 9457) with a stable `code`; \
         a 503 carries `Retry-After`. Every answer carries `X-Request-Id`.\n\n\
         ## Problem codes\n\n| status | code | meaning |\n|---|---|---|\n",
    );
    for (code, meaning) in Code::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | `{}` | {} |", code.status().as_u16(), code.as_str(), meaning.trim());
    }
    text.push_str("\n## Fault codes (`errors[].code`)\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in FaultCode::ALL {
        let _ = writeln!(text, "| `{}` | {} |", code.as_str(), meaning.trim());
    }
    text
}

/// The handler.
pub(super) async fn serve() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.as_str()).into_response()
}

/// The document's text, for the reference in docs/.
pub fn document() -> &'static str {
    &DOCUMENT
}
