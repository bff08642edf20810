//! `/console`: what is the console made of, and who is signed in to it?
//!
//! | module | question it answers |
//! |---|---|
//! | `code` | what does the code of a link look like? |
//! | `files` | how do browsers get its files? |
//! | `problems` | which problems does `/v1/console/session` answer with? |
//! | [`session`] | `/v1/console/session`: who is signed in? |

mod code;
mod files;
mod problems;
pub(super) mod session;

use super::App;
use axum::Router;
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<App>> {
    files::router().merge(session::router())
}
