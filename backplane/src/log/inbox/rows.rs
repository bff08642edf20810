//! Which notices are in a person's channels, and how have they marked them?

use super::fold::{Row, View};
use super::state::{Inbox, Sight};
use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::read::signed;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::notice::NoticeTexts;
use carillon_protocol::{Seq, TenantId, UserId, locale};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio_postgres::types::ToSql;

/// What every statement answers of a notice and of the person's mark on it.
macro_rules! columns {
    () => {
        "s.version, now() AS now, x.seq, n.type, n.\"group\", n.requires_ack, n.expires_at,
    n.retracted_at IS NOT NULL AS retracted, m.read, m.archived, coalesce(m.deleted, false) AS deleted, m.snoozed_until, m.acked_at"
    };
}
macro_rules! joined {
    () => {
        "
LEFT JOIN carillon.notices n ON n.tenant_id = $1 AND n.seq = x.seq
LEFT JOIN carillon.inbox_marks m ON m.tenant_id = $1 AND m.user_id = $2 AND m.seq = x.seq
WHERE s.tenant_id = $1 AND s.user_id = $2 ORDER BY x.seq DESC"
    };
}

/// The newest before a place: of each channel a short scan of the audience's primary key between two seqs, and, outside of these,
/// what the person has marked otherwise than their watermarks say (which marks, `$9` says: 1 unread, 2 not archived, 4 archived, 8
/// snoozed), where it is in one of their channels. One row without a notice where there is none.
macro_rules! newest {
    ($more:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            $more,
            "
FROM carillon.inbox_state s LEFT JOIN LATERAL (
    SELECT seq FROM (
        (SELECT a.seq FROM unnest($3::text[], $4::bigint[]) AS c(channel, floor) CROSS JOIN LATERAL (
            SELECT a.seq FROM carillon.notice_audience a
            WHERE a.tenant_id = $1 AND a.channel = c.channel AND a.seq > greatest(c.floor, $6::bigint)
                AND a.seq <= $7::bigint AND a.seq < $5::bigint
            ORDER BY a.seq DESC LIMIT $8::bigint) AS a)
        UNION
        (SELECT m.seq FROM carillon.inbox_marks m
        WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.seq < $5::bigint AND (m.seq <= $6 OR m.seq > $7) AND $9::int <> 0
            AND (($9 & 1 <> 0 AND NOT m.read) OR ($9 & 2 <> 0 AND NOT m.archived) OR ($9 & 4 <> 0 AND m.archived)
                OR ($9 & 8 <> 0 AND m.snoozed_until > now()))
            AND EXISTS (SELECT FROM unnest($3::text[], $4::bigint[]) AS c(channel, floor) JOIN carillon.notice_audience a
                ON a.tenant_id = $1 AND a.channel = c.channel AND a.seq = m.seq WHERE a.seq > c.floor)
        ORDER BY m.seq DESC LIMIT $8::bigint)
    ) AS of_both ORDER BY seq DESC LIMIT $8::bigint
) AS x ON true",
            joined!()
        )
    };
}
const NEWEST: &str = newest!("");
const NEWEST_WITH_TEXT: &str =
    newest!(", n.id, n.priority, n.title, n.body, n.action, n.data, n.actor, n.time, n.locales");

/// The newest of each of these groups before a place, in the person's channels. What has come since the inbox was looked at moves no
/// version: it is left out, as it is from the rows.
const OF_GROUPS: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM carillon.inbox_state s LEFT JOIN LATERAL (
    SELECT DISTINCT a.seq FROM unnest($5::text[]) AS g(name) CROSS JOIN unnest($3::text[], $4::bigint[]) AS c(channel, floor)
    CROSS JOIN LATERAL (
        SELECT a.seq FROM carillon.notice_audience a
        WHERE a.tenant_id = $1 AND a.channel = c.channel AND a.\"group\" = g.name AND a.seq > c.floor AND a.seq < $7::bigint
        ORDER BY a.seq DESC LIMIT $6::bigint) AS a
) AS x ON true",
    joined!()
);

/// What a notice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeText {
    /// The id of its event.
    pub id: String,
    /// How urgent it is.
    pub priority: String,
    /// One line.
    pub title: String,
    /// More of it.
    pub body: Option<String>,
    /// Where a click leads.
    pub action: Option<String>,
    /// What the application put there, JSON.
    pub data: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// In which language its title and body are; none: in no particular one.
    pub locale: Option<String>,
    /// What it says in other languages, JSON.
    pub(super) locales: Option<String>,
}

