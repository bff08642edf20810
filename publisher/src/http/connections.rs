//! `GET /v1/connections`: who is connected?
//!
//! From what gateways have stored, never by asking them.

use super::deliveries::{invalid_cursor, sees_everybody};
use super::openapi::shapes::ProblemDocument;
use super::problem::Problem;
use super::query::Query;
use super::{App, list, names, position};
use crate::access::Caller;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{ConnectionFilter, OpenConnection};
use carillon_protocol::{Channel, ConnectionName, DeviceId, Seq, TenantId, UserId};
use http::Uri;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Connections on a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Longest name of a node, in bytes.
const NODE_BYTES: usize = 64;
const PARAMETERS: [&str; 8] = ["tenant", "connection", "user", "device", "channel", "node", "after", "limit"];

/// One page of connections.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionPage {
    /// At most `limit`, by name.
    connections: Vec<ConnectionEntry>,
    /// Cursor for `after`: the next page. Null on the last one.
    next: Option<String>,
}

/// A connection that is open.
#[derive(Serialize, ToSchema)]
struct ConnectionEntry {
    /// Its name, as its `welcome` told it.
    connection: String,
    /// Whose; of an API key `key:<id>`.
    user: String,
    /// From which device; null where the client does not say.
    device: Option<String>,
    /// At which gateway.
    node: String,
    /// Since when.
    since: String,
    /// `websocket` or `sse`.
    transport: String,
    /// How long a ping took to be answered, in milliseconds, when it last came to be above or below 16, 32, 64 … ms; null: none was.
    rtt_ms: Option<u32>,
    /// Pings that were not answered before the next one, at most 255.
    lost_pings: u32,
    /// How many events of the log have not reached its device, whether they are for it or not; null where that is not known.
    #[schema(value_type = Option<u64>)]
    behind: Option<Seq>,
    /// From which address (IPv6: /64); left out where that is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
}

/// Who is connected: WebSockets and event streams.
///
/// As gateways have stored it, a second or two ago. Needs an API key with the scope `read` or `admin`, or a user token with the
/// capability `admin`. Filters combine with "and".
#[utoipa::path(
    get,
    path = "/v1/connections",
    operation_id = "listConnections",
    tag = "connections",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("connection" = Option<String>, Query, description = "Only the one of this name."),
        ("user" = Option<String>, Query, description = "Only this user's."),
        ("device" = Option<String>, Query, description = "Only from this device."),
        ("channel" = Option<String>, Query, description = "Only those in this channel, by its name."),
        ("node" = Option<String>, Query, description = "Only those at this gateway."),
        ("after" = Option<String>, Query, description = "`next` of a page: go on from there."),
        ("limit" = Option<u32>, Query, description = "Connections on a page.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page.", body = ConnectionPage, headers(("Carillon-Position" = String, description = "`<epoch>:<seq>`: where the tenant's log stood before connections were looked at. On the page without `after`; none in a tenant that was never used."))),
        (status = 400, description = "`invalid_parameter`, `invalid_cursor`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn connections(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = sees_everybody(app.enter(&caller, asked.as_ref())?)?;
    let filter = ConnectionFilter {
        connection: query
            .named("connection", |text| ConnectionName::new(text))?
            .map(|name| name.as_str().to_owned()),
        user: query.named("user", |text| UserId::new(text))?.map(String::from),
        device: query.named("device", |text| DeviceId::new(text))?.map(String::from),
        channel: query.named("channel", |text| Channel::new(text))?.map(String::from),
        node: query.parsed("node", "the name of a gateway", |text| {
            (1..=NODE_BYTES).contains(&text.len()).then(|| text.to_owned())
        })?,
    };
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let after =
        query.take("after").map(|text| names::decode(&text).ok_or_else(invalid_cursor)).transpose()?;
    let is_first = after.is_none();
    let [after] = after.unwrap_or_default();
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let _turn = reader.turn().await?;
    let stands = position::before(&app, &entry.tenant, is_first).await?;
    let mut found = app.health.ask(app.log.connections(&entry.tenant, &filter, &after, limit + 1)).await?;
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).map(|last| names::encode([&last.connection]));
    let page = ConnectionPage { connections: found.into_iter().map(shown).collect(), next };
    Ok((stands, Json(page)).into_response())
}

fn shown(open: OpenConnection) -> ConnectionEntry {
    ConnectionEntry {
        connection: open.connection,
        user: open.user,
        device: open.device,
        node: open.node,
        since: open.since.to_string(),
        transport: open.transport,
        rtt_ms: open.rtt_ms,
        lost_pings: open.lost_pings,
        behind: open.behind,
        address: open.address,
    }
}
