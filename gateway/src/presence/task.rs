//! Who asks Redis, hears the others and tells the shards?
//!
//! One task owns this node's presence. Everything comes to it as a message; it never waits: what it wants from Redis runs apart, in turns
//! that go round among tenants, and comes back as a message, too.

use super::other::{Read, Stored};
use super::own::Writing;
use super::state::{Effect, Presence, Tally};
use super::update_frames;
use crate::metrics::metrics;
use crate::shard::{Asker, PresenceNews, Shards, ToShard};
use carillon_backplane::bus::{BusHealth, Fleet, PresenceStore};
use carillon_platform::share::{FairPermits, Holder, PermitLimits};
use carillon_protocol::TenantId;
use carillon_protocol::presence::{Change, Origin, encode_envelope};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(50);
/// Least time between two looks, however much happens.
const PAUSE: Duration = Duration::from_millis(10);
/// Changes of other nodes that wait; what does not fit is let go, and read again.
const HEARD: usize = 8_192;
/// Messages taken in one go.
const BURST: usize = 256;
/// Questions to Redis under way at once; three quarters of them are always other tenants'. How many wait is bounded by what is asked: of a
/// tenant one write, one reading of the heads, and one reading or removal for each other node.
const UNDER_WAY: PermitLimits = PermitLimits {
    total: 64,
    per_group: 16,
    per_member: 16,
    waiting: usize::MAX,
    waiting_per_group: usize::MAX,
    waiting_per_member: usize::MAX,
};

/// Tells the task what other nodes say.
#[derive(Clone)]
pub(crate) struct PresenceInbox {
    heard: mpsc::Sender<(TenantId, Origin, Change)>,
    lost: Arc<AtomicBool>,
}

impl PresenceInbox {
    /// Another node, or this one, said something.
    pub(crate) fn heard(&self, tenant: TenantId, from: Origin, change: Change) {
        if self.heard.try_send((tenant, from, change)).is_err() {
            metrics().presence_dropped.increment(1);
            self.lost();
        }
    }

    /// Something that was said may not have been heard.
    pub(crate) fn lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }
}

/// What the task hears and asks.
pub(crate) struct Surroundings {
    pub(crate) me: Origin,
    pub(crate) store: PresenceStore,
    pub(crate) bus: watch::Receiver<BusHealth>,
    pub(crate) shards: Shards,
}

/// What came of a question to Redis.
enum Done {
    Written(TenantId, bool),
    Heads(TenantId, Option<Vec<(Origin, u64)>>),
    Read(TenantId, Origin, Read),
}

/// The task and what it is told by.
pub(crate) struct PresenceTask {
    around: Surroundings,
    state: Presence<Asker>,
    happened: mpsc::UnboundedReceiver<(u16, Vec<PresenceNews>)>,
    heard: mpsc::Receiver<(TenantId, Origin, Change)>,
    lost: Arc<AtomicBool>,
    done: mpsc::UnboundedReceiver<(u64, Done)>,
    finder: mpsc::UnboundedSender<(u64, Done)>,
    under_way: FairPermits<TenantId, ()>,
    /// Counts the times Redis went and came: an answer from before means nothing.
    generation: u64,
    up: bool,
    began: (Instant, u64),
    looked: Instant,
    told: Tally,
}

impl PresenceTask {
    /// `happened` is what shards tell.
    pub(crate) fn new(
        around: Surroundings,
        happened: mpsc::UnboundedReceiver<(u16, Vec<PresenceNews>)>,
    ) -> (Self, PresenceInbox) {
        let (hear, heard) = mpsc::channel(HEARD);
        // Bounded by the work under way: one message each.
        let (finder, done) = mpsc::unbounded_channel();
        let lost = Arc::new(AtomicBool::new(false));
        let unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let now = Instant::now();
        let task = Self {
            state: Presence::new(around.me.clone()),
            around,
            happened,
            heard,
            lost: lost.clone(),
            done,
            finder,
            under_way: FairPermits::new(UNDER_WAY),
            generation: 0,
            up: false,
            began: (now, unix_ms),
            looked: now,
            told: Tally::default(),
        };
        (task, PresenceInbox { heard: hear, lost })
    }