impl NoticeText {
    /// In the language of whoever reads it: of this tag, else of it without its last part, else as it is without a language.
    pub(super) fn put_into(&mut self, locale: &str) {
        let Some(json) = self.locales.take() else { return };
        let locales: BTreeMap<String, NoticeTexts> = serde_json::from_str(&json).unwrap_or_default();
        let Some((tag, texts)) = locale::pick(&locales, locale) else { return };
        self.locale = Some(tag.to_owned());
        if let Some(title) = &texts.title {
            self.title.clone_from(title);
        }
        if texts.body.is_some() {
            self.body.clone_from(&texts.body);
        }
    }
}

/// A piece of an inbox.
pub(super) struct Piece {
    /// The version of the inbox that it is of.
    pub(super) version: u64,
    /// The database's time, by which things expire.
    pub(super) now: Timestamp,
    /// Newest first.
    pub(super) rows: Vec<Row>,
}

/// Which piece.
pub(super) struct Range {
    pub(super) view: View,
    pub(super) before: Seq,
    pub(super) most: usize,
    pub(super) with_text: bool,
}

impl Log {
    /// The newest notices of a view before a place; fewer than were asked for only at the end.
    pub(super) async fn inbox_rows(
        &self,
        (tenant, user): (&TenantId, &UserId),
        inbox: &Inbox,
        sight: &Sight,
        range: &Range,
    ) -> Result<Option<Piece>, LogError> {
        let (after, upto, marks) = range.view.bounds(&inbox.at);
        let most = range.most as i64;
        let (after, upto, before) = (signed(after), signed(upto), signed(range.before));
        let params: [&(dyn ToSql + Sync); 9] = [
            &tenant.as_str(),
            &user.as_str(),
            &sight.channels,
            &sight.floors,
            &before,
            &after,
            &upto,
            &most,
            &marks,
        ];
        let sql = if range.with_text { NEWEST_WITH_TEXT } else { NEWEST };
        let client = self.client(Work::Ask, "inbox_rows").await?;
        let rows = scoped(client, std::iter::once(tenant), sql, &params).await?;
        Ok(piece(&rows, range.with_text))
    }

    /// At most `most` of each of these groups and channels.
    pub(super) async fn inbox_groups(
        &self,
        (tenant, user): (&TenantId, &UserId),
        sight: &Sight,
        groups: &[String],
        (before, most): (Seq, usize),
    ) -> Result<Option<Piece>, LogError> {
        let (most, before) = (most as i64, signed(before));
        let params: [&(dyn ToSql + Sync); 7] =
            [&tenant.as_str(), &user.as_str(), &sight.channels, &sight.floors, &groups, &most, &before];
        let client = self.client(Work::Ask, "inbox_groups").await?;
        let rows = scoped(client, std::iter::once(tenant), OF_GROUPS, &params).await?;
        Ok(piece(&rows, false))
    }
}

/// None: the person's row is gone.
fn piece(rows: &[tokio_postgres::Row], with_text: bool) -> Option<Piece> {
    let first = rows.first()?;
    let rows = rows.iter().filter_map(|row| {
        Some(Row {
            seq: Seq(row.get::<_, Option<i64>>("seq")? as u64),
            kind: row.get::<_, Option<String>>("type")?,
            group: row.get("group"),
            requires_ack: row.get("requires_ack"),
            expires_at: row.get("expires_at"),
            retracted: row.get("retracted"),
            read: row.get("read"),
            archived: row.get("archived"),
            deleted: row.get("deleted"),
            snoozed_until: row.get("snoozed_until"),
            acked_at: row.get("acked_at"),
            text: with_text.then(|| NoticeText {
                id: row.get("id"),
                priority: row.get("priority"),
                title: row.get("title"),
                body: row.get("body"),
                action: row.get("action"),
                data: row.get("data"),
                actor: row.get("actor"),
                time: row.get("time"),
                locale: None,
                locales: row.get("locales"),
            }),
        })
    });
    Some(Piece {
        version: first.get::<_, i64>("version") as u64,
        now: first.get("now"),
        rows: rows.collect(),
    })
}
