//! `/v1/channel-rules`: who may do what in which channels?
//!
//! | module | question it answers |
//! |---|---|
//! | `shapes` | how do a rule and an answer look? |
//! | `read` | which rules are there? |
//! | `write` | how is a rule set, and how does it go? |
//! | `test` | what would somebody be allowed, and by which rule? |

pub(super) mod read;
pub(super) mod shapes;
pub(super) mod test;
pub(super) mod write;

use super::App;
use super::problem::Problem;
use super::query::{self, Query};
use super::reads::Reader;
use crate::access::Caller;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use carillon_backplane::log::Owner;
use carillon_platform::rules::Pattern;
use http::Uri;
use std::sync::Arc;

/// Where rules are tried.
const TEST: &str = "test";

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/channel-rules", get(read::list))
        .route("/v1/channel-rules/{pattern}", get(one_or_test).put(write::put).delete(write::delete))
}

/// One rule; at `test`, where somebody or a channel is named, what the rules would let them do. `test` is a pattern, too, and no other
/// way to write it in a path would be another path: proxies decode `%74est` on the way (RFC 3986, 6.2.2.2).
async fn one_or_test(
    app: State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let is_test = path.as_ref().is_ok_and(|Path(text)| text == TEST) && names_somebody(&uri);
    if is_test {
        return Ok(test::test(app, caller, uri).await?.into_response());
    }
    Ok(read::one(app, caller, path, uri).await?.into_response())
}

fn names_somebody(uri: &Uri) -> bool {
    let names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    names.into_iter().any(|name| matches!(name, "user" | "roles" | "channel"))
}

/// Whose rules an administrator asks about.
fn owner(app: &App, caller: &Caller, query: &mut Query) -> Result<Owner, Problem> {
    super::owner::owner(app, caller, query, "channel rules")
}

/// Whoever asks for an owner's rules: all of them are read each time, so there are turns for it as for the log.
fn reader(app: &App, owner: &Owner, caller: &Caller) -> Reader {
    app.reads.reader(owner.name(), &caller.name())
}

/// The pattern in a path.
fn pattern(path: Result<Path<String>, PathRejection>) -> Result<Pattern, Problem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    Pattern::new(&text).map_err(|fault| query::invalid_because("pattern", &fault.to_string()))
}
