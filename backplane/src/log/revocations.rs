//! Who was disconnected, and since when?
//!
//! A revocation is written with the tenant's settings version, in one transaction, and read with the settings
//! ([`super::settings`]); so gateways have it within a second, whether Redis is there or not.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::work::Work;
use carillon_protocol::{ConnectionName, DeviceId, TenantId, UserId};
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
        let row = exchange(self.client(Work::Ask, "revoke").await?, async |client| {
            let statement = client.prepare_cached(REVOKE).await?;
            Ok(client.query_one(&statement, &params).await?)
        })
        .await?;
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
