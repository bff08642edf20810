//! How far is each device, and which of an event's audience are not so far?
//!
//! A device is a stored cursor: `delivered` has reached it, `acked` it has handled. Gateways store what they know of many devices in one
//! statement (`migrations/V18__devices_and_how_far_they_are.sql` says how it only moves forwards). Receipts of an event are a comparison
//! of its number with those cursors, so no delivery is ever written down.

use super::error::LogError;
use super::pool::{Log, exchange};
use super::read::signed;
use super::scope::{scoped, scoped_in};
use super::work::Work;
use carillon_protocol::{Channel, Epochs, EventId, Seq, TenantId};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const STORE: &str = "SELECT carillon.store_devices($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const FORGET: &str = "SELECT carillon.forget_devices($1, $2)";
const ADD_CHANNELS: &str = "SELECT added, is_waiting FROM carillon.add_device_channels($1)";

/// Which event it is, and when it was appended. The order has the newest of several that were published under one id.
const PLACE: &str = "
SELECT seq, at, channels FROM carillon.events
WHERE tenant_id = $1 AND id = $2 AND at >= $3 AND at < $4 ORDER BY seq DESC LIMIT 1";

/// Whether a cursor of a device's epoch says anything about the event: of an older one up to where its log is the present one's.
macro_rules! counts {
    () => {
        "(epoch = $5 OR $4 <= coalesce(($7::bigint[])[array_position($6::text[], epoch)], 0))"
    };
}

/// Few are less than one of so many.
macro_rules! one_of {
    () => {
        "20"
    };
}

/// What is told of a device: how far it is in the present epoch.
macro_rules! receipts {
    () => {
        "
SELECT user_id, device_id, last_seen,
    CASE WHEN epoch = $5 THEN greatest(delivered, acked) ELSE least(greatest(delivered, acked),
        coalesce(($7::bigint[])[array_position($6::text[], epoch)], 0)) END AS delivered,
    CASE WHEN epoch = $5 THEN acked
        ELSE least(acked, coalesce(($7::bigint[])[array_position($6::text[], epoch)], 0)) END AS acked
FROM carillon.devices"
    };
}

/// Whether a device has acknowledged the event, or has been reached by it.
macro_rules! is_so_far {
    () => {
        concat!("(CASE WHEN $8 THEN acked ELSE greatest(delivered, acked) END) >= $4 AND ", counts!())
    };
}

/// How far devices of the audience are, and the page of those that are not so far, if they are few: one walk over the tenant's devices,
/// for what moves with every acknowledgement has no index. The walk notes where the rows of the page's candidates lie, which is good for
/// as long as the statement sees one state of the table. A row without a user is of no device; of many, only the counts are told.
const WALK: &str = concat!(
    "
WITH walked AS MATERIALIZED (
    SELECT count(*) AS audience, count(*) FILTER (WHERE (acked >= $4 OR delivered >= $4) AND ",
    counts!(),
    ") AS reached, count(*) FILTER (WHERE acked >= $4 AND ",
    counts!(),
    ") AS handled, array_agg(ctid) FILTER (WHERE NOT (",
    is_so_far!(),
    ") AND (user_id, device_id) > ($9, $10)) AS places
    FROM carillon.devices WHERE tenant_id = $1 AND first_seen <= $3 AND channels && $2
), few AS MATERIALIZED (
    SELECT CASE WHEN cardinality(places) * ",
    one_of!(),
    " < audience THEN places END AS places FROM walked
)
SELECT audience, reached, handled,
    coalesce(cardinality(places) * ",
    one_of!(),
    " >= audience, false) AS is_many, page.*
FROM walked LEFT JOIN (",
    receipts!(),
    " WHERE ctid = ANY ((SELECT places FROM few)::tid[]) AND tenant_id = $1
    ORDER BY user_id, device_id LIMIT $11) AS page ON true"
);

/// Of many the first after a place: walked in the order of names, which is that of the primary key, until the page is full; the cheaper
/// question first. Of few, each would be another page of the table.
const MANY: &str = concat!(
    receipts!(),
    " WHERE tenant_id = $1 AND CASE WHEN ",
    is_so_far!(),
    " THEN false ELSE first_seen <= $3 AND channels && $2 END
    AND (user_id, device_id) > ($9, $10) ORDER BY user_id, device_id LIMIT $11"
);

/// How far a device is, as a gateway knows it.
#[derive(Debug, Clone, Copy)]
pub struct DeviceState<'a> {
    /// Whose log.
    pub tenant: &'a str,
    /// Whose device.
    pub user: &'a str,
    /// Its name.
    pub device: &'a str,
    /// In which epoch the two cursors count.
    pub epoch: &'a str,
    /// Everything for it up to here has reached it.
    pub delivered: Seq,
    /// Everything up to here it has handled.
    pub acked: Seq,
    /// How long ago it came to have handled that, in milliseconds; none: that was told before, or is not known.
    pub handled_ms: Option<u64>,
    /// How long ago it was seen first, in milliseconds.
    pub first_ms: u64,
    /// How long ago it was seen last.
    pub seen_ms: u64,
    /// The channels it is in, with U+001F between them; none: as they are stored.
    pub channels: Option<&'a str>,
}

/// Which of an event's audience are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Those that have not acknowledged it.
    NotAcked,
    /// Those that it has not reached.
    NotDelivered,
}

