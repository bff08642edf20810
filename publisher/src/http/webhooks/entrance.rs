//! Who may administer whose webhooks, and what does the body say?

use crate::access::Caller;
use crate::event::request::{Unreadable, value};
use crate::event::{Fault, FaultCode, fault};
use crate::http::problem::{Code, Problem};
use crate::http::query::{self, Query};
use crate::http::{App, body, unknown_tenant};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use carillon_protocol::{TenantId, WebhookId, limits};
use http::Uri;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value};

/// A webhook in a path.
pub(super) type Named = Result<Path<String>, PathRejection>;

/// The tenant whose webhooks an administrator asks about.
pub(super) fn administrator(app: &App, caller: &Caller, query: &mut Query) -> Result<TenantId, Problem> {
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(caller, asked.as_ref())?;
    if entry.admin {
        return Ok(entry.tenant);
    }
    Err(Problem::new(Code::MissingScope, "webhooks need the scope or capability admin"))
}

/// The webhook that a path names.
pub(super) fn webhook(path: Named) -> Result<WebhookId, Problem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    WebhookId::new(text).map_err(|fault| query::invalid("webhook", fault.allowed))
}

/// The tenant and the webhook of a request without a body.
pub(super) fn named(
    app: &App,
    caller: &Caller,
    path: Named,
    uri: &Uri,
) -> Result<(TenantId, WebhookId), Problem> {
    let tenant = administrator(app, caller, &mut Query::read(uri, &["tenant"])?)?;
    Ok((tenant, webhook(path)?))
}

/// The tenant and what `place` makes of the path, and the members of the body; without a body none.
pub(super) async fn with_body<T>(
    app: &App,
    caller: &Caller,
    request: Request,
    place: impl FnOnce() -> Result<T, Problem>,
) -> Result<(TenantId, T, Map<String, Value>), Problem> {
    let (parts, sent) = request.into_parts();
    let announces = parts.headers.contains_key(CONTENT_TYPE)
        || parts.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let judged = || {
        let tenant = administrator(app, caller, &mut Query::read(&parts.uri, &["tenant"])?)?;
        if announces {
            body::is_json(&parts.headers)?;
        }
        Ok((tenant, place()?))
    };
    let (tenant, place) = match judged() {
        Ok(judged) => judged,
        Err(problem) => {
            body::discard(&app.bodies, &parts, sent, limits::BODY_BYTES).await;
            return Err(problem);
        }
    };
    let publisher = caller.publisher();
    let held = body::read(&app.bodies, body::holder(&publisher, Some(&tenant)), &parts, sent).await?;
    let members = if held.bytes.is_empty() {
        Map::new()
    } else {
        match value(&held.bytes) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(invalid(vec![Fault::at("", FaultCode::WrongType, "must be an object")])),
            Err(Unreadable::NotJson(detail)) => return Err(Problem::new(Code::InvalidJson, detail)),
            Err(Unreadable::Faulty(faults)) => return Err(invalid(faults)),
        }
    };
    if !app.tenants.ensure(&tenant, &publisher).await? {
        return Err(unknown_tenant());
    }
    Ok((tenant, place, members))
}

/// Takes a member that `read` understands; `allowed` says in words what it may be.
pub(super) fn member<T>(
    members: &mut Map<String, Value>,
    name: &str,
    allowed: &str,
    faults: &mut Vec<Fault>,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<T> {
    let value = members.remove(name).filter(|value| !value.is_null())?;
    let found = read(&value);
    if found.is_none() {
        faults.push(Fault::at(fault::member("", name), FaultCode::Invalid, format!("must be {allowed}")));
    }
    found
}

/// Every member that is left is one that is not known.
pub(super) fn no_more(members: &Map<String, Value>, known: &str, faults: &mut Vec<Fault>) {
    faults.extend(members.keys().take(fault::LISTED_FAULTS).map(|name| {
        let short: String = name.chars().take(64).collect();
        Fault::at(
            fault::member("", &short),
            FaultCode::UnknownField,
            format!("is not known; known are {known}"),
        )
    }));
}

pub(super) fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match &faults[..] {
        [only] => format!("the webhook has a fault: {}", only.detail),
        several => format!("the webhook has {} faults", several.len()),
    };
    Problem::new(Code::InvalidWebhook, detail).at(faults)
}

pub(super) fn no_such_webhook() -> Problem {
    Problem::new(Code::NotFound, "the tenant has no webhook of this name")
}
