//! What do administrators set, read and ask for?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped_as;
use crate::log::work::Work;
use carillon_protocol::{Cursor, Epoch, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// A webhook as it is stored, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWebhook {
    /// Its name in the tenant.
    pub id: String,
    /// Where it sends.
    pub url: String,
    /// Patterns of the types that it sends; none: all.
    pub types: Vec<String>,
    /// Patterns of the channels whose events it sends; none: all.
    pub channels: Vec<String>,
    /// Whether an event waits until the one before was delivered.
    pub ordered: bool,
    /// Why it is disabled; none: it is enabled.
    pub disabled: Option<String>,
    /// Up to where it has sent.
    pub cursor: Cursor,
    /// Where the tenant's log ends.
    pub head: Seq,
    /// Nothing is sent before this.
    pub waits_until: Option<Timestamp>,
    /// Of the first failed attempt since the last delivery.
    pub failing_since: Option<Timestamp>,
    /// Of the last delivery.
    pub delivered_at: Option<Timestamp>,
    /// Until when the secret before signs, too.
    pub before_until: Option<Timestamp>,
    /// Since when it is there.
    pub created_at: Timestamp,
    /// When an administrator changed it last.
    pub changed_at: Timestamp,
    /// Deliveries that failed and are tried again.
    pub retrying: u32,
    /// Deliveries that only a person sends again.
    pub parked: u32,
}

/// What is to be set.
pub struct PutWebhook<'a> {
    /// Its name in the tenant.
    pub id: &'a str,
    /// Where it sends.
    pub url: &'a str,
    /// Patterns of types; none: all.
    pub types: &'a [String],
    /// Patterns of channels; none: all.
    pub channels: &'a [String],
    /// Whether an event waits until the one before was delivered.
    pub ordered: bool,
    /// The secret that was given, if one was.
    pub secret: Option<&'a str>,
    /// The secret of a new one that was given none.
    pub fresh: &'a str,
    /// Most webhooks of the tenant.
    pub most: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookPut {
    /// It is new, and begins where the log ends.
    Created,
    /// It was there, and goes on where it was.
    Changed,
    /// The tenant has as many as it may, or does not exist.
    Refused,
}

/// What became of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The cursor stands before that event.
    Moved,
    /// The log ends before that event: here.
    Beyond(Seq),
    /// There is no such webhook.
    Unknown,
}

const PUT: &str = "
INSERT INTO carillon.webhooks AS w (tenant_id, id, url, types, channels, ordered, secret, epoch, seq)
SELECT t.id, $2, $3, $4, $5, $6, coalesce($7, $8), t.epoch, t.head FROM carillon.tenants t
WHERE t.id = $1 AND (SELECT count(*) FROM carillon.webhooks o WHERE o.tenant_id = $1 AND o.id <> $2) < $9
ON CONFLICT (tenant_id, id) DO UPDATE SET url = excluded.url, types = excluded.types, channels = excluded.channels,
    ordered = excluded.ordered, secret = coalesce($7, w.secret),
    secret_before = CASE WHEN $7 <> w.secret THEN w.secret ELSE w.secret_before END,
    before_until = CASE WHEN $7 <> w.secret THEN now() + interval '24 hours' ELSE w.before_until END,
    waits_until = NULL, version = w.version + 1, changed_at = now()
RETURNING xmax = 0 AS created";
const ROTATE: &str = "
UPDATE carillon.webhooks SET secret_before = secret, before_until = now() + interval '24 hours', secret = $3,
    version = version + 1, changed_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING id";
/// One that is disabled already keeps its reason.
const DISABLE: &str = "
UPDATE carillon.webhooks SET state = 'disabled', reason = coalesce(reason, $3), version = version + 1, changed_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING id";
const ENABLE: &str = "
UPDATE carillon.webhooks SET state = 'enabled', reason = NULL, waits_until = NULL, failing_since = NULL,
    version = version + 1, changed_at = now()
WHERE tenant_id = $1 AND id = $2 RETURNING id";
const REPLAY: &str = "SELECT moved, head FROM carillon.replay_webhook($1, $2, $3)";
const DELETE: &str = "SELECT FROM carillon.delete_webhook($1, $2) AS gone WHERE gone";
const LIST: &str = "
SELECT w.id, w.url, w.types, w.channels, w.ordered, w.reason, w.epoch, w.seq, t.head, w.waits_until, w.failing_since, w.delivered_at,
    CASE WHEN w.before_until > now() THEN w.before_until END AS before_until, w.created_at, w.changed_at, d.retrying, d.parked
FROM carillon.webhooks w JOIN carillon.tenants t ON t.id = w.tenant_id
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE state = 'retrying') AS retrying, count(*) FILTER (WHERE state = 'parked') AS parked
    FROM carillon.webhook_deliveries WHERE tenant_id = w.tenant_id AND webhook = w.id) AS d
