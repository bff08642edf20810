//! How is a webhook set, and how does it go?

use super::entrance::{Named, invalid, member, named, no_more, no_such_webhook, webhook, with_body};
use super::read::shown;
use super::shapes::{Webhook, WebhookBody, WriteProblems};
use super::{MOST, entrance};
use crate::access::Caller;
use crate::event::{Fault, FaultCode};
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::Problem;
use axum::Json;
use axum::extract::{Request, State};
use carillon_backplane::log::{PutWebhook, WebhookPut};
use carillon_platform::outbound::{Outbound, SigningSecret};
use carillon_protocol::{ChannelPattern, TypeFilter};
use http::{StatusCode, Uri};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Patterns of channels of one webhook.
const CHANNELS: usize = 16;
const KNOWN: &str = "url, types, channels, ordered and secret";

/// Set a webhook.
///
/// A new one sends what is published from now on; one that is there goes on where it is. Its secret is in the answer that made it and
/// in no other. Needs the scope or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/webhooks/{webhook}",
    operation_id = "putWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    request_body(content = WebhookBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "It was there and is as it was set.", body = Webhook),
        (status = 201, description = "It is new.", body = Webhook),
        WriteProblems,
    ),
)]
pub(in crate::http) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    request: Request,
) -> Result<(StatusCode, Json<Webhook>), Problem> {
    let (tenant, id, members) = with_body(&app, &caller, request, || webhook(path)).await?;
    let Wish { url, types, channels, ordered, secret } = Wish::read(members, app.asker.outbound())?;
    let fresh = SigningSecret::fresh();
    let put = PutWebhook {
        id: id.as_str(),
        url: &url,
        types: &types,
        channels: &channels,
        ordered,
        secret: secret.as_deref(),
        fresh: fresh.expose(),
        most: MOST,
    };
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    let done = app.health.ask(app.log.acting(&caller.name()).put_webhook(&tenant, put)).await?;
    let (status, made) = match done {
        WebhookPut::Created => (StatusCode::CREATED, Some(secret.as_deref().unwrap_or(fresh.expose()))),
        WebhookPut::Changed => (StatusCode::OK, secret.as_deref()),
        WebhookPut::Refused => {
            let detail = format!("there are {MOST} webhooks already, and no more may be");
            let fault = Fault::in_parameter("webhook", FaultCode::TooMany, detail);
            return Err(invalid(vec![fault]));
        }
    };
    tracing::info!(%tenant, webhook = id.as_str(), by = caller.name(), "webhook set");
    app.hint.webhook_has_changed();
    Ok((status, Json(shown(&app, &tenant, &id, made).await?)))
}

/// Delete a webhook.
///
/// With its failed deliveries. Needs the scope or the capability `admin`.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{webhook}",
    operation_id = "deleteWebhook",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "Its name."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "`not_found`: there is none of this name", body = ProblemDocument, content_type = "application/problem+json"),
        super::shapes::ReadProblems,
    ),
)]
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Named,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let (tenant, id) = named(&app, &caller, path, &uri)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    if !app.health.ask(app.log.acting(&caller.name()).delete_webhook(&tenant, id.as_str())).await? {
        return Err(no_such_webhook());
    }
    tracing::info!(%tenant, webhook = id.as_str(), by = caller.name(), "webhook deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// What a request wants set.
struct Wish {
    url: String,
    types: Vec<String>,
    channels: Vec<String>,
    ordered: bool,
    secret: Option<String>,
}

impl Wish {
    fn read(mut members: Map<String, Value>, outbound: &Outbound) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let url = match members.remove("url") {
            Some(Value::String(text)) => called(outbound, &text)
                .map_err(|fault| faults.push(Fault::at("/url", FaultCode::Invalid, fault)))
                .ok(),
            Some(_) => {
                faults.push(Fault::at("/url", FaultCode::WrongType, "must be a text"));
                None
            }
            None => {
                faults.push(Fault::at("/url", FaultCode::Required, "is required"));
                None
            }
        };
        let types = texts(&mut members, "types", &mut faults, |all| {
            TypeFilter::new(all.iter().map(String::as_str)).map(drop)
        });
        let channels = texts(&mut members, "channels", &mut faults, |all| match all.len() {
            ..=CHANNELS => all
                .iter()
                .try_for_each(|text| ChannelPattern::new(text).map(drop))
                .map_err(|fault| format!("each {fault}")),
            _ => Err(format!("at most {CHANNELS}")),
        });
        let ordered = member(&mut members, "ordered", "true or false", &mut faults, Value::as_bool);
        let secret = secret(&mut members, &mut faults);
        no_more(&members, KNOWN, &mut faults);
        match url {
            Some(url) if faults.is_empty() => {
                Ok(Self { url, types, channels, ordered: ordered.unwrap_or(true), secret })
            }
            _ => Err(invalid(faults)),
        }
    }
}

/// A secret that was given.
pub(super) fn secret(members: &mut Map<String, Value>, faults: &mut Vec<Fault>) -> Option<String> {
    let allowed = "whsec_ and base64, with padding, of 24 to 64 bytes";
    entrance::member(members, "secret", allowed, faults, |value| {
        let text = value.as_str()?.trim();
        SigningSecret::read(text).map(|_| text.to_owned())
    })
}

/// A URL as it is called: not every text that can be read as a URL can be stored.
fn called(outbound: &Outbound, text: &str) -> Result<String, String> {
    let called = outbound.target(text).map_err(|fault| fault.to_string())?.url().to_string();
    outbound.target(&called).map(|_| called).map_err(|fault| fault.to_string())
}

fn texts(
    members: &mut Map<String, Value>,
    name: &str,
    faults: &mut Vec<Fault>,
    check: impl FnOnce(&[String]) -> Result<(), String>,
) -> Vec<String> {
    let read = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let all = member(members, name, "an array of texts", faults, read).unwrap_or_default();
    if !all.is_empty()
        && let Err(fault) = check(&all)
    {
        faults.push(Fault::at(format!("/{name}"), FaultCode::Invalid, fault));
    }
    all
}
