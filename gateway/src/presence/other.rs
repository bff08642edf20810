//! What does another node say about its connections in a tenant?
//!
//! Its hash, read once, and then its changes in their order. A number that is known is dropped; a jump means that the hash is read
//! again. The hash is read in pages while it changes: every field has the number of the change that wrote it. Pure.

use super::own::Place;
use carillon_protocol::presence::{Change, Entry, Item, What};
use carillon_protocol::{Channel, UserId};
use std::collections::{HashMap, HashSet, VecDeque};

/// Changes that are kept while the hash is read; more are let go, and it is read once more.
const KEPT: usize = 1_000;
/// How long a change that the list of heads knows of may still be on its way.
pub(super) const ON_ITS_WAY_MS: u64 = 500;
/// How long after a read that failed the hash is read again.
const READ_AGAIN_MS: u64 = 500;
/// A living node writes its hash anew when it finds it missing; if it has not done so for so long, it has nobody.
const UNWRITTEN_MS: u64 = 12_000;
/// A node that is not among the living for so long is gone: its people have at least this time, whatever their grace.
pub(super) const ABSENT_MS: u64 = 5_000;

/// Another node's people in a tenant.
#[derive(Debug, Default)]
pub(super) struct Other {
    people: HashMap<Channel, HashMap<UserId, (u64, Entry)>>,
    count: usize,
    /// Of the last change that is known; none before the hash was read.
    n: Option<u64>,
    is_reading: bool,
    /// The read failed, and the next one begins then.
    read_again_ms: Option<u64>,
    /// What came while the hash is read, or before it could be.
    kept: VecDeque<Change>,
    /// Since when it is not among the living.
    absent_ms: Option<u64>,
    /// A change that should have come by then.
    missing: Option<(u64, u64)>,
    /// The last number in the list of heads.
    head: Option<u64>,
    /// Its people were let go, because it died. Should it live, it is read as one that nothing is known of.
    is_dropped: bool,
    /// Whether it is known to be among the living.
    is_living: bool,
    /// Since when its hash is not there although it lives.
    unwritten_ms: Option<u64>,
}

/// What came of reading a node's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// It was read as a whole.
    Whole(Stored),
    /// It is not there, or not written as a whole yet.
    Absent,
    /// Redis did not answer: whether it is there is not known.
    Failed,
}

/// A node's hash as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The number of its last change, read before the fields.
    pub(crate) n: u64,
    /// Everybody, with the number of the change that wrote it.
    pub(crate) people: Vec<(Channel, UserId, u64, Entry)>,
}

/// What came of something that was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Who may be another now.
    pub(super) touched: Vec<Place>,
    /// Who said goodbye.
    pub(super) goodbyes: Vec<Place>,
    /// The hash is to be read.
    pub(super) read: bool,
    /// It was known.
    pub(super) repeated: bool,
}

impl Other {
    pub(super) fn get(&self, channel: &Channel, user: &UserId) -> Option<&Entry> {
        self.people.get(channel)?.get(user).map(|(_, entry)| entry)
    }

