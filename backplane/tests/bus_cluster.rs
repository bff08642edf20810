//! Does the bus work on a Redis Cluster, where every tenant's channel lives on the node that owns its slot?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, eventually, interruption, listen, message, tenant, up};
use bytes::Bytes;
use carillon_backplane::bus::{Announcer, BusConfig, BusEvents, BusHealth, BusMode, Listener};
use carillon_protocol::ident::TenantId;
use std::collections::HashSet;

const TENANTS: usize = 20;

struct Cluster(Vec<Redis>);

impl Cluster {
    /// Three primaries that share the 16,384 slots.
    async fn start() -> Self {
        let flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "3000"];
        let nodes: Vec<_> = (0..3).map(|_| Redis::start_with(&flags)).collect();
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for (n, (node, slots)) in nodes.iter().zip(slots).enumerate() {
            assert_eq!(node.command(&format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1)), "+OK");
            assert_eq!(node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
        }
        for node in &nodes[1..] {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port, node.cluster_port());
            assert_eq!(nodes[0].command(&meet), "+OK");
        }
        let cluster = Self(nodes);
        let whole = |node: &Redis| {
            let info = node.command("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        eventually("the cluster is whole", || cluster.0.iter().all(whole)).await;
        cluster
    }

    fn config(&self) -> BusConfig {
        let [first, second, third] = &self.0[..] else { panic!("three nodes") };
        let url = format!("{}?node=127.0.0.1:{}&node=127.0.0.1:{}", first.url(), second.port, third.port);
        BusConfig::new(url, BusMode::Cluster, "t")
    }

    /// The node a tenant's slot is on, by its number.
    fn node_of(&self, tenant: &TenantId) -> usize {
        let slot = self.slot_of(tenant);
        [5460, 10922, 16383].iter().position(|&last| slot <= last).unwrap()
    }

    fn slot_of(&self, tenant: &TenantId) -> u32 {
        self.0[0].command(&format!("CLUSTER KEYSLOT t:{{{tenant}}}:log"))[1..].parse().unwrap()
    }

    fn subscribers(&self, node: usize) -> usize {
        self.0[node].command("CLIENT LIST TYPE pubsub").lines().count()
    }
}

fn tenants() -> Vec<TenantId> {
    (0..TENANTS).map(|n| tenant(&format!("tenant-{n}"))).collect()
}

/// Announces to every tenant and waits until each has arrived, whatever else comes between.
async fn every_tenant_is_reached(announcer: &Announcer, events: &mut BusEvents, word: &str) {
    let mut missing: HashSet<_> = tenants().into_iter().collect();
    for tenant in &missing {
        announcer.announce(tenant, Bytes::from(format!("{word} {tenant}")));
    }
    while !missing.is_empty() {
        let (tenant, payload) = message(events).await;
        if payload.starts_with(word) {
            assert_eq!(payload, format!("{word} {tenant}"));
            assert!(missing.remove(&tenant), "{tenant} twice");
        }
    }
}

async fn join(cluster: &Cluster) -> (Listener, BusEvents, Announcer) {
    let (listener, events) = listen(&cluster.config()).await;
    for tenant in tenants() {
        listener.subscribe(&tenant).await.unwrap();
    }
    let announcer = Announcer::connect(&cluster.config()).unwrap();
    announcer.health_changes().wait_for(BusHealth::is_up).await.unwrap();
    (listener, events, announcer)
}

#[tokio::test]
async fn sharded_announcements_reach_tenants_on_every_node_and_survive_killed_connections() {
    let cluster = Cluster::start().await;
    let nodes: HashSet<_> = tenants().iter().map(|tenant| cluster.node_of(tenant)).collect();
    assert_eq!(nodes.len(), 3, "the tenants do not cover the nodes");
    let (listener, mut events, announcer) = join(&cluster).await;
    every_tenant_is_reached(&announcer, &mut events, "first").await;

    cluster.0[1].kill_subscribers();
    interruption(&mut events).await;
    up(&listener).await;
    every_tenant_is_reached(&announcer, &mut events, "second").await;

    // Order, within each tenant, over many.
    for n in 0..200 {
        for tenant in tenants() {
            announcer.announce(&tenant, Bytes::from(n.to_string()));
        }
    }
    let mut next = std::collections::HashMap::new();
    for _ in 0..200 * TENANTS {
        let (tenant, payload) = message(&mut events).await;
        let expected = next.entry(tenant).or_insert(0);
        assert_eq!(payload, expected.to_string());
        *expected += 1;
    }
    // Sharded: a subscriber on every node. Classic pub/sub would have one, and every message on every node.
    assert!((0..3).all(|node| cluster.subscribers(node) == 1));
}

#[tokio::test]
async fn a_frozen_node_is_noticed_and_heals() {
    let cluster = Cluster::start().await;
    let (listener, mut events, announcer) = join(&cluster).await;
    cluster.0[2].freeze();
    bus_redis::health(&listener, |health| !health.is_up()).await;
    cluster.0[2].thaw();
    interruption(&mut events).await;
    up(&listener).await;
    let mut health = announcer.health_changes();
    tokio::time::timeout(PATIENCE, health.wait_for(BusHealth::is_up)).await.unwrap().unwrap();
    // The announcer may still notice the freeze now: what was under way is lost, and the log has it.
    let reached = async {
        loop {
            let round = every_tenant_is_reached(&announcer, &mut events, "after");
            if tokio::time::timeout(std::time::Duration::from_secs(2), round).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("every tenant is reached again");
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_subscription_along() {
    let cluster = Cluster::start().await;
    let (listener, mut events, announcer) = join(&cluster).await;
    let moved = tenant("tenant-0");
    let (slot, from) = (cluster.slot_of(&moved), cluster.node_of(&moved));
    let to = (from + 1) % 3;
    let id = |node: usize| cluster.0[node].command("CLUSTER MYID");
    let (from_id, to_id) = (id(from), id(to));
    assert_eq!(cluster.0[to].command(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")), "+OK");
    assert_eq!(cluster.0[from].command(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")), "+OK");
    for node in [to, from] {
        assert_eq!(cluster.0[node].command(&format!("CLUSTER SETSLOT {slot} NODE {to_id}")), "+OK");
    }
    // Redis dropped the subscription; the audit finds out, and the gateway is told to look into the log.
    interruption(&mut events).await;
    up(&listener).await;
    let spublish = format!("SPUBLISH t:{{{moved}}}:log direct");
    assert_eq!(cluster.0[to].command(&spublish), ":1");
    while message(&mut events).await.1 != "direct" {}
    // The announcer finds the new owner too.
    let mut reached = false;
    for _ in 0..20 {
        announcer.announce(&moved, Bytes::from_static(b"again"));
        let again = tokio::time::timeout(std::time::Duration::from_secs(1), message(&mut events)).await;
        reached |= again.is_ok_and(|(_, payload)| payload == "again");
        if reached {
            break;
        }
    }
    assert!(reached);
}
