//! `/v1/event-types`: what is said about types of events?
//!
//! | module | question it answers |
//! |---|---|
//! | `shapes` | how do a type and an answer look? |
//! | `read` | which types are there? |
//! | `write` | how is a type set, and how does it go? |
//! | `preview` | what would its templates make of these variables? |

pub(super) mod preview;
pub(super) mod read;
pub(super) mod shapes;
pub(super) mod write;

use super::App;
use super::owner;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::reads::Reader;
use crate::access::Caller;
use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::{get, post};
use carillon_backplane::log::Owner;
use carillon_protocol::ident::plain_text;
use carillon_protocol::limits;
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/event-types", get(read::list))
        .route("/v1/event-types/{type}", get(read::one).put(write::put).delete(write::delete))
        .route("/v1/event-types/{type}/preview", post(preview::preview))
}

/// Whose types an administrator asks about.
fn owner_of(app: &App, caller: &Caller, query: &mut Query) -> Result<Owner, Problem> {
    owner::owner(app, caller, query, "event types")
}

/// Whoever asks for an owner's types: all of them are read each time, so there are turns for it as for the log.
fn reader(app: &App, owner: &Owner, caller: &Caller) -> Reader {
    app.reads.reader(owner.name(), &caller.name())
}

/// The type in a path.
fn kind(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    if plain_text(&text, limits::ATTRIBUTE_BYTES) && !text.contains(|c: char| c == '*' || c.is_whitespace()) {
        return Ok(text);
    }
    let allowed = "1-256 bytes of UTF-8 without white space, control characters or *";
    Err(query::invalid("type", allowed))
}

fn no_such_type() -> Problem {
    Problem::new(Code::NotFound, "nothing is said about this type")
}
