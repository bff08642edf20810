//! Do list, counts, flags and version of an inbox agree with a plain model, whatever deliveries, marks and retractions come together?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{
    Append, Appended, Counts, Deed, Inbox, InboxAsk, Log, MOST_COUNTED, Mark, Marked, Owner, Role,
    RuleChange, Sight, View,
};
use carillon_protocol::{Channel, EventId, Notice, Seq, TenantId, UserId};
use database::{Database, channel, tenant};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers that look like chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

fn notice(title: &str, group: Option<&str>) -> Notice {
    Notice {
        title: title.into(),
        body: None,
        action: None,
        group: group.map(str::to_owned),
        priority: None,
        requires_ack: true,
        expires_at: None,
        data: None,
        escalate: Vec::new(),
        locales: BTreeMap::new(),
    }
}

fn delivery(name: &str, id: &str, channels: &[&str], group: Option<&str>) -> Append {
    let mut append = database::append(name, 0, id, Some((id, 1)));
    append.event.channels = channels.iter().map(|name| channel(name)).collect();
    append.event.notice = Some(Box::new(notice(id, group)));
    append
}

async fn deliver(log: &Log, append: Append) -> u64 {
    let stored = log.append(&[append]).await.unwrap();
    let Appended::Stored { seq, .. } = stored[0] else { panic!("{stored:?}") };
    seq.0
}

/// Somebody with the roles `r` and `s`.
#[derive(Clone)]
struct Person {
    tenant: TenantId,
    user: UserId,
    own: Vec<Channel>,
}

impl Person {
    fn of(name: &str, user: &str) -> Self {
        let own = ["tenant".to_owned(), format!("user:{user}"), "role:r".into(), "role:s".into()];
        let own = own.iter().map(|name| channel(name)).collect();
        Self { tenant: tenant(name), user: UserId::new(user).unwrap(), own }
    }

    fn whose(&self) -> (&TenantId, &UserId) {
        (&self.tenant, &self.user)
    }

    async fn open(&self, log: &Log) -> (Inbox, Sight) {
        let inbox = log.inbox(&self.tenant, &self.user).await.unwrap().unwrap();
        let sight = Sight::of(&self.user, &self.own, &inbox, |_| true);
        (inbox, sight)
    }

    /// All entries of a view, by number, and whether each is read; in pages of `limit`.
    async fn list(&self, log: &Log, view: View, limit: usize) -> Vec<(u64, bool)> {
        let (mut before, mut found) = (Seq(u64::MAX), Vec::new());
        loop {
            let (inbox, sight) = self.open(log).await;
            let ask = InboxAsk { view, before, types: Vec::new(), q: None, limit };
            let Some(page) = log.inbox_page(self.whose(), &inbox, &sight, &ask).await.unwrap() else {
                continue;
            };
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|item| (item.seq.0, item.shown.read)));
            let Some(next) = page.next else { return found };
            before = next;
        }
    }

    async fn counts(&self, log: &Log, most: usize) -> (u64, Counts) {
        loop {
            let (inbox, sight) = self.open(log).await;
            if let Some((counts, _)) = log.inbox_counts(self.whose(), &inbox, &sight, most).await.unwrap() {
                return (inbox.version, counts);
            }
        }
    }

    async fn mark(&self, log: &Log, seq: u64, deed: Deed) -> Marked {
        let (_, sight) = self.open(log).await;
        log.mark_notice(self.whose(), &sight, Seq(seq), deed).await.unwrap()
    }

    async fn advance(&self, log: &Log, mark: Mark, up_to: u64) -> bool {
        log.advance_inbox(self.whose(), mark, Seq(up_to)).await.unwrap().unwrap().moved
    }
}

/// What a notice is to the person, written down for each: the plain model.
#[derive(Clone, Default, Debug, PartialEq)]
struct Entry {
    kind: &'static str,
    group: Option<&'static str>,
    read: bool,
    archived: bool,
    seen: bool,
    deleted: bool,
    /// The entry with which it was deleted.
    deleted_with: Option<u64>,
    cleared: bool,
    retracted: bool,
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    version: u64,
    muted: Muted,
}

/// What keeps types out of the inbox: by the person, by their tenant, by the type.
#[derive(Default)]
struct Muted {
    person: BTreeMap<&'static str, bool>,
    tenant: BTreeMap<&'static str, bool>,
    types: BTreeMap<&'static str, (bool, Option<bool>)>,
}

