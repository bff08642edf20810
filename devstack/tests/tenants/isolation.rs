//! Do I6 (slow readers) and I9 (without Redis) hold for each tenant of a connection that is in several?

use super::{attach, come_into, detach, open, person, tell};
use crate::wire::{PATIENCE, ask, block_on, client, publisher};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::json;
use std::collections::BTreeMap;

const SCHOOLS: [&str; 3] = ["isle-1", "isle-2", "isle-3"];
/// Events of one request, and the bytes that each has at least.
const EVENTS: usize = 10;
const PADDING: usize = 40 * 1024;

/// A connection in some tenants, and the newest event of each that it has got.
struct Reader {
    socket: Socket,
    heard: BTreeMap<String, u64>,
}

impl Reader {
    fn new(socket: Socket, schools: &[&str]) -> Self {
        Self { socket, heard: schools.iter().map(|school| ((*school).to_owned(), 0)).collect() }
    }

    /// In all schools, at this gateway.
    async fn of_all(stack: &Stack, gateway: usize, user: &str) -> Self {
        let mut socket =
            open(stack, gateway, &person(user, &SCHOOLS.map(|school| (school, "director")))).await;
        for school in &SCHOOLS[1..] {
            come_into(&mut socket, attach(school)).await;
        }
        Self::new(socket, &SCHOOLS)
    }

    /// Reads until it has everything of its schools up to there: each event, in order, once, and none of another school.
    async fn reads_to(&mut self, last: &BTreeMap<String, u64>) {
        while self.heard.iter().any(|(school, seq)| *seq < last[school]) {
            let event = self.socket.next_of("event", PATIENCE).await.unwrap();
            let school = event.event()["data"]["of"].as_str().unwrap().to_owned();
            let before = self.heard.get_mut(&school).unwrap_or_else(|| panic!("I5: {school} is another's"));
            assert_eq!(event.seq(), Some(*before + 1), "I2, I3, I4 of {school}");
            *before += 1;
        }
    }
}

/// Publishes a request of large events into each school; the newest of each.
async fn flood(stack: &Stack) -> BTreeMap<String, u64> {
    let mut last = BTreeMap::new();
    for school in SCHOOLS {
        let data = json!({"of": school, "pad": "p".repeat(PADDING)});
        let post = Post::new(school, "wire.test", data).tenant_wide();
        let acks = publisher(stack).publish_many(&vec![post; EVENTS], None).await.unwrap();
        last.insert(school.to_owned(), acks.last().unwrap().seq);
    }
    last
}

/// Publishes one event into each school; their seqs.
async fn tell_all(stack: &Stack) -> BTreeMap<String, u64> {
    let mut last = BTreeMap::new();
    for school in SCHOOLS {
        last.insert(school.to_owned(), tell(stack, school).await);
    }
    last
}

async fn everybody_gets(stack: &Stack, readers: &mut [Reader]) {
    for _ in 0..10 {
        let last = tell_all(stack).await;
        for reader in &mut *readers {
            reader.reads_to(&last).await;
        }
    }
}

async fn readiness_becomes(gateway: &Service, status: &str) {
    let what = format!("{} being {status}", gateway.name());
    let seen = || async { gateway.readiness().await.filter(|seen| seen.status == status).map(drop) };
    wait::until(what, PATIENCE, seen).await.unwrap();
}

#[test]
fn i6_a_connection_of_three_tenants_that_does_not_read_costs_the_people_of_each_nothing() {
    const ROUNDS: usize = 12;
    block_on(async {
        let config = StackConfig::default().gateway_var("CARILLON_RING_BYTES", "2MiB");
        let stack = Stack::start(config).await.unwrap();
        let gateway = stack.gateway(0);
        let mut wanted = client(&stack, gateway, &person("ana", &SCHOOLS.map(|school| (school, "director"))));
        // A few kilobytes in the kernel, not megabytes.
        wanted.receive_buffer = Some(4_096);
        let mut slow = Socket::open(&wanted).await.unwrap().0;
        for school in &SCHOOLS[1..] {
            come_into(&mut slow, attach(school)).await;
        }
        let mut slow = Reader::new(slow, &SCHOOLS);
        let mut readers = vec![Reader::of_all(&stack, 0, "eva").await];
        for school in SCHOOLS {
            readers.push(Reader::new(open(&stack, 0, &person("bob", &[(school, "x")])).await, &[school]));
        }
        let mut grown = 0;
        // Once the rings are full and the gateway's own buffers have grown, it is measured.
        for is_measured in [false, true] {
            let before = gateway.process().memory().unwrap();
            for _ in 0..ROUNDS {
                let last = flood(&stack).await;
                for reader in &mut readers {
                    reader.reads_to(&last).await;
                }
            }
            if is_measured {
                grown = gateway.process().memory().unwrap().saturating_sub(before);
            }
        }
        let passed = (ROUNDS * SCHOOLS.len() * EVENTS * PADDING) as u64;
        assert!(grown < passed / 4, "{grown} bytes more after {passed} bytes went by");
        let fell = gateway.metric("carillon_fell_behind_total").await.unwrap();
        assert!(fell >= 1.0, "the gateway felt the one that does not read");
        assert_eq!(gateway.metric("carillon_connections").await, Some(5.0), "and closed nobody");
        // When it reads again it gets each school's events, whole and in order, and then what is new.
        let last = tell_all(&stack).await;
        slow.reads_to(&last).await;
        let pong = ask(&mut slow.socket, json!({"type": "ping", "id": 1, "tenant": SCHOOLS[2]})).await;
        assert!(pong.is("pong") && pong.text("tenant") == Some(SCHOOLS[2]), "{pong:?}");
        stack.stop().await.unwrap();
    });
}

#[test]
fn i9_without_redis_a_connection_goes_on_in_each_of_its_tenants_and_comes_and_goes_as_before() {
    const FURTHER: &str = "isle-4";
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let mut all = SCHOOLS.map(|school| (school, "director")).to_vec();
        all.push((FURTHER, "director"));
        let mut readers = Vec::new();
        for (gateway, user) in [(0, "ana"), (1, "bob")] {
            let mut socket = open(&stack, gateway, &person(user, &all)).await;
            for school in &SCHOOLS[1..] {
                come_into(&mut socket, attach(school)).await;
            }
            readers.push(Reader::new(socket, &SCHOOLS));
        }
        everybody_gets(&stack, &mut readers).await;
        stack.redis().process().kill().unwrap();
        for gateway in stack.gateways() {
            readiness_becomes(gateway, "degraded").await;
        }
        everybody_gets(&stack, &mut readers).await;
        // Coming into a tenant, and leaving one, needs no Redis either.
        for reader in &mut readers {
            come_into(&mut reader.socket, attach(FURTHER)).await;
            reader.heard.insert(FURTHER.to_owned(), 0);
        }
        let mut last = tell_all(&stack).await;
        last.insert(FURTHER.to_owned(), tell(&stack, FURTHER).await);
        for reader in &mut readers {
            reader.reads_to(&last).await;
            detach(&mut reader.socket, FURTHER).await;
            reader.heard.remove(FURTHER);
        }
        tell(&stack, FURTHER).await;
        stack.redis().restart().await.unwrap();
        for gateway in stack.gateways() {
            readiness_becomes(gateway, "ready").await;
        }
        everybody_gets(&stack, &mut readers).await;
        stack.stop().await.unwrap();
    });
}
