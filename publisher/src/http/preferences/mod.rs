//! `/v1/preferences`: what does somebody want to get, and when is it quiet for them?
//!
//! | module | question it answers |
//! |---|---|
//! | `shapes` | how do preferences and answers look? |
//! | `read` | what is said about what somebody gets, and how quiet is it for them? |
//! | `write` | how does somebody say what they want? |
//! | `test` | would this person get it, by which means, and why not? |

pub(super) mod read;
pub(super) mod shapes;
pub(super) mod test;
pub(super) mod write;

use super::App;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::reads::Reader;
use crate::access::{Caller, Entry};
use crate::preferences::{Document, Settings};
use axum::Router;
use axum::routing::get;
use carillon_protocol::{TenantId, UserId};
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/preferences", get(read::own).put(write::own))
        .route("/v1/preferences/defaults", get(read::defaults).put(write::defaults))
        .route("/v1/preferences/test", get(test::test))
}

/// Whose preferences are asked about: one's own, or with the scope or capability `admin` those of the user who is named.
fn whose(app: &App, caller: &Caller, query: &mut Query) -> Result<(TenantId, UserId), Problem> {
    let entry = enter(app, caller, query)?;
    let named = query.named("user", |text| UserId::new(text))?;
    match (named, &entry.user) {
        (Some(named), Some(own)) if named == *own => Ok((entry.tenant, named)),
        (Some(named), _) if entry.admin => Ok((entry.tenant, named)),
        (None, Some(own)) => Ok((entry.tenant, own.clone())),
        (None, None) if entry.admin => {
            let detail = "the parameter user is required with an API key";
            Err(Problem::new(Code::InvalidParameter, detail).at(vec![query::required("user")]))
        }
        _ => {
            let detail = "other people's preferences need the scope or capability admin";
            Err(Problem::new(Code::MissingScope, detail))
        }
    }
}

/// In which tenant a caller administers.
fn administered(app: &App, caller: &Caller, query: &mut Query) -> Result<TenantId, Problem> {
    let entry = enter(app, caller, query)?;
    if entry.admin {
        return Ok(entry.tenant);
    }
    Err(Problem::new(Code::MissingScope, "a tenant's defaults need the scope or capability admin"))
}

fn enter(app: &App, caller: &Caller, query: &mut Query) -> Result<Entry, Problem> {
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    app.enter(caller, asked.as_ref())
}

fn reader(app: &App, tenant: &TenantId, caller: &Caller) -> Reader {
    app.reads.reader(tenant.as_str(), &caller.name())
}

/// What is said about what somebody gets; of nobody in particular, what their tenant says.
pub(super) async fn settings(
    app: &App,
    tenant: &TenantId,
    user: Option<&UserId>,
) -> Result<Settings, Problem> {
    let stored = app.health.ask(app.log.preferences(tenant, user)).await?;
    let (person, tenant) = (stored.person.as_deref(), stored.tenant.as_deref());
    Ok(Settings { person: Document::stored(person), tenant: Document::stored(tenant) })
}
