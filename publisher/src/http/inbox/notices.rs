//! `POST /v1/notices`: how is something put into inboxes that is no event of the application?

use super::shapes::NoticeBody;
use crate::event::request::Form;
use crate::http::App;
use crate::http::content::Accepts;
use crate::http::openapi::shapes::{PublishHeaders, PublishProblems, PublishQuery};
use crate::http::problem::Problem;
use crate::http::publish::{self, Receipt};
use axum::extract::{Request, State};
use axum::response::Response;
use std::sync::Arc;

/// Put a notice into inboxes.
///
/// It is an event, too: it goes to whoever is connected, and into the log. `201` means that it is in the inbox of everybody it is for. To
/// repeat a request safely, send an `Idempotency-Key` or choose the `id`. Needs the scope or the capability `publish`.
#[utoipa::path(
    post,
    path = "/v1/notices",
    operation_id = "publishNotice",
    tag = "notices",
    params(PublishQuery, PublishHeaders),
    request_body(content = NoticeBody, description = "At most 64 KiB as CloudEvents JSON. Unknown fields are refused."),
    responses(
        (status = 201, description = "Committed.", body = Receipt,
            headers(("Idempotency-Replayed" = String, description = "`true` when nothing was stored now: the answer is that of the first request."))),
        PublishProblems,
    ),
)]
pub(in crate::http) async fn publish(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    publish::publish(app, request, Accepts::Only(Form::Notice)).await
}
