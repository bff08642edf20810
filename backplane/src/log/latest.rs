//! Which is the latest event of every key of some channels?
//!
//! Two statements for a page: which events those are, by number, and what they say, in the days in which they stand. What a key
//! points at may be gone with its day; then the key is about to go, too, and is passed over.

use super::days::Days;
use super::error::LogError;
use super::pool::Log;
use super::read::{LoggedEvent, signed};
use super::scope::{scoped, scoped_in};
use super::search::type_params;
use super::work::Work;
use carillon_protocol::{Channel, Epoch, Seq, TenantId, TypePattern};
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Most rows of one page.
pub const LATEST_ROWS: usize = 1_000;
/// The days of one page, so that its statement touches few partitions.
const DAYS: i64 = 32;

/// Where the log stands, and the keys of a page: for each event the channels in which it is the latest of its key. Row level
/// security lets only operators use an index that cannot leak; these are. Without keys one row says where the log stands.
const KEYS: &str = "
SELECT t.epoch, t.head, x.seq, x.at, x.channels
FROM carillon.tenants t LEFT JOIN LATERAL (
    SELECT k.seq, min(k.at) AS at, array_agg(n.channel ORDER BY n.place) AS channels
    FROM unnest($2::text[]) WITH ORDINALITY AS n(channel, place) CROSS JOIN LATERAL (
        SELECT l.seq, l.at FROM carillon.latest l
        WHERE l.tenant_id = $1 AND l.channel = n.channel AND NOT l.gone AND l.seq > $3
            AND l.seq <= least($4::bigint, t.head)
        ORDER BY l.seq LIMIT $5::bigint
    ) AS k GROUP BY k.seq ORDER BY k.seq LIMIT $5::bigint
) AS x ON true WHERE t.id = $1 ORDER BY x.seq";

/// What these events say, in their order; nothing of those before which the page is full already.
const BODIES: &str = "
SELECT seq, CASE WHEN before < $6::bigint THEN body END AS body FROM (
    SELECT x.seq, e.body, coalesce(sum(octet_length(e.body)) OVER (ORDER BY x.seq
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM (SELECT unnest($2::bigint[]) AS seq, unnest($3::timestamptz[]) AS at) AS x CROSS JOIN LATERAL (
        SELECT e.body FROM carillon.events e
        WHERE e.tenant_id = $1 AND e.seq = x.seq AND e.at = x.at AND e.at >= $4 AND e.at < $5
            AND ($7::text[] IS NULL OR e.type = ANY ($7) OR e.type LIKE ANY ($8::text[]))
        LIMIT 1
    ) AS e
) AS page ORDER BY seq";

/// The latest events of keys, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestPage {
    /// The log's epoch.
    pub epoch: Epoch,
    /// Where the log stood when the keys were read: nothing newer is in the page, nothing older missing.
    pub head: Seq,
    /// The events, each with those of the channels in which it is the latest of its key.
    pub events: Vec<LoggedEvent>,
    /// How far was looked; all of it where that is what was asked for.
    pub reached: Seq,
}

/// A key's event.
struct Place {
    seq: Seq,
    at: Timestamp,
    channels: Vec<Channel>,
}

impl Log {
    /// The latest events of all keys of these channels with `after < seq <= upto` and of one of these types (of any if there is
    /// none), oldest first: at most `limit`, and no more once their bodies have `bytes`. None: there is no such tenant.
    pub async fn latest(
        &self,
        tenant: &TenantId,
        channels: &[Channel],
        types: &[TypePattern],
        (after, upto): (Seq, Seq),
        (limit, bytes): (usize, usize),
    ) -> Result<Option<LatestPage>, LogError> {
        let names: Vec<&str> = channels.iter().map(Channel::as_str).collect();
        let most = limit as i64;
        let params: [&(dyn ToSql + Sync); 5] =
            [&tenant.as_str(), &names, &signed(after), &signed(upto), &most];
        let client = self.client(Work::Search, "latest").await?;
        let rows = scoped(client, std::iter::once(tenant), KEYS, &params).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let epoch = Epoch::new(first.get::<_, &str>("epoch"));
        let epoch = epoch.map_err(|error| LogError::Database(error.to_string()))?;
        let head = Seq(first.get::<_, i64>("head") as u64);
        let mut places =
            rows.iter().filter_map(|row| place(row).transpose()).collect::<Result<Vec<_>, _>>()?;
        let is_last = places.len() < limit;
        let within = near(&places);
        let is_last = is_last && within == places.len();
        places.truncate(within);
        let all = if is_last { upto } else { places.last().map_or(upto, |place| place.seq) };
        let mut page = LatestPage { epoch, head, events: Vec::new(), reached: all };
        let Some((oldest, newest)) = places.first().zip(places.last()) else { return Ok(Some(page)) };
        let days = match self.calendar(Work::Search, "latest").await?.is_whole() {
            true => Days::ALL,
            false => Days::between(oldest.at.min(newest.at), oldest.at.max(newest.at)),
        };
        let (exact, begins) = type_params(types);
        let seqs: Vec<i64> = places.iter().map(|place| signed(place.seq)).collect();
        let times: Vec<Timestamp> = places.iter().map(|place| place.at).collect();
        let ([from, to], bytes) = (days.bounds(), i64::try_from(bytes).unwrap_or(i64::MAX));
        let params: [&(dyn ToSql + Sync); 8] =
            [&tenant.as_str(), &seqs, &times, &from, &to, &bytes, &exact, &begins];
        let client = self.client(Work::Search, "latest").await?;
        let rows = scoped_in(client, tenant, days, BODIES, &params).await?;
        let mut places = places.into_iter();
        for row in &rows {
            let seq = Seq(row.get::<_, i64>("seq") as u64);
            let Some(body) = row.get::<_, Option<String>>("body") else {
                page.reached = seq.previous();
                break;
            };
            let place = places.find(|place| place.seq == seq);
            let Place { channels, .. } =
                place.ok_or_else(|| LogError::Database("unexpected event".into()))?;
            page.events.push(LoggedEvent { seq, channels, body });
        }
        Ok(Some(page))
    }
}

/// How many of these stand within the days of one page.
fn near(places: &[Place]) -> usize {
    let Some(first) = places.first() else { return 0 };
    let far = SignedDuration::from_hours(24 * DAYS);
    let is_near = |place: &&Place| first.at.duration_until(place.at).abs() < far;
    places.iter().take_while(is_near).count()
}

fn place(row: &Row) -> Result<Option<Place>, LogError> {
    let Some(seq) = row.get::<_, Option<i64>>("seq") else { return Ok(None) };
    let channels = row.get::<_, Vec<&str>>("channels").into_iter().map(Channel::new);
    let channels = channels
        .collect::<Result<_, _>>()
        .map_err(|error| LogError::Database(format!("stored channel: {error}")))?;
    Ok(Some(Place { seq: Seq(seq as u64), at: row.get("at"), channels }))
}