impl Muted {
    /// Whether notices of a type stand in the inbox.
    fn lets(&self, kind: &str) -> bool {
        let (mandatory, default) = self.types.get(kind).copied().unwrap_or_default();
        if mandatory {
            return default.unwrap_or(true);
        }
        // The patterns are made so that a longer one says more.
        let said = |of: &BTreeMap<&'static str, bool>| {
            let fits =
                |pattern: &str| pattern.strip_suffix('*').map_or(pattern == kind, |it| kind.starts_with(it));
            let fitting = of.iter().filter(|(pattern, _)| fits(pattern));
            fitting.max_by_key(|(pattern, _)| pattern.len()).map(|(_, on)| *on)
        };
        said(&self.person).or_else(|| said(&self.tenant)).or(default).unwrap_or(true)
    }
}

fn preferences(of: &BTreeMap<&'static str, bool>) -> String {
    let types = of.iter().map(|(pattern, on)| format!("\"{pattern}\":{{\"toast\":false,\"inbox\":{on}}}"));
    format!("{{\"types\":{{{}}}}}", types.collect::<Vec<_>>().join(","))
}

impl Model {
    fn key(seq: u64, entry: &Entry) -> (Option<&'static str>, u64) {
        (entry.group, if entry.group.is_some() { 0 } else { seq })
    }

    /// The entries of a view, newest first, each group once.
    fn list(&self, takes: impl Fn(&Entry) -> bool) -> Vec<(u64, bool)> {
        let visible = |entry: &Entry| {
            !entry.deleted && !entry.cleared && !entry.retracted && self.muted.lets(entry.kind)
        };
        let mut found: Vec<(u64, bool)> = Vec::new();
        let mut told: BTreeMap<(Option<&str>, u64), usize> = BTreeMap::new();
        for (seq, entry) in self.entries.iter().rev().filter(|(_, entry)| visible(entry) && takes(entry)) {
            match told.get(&Self::key(*seq, entry)) {
                Some(&at) => found[at].1 &= entry.read,
                None => {
                    told.insert(Self::key(*seq, entry), found.len());
                    found.push((*seq, entry.read));
                }
            }
        }
        found
    }

    fn counts(&self) -> (u64, u64) {
        let unread = |entry: &Entry| !entry.read && !entry.archived;
        let all = self.list(unread).len() as u64;
        (all, self.list(|entry| unread(entry) && !entry.seen).len() as u64)
    }

    /// Whether an entry can be named, for this deed.
    fn has(&self, seq: u64, deed: Deed) -> bool {
        self.entries.get(&seq).is_some_and(|entry| {
            !entry.cleared && !entry.retracted && (!entry.deleted || deed == Deed::Restore)
        })
    }

    fn mark(&mut self, seq: u64, deed: Deed) {
        let group = self.entries[&seq].group;
        let alone = group.is_none() || matches!(deed, Deed::Unread | Deed::Ack);
        let (before, is_archived) = (self.entries.clone(), self.entries[&seq].archived);
        for (&at, entry) in self.entries.range_mut(..=seq) {
            if entry.cleared || (alone && at != seq) || (!alone && entry.group != group) {
                continue;
            }
            // Of a group those that are as the entry is, or what was deleted with it.
            let goes_with = match deed {
                Deed::Restore => entry.deleted_with == Some(seq),
                _ => !entry.deleted && entry.archived == is_archived,
            };
            if at != seq && !goes_with {
                continue;
            }
            match deed {
                Deed::Read | Deed::Ack => entry.read = true,
                Deed::Unread => entry.read = false,
                Deed::Archive => entry.archived = true,
                Deed::Unarchive => entry.archived = false,
                Deed::Delete => (entry.deleted, entry.deleted_with) = (true, Some(seq)),
                Deed::Restore => (entry.deleted, entry.deleted_with) = (false, None),
                Deed::Snooze(_) => {}
            }
        }
        self.version += u64::from(before != self.entries);
    }
}

/// Whether an entry is of a view.
type Takes = fn(&Entry) -> bool;

const KINDS: [&str; 5] = ["a.one", "a.two", "b", "must", "never"];
const PATTERNS: [&str; 6] = ["*", "a.*", "a.one", "b", "must", "never"];
const GROUPS: [Option<&str>; 4] = [None, None, Some("g"), Some("h")];
const CHANNELS: [&[&str]; 5] =
    [&["tenant"], &["user:mila"], &["role:r", "role:s"], &["user:mila", "tenant", "role:r"], &["user:jan"]];

