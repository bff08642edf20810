//! What is the database asked for one part of a search?
//!
//! Row level security lets only operators use an index that cannot leak (`=`, `<`, `>` on text and numbers, not `&&` on
//! arrays), so channels are looked up as rows of the channel index, and everything else is a filter on rows that an
//! index range chose. Every look at `events` has an order that only its primary key has: a plan that was made while a
//! partition was small may else go by another index that begins with the tenant, and read all of the tenant's events.

use super::filter::{EventFilter, like, type_params};
use super::route::{Leg, Order};
use crate::log::days::{Days, Moment};
use crate::log::error::LogError;
use crate::log::projector::{BATCH, CHANNEL_INDEX};
use crate::log::read::signed;
use carillon_protocol::{Channel, TenantId};
use tokio_postgres::types::ToSql;

/// How far the channel index may be believed. A cursor of another epoch says nothing about this one's events.
pub(super) fn indexed() -> String {
    format!(
        "SELECT coalesce((SELECT c.seq FROM carillon.projector_cursors c
            JOIN carillon.tenants t ON t.id = c.tenant_id AND t.epoch = c.epoch
            WHERE c.tenant_id = $1 AND c.projector = '{CHANNEL_INDEX}'), 0) AS indexed"
    )
}

/// What the rows of an answer hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// The events.
    Events,
    /// Their numbers only.
    Seqs,
}

/// An event's JSON as a person reads it: without the escapes, which differ between encoders (`č`, `\u010d`). Each call of
/// `replace` takes pairs from left to right, so an escaped backslash, taken first, begins no escape; `unistr` is left
/// with `\uXXXX`, pairs included. U+0000 no text of Postgres can hold, and U+0001, which JSON cannot hold unescaped, stands
/// for the backslash meanwhile. Most events have no escape and are read as they are.
const READABLE: &str = r#"CASE WHEN strpos(e.body, '\') = 0 THEN e.body ELSE
    replace(unistr(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(e.body,
        '\\', chr(1)), '\"', '"'), '\/', '/'), '\n', chr(10)), '\r', chr(13)), '\t', chr(9)), '\b', chr(8)), '\f', chr(12)),
        '\u0000', chr(65533)), '\u0001', chr(65533))), chr(1), '\') END"#;

/// What an event must be, for parameters in the order of [`Params`].
fn conditions() -> String {
    format!(
        "($4::text[] IS NULL OR e.type = ANY ($4) OR e.type LIKE ANY ($5::text[]))
    AND ($6::text IS NULL OR e.source = $6) AND ($7::text IS NULL OR e.actor = $7)
    AND ($8::text IS NULL OR e.subject = $8) AND ($9::text[] IS NULL OR e.channels && $9)
    AND ($10::text[] IS NULL OR e.channels && $10) AND ($11::text IS NULL OR {READABLE} ILIKE $11)
    AND ($12::text IS NULL OR e.time >= $12::timestamptz) AND ($13::text IS NULL OR e.time < $13::timestamptz)"
    )
}

