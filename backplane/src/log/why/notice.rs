//! What did the person do with the notice?

use crate::log::error::LogError;
use crate::log::inbox::Watermarks;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId, UserId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The notice of an event with the person's watermarks, their mark on it and since when they follow its channels: look-ups by key. A person
/// who was never seen has no watermarks, and none are made.
const NOTICE: &str = "
SELECT now() AS now, n.title, n.priority, n.requires_ack, n.expires_at, n.retracted_at, s.since, s.read_to, s.seen_to, s.archived_to,
    s.cleared_to, m.read, m.archived, coalesce(m.deleted, false) AS deleted, m.snoozed_until, m.acked_at, f.channels, f.sinces
FROM carillon.notices n
    LEFT JOIN carillon.inbox_state s ON s.tenant_id = $1 AND s.user_id = $2
    LEFT JOIN carillon.inbox_marks m ON m.tenant_id = $1 AND m.user_id = $2 AND m.seq = n.seq
    CROSS JOIN LATERAL (SELECT array_agg(f.channel) AS channels, array_agg(f.since) AS sinces FROM carillon.followers f
        WHERE f.tenant_id = $1 AND f.user_id = $2 AND f.channel = ANY (n.channels)) AS f
WHERE n.tenant_id = $1 AND n.seq = $3";

const STEPS: &str = "
SELECT e.step, e.after, e.webhook, e.who, coalesce(e.due_at, a.due_at) AS due_at, e.told
FROM carillon.escalations e LEFT JOIN carillon.escalations_aside a ON a.tenant_id = e.tenant_id AND a.seq = e.seq AND a.step = e.step
WHERE e.tenant_id = $1 AND e.seq = $2 ORDER BY e.step";

/// A notice as one person has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedNotice {
    /// The database's time.
    pub now: Timestamp,
    /// One line.
    pub title: String,
    /// How urgent it is.
    pub priority: String,
    /// Whether people are asked to take note.
    pub requires_ack: bool,
    /// From when on it is in no inbox.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub retracted_at: Option<Timestamp>,
    /// How far the person has got; none: they were never seen.
    pub at: Option<Watermarks>,
    /// Whether they have marked it read or unread; none: as the watermark says.
    pub read: Option<bool>,
    /// Likewise archived.
    pub archived: Option<bool>,
    /// Whether they have deleted it.
    pub deleted: bool,
    /// Until when they have put it off.
    pub snoozed_until: Option<Timestamp>,
    /// When they took note.
    pub acked_at: Option<Timestamp>,
    /// Which of its channels they follow, each since a seq.
    pub follows: Vec<(String, Seq)>,
    /// Its escalation.
    pub steps: Vec<TracedStep>,
}

/// A step of a notice's escalation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedStep {
    /// Which, from 1.
    pub step: u16,
    /// Seconds after the notice was stored.
    pub after: u32,
    /// Which webhook is told.
    pub webhook: String,
    /// Of whom.
    pub who: String,
    /// When people are looked at next; none: never again.
    pub due_at: Option<Timestamp>,
    /// People who were named.
    pub told: u64,
}

impl Log {
    /// The notice of an event as a person has it. None: the event is none.
    pub async fn trace_notice(
        &self,
        (tenant, user): (&TenantId, &UserId),
        seq: Seq,
    ) -> Result<Option<TracedNotice>, LogError> {
        let client = self.client(Work::Search, "why").await?;
        let (name, number) = (tenant.as_str(), signed(seq));
        let params: [&(dyn ToSql + Sync); 3] = [&name, &user.as_str(), &number];
        let rows = scoped(client, std::iter::once(tenant), NOTICE, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let client = self.client(Work::Search, "why").await?;
        let steps = scoped(client, std::iter::once(tenant), STEPS, &[&name, &number]).await?;
        Ok(Some(notice(row, &steps)))
    }
}

fn notice(row: &Row, steps: &[Row]) -> TracedNotice {
    let seq = |name: &str| row.get::<_, Option<i64>>(name).map(|seq| Seq(seq as u64));
    let channels: Vec<String> = row.get::<_, Option<Vec<String>>>("channels").unwrap_or_default();
    let sinces: Vec<i64> = row.get::<_, Option<Vec<i64>>>("sinces").unwrap_or_default();
    let at = seq("since").map(|since| Watermarks {
        since,
        read_to: seq("read_to").unwrap_or_default(),
        seen_to: seq("seen_to").unwrap_or_default(),
        archived_to: seq("archived_to").unwrap_or_default(),
        cleared_to: seq("cleared_to").unwrap_or_default(),
    });
    let step = |row: &Row| TracedStep {
        step: row.get::<_, i16>("step") as u16,
        after: row.get::<_, i32>("after") as u32,
        webhook: row.get("webhook"),
        who: row.get("who"),
        due_at: row.get("due_at"),
        told: row.get::<_, i64>("told") as u64,
    };
    TracedNotice {
        now: row.get("now"),
        title: row.get("title"),
        priority: row.get("priority"),
        requires_ack: row.get("requires_ack"),
        expires_at: row.get("expires_at"),
        retracted_at: row.get("retracted_at"),
        at,
        read: row.get("read"),
        archived: row.get("archived"),
        deleted: row.get("deleted"),
        snoozed_until: row.get("snoozed_until"),
        acked_at: row.get("acked_at"),
        follows: channels.into_iter().zip(sinces.into_iter().map(|since| Seq(since as u64))).collect(),
        steps: steps.iter().map(step).collect(),
    }
}
