//! What became of a notice, and how is one taken back?

use crate::log::error::LogError;
use crate::log::pool::{Log, exchange};
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Channel, EventId, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const WANT: &str = "SELECT carillon.want_device_channels($1)";
const RETRACT: &str = "SELECT seq, channels, first, retracted_at FROM carillon.retract_notice($1, $2)";

/// The notice, whom it is for as far as they are known (who is named, who was seen, who follows, whose devices are in its channels, and
/// whoever has marked it), and what each has done with it. A channel of a person has nobody else's devices. Devices in other channels are
/// found by channel (`device_channels`) as soon as those of the tenant are complete there; until then, and for `tenant`, in which about
/// everybody is, by a walk over the tenant's devices.
macro_rules! people {
    ($rest:literal) => {
        concat!(
            "
WITH known AS MATERIALIZED (
    SELECT coalesce((SELECT k.complete FROM carillon.device_channel_tenants k WHERE k.tenant_id = $1), false) AS complete
), n AS MATERIALIZED (
    SELECT n.seq, n.at, n.channels, t.epoch, EXISTS (SELECT FROM unnest(n.channels) AS c(channel) WHERE c.channel = 'tenant'
            OR c.channel NOT LIKE 'user:%' AND NOT (SELECT complete FROM known)) AS walks
    FROM carillon.notices n JOIN carillon.tenants t ON t.id = n.tenant_id
    WHERE n.tenant_id = $1 AND n.id = $2 ORDER BY n.seq DESC LIMIT 1
), people AS MATERIALIZED (
    SELECT substr(c.channel, 6) AS user_id FROM n, unnest(n.channels) AS c(channel) WHERE c.channel LIKE 'user:%'
    UNION SELECT s.user_id FROM n, carillon.inbox_state s
        WHERE s.tenant_id = $1 AND s.since < n.seq AND 'tenant' = ANY (n.channels)
    UNION SELECT f.user_id FROM n, carillon.followers f
        WHERE f.tenant_id = $1 AND f.channel = ANY (n.channels) AND f.since < n.seq
    UNION SELECT d.user_id FROM n CROSS JOIN LATERAL unnest(n.channels) AS c(channel)
            JOIN carillon.device_channels d ON d.tenant_id = $1 AND d.channel = c.channel AND d.first_seen <= n.at
        WHERE (SELECT complete FROM known)
    UNION SELECT d.user_id FROM n, carillon.devices d
        WHERE (SELECT walks FROM n) AND d.tenant_id = $1 AND d.channels && n.channels AND d.first_seen <= n.at
    UNION SELECT m.user_id FROM n, carillon.inbox_marks m WHERE m.tenant_id = $1 AND m.seq = n.seq
), done AS (
    SELECT p.user_id, m.acked_at, coalesce(m.read, n.seq <= s.read_to, false) AS read,
        coalesce(m.read, n.seq <= s.read_to, false) OR coalesce(n.seq <= s.seen_to, false) AS seen,
        EXISTS (SELECT FROM carillon.devices d WHERE d.tenant_id = $1 AND d.user_id = p.user_id AND d.epoch = n.epoch
            AND greatest(d.delivered, d.acked) >= n.seq) AS reached
    FROM n CROSS JOIN people p
        LEFT JOIN carillon.inbox_state s ON s.tenant_id = $1 AND s.user_id = p.user_id
        LEFT JOIN carillon.inbox_marks m ON m.tenant_id = $1 AND m.user_id = p.user_id AND m.seq = n.seq
), are AS (
    SELECT user_id, acked_at, read, seen, reached OR seen OR acked_at IS NOT NULL AS delivered FROM done
)",
            $rest
        )
    };
}
const COUNTS: &str = people!(
    "
SELECT x.seq, x.type, x.title, x.requires_ack, x.expires_at, x.retracted_at, x.time, (SELECT count(*) FROM are) AS audience,
    (SELECT count(*) FROM are WHERE delivered) AS delivered, (SELECT count(*) FROM are WHERE seen) AS seen,
    (SELECT count(*) FROM are WHERE read) AS read, (SELECT count(*) FROM are WHERE acked_at IS NOT NULL) AS acked,
    NOT EXISTS (SELECT FROM carillon.device_channel_tenants k WHERE k.tenant_id = $1) AND EXISTS (SELECT FROM unnest(n.channels) AS c(channel)
        WHERE c.channel <> 'tenant' AND c.channel NOT LIKE 'user:%') AS by_channel
FROM carillon.notices x, n WHERE x.tenant_id = $1 AND x.seq = n.seq"
);
const PAGE: &str = people!(
    "
SELECT user_id, acked_at, read, seen, delivered FROM are WHERE user_id > $3 AND CASE $4::text
    WHEN 'not_acked' THEN acked_at IS NULL WHEN 'acked' THEN acked_at IS NOT NULL WHEN 'seen' THEN seen
    WHEN 'delivered' THEN delivered ELSE NOT delivered END
ORDER BY user_id LIMIT $5"
);