/// The statement for a leg: rows `seq, matches, whole, early` and, if wanted, `channels, body`, in the search's order. Of
/// the index `early` says that a row's events may have been appended before the days that were looked at.
pub(super) fn sql(leg: Leg, order: Order, columns: Columns) -> String {
    let direction = if order == Order::Ascending { "ASC" } else { "DESC" };
    let conditions = conditions();
    let body = if columns == Columns::Events { "e.body" } else { "''::text" };
    let rows = match leg {
        // Everything of the window is looked at, and what does not match makes no row.
        Leg::Walk { .. } => format!(
            "SELECT e.seq, e.channels, {body} AS body, false AS early FROM carillon.events e
            WHERE e.tenant_id = $1 AND e.seq > $2::bigint AND e.seq <= $3::bigint AND e.at >= $16 AND e.at < $17
                AND {conditions}
            ORDER BY e.seq {direction} LIMIT $14::bigint"
        ),
        // Rows of one channel do not overlap: in the order of their last events they are in the order of all. A row
        // that reaches beyond the range ends less than a batch after it.
        Leg::Index { .. } => format!(
            "SELECT f.seq, found.channels, found.body, found.channels IS NULL AND f.since < $16 AS early FROM (
                SELECT x.seq, min(x.since) AS since, max(x.at) AS at
                FROM unnest(coalesce($9::text[], $10::text[])) AS n(channel) CROSS JOIN LATERAL (
                    SELECT s.seq, i.since, i.at FROM carillon.channel_index i CROSS JOIN LATERAL unnest(i.seqs) AS s(seq)
                    WHERE i.tenant_id = $1 AND i.channel = n.channel AND i.last_seq > $2::bigint AND i.last_seq < $3::bigint + {BATCH}
                        AND s.seq > $2::bigint AND s.seq <= $3::bigint AND i.at >= $18 AND i.at < $17
                    ORDER BY i.last_seq {direction}, s.seq {direction} LIMIT $14::bigint
                ) AS x GROUP BY x.seq ORDER BY x.seq {direction} LIMIT $14::bigint
            ) AS f LEFT JOIN LATERAL (
                SELECT e.channels, {body} AS body FROM carillon.events e
                WHERE e.tenant_id = $1 AND e.seq = f.seq AND e.at BETWEEN f.since AND f.at AND e.at >= $16 AND e.at < $17
                    AND {conditions}
                ORDER BY e.at LIMIT 1
            ) AS found ON true"
        ),
    };
    format!(
        "SELECT seq, body IS NOT NULL AS matches, before < $15::bigint AS whole, early, channels,
            CASE WHEN before < $15::bigint THEN body END AS body
        FROM (SELECT seq, channels, body, early, coalesce(sum(octet_length(body)) OVER (ORDER BY seq {direction}
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM ({rows}) AS looked_at) AS page ORDER BY seq {direction}"
    )
}

/// The parameters of every leg.
pub(super) struct Params<'a> {
    tenant: &'a str,
    after: i64,
    upto: i64,
    /// Types, and patterns for their beginnings: both or neither.
    exact: Option<Vec<&'a str>>,
    begins: Option<Vec<String>>,
    filter: &'a EventFilter,
    channel: Option<Vec<&'a str>>,
    audience: Option<Vec<&'a str>>,
    q: Option<String>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    rows: i64,
    bytes: i64,
    events: [Moment; 2],
    /// Where the rows of the index begin.
    index: Option<Moment>,
}

impl<'a> Params<'a> {
    pub(super) fn new(
        tenant: &'a TenantId,
        filter: &'a EventFilter,
        (leg, days): (Leg, Days),
        rows: usize,
        bytes: usize,
    ) -> Self {
        let (events, index) = match leg {
            Leg::Walk { .. } => (days.bounds(), None),
            // A row is of the time of its newest event; the others may be of the day before.
            Leg::Index { .. } => (days.with_day_before().bounds(), Some(days.bounds()[0])),
        };
        let (Leg::Index { after, upto } | Leg::Walk { after, upto }) = leg;
        let (exact, begins) = type_params(&filter.types);
        Self {
            tenant: tenant.as_str(),
            after: signed(after),
            // An index row may end a batch after the range.
            upto: signed(upto).min(i64::MAX - BATCH),
            exact,
            begins,
            filter,
            channel: filter.channel.as_deref().map(|name| vec![name]),
            audience: filter.audience.as_ref().map(|all| all.iter().map(Channel::as_str).collect()),
            q: filter.q.as_deref().map(like),
            from: filter.from.as_deref(),
            to: filter.to.as_deref(),
            rows: i64::try_from(rows).unwrap_or(i64::MAX),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            events,
            index,
        }
    }

    pub(super) fn as_list(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut list: Vec<&(dyn ToSql + Sync)> = vec![
            &self.tenant,
            &self.after,
            &self.upto,
            &self.exact,
            &self.begins,
            &self.filter.source,
            &self.filter.actor,
            &self.filter.subject,
            &self.channel,
            &self.audience,
            &self.q,
            &self.from,
            &self.to,
            &self.rows,
            &self.bytes,
            &self.events[0],
            &self.events[1],
        ];
        list.extend(self.index.iter().map(|index| index as &(dyn ToSql + Sync)));
        list
    }
}

/// A row that cannot be what the statement promises.
pub(super) fn broken(what: &str) -> LogError {
    LogError::Database(format!("unexpected {what} from a search"))
}
