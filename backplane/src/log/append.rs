//! How do many events get gapless numbers in one statement?
//!
//! **Invariants I1 and I2.** The statement locks the counters of all tenants of the batch in tenant order (so two
//! batches never wait for each other in a circle), numbers the events, inserts them, and counts up. The locks are
//! held until commit, therefore for each tenant: sequence order = commit order = visibility order; and an abort
//! takes the counting back with it, therefore no gaps.
//!
//! Idempotency keys are looked up in the statement's snapshot, which may be older than the lock it then waited for.
//! A key that another publisher committed in between meets the table's primary key: the whole batch aborts and runs
//! again with a fresh snapshot, which sees it.

use super::pool::{Log, LogError};
use super::scope::scoped;
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Epoch, EventId, Seq, TenantId};
use std::collections::BTreeSet;
use tokio_postgres::types::ToSql;

/// One event to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose log.
    pub tenant: TenantId,
    /// Events with the same number are stored all or none.
    pub request: u32,
    /// What happened.
    pub event: NewEvent,
    /// What makes a repeat recognisable. Within one batch no two events of a tenant may have the same.
    pub key: Option<IdempotencyKey>,
}

/// A name for a request and a digest of what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The name.
    pub name: String,
    /// SHA-256 of what was asked.
    pub hash: [u8; 32],
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Committed.
    Stored {
        /// Its number.
        seq: Seq,
        /// The log's life.
        epoch: Epoch,
        /// When, by the database's clock, microseconds since 1970.
        at_micros: u64,
    },
    /// It was committed before under the same key; this is what it got then.
    Replayed {
        /// The first event's id.
        id: EventId,
        /// The first event's number.
        seq: Seq,
        /// The log's life then.
        epoch: Epoch,
    },
    /// The key was used for something else. Nothing of its request was stored.
    Conflict,
    /// Another event of its request could not be stored.
    Refused,
    /// There is no such tenant. Nothing of its request was stored.
    UnknownTenant,
}

/// Joins channel names in one SQL text: a control character, which no name holds.
const SEPARATOR: &str = "\u{1f}";

const APPEND: &str = r"
WITH b AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[]) WITH ORDINALITY
        AS u(tenant_id, request, id, type, source, subject, actor, priority, channels, time, body, traceparent,
             key, hash, ord)
), l AS MATERIALIZED (                                   -- one order for all: no deadlock
    SELECT t.id FROM carillon.tenants t WHERE t.id IN (SELECT tenant_id FROM b) ORDER BY t.id FOR UPDATE
), moment AS MATERIALIZED (                              -- taken under the locks, so it ascends with seq
    SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM l) AS locked
), known AS MATERIALIZED (
    SELECT b.ord, b.request, i.id, i.seq, i.epoch, i.hash = b.hash AS same
    FROM b JOIN carillon.idempotency i ON i.tenant_id = b.tenant_id AND i.key = b.key
), refused AS MATERIALIZED (
    SELECT request FROM known WHERE NOT same
    UNION SELECT b.request FROM b WHERE NOT EXISTS (SELECT FROM l WHERE l.id = b.tenant_id)
), fresh AS MATERIALIZED (
    SELECT b.*, row_number() OVER (PARTITION BY b.tenant_id ORDER BY b.ord) AS n
    FROM b JOIN l ON l.id = b.tenant_id
    WHERE NOT EXISTS (SELECT FROM known k WHERE k.ord = b.ord)
      AND NOT EXISTS (SELECT FROM refused r WHERE r.request = b.request)
), k AS (
    SELECT tenant_id, count(*) AS events FROM fresh GROUP BY tenant_id
), u AS (
    UPDATE carillon.tenants t SET head = t.head + k.events FROM k WHERE t.id = k.tenant_id
    RETURNING t.id, t.epoch, t.head - k.events AS base
), e AS (
    INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, subject, actor, priority, channels, time,
        body, traceparent)
    SELECT f.tenant_id, u.base + f.n, moment.at, f.id, f.type, f.source, f.subject, f.actor, f.priority,
        string_to_array(f.channels, E'\x1f'), f.time::timestamptz, f.body, f.traceparent
    FROM fresh f JOIN u ON u.id = f.tenant_id CROSS JOIN moment
    ORDER BY f.ord
), i AS (
    INSERT INTO carillon.idempotency (tenant_id, key, hash, id, seq, epoch, at)
    SELECT f.tenant_id, f.key, f.hash, f.id, u.base + f.n, u.epoch, moment.at
    FROM fresh f JOIN u ON u.id = f.tenant_id CROSS JOIN moment WHERE f.key IS NOT NULL
)
SELECT u.base + f.n AS seq, u.epoch, (extract(epoch FROM moment.at) * 1000000)::bigint AS at_micros,
    known.id AS known_id, known.seq AS known_seq, known.epoch AS known_epoch, known.same,
    l.id IS NULL AS unknown_tenant