/// Its escalation.
const STEPS: &str = "
SELECT e.step, e.after, e.webhook, e.who, coalesce(e.due_at, a.due_at) AS due_at, e.told,
    (SELECT count(*) FROM carillon.escalations_held h WHERE h.tenant_id = e.tenant_id AND h.seq = e.seq AND h.step = e.step) AS held
FROM carillon.escalations e LEFT JOIN carillon.escalations_aside a ON a.tenant_id = e.tenant_id AND a.seq = e.seq AND a.step = e.step
WHERE e.tenant_id = $1 AND e.seq = $2 ORDER BY e.step";

/// Which of a notice's audience are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Who has not taken note.
    NotAcked,
    /// Who has.
    Acked,
    /// Who has seen it.
    Seen,
    /// Whom it has reached.
    Delivered,
    /// Whom it has not.
    NotDelivered,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NotAcked, Self::Acked, Self::Seen, Self::Delivered, Self::NotDelivered];

    /// The name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAcked => "not_acked",
            Self::Acked => "acked",
            Self::Seen => "seen",
            Self::Delivered => "delivered",
            Self::NotDelivered => "not_delivered",
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeState {
    /// Its number.
    pub seq: Seq,
    /// Its type.
    pub kind: String,
    /// Its title.
    pub title: String,
    /// Whether people are asked to take note.
    pub requires_ack: bool,
    /// From when on it is in no inbox.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub retracted_at: Option<Timestamp>,
    /// When it happened.
    pub time: Timestamp,
    /// People it is for, as far as they are known.
    pub audience: u64,
    /// Those whom it has reached.
    pub delivered: u64,
    /// Those who have seen it.
    pub seen: u64,
    /// Those who have read it.
    pub read: u64,
    /// Those who have taken note.
    pub acked: u64,
    /// A page of those who were asked for, by name.
    pub people: Vec<NoticePerson>,
    /// Whether there are more after these.
    pub more: bool,
    /// Its escalation, by step.
    pub steps: Vec<NoticeStep>,
}

/// A step of a notice's escalation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeStep {
    /// When it is due, in seconds after the notice was stored.
    pub after: u32,
    /// Which webhook is told.
    pub webhook: String,
    /// Of whom.
    pub who: String,
    /// When people are looked at next; none: never again.
    pub due_at: Option<Timestamp>,
    /// People who were named.
    pub told: u64,
    /// People for whom it is quiet.
    pub held: u64,
}

/// What somebody has done with a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticePerson {
    /// Who.
    pub user: String,
    /// Whether a device of theirs has it, or they have seen it.
    pub delivered: bool,
    /// Whether they have seen it.
    pub seen: bool,
    /// Whether they have read it.
    pub read: bool,
    /// When they took note.
    pub acked_at: Option<Timestamp>,
}

