//! `/v1/dry-runs`: what would be stored, what would it say, and how many people is it for?

use super::App;
use super::content::Accepts;
use super::inbox::shapes::NoticeBody;
use super::openapi::shapes::{PlainEvent, PublishProblems, PublishQuery};
use super::prepare::invalid;
use super::problem::{Code, Problem};
use super::publish;
use crate::access::Caller;
use crate::event::request::Form;
use crate::event::{Fault, FaultCode};
use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use carillon_backplane::log::Append;
use carillon_protocol::event::Priority;
use carillon_protocol::notice::{Notice, NoticeTexts};
use carillon_protocol::{Channel, EventId, TenantId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Most events of a request: each walks the devices of its tenant.
const MOST: usize = 10;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/dry-runs/events", post(events)).route("/v1/dry-runs/notices", post(notices))
}

/// Check an event without publishing it.
///
/// By everything that publishing it is checked by: form, schema, templates, channel rules. Nothing is stored or sent; it counts for the rates
/// of channels. The answer says what would be stored, what it would say in inboxes, in each language, and, to an API key with the scope
/// `read` or `admin` or a user token with the capability `admin`, how many people it is for. At most 10 events.
#[utoipa::path(
    post,
    path = "/v1/dry-runs/events",
    operation_id = "dryRunEvent",
    tag = "events",
    params(PublishQuery),
    request_body(content = PlainEvent, description = "As for `POST /v1/events`."),
    responses((status = 200, description = "It would be stored.", body = DryRun), PublishProblems),
)]
pub(super) async fn events(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish::receive(app, request, Accepts::Only(Form::Plain), true).await
}

/// Check a notice without publishing it.
///
/// As for an event: what it would say, in each language, and, to who may know, how many people it is for.
#[utoipa::path(
    post,
    path = "/v1/dry-runs/notices",
    operation_id = "dryRunNotice",
    tag = "notices",
    params(PublishQuery),
    request_body(content = NoticeBody, description = "As for `POST /v1/notices`."),
    responses((status = 200, description = "It would be stored.", body = DryRun), PublishProblems),
)]
pub(super) async fn notices(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish::receive(app, request, Accepts::Only(Form::Notice), true).await
}

/// What publishing would come to.
#[derive(Serialize, ToSchema)]
pub(super) struct DryRun {
    /// The events, in the order of the request.
    events: Vec<DryRunEvent>,
}

/// An event that would be stored.
#[derive(Serialize, ToSchema)]
pub(super) struct DryRunEvent {
    /// Its id; one that was made for it is another when it is published.
    #[schema(value_type = String)]
    id: EventId,
    /// Whose log.
    #[schema(value_type = String)]
    tenant: TenantId,
    /// Its type.
    r#type: String,
    /// Where it would go.
    #[schema(value_type = Vec<String>)]
    channels: Vec<Channel>,
    /// What would stand in inboxes; null: it is no notice.
    notice: Option<DryRunNotice>,
    /// Whom it would be for; null: the credentials may publish it and are not told who is there.
    audience: Option<DryRunAudience>,
}

/// What would stand in inboxes.
#[derive(Serialize, ToSchema)]
struct DryRunNotice {
    /// One line.
    title: String,
    /// More of it.
    body: Option<String>,
    /// Where a click leads.
    action: Option<String>,
    /// How urgent it is.
    priority: &'static str,
    /// Whether people are asked to take note.
    requires_ack: bool,
    /// What it says in other languages, by tag.
    #[schema(value_type = Object)]
    locales: BTreeMap<String, NoticeTexts>,
}

/// Whom an event is for, as far as they are known: who is named, who was seen, who follows, whose devices or connections are there.
#[derive(Serialize, ToSchema)]
struct DryRunAudience {
    /// People.
    people: u64,
    /// Their devices that are in the channels.
    devices: u64,
    /// People who are connected in the channels now.
    connected: u64,
    /// Whether these are all: everybody is named. Else people who were never seen may be missing.
    complete: bool,
}

/// What these events would come to. They were checked; nothing is stored.
pub(super) async fn answer(app: &App, caller: &Caller, appends: &[Append]) -> Result<Response, Problem> {
    if appends.len() > MOST {
        return Err(invalid(vec![Fault::at("", FaultCode::TooMany, "must have at most 10 events")]));
    }
    let mut events = Vec::with_capacity(appends.len());
    for append in appends {
        let (event, tenant) = (&append.event, &append.tenant);
        let sees_all = caller.enter(Some(tenant)).is_ok_and(|entry| entry.sees_all());
        let audience = match sees_all {
            true => Some(audience(app, &caller.name(), append).await?),
            false => None,
        };
        let shown = |notice: &Notice| DryRunNotice {
            title: notice.title.clone(),
            body: notice.body.clone(),
            action: notice.action.clone(),
            priority: notice.priority.or(event.priority).unwrap_or(Priority::Normal).as_str(),
            requires_ack: notice.requires_ack,
            locales: notice.locales.clone(),
        };
        events.push(DryRunEvent {
            id: event.id.clone(),
            tenant: tenant.clone(),
            r#type: event.kind.clone(),
            channels: event.channels.clone(),
            notice: event.notice.as_deref().map(shown),
            audience,
        });
    }
    if events.is_empty() {
        return Err(Problem::new(Code::Internal, "there is no event"));
    }
    Ok(Json(DryRun { events }).into_response())
}

/// Whom an event would be for.
async fn audience(app: &App, caller: &str, append: &Append) -> Result<DryRunAudience, Problem> {
    let (event, tenant) = (&append.event, &append.tenant);
    let _turn = app.reads.reader(tenant.as_str(), caller).turn().await?;
    let found = app.health.ask(app.log.audience(tenant, &event.channels)).await?;
    Ok(DryRunAudience {
        people: found.people,
        devices: found.devices,
        connected: found.connected,
        complete: event.channels.iter().all(|channel| channel.as_str().starts_with("user:")),
    })
}
