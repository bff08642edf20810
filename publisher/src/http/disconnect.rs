//! `DELETE /v1/connections`: how is somebody disconnected who must not come back with the token they have?

use super::connections::connections;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, unknown_tenant};
use crate::access::Caller;
use crate::event::{Fault, FaultCode};
use axum::extract::State;
use axum::routing::delete;
use axum::{Json, Router};
use carillon_backplane::log::{Revoke, RevokeOutcome};
use carillon_platform::auth::Target;
use carillon_protocol::{ConnectionName, DeviceId, TenantId, UserId};
use http::{StatusCode, Uri};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Revocations of people and devices that a tenant may have at a time; and of single connections.
const MOST: u32 = 10_000;
/// How long that of one connection is kept: no name is given twice, and every node has read it long before.
const OF_CONNECTION: Duration = Duration::from_secs(60 * 60);

/// How long gateways have at least to close connections and say how many, before that is answered.
const CLOSING: Duration = Duration::from_millis(300);

/// What was disconnected.
#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    /// How many connections gateways had closed because of it when this was answered; null: Redis did not say.
    connections: Option<u64>,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/connections", delete(disconnect).get(connections))
}

/// Disconnect a person, a device or one connection.
///
/// Within a second every node closes what is meant with 4410. Of a person or a device, tokens that were issued before are refused from
/// then on, everywhere, with `token_revoked`; one connection's token stays good. The answer to the first two comes when the second is
/// over in which it was asked for (most issuers write whole seconds): a token that is issued after it works. Exactly one of `user`,
/// `device` and `connection`, or `user` and `device` together. Needs the scope or the capability `admin`.
#[utoipa::path(
    delete,
    path = "/v1/connections",
    operation_id = "disconnect",
    tag = "connections",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("user" = Option<String>, Query, description = "The person."),
        ("device" = Option<String>, Query, description = "What a client calls its device; with `user` that person's alone."),
        ("connection" = Option<String>, Query, description = "One connection, as its `welcome` named it."),
    ),
    responses(
        (status = 202, description = "It holds.", body = Disconnected),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`too_many_revocations`: 10,000 of the tenant hold; nobody was disconnected", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`: nobody was disconnected, ask again", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn disconnect(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<(StatusCode, Json<Disconnected>), Problem> {
    let mut query = Query::read(&uri, &["tenant", "user", "device", "connection"])?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let target = target(&mut query)?;
    let entry = app.enter(&caller, asked.as_ref())?;
    if !entry.admin {
        let detail = "to disconnect somebody needs the scope or capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let tenant = entry.tenant;
    if !app.tenants.ensure(&tenant, &caller.publisher()).await? {
        return Err(unknown_tenant());
    }
    let is_connection = matches!(target, Target::Connection(_));
    let lasts = if is_connection { OF_CONNECTION } else { app.revocations_last };
    app.stats.begin_closing(&tenant, &target).await;
    let outcome = {
        let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
        app.rules.revoke(&caller.name(), &tenant, revocation(&target), lasts, MOST).await?
    };
    let second_left = match outcome {
        RevokeOutcome::Revoked { second_left } => second_left,
        RevokeOutcome::NoTenant => {
            app.tenants.forget(&tenant);
            return Err(unknown_tenant());
        }
        RevokeOutcome::Full => {
            let detail = format!(
                "{MOST} revocations of this tenant hold, as many as it may have; nobody was disconnected"
            );
            return Err(Problem::new(Code::TooManyRevocations, detail));
        }
    };
    // Who it was is personal: that is told where whoever looks for it has asked for details.
    let by_key = if let Caller::Key(_) = &caller { Some(caller.name()) } else { None };
    tracing::info!(%tenant, kind = target.kind(), by_key, "disconnected by an administrator");
    tracing::debug!(%tenant, ?target, by = caller.name(), "disconnected by an administrator");
    // Tokens of a connection stay good: there is no second to wait for.
    let wait = if is_connection { CLOSING } else { second_left.max(CLOSING) };
    tokio::time::sleep(wait).await;
    let connections = app.stats.closed(&tenant, &target).await;
    Ok((StatusCode::ACCEPTED, Json(Disconnected { connections })))
}

/// Whom a request names.
fn target(query: &mut Query) -> Result<Target, Problem> {
    let user = query.named("user", |text| UserId::new(text))?;
    let device = query.named("device", |text| DeviceId::new(text))?;
    let connection = query.named("connection", |text| ConnectionName::new(text))?;
    match (user, device, connection) {
        (Some(user), None, None) => Ok(Target::User(user)),
        (user, Some(device), None) => Ok(Target::Device(device, user)),
        (None, None, Some(name)) => Ok(Target::Connection(name)),
        (None, None, None) => {
            let detail = "one of user, device and connection is required";
            let fault = Fault::in_parameter("user", FaultCode::Required, "is required");
            Err(Problem::new(Code::InvalidParameter, detail).at(vec![fault]))
        }
        (_, _, Some(_)) => Err(query::invalid_because("connection", "stands alone, without user and device")),
    }
}

fn revocation(target: &Target) -> Revoke<'_> {
    match target {
        Target::User(user) => Revoke { user: Some(user), ..Revoke::default() },
        Target::Device(device, user) => {
            Revoke { user: user.as_ref(), device: Some(device), ..Revoke::default() }
        }
        Target::Connection(name) => Revoke { connection: Some(name), ..Revoke::default() },
    }
}