/// A notice that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retracted {
    /// Its number.
    pub seq: Seq,
    /// Whom it was for.
    pub channels: Vec<Channel>,
    /// Whether it was taken back now, and not before.
    pub first: bool,
    /// When.
    pub at: Timestamp,
}

impl Log {
    /// Takes a notice back. None: there is no such notice.
    pub async fn retract_notice(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<Retracted>, LogError> {
        let client = self.client(Work::Ask, "retract_notice").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &id.as_str()];
        let rows = scoped(client, std::iter::once(tenant), RETRACT, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let channels = row.get::<_, Vec<&str>>("channels").into_iter().map(Channel::new);
        let channels = channels.collect::<Result<_, _>>();
        let channels =
            channels.map_err(|error| LogError::Database(format!("a notice's channel: {error}")))?;
        let seq = Seq(row.get::<_, i64>("seq") as u64);
        Ok(Some(Retracted { seq, channels, first: row.get("first"), at: row.get("retracted_at") }))
    }

    /// What became of a notice, and at most `limit` of these people, those after a name. None: there is no such notice.
    pub async fn notice_state(
        &self,
        tenant: &TenantId,
        id: &EventId,
        (who, after, limit): (Who, &str, usize),
    ) -> Result<Option<NoticeState>, LogError> {
        let client = self.client(Work::Search, "notice_state").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &id.as_str()];
        let rows = scoped(client, std::iter::once(tenant), COUNTS, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        if row.get("by_channel")
            && let Err(error) = self.want_device_channels(tenant).await
        {
            // This answer does not need it, and whoever asks next asks for it again.
            tracing::debug!(%error, %tenant, "devices by channel could not be asked for");
        }
        let most = limit as i64 + 1;
        let params: [&(dyn ToSql + Sync); 5] = [&tenant.as_str(), &id.as_str(), &after, &who.name(), &most];
        let client = self.client(Work::Search, "notice_state").await?;
        let people = scoped(client, std::iter::once(tenant), PAGE, &params).await?;
        let client = self.client(Work::Search, "notice_state").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &row.get::<_, i64>("seq")];
        let steps = scoped(client, std::iter::once(tenant), STEPS, &params).await?;
        Ok(Some(state(row, &people, &steps, limit)))
    }

    /// From some seconds later on the tenant's devices are found by channel.
    pub(in crate::log) async fn want_device_channels(&self, tenant: &TenantId) -> Result<(), LogError> {
        let client = self.client(Work::Search, "notice_state").await?;
        exchange(client, async |client| {
            let want = client.prepare_cached(WANT).await?;
            Ok(client.query_one(&want, &[&tenant.as_str()]).await.map(drop)?)
        })
        .await
    }
}

fn state(row: &Row, people: &[Row], steps: &[Row], limit: usize) -> NoticeState {
    let count = |name: &str| row.get::<_, i64>(name) as u64;
    let person = |row: &Row| NoticePerson {
        user: row.get("user_id"),
        delivered: row.get("delivered"),
        seen: row.get("seen"),
        read: row.get("read"),
        acked_at: row.get("acked_at"),
    };
    let step = |row: &Row| NoticeStep {
        after: row.get::<_, i32>("after") as u32,
        webhook: row.get("webhook"),
        who: row.get("who"),
        due_at: row.get("due_at"),
        told: row.get::<_, i64>("told") as u64,
        held: row.get::<_, i64>("held") as u64,
    };
    NoticeState {
        seq: Seq(row.get::<_, i64>("seq") as u64),
        kind: row.get("type"),
        title: row.get("title"),
        requires_ack: row.get("requires_ack"),
        expires_at: row.get("expires_at"),
        retracted_at: row.get("retracted_at"),
        time: row.get("time"),
        audience: count("audience"),
        delivered: count("delivered"),
        seen: count("seen"),
        read: count("read"),
        acked: count("acked"),
        people: people.iter().take(limit).map(person).collect(),
        more: people.len() > limit,
        steps: steps.iter().map(step).collect(),
    }
}
