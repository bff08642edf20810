//! Who is connected, and when did whoever was leave?
//!
//! Gateways store what they know, many connections in one statement (`migrations/V19__who_is_connected_and_who_was.sql`); publishers
//! read it, and close what dead gateways left open. No gateway is asked.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::{Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const STORE: &str =
    "SELECT carillon.store_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const SILENT: &str = "SELECT node, run FROM carillon.silent_runs($1)";
/// Forgets open connections of a gateway.
const FORGET: &str = "SELECT carillon.forget_connections($1, $2, $3)";
const CLOSE_LOST: &str = "SELECT carillon.close_lost_sessions($1, $2, $3, $4)";
/// Channels that open connections are in, of `$2` connections at most; nothing is kept of how many there are of each.
const CHANNELS: &str = "
SELECT count(*) FROM (SELECT DISTINCT n.name
    FROM (SELECT c.channels FROM carillon.connections c WHERE c.tenant_id = $1 LIMIT $2) AS c CROSS JOIN LATERAL unnest(c.channels) AS n(name)
) AS d";
const KEEP: &str = "SELECT made, dropped, due FROM carillon.keep_sessions($1, $2)";

/// In the order of connections' names after one of them. `behind` is by the device's cursor, where there is one of this epoch.
/// Only conditions that are asked for stand in it: with `$4 IS NULL OR …` beside the policy of row level security, a generic plan of
/// Postgres 15 sorts all connections of the tenant instead of walking the key.
const CONNECTIONS: &str = "
SELECT c.connection, c.user_id, c.device_id, c.node, c.transport, c.address, c.opened_at, c.rtt_ms, c.lost_pings,
    CASE WHEN d.epoch = t.epoch THEN greatest(t.head - greatest(d.delivered, d.acked), 0) END AS behind
FROM (SELECT c.* FROM carillon.connections c
    WHERE c.tenant_id = $1 AND c.connection > $2 CONDITIONS
    ORDER BY c.connection LIMIT $3) AS c
JOIN carillon.tenants t ON t.id = c.tenant_id
LEFT JOIN LATERAL (SELECT d.epoch, d.delivered, d.acked FROM carillon.devices d
    WHERE d.tenant_id = c.tenant_id AND d.user_id = c.user_id AND d.device_id = c.device_id LIMIT 1) AS d ON true
ORDER BY c.connection";

/// What may be asked of a connection, each with its parameter. Only what is asked stands in the statement, or no plan would be made for
/// it.
const CONDITIONS: [&str; 5] = [
    " AND c.connection = $",
    " AND c.user_id = $",
    " AND c.device_id = $",
    " AND c.node = $",
    " AND c.channels @> ARRAY[$",
];

/// A run of a gateway's process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayRun {
    /// The node's name.
    pub node: String,
    /// Tells its runs apart; the same as in the registry of nodes.
    pub number: u64,
}

/// A connection as its gateway knows it.
#[derive(Debug, Clone, Copy)]
pub struct SessionState<'a> {
    /// In whose log.
    pub tenant: &'a str,
    /// Its name.
    pub connection: &'a str,
    /// Whose.
    pub user: &'a str,
    /// From which device, if it says so.
    pub device: Option<&'a str>,
    /// `websocket` or `sse`.
    pub transport: &'a str,
    /// From where, if that is kept.
    pub address: Option<&'a str>,
    /// Milliseconds since 1970.
    pub opened_ms: u64,
    /// What a ping took, if one was answered.
    pub rtt_ms: Option<u32>,
    /// Pings that were not answered.
    pub lost_pings: u32,
    /// The channels it is in, with U+001F between them.
    pub channels: &'a str,
    /// When it ended (milliseconds since 1970), and why; none: it is open.
    pub ended: Option<(u64, &'a str)>,
}

/// Which connections are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionFilter {
    /// Of this name.
    pub connection: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// Of this device.
    pub device: Option<String>,
    /// At this node.
    pub node: Option<String>,
    /// In this channel.
    pub channel: Option<String>,
}

/// A connection that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConnection {
    /// Its name.
    pub connection: String,
    /// Whose.
    pub user: String,
    /// From which device.
    pub device: Option<String>,
    /// Where.
    pub node: String,
    /// `websocket` or `sse`.
    pub transport: String,
    /// From where, if that is kept.
    pub address: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What a ping took.
    pub rtt_ms: Option<u32>,
    /// Pings that were not answered.
    pub lost_pings: u32,
    /// How many events of the log its device has not got, whether they are for it or not; none where that is not known.
    pub behind: Option<Seq>,
}

/// What became of the partitions of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPartitions {
    /// So many were made.
    pub made: u32,
    /// This one was dropped.
    pub dropped: Option<String>,
    /// So many are past their time and still there.
    pub due: u32,
}

