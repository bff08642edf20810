//! What is sent to the database for a batch, and what comes back?
//!
//! Each array is read as it streams by (`SELECT unnest(…), unnest(…)` keeps no copy, unlike `FROM unnest(…, …)`), and
//! the insert joins with one row only: the locked counters as arrays, in which an event finds its tenant's by place.
//! So the cost of an event does not depend on how many tenants or events share its batch.

use super::Append;
use super::notices::{Notices, notices};
use crate::log::error::LogError;
use carillon_protocol::{Epoch, EventId, Seq, Tag, TenantId};
use jiff::civil::DateTime;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The statement, and what else is written with the events.
macro_rules! append {
    ($($more:tt)*) => {
        concat!(
            r"
WITH known AS MATERIALIZED (
    SELECT array_agg(k.t) AS ts, array_agg(k.n) AS ns, array_agg(i.id) AS ids, array_agg(i.seq) AS seqs,
        array_agg(i.epoch) AS epochs, array_agg(i.hash = k.hash) AS same
    FROM (SELECT unnest($1::text[]) AS tenant_id, unnest($2::int[]) AS t, unnest($3::int[]) AS n,
            unnest($14::text[]) AS key, unnest($15::bytea[]) AS hash) AS k
        CROSS JOIN LATERAL (SELECT i.id, i.seq, i.epoch, i.hash FROM carillon.idempotency i
            WHERE i.tenant_id = k.tenant_id AND i.key = k.key OFFSET 0) AS i
    WHERE k.key IS NOT NULL
), here AS MATERIALIZED (
    SELECT nullif(coalesce(nullif(current_setting('carillon.lineage', true), ''), carillon.lineage()), 'hidden') AS lineage
), l AS MATERIALIZED (                                   -- one order for all: no deadlock
    SELECT id, epoch, head, lineage, tag, tag_seq FROM carillon.tenants ORDER BY id FOR UPDATE
), m AS MATERIALIZED (                                   -- the time is taken under the locks, so it ascends with seq
    SELECT clock_timestamp() AS at, locked.*,
        coalesce(locked.ids = $16::text[] AND locked.settled, false) AND known.ts IS NULL AS storable
    FROM (SELECT array_agg(id) AS ids, array_agg(head) AS heads, array_agg(epoch) AS epochs,
            array_agg(CASE WHEN tag_seq = head THEN tag ELSE 0 END) AS tags,
            bool_and(tag_seq <= head AND coalesce(l.lineage = here.lineage, here.lineage IS NULL)) AS settled
        FROM l, here) AS locked, known
), u AS (
    UPDATE carillon.tenants t SET head = t.head + k.events, tag = k.tag, tag_seq = t.head + k.events
    FROM unnest($16::text[], $17::bigint[], $18::bigint[]) AS k(id, events, tag), m WHERE t.id = k.id AND m.storable
), e AS (
    INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, subject, actor, priority, channels, time,
        body, traceparent)
    SELECT b.tenant_id, m.heads[b.t] + b.n, m.at, b.id, b.type, b.source, b.subject, b.actor, b.priority,
        string_to_array(b.channels, E'\x1f'), b.time, b.body, b.traceparent
    FROM m, (SELECT unnest($1::text[]) AS tenant_id, unnest($2::int[]) AS t, unnest($3::int[]) AS n,
            unnest($4::text[]) AS id, unnest($5::text[]) AS type, unnest($6::text[]) AS source,
            unnest($7::text[]) AS subject, unnest($8::text[]) AS actor, unnest($9::text[]) AS priority,
            unnest($10::text[]) AS channels, unnest($11::timestamptz[]) AS time, unnest($12::text[]) AS body,
            unnest($13::text[]) AS traceparent) AS b
    WHERE m.storable
), i AS (
    INSERT INTO carillon.idempotency (tenant_id, key, hash, id, seq, epoch, at)
    SELECT b.tenant_id, b.key, b.hash, b.id, m.heads[b.t] + b.n, m.epochs[b.t], m.at
    FROM m, (SELECT unnest($1::text[]) AS tenant_id, unnest($2::int[]) AS t, unnest($3::int[]) AS n,
            unnest($4::text[]) AS id, unnest($14::text[]) AS key, unnest($15::bytea[]) AS hash) AS b
    WHERE m.storable AND b.key IS NOT NULL
)",
            $($more)*
            r"
SELECT m.storable, (extract(epoch FROM m.at) * 1000000)::bigint AS at_micros, m.ids AS tenants, m.heads, m.epochs,
    m.tags, m.settled,
    known.ts, known.ns, known.ids, known.seqs, known.epochs AS known_epochs, known.same
FROM m, known"
        )
    };
}