/// Where a page of devices begins: after the one with these names, which may be empty.
#[derive(Debug, Clone, Copy)]
pub struct DevicePlace<'a> {
    /// Whose.
    pub user: &'a str,
    /// Which.
    pub device: &'a str,
    /// Most devices of the page.
    pub limit: usize,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliveries {
    /// The event's number.
    pub seq: Seq,
    /// Devices it is for.
    pub audience: u64,
    /// Those it has reached.
    pub delivered: u64,
    /// Those that have handled it.
    pub acked: u64,
    /// A page of those that were asked for, by user and device.
    pub pending: Vec<Receipts>,
    /// Whether there are more after these.
    pub more: bool,
}

/// How far a device of an event's audience is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipts {
    /// Whose.
    pub user: String,
    /// Which.
    pub device: String,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Everything for it up to here has reached it.
    pub delivered: Seq,
    /// Everything up to here it has handled.
    pub acked: Seq,
}

impl Log {
    /// Stores how far devices are; none of them twice.
    pub async fn store_devices(&self, states: &[DeviceState<'_>]) -> Result<(), LogError> {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let first: Vec<i64> = states.iter().map(|state| ms(state.first_ms)).collect();
        let seen: Vec<i64> = states.iter().map(|state| ms(state.seen_ms)).collect();
        let tenants: Vec<&str> = states.iter().map(|state| state.tenant).collect();
        let users: Vec<&str> = states.iter().map(|state| state.user).collect();
        let devices: Vec<&str> = states.iter().map(|state| state.device).collect();
        let epochs: Vec<&str> = states.iter().map(|state| state.epoch).collect();
        let delivered: Vec<i64> = states.iter().map(|state| signed(state.delivered)).collect();
        let acked: Vec<i64> = states.iter().map(|state| signed(state.acked)).collect();
        let channels: Vec<Option<&str>> = states.iter().map(|state| state.channels).collect();
        let handled: Vec<Option<i64>> = states.iter().map(|state| state.handled_ms.map(ms)).collect();
        let params: [&(dyn ToSql + Sync); 10] =
            [&tenants, &users, &devices, &epochs, &delivered, &acked, &first, &seen, &channels, &handled];
        exchange(self.client(Work::Upkeep, "devices").await?, async |client| {
            let statement = client.prepare_cached(STORE).await?;
            Ok(client.query_one(&statement, &params).await.map(drop)?)
        })
        .await
    }

    /// Forgets at most `most` devices that were not seen for so many days, and says how many.
    pub async fn forget_devices(&self, days: u32, most: u32) -> Result<u64, LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(FORGET).await?;
            let row = client.query_one(&statement, &[&(days as i32), &(most as i32)]).await?;
            Ok(row.get::<_, i64>(0) as u64)
        })
        .await
    }

    /// Adds devices with about so many channels to those that are found by channel, of a tenant that wants it; how many devices, and whether
    /// a tenant can go on.
    pub async fn add_device_channels(&self, most: u32) -> Result<(u64, bool), LogError> {
        exchange(self.client(Work::Upkeep, "maintenance").await?, async |client| {
            let statement = client.prepare_cached(ADD_CHANNELS).await?;
            let row = client.query_one(&statement, &[&(most as i32)]).await?;
            Ok((row.get::<_, i32>("added") as u64, row.get("is_waiting")))
        })
        .await
    }

    /// What became of an event, whose tenant's log has these epochs: of the devices that were in one of its channels and were seen before
    /// it. Of the pending ones a page. None: there is no such event.
    pub async fn deliveries(
        &self,
        (tenant, epochs): (&TenantId, &Epochs),
        id: &EventId,
        pending: Pending,
        DevicePlace { user, device, limit }: DevicePlace<'_>,
    ) -> Result<Option<Deliveries>, LogError> {
        let Some(place) = self.place(tenant, id).await? else { return Ok(None) };
        let names: Vec<&str> = place.channels.iter().map(Channel::as_str).collect();
        let current = epochs.current().as_str();
        let older: Vec<&str> = epochs.names().skip(1).map(|epoch| epoch.as_str()).collect();
        let good: Vec<i64> =
            epochs.names().skip(1).map(|epoch| epochs.good_up_to(epoch).map_or(0, signed)).collect();
        let (tenant_name, seq) = (tenant.as_str(), signed(place.seq));
        let (most, is_any) = (limit as i64 + 1, pending == Pending::NotAcked);
        let params: [&(dyn ToSql + Sync); 11] =
            [&tenant_name, &names, &place.at, &seq, &current, &older, &good, &is_any, &user, &device, &most];
        let client = self.client(Work::Search, "deliveries").await?;
        let mut rows = scoped(client, std::iter::once(tenant), WALK, &params).await?;
        let row = rows.first().ok_or_else(|| LogError::Database("no count".into()))?;
        let number = |name: &str| row.get::<_, i64>(name) as u64;
        let mut found = Deliveries {
            seq: place.seq,
            audience: number("audience"),
            delivered: number("reached"),
            acked: number("handled"),
            pending: Vec::new(),
            more: false,
        };
        if row.get("is_many") {
            let client = self.client(Work::Search, "deliveries").await?;
            rows = scoped(client, std::iter::once(tenant), MANY, &params).await?;
        }
        rows.retain(|row| row.get::<_, Option<&str>>("user_id").is_some());
        found.more = rows.len() > limit;
        found.pending = rows.iter().take(limit).map(receipts).collect();
        Ok(Some(found))
    }

    async fn place(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Place>, LogError> {
        for days in self.calendar(Work::Search, "event").await?.all() {
            let [from, to] = days.bounds();
            let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &id.as_str(), &from, &to];
            let client = self.client(Work::Search, "event").await?;
            let rows = scoped_in(client, tenant, days, PLACE, &params).await?;
            if let Some(row) = rows.first() {
                let channels = row.get::<_, Vec<&str>>("channels").into_iter().map(Channel::new);
                let channels = channels.collect::<Result<_, _>>();
                let channels = channels.map_err(|error| LogError::Database(error.to_string()))?;
                return Ok(Some(Place {
                    seq: Seq(row.get::<_, i64>("seq") as u64),
                    at: row.get("at"),
                    channels,
                }));
            }
        }
        Ok(None)
    }
}

/// Where an event stands in the log, and whom it is for.
struct Place {
    seq: Seq,
    at: Timestamp,
    channels: Vec<Channel>,
}

fn receipts(row: &Row) -> Receipts {
    Receipts {
        user: row.get("user_id"),
        device: row.get("device_id"),
        last_seen: row.get("last_seen"),
        delivered: Seq(row.get::<_, i64>("delivered") as u64),
        acked: Seq(row.get::<_, i64>("acked") as u64),
    }
}
