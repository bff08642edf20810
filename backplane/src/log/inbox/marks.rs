//! How does a person mark what is in their inbox?
//!
//! Both statements take the person's row first, so what one person does on two devices happens one after the other
//! (`migrations/V27__notices_and_the_inbox.sql`).

use super::state::Sight;
use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::{Channel, Seq, TenantId, UserId};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

const MARK: &str = "SELECT outcome, changed FROM carillon.mark_notice($1, $2, $3, $4, $5, $6, $7)";
const ADVANCE: &str = "SELECT reached, moved FROM carillon.advance_inbox($1, $2, $3, $4)";

const FOLLOW: &str = "SELECT carillon.follow_channel($1, $2, $3, $4, $5)";

/// Channels that a person may follow: each costs every look into their inbox a short scan.
pub const MOST_FOLLOWED: u32 = 200;

/// What a person does with one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is read.
    Read,
    /// It is not.
    Unread,
    /// It is archived.
    Archive,
    /// It is not.
    Unarchive,
    /// It is not in the inbox any more.
    Delete,
    /// It is again.
    Restore,
    /// It is not shown until then; none: it is shown again.
    Snooze(Option<Timestamp>),
    /// The person has taken note.
    Ack,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Unread => "unread",
            Self::Archive => "archive",
            Self::Unarchive => "unarchive",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Snooze(_) => "snooze",
            Self::Ack => "ack",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// It is so; these are the notices whose flags are others now.
    Done(Vec<Seq>),
    /// There is no such notice in this inbox.
    Missing,
    /// The notice asks nobody to take note.
    NotAsked,
}

/// Which watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Everything up to there is read.
    Read,
    /// Everything up to there was seen.
    Seen,
    /// Everything up to there is archived.
    Archive,
    /// Nothing up to there is in the inbox.
    Clear,
}

impl Mark {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Seen => "seen",
            Self::Archive => "archive",
            Self::Clear => "clear",
        }
    }
}

/// Where a watermark stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advanced {
    /// Up to where.
    pub reached: Seq,
    /// Whether anything is otherwise than before.
    pub moved: bool,
}

impl Log {
    /// Does something with one entry.
    pub async fn mark_notice(
        &self,
        (tenant, user): (&TenantId, &UserId),
        sight: &Sight,
        notice: Seq,
        deed: Deed,
    ) -> Result<Marked, LogError> {
        let (notice, name) = (signed(notice), deed.name());
        let until = if let Deed::Snooze(until) = deed { until } else { None };
        let params: [&(dyn ToSql + Sync); 7] =
            [&tenant.as_str(), &user.as_str(), &sight.channels, &sight.floors, &notice, &name, &until];
        let client = self.client(Work::Ask, "mark_notice").await?;
        let rows = scoped(client, std::iter::once(tenant), MARK, &params).await?;
        let row = rows.first().ok_or_else(|| LogError::Database("no answer to a mark".into()))?;
        Ok(match row.get::<_, &str>("outcome") {
            "done" => {
                let changed: Vec<i64> = row.get("changed");
                Marked::Done(changed.into_iter().map(|seq| Seq(seq as u64)).collect())
            }
            "not_asked" => Marked::NotAsked,
            _ => Marked::Missing,
        })
    }

    /// Puts a channel into a person's inbox, from the head on, or takes it out. False: they follow [`MOST_FOLLOWED`] already.
    pub async fn follow_channel(
        &self,
        (tenant, user): (&TenantId, &UserId),
        channel: &Channel,
        following: bool,
    ) -> Result<bool, LogError> {
        let most = MOST_FOLLOWED as i32;
        let params: [&(dyn ToSql + Sync); 5] =
            [&tenant.as_str(), &user.as_str(), &channel.as_str(), &following, &most];
        let client = self.client(Work::Ask, "follow_channel").await?;
        let rows = scoped(client, std::iter::once(tenant), FOLLOW, &params).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Moves a watermark forward, at most to the head. None: there is no such person.
    pub async fn advance_inbox(
        &self,
        (tenant, user): (&TenantId, &UserId),
        mark: Mark,
        up_to: Seq,
    ) -> Result<Option<Advanced>, LogError> {
        let (name, up_to) = (mark.name(), signed(up_to));
        let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &user.as_str(), &name, &up_to];
        let client = self.client(Work::Ask, "advance_inbox").await?;
        let rows = scoped(client, std::iter::once(tenant), ADVANCE, &params).await?;
        Ok(rows.first().and_then(|row| {
            let reached = Seq(row.get::<_, Option<i64>>("reached")? as u64);
            Some(Advanced { reached, moved: row.get("moved") })
        }))
    }
}
