//! Does a run turn red when the log, the index or an inbox is false? Rows are changed behind the product's back.

use super::api::ProofError;
use super::collect::collect;
use super::history::History;
use super::workload::TENANTS;
use super::world::{Peaks, World};

/// Collects a history after rows of three tenants were changed by a superuser, each in its own way.
///
/// Of the first, an acknowledged event is taken out of the log; of the second, an hour counts one event more; of the third,
/// a notice is in one inbox less. And a person of the first leaves without the checker being told.
pub(super) async fn collect_tampered(world: &World) -> Result<History, ProofError> {
    // Projectors first have counted what is there.
    let honest = collect(world, &Peaks::new()).await?;
    let [first, second, third] = TENANTS;
    let statements = [
        format!("DELETE FROM carillon.events WHERE tenant_id = '{first}' AND seq = 20"),
        format!(
            "UPDATE carillon.analytics_counts SET events = events + 1 WHERE tenant_id = '{second}' AND dimension = 'type'"
        ),
        format!(
            "DELETE FROM carillon.notice_audience WHERE tenant_id = '{third}' AND seq = (SELECT min(seq) FROM carillon.notices WHERE tenant_id = '{third}')"
        ),
    ];
    for statement in statements {
        world.stack.sql(&statement).await.map_err(ProofError::of("a change behind the product's back"))?;
    }
    let mut history = collect(world, &Peaks::new()).await?;
    // The truth about one room is another than it was said to be.
    if let Some(room) = history.presence.first_mut() {
        room.truth.pop_last();
    }
    history.clients = honest.clients;
    Ok(history)
}
