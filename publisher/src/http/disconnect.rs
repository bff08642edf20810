//! `DELETE /v1/connections`: how is somebody disconnected who must not come back with the token they have?

use super::connections::connections;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, no_entry, unknown_tenant};
use crate::access::Caller;
use crate::event::{Fault, FaultCode};
use axum::extract::State;
use axum::routing::delete;
use axum::{Json, Router};
use carillon_backplane::log::{Revoke, RevokeOutcome};
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

/// What was disconnected.
#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    /// How many connections that ends; null: it is not known.
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
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
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
    let whom = Whom::read(&mut query)?;
    let entry = caller.enter(asked.as_ref()).map_err(no_entry)?;
    if !entry.admin {
        let detail = "to disconnect somebody needs the scope or capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let tenant = entry.tenant;
    if !app.tenants.ensure(&tenant, &caller.publisher()).await? {
        return Err(unknown_tenant());
    }
    let lasts = if whom.connection.is_some() { OF_CONNECTION } else { app.revocations_last };
    let outcome = {
        let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
        app.rules.revoke(&tenant, whom.borrowed(), lasts, MOST).await?
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
    let Whom { user, device, connection } = &whom;
    let by = caller.name();
    tracing::info!(%tenant, ?user, ?device, ?connection, by, "disconnected by an administrator");
    if connection.is_none() {
        tokio::time::sleep(second_left).await;
    }
    Ok((StatusCode::ACCEPTED, Json(Disconnected { connections: None })))
}

/// Whom a request names.
struct Whom {
    user: Option<UserId>,
    device: Option<DeviceId>,
    connection: Option<ConnectionName>,
}

impl Whom {
    fn read(query: &mut Query) -> Result<Self, Problem> {
        let whom = Self {
            user: query.named("user", |text| UserId::new(text))?,
            device: query.named("device", |text| DeviceId::new(text))?,
            connection: query.named("connection", |text| ConnectionName::new(text))?,
        };
        match (&whom.user, &whom.device, &whom.connection) {
            (Some(_), _, None) | (None, Some(_), None) | (None, None, Some(_)) => Ok(whom),
            (None, None, None) => {
                let detail = "one of user, device and connection is required";
                let fault = Fault::in_parameter("user", FaultCode::Required, "is required");
                Err(Problem::new(Code::InvalidParameter, detail).at(vec![fault]))
            }
            (_, _, Some(_)) => {
                Err(query::invalid_because("connection", "stands alone, without user and device"))
            }
        }
    }

    fn borrowed(&self) -> Revoke<'_> {
        let Self { user, device, connection } = self;
        Revoke { user: user.as_ref(), device: device.as_ref(), connection: connection.as_ref() }
    }
}