/// Stores all events, or nothing when a key is known or a tenant is not.
///
/// The transaction's scope is the list of the batch's tenants, so the policy on `tenants` chooses the counters (naming
/// them once more would make Postgres 15 try each pair of the two lists). `known` looks each key up by index whatever
/// the planner thinks of the table's size: `OFFSET 0` keeps it from a hash of the whole table.
///
/// Nor does it store anything when an epoch is not of this database's lineage, or a head was set back behind its tag:
/// the next number would be given twice. The lineage is null where it is not known. It is asked for once a session, which
/// keeps it in a setting: a server never changes it while it can write, and reading a setting costs a tenth of the call.
pub(super) const APPEND: &str = append!("",);

/// What is written for keys beside the events.
macro_rules! keys {
    () => {
        r", w AS (
    INSERT INTO carillon.latest (tenant_id, channel, key, seq, at, gone)
    SELECT b.tenant_id, b.channel, b.key, m.heads[b.t] + b.n, m.at, b.gone
    FROM m, (SELECT unnest($19::text[]) AS tenant_id, unnest($20::int[]) AS t, unnest($21::int[]) AS n,
            unnest($22::text[]) AS channel, unnest($23::text[]) AS key, unnest($24::bool[]) AS gone) AS b
    WHERE m.storable
    ON CONFLICT (tenant_id, channel, key) DO UPDATE SET seq = excluded.seq, at = excluded.at, gone = excluded.gone
)"
    };
}
/// The same for a batch with keys: the last event of each key in each channel is its latest now. Who comes second waits for the
/// tenant's row, so the order of these writes is that of the numbers. A deletion is written like any other: deleting would not see
/// a row that came between this statement's snapshot and the lock.
pub(super) const APPEND_WITH_KEYS: &str = append!(keys!(),);

/// The same for a batch with notices, with keys or without.
pub(super) const APPEND_WITH_NOTICES: &str = append!(keys!(), notices!(),);

/// What is written beside the events for those that a connection asked not to get back: in a batch without one, nothing.
const EXCEPTS: &str = r", x AS (
    INSERT INTO carillon.event_excepts (tenant_id, seq, connection, at)
    SELECT b.tenant_id, m.heads[b.t] + b.n, b.connection, m.at
    FROM m, (SELECT unnest($@1::text[]) AS tenant_id, unnest($@2::int[]) AS t, unnest($@3::int[]) AS n,
            unnest($@4::text[]) AS connection) AS b
    WHERE m.storable
)
SELECT m.storable,";

/// The three statements with it; its parameters come after theirs.
static WITH_EXCEPTS: LazyLock<[String; 3]> = LazyLock::new(|| {
    [(APPEND, 18), (APPEND_WITH_KEYS, 24), (APPEND_WITH_NOTICES, 48)].map(|(sql, before)| {
        let more = (1..=4)
            .fold(EXCEPTS.to_owned(), |more, n| more.replace(&format!("@{n}"), &(before + n).to_string()));
        sql.replacen("\nSELECT m.storable,", &more, 1)
    })
});

/// Joins channel names in one SQL text: a control character, which no name holds.
pub(super) const SEPARATOR: &str = "\u{1f}";

/// Some events of a batch, by tenant. Within a tenant they keep the batch's order.
pub(super) struct Groups<'a> {
    /// The tenants, in the order of their bytes, which is the database's (`COLLATE "C"`).
    pub(super) tenants: Vec<&'a TenantId>,
    /// For each tenant its events' places in the batch.
    pub(super) places: Vec<Vec<usize>>,
}

impl<'a> Groups<'a> {
    pub(super) fn of(batch: &'a [Append], open: &[usize]) -> Self {
        let mut groups: BTreeMap<&str, (&TenantId, Vec<usize>)> = BTreeMap::new();
        for &place in open {
            let tenant = &batch[place].tenant;
            groups.entry(tenant.as_str()).or_insert((tenant, Vec::new())).1.push(place);
        }
        let (tenants, places) = groups.into_values().unzip();
        Self { tenants, places }
    }
}

/// What the statement did.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It stored all events.
    Stored(Counters),
    /// It stored nothing, because of these.
    Nothing(Reasons),
    /// It stored nothing: a tenant needs a new epoch first.
    Unsettled,
}