    /// Milliseconds since 1970, as they pass here: they never go back.
    fn now_ms(&self) -> u64 {
        self.began.1 + self.began.0.elapsed().as_millis() as u64
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, mut fleet: watch::Receiver<Option<Fleet>>, stop: CancellationToken) {
        loop {
            let mut store = self.around.store.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = store.changed() => self.look_at_redis(&fleet),
                Ok(()) = self.around.bus.changed() => self.look_at_redis(&fleet),
                Ok(()) = fleet.changed() => {
                    fleet.mark_unchanged();
                    self.look_at_fleet(&fleet);
                }
                Some((generation, done)) = self.done.recv() => self.on_done(generation, done),
                Some((shard, news)) = self.happened.recv() => self.on_happened(shard, news),
                Some((tenant, from, change)) = self.heard.recv() => self.on_heard(tenant, from, change),
                () = tokio::time::sleep(TICK), if !self.state.is_empty() => {}
            }
            self.around.store = store;
            if self.looked.elapsed() >= PAUSE {
                self.look_after();
            }
            self.carry_out();
        }
    }

    fn look_at_redis(&mut self, fleet: &watch::Receiver<Option<Fleet>>) {
        let up = self.around.store.is_up() && self.around.bus.borrow_and_update().is_up();
        // A new connection is new also when nobody saw the end of the one before.
        self.generation += 1;
        let now_ms = self.now_ms();
        if self.up {
            self.state.redis(false, now_ms);
        }
        if up {
            self.state.redis(true, now_ms);
            self.look_at_fleet(fleet);
        }
        self.up = up;
    }

    fn look_at_fleet(&mut self, fleet: &watch::Receiver<Option<Fleet>>) {
        let living = fleet.borrow().as_ref().map(|fleet| {
            let origin = |node: &str, incarnation| Origin { node: node.into(), incarnation };
            fleet.nodes.iter().map(|card| origin(&card.node, card.incarnation)).collect::<HashSet<_>>()
        });
        let now_ms = self.now_ms();
        self.state.living(living, now_ms);
    }

    fn on_happened(&mut self, shard: u16, news: Vec<PresenceNews>) {
        let now_ms = self.now_ms();
        let mut next = Some((shard, news));
        for _ in 0..BURST {
            let Some((shard, news)) = next else { break };
            for (tenant, event) in news {
                self.state.on(shard, &tenant, event, now_ms);
            }
            next = self.happened.try_recv().ok();
        }
        if let Some((shard, news)) = next {
            for (tenant, event) in news {
                self.state.on(shard, &tenant, event, now_ms);
            }
        }
    }

    fn on_heard(&mut self, tenant: TenantId, from: Origin, change: Change) {
        let now_ms = self.now_ms();
        self.state.heard(&tenant, from, change, now_ms);
        for _ in 1..BURST {
            let Ok((tenant, from, change)) = self.heard.try_recv() else { break };
            self.state.heard(&tenant, from, change, now_ms);
        }
    }

    fn on_done(&mut self, generation: u64, done: Done) {
        if generation != self.generation {
            return;
        }
        let now_ms = self.now_ms();
        match done {
            Done::Written(tenant, done) => self.state.written(&tenant, done, now_ms),
            Done::Heads(tenant, heads) => self.state.heads(&tenant, heads, now_ms),
            Done::Read(tenant, origin, read) => self.state.stored(&tenant, &origin, read, now_ms),
        }
    }

    fn look_after(&mut self) {
        self.looked = Instant::now();
        let now_ms = self.now_ms();
        if self.lost.swap(false, Ordering::Relaxed) {
            self.state.look_again(now_ms);
        }
        self.state.look_after(now_ms);
        let (people, channels) = self.state.counts();
        metrics().presence_people.set(people as f64);
        metrics().presence_channels.set(channels as f64);
        let (now, before) = (self.state.tally, std::mem::replace(&mut self.told, self.state.tally));
        metrics().presence_changes.increment(now.told - before.told);
        metrics().presence_repeated.increment(now.repeated - before.repeated);
        metrics().presence_reads.increment(now.reads - before.reads);
        metrics().presence_rewrites.increment(now.rewrites - before.rewrites);
    }

    fn carry_out(&mut self) {
        for effect in self.state.effects() {
            match effect {
                Effect::Tell(tenant, channel, shards, update) => {
                    for frame in update_frames(&channel, &update).into_iter().map(Arc::new) {
                        for shard in (0..64).filter(|shard| shards & (1 << shard) != 0) {
                            let told = ToShard::Presence(tenant.clone(), channel.clone(), frame.clone());
                            self.around.shards.send(shard, told);
                        }
                    }
                }
                Effect::Answer(tenant, asker, told, stale) => {
                    let shard = asker.connection.shard.into();
                    self.around.shards.send(shard, ToShard::WhoIsThere(Box::new(asker), tenant, told, stale));
                }
                Effect::Write(tenant, writing) => {
                    let (store, me) = (self.around.store.clone(), self.around.me.clone());
                    self.ask("write", tenant.clone(), async move {
                        let done = write(&store, &tenant, &me, writing).await;
                        Some(Done::Written(tenant, done))
                    });
                }
                Effect::ReadHeads(tenant) => {
                    let (store, me) = (self.around.store.clone(), self.around.me.clone());
                    self.ask("heads", tenant.clone(), async move {
                        let heads = store.heads(&tenant, Some(&me)).await.ok();
                        Some(Done::Heads(tenant, heads))
                    });
                }
                Effect::Read(tenant, origin) => {
                    let store = self.around.store.clone();
                    self.ask("read", tenant.clone(), async move {
                        let read = match store.read(&tenant, &origin).await {
                            Ok(Some((n, people))) => Read::Whole(Stored { n, people }),
                            Ok(None) => Read::Absent,
                            Err(_) => Read::Failed,
                        };
                        Some(Done::Read(tenant, origin, read))
                    });
                }
                Effect::Forget(tenant, origin) => {
                    let store = self.around.store.clone();
                    self.ask("forget", tenant.clone(), async move {
                        // What is left there goes with its lease, too.
                        let _ = store.forget(&tenant, &origin).await;
                        None
                    });
                }
            }
        }
    }

    /// Has something done for a tenant that takes a while.
    fn ask(
        &self,
        kind: &'static str,
        tenant: TenantId,
        work: impl Future<Output = Option<Done>> + Send + 'static,
    ) {
        let (finder, generation, turns) = (self.finder.clone(), self.generation, self.under_way.clone());
        tokio::spawn(async move {
            let _turn = match turns.try_acquire(Holder::group(tenant.clone())) {
                Ok(turn) => Ok(turn),
                Err(_) => {
                    metrics().presence_waited(kind);
                    // Nobody is refused who may wait.
                    turns.acquire(Holder::group(tenant)).await
                }
            };
            if let Some(done) = work.await {
                let _ = finder.send((generation, done));
            }
        });
    }
}

