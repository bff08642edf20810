//! Which notices count, and what are they to a person?
//!
//! Pure. A notice is read if it is marked so, or else if the watermark has passed it; archived likewise. It is visible while it is
//! neither deleted nor retracted, has not expired and is not put off. Notices of one group are one entry, the newest: unread while one of
//! them is.

use super::rows::NoticeText;
use super::state::Watermarks;
use carillon_protocol::Seq;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a person looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What is not archived.
    Standing,
    /// What is neither read nor archived.
    Unread,
    /// What is archived.
    Archived,
    /// What is put off until a time.
    Snoozed,
    /// Everything but what is put off.
    All,
}

impl View {
    /// Between which watermarks notices are of this view (after the first, up to the second) unless they are marked otherwise, and
    /// which marks bring in what lies outside (1 unread, 2 not archived, 4 archived, 8 put off).
    pub(super) fn bounds(self, at: &Watermarks) -> (Seq, Seq, i32) {
        // As large as the database's numbers go.
        const END: Seq = Seq(i64::MAX as u64);
        match self {
            Self::Standing => (at.archived_to, END, 2),
            Self::Unread => (at.read_to.max(at.archived_to), END, 1 | 2),
            Self::Archived => (Seq::ZERO, at.archived_to, 4),
            Self::Snoozed => (Seq::ZERO, Seq::ZERO, 8),
            Self::All => (Seq::ZERO, END, 0),
        }
    }

    fn takes(self, is: &Flags) -> bool {
        match self {
            Self::Standing => is.visible && !is.archived,
            Self::Unread => is.is_unread(),
            Self::Archived => is.visible && is.archived,
            Self::Snoozed => is.snoozed,
            Self::All => is.visible,
        }
    }
}

/// A notice of somebody's channels, and their mark on it. Null is as the watermark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) seq: Seq,
    pub(super) kind: String,
    pub(super) group: Option<String>,
    pub(super) requires_ack: bool,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) retracted: bool,
    pub(super) read: Option<bool>,
    pub(super) archived: Option<bool>,
    pub(super) deleted: bool,
    pub(super) snoozed_until: Option<Timestamp>,
    pub(super) acked_at: Option<Timestamp>,
    pub(super) text: Option<NoticeText>,
}

/// What a notice is to a person.
struct Flags {
    read: bool,
    archived: bool,
    seen: bool,
    visible: bool,
    snoozed: bool,
}

impl Flags {
    fn is_unread(&self) -> bool {
        self.visible && !self.read && !self.archived
    }
}

impl Row {
    fn flags(&self, at: &Watermarks, now: Timestamp) -> Flags {
        let read = self.read.unwrap_or(self.seq <= at.read_to);
        let there = !self.deleted && !self.retracted && self.expires_at.is_none_or(|end| end > now);
        let put_off = self.snoozed_until.is_some_and(|until| until > now);
        Flags {
            read,
            archived: self.archived.unwrap_or(self.seq <= at.archived_to),
            // Who has read it has seen it.
            seen: read || self.seq <= at.seen_to,
            visible: there && !put_off,
            snoozed: there && put_off,
        }
    }

    /// When this will be something else without anybody doing anything.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.expires_at, self.snoozed_until].into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// What is one entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Group(String),
    One(Seq),
}

impl Key {
    fn of(row: &Row) -> Self {
        row.group.clone().map_or(Key::One(row.seq), Key::Group)
    }
}

/// How much of an inbox is unread. `more`: at least so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that are unread.
    pub unread: u64,
    /// Those of them that were not seen.
    pub unseen: u64,
    /// Whether there are more than were counted.
    pub more: bool,
}

/// Counts what is unread, newest first.
pub(super) struct Counting {
    most: usize,
    /// The entries, and whether each is unseen.
    found: BTreeMap<Key, bool>,
    more: bool,
}

impl Counting {
    pub(super) fn up_to(most: usize) -> Self {
        Self { most, found: BTreeMap::new(), more: false }
    }

