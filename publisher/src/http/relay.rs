//! `POST /v1/relayed-events`: how does a gateway publish for a person who is connected to it?
//!
//! The gateway has proven who they are, and their token is not asked for again: it proves itself, with a key of the scope
//! `relay` (docs/adr/0018), and says who it is that publishes. From there on they are a person without any capability: the
//! channels' rules decide, here as over REST. So the key is good for what rules let people do, and for nothing else.

use super::body;
use super::prepare::{Context, invalid};
use super::problem::{Code, Problem};
use super::publish::{Admitted, except, only_tenant, store, traceparent, unreadable};
use super::{App, caller};
use crate::access::{Caller, Scope};
use crate::event::request::{self, Form};
use crate::event::{Fault, FaultCode};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use carillon_platform::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_protocol::{TenantId, UserId, limits};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Instant;

/// The path that gateways know.
pub(super) const PATH: &str = "/v1/relayed-events";

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route(PATH, post(relay))
}

/// What a gateway sends: who publishes, and one event in the plain form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Relayed<'a> {
    tenant: TenantId,
    user: UserId,
    roles: Vec<String>,
    #[serde(borrow)]
    event: &'a RawValue,
}

async fn relay(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let mut sending = app.traces.send(traceparent(&parts.headers).as_deref());
    let gateway = match caller(&app, &parts).await {
        Ok(gateway) if gateway.may(Scope::Relay) => gateway,
        refused => {
            body::discard(&app.bodies, &parts, body, limits::BODY_BYTES).await;
            let needs = "only gateways publish for people who are connected to them";
            return Err(refused.err().unwrap_or_else(|| Problem::new(Code::MissingScope, needs)));
        }
    };
    body::is_json(&parts.headers)?;
    let except = except(&parts.headers)?;
    let held = body::read(&app.bodies, body::holder(&gateway.publisher(), None), &parts, body).await?;
    let (person, event) = read(&held.bytes)?;
    let tenant = only_tenant(&person, None);
    let whose = body::holder(&person.publisher(), tenant.as_ref());
    let turn = app.parsing.turn(held.bytes.len(), whose).await?;
    if turn.is_taken() {
        app.intake.check(1, None, &person.publisher())?;
    }
    let read = move || {
        let _held = held;
        request::read(event.get().as_bytes(), Form::Plain).map_err(unreadable)
    };
    let publication = turn.run(read).await?;
    let traceparent = sending.traceparent().map(str::to_owned);
    let context = Context { traceparent, except, ..Context::default() };
    store(&app, publication, (person, context), Admitted { room: None, turn }, &mut sending, began).await
}

/// Who publishes, and what.
fn read(body: &[u8]) -> Result<(Caller, Box<RawValue>), Problem> {
    let Relayed { tenant, user, roles, event } =
        serde_json::from_slice(body).map_err(|fault| Problem::new(Code::InvalidJson, fault.to_string()))?;
    if event.get().starts_with('[') {
        return Err(invalid(vec![Fault::at(
            "/event",
            FaultCode::WrongType,
            "must be one event, not an array",
        )]));
    }
    let identity = Identity {
        tenant,
        roles: roles.into(),
        credentials: Credentials {
            user,
            patterns: Box::default(),
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: u64::MAX,
            service: None,
        }
        .into(),
    };
    Ok((Caller::Relayed(identity), event.to_owned()))
}
