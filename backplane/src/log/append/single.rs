//! How is one event alone stored by one call?
//!
//! Where events come now and then, each is its batch, and the statement for batches costs more than the storing: four messages, and a
//! plan whose every part is set up. `carillon.append_event` (V45) does the same in one message. It stores the event or nothing, and
//! does not tell why: the statement for batches does. docs/adr/0022.

use super::Append;
use super::statement::{Counters, SEPARATOR, epoch, moment};
use crate::log::error::LogError;
use carillon_protocol::Tag;
use std::time::SystemTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// One row; its columns are null when nothing was stored.
pub(super) const APPEND_EVENT: &str = "
SELECT head, epoch, tag, at_micros
FROM carillon.append_event($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// An event that is the whole of a batch, with nothing to be written beside it but its key for repeats.
pub(super) struct Single<'a> {
    append: &'a Append,
    tenant: &'a str,
    lock_wait: &'a str,
    id: &'a str,
    actor: Option<&'a str>,
    priority: Option<&'a str>,
    channels: String,
    time: SystemTime,
    key: Option<&'a str>,
    hash: Option<&'a [u8]>,
    tag: i64,
}

impl<'a> Single<'a> {
    /// The only event of a batch, unless something belongs to it that the call does not write.
    pub(super) fn of(batch: &'a [Append], lock_wait: &'a str) -> Result<Option<Self>, LogError> {
        let [append @ Append { tenant, event, key, except: None, .. }] = batch else { return Ok(None) };
        if event.latest.is_some() || event.notice.is_some() {
            return Ok(None);
        }
        let time = moment(&event.time)
            .map_err(|error| LogError::Database(format!("the event's time is none: {error}")))?;
        let channels: Vec<&str> = event.channels.iter().map(|channel| channel.as_str()).collect();
        Ok(Some(Self {
            append,
            tenant: tenant.as_str(),
            lock_wait,
            id: event.id.as_str(),
            actor: event.actor.as_ref().map(|actor| actor.as_str()),
            priority: event.priority.map(|priority| priority.as_str()),
            channels: channels.join(SEPARATOR),
            time,
            key: key.as_ref().map(|key| key.name.as_str()),
            hash: key.as_ref().map(|key| key.hash.as_slice()),
            tag: Tag::number(Tag::of(event.body.as_bytes())) as i64,
        }))
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 15] {
        let event = &self.append.event;
        [
            &self.tenant,
            &self.lock_wait,
            &self.id,
            &event.kind,
            &event.source,
            &event.subject,
            &self.actor,
            &self.priority,
            &self.channels,
            &self.time,
            &event.body,
            &event.traceparent,
            &self.key,
            &self.hash,
            &self.tag,
        ]
    }

    /// Where the tenant's log ended before the event; none when nothing was stored.
    pub(super) fn stored(row: &Row) -> Result<Option<Counters>, LogError> {
        let Some(head) = row.get("head") else { return Ok(None) };
        Ok(Some(Counters {
            at_micros: row.get::<_, i64>("at_micros") as u64,
            heads: vec![head],
            epochs: vec![epoch(row.get("epoch"))?],
            tags: vec![Tag::from_number(row.get::<_, i64>("tag") as u64)],
        }))
    }
}
