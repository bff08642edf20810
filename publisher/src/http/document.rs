//! How is a JSON document read that sets something?
//!
//! As every body: small, in time, of one content type, with no member twice. Whoever is refused by the request's head has the body
//! read nevertheless, so that they see the answer.

use super::App;
use super::body;
use super::problem::{Code, Problem};
use crate::access::Caller;
use crate::event::Fault;
use crate::event::request::{Unreadable, value};
use axum::body::Body;
use carillon_protocol::{TenantId, limits};
use http::request::Parts;
use serde_json::Value;

/// What `judged` made of the request's head and the document; `invalid` says how faults of its form are told.
pub(super) async fn read<T>(
    app: &App,
    caller: &Caller,
    (parts, sent): (&Parts, Body),
    judged: impl FnOnce() -> Result<T, Problem>,
    tenant: impl FnOnce(&T) -> Option<TenantId>,
    invalid: impl FnOnce(Vec<Fault>) -> Problem,
) -> Result<(T, Value), Problem> {
    let judged = match body::is_json(&parts.headers).and_then(|()| judged()) {
        Ok(judged) => judged,
        Err(problem) => {
            body::discard(&app.bodies, parts, sent, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    let holder = body::holder(&caller.publisher(), tenant(&judged).as_ref());
    let held = body::read(&app.bodies, holder, parts, sent).await?;
    match value(&held.bytes) {
        Ok(value) => Ok((judged, value)),
        Err(Unreadable::NotJson(detail)) => Err(Problem::new(Code::InvalidJson, detail)),
        Err(Unreadable::Faulty(faults)) => Err(invalid(faults)),
    }
}