    pub(super) fn in_channel(&self, channel: &Channel) -> impl Iterator<Item = &UserId> {
        self.people.get(channel).into_iter().flat_map(HashMap::keys)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Has the hash read, unless it is.
    pub(super) fn read(&mut self) -> bool {
        self.missing = None;
        !std::mem::replace(&mut self.is_reading, true)
    }

    /// It said something.
    pub(super) fn heard(&mut self, change: Change) -> Heard {
        let mut heard = Heard::default();
        if self.is_dropped {
            return heard;
        }
        if self.is_reading {
            self.keep(change);
        } else {
            self.take(change, &mut heard);
        }
        heard
    }

    fn keep(&mut self, change: Change) {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.push_back(change);
    }

    fn take(&mut self, change: Change, heard: &mut Heard) {
        match self.n {
            Some(n) if change.n <= n => heard.repeated = true,
            Some(n) if change.n == n + 1 => {
                self.n = Some(change.n);
                change.items.into_iter().for_each(|item| self.apply(change.n, item, heard));
            }
            _ => {
                self.keep(change);
                heard.read = self.read();
            }
        }
    }

    fn apply(&mut self, n: u64, item: Item, heard: &mut Heard) {
        let Item { channel, user, what } = item;
        let known = self.people.get(&channel).and_then(|people| people.get(&user));
        if known.is_some_and(|(at, _)| *at > n) {
            return;
        }
        match what {
            What::Here(entry) => {
                let people = self.people.entry(channel.clone()).or_default();
                self.count += usize::from(people.insert(user.clone(), (n, entry)).is_none());
            }
            What::Gone { goodbye } => {
                self.remove(&channel, &user);
                if goodbye {
                    heard.goodbyes.push((channel.clone(), user.clone()));
                }
            }
        }
        heard.touched.push((channel, user));
    }

    fn remove(&mut self, channel: &Channel, user: &UserId) -> bool {
        let Some(people) = self.people.get_mut(channel) else { return false };
        let was = people.remove(user).is_some();
        self.count -= usize::from(was);
        if people.is_empty() {
            self.people.remove(channel);
        }
        was
    }

    /// Takes everybody out.
    fn drain(&mut self) -> Vec<Place> {
        self.count = 0;
        let all = self.people.drain();
        all.flat_map(|(channel, people)| people.into_keys().map(move |user| (channel.clone(), user)))
            .collect()
    }

    /// The hash was read. If it is not there, or not whole yet, what is known stays; if the read failed, it is read again.
    pub(super) fn stored(&mut self, read: Read, now_ms: u64) -> Heard {
        let mut heard = Heard::default();
        let stored = match read {
            Read::Whole(stored) => Some(stored),
            Read::Absent => None,
            Read::Failed => {
                self.read_again_ms = Some(now_ms + READ_AGAIN_MS);
                return heard;
            }
        };
        self.is_reading = false;
        if self.is_dropped {
            return heard;
        }
        let stored = stored.filter(|stored| self.n.is_none_or(|known| stored.n >= known));
        let Some(Stored { n, people }) = stored else {
            // A hash that is not there holds nobody; whoever writes one anew says so.
            self.n = self.n.or(self.head);
            if self.is_living && now_ms >= *self.unwritten_ms.get_or_insert(now_ms) + UNWRITTEN_MS {
                heard.touched = self.drain();
            }
            // It may be on its way: what continues what is known is taken, and the rest is looked for in a moment.
            for change in std::mem::take(&mut self.kept) {
                match self.n {
                    Some(n) if change.n <= n + 1 => self.take(change, &mut heard),
                    _ => self.missing = Some((change.n, now_ms + ON_ITS_WAY_MS)),
                }
            }
            return heard;
        };
        let mut before: HashSet<Place> = self.drain().into_iter().collect();
        (self.n, self.unwritten_ms) = (Some(n), None);
        for (channel, user, at, entry) in people {
            before.insert((channel.clone(), user.clone()));
            let people = self.people.entry(channel).or_default();
            self.count += usize::from(people.insert(user, (at, entry)).is_none());
        }
        heard.touched.extend(before);
        for change in std::mem::take(&mut self.kept) {
            if self.is_reading {
                self.keep(change);
            } else {
                self.take(change, &mut heard);
            }
        }
        heard
    }

    /// The list of heads says that its last change has this number. Whether the hash is to be read.
    pub(super) fn head(&mut self, n: u64, is_sure: bool, now_ms: u64) -> bool {
        self.head = Some(n);
        match self.n {
            _ if self.is_dropped => false,
            Some(known) if known >= n => false,
            Some(_) if !is_sure => {
                self.missing.get_or_insert((n, now_ms + ON_ITS_WAY_MS));
                false
            }
            _ => self.read(),
        }
    }

    /// The list of heads does not have it: whether its hash is to be read, because people of it are known.
    pub(super) fn is_unlisted(&mut self) -> bool {
        self.is_living && !self.is_empty() && self.read()
    }

    /// Whether something that should have come has not, or the last read failed, and the hash is to be read.
    pub(super) fn is_missing(&mut self, now_ms: u64) -> bool {
        if self.read_again_ms.take_if(|at_ms| now_ms >= *at_ms).is_some() {
            return true;
        }
        match self.missing {
            Some((n, _)) if self.n.is_some_and(|known| known >= n) => self.missing = None,
            Some((_, by_ms)) if now_ms >= by_ms => return self.read(),
            _ => {}
        }
        false
    }

    /// Whether it is among the living now.
    pub(super) fn is_living(&mut self, living: bool, now_ms: u64) {
        self.is_living = living;
        if !living {
            self.unwritten_ms = None;
            self.absent_ms.get_or_insert(now_ms);
            return;
        }
        self.absent_ms = None;
        if std::mem::take(&mut self.is_dropped) {
            // The next look at the list of heads has it read.
            (self.n, self.head) = (None, None);
        }
    }

    /// Nobody knows who is living; times begin anew when they do.
    pub(super) fn unknown_whether_living(&mut self) {
        (self.is_living, self.unwritten_ms) = (false, None);
        self.absent_ms = self.absent_ms.filter(|_| self.is_dropped);
    }

    /// Somebody said goodbye elsewhere: of a node that is gone they are not waited for.
    pub(super) fn goodbye_elsewhere(&mut self, place: &Place) -> bool {
        let ends = self.absent_ms.is_some() && self.remove(&place.0, &place.1);
        // Should it live after all, it says again who is there.
        self.is_dropped |= ends;
        ends
    }

    /// Whether it is not among the living.
    pub(super) fn is_absent(&self) -> bool {
        self.absent_ms.is_some()
    }

    /// Lets the people go whose grace is over since it died.
    pub(super) fn look_after(&mut self, now_ms: u64) -> Vec<Place> {
        let Some(since_ms) = self.absent_ms.filter(|since_ms| now_ms >= since_ms + ABSENT_MS) else {
            return Vec::new();
        };
        let is_over = |entry: &Entry| now_ms >= since_ms + ABSENT_MS.max(entry.grace_ms.into());
        let gone: Vec<Place> = self
            .people
            .iter()
            .flat_map(|(channel, people)| people.iter().map(move |(user, (_, entry))| (channel, user, entry)))
            .filter(|(.., entry)| is_over(entry))
            .map(|(channel, user, _)| (channel.clone(), user.clone()))
            .collect();
        for (channel, user) in &gone {
            self.remove(channel, user);
        }
        self.is_dropped |= !gone.is_empty();
        gone
    }

    /// Redis is away: what was asked is not answered any more.
    pub(super) fn interrupted(&mut self) {
        (self.is_reading, self.missing, self.read_again_ms, self.unwritten_ms) = (false, None, None, None);
        self.kept.clear();
    }
}
