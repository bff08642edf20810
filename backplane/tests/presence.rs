//! Is who is in a channel read from Redis as gateways wrote it, quickly, and never from half of what one has written?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus_redis;

use bus_redis::{PATIENCE, Redis, eventually, tenant};
use bytes::Bytes;
use carillon_backplane::bus::{PresenceReader, PresenceStore};
use carillon_protocol::presence::{Entry, Origin};
use carillon_protocol::{Channel, UserId};
use std::time::{Duration, Instant};

fn origin(node: &str) -> Origin {
    Origin { node: node.into(), incarnation: 7 }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// So many people, in a channel that they are in since one after the other.
fn people(names: std::ops::Range<u64>, channel: &Channel) -> Vec<(Channel, UserId, Entry)> {
    let somebody = |n: u64| {
        let user = UserId::new(format!("person-{n:06}")).unwrap();
        (channel.clone(), user, Entry { since_ms: n, set_ms: n, grace_ms: 10_000, meta: None })
    };
    names.map(somebody).collect()
}

async fn up(store: &PresenceStore) {
    eventually("connected", || store.is_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_people_on_three_nodes_the_first_page_comes_quickly() {
    let redis = Redis::start();
    let (store, reader) =
        (PresenceStore::connect(&redis.config()).unwrap(), PresenceReader::connect(&redis.config()).unwrap());
    up(&store).await;
    let (tenant, room, other) = (tenant("a"), channel("room:1"), channel("room:12"));
    for node in 0..3_u64 {
        // Everybody is on two nodes, and in a channel whose name begins so.
        let (begin, end) = (node * 3_333, (node + 2) * 3_333);
        let mut all = people(begin..end.min(10_000), &room);
        if node == 2 {
            all.extend(people(9_990..10_000, &room));
        }
        all.extend(people(0..1_000, &other));
        store
            .write_anew(&tenant, &origin(&format!("gateway-{node}")), 1, &all, Bytes::from_static(b"x"))
            .await
            .unwrap();
    }
    // Beside it all that the nodes have written is read: a busy machine takes longer for both.
    let (mut took, mut read) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let began = Instant::now();
        for node in 0..3 {
            store.read(&tenant, &origin(&format!("gateway-{node}"))).await.unwrap().unwrap();
        }
        read.push(began.elapsed());
        let began = Instant::now();
        let page = reader.channel(&tenant, &room, None, 200).await.unwrap();
        took.push(began.elapsed());
        assert_eq!((page.count, page.members.len(), page.more, page.stale), (10_000, 200, true, false));
        assert_eq!(page.members[0].user.as_str(), "person-000000");
    }
    took.sort();
    read.sort();
    println!("first page of 10,000: median {:?}, slowest {:?}; to read all: {:?}", took[4], took[8], read[4]);
    assert!(took[4] < Duration::from_millis(500).max(3 * read[4]), "{took:?}, to read all: {read:?}");
    // All of them, each once.
    let (mut after, mut seen) = (None, 0_u64);
    loop {
        let page = reader.channel(&tenant, &room, after.as_ref(), 1_000).await.unwrap();
        for one in &page.members {
            assert_eq!(one.since_ms, seen);
            seen += 1;
        }
        let Some(last) = page.members.last().filter(|_| page.more) else { break };
        after = Some((last.since_ms, last.user.clone()));
    }
    assert_eq!(seen, 10_000);
    let (channels, stale) = reader.user(&tenant, &UserId::new("person-000005").unwrap()).await.unwrap();
    let names: Vec<&str> = channels.iter().map(|place| place.channel.as_str()).collect();
    assert_eq!((names, stale), (vec!["room:1", "room:12"], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_is_just_writing_anew_is_not_taken_for_the_whole() {
    let redis = Redis::start();
    let (store, reader) =
        (PresenceStore::connect(&redis.config()).unwrap(), PresenceReader::connect(&redis.config()).unwrap());
    up(&store).await;
    let (tenant, room, me) = (tenant("a"), channel("room:1"), origin("gateway-1"));
    let all = people(0..1_200, &room);
    store.write_anew(&tenant, &me, 1, &all, Bytes::from_static(b"x")).await.unwrap();
    let page = reader.channel(&tenant, &room, None, 10).await.unwrap();
    assert_eq!((page.count, page.stale), (1_200, false));
    // As if it stood still in the middle of writing: the number is missing, and some of the people.
    let key = format!("t:presence:{{a}}:{me}");
    redis.command(&format!("HDEL {key} n"));
    let page = reader.channel(&tenant, &room, None, 10).await.unwrap();
    assert_eq!((page.count, page.stale), (1_200, true));
    let nobody = reader.channel(&tenant, &channel("room:2"), None, 10).await.unwrap();
    assert_eq!((nobody.count, nobody.stale), (0, true), "and of others it is not known");
    // Its lease is over: it has nobody, and that is known.
    redis.command(&format!("DEL {key}"));
    let page =
        tokio::time::timeout(PATIENCE, reader.channel(&tenant, &room, None, 10)).await.unwrap().unwrap();
    assert_eq!((page.count, page.stale), (0, false));
}

/// Another gateway that took this one for dead takes away what is left of it, in the middle of its writing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_away_while_it_was_written_anew_is_not_said_to_be_there() {
    let redis = Redis::start();
    let (store, other) =
        (PresenceStore::connect(&redis.config()).unwrap(), PresenceStore::connect(&redis.config()).unwrap());
    up(&store).await;
    up(&other).await;
    let (tenant, room, me) = (tenant("a"), channel("room:1"), origin("gateway-1"));
    let all = people(0..1_200, &room);
    let began = Instant::now();
    store.write_anew(&tenant, &me, 1, &all, Bytes::from_static(b"x")).await.unwrap();
    // Some come before the end of the writing, and some after it, however long that takes here.
    let spread = 2 * began.elapsed().max(Duration::from_millis(10)).as_micros() as u64;
    let (mut cut, mut whole) = (0, 0);
    for round in 0..1_000 {
        let n = round + 2;
        let forgetting = async {
            tokio::time::sleep(Duration::from_micros(round * 7_919 % spread)).await;
            other.forget(&tenant, &me).await.unwrap();
        };
        let writing = store.write_anew(&tenant, &me, n, &all, Bytes::from_static(b"x"));
        let ((), written) = tokio::join!(forgetting, writing);
        let found = store.read(&tenant, &me).await.unwrap().map(|(_, people)| people.len());
        match (written.unwrap(), found) {
            (true, None) => {}
            (true, Some(found)) => {
                assert_eq!(found, all.len(), "it was said to be there as a whole");
                whole += 1;
            }
            (false, _) => cut += 1,
        }
        if cut > 5 && whole > 5 {
            break;
        }
    }
    assert!(cut > 0 && whole > 0, "both were met: {cut} cut, {whole} whole");
}
