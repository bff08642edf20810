//! Where does a person's inbox stand?

use super::mutes::{InboxRules, TypeSays};
use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::{scoped, scoped_by_names};
use crate::log::settings::Owner;
use crate::log::work::Work;
use carillon_protocol::{Channel, Epoch, Seq, TenantId, UserId};
use jiff::Timestamp;
use tokio_postgres::Row;

/// The person's watermarks, the channels they follow, and what tells whether the tenant's notices are as they were: three look-ups by
/// primary key and one at the end of an index; and what is said about types, three more. Without a row of the person their watermarks are null.
const STATE: &str = "
SELECT now() AS now, t.epoch, t.head, s.since, s.read_to, s.seen_to, s.archived_to, s.cleared_to, s.version,
    coalesce((SELECT n.seq FROM carillon.notices n WHERE n.tenant_id = $1 ORDER BY n.seq DESC LIMIT 1), 0) AS newest,
    coalesce((SELECT c.changes FROM carillon.notice_changes c WHERE c.tenant_id = $1), 0) AS changes,
    f.channels, f.sinces, p.own, p.defaults, p.kinds, p.says, p.locale
FROM carillon.tenants t
    LEFT JOIN carillon.inbox_state s ON s.tenant_id = $1 AND s.user_id = $2
    CROSS JOIN LATERAL (SELECT array_agg(f.channel ORDER BY f.channel) AS channels,
        array_agg(f.since ORDER BY f.channel) AS sinces
        FROM carillon.followers f WHERE f.tenant_id = $1 AND f.user_id = $2) AS f
    CROSS JOIN LATERAL carillon.inbox_settings($1, $2) AS p
WHERE t.id = $1";

/// Makes a person's row at the head.
const OPEN: &str = "SELECT carillon.open_inbox($1, $2)";

/// Up to where a person has done what; all of them are seqs of the tenant's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// What went to many up to here is not theirs: they were not there yet.
    pub since: Seq,
    /// Everything up to here is read, but for what is marked.
    pub read_to: Seq,
    /// Everything up to here was seen.
    pub seen_to: Seq,
    /// Everything up to here is archived, but for what is marked.
    pub archived_to: Seq,
    /// Nothing up to here is in the inbox.
    pub cleared_to: Seq,
}

/// Where an inbox stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// The database's time.
    pub now: Timestamp,
    /// The log's epoch.
    pub epoch: Epoch,
    /// The tenant's newest event.
    pub head: Seq,
    /// The tenant's newest notice.
    pub newest: Seq,
    /// How often the tenant's notices changed after they were stored.
    pub changes: u64,
    /// One more with everything that the person does.
    pub version: u64,
    /// How far they have got.
    pub at: Watermarks,
    /// The channels they follow, each since a seq.
    pub follows: Vec<(Channel, Seq)>,
    /// Notices of which types stand in it.
    pub rules: InboxRules,
    /// In which language the person reads, if they or their tenant have said so.
    pub locale: Option<String>,
}

/// The channels whose notices are a person's, each with the seq after which they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    pub(super) channels: Vec<String>,
    pub(super) floors: Vec<i64>,
}

impl Sight {
    /// Those of a person: what went to them alone is theirs from the beginning, what went to many since they were first seen, and what
    /// they follow since they do. Nothing that they have cleared away.
    pub fn of(user: &UserId, own: &[Channel], inbox: &Inbox, may_follow: impl Fn(&Channel) -> bool) -> Self {
        let mut sight = Self::default();
        let (alone, at) = (Channel::user(user), &inbox.at);
        for channel in own {
            let since = if *channel == alone { Seq::ZERO } else { at.since };
            sight.add(channel, since.max(at.cleared_to));
        }
        for (channel, since) in &inbox.follows {
            if !own.contains(channel) && may_follow(channel) {
                sight.add(channel, (*since).max(at.cleared_to));
            }
        }
        sight
    }

    fn add(&mut self, channel: &Channel, floor: Seq) {
        self.channels.push(channel.as_str().to_owned());
        self.floors.push(signed(floor));
    }

    /// The names of the channels.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }
}

impl Log {
    /// Where a person's inbox stands; it is made at the head when they are seen for the first time. None: there is no such tenant.
    pub async fn inbox(&self, tenant: &TenantId, user: &UserId) -> Result<Option<Inbox>, LogError> {
        for first_sight in [true, false] {
            let client = self.client(Work::Ask, "inbox").await?;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &user.as_str()];
            // The installation's types hold here, too.
            let names = [tenant.as_str(), Owner::Installation.name()].into_iter();
            let rows = scoped_by_names(client, names, STATE, &params).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            if let Some(inbox) = inbox(row)? {
                return Ok(Some(inbox));
            }
            if first_sight {
                let client = self.client(Work::Ask, "inbox").await?;
                scoped(client, std::iter::once(tenant), OPEN, &params).await?;
            }
        }
        Ok(None)
    }
}

fn inbox(row: &Row) -> Result<Option<Inbox>, LogError> {
    let Some(version) = row.get::<_, Option<i64>>("version") else { return Ok(None) };
    let seq = |name: &str| Seq(row.get::<_, i64>(name) as u64);
    let epoch = Epoch::new(row.get::<_, &str>("epoch"));
    let channels: Vec<&str> = row.get::<_, Option<Vec<&str>>>("channels").unwrap_or_default();
    let sinces: Vec<i64> = row.get::<_, Option<Vec<i64>>>("sinces").unwrap_or_default();
    let follows = channels.into_iter().zip(sinces);
    let follows = follows.map(|(channel, since)| Ok((Channel::new(channel)?, Seq(since as u64))));
    let stored = |error: carillon_protocol::ident::InvalidName| LogError::Database(format!("inbox: {error}"));
    Ok(Some(Inbox {
        now: row.get("now"),
        epoch: epoch.map_err(stored)?,
        head: seq("head"),
        newest: seq("newest"),
        changes: row.get::<_, i64>("changes") as u64,
        version: version as u64,
        at: Watermarks {
            since: seq("since"),
            read_to: seq("read_to"),
            seen_to: seq("seen_to"),
            archived_to: seq("archived_to"),
            cleared_to: seq("cleared_to"),
        },
        follows: follows.collect::<Result<_, _>>().map_err(stored)?,
        rules: rules(row),
        locale: row.get("locale"),
    }))
}

fn rules(row: &Row) -> InboxRules {
    let texts = |name: &str| row.get::<_, Option<Vec<&str>>>(name).unwrap_or_default();
    let (kinds, says) = (texts("kinds"), texts("says"));
    let types = kinds.into_iter().zip(says).filter_map(|(kind, says)| Some((kind, TypeSays::named(says)?)));
    let types: Vec<(&str, TypeSays)> = types.collect();
    InboxRules::of(row.get("own"), row.get("defaults"), types.into_iter())
}
