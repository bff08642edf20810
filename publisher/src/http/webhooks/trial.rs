//! What does the endpoint answer now?

use super::act::nothing;
use super::entrance::{Named, no_such_webhook, webhook, with_body};
use super::shapes::{WebhookTest, WriteProblems};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::webhooks::{Attempt, Endpoint, Verdict};
use axum::Json;
use axum::extract::{Request, State};
use carillon_platform::outbound::Wanted;
use carillon_platform::share::{FairPermits, Holder, PermitLimits};
use carillon_protocol::TenantId;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

/// Tests under way in this process, and of one tenant: nobody waits for one.
const AT_A_TIME: PermitLimits = PermitLimits {
    total: 32,
    per_group: 2,
    per_member: 2,
    waiting: 0,
    waiting_per_group: 0,
    waiting_per_member: 0,
};

/// Tests of webhooks that are under way.
pub struct Trials(FairPermits<TenantId, ()>);

impl Default for Trials {
    fn default() -> Self {
        Self(FairPermits::new(AT_A_TIME))
    }
}

/// Test a webhook.
///
/// Sends one message of the type `carillon.webhook.test` now, whatever state the webhook is in, and answers what the endpoint answered. It
/// takes up to 15 s, and changes nothing. Needs the scope or the capability `admin`; the body is empty or `{}`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhook}/test",
    operation_id = "testWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 200, description = "It was sent; whether it was delivered is in the answer.", body = WebhookTest),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<Json<WebhookTest>, Problem> {
    let (tenant, id, members) = with_body(&app, &caller, request, || webhook(path)).await?;
    nothing(&members)?;
    let _trial = app.trials.0.try_acquire(Holder::group(tenant.clone())).map_err(|bound| {
        app.metrics.read_refused("webhook_test", bound);
        Problem::new(Code::TooManyRequests, "two tests of this tenant, or 32 of all, are under way")
    })?;
    let open = {
        let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
        app.health.ask(app.log.webhook_to_test(&tenant, id.as_str())).await?.ok_or_else(no_such_webhook)?
    };
    let (message, outbound) = (Uuid::now_v7(), app.asker.outbound());
    let body = json!({
        "specversion": "1.0",
        "id": message.to_string(),
        "source": "carillon",
        "type": "carillon.webhook.test",
        "time": format!("{:.3}", Timestamp::now()),
        "tenant": tenant.as_str(),
        "data": {"webhook": id.as_str()},
    });
    let message = format!("{tenant}_test_{message}");
    let endpoint = Endpoint::new(&tenant, &open, outbound);
    let body = body.to_string().into_bytes();
    let (verdict, attempt) = endpoint.send(outbound, &message, body, Wanted::OfAll).await;
    let Attempt { status, ms, error, answer, .. } = attempt;
    Ok(Json(WebhookTest { delivered: verdict == Verdict::Delivered, message, status, ms, error, answer }))
}
