//! Which records of a kind wait to be written?
//!
//! Records about the same thing are one: the later one is merged into the earlier one and keeps its place in its tenant's row. So what
//! waits is bounded by the number of things, not by how often they change. Tenants take turns: a statement has the same share for each
//! that waits, so however much one has, the others' go with the next statement. What one tenant has waiting leaves a quarter of the room
//! to the others.

use crate::metrics::metrics;
use carillon_backplane::log::{Log, LogError};
use carillon_protocol::TenantId;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Fewest that a statement writes after others were too slow.
const FEWEST: usize = 16;

/// Something that is stored.
pub(crate) trait Record: Sized + Send + Sync + 'static {
    /// What it is about.
    type Key: Clone + Eq + Hash + Send;
    /// As the metrics' label spells the kind.
    const KIND: &'static str;
    /// Most bytes that wait, counted by [`Record::bytes`].
    const MOST_BYTES: usize;
    /// Most that one statement writes; one is run a second.
    const BATCH: usize;

    /// Whose it is.
    fn tenant(&self) -> &TenantId;
    /// What it is about.
    fn key(&self) -> Self::Key;
    /// About what it takes in memory, its place among the others included.
    fn bytes(&self) -> usize;
    /// Takes in what was noted of the same thing later.
    fn merge(&mut self, later: Self);
    /// Writes records, each about another thing.
    fn store(log: &Log, records: &[Self]) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// What waits of one kind.
pub(crate) struct Waiting<R: Record> {
    records: HashMap<R::Key, R>,
    bytes: usize,
    of_tenants: HashMap<TenantId, OfTenant<R::Key>>,
    /// The tenants that have something waiting; the first one is next.
    turns: VecDeque<TenantId>,
    /// As many as the next statement writes.
    at_once: usize,
}

struct OfTenant<K> {
    bytes: usize,
    order: VecDeque<K>,
}

impl<K> Default for OfTenant<K> {
    fn default() -> Self {
        Self { bytes: 0, order: VecDeque::new() }
    }
}

impl<R: Record> Waiting<R> {
    fn new() -> Self {
        let turns = VecDeque::new();
        Self { records: HashMap::new(), bytes: 0, of_tenants: HashMap::new(), turns, at_once: R::BATCH }
    }