FROM b LEFT JOIN fresh f ON f.ord = b.ord LEFT JOIN u ON u.id = f.tenant_id LEFT JOIN known ON known.ord = b.ord
    LEFT JOIN l ON l.id = b.tenant_id CROSS JOIN moment
ORDER BY b.ord";

/// How often a batch runs again after meeting a key committed by somebody else in between.
const ATTEMPTS: u32 = 4;

impl Log {
    /// Appends a batch in one transaction: one answer for each event, in the same order.
    ///
    /// Whoever gets an `Ok` may acknowledge (I1). After [`LogError::Unavailable`] the outcome is unknown; repeating
    /// the call is safe for events that have a key.
    pub async fn append(&self, batch: &[Append]) -> Result<Vec<Appended>, LogError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let tenants: BTreeSet<&TenantId> = batch.iter().map(|append| &append.tenant).collect();
        let columns = Columns::of(batch);
        for attempt in 1.. {
            match scoped(self.client().await?, tenants.iter().copied(), APPEND, &columns.params()).await {
                Ok(rows) => return rows.iter().zip(batch).map(|(row, _)| answer(row)).collect(),
                Err(LogError::Database(text)) if attempt < ATTEMPTS && text.contains("idempotency_pkey") => {
                    tracing::debug!(attempt, "idempotency key committed meanwhile, appending again");
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }
}

fn answer(row: &tokio_postgres::Row) -> Result<Appended, LogError> {
    let broken = |what: &str| LogError::Database(format!("unexpected {what} from the append statement"));
    if row.get("unknown_tenant") {
        return Ok(Appended::UnknownTenant);
    }
    if let Some(same) = row.get::<_, Option<bool>>("same") {
        if !same {
            return Ok(Appended::Conflict);
        }
        return Ok(Appended::Replayed {
            id: EventId::new(row.get::<_, &str>("known_id")).map_err(|_| broken("id"))?,
            seq: Seq(row.get::<_, i64>("known_seq") as u64),
            epoch: Epoch::new(row.get::<_, &str>("known_epoch")).map_err(|_| broken("epoch"))?,
        });
    }
    let Some(seq) = row.get::<_, Option<i64>>("seq") else { return Ok(Appended::Refused) };
    Ok(Appended::Stored {
        seq: Seq(seq as u64),
        epoch: Epoch::new(row.get::<_, &str>("epoch")).map_err(|_| broken("epoch"))?,
        at_micros: row.get::<_, i64>("at_micros") as u64,
    })
}

/// A batch turned on its side: one array for each parameter.
#[derive(Default)]
struct Columns<'a> {
    tenant: Vec<&'a str>,
    request: Vec<i32>,
    id: Vec<&'a str>,
    kind: Vec<&'a str>,
    source: Vec<&'a str>,
    subject: Vec<Option<&'a str>>,
    actor: Vec<Option<&'a str>>,
    priority: Vec<Option<&'a str>>,
    channels: Vec<String>,
    time: Vec<&'a str>,
    body: Vec<&'a str>,
    traceparent: Vec<Option<&'a str>>,
    key: Vec<Option<&'a str>>,
    hash: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [Append]) -> Self {
        let mut columns = Self::default();
        for Append { tenant, request, event, key } in batch {
            columns.tenant.push(tenant.as_str());
            columns.request.push(*request as i32);
            columns.id.push(event.id.as_str());
            columns.kind.push(&event.kind);
            columns.source.push(&event.source);
            columns.subject.push(event.subject.as_deref());
            columns.actor.push(event.actor.as_ref().map(|actor| actor.as_str()));
            columns.priority.push(event.priority.map(|priority| priority.as_str()));
            let channels: Vec<&str> = event.channels.iter().map(|channel| channel.as_str()).collect();
            columns.channels.push(channels.join(SEPARATOR));
            columns.time.push(&event.time);
            columns.body.push(&event.body);
            columns.traceparent.push(event.traceparent.as_deref());
            columns.key.push(key.as_ref().map(|key| key.name.as_str()));
            columns.hash.push(key.as_ref().map(|key| key.hash.as_slice()));
        }
        columns
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 14] {
        [
            &self.tenant,
            &self.request,
            &self.id,
            &self.kind,
            &self.source,
            &self.subject,
            &self.actor,
            &self.priority,
            &self.channels,
            &self.time,
            &self.body,
            &self.traceparent,
            &self.key,
            &self.hash,
        ]
    }
}
