//! How does the publisher speak HTTP?
//!
//! | module | question it answers |
//! |---|---|
//! | `layer` | what does every answer carry? |
//! | `cors` | what may a page of another origin do with this API? |
//! | `forms` | which path takes events in which form? |
//! | `content` | what does a body hold, by its path and headers? |
//! | `publish` | how does a request to publish become acknowledged events? |
//! | `list`, `query`, [`cursor`] | `GET /v1/events` and `GET /v1/events/{id}` |
//! | [`rules`](self) | `/v1/channel-rules` |
//! | `types` | `/v1/event-types`: what is said about types of events? |
//! | `preferences` | `/v1/preferences`: what does somebody want to get, and when is it quiet for them? |
//! | `document` | how is a JSON document read that sets something? |
//! | `dry_run` | `/v1/dry-runs`: what would be stored, what would it say, and how many people is it for? |
//! | `owner` | whose settings does an administrator ask about? |
//! | `tenants` | `/v1/tenants/{tenant}`: what is set for a tenant beside its rules? |
//! | [`webhooks`](self) | `/v1/webhooks`: which HTTP endpoints get a tenant's events? |
//! | `connections` | `GET /v1/connections`: who is connected? |
//! | `disconnect` | `DELETE /v1/connections`: how is somebody disconnected who must not come back? |
//! | `audit` | `/v1/audit`: who changed what? |
//! | `keys` | `/v1/api-keys`: which keys are there, and how is one made, rotated and ended? |
//! | `revocations` | `/v1/revocations`: who was disconnected and is kept out, and how does such a one come in again? |
//! | `stats` | `GET /v1/stats`: how many connections are there, where, and how much passes? |
//! | `tickets` | `POST /v1/tickets`: how does somebody connect whose client can set no header? |
//! | `activity` | `GET /v1/activity`: what did people do, as their pages say? |
//! | `analytics` | `GET /v1/analytics`: how many events were there, by what they say? |
//! | `console` | `/console`: what is the console made of, and who is signed in to it? |
//! | `health` | `/v1/health`: how is the installation, why, and by which numbers? |
//! | `page`, `turn` | how does a page get to its reader without being in memory as a whole, and where do those beside it begin? |
//! | `position` | `GET /v1/position`: where does the log stand? |
//! | `latest` | `GET /v1/latest`: which is the latest event of every key? |
//! | `presence` | `GET /v1/presence`: who is in a channel, and where is somebody? |
//! | `inbox` | `/v1/inbox`, `/v1/notices`: what stands in a person's inbox, and what do they do with it? |
//! | `deliveries` | `GET /v1/events/{id}/deliveries`: which devices have an event, and which have not? |
//! | `why` | `GET /v1/why`: why did an event reach a person, or why not? |
//! | `names` | where does a page go on that is in the order of names? |
//! | `place` | where does a page begin that reads forward? |
//! | `reads` | who may read the log now, and how much of the answers may be in memory? |
//! | `prepare` | what goes to the log when this caller publishes these events? |
//! | `permit` | may this person publish these events by the channels' rules? |
//! | `relay` | how does a gateway publish for a person who is connected to it? |
//! | `parsing` | who may have a large body parsed now? |
//! | `body` | is the body small and quick enough to be read? |
//! | [`problem`] | how does an error look? |
//! | `quota` | what is left of a tenant's limit, as headers say it? |
//! | `openapi`, `docs` | the contract for machines and people |

mod activity;
mod analytics;
pub(crate) mod audit;
mod body;
mod connections;
mod console;
mod content;
mod cors;
pub mod cursor;
mod deliveries;
mod disconnect;
mod docs;
mod document;
mod dry_run;
mod forms;
mod health;
mod inbox;
pub(crate) mod keys;
mod latest;
mod layer;
mod list;
mod names;
mod openapi;
mod owner;
mod page;
mod parsing;
mod permit;
mod place;
mod position;
mod preferences;
mod prepare;
mod presence;
pub mod problem;
mod publish;
mod query;
mod quota;
mod reads;
mod relay;
mod revocations;
mod rules;
mod stats;
mod tenant_list;
mod tenants;
mod tickets;
mod turn;
mod types;
mod webhooks;
mod why;

pub use body::BodyBudget;
pub use parsing::Parsing;
pub use reads::Reads;
pub use webhooks::Trials;

use crate::access::{Caller, Denied, Entry, Gate, TenantFault};
use crate::batcher::Intake;
use crate::health::Health;
use crate::inbox::InboxNews;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::rates::Rates;
use crate::rules::Rules;
use crate::stats::StatsReader;
use crate::subsystems::Subsystems;
use crate::tenants::Tenants;
use crate::types::Types;
use crate::webhooks::Hint;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::{get, post};
use carillon_backplane::api_key::KeyFault;
use carillon_backplane::log::Log;
use carillon_platform::ask::Asker;
use carillon_platform::auth::AuthError;
use carillon_platform::origin::OriginPolicy;
use carillon_platform::share::AddressGroup;
use carillon_platform::sockets::Peer;
use carillon_platform::telemetry::Traces;
use carillon_protocol::TenantId;
use http::request::Parts;
use problem::{Code, Problem};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the handlers work with.
pub struct App {
    /// The log, for reading.
    pub log: Log,
    /// The way into the log.
    pub intake: Intake,
    /// Whether the log answers.
    pub health: Health,
    /// How each part of the installation is.
    pub subsystems: Subsystems,
    /// Who is asking?
    pub gate: Gate,
    /// Which tenants are there?
    pub tenants: Tenants,
    /// Who may do what in which channels?
    pub rules: Rules,
    /// What is said about types of events?
    pub types: Arc<Types>,
    /// How much tenants may publish.
    pub limits: Limits,
    /// How much people publish into channels.
    pub rates: Rates,
    /// Who asks the tenants' applications, where a rule says so?
    pub asker: Asker,
    /// Who sends to webhooks what an administrator has changed?
    pub hint: Hint,
    /// Tests of webhooks under way.
    pub trials: Trials,
    /// Who is where?
    pub presence: Presence,
    /// Who hears of inboxes that move?
    pub inbox_news: InboxNews,
    /// Turns and memory of those who read.
    pub reads: Reads,
    /// Turns of large bodies.
    pub parsing: Parsing,
    /// The memory bodies may take.
    pub bodies: BodyBudget,
    /// How much tenants use of the gateways?
    pub stats: StatsReader,
    /// How long it holds that somebody was disconnected: longer than their tokens.
    pub revocations_last: Duration,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The spans.
    pub traces: Traces,
    /// The web pages that may use the API.
    pub origins: OriginPolicy,
    /// Cancelled once the process is asked to stop.
    pub leaving: CancellationToken,
}