impl Log {
    /// Stores what a gateway knows of connections, none of them twice; also without one it says that the gateway lives. True if nobody
    /// knew of the gateway, so that all of its open connections are to be told.
    pub async fn store_sessions(
        &self,
        run: &GatewayRun,
        states: &[SessionState<'_>],
    ) -> Result<bool, LogError> {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let number = run.number as i64;
        let tenants: Vec<&str> = states.iter().map(|state| state.tenant).collect();
        let connections: Vec<&str> = states.iter().map(|state| state.connection).collect();
        let users: Vec<&str> = states.iter().map(|state| state.user).collect();
        let devices: Vec<Option<&str>> = states.iter().map(|state| state.device).collect();
        let transports: Vec<&str> = states.iter().map(|state| state.transport).collect();
        let addresses: Vec<Option<&str>> = states.iter().map(|state| state.address).collect();
        let opened: Vec<i64> = states.iter().map(|state| ms(state.opened_ms)).collect();
        let rtts: Vec<Option<i32>> = states.iter().map(|state| state.rtt_ms.map(|ms| ms as i32)).collect();
        let lost: Vec<i32> = states.iter().map(|state| state.lost_pings as i32).collect();
        let channels: Vec<&str> = states.iter().map(|state| state.channels).collect();
        let closed: Vec<Option<i64>> =
            states.iter().map(|state| state.ended.map(|(at_ms, _)| ms(at_ms))).collect();
        let reasons: Vec<Option<&str>> = states.iter().map(|state| state.ended.map(|(_, why)| why)).collect();
        let params: [&(dyn ToSql + Sync); 14] = [
            &run.node,
            &number,
            &tenants,
            &connections,
            &users,
            &devices,
            &transports,
            &addresses,
            &opened,
            &rtts,
            &lost,
            &channels,
            &closed,
            &reasons,
        ];
        exchange(self.client(Work::Upkeep, "sessions").await?, async |client| {
            let statement = client.prepare_cached(STORE).await?;
            Ok(client.query_one(&statement, &params).await?.get(0))
        })
        .await
    }

    /// Forgets at most `most` open connections of a gateway, which then tells all that it has. Says how many.
    pub async fn forget_connections(&self, run: &GatewayRun, most: u32) -> Result<u64, LogError> {
        exchange(self.client(Work::Upkeep, "sessions").await?, async |client| {
            let statement = client.prepare_cached(FORGET).await?;
            let params: [&(dyn ToSql + Sync); 3] = [&run.node, &(run.number as i64), &(most as i32)];
            Ok(client.query_one(&statement, &params).await?.get::<_, i64>(0) as u64)
        })
        .await
    }

    /// A tenant's open connections, by name: at most `limit` after the one of this name.
    pub async fn connections(
        &self,
        tenant: &TenantId,
        filter: &ConnectionFilter,
        after: &str,
        limit: usize,
    ) -> Result<Vec<OpenConnection>, LogError> {
        let (name, most) = (tenant.as_str(), limit as i64);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&name, &after, &most];
        let mut conditions = String::new();
        let ConnectionFilter { connection: one, user, device, node, channel } = filter;
        for (condition, value) in CONDITIONS.into_iter().zip([one, user, device, node, channel]) {
            if let Some(value) = value {
                params.push(value);
                let end = if condition.ends_with("[$") { "::text]" } else { "" };
                conditions.push_str(&format!("{condition}{}{end}", params.len()));
            }
        }
        let sql = CONNECTIONS.replace("CONDITIONS", &conditions);
        let client = self.client(Work::Search, "connections").await?;
        let rows = scoped(client, std::iter::once(tenant), &sql, &params).await?;
        Ok(rows.iter().map(connection).collect())
    }

    /// How many different channels a tenant's open connections are in; of `most` connections, if it has more.
    pub async fn channels_in_use(&self, tenant: &TenantId, most: u32) -> Result<u64, LogError> {
        let client = self.client(Work::Search, "connections").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &i64::from(most)];
        let rows = scoped(client, std::iter::once(tenant), CHANNELS, &params).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0) as u64))
    }

    /// Gateways that have not written for so long, the longest first.
    pub async fn silent_runs(&self, seconds: u32) -> Result<Vec<GatewayRun>, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(SILENT).await?;
            let rows = client.query(&statement, &[&(seconds as i32)]).await?;
            let run = |row: &Row| GatewayRun { node: row.get(0), number: row.get::<_, i64>(1) as u64 };
            Ok(rows.iter().map(run).collect())
        })
        .await
    }

    /// Closes at most `most` connections that a dead gateway left open, if it has not written for so long, and says how many.
    pub async fn close_lost_sessions(
        &self,
        run: &GatewayRun,
        seconds: u32,
        most: u32,
    ) -> Result<u64, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(CLOSE_LOST).await?;
            let params: [&(dyn ToSql + Sync); 4] =
                [&run.node, &(run.number as i64), &(seconds as i32), &(most as i32)];
            Ok(client.query_one(&statement, &params).await?.get::<_, i64>(0) as u64)
        })
        .await
    }

    /// Makes the partitions of sessions up to `ahead` days from now, and drops one whose sessions ended more than `keep` days ago.
    pub async fn keep_sessions(&self, keep: u32, ahead: u32) -> Result<SessionPartitions, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(KEEP).await?;
            let row = client.query_one(&statement, &[&(keep as i32), &(ahead as i32)]).await?;
            Ok(SessionPartitions {
                made: row.get::<_, i32>("made") as u32,
                dropped: row.get("dropped"),
                due: row.get::<_, i32>("due") as u32,
            })
        })
        .await
    }
}

fn connection(row: &Row) -> OpenConnection {
    OpenConnection {
        connection: row.get("connection"),
        user: row.get("user_id"),
        device: row.get("device_id"),
        node: row.get("node"),
        transport: row.get("transport"),
        address: row.get("address"),
        since: row.get("opened_at"),
        rtt_ms: row.get::<_, Option<i32>>("rtt_ms").map(|ms| ms as u32),
        lost_pings: row.get::<_, i32>("lost_pings") as u32,
        behind: row.get::<_, Option<i64>>("behind").map(|events| Seq(events as u64)),
    }
}