/// Whether all of it is there now.
async fn write(store: &PresenceStore, tenant: &TenantId, me: &Origin, writing: Writing) -> bool {
    match writing {
        Writing::Change(change) => {
            let payload = encode_envelope(tenant, me, &change);
            store.write(tenant, me, &change, payload).await.unwrap_or_default()
        }
        Writing::Anew { n, people } => {
            let payload = encode_envelope(tenant, me, &Change { n, items: Vec::new() });
            store.write_anew(tenant, me, n, &people, payload).await.unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use futures_util::poll;
    use std::pin::pin;

    #[tokio::test]
    async fn a_tenant_that_asks_redis_much_leaves_turns_to_others_and_everything_it_asks_has_one() {
        let turns = FairPermits::new(UNDER_WAY);
        let of = |tenant: &str| Holder::group(TenantId::new(tenant).unwrap());
        let mut held: Vec<_> = (0..1_000).map_while(|_| turns.try_acquire(of("hostile")).ok()).collect();
        assert_eq!(held.len(), UNDER_WAY.per_group);
        let mut waiting =
            pin!(join_all((0..1_000).map(async |_| turns.acquire(of("hostile")).await.is_ok())));
        assert!(poll!(&mut waiting).is_pending());
        let others = ["a", "b", "c"].map(|tenant| turns.try_acquire(of(tenant)).is_ok());
        assert_eq!(others, [true; 3], "nobody else waits");
        held.clear();
        assert!(waiting.await.into_iter().all(|had_one| had_one), "nobody is refused");
    }
}
