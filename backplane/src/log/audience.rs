//! How many people and devices are in these channels, as far as they are known?

use super::error::LogError;
use super::pool::Log;
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::{Channel, TenantId};

/// Who is named, who was seen, who follows, and whose devices or connections are in one of the channels, each read once. Services are no
/// people. Devices are found by channel as soon as those of the tenant are complete there, those in somebody's own channel by whose they
/// are; for `tenant`, and until then, by a walk.
const AUDIENCE: &str = "
WITH known AS MATERIALIZED (
    SELECT k.complete FROM carillon.device_channel_tenants k WHERE k.tenant_id = $1
), asked AS MATERIALIZED (
    SELECT c.channel, c.channel LIKE 'user:%' AS is_own FROM unnest($2::text[]) AS c(channel)
), walk AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM asked a WHERE a.channel = 'tenant'
        OR NOT a.is_own AND NOT coalesce((SELECT complete FROM known), false)) AS is_needed
), devices AS MATERIALIZED (
    SELECT d.user_id, d.device_id FROM carillon.devices d WHERE (SELECT is_needed FROM walk) AND d.tenant_id = $1 AND d.channels && $2
    UNION SELECT k.user_id, k.device_id FROM asked a JOIN carillon.device_channels k ON k.tenant_id = $1 AND k.channel = a.channel
        WHERE NOT (SELECT is_needed FROM walk) AND NOT a.is_own
    UNION SELECT d.user_id, d.device_id FROM asked a JOIN carillon.devices d ON d.tenant_id = $1 AND d.user_id = substr(a.channel, 6)
        WHERE NOT (SELECT is_needed FROM walk) AND a.is_own AND d.channels && $2
), connections AS MATERIALIZED (
    SELECT c.user_id FROM carillon.connections c WHERE c.tenant_id = $1 AND c.channels && $2
), people AS (
    SELECT substr(c.channel, 6) AS user_id FROM unnest($2::text[]) AS c(channel) WHERE c.channel LIKE 'user:%'
    UNION SELECT s.user_id FROM carillon.inbox_state s WHERE s.tenant_id = $1 AND 'tenant' = ANY ($2)
    UNION SELECT f.user_id FROM carillon.followers f WHERE f.tenant_id = $1 AND f.channel = ANY ($2)
    UNION SELECT user_id FROM devices
    UNION SELECT user_id FROM connections
)
SELECT (SELECT count(*) FROM people WHERE user_id NOT LIKE 'key:%') AS people,
    (SELECT count(*) FROM devices) AS devices,
    (SELECT count(DISTINCT user_id) FROM connections WHERE user_id NOT LIKE 'key:%') AS connected,
    NOT EXISTS (SELECT FROM known) AND EXISTS (SELECT FROM asked a WHERE a.channel <> 'tenant' AND NOT a.is_own) AS by_channel";

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audience {
    /// People.
    pub people: u64,
    /// Devices in the channels.
    pub devices: u64,
    /// People who are connected in the channels now.
    pub connected: u64,
}

impl Log {
    /// Whom these channels reach. Who asks for channels of several people has the tenant's devices found by channel from then on.
    pub async fn audience(&self, tenant: &TenantId, channels: &[Channel]) -> Result<Audience, LogError> {
        let names: Vec<&str> = channels.iter().map(Channel::as_str).collect();
        let client = self.client(Work::Search, "audience").await?;
        let rows = scoped(client, std::iter::once(tenant), AUDIENCE, &[&tenant.as_str(), &names]).await?;
        if rows.first().is_some_and(|row| row.get("by_channel"))
            && let Err(error) = self.want_device_channels(tenant).await
        {
            // This answer does not need it, and whoever asks next asks for it again.
            tracing::debug!(%error, %tenant, "devices by channel could not be asked for");
        }
        let read = |row: &tokio_postgres::Row| {
            let number = |name: &str| row.get::<_, i64>(name) as u64;
            Audience { people: number("people"), devices: number("devices"), connected: number("connected") }
        };
        Ok(rows.first().map(read).unwrap_or_default())
    }
}