/// Where the tenants' logs ended before the batch, in the order of [`Groups::tenants`].
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) at_micros: u64,
    pub(super) heads: Vec<i64>,
    pub(super) epochs: Vec<Epoch>,
    /// The tags of their last events.
    pub(super) tags: Vec<Option<Tag>>,
}

/// Why a batch was not stored.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// The batch's tenants that exist.
    pub(super) tenants: Vec<TenantId>,
    /// Events whose keys were used before.
    pub(super) known: Vec<Known>,
}

/// An event whose key was used before.
#[derive(Debug)]
pub(super) struct Known {
    /// Which of [`Groups::tenants`].
    pub(super) group: usize,
    /// Which of that tenant's events.
    pub(super) member: usize,
    /// Whether the same was asked then.
    pub(super) same: bool,
    /// What was answered then.
    pub(super) id: EventId,
    pub(super) seq: Seq,
    pub(super) epoch: Epoch,
}

impl Outcome {
    pub(super) fn of(rows: &[Row]) -> Result<Self, LogError> {
        let [row] = rows else { return Err(broken("number of rows")) };
        if row.get("storable") {
            let heads = row.get("heads");
            let epochs: Vec<&str> = row.get("epochs");
            let epochs = epochs.into_iter().map(epoch).collect::<Result<_, _>>()?;
            let at_micros = row.get::<_, i64>("at_micros") as u64;
            let tags =
                row.get::<_, Vec<i64>>("tags").into_iter().map(|tag| Tag::from_number(tag as u64)).collect();
            return Ok(Self::Stored(Counters { at_micros, heads, epochs, tags }));
        }
        if row.get::<_, Option<bool>>("settled") == Some(false) {
            return Ok(Self::Unsettled);
        }
        let tenants = list::<&str>(row, "tenants").into_iter().map(TenantId::new);
        let tenants = tenants.collect::<Result<_, _>>().map_err(|_| broken("tenant"))?;
        let (ts, ns) = (list::<i32>(row, "ts"), list::<i32>(row, "ns"));
        let (ids, seqs) = (list::<&str>(row, "ids"), list::<i64>(row, "seqs"));
        let (epochs, same) = (list::<&str>(row, "known_epochs"), list::<bool>(row, "same"));
        let known = (0..ts.len()).map(|at| {
            Ok(Known {
                group: ts[at] as usize - 1,
                member: ns[at] as usize - 1,
                same: same[at],
                id: EventId::new(ids[at]).map_err(|_| broken("id"))?,
                seq: Seq(seqs[at] as u64),
                epoch: epoch(epochs[at])?,
            })
        });
        Ok(Self::Nothing(Reasons { tenants, known: known.collect::<Result<_, LogError>>()? }))
    }
}

/// An aggregate of the row; over nothing it is null.
fn list<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: &str) -> Vec<T> {
    row.get::<_, Option<Vec<T>>>(column).unwrap_or_default()
}

pub(super) fn epoch(text: &str) -> Result<Epoch, LogError> {
    Epoch::new(text).map_err(|_| broken("epoch"))
}

pub(super) fn broken(what: &str) -> LogError {
    LogError::Database(format!("unexpected {what} from the append statement"))
}

/// A batch turned on its side: one array for each parameter.
#[derive(Default)]
pub(super) struct Columns<'a> {
    tenant: Vec<&'a str>,
    /// Which of the tenants, from one.
    group: Vec<i32>,
    /// Which of the tenant's events, from one.
    number: Vec<i32>,
    id: Vec<&'a str>,
    kind: Vec<&'a str>,
    source: Vec<&'a str>,
    subject: Vec<Option<&'a str>>,
    actor: Vec<Option<&'a str>>,
    priority: Vec<Option<&'a str>>,
    channels: Vec<String>,
    time: Vec<SystemTime>,
    body: Vec<&'a str>,
    traceparent: Vec<Option<&'a str>>,
    key: Vec<Option<&'a str>>,
    hash: Vec<Option<&'a [u8]>>,
    tenants: Vec<&'a str>,
    events: Vec<i64>,
    /// The tag of each tenant's last event.
    tags: Vec<i64>,
    keys: Keys<'a>,
    notices: Notices<'a>,
    excepts: Excepts<'a>,
}

/// The events of a batch that a connection does not get back.
#[derive(Default)]
struct Excepts<'a> {
    tenant: Vec<&'a str>,
    group: Vec<i32>,
    number: Vec<i32>,
    connection: Vec<String>,
}

