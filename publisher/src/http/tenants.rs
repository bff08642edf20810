//! `/v1/tenants/{tenant}`: what is set for a tenant beside its channel rules?
//!
//! A field that is left out stays as it is, so that each can be set by itself. Secrets are shown once, by the request that made them.

use super::body;
use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, unknown_tenant};
use crate::access::{Caller, Entry};
use crate::event::{Fault, FaultCode, fault};
use crate::rules::Changed;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::routing::get;
use axum::{Json, Router};
use carillon_backplane::log::{Owner, Settings, StoredApplication};
use carillon_platform::outbound::SigningSecret;
use carillon_platform::rules::TenantLimits;
use carillon_platform::whole::whole;
use carillon_protocol::TenantId;
use http::Uri;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// How long the secret before signs, too, after a rotation.
const ROTATION_SECONDS: u64 = 24 * 60 * 60;

/// What is to be set.
///
/// A field that is left out stays as it is. Unknown fields are refused.
#[derive(ToSchema)]
#[schema(example = json!({"authorize_url": "https://app.example/carillon/authorize"}))]
#[expect(dead_code, reason = "it describes a body for utoipa")]
pub(super) struct TenantSettingsBody {
    /// Where the tenant's application is asked about channel rules that say `ask`; null: nowhere, and such rules give nobody anything.
    /// `https`, at most 2,048 bytes, to a public address. Whatever is set here, also the same again, has all its verdicts forgotten.
    authorize_url: Option<String>,
    /// How much the tenant may have and do, all of it anew; null: no limits. Only with an API key for all tenants.
    limits: Option<LimitsBody>,
    /// True: the tenant's connections end, and nobody publishes or reads in it until false is set. Nothing of it is lost. Only with an API
    /// key for all tenants.
    suspended: Option<bool>,
    /// True: a new secret from now on; the one before signs, too, for 24 hours.
    rotate_authorize_secret: Option<bool>,
}

/// How much a tenant may have and do. What is left out or null has no limit of this kind.
#[derive(ToSchema, Serialize)]
pub(super) struct LimitsBody {
    /// Connections at a time, on all nodes together.
    #[schema(minimum = 1, maximum = 1_000_000)]
    connections: Option<u64>,
    /// Events a second that are published into its log.
    #[schema(minimum = 1, maximum = 1_000_000)]
    events_per_second: Option<u32>,
    /// Signals a second that its clients send.
    #[schema(minimum = 1, maximum = 1_000_000)]
    signals_per_second: Option<u32>,
    /// Notices a day, from midnight to midnight UTC.
    #[schema(minimum = 1, maximum = 1_000_000)]
    notices_per_day: Option<u32>,
}

impl LimitsBody {
    /// None: without limits.
    pub(super) fn of(limits: TenantLimits) -> Option<Self> {
        let TenantLimits { connections, events_per_second, signals_per_second, notices_per_day } = limits;
        (!limits.is_empty()).then_some(Self {
            connections,
            events_per_second,
            signals_per_second,
            notices_per_day,
        })
    }
}

/// What is set for a tenant.
#[derive(ToSchema, Serialize)]
pub(super) struct TenantSettings {
    /// The tenant.
    tenant: String,
    /// Where its application is asked about channel rules that say `ask`; null: nowhere.
    authorize_url: Option<String>,
    /// What questions are signed with (Standard Webhooks): only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authorize_secret: Option<String>,
    /// Until when the secret before signs, too; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authorize_secret_before_until: Option<String>,
    /// How much it may have and do; left out: without limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limits: Option<LimitsBody>,
    /// True while it is suspended; else left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    suspended: bool,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/tenants/{tenant}", get(read).put(set))
}

