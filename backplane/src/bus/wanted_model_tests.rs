//! Whatever is wanted and given up, and whenever Redis confirms: does it end with exactly what is wanted?

use super::{Want, Wanted};
use carillon_protocol::ident::TenantId;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Want(u8),
    Unwant(u8),
    /// The supervisor goes one message further: it sends what is to be sent, or Redis answers what was sent.
    Supervisor,
    /// The connection breaks, and the next one begins.
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Step::Want),
        4 => (0..3_u8).prop_map(Step::Unwant),
        6 => Just(Step::Supervisor),
        1 => Just(Step::Reconnect),
    ]
}

/// What the supervisor has sent and Redis has not answered.
#[derive(Debug)]
enum UnderWay {
    Nothing,
    Unsubscribe(Vec<TenantId>),
    Subscribe(Vec<TenantId>),
}

/// A supervisor as `session.rs` has it, and a Redis that does what it is told when it answers.
struct Model {
    wanted: Wanted,
    wishes: BTreeSet<TenantId>,
    waiting: Vec<(TenantId, oneshot::Receiver<()>)>,
    redis: BTreeSet<TenantId>,
    under_way: UnderWay,
    /// Told that there is something to do, or has not come to the end of it.
    awake: bool,
}

impl Model {
    fn new() -> Self {
        let mut wanted = Wanted::default();
        wanted.start_over();
        let under_way = UnderWay::Nothing;
        Self {
            wanted,
            wishes: BTreeSet::new(),
            waiting: Vec::new(),
            redis: BTreeSet::new(),
            under_way,
            awake: true,
        }
    }

    fn take(&mut self, step: Step) {
        let name = |n: u8| TenantId::new(format!("t{n}")).unwrap();
        match step {
            Step::Want(n) => {
                self.wishes.insert(name(n));
                match self.wanted.want(&name(n)) {
                    Want::Confirmed => assert!(self.redis.contains(&name(n)), "confirmed without Redis"),
                    Want::Wait(receiver) => {
                        self.waiting.push((name(n), receiver));
                        self.awake = true;
                    }
                    Want::Down => {}
                }
            }
            Step::Unwant(n) => {
                self.wishes.remove(&name(n));
                self.awake |= self.wanted.unwant(&name(n));
            }
            Step::Supervisor => self.supervisor(),
            Step::Reconnect => {
                self.wanted.down();
                self.wanted.start_over();
                self.redis.clear();
                self.under_way = UnderWay::Nothing;
                self.awake = true;
            }
        }
        self.waiting.retain_mut(|(tenant, receiver)| match receiver.try_recv() {
            Ok(()) => {
                assert!(self.redis.contains(tenant), "told that it is confirmed before it is");
                false
            }
            Err(error) => error == oneshot::error::TryRecvError::Empty,
        });
    }

    fn supervisor(&mut self) {
        match std::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Unsubscribe(leaving) => {
                self.redis.retain(|tenant| !leaving.contains(tenant));
                self.subscribe();
            }
            UnderWay::Subscribe(batch) => {
                self.redis.extend(batch.iter().cloned());
                self.wanted.confirm(&batch);
            }
            UnderWay::Nothing if self.awake => {
                let leaving = self.wanted.take_leaving();
                if leaving.is_empty() {
                    self.subscribe()
                } else {
                    self.under_way = UnderWay::Unsubscribe(leaving)
                }
            }
            UnderWay::Nothing => {}
        }
    }

    fn subscribe(&mut self) {
        let batch = self.wanted.take_batch(2);
        if !batch.is_empty() {
            self.under_way = UnderWay::Subscribe(batch);
        } else if self.wanted.settle() {
            self.awake = false;
        }
    }

    fn rest(&mut self) {
        for _ in 0..100 {
            self.supervisor();
            if !self.awake {
                return;
            }
        }
        panic!("the supervisor never rests");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn redis_ends_with_exactly_what_is_wanted(steps in proptest::collection::vec(step(), 0..40)) {
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.take(step));
        model.rest();
        prop_assert_eq!(&model.redis, &model.wishes);
        for tenant in model.wishes.clone() {
            prop_assert!(matches!(model.wanted.want(&tenant), Want::Confirmed), "whoever wants it again need not wait");
        }
    }
}
