//! Who runs the shards' errands?
//!
//! A shard never waits. What needs the database or a key set is done here, beside it, and comes back as a letter. At
//! most one page and one token of a connection are under way, so the number of errands is bounded by connections.

use crate::entrance::Doorman;
use crate::shard::{Errand, HistoryFrom, HistoryPage, Shards, ToShard};
use crate::stream::backlog::Backlog;
use carillon_backplane::log::LogError;
use carillon_protocol::{Channel, Seq, TenantId};
use tokio::sync::mpsc::UnboundedReceiver;

/// Runs errands until the shards are gone.
pub(crate) async fn run(
    mut errands: UnboundedReceiver<Errand>,
    shards: Shards,
    doorman: Doorman,
    backlog: Backlog,
) {
    while let Some(errand) = errands.recv().await {
        let (shards, doorman, backlog) = (shards.clone(), doorman.clone(), backlog.clone());
        tokio::spawn(async move {
            let (shard, letter) = carry_out(errand, &doorman, &backlog).await;
            shards.send(shard, letter);
        });
    }
}

async fn carry_out(errand: Errand, doorman: &Doorman, backlog: &Backlog) -> (usize, ToShard) {
    match errand {
        Errand::Enter { connection, token, hello } => {
            let result = doorman.admit(&token, hello).await.map(Box::new);
            (connection.shard.into(), ToShard::Entered(connection, result))
        }
        Errand::Refresh { connection, frame, token, tenant } => {
            let result = doorman.identify(&token, Some(&tenant)).await;
            (connection.shard.into(), ToShard::Refreshed(connection, frame, result))
        }
        Errand::Page { connection, ticket, tenant, life, cursor, head } => {
            let page = backlog.page(&tenant, life, cursor, head).await;
            (connection.shard.into(), ToShard::Page(connection, ticket, page))
        }
        Errand::History { connection, ticket, tenant, channels, from, upto } => {
            let page = history(backlog, &tenant, &channels, from, upto).await;
            (connection.shard.into(), ToShard::History(connection, ticket, page))
        }
    }
}

async fn history(
    backlog: &Backlog,
    tenant: &TenantId,
    channels: &[Channel],
    from: HistoryFrom,
    upto: Seq,
) -> Result<HistoryPage, LogError> {
    let (start, more) = match from {
        HistoryFrom::After(seq) => (seq, false),
        HistoryFrom::Newest { count: 0, .. } => (upto, false),
        HistoryFrom::Newest { count, after } => {
            let (start, more) = backlog.history_start(tenant, channels, upto, count).await?;
            // What lies before a given cursor was seen, not left out.
            if start > after { (start, more) } else { (after, false) }
        }
    };
    if start >= upto {
        return Ok(HistoryPage { events: Vec::new(), complete: true, more, start, _charge: None });
    }
    let (events, complete, charge) = backlog.history(tenant, channels, start, upto).await?;
    Ok(HistoryPage { events, complete, more, start, _charge: Some(charge) })
}
