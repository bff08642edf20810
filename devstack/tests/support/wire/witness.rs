//! Do those who behave notice anything?
//!
//! While somebody misbehaves, events are published all the time, and a well-behaved connection on every shard of the
//! gateway must get each of them, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Service, Stack};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{PATIENCE, claims, open, publish, publisher};

const LAST: &str = "wire.last";

/// One well-behaved connection on every shard of a gateway, and a publisher.
pub(crate) struct Bystanders {
    tenant: String,
    stop: Arc<AtomicBool>,
    load: JoinHandle<BTreeSet<u64>>,
    watching: Vec<JoinHandle<Vec<u64>>>,
    from: u64,
}

impl Bystanders {
    pub(crate) async fn watch(stack: &Arc<Stack>, gateway: &Service, tenant: &str) -> Self {
        let from = publish(stack, tenant, &["tenant"], json!({})).await.seq;
        let shards = std::thread::available_parallelism().map_or(1, usize::from).min(64);
        // The gateway gives a newcomer to its emptiest shard; the connection's name ends in its shard, place and number.
        let mut by_shard: BTreeMap<String, Socket> = BTreeMap::new();
        for _ in 0..shards * 4 {
            let (socket, welcome) = open(stack, gateway, &claims(tenant, "bystander")).await;
            assert_eq!(welcome.seq, from);
            let shard = welcome.connection.rsplit('-').nth(2).unwrap_or_default().to_owned();
            by_shard.entry(shard).or_insert(socket);
            if by_shard.len() == shards {
                break;
            }
        }
        assert_eq!(by_shard.len(), shards, "a bystander on every shard");
        let watching = by_shard.into_values().map(|socket| tokio::spawn(watch(socket))).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(keep_publishing(Arc::clone(stack), tenant.to_owned(), Arc::clone(&stop)));
        Self { tenant: tenant.to_owned(), stop, load, watching, from }
    }

    /// How many connections they are.
    pub(crate) fn count(&self) -> f64 {
        self.watching.len() as f64
    }

    /// Ends the load and checks that every one of them got every event, in order.
    pub(crate) async fn assert_undisturbed(self, stack: &Stack) {
        self.stop.store(true, Ordering::Relaxed);
        let published = self.load.await.unwrap();
        let last = Post::new(&self.tenant, LAST, json!({})).tenant_wide();
        let last = publisher(stack).publish(&last, None).await.unwrap().seq;
        let expected: Vec<u64> = (self.from + 1..=last).collect();
        assert!(published.len() > 10, "events were under way all the time: {}", published.len());
        assert_eq!(published.len() + 1, expected.len(), "I2: no holes");
        for watcher in self.watching {
            assert_eq!(watcher.await.unwrap(), expected, "every event, in order, once");
        }
    }
}

async fn watch(mut socket: Socket) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        seqs.push(event.seq().unwrap());
        if event.event()["type"] == LAST {
            socket.close().await;
            return seqs;
        }
    }
}

/// Publishes one event after the other until told to stop; each waits for its acknowledgement.
async fn keep_publishing(stack: Arc<Stack>, tenant: String, stop: Arc<AtomicBool>) -> BTreeSet<u64> {
    let publisher = publisher(&stack);
    let mut published = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) || published.len() <= 10 {
        let post = Post::new(&tenant, "wire.load", json!({"n": published.len()})).tenant_wide();
        published.insert(publisher.publish(&post, None).await.unwrap().seq);
    }
    published
}