/// The keys of a batch: for each of a tenant's channels its last event.
#[derive(Default)]
struct Keys<'a> {
    tenant: Vec<&'a str>,
    group: Vec<i32>,
    number: Vec<i32>,
    channel: Vec<&'a str>,
    key: Vec<&'a str>,
    gone: Vec<bool>,
}

/// Who wins: by the number of the tenant, the channel and the key.
type Last<'a> = BTreeMap<(i32, &'a str, &'a str), (i32, bool)>;

impl<'a> Keys<'a> {
    fn of(last: Last<'a>, tenants: &[&'a str]) -> Self {
        let mut keys = Self::default();
        for ((group, channel, key), (number, gone)) in last {
            keys.tenant.push(tenants[group as usize - 1]);
            keys.group.push(group);
            keys.number.push(number);
            keys.channel.push(channel);
            keys.key.push(key);
            keys.gone.push(gone);
        }
        keys
    }
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &'a [Append], groups: &Groups<'a>) -> Result<Self, LogError> {
        let (mut columns, mut keys) = (Self::default(), Last::new());
        for (group, (tenant, places)) in groups.tenants.iter().zip(&groups.places).enumerate() {
            columns.tenants.push(tenant.as_str());
            columns.events.push(places.len() as i64);
            let last = places.last().and_then(|&place| Tag::of(batch[place].event.body.as_bytes()));
            columns.tags.push(Tag::number(last) as i64);
            for (member, &place) in places.iter().enumerate() {
                columns.tenant.push(tenant.as_str());
                columns.group.push(group as i32 + 1);
                columns.number.push(member as i32 + 1);
                columns.push(&batch[place])?;
                columns.notices.push(&batch[place], group as i32 + 1, member as i32 + 1)?;
                if let Some(except) = &batch[place].except {
                    columns.excepts.tenant.push(tenant.as_str());
                    columns.excepts.group.push(group as i32 + 1);
                    columns.excepts.number.push(member as i32 + 1);
                    columns.excepts.connection.push(except.connection.as_str().to_owned());
                }
                let event = &batch[place].event;
                for (latest, channel) in
                    event.latest.iter().flat_map(|it| event.channels.iter().map(move |c| (it, c)))
                {
                    let place = (group as i32 + 1, channel.as_str(), latest.key.as_str());
                    keys.insert(place, (member as i32 + 1, latest.deletes));
                }
            }
        }
        columns.keys = Keys::of(keys, &columns.tenants);
        Ok(columns)
    }

    fn push(&mut self, Append { event, key, .. }: &'a Append) -> Result<(), LogError> {
        // Reading a time costs Postgres a microsecond, and us a tenth of one.
        let time = moment(&event.time)
            .map_err(|error| LogError::Database(format!("the event's time is none: {error}")))?;
        let channels: Vec<&str> = event.channels.iter().map(|channel| channel.as_str()).collect();
        self.id.push(event.id.as_str());
        self.kind.push(&event.kind);
        self.source.push(&event.source);
        self.subject.push(event.subject.as_deref());
        self.actor.push(event.actor.as_ref().map(|actor| actor.as_str()));
        self.priority.push(event.priority.map(|priority| priority.as_str()));
        self.channels.push(channels.join(SEPARATOR));
        self.time.push(time);
        self.body.push(&event.body);
        self.traceparent.push(event.traceparent.as_deref());
        self.key.push(key.as_ref().map(|key| key.name.as_str()));
        self.hash.push(key.as_ref().map(|key| key.hash.as_slice()));
        Ok(())
    }

    /// The statement for them: what is not there costs nothing.
    pub(super) fn sql(&self) -> &'static str {
        let [events, keys, notices]: [&'static str; 3] = match self.excepts.connection.is_empty() {
            true => [APPEND, APPEND_WITH_KEYS, APPEND_WITH_NOTICES],
            false => WITH_EXCEPTS.each_ref().map(String::as_str),
        };
        match (self.notices.is_empty(), self.keys.key.is_empty()) {
            (true, true) => events,
            (true, false) => keys,
            (false, _) => notices,
        }
    }

    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![
            &self.tenant,
            &self.group,
            &self.number,
            &self.id,
            &self.kind,
            &self.source,
            &self.subject,
            &self.actor,
            &self.priority,
            &self.channels,
            &self.time,
            &self.body,
            &self.traceparent,
            &self.key,
            &self.hash,
            &self.tenants,
            &self.events,
            &self.tags,
        ];
        if !self.keys.key.is_empty() || !self.notices.is_empty() {
            let Keys { tenant, group, number, channel, key, gone } = &self.keys;
            all.extend([tenant as &(dyn ToSql + Sync), group, number, channel, key, gone]);
        }
        if !self.notices.is_empty() {
            all.extend(self.notices.params());
        }
        if !self.excepts.connection.is_empty() {
            let Excepts { tenant, group, number, connection } = &self.excepts;
            all.extend([tenant as &(dyn ToSql + Sync), group, number, connection]);
        }
        all
    }
}