/// The public API.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/events", post(forms::event).get(list::list))
        .route("/v1/events/{id}", get(list::event))
        .route("/v1/events/{id}/deliveries", get(deliveries::deliveries))
        .route("/v1/latest", get(latest::latest))
        .route("/v1/position", get(position::position))
        .route("/v1/presence", get(presence::user))
        .route("/v1/presence/{channel}", get(presence::channel))
        .merge(forms::router())
        .merge(relay::router())
        .merge(rules::router())
        .merge(types::router())
        .merge(preferences::router())
        .merge(tenants::router())
        .merge(tenant_list::router())
        .merge(webhooks::router())
        .merge(tickets::router())
        .merge(disconnect::router())
        .merge(audit::router())
        .merge(keys::router())
        .merge(revocations::router())
        .merge(stats::router())
        .merge(activity::router())
        .merge(analytics::router())
        .merge(health::router())
        .merge(why::router())
        .merge(dry_run::router())
        .merge(inbox::router())
        .merge(console::router())
        .merge(openapi::router())
        .merge(docs::router())
        .fallback(layer::no_such_path)
        .method_not_allowed_fallback(layer::no_such_method)
        .with_state(app.clone())
        .layer(axum::middleware::from_fn_with_state(app.clone(), layer::outermost))
        .layer(cors::layer(app))
}

/// Whoever has no credentials is refused before anything else of the request is looked at.
impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        caller(app, parts).await
    }
}

/// The caller, or the answer that says why there is none.
async fn caller(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    let mut caller =
        app.gate.identify(&parts.headers, address(parts)).await.map_err(|denied| match denied {
            Denied::Missing => Problem::new(Code::CredentialsMissing, denied.to_string()),
            Denied::Unclear(_) | Denied::Key(KeyFault::Invalid) => {
                Problem::new(Code::CredentialsInvalid, denied.to_string())
            }
            Denied::Token(AuthError::Expired { .. }) => Problem::new(Code::TokenExpired, denied.to_string()),
            Denied::Token(AuthError::KeysUnavailable) => Problem::new(Code::Unavailable, denied.to_string()),
            Denied::Token(_) => Problem::new(Code::TokenInvalid, denied.to_string()),
            Denied::Key(KeyFault::Log(error)) => error.into(),
        })?;
    if let Some(peer) = parts.extensions.get::<Peer>() {
        peer.authenticated();
    }
    if let Caller::User(claims) = &mut caller {
        app.rules.measure(claims).await?;
        // Which tenant is meant is known later: in another one than where they were disconnected, the bearer is as before.
        if claims.is_revoked_everywhere() {
            return Err(no_entry(TenantFault::Revoked));
        }
    }
    Ok(caller)
}

impl App {
    /// The caller in the tenant that was asked for, or else in the only one the credentials are for.
    fn enter(&self, caller: &Caller, asked: Option<&TenantId>) -> Result<Entry, Problem> {
        let entry = caller.enter(asked).map_err(no_entry)?;
        self.is_open(caller, &entry.tenant)?;
        Ok(entry)
    }

    /// Refuses whoever asks about a tenant that is suspended, but for those who administer the installation.
    fn is_open(&self, caller: &Caller, tenant: &TenantId) -> Result<(), Problem> {
        match self.limits.is_suspended(tenant) && !caller.is_of_installation() {
            true => Err(suspended()),
            false => Ok(()),
        }
    }
}

/// Where a request comes from.
fn address(parts: &Parts) -> AddressGroup {
    parts.extensions.get::<Peer>().map_or(IpAddr::from(Ipv4Addr::UNSPECIFIED), Peer::ip).into()
}

/// The answer to a reader who named the wrong tenant, or none.
fn no_entry(fault: TenantFault) -> Problem {
    use crate::event::{Fault, FaultCode};
    match fault {
        TenantFault::Required => {
            let detail = "the credentials are for several tenants: name one";
            let fault = Fault::in_parameter("tenant", FaultCode::TenantRequired, detail);
            Problem::new(Code::InvalidParameter, "the parameter tenant is required").at(vec![fault])
        }
        TenantFault::Revoked => Problem::new(Code::TokenRevoked, AuthError::Revoked.to_string()),
        TenantFault::Forbidden => {
            Problem::new(Code::TenantForbidden, "the credentials are not for this tenant")
        }
    }
}

fn suspended() -> Problem {
    let detail = "the tenant is suspended; whoever runs this installation can lift that";
    Problem::new(Code::TenantSuspended, detail)
}

fn unknown_tenant() -> Problem {
    Problem::new(
        Code::UnknownTenant,
        "the tenant is not registered, and this installation makes none by itself",
    )
}
