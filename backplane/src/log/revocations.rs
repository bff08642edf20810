//! Who was disconnected, and since when?
//!
//! A revocation is written with the tenant's settings version, in one transaction, and read with the settings
//! ([`super::settings`]); so gateways have it within a second, whether Redis is there or not.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::{scoped, scoped_as};
use super::work::Work;
use carillon_protocol::{ConnectionName, DeviceId, TenantId, UserId};
use jiff::Timestamp;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Whom or what to disconnect: a connection, or a person, a device, or one device of a person.
#[derive(Debug, Clone, Copy, Default)]
pub struct Revoke<'a> {
    /// The person.
    pub user: Option<&'a UserId>,
    /// The device.
    pub device: Option<&'a DeviceId>,
    /// The connection.
    pub connection: Option<&'a ConnectionName>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It holds; the second in which it was written lasts as long as this by the database's clock.
    Revoked {
        /// To the end of that second.
        second_left: Duration,
    },
    /// There is no such tenant.
    NoTenant,
    /// The tenant has as many as it may.
    Full,
}

/// A revocation as it is stored: an empty text means whoever or whichever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRevocation {
    /// The person.
    pub user: String,
    /// The device.
    pub device: String,
    /// The connection.
    pub connection: String,
    /// When it was written, in microseconds since 1970: tokens issued before are refused.
    pub at_us: u64,
    /// Until when it holds, in seconds since 1970.
    pub until: u64,
}

/// A revocation that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRevocation {
    /// The person; empty: whoever it is.
    pub user: String,
    /// The device; empty: whichever it is.
    pub device: String,
    /// The connection; empty: all of them.
    pub connection: String,
    /// When it was written: tokens issued before are refused.
    pub at: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
}

/// In the order of the primary key.
const LIST: &str = "
SELECT user_id, device, connection, revoked_at, until FROM carillon.revocations
WHERE tenant_id = $1 AND (user_id, device, connection) > ($2, $3, $4) AND until > now()
ORDER BY user_id, device, connection LIMIT $5";
const LIFT: &str = "SELECT carillon.lift_revocation($1, $2, $3, $4)";
const REVOKE: &str = "SELECT outcome, wait_us FROM carillon.revoke($1, $2, $3, $4, $5, $6)";
const FORGET: &str = "SELECT carillon.forget_revocations($1)";

impl Log {
    /// Writes a revocation that holds for so long, if the tenant has fewer than `most` of its kind or this one already.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        whom: Revoke<'_>,
        lasts: Duration,
        most: u32,
    ) -> Result<RevokeOutcome, LogError> {
        let user = whom.user.map_or("", UserId::as_str);
        let device = whom.device.map_or("", DeviceId::as_str);
        let connection = whom.connection.map_or("", ConnectionName::as_str);
        let (seconds, most) = (lasts.as_secs() as i64, most as i32);
        let params: [&(dyn ToSql + Sync); 6] =
            [&tenant.as_str(), &user, &device, &connection, &seconds, &most];
        let client = self.client(Work::Ask, "revoke").await?;
        let scope = std::iter::once(tenant.as_str());
        let rows = scoped_as(client, scope, self.actor.as_deref(), REVOKE, &params).await?;
        let row = rows.first().ok_or_else(|| LogError::Database("no answer to a revocation".into()))?;
        match row.get::<_, &str>("outcome") {
            "revoked" => {
                let left = row.get::<_, i64>("wait_us") as u64;
                Ok(RevokeOutcome::Revoked { second_left: Duration::from_micros(left) })
            }
            "no_tenant" => Ok(RevokeOutcome::NoTenant),
            "full" => Ok(RevokeOutcome::Full),
            other => Err(LogError::Database(format!("carillon.revoke answered {other}"))),
        }
    }

    /// At most so many of a tenant's revocations that hold, by user, device and connection; those after the one of these names, which
    /// may be empty.
    pub async fn revocations(
        &self,
        tenant: &TenantId,
        [user, device, connection]: [&str; 3],
        most: usize,
    ) -> Result<Vec<HeldRevocation>, LogError> {
        let most = most as i64;
        let params: [&(dyn ToSql + Sync); 5] = [&tenant.as_str(), &user, &device, &connection, &most];
        let client = self.client(Work::Ask, "revocations").await?;
        let rows = scoped(client, std::iter::once(tenant), LIST, &params).await?;
        let held = |row: &Row| HeldRevocation {
            user: row.get("user_id"),
            device: row.get("device"),
            connection: row.get("connection"),
            at: row.get("revoked_at"),
            until: row.get("until"),
        };
        Ok(rows.iter().map(held).collect())
    }

    /// Ends the revocation with these names, of which some may be empty. False if none holds.
    pub async fn lift_revocation(
        &self,
        tenant: &TenantId,
        [user, device, connection]: [&str; 3],
    ) -> Result<bool, LogError> {
        let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &user, &device, &connection];
        let client = self.client(Work::Ask, "revoke").await?;
        let scope = std::iter::once(tenant.as_str());
        let rows = scoped_as(client, scope, self.actor.as_deref(), LIFT, &params).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Forgets at most `most` revocations that hold no longer, and says how many.
    pub async fn forget_revocations(&self, most: u32) -> Result<u64, LogError> {
        let row = exchange(self.client(Work::Upkeep, "revocations").await?, async |client| {
            let statement = client.prepare_cached(FORGET).await?;
            Ok(client.query_one(&statement, &[&(most as i32)]).await?)
        })
        .await?;
        Ok(row.get::<_, i64>(0) as u64)
    }
}

/// The revocations in a row of the settings.
pub(super) fn revoked(row: &Row) -> Vec<StoredRevocation> {
    let texts = |name: &str| row.get::<_, Option<Vec<String>>>(name).unwrap_or_default();
    let numbers = |name: &str| row.get::<_, Option<Vec<i64>>>(name).unwrap_or_default();
    let whom = texts("users").into_iter().zip(texts("devices")).zip(texts("connections"));
    let when = numbers("moments").into_iter().zip(numbers("ends"));
    whom.zip(when)
        .map(|(((user, device), connection), (at_us, until))| {
            let (at_us, until) = (at_us as u64, until as u64);
            StoredRevocation { user, device, connection, at_us, until }
        })
        .collect()
}