/// Read a tenant's settings.
///
/// Without secrets. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}",
    operation_id = "getTenantSettings",
    tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant.")),
    responses(
        (status = 200, description = "What is set.", body = TenantSettings),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<TenantSettings>, Problem> {
    Query::read(&uri, &[])?;
    let Entry { tenant, .. } = administrator(&app, &caller, path)?;
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    stored(&app, &tenant, None).await
}

/// The settings as they are stored, with the secret that a request has made.
async fn stored(app: &App, tenant: &TenantId, secret: Option<&str>) -> Result<Json<TenantSettings>, Problem> {
    let settings = app.rules.settings(&Owner::Tenant(tenant.clone())).await?.unwrap_or_default();
    Ok(Json(shown(tenant, &settings, secret)))
}

/// Set a tenant's settings.
///
/// Gateways follow within a second, at once while Redis is there. Needs the scope or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/tenants/{tenant}",
    operation_id = "putTenantSettings",
    tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant.")),
    request_body(content = TenantSettingsBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "It holds.", body = TenantSettings),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_settings`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<TenantSettings>, Problem> {
    let (parts, sent) = request.into_parts();
    let publisher = caller.publisher();
    let judged = || {
        Query::read(&parts.uri, &[])?;
        let tenant = administrator(&app, &caller, path)?.tenant;
        body::is_json(&parts.headers)?;
        let holder = body::holder(&publisher, Some(&tenant));
        Ok((tenant, holder))
    };
    let (tenant, said, _held) = body::document(&app.bodies, &parts, sent, judged(), invalid).await?;
    let wish = Wish::read(said, &app)?;
    if !app.tenants.ensure(&tenant, &publisher).await? {
        return Err(unknown_tenant());
    }
    let _turn = app.reads.reader(tenant.as_str(), &caller.name()).turn().await?;
    if (wish.limits.is_some() || wish.suspended.is_some()) && !caller.is_of_installation() {
        let detail = "limits, and whether a tenant is suspended, are set with an API key for all tenants with the scope admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    if let Some(limits) = wish.limits {
        if app.rules.set_limits(&caller.name(), &tenant, limits).await? == Changed::NoOwner {
            return Err(unknown_tenant());
        }
        tracing::info!(%tenant, ?limits, by = caller.name(), "tenant limits set");
    }
    if let Some(suspended) = wish.suspended {
        if app.rules.set_suspended(&caller.name(), &tenant, suspended).await? == Changed::NoOwner {
            return Err(unknown_tenant());
        }
        app.limits.suspend(&tenant, suspended);
        tracing::info!(%tenant, suspended, by = caller.name(), "whether a tenant is suspended was set");
    }
    if wish.url.is_some() || wish.rotate {
        return change(&app, &caller, tenant, wish).await;
    }
    stored(&app, &tenant, None).await
}

async fn change(
    app: &App,
    caller: &Caller,
    tenant: TenantId,
    wish: Wish,
) -> Result<Json<TenantSettings>, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let fresh = SigningSecret::fresh();
    let (mut written, mut is_new) = (None, false);
    let by = caller.name();
    let changed = app.rules.set_application(&by, &tenant, |before| {
        (written, is_new) = wish.applied(before, fresh.expose(), now)?;
        Ok::<_, Problem>(written.clone())
    });
    match changed.await? {
        Changed::Yes => {
            tracing::info!(%tenant, asked = written.is_some(), secret = is_new, by = caller.name(), "tenant settings set");
            stored(app, &tenant, is_new.then(|| fresh.expose())).await
        }
        Changed::NoOwner => Err(unknown_tenant()),
    }
}

/// What a request wants set.
struct Wish {
    /// A URL, or none; left out: as it is.
    url: Option<Option<String>>,
    rotate: bool,
    /// All limits; left out: as they are.
    limits: Option<TenantLimits>,
    /// Left out: as it is.
    suspended: Option<bool>,
}

impl Wish {
    fn read(body: Value, app: &App) -> Result<Self, Problem> {
        let Value::Object(mut fields) = body else {
            return Err(invalid(vec![Fault::at("", FaultCode::WrongType, "must be an object: settings")]));
        };
        let mut faults = Vec::new();
        let url = match fields.remove("authorize_url") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::String(text)) => {
                // As it is called: not every text that can be read as a URL can be stored.
                let outbound = app.asker.outbound();
                let called = outbound.target(&text).map(|target| target.url().to_string());
                match called.and_then(|called| outbound.target(&called).map(|_| called)) {
                    Ok(called) => Some(Some(called)),
                    Err(fault) => {
                        faults.push(Fault::at("/authorize_url", FaultCode::Invalid, fault.to_string()));
                        None
                    }
                }
            }
            Some(_) => {
                faults.push(Fault::at("/authorize_url", FaultCode::WrongType, "must be a text or null"));
                None
            }
        };
        let rotate = match fields.remove("rotate_authorize_secret") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(rotate)) => rotate,
            Some(_) => {
                let detail = "must be true or false";
                faults.push(Fault::at("/rotate_authorize_secret", FaultCode::WrongType, detail));
                false
            }
        };
        let suspended = match fields.remove("suspended") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(suspended)) => Some(suspended),
            Some(_) => {
                let detail = "must be true or false";
                faults.push(Fault::at("/suspended", FaultCode::WrongType, detail));
                None
            }
        };
        let limits = fields.remove("limits").map(|value| limits(value, &mut faults));
        let known = "is no setting; known are authorize_url, rotate_authorize_secret, limits and suspended";
        faults.extend(fields.keys().take(fault::LISTED_FAULTS).map(|name| {
            let short: String = name.chars().take(64).collect();
            Fault::at(fault::member("", &short), FaultCode::UnknownField, known)
        }));
        if faults.is_empty() { Ok(Self { url, rotate, limits, suspended }) } else { Err(invalid(faults)) }
    }

    /// What is stored after it, where this was before; and whether its secret is the fresh one.
    fn applied(
        &self,
        before: Option<&StoredApplication>,
        fresh: &str,
        now: u64,
    ) -> Result<(Option<StoredApplication>, bool), Problem> {
        let url = match (&self.url, before) {
            (Some(Some(url)), _) => url.clone(),
            (None, Some(before)) => before.url.clone(),
            (Some(None) | None, _) if self.rotate => {
                let detail = "there is no secret: set an authorize_url";
                return Err(invalid(vec![Fault::at(
                    "/rotate_authorize_secret",
                    FaultCode::Conflicting,
                    detail,
                )]));
            }
            (Some(None) | None, _) => return Ok((None, false)),
        };
        let set = |secret: &str, before| StoredApplication {
            url,
            secret: secret.to_owned(),
            before,
            generation: 0,
        };
        Ok(match before {
            None => (Some(set(fresh, None)), true),
            Some(known) if self.rotate => {
                (Some(set(fresh, Some((known.secret.clone(), now + ROTATION_SECONDS)))), true)
            }
            Some(known) => {
                let older = known.before.clone().filter(|(_, until)| now < *until);
                (Some(set(&known.secret, older)), false)
            }
        })
    }
}

/// Limits as a request gives them.
fn limits(value: Value, faults: &mut Vec<Fault>) -> TenantLimits {
    let mut fields = match value {
        Value::Null => return TenantLimits::default(),
        Value::Object(fields) => fields,
        _ => {
            faults.push(Fault::at("/limits", FaultCode::WrongType, "must be an object or null"));
            return TenantLimits::default();
        }
    };
    let mut number = |name: &str| {
        let value = fields.remove(name).filter(|value| !value.is_null())?;
        let most = TenantLimits::MOST;
        let found = whole(&value).filter(|number| (1..=most).contains(number));
        if found.is_none() {
            let (at, detail) =
                (format!("/limits/{name}"), format!("must be a whole number from 1 to {most}, or null"));
            faults.push(Fault::at(at, FaultCode::Invalid, detail));
        }
        found
    };
    let connections = number("connections");
    let mut small = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
    let events_per_second = small("events_per_second");
    let signals_per_second = small("signals_per_second");
    let notices_per_day = small("notices_per_day");
    let known =
        "is no limit; known are connections, events_per_second, signals_per_second and notices_per_day";
    faults.extend(fields.keys().take(fault::LISTED_FAULTS).map(|name| {
        let short: String = name.chars().take(64).collect();
        Fault::at(fault::member("/limits", &short), FaultCode::UnknownField, known)
    }));
    TenantLimits { connections, events_per_second, signals_per_second, notices_per_day }
}

fn administrator(
    app: &App,
    caller: &Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Entry, Problem> {
    let named = path.map(|Path(text)| text).unwrap_or_default();
    let tenant = TenantId::new(named).map_err(|fault| query::invalid("tenant", fault.allowed))?;
    let entry = app.enter(caller, Some(&tenant))?;
    if entry.admin {
        return Ok(entry);
    }
    Err(Problem::new(Code::MissingScope, "a tenant's settings need the scope or capability admin"))
}

fn shown(tenant: &TenantId, settings: &Settings, secret: Option<&str>) -> TenantSettings {
    let (now, set) = (jiff::Timestamp::now(), settings.application.as_ref());
    let until = set.and_then(|set| set.before.as_ref()).and_then(|(_, until)| {
        jiff::Timestamp::from_second(i64::try_from(*until).ok()?).ok().filter(|until| *until > now)
    });
    TenantSettings {
        tenant: tenant.as_str().to_owned(),
        authorize_url: set.map(|set| set.url.clone()),
        authorize_secret: secret.map(str::to_owned),
        authorize_secret_before_until: until.map(|until| until.to_string()),
        limits: LimitsBody::of(TenantLimits::stored(settings.limits.as_deref())),
        suspended: settings.suspended,
    }
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match &faults[..] {
        [only] => format!("the settings have a fault: {}", only.detail),
        several => format!("the settings have {} faults", several.len()),
    };
    Problem::new(Code::InvalidSettings, detail).at(faults)
}