/// A time in UTC (`…Z`). Read as a date and a time of day, for [`jiff::Timestamp`] ends a day before the year 9999 does.
pub(super) fn moment(text: &str) -> Result<SystemTime, jiff::Error> {
    let since = text
        .trim_end_matches('Z')
        .parse::<DateTime>()?
        .duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    // Events have no time before 1970 (the contract's range).
    Ok(SystemTime::UNIX_EPOCH + since.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::event::{Latest, NewEvent};
    use carillon_protocol::{Channel, ConnectionName, Except, LatestKey};

    fn append(id: &str, key: Option<(&str, bool)>) -> Append {
        let latest = key.map(|(key, deletes)| Latest { key: LatestKey::new(key).unwrap(), deletes });
        Append {
            tenant: TenantId::new("acme").unwrap(),
            request: 0,
            event: NewEvent {
                id: EventId::new(id).unwrap(),
                kind: "t".into(),
                source: "s".into(),
                subject: None,
                actor: None,
                priority: None,
                channels: ["a", "b"].map(|name| Channel::new(name).unwrap()).into(),
                time: "2026-11-21T10:00:00Z".into(),
                body: "{}".into(),
                traceparent: None,
                latest,
                notice: None,
            },
            key: None,
            except: None,
        }
    }

    #[test]
    fn what_a_connection_does_not_get_back_is_written_by_a_statement_of_its_own() {
        let except =
            Except { connection: ConnectionName::new("gateway-1-5f0c7a1e-0-4-7").unwrap(), of: None };
        for (key, params) in [(None, 22), (Some(("k", false)), 28)] {
            let batch =
                [append("1", key), Append { except: Some(Box::new(except.clone())), ..append("2", None) }];
            let columns = Columns::of(&batch, &Groups::of(&batch, &[0, 1])).unwrap();
            assert_eq!((columns.params().len(), &columns.excepts.number), (params, &vec![2]));
            let last = format!("unnest(${params}::text[]) AS connection");
            assert!(columns.sql().contains(&last), "{}", columns.sql());
            assert_eq!(columns.sql().matches("SELECT m.storable").count(), 1);
        }
        assert!(WITH_EXCEPTS[2].contains("unnest($52::text[]) AS connection"));
    }

    #[test]
    fn a_batch_without_keys_is_the_statement_that_knows_of_none() {
        let batch = [append("1", None), append("2", None)];
        let columns = Columns::of(&batch, &Groups::of(&batch, &[0, 1])).unwrap();
        assert_eq!((columns.sql(), columns.params().len()), (APPEND, 18));
        assert!(!APPEND.contains("latest") && !APPEND_WITH_KEYS.contains("notice"));
        assert_eq!(
            APPEND_WITH_KEYS.replace(
                &APPEND_WITH_KEYS[APPEND_WITH_KEYS.find(", w AS").unwrap()
                    ..APPEND_WITH_KEYS.rfind("\nSELECT m.storable").unwrap()],
                ""
            ),
            APPEND
        );
    }

    #[test]
    fn of_two_events_of_one_key_the_later_counts_in_each_channel() {
        let batch = [append("1", Some(("k", false))), append("2", None), append("3", Some(("k", true)))];
        let columns = Columns::of(&batch, &Groups::of(&batch, &[0, 1, 2])).unwrap();
        let Keys { tenant, group, number, channel, key, gone } = &columns.keys;
        assert_eq!((&tenant[..], &group[..], &number[..]), (&["acme"; 2][..], &[1, 1][..], &[3, 3][..]));
        assert_eq!(
            (&channel[..], &key[..], &gone[..]),
            (&["a", "b"][..], &["k", "k"][..], &[true, true][..])
        );
        assert_eq!((columns.sql(), columns.params().len()), (APPEND_WITH_KEYS, 24));
    }
}
