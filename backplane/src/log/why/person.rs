//! Which devices and connections had the person when the event was committed, and how far are they?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Seq, TenantId, UserId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The devices seen last. One that is named is alone.
const DEVICES: &str = "
SELECT device_id, epoch, delivered, acked, first_seen, last_seen, channels FROM carillon.devices
WHERE tenant_id = $1 AND user_id = $2 AND ($3::text IS NULL OR device_id = $3) ORDER BY last_seen DESC, device_id LIMIT $4";

/// What is open now, and of what has ended: what was open at a moment, the last before and the first after. Of sessions that ended later
/// the first 5,000 are looked at.
const CONNECTIONS: &str = "
WITH later AS MATERIALIZED (
    SELECT connection, device_id, node, transport, opened_at, closed_at, reason FROM carillon.sessions
    WHERE tenant_id = $1 AND user_id = $2 AND closed_at > $3 AND ($4::text IS NULL OR device_id = $4)
    ORDER BY closed_at LIMIT 5000
)
(SELECT connection, device_id, node, transport, opened_at, NULL::timestamptz AS closed_at, NULL::text AS reason, channels
    FROM carillon.connections WHERE tenant_id = $1 AND user_id = $2 AND ($4::text IS NULL OR device_id = $4)
    ORDER BY connection LIMIT $5)
UNION ALL (SELECT l.*, NULL::text[] FROM later l WHERE l.opened_at <= $3 ORDER BY l.opened_at LIMIT $5)
UNION ALL (SELECT l.*, NULL::text[] FROM later l WHERE l.opened_at > $3 ORDER BY l.opened_at LIMIT 1)
UNION ALL (SELECT connection, device_id, node, transport, opened_at, closed_at, reason, NULL::text[] FROM carillon.sessions
    WHERE tenant_id = $1 AND user_id = $2 AND closed_at <= $3 AND ($4::text IS NULL OR device_id = $4)
    ORDER BY closed_at DESC LIMIT 1)";

/// The first thing that their pages said after a moment.
const ACTIVITY: &str = "
SELECT at, name FROM carillon.activity WHERE tenant_id = $1 AND user_id = $2 AND at >= $3 ORDER BY at, id LIMIT 1";

/// A device of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedDevice {
    /// Its name.
    pub device: String,
    /// In which epoch its cursors count.
    pub epoch: String,
    /// Everything for it up to here has reached it.
    pub delivered: Seq,
    /// Everything up to here it has handled.
    pub acked: Seq,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// The channels in which it was when it was last connected; none: not known.
    pub channels: Option<Vec<String>>,
}

/// A connection of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedConnection {
    /// Its name.
    pub connection: String,
    /// From which device.
    pub device: Option<String>,
    /// Where.
    pub node: String,
    /// `websocket` or `sse`.
    pub transport: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when, and why it ended; none: it is open.
    pub closed: Option<(Timestamp, String)>,
    /// The channels that it is in, while it is open.
    pub channels: Vec<String>,
}

/// What is stored about a person around a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonTrace {
    /// Their devices, those seen last first.
    pub devices: Vec<TracedDevice>,
    /// Whether they have more.
    pub more_devices: bool,
    /// What is open now, what was open at the moment, the last before and the first after it.
    pub connections: Vec<TracedConnection>,
    /// The first thing that their pages said after it.
    pub did: Option<(Timestamp, String)>,
}

impl Log {
    /// What is stored about a person, or one device of theirs, around a moment: at most `most` devices and connections of a kind.
    pub async fn trace_person(
        &self,
        (tenant, user): (&TenantId, &UserId),
        device: Option<&str>,
        at: Timestamp,
        most: usize,
    ) -> Result<PersonTrace, LogError> {
        let (name, person, limit) = (tenant.as_str(), user.as_str(), most as i64);
        let one_more = limit + 1;
        let client = self.client(Work::Search, "why").await?;
        let params: [&(dyn ToSql + Sync); 4] = [&name, &person, &device, &one_more];
        let devices = scoped(client, std::iter::once(tenant), DEVICES, &params).await?;
        let client = self.client(Work::Search, "why").await?;
        let params: [&(dyn ToSql + Sync); 5] = [&name, &person, &at, &device, &limit];
        let connections = scoped(client, std::iter::once(tenant), CONNECTIONS, &params).await?;
        let client = self.client(Work::Search, "why").await?;
        let params: [&(dyn ToSql + Sync); 3] = [&name, &person, &at];
        let did = scoped(client, std::iter::once(tenant), ACTIVITY, &params).await?;
        Ok(PersonTrace {
            more_devices: devices.len() > most,
            devices: devices.iter().take(most).map(traced_device).collect(),
            connections: connections.iter().map(connection).collect(),
            did: did.first().map(|row| (row.get("at"), row.get("name"))),
        })
    }
}

fn traced_device(row: &Row) -> TracedDevice {
    TracedDevice {
        device: row.get("device_id"),
        epoch: row.get("epoch"),
        delivered: Seq(row.get::<_, i64>("delivered") as u64),
        acked: Seq(row.get::<_, i64>("acked") as u64),
        first_seen: row.get("first_seen"),
        last_seen: row.get("last_seen"),
        channels: row.get("channels"),
    }
}

fn connection(row: &Row) -> TracedConnection {
    let closed_at: Option<Timestamp> = row.get("closed_at");
    TracedConnection {
        connection: row.get("connection"),
        device: row.get("device_id"),
        node: row.get("node"),
        transport: row.get("transport"),
        opened_at: row.get("opened_at"),
        closed: closed_at.map(|at| (at, row.get::<_, Option<String>>("reason").unwrap_or_default())),
        channels: row.get::<_, Option<Vec<String>>>("channels").unwrap_or_default(),
    }
}