    /// Whether the next statement is full, or half of the room is taken: what can be noted later waits where it is, and takes less
    /// memory there.
    pub(crate) fn is_busy(&self) -> bool {
        self.len() >= R::BATCH || self.bytes > R::MOST_BYTES / 2
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Notes something. False if there was no room for it: it is let go, and counted.
    pub(crate) fn put(&mut self, record: R) -> bool {
        let key = record.key();
        if let Some(known) = self.records.get_mut(&key) {
            let (before, tenant) = (known.bytes(), record.tenant().clone());
            known.merge(record);
            let after = known.bytes();
            self.give_back(&tenant, before);
            self.use_room(&tenant, after);
            return true;
        }
        let of_tenant = self.of_tenants.get(record.tenant()).map_or(0, |own| own.bytes);
        if self.bytes + record.bytes() > R::MOST_BYTES
            || of_tenant + record.bytes() > R::MOST_BYTES - R::MOST_BYTES / 4
        {
            metrics().records_dropped(R::KIND, 1);
            return false;
        }
        let own = self.use_room(record.tenant(), record.bytes());
        own.order.push_back(key.clone());
        if own.order.len() == 1 {
            self.turns.push_back(record.tenant().clone());
        }
        self.records.insert(key, record);
        true
    }

    /// Takes the first ones of each tenant, as many as one statement writes.
    pub(super) fn take(&mut self) -> Vec<R> {
        let mut taken: Vec<R> = Vec::new();
        while taken.len() < self.at_once {
            let Some(tenant) = self.turns.pop_front() else { break };
            let share = (self.at_once / (self.turns.len() + 1)).clamp(1, self.at_once - taken.len());
            let Some(own) = self.of_tenants.get_mut(&tenant) else { continue };
            let keys = own.order.drain(..own.order.len().min(share));
            taken.extend(keys.filter_map(|key| self.records.remove(&key)));
            if !own.order.is_empty() {
                self.turns.push_back(tenant);
            }
        }
        taken.iter().for_each(|record| self.give_back(record.tenant(), record.bytes()));
        if self.records.is_empty() {
            // What a storm has needed is given back.
            *self = Self { at_once: self.at_once, ..Self::new() };
        }
        taken
    }

    /// The last statement was in time, or had no answer in time: so the next one writes more again, or less. However large records are, they
    /// are written sooner or later.
    pub(super) fn was_in_time(&mut self, was: bool) {
        let next = if was { self.at_once * 2 } else { self.at_once / 2 };
        self.at_once = next.clamp(FEWEST.min(R::BATCH), R::BATCH);
    }

    /// Puts back what could not be written: before all others of its tenant, and with what was noted meanwhile merged in. They had their room, so
    /// they have it again.
    pub(super) fn put_back(&mut self, taken: Vec<R>) {
        for mut record in taken.into_iter().rev() {
            let key = record.key();
            let later = self.records.remove(&key);
            let is_new = later.is_none();
            if let Some(later) = later {
                self.give_back(later.tenant(), later.bytes());
                record.merge(later);
            }
            let own = self.use_room(record.tenant(), record.bytes());
            if is_new {
                own.order.push_front(key.clone());
                if own.order.len() == 1 {
                    self.turns.push_front(record.tenant().clone());
                }
            }
            self.records.insert(key, record);
        }
    }

    fn use_room(&mut self, tenant: &TenantId, bytes: usize) -> &mut OfTenant<R::Key> {
        self.bytes += bytes;
        let own = self.of_tenants.entry(tenant.clone()).or_default();
        own.bytes += bytes;
        own
    }

    fn give_back(&mut self, tenant: &TenantId, bytes: usize) {
        self.bytes -= bytes;
        if let Some(own) = self.of_tenants.get_mut(tenant) {
            own.bytes -= bytes;
            if own.bytes == 0 && own.order.is_empty() {
                self.of_tenants.remove(tenant);
            }
        }
    }
}

/// One kind of records. Cloning is cheap.
pub(crate) struct Kind<R: Record>(Arc<Mutex<Waiting<R>>>);

impl<R: Record> Kind<R> {
    /// What waits, for as long as the guard is held: moments.
    pub(crate) fn waiting(&self) -> MutexGuard<'_, Waiting<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Record> Clone for Kind<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: Record> Default for Kind<R> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Counts up: the highest of a thing.
    #[derive(Debug, Clone, PartialEq)]
    struct Height(u8, u64);

    impl Record for Height {
        type Key = u8;
        const KIND: &'static str = "test";
        const MOST_BYTES: usize = 1_000;
        const BATCH: usize = 3;

        fn tenant(&self) -> &TenantId {
            static TENANTS: LazyLock<[TenantId; 2]> =
                LazyLock::new(|| ["few", "many"].map(|name| TenantId::new(name).unwrap()));
            &TENANTS[usize::from(self.0 < 100)]
        }

        fn key(&self) -> u8 {
            self.0
        }

        fn bytes(&self) -> usize {
            100
        }

        fn merge(&mut self, later: Self) {
            self.1 = self.1.max(later.1);
        }

        async fn store(_: &Log, _: &[Self]) -> Result<(), LogError> {
            Ok(())
        }
    }

    proptest! {
        /// Whatever is noted, taken and put back: of each thing that had room the highest is written, and nothing is more than is allowed.
        #[test]
        fn whatever_fails_and_comes_meanwhile_nothing_that_had_room_is_lost(
            steps in proptest::collection::vec((0..12u8, 0..100u64, 0..4u8), 1..200), other in 1..12u8,
        ) {
            let mut waiting = Waiting::<Height>::new();
            let (mut expected, mut written) = (HashMap::<u8, u64>::new(), HashMap::<u8, u64>::new());
            let mut write = |taken: Vec<Height>| {
                for Height(key, height) in taken {
                    let known = written.entry(key).or_default();
                    *known = height.max(*known);
                }
            };
            for (key, height, step) in steps {
                let key = if key >= other { key + 100 } else { key };
                let taken = if step > 1 { waiting.take() } else { Vec::new() };
                prop_assert!(taken.len() <= Height::BATCH);
                if waiting.put(Height(key, height)) {
                    let known = expected.entry(key).or_default();
                    *known = height.max(*known);
                }
                if step == 2 { waiting.put_back(taken) } else { write(taken) }
                prop_assert_eq!(waiting.bytes, waiting.len() * 100);
                let of_tenants = || waiting.of_tenants.values();
                prop_assert_eq!(of_tenants().map(|own| own.order.len()).sum::<usize>(), waiting.len());
                prop_assert_eq!(of_tenants().map(|own| own.bytes).sum::<usize>(), waiting.bytes);
                prop_assert_eq!(of_tenants().filter(|own| !own.order.is_empty()).count(), waiting.turns.len());
                // What was put back had its room before what came meanwhile.
                prop_assert!(waiting.bytes <= Height::MOST_BYTES + Height::BATCH * 100);
            }
            while waiting.len() > 0 {
                write(waiting.take());
            }
            prop_assert_eq!(written, expected);
        }
    }

