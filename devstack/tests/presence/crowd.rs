//! Is everything right after a crowd has come and gone, again and again?
//!
//! Everybody is in the hall, whose list is cut off above 200 people, and in a small room, whose list is whole and which they watch. Somebody
//! watches the hall on each gateway. When all is quiet, what everybody was told is compared with who is really there.

use super::person::{Known, Person, Plan};
use super::{show, stack};
use crate::wire::block_on;
use carillon_devstack::client::dice::Dice;
use carillon_devstack::stack::Stack;
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const TENANT: &str = "flapping";
const HALL: &str = "branch:hall";
const GATEWAYS: usize = 3;
/// People of one room.
const ROOM: usize = 25;
/// People who connect at the same time; the others wait for their turn.
const COMING: usize = 64;
/// Members that the list of a large channel has.
const LISTED: usize = 200;
/// So soon after the last one came or went, everybody's list is right. It has the grace of two seconds in it.
const QUIET: Duration = Duration::from_secs(20);
/// As long as all of it may take.
const AT_MOST: Duration = Duration::from_secs(900);

/// Clients that come and go. `CARILLON_TEST_FLAPPING=5000` is the long run: `make flapping`.
fn flapping() -> usize {
    std::env::var("CARILLON_TEST_FLAPPING").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

fn room_of(n: usize) -> String {
    format!("branch:room-{}", n / ROOM)
}

/// Comes and goes up to four times, at any gateway, with a goodbye or without; whoever stays is answered.
async fn comes_and_goes(stack: &Stack, coming: &Semaphore, n: usize) -> Option<Person> {
    let mut dice = Dice::seeded(n as u64);
    for _ in 0..4 {
        let person = {
            let _turn = coming.acquire().await.unwrap();
            let plan = Plan::new(TENANT, &format!("user-{n}")).channel(&room_of(n)).also(HALL);
            plan.at(stack, dice.below(GATEWAYS)).await
        };
        tokio::time::sleep(Duration::from_millis(dice.below(400) as u64)).await;
        match dice.below(3) {
            0 => person.close().await,
            1 => person.sever().await,
            _ => return Some(person),
        }
    }
    None
}

/// Whether what somebody was told is who is there: all of a small channel, and of a large one the number and so many of them.
fn is_right(known: &Known, truth: &BTreeSet<String>) -> bool {
    let Some(members) = &known.members else { return false };
    known.count == truth.len() as u64
        && members.len() == truth.len().min(LISTED)
        && members.keys().all(|user| truth.contains(user))
}

/// Whoever watches, and who is in the channel that they watch.
type Watching<'a> = (&'a Person, &'a BTreeSet<String>);

/// Waits until everybody's list is right; how long it took.
async fn truth_is_seen(everybody: &[Watching<'_>]) -> Duration {
    let quiet = Instant::now();
    loop {
        let mut wrong = everybody.iter().filter(|(person, truth)| !is_right(&person.known(), truth));
        let Some((person, truth)) = wrong.next() else { return quiet.elapsed() };
        let known = person.known().clone();
        let names = known.members.map(|them| them.into_keys().collect::<Vec<_>>());
        assert!(
            quiet.elapsed() < QUIET,
            "{} of {} lists are not the truth: {} knows of {} people, {names:?}, and there are {}, {truth:?}",
            1 + wrong.count(),
            everybody.len(),
            person.name,
            known.count,
            truth.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Who is there by REST, page by page.
async fn by_rest(stack: &Stack, publisher: usize, channel: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut after = String::new();
    loop {
        let base = stack.publisher(publisher).url();
        let url = format!("{base}/v1/presence/{channel}?tenant={TENANT}&limit=200{after}");
        let answer = crate::wire::http().get(url).bearer_auth(stack.api_key()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{channel}");
        let page: Value = answer.json().await.unwrap();
        assert_eq!(page.get("stale"), None, "{page}");
        for member in page["members"].as_array().unwrap() {
            assert!(all.insert(member["user"].as_str().unwrap().to_owned()), "twice: {member}");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[test]
fn after_a_crowd_has_come_and_gone_everybody_sees_who_is_left() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    block_on(async {
        let said = tokio::time::timeout(AT_MOST, comes_goes_and_is_right(flapping())).await;
        println!("{}", said.expect("all of it in time"));
    });
}

async fn comes_goes_and_is_right(people: usize) -> String {
    let stack = stack(false).await;
    show(&stack, TENANT, 2_000).await;
    let mut watchers = Vec::new();
    for gateway in 0..GATEWAYS {
        let plan = Plan::new(TENANT, &format!("watcher-{gateway}")).channel(HALL);
        watchers.push(plan.at(&stack, gateway).await);
    }
    let names = || watchers.iter().map(|watcher| watcher.name.clone());
    let began = Instant::now();
    let coming = Semaphore::new(COMING);
    let left = join_all((0..people).map(|n| comes_and_goes(&stack, &coming, n))).await;
    let flapped = began.elapsed();

    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut hall: BTreeSet<String> = names().collect();
    for (n, person) in left.iter().enumerate().filter_map(|(n, person)| Some((n, person.as_ref()?))) {
        rooms.entry(room_of(n)).or_default().insert(person.name.clone());
        hall.insert(person.name.clone());
    }
    let there =
        left.iter().enumerate().filter_map(|(n, person)| Some((person.as_ref()?, &rooms[&room_of(n)])));
    let everybody: Vec<Watching<'_>> = there.chain(watchers.iter().map(|watcher| (watcher, &hall))).collect();
    let right_after = truth_is_seen(&everybody).await;
    for publisher in 0..stack.publishers().len() {
        assert_eq!(by_rest(&stack, publisher, HALL).await, hall);
    }
    // Those of 250 ms come together, and above 200 people those of a second.
    let frames = watchers[0].known().frames;
    let most = 10.0 + 4.0 * (began.elapsed().as_secs_f64());
    assert!((frames as f64) < most, "changes are told together: {frames} frames, at most {most}");

    let lists = everybody.len();
    drop(everybody);
    drop(left);
    let nobody: BTreeSet<String> = names().collect();
    let alone: Vec<Watching<'_>> = watchers.iter().map(|watcher| (watcher, &nobody)).collect();
    let gone_after = truth_is_seen(&alone).await;
    assert_eq!(by_rest(&stack, 0, HALL).await, nobody, "no ghost");
    format!(
        "{people} came and went for {flapped:.1?} at {GATEWAYS} gateways, {} stayed: {lists} lists were the truth {right_after:.1?} later; \
         all went without a word, and nobody was there {gone_after:.1?} later",
        hall.len() - GATEWAYS
    )
}
