//! Which path takes events in which form?
//!
//! `POST /v1/events` takes every form, as the headers say. Programs that generate clients want one media type and one
//! answer of an operation, so the document describes it with one plain event, and each other form has a path of its own.

use super::App;
use super::content::Accepts;
use super::openapi::shapes::{
    AttributeHeaders, CloudEvent, PlainEvent, PublishHeaders, PublishProblems, PublishQuery,
};
use super::problem::Problem;
use super::publish::{Receipt, publish};
use crate::event::request::Form;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use std::sync::Arc;

/// The paths that publish.
pub(super) const PATHS: [&str; 5] = [
    "/v1/events",
    "/v1/event-batches",
    "/v1/cloudevents",
    "/v1/cloudevent-batches",
    "/v1/binary-cloudevents",
];

/// The paths that publish and do nothing else.
pub(super) fn router() -> Router<Arc<App>> {
    let [_, batches, cloudevents, cloudevent_batches, binary] = PATHS;
    Router::new()
        .route(batches, post(batch))
        .route(cloudevents, post(cloudevent))
        .route(cloudevent_batches, post(cloudevent_batch))
        .route(binary, post(binary_cloudevent))
}

/// Publish one event.
///
/// `201` means committed. To repeat a request safely, send an `Idempotency-Key` (or choose the event's `id`): the repeat
/// gets the first answer, for 48 hours. By their headers this path takes the forms of the others, too, and an array of plain
/// events; an array's answer is an array.
#[utoipa::path(
    post,
    path = "/v1/events",
    operation_id = "publishEvent",
    tag = "events",
    params(PublishQuery, PublishHeaders),
    request_body(content = PlainEvent, description = "At most 1 MiB, no content-encoding, JSON nested at most 64 levels, no member twice in one object."),
    responses(
        (status = 201, description = "Committed.", body = Receipt,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
pub(super) async fn event(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish(app, request, Accepts::EveryForm).await
}

/// Publish 1 to 500 events.
///
/// All are stored, or none. The receipts come in the order of the events.
#[utoipa::path(
    post,
    path = "/v1/event-batches",
    operation_id = "publishEventBatch",
    tag = "events",
    params(PublishQuery, PublishHeaders),
    request_body(content = Vec<PlainEvent>, description = "As for one event; at most 1 MiB in all."),
    responses(
        (status = 201, description = "Committed.", body = Vec<Receipt>,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
async fn batch(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish(app, request, Accepts::Only(Form::PlainBatch)).await
}

/// Publish one CloudEvent.
///
/// CloudEvents 1.0 in structured mode; the content type may be `application/json`, too. With `ce-` headers it is binary mode.
#[utoipa::path(
    post,
    path = "/v1/cloudevents",
    operation_id = "publishCloudEvent",
    tag = "events",
    params(PublishQuery, PublishHeaders),
    request_body(content = CloudEvent, content_type = "application/cloudevents+json", description = "As for a plain event."),
    responses(
        (status = 201, description = "Committed.", body = Receipt,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
async fn cloudevent(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish(app, request, Accepts::CloudEvent).await
}

/// Publish 1 to 500 CloudEvents.
///
/// All are stored, or none. The receipts come in the order of the events. The content type may be `application/json`, too.
#[utoipa::path(
    post,
    path = "/v1/cloudevent-batches",
    operation_id = "publishCloudEventBatch",
    tag = "events",
    params(PublishQuery, PublishHeaders),
    request_body(content = Vec<CloudEvent>, content_type = "application/cloudevents-batch+json", description = "As for plain events."),
    responses(
        (status = 201, description = "Committed.", body = Vec<Receipt>,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
async fn cloudevent_batch(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish(app, request, Accepts::Only(Form::CloudEventBatch)).await
}

/// Publish one CloudEvent in binary mode.
///
/// The attributes are headers, the body is the data, of any content type, which becomes `datacontenttype`. JSON stands in
/// `data` as it is, text and XML in UTF-8 as a text, everything else in `data_base64`. Further headers `ce-<name>` are extension
/// attributes: names of 1-20 of a-z and 0-9.
#[utoipa::path(
    post,
    path = "/v1/binary-cloudevents",
    operation_id = "publishBinaryCloudEvent",
    tag = "events",
    params(PublishQuery, PublishHeaders, AttributeHeaders),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The data, of any content type; at most 64 KiB with the attributes, as CloudEvents JSON."),
    responses(
        (status = 201, description = "Committed.", body = Receipt,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
async fn binary_cloudevent(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    publish(app, request, Accepts::Binary).await
}