WHERE w.tenant_id = $1 AND ($2::text IS NULL OR w.id = $2) ORDER BY w.id";

impl Log {
    /// Makes a webhook or changes it.
    pub async fn put_webhook(&self, tenant: &TenantId, put: PutWebhook<'_>) -> Result<WebhookPut, LogError> {
        let PutWebhook { id, url, types, channels, ordered, secret, fresh, most } = put;
        let most = i64::from(most);
        let params: [&(dyn ToSql + Sync); 9] =
            [&tenant.as_str(), &id, &url, &types, &channels, &ordered, &secret, &fresh, &most];
        let rows = self.about_webhooks(tenant, PUT, &params).await?;
        Ok(match rows.first().map(|row| row.get::<_, bool>("created")) {
            Some(true) => WebhookPut::Created,
            Some(false) => WebhookPut::Changed,
            None => WebhookPut::Refused,
        })
    }

    /// Signs with this secret from now on, and for 24 hours with the one before, too. False if there is no such webhook.
    pub async fn rotate_webhook(&self, tenant: &TenantId, id: &str, secret: &str) -> Result<bool, LogError> {
        self.changes_webhook(tenant, ROTATE, &[&tenant.as_str(), &id, &secret]).await
    }

    /// Sends nothing from now on. False if there is no such webhook.
    pub async fn disable_webhook(&self, tenant: &TenantId, id: &str, why: &str) -> Result<bool, LogError> {
        self.changes_webhook(tenant, DISABLE, &[&tenant.as_str(), &id, &why]).await
    }

    /// Goes on sending where it was. False if there is no such webhook.
    pub async fn enable_webhook(&self, tenant: &TenantId, id: &str) -> Result<bool, LogError> {
        self.changes_webhook(tenant, ENABLE, &[&tenant.as_str(), &id]).await
    }

    /// Forgets a webhook. False if there is no such webhook.
    pub async fn delete_webhook(&self, tenant: &TenantId, id: &str) -> Result<bool, LogError> {
        self.changes_webhook(tenant, DELETE, &[&tenant.as_str(), &id]).await
    }

    /// Moves a webhook's cursor, so that it sends the events from this one on, again.
    pub async fn replay_webhook(&self, tenant: &TenantId, id: &str, from: Seq) -> Result<Replayed, LogError> {
        let rows = self.about_webhooks(tenant, REPLAY, &[&tenant.as_str(), &id, &signed(from)]).await?;
        Ok(match rows.first() {
            Some(row) => match row.get("moved") {
                Some(true) => Replayed::Moved,
                Some(false) => Replayed::Beyond(Seq(row.get::<_, i64>("head") as u64)),
                None => Replayed::Unknown,
            },
            None => Replayed::Unknown,
        })
    }

    /// A tenant's webhooks, by name; or the one of this name.
    pub async fn webhooks(
        &self,
        tenant: &TenantId,
        id: Option<&str>,
    ) -> Result<Vec<StoredWebhook>, LogError> {
        let rows = self.about_webhooks(tenant, LIST, &[&tenant.as_str(), &id]).await?;
        rows.iter().map(stored).collect()
    }

    async fn changes_webhook(
        &self,
        tenant: &TenantId,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<bool, LogError> {
        Ok(!self.about_webhooks(tenant, sql, params).await?.is_empty())
    }

    pub(super) async fn about_webhooks(
        &self,
        tenant: &TenantId,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LogError> {
        let client = self.client(Work::Ask, "webhook").await?;
        scoped_as(client, std::iter::once(tenant.as_str()), self.actor.as_deref(), sql, params).await
    }
}

fn stored(row: &Row) -> Result<StoredWebhook, LogError> {
    let epoch = Epoch::new(row.get::<_, &str>("epoch"))
        .map_err(|error| LogError::Database(format!("stored epoch: {error}")))?;
    let number = |name: &str| row.get::<_, i64>(name) as u64;
    Ok(StoredWebhook {
        id: row.get("id"),
        url: row.get("url"),
        types: row.get("types"),
        channels: row.get("channels"),
        ordered: row.get("ordered"),
        disabled: row.get("reason"),
        cursor: Cursor { epoch, seq: Seq(number("seq")) },
        head: Seq(number("head")),
        waits_until: row.get("waits_until"),
        failing_since: row.get("failing_since"),
        delivered_at: row.get("delivered_at"),
        before_until: row.get("before_until"),
        created_at: row.get("created_at"),
        changed_at: row.get("changed_at"),
        retrying: number("retrying") as u32,
        parked: number("parked") as u32,
    })
}
