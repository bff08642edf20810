//! How is a page of an inbox read, and how is it counted?

use super::fold::{Counting, Counts, Item, Listing, Row, View};
use super::rows::Range;
use super::state::{Inbox, Sight};
use crate::log::error::LogError;
use crate::log::pool::Log;
use carillon_protocol::{Seq, TenantId, TypePattern, UserId};
use jiff::Timestamp;

/// Entries that are counted when nobody asks for more.
pub const MOST_COUNTED: usize = 100;
/// Entries that are counted at most.
pub const MOST_EXACT: usize = 10_000;
/// Rows of a first piece when counting: more than [`MOST_COUNTED`], so that one is enough as a rule.
const FIRST: usize = 128;
/// Rows of each further piece.
const FURTHER: usize = 1_000;
/// Rows that are counted for one answer.
const MOST_ROWS: usize = 20_000;
/// Rows of a further piece of a page: with what they say, so that they take no more than a few MiB.
const WIDER: usize = 200;
/// Rows that are looked at for one page; where few of them fit it ends early.
const OF_PAGE: usize = 4_000;
/// Notices of one group that are looked at.
const OF_GROUP: usize = 500;

/// What is asked of an inbox.
#[derive(Debug, Clone)]
pub struct InboxAsk {
    /// Which of it.
    pub view: View,
    /// Those before this one.
    pub before: Seq,
    /// Of these types; of any if there is none.
    pub types: Vec<TypePattern>,
    /// With this text in title or body, whatever its case.
    pub q: Option<String>,
    /// Most entries.
    pub limit: usize,
}

/// Some of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    /// The entries, newest first.
    pub items: Vec<Item>,
    /// Before which one the next page begins; none: this was the last.
    pub next: Option<Seq>,
    /// When it will be another without anybody doing anything.
    pub until: Option<Timestamp>,
}

impl Log {
    /// How much of an inbox is unread, as far as `most`, and when that changes by itself. None: it is another by now, ask for it again.
    pub async fn inbox_counts(
        &self,
        whose: (&TenantId, &UserId),
        inbox: &Inbox,
        sight: &Sight,
        most: usize,
    ) -> Result<Option<(Counts, Option<Timestamp>)>, LogError> {
        let (mut counting, mut noted) = (Counting::up_to(most), Listing::of(View::Unread));
        let mut range =
            Range { view: View::Unread, before: inbox.newest.next(), most: FIRST, with_text: false };
        let mut looked = 0;
        loop {
            let Some(piece) = self.inbox_rows(whose, inbox, sight, &range).await? else { return Ok(None) };
            if piece.version != inbox.version {
                return Ok(None);
            }
            let full = piece.rows.len() == range.most;
            looked += piece.rows.len();
            for row in piece.rows.iter().filter(|row| inbox.rules.has(&row.kind)) {
                noted.note(row, piece.now);
                if !counting.take(row, &inbox.at, piece.now) {
                    return Ok(Some((counting.counts(), noted.until)));
                }
            }
            let Some(last) = piece.rows.last().filter(|_| full) else { break };
            if looked >= MOST_ROWS {
                counting.cut();
                break;
            }
            (range.before, range.most) = (last.seq, FURTHER);
        }
        Ok(Some((counting.counts(), noted.until)))
    }

    /// A page of an inbox. None: it is another by now, ask for it again.
    pub async fn inbox_page(
        &self,
        whose: (&TenantId, &UserId),
        inbox: &Inbox,
        sight: &Sight,
        ask: &InboxAsk,
    ) -> Result<Option<InboxPage>, LogError> {
        let mut listing = Listing::of(ask.view);
        let wanted = ask.q.as_ref().map(|text| text.to_lowercase());
        // One more than fits, so that it is known whether there are more.
        let mut range = Range {
            view: ask.view,
            before: ask.before.min(inbox.newest.next()),
            most: ask.limit + 1,
            with_text: true,
        };
        let (mut items, mut looked): (Vec<Item>, usize) = (Vec::new(), 0);
        loop {
            let Some(piece) = self.inbox_rows(whose, inbox, sight, &range).await? else { return Ok(None) };
            if piece.version != inbox.version {
                return Ok(None);
            }
            let (full, end) = (piece.rows.len() == range.most, piece.rows.last().map(|row| row.seq));
            looked += piece.rows.len();
            // Groups are of what stands in the inbox.
            let is_shown = |row: &Row| inbox.rules.has(&row.kind) && is_of(row, &ask.types);
            let mut rows: Vec<Row> = piece.rows.into_iter().filter(is_shown).collect();
            if let Some(locale) = &inbox.locale {
                rows.iter_mut().filter_map(|row| row.text.as_mut()).for_each(|text| text.put_into(locale));
            }
            let groups = listing.groups(&rows);
            let mut members = match groups.is_empty() {
                true => Vec::new(),
                false => {
                    match self.inbox_groups(whose, sight, &groups, (inbox.newest.next(), OF_GROUP)).await? {
                        Some(of_groups) if of_groups.version == inbox.version => of_groups.rows,
                        _ => return Ok(None),
                    }
                }
            };
            members.retain(is_shown);
            let mut last = range.before;
            for row in rows {
                let seq = row.seq;
                if items.len() == ask.limit {
                    return Ok(Some(InboxPage { items, next: Some(last), until: listing.until }));
                }
                last = seq;
                let item = listing.take(row, &members, &inbox.at, piece.now);
                items.extend(item.filter(|item| says(item, wanted.as_deref())));
            }
            let last = end.unwrap_or(range.before);
            if !full || looked >= OF_PAGE {
                let next = full.then_some(last);
                return Ok(Some(InboxPage { items, next, until: listing.until }));
            }
            (range.before, range.most) = (last, range.most.max(WIDER));
        }
    }
}

/// Whether an entry has a text, which is in lower case; each as it is shown, a group as its newest.
fn says(item: &Item, wanted: Option<&str>) -> bool {
    let has = |text: &str| wanted.is_none_or(|wanted| text.to_lowercase().contains(wanted));
    has(&item.text.title) || item.text.body.as_deref().is_some_and(has)
}

fn is_of(row: &Row, types: &[TypePattern]) -> bool {
    types.is_empty() || types.iter().any(|wanted| wanted.matches(&row.kind))
}
