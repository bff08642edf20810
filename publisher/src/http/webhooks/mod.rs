//! `/v1/webhooks`: which HTTP endpoints get a tenant's events?
//!
//! | module | question it answers |
//! |---|---|
//! | `shapes` | how do a webhook, a delivery and a test look? |
//! | `entrance` | who may administer whose webhooks, and what does the body say? |
//! | `read` | which webhooks are there, and how is each doing? |
//! | `write` | how is a webhook set, and how does it go? |
//! | `act` | how is it switched, its secret rotated, its cursor moved? |
//! | `deliveries` | which deliveries failed, and how is one sent again? |
//! | `trial` | what does the endpoint answer now? |

pub(super) mod act;
pub(super) mod deliveries;
mod entrance;
pub(super) mod read;
pub(super) mod shapes;
pub(super) mod trial;
pub(super) mod write;

use super::App;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;
pub use trial::Trials;

/// Webhooks of a tenant.
const MOST: u32 = 50;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/webhooks", get(read::list))
        .route("/v1/webhooks/{webhook}", get(read::one).put(write::put).delete(write::delete))
        .route("/v1/webhooks/{webhook}/enable", post(act::enable))
        .route("/v1/webhooks/{webhook}/disable", post(act::disable))
        .route("/v1/webhooks/{webhook}/rotate", post(act::rotate))
        .route("/v1/webhooks/{webhook}/replay", post(act::replay))
        .route("/v1/webhooks/{webhook}/test", post(trial::test))
        .route("/v1/webhooks/{webhook}/deliveries", get(deliveries::list))
        .route("/v1/webhooks/{webhook}/deliveries/{seq}/retry", post(deliveries::retry))
}
