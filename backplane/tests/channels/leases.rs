//! Has each slot one worker, and each worker its share?

use crate::database::{Database, tenant};
use crate::index::{append, read_all};
use carillon_backplane::log::{ChannelIndex, Progress, Role, Turn};
use std::collections::BTreeSet;

const NAME: &str = "channel_index";

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_slots_and_a_dead_one_is_replaced() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let numbers = async |worker: &str| -> BTreeSet<i16> {
        let slots = log.lease_slots(NAME, worker).await.unwrap();
        slots.iter().map(|slot| slot.number).collect()
    };
    assert_eq!(numbers("a").await.len(), 64, "one worker has all");
    assert_eq!(numbers("b").await.len(), 0, "nobody is robbed");
    assert_eq!(numbers("a").await.len(), 32, "the first gives up what is the second's share");
    let (a, b) = (numbers("a").await, numbers("b").await);
    assert_eq!((a.len(), b.len()), (32, 32));
    assert!(a.is_disjoint(&b));

    // One stops in order, the other one's leases end.
    log.release_slots(NAME, "a").await.unwrap();
    assert_eq!(numbers("b").await.len(), 64);
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "UPDATE carillon.projector_slots SET lease_until = now() - interval '1 s';
             UPDATE carillon.projector_workers SET alive_until = now() - interval '1 s'",
        )
        .await
        .unwrap();
    assert_eq!(numbers("c").await.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_replaced_commits_nothing() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let shop = tenant("shop");
    log.open_tenant(&shop, true).await.unwrap();
    log.append(&[append("shop", 0, "one", &["tenant", "order:1"])]).await.unwrap();
    let old = log.lease_slots(NAME, "old").await.unwrap();
    let news = log.projector_news(NAME, &old, None, 10).await.unwrap();
    assert_eq!((news.len(), news[0].behind), (1, 1));
    let slot = *old.iter().find(|slot| slot.number == news[0].slot).unwrap();
    let superuser = database.superuser().await;
    superuser
        .batch_execute(
            "UPDATE carillon.projector_slots SET lease_until = now() - interval '1 s';
             DELETE FROM carillon.projector_workers",
        )
        .await
        .unwrap();
    read_all(&log, "new").await;
    log.append(&[append("shop", 0, "two", &["tenant"])]).await.unwrap();
    let turn = Turn { tenant: &shop, slot, worker: "old" };
    assert_eq!(log.project(&ChannelIndex, turn).await.unwrap(), Progress::LeaseLost);
    // Nor when it had the name of the one that replaced it: the lease has another number.
    let turn = Turn { worker: "new", ..turn };
    assert_eq!(log.project(&ChannelIndex, turn).await.unwrap(), Progress::LeaseLost);
    assert_eq!(database.differences().await, 1, "the second event is not in the index yet");
    read_all(&log, "new").await;
    assert_eq!(database.differences().await, 0);
}
