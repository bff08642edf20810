//! Which webhooks are there, and how is each doing?

use super::entrance::{Named, administrator, named, no_such_webhook};
use super::shapes::{ReadProblems, Webhook, Webhooks};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::Problem;
use crate::http::query::Query;
use axum::Json;
use axum::extract::State;
use carillon_protocol::{TenantId, WebhookId};
use http::Uri;
use std::sync::Arc;

/// List the webhooks.
///
/// Without secrets. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    operation_id = "listWebhooks",
    tag = "webhooks",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    responses((status = 200, description = "All of them.", body = Webhooks), ReadProblems),
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Webhooks>, Problem> {
    let tenant = administrator(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let webhooks = app.health.ask(app.log.webhooks(&tenant, None)).await?;
    Ok(Json(Webhooks { webhooks: webhooks.into_iter().map(Webhook::from).collect() }))
}

/// Read a webhook.
///
/// Without its secret: where it stands, whether it is failing and since when. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhook}",
    operation_id = "getWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "The webhook.", body = Webhook),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(in crate::http) async fn one(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    uri: Uri,
) -> Result<Json<Webhook>, Problem> {
    let (tenant, id) = named(&app, &caller, path, &uri)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    shown(&app, &tenant, &id, None).await.map(Json)
}

/// A webhook as it is stored now, with the secret that a request has made.
pub(super) async fn shown(
    app: &App,
    tenant: &TenantId,
    id: &WebhookId,
    secret: Option<&str>,
) -> Result<Webhook, Problem> {
    let stored = app.health.ask(app.log.webhooks(tenant, Some(id.as_str()))).await?;
    let mut webhook = stored.into_iter().next().map(Webhook::from).ok_or_else(no_such_webhook)?;
    webhook.secret = secret.map(str::to_owned);
    Ok(webhook)
}