    #[test]
    fn the_newest_thing_is_let_go_when_there_is_no_room_and_one_tenant_leaves_some_to_the_others() {
        let mut waiting = Waiting::<Height>::new();
        assert!((0..7).all(|key| waiting.put(Height(key, 1))));
        assert!(!waiting.put(Height(7, 1)), "three quarters are for one tenant");
        assert!((100..103).all(|key| waiting.put(Height(key, 1))));
        assert!(!waiting.put(Height(103, 1)), "there is room for ten");
        assert!(waiting.put(Height(6, 7)));
        assert_eq!(waiting.take(), [Height(0, 1), Height(100, 1), Height(1, 1)]);
        assert!(waiting.put(Height(7, 1)) && waiting.put(Height(103, 1)));
    }

    #[test]
    fn a_tenant_with_much_holds_up_nobody() {
        let mut waiting = Waiting::<Height>::new();
        assert!((0..7).all(|key| waiting.put(Height(key, 1))) && waiting.put(Height(100, 1)));
        let taken = waiting.take();
        assert_eq!(taken, [Height(0, 1), Height(100, 1), Height(1, 1)], "all of the one who has little");
        waiting.put_back(taken);
        assert!(waiting.put(Height(101, 1)) && waiting.put(Height(102, 1)));
        let mut order = Vec::new();
        while waiting.len() > 0 {
            order.extend(waiting.take().into_iter().map(|record| record.0));
        }
        let of = |few: bool| order.iter().copied().filter(|key| (*key >= 100) == few).collect::<Vec<u8>>();
        assert_eq!(
            (of(true), of(false)),
            (vec![100, 101, 102], vec![0, 1, 2, 3, 4, 5, 6]),
            "each in its order"
        );
        let last = order.iter().position(|key| *key == 102);
        assert!(last.is_some_and(|last| last < 7), "{order:?}");
    }

    /// A hundred at once.
    struct Wide(Height);

    impl Record for Wide {
        type Key = u8;
        const KIND: &'static str = "test";
        const MOST_BYTES: usize = 100_000;
        const BATCH: usize = 100;

        fn tenant(&self) -> &TenantId {
            self.0.tenant()
        }
        fn key(&self) -> u8 {
            self.0.key()
        }
        fn bytes(&self) -> usize {
            self.0.bytes()
        }
        fn merge(&mut self, later: Self) {
            self.0.merge(later.0);
        }
        async fn store(_: &Log, _: &[Self]) -> Result<(), LogError> {
            Ok(())
        }
    }

    #[test]
    fn what_takes_too_long_is_written_in_smaller_parts_until_it_does_not() {
        let mut waiting = Waiting::<Wide>::new();
        let mut taken = |was_in_time: bool| {
            assert!((0..=u8::MAX).all(|key| waiting.put(Wide(Height(key % 100, 1)))));
            waiting.was_in_time(was_in_time);
            let taken = waiting.take().len();
            while !waiting.take().is_empty() {}
            taken
        };
        let slow: Vec<usize> = (0..4).map(|_| taken(false)).collect();
        assert_eq!(slow, [50, 25, FEWEST, FEWEST]);
        let quick: Vec<usize> = (0..4).map(|_| taken(true)).collect();
        assert_eq!(quick, [32, 64, 100, 100]);
    }
}