    /// Looks at a row of the view [`View::Unread`]. Whether it needs more of them.
    pub(super) fn take(&mut self, row: &Row, at: &Watermarks, now: Timestamp) -> bool {
        let is = row.flags(at, now);
        if !is.is_unread() {
            return true;
        }
        let key = Key::of(row);
        if let Some(unseen) = self.found.get_mut(&key) {
            *unseen |= !is.seen;
            return true;
        }
        if self.found.len() == self.most {
            self.more = true;
            return false;
        }
        self.found.insert(key, !is.seen);
        true
    }

    /// There are more rows than are looked at.
    pub(super) fn cut(&mut self) {
        self.more = true;
    }

    pub(super) fn counts(&self) -> Counts {
        let unseen = self.found.values().filter(|unseen| **unseen).count() as u64;
        Counts { unread: self.found.len() as u64, unseen, more: self.more }
    }
}

/// What an entry is to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether all of it is read.
    pub read: bool,
    /// Whether all of it was seen.
    pub seen: bool,
    /// Whether the newest is archived.
    pub archived: bool,
}

/// An entry of an inbox: a notice, or the newest of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub seq: Seq,
    /// Its type.
    pub kind: String,
    /// Its group.
    pub group: Option<String>,
    /// How many notices of its group this view has; one without a group.
    pub count: u64,
    /// What it is to the person.
    pub shown: Shown,
    /// Whether the person is asked to take note.
    pub requires_ack: bool,
    /// When they did.
    pub acked_at: Option<Timestamp>,
    /// Until when it is put off.
    pub snoozed_until: Option<Timestamp>,
    /// From when on it is gone.
    pub expires_at: Option<Timestamp>,
    /// What it says.
    pub text: NoticeText,
}

/// Makes entries of rows, newest first.
pub(super) struct Listing {
    view: View,
    /// Groups that have had their entry.
    told: Vec<String>,
    /// When the entries will be others without anybody doing anything.
    pub(super) until: Option<Timestamp>,
}

impl Listing {
    pub(super) fn of(view: View) -> Self {
        Self { view, told: Vec::new(), until: None }
    }

    /// The groups of these rows that have had no entry yet.
    pub(super) fn groups(&self, rows: &[Row]) -> Vec<String> {
        let mut groups: Vec<String> = rows.iter().filter_map(|row| row.group.clone()).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| !self.told.contains(group));
        groups
    }

    /// The entry of a row, if it is one. `members` are rows of its group, newest first; the newest of the view is the entry.
    pub(super) fn take(
        &mut self,
        row: Row,
        members: &[Row],
        at: &Watermarks,
        now: Timestamp,
    ) -> Option<Item> {
        self.until = earlier(self.until, row.next_change(now));
        let is = row.flags(at, now);
        if !self.view.takes(&is) {
            return None;
        }
        let (mut count, mut shown) = (1, Shown { read: is.read, seen: is.seen, archived: is.archived });
        if let Some(group) = &row.group {
            if self.told.contains(group) {
                return None;
            }
            let of_view: Vec<_> = members
                .iter()
                .filter(|member| member.group.as_ref() == Some(group))
                .map(|member| (member, member.flags(at, now)))
                .filter(|(_, is)| self.view.takes(is))
                .collect();
            self.told.push(group.clone());
            if of_view.iter().any(|(member, _)| member.seq > row.seq) {
                // It stands on an earlier page.
                return None;
            }
            count = of_view.len().max(1) as u64;
            shown.read &= of_view.iter().all(|(_, is)| is.read);
            shown.seen &= of_view.iter().all(|(_, is)| is.seen);
            for (member, _) in of_view {
                self.until = earlier(self.until, member.next_change(now));
            }
        }
        let put_off = row.snoozed_until.filter(|until| *until > now);
        Some(Item {
            seq: row.seq,
            kind: row.kind,
            group: row.group,
            count,
            shown,
            requires_ack: row.requires_ack,
            acked_at: row.acked_at,
            snoozed_until: put_off,
            expires_at: row.expires_at,
            text: row.text?,
        })
    }

    /// Notes what else may change.
    pub(super) fn note(&mut self, row: &Row, now: Timestamp) {
        self.until = earlier(self.until, row.next_change(now));
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}