/// A run of random deliveries, marks, marks of all and retractions, by turns on two devices (two connections of two publishers).
async fn interleave(logs: [&Log; 2], name: &str, seed: u64, steps: usize) {
    let mila = Person::of(name, "mila");
    logs[0].open_tenant(&mila.tenant, true).await.unwrap();
    let (mut dice, mut model) = (Dice(seed), Model { version: 1, ..Model::default() });
    let (mut ids, mut head) = (Vec::<(String, u64)>::new(), 0);
    // Acks do not move a watermark of what is read, so a second one changes nothing.
    let mut acked = BTreeSet::new();
    mila.open(logs[0]).await;
    for step in 0..steps {
        let log = *dice.pick(&logs);
        let at = 1 + dice.below(head + 2);
        match dice.below(14) {
            0..=3 => {
                let (channels, group) = (*dice.pick(&CHANNELS), *dice.pick(&GROUPS));
                let id = format!("n{step}");
                let kind = *dice.pick(&KINDS);
                let mut sent = delivery(name, &id, channels, group);
                sent.event.kind = kind.into();
                head = deliver(log, sent).await;
                if !channels.contains(&"user:jan") {
                    model.entries.insert(head, Entry { kind, group, ..Entry::default() });
                }
                ids.push((id, head));
            }
            4..=8 => {
                let deeds = [
                    Deed::Read,
                    Deed::Unread,
                    Deed::Archive,
                    Deed::Unarchive,
                    Deed::Delete,
                    Deed::Restore,
                    Deed::Ack,
                ];
                let deed = *dice.pick(&deeds);
                let marked = mila.mark(log, at, deed).await;
                assert_eq!(marked != Marked::Missing, model.has(at, deed), "{name} {step}: {deed:?} {at}");
                if marked != Marked::Missing {
                    let version = model.version;
                    model.mark(at, deed);
                    if deed == Deed::Ack && acked.insert(at) && model.version == version {
                        model.version += 1;
                    }
                }
            }
            9 | 10 => {
                let mark = *dice.pick(&[Mark::Read, Mark::Seen, Mark::Archive, Mark::Read, Mark::Clear]);
                // Clearing everything again and again would leave nothing to look at.
                let up_to = if mark == Mark::Clear { at / 3 } else { at };
                if mila.advance(log, mark, up_to).await {
                    model.version += 1;
                }
                for (_, entry) in model.entries.range_mut(..=up_to) {
                    match mark {
                        Mark::Read => entry.read = true,
                        Mark::Seen => entry.seen = true,
                        Mark::Archive => entry.archived = true,
                        Mark::Clear => entry.cleared = true,
                    }
                }
            }
            11 => {
                let of_person = dice.below(2) == 0;
                let said = if of_person { &mut model.muted.person } else { &mut model.muted.tenant };
                let before = said.clone();
                let pattern = *dice.pick(&PATTERNS);
                match dice.below(3) {
                    0 => drop(said.remove(pattern)),
                    on => drop(said.insert(pattern, on == 1)),
                }
                let (changed, json) = (*said != before, preferences(said));
                let user = of_person.then_some(&mila.user);
                let set = log.set_preferences(&mila.tenant, user, &json).await.unwrap().unwrap();
                model.version += u64::from(of_person && changed);
                let version = (of_person && changed).then_some(model.version);
                assert_eq!((set.inbox, set.inboxes), (version, !of_person && changed), "{name} {step}");
            }
            12 => {
                let kind = *dice.pick(&KINDS[2..]);
                let inbox = [None, Some(true), Some(false)][dice.below(3) as usize];
                let says = match (kind, inbox) {
                    ("must", _) => (true, None),
                    ("never", _) => (true, Some(false)),
                    (_, inbox) => (false, inbox),
                };
                let defaults = says.1.map_or(String::new(), |on| format!(",\"defaults\":{{\"inbox\":{on}}}"));
                let definition = format!("{{\"title\":\"{{{{ x }}}}\",\"mandatory\":{}{defaults}}}", says.0);
                let owner = Owner::Tenant(mila.tenant.clone());
                let version = log.event_types(&owner).await.unwrap().version;
                let change = RuleChange::Put(&definition);
                log.change_event_type(&owner, version, kind, change).await.unwrap().unwrap();
                model.muted.types.insert(kind, says);
            }
            _ => {
                let Some((id, seq)) = ids.get(dice.below(ids.len().max(1) as u64) as usize) else { continue };
                log.retract_notice(&mila.tenant, &EventId::new(id).unwrap()).await.unwrap();
                if let Some(entry) = model.entries.get_mut(seq) {
                    entry.retracted = true;
                }
            }
        }
        let (version, counts) = mila.counts(logs[step % 2], 10_000).await;
        let (unread, unseen) = model.counts();
        assert_eq!((counts.unread, counts.unseen, counts.more), (unread, unseen, false), "{name} {step}");
        assert_eq!(version, model.version, "{name} {step}");
        if step % 8 == 0 {
            let limit = 1 + dice.below(7) as usize;
            let views: [(View, Takes); 4] = [
                (View::Standing, |entry| !entry.archived),
                (View::Unread, |entry| !entry.read && !entry.archived),
                (View::Archived, |entry| entry.archived),
                (View::All, |_| true),
            ];
            for (view, takes) in views {
                let listed = mila.list(logs[1 - step % 2], view, limit).await;
                assert_eq!(listed, model.list(takes), "{name} {step}: {view:?} in pages of {limit}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_counts_flags_and_version_are_what_a_model_says_whatever_comes_together() {
    let database = Database::start().await;
    let (one, other) = (&database.publisher, &database.log(Role::Publisher));
    // 10,000 steps: four runs at a time, as many as connections bear on a busy machine.
    for round in 0..5 {
        let runs = (round * 4..round * 4 + 4)
            .map(|run| async move { interleave([one, other], &format!("model-{run}"), 77 + run, 500).await });
        futures_util::future::join_all(runs).await;
    }
}

/// What arrives between the look and the click stays unread: a client names the newest that it has shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_everything_is_marked_as_read_stays_unread() {
    const NOTICES: usize = 120;
    let database = Database::start().await;
    let (log, mila) = (database.publisher.clone(), Person::of("race", "mila"));
    log.open_tenant(&mila.tenant, true).await.unwrap();
    mila.open(&log).await;
    let deliveries = {
        let log = database.log(Role::Publisher);
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..NOTICES {
                seqs.push(deliver(&log, delivery("race", &format!("n{n}"), &["tenant"], None)).await);
            }
            seqs
        })
    };
    let mut shown = 0;
    while !deliveries.is_finished() {
        if let Some((newest, _)) = mila.list(&log, View::Standing, 200).await.first() {
            shown = *newest;
            mila.advance(&log, Mark::Read, shown).await;
        }
    }
    let seqs = deliveries.await.unwrap();
    let unread: Vec<u64> = mila.list(&log, View::Unread, 200).await.into_iter().map(|(seq, _)| seq).collect();
    let expected: Vec<u64> = seqs.into_iter().filter(|seq| *seq > shown).rev().collect();
    assert_eq!(unread, expected);
    assert_eq!(mila.counts(&log, MOST_COUNTED).await.1.unread, expected.len() as u64);
}

/// One person, two devices: every change counts once in the version, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_devices_at_once_change_one_after_the_other() {
    const EACH: u64 = 40;
    let database = Database::start().await;
    let (log, mila) = (database.publisher.clone(), Person::of("devices", "mila"));
    log.open_tenant(&mila.tenant, true).await.unwrap();
    mila.open(&log).await;
    for n in 0..2 * EACH {
        deliver(&log, delivery("devices", &format!("n{n}"), &["tenant", "user:mila"], None)).await;
    }
    let device = |first: u64, deed: Deed| {
        let (log, mila) = (database.log(Role::Publisher), mila.clone());
        tokio::spawn(async move {
            for seq in first..first + EACH {
                assert!(matches!(mila.mark(&log, seq, deed).await, Marked::Done(_)));
            }
        })
    };
    let both = [device(1, Deed::Read), device(1, Deed::Archive), device(EACH + 1, Deed::Delete)];
    for device in both {
        device.await.unwrap();
    }
    let (version, counts) = mila.counts(&log, MOST_COUNTED).await;
    assert_eq!((version, counts), (1 + 3 * EACH, Counts::default()));
    assert_eq!(mila.list(&log, View::Archived, 200).await.len() as u64, EACH);
    assert_eq!(mila.list(&log, View::Standing, 200).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_that_are_due_go_in_slices_with_their_marks_and_others_stay() {
    let database = Database::start().await;
    let (log, mila) = (&database.publisher, Person::of("old", "mila"));
    log.open_tenant(&mila.tenant, true).await.unwrap();
    mila.open(log).await;
    let mut seqs = Vec::new();
    for n in 0..6 {
        seqs.push(deliver(log, delivery("old", &format!("n{n}"), &["tenant", "user:mila"], None)).await);
        mila.mark(log, seqs[n], Deed::Archive).await;
    }
    database.sql("UPDATE carillon.notices SET at = now() - interval '366 days' WHERE seq <= 4").await;
    let mut forgotten = 0;
    for _ in 0..20 {
        let slice = log.forget_notices(365, 3).await.unwrap();
        forgotten += slice.forgotten;
        if slice.overdue.is_zero() {
            break;
        }
    }
    assert_eq!(forgotten, 4);
    let left: Vec<(u64, bool)> = vec![(seqs[5], false), (seqs[4], false)];
    assert_eq!(mila.list(log, View::All, 10).await, left);
    for table in ["notices", "inbox_marks"] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM carillon.{table}")).await, 2, "{table}");
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.notice_audience").await, 4);
}
