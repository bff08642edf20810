//! Does work that was begun earlier never overrule what happened since?

use super::ask::{OpenError, OpenedStream};
use super::settings::{Batches, TOGETHER};
use super::*;
use crate::budget::Budget;
use carillon_backplane::bus::{BusConfig, BusMode};
use carillon_backplane::log::{Head, LogConfig, Role};
use carillon_platform::rules::RuleSet;
use carillon_protocol::SettingsVersion;
use carillon_protocol::connection::Incarnation;
use carillon_protocol::envelope::{self, EnvelopeEvent};
use tokio::sync::oneshot;

/// A feed that nobody runs: its work fails (nothing listens there), and the test tells it what was found.
fn feed() -> Feed {
    let config = FeedConfig {
        run: Arc::new(Incarnation { node: "gateway-1".into(), number: 7 }),
        ring: RingLimits { events: 100, bytes: 1_000_000 },
        ring_budget: Budget::new(1_000_000),
        replay_budget: Budget::new(1_000_000),
        live: Incoming { origin: crate::live::origin("gateway-1"), budget: Budget::new(1_000_000) },
        head_watch: Duration::from_secs(1),
        create_tenants: true,
        limits: Limits::default(),
        presence: None,
    };
    let url = "postgres://nobody@127.0.0.1:1/none".to_owned();
    let log = Log::connect(LogConfig { url, role: Role::Gateway }).unwrap();
    let bus = BusConfig::new("redis://127.0.0.1:1", BusMode::Standalone, "test");
    let (listener, _events) = Listener::connect(&bus).unwrap();
    Feed::new(config, log, listener, Shards::none()).0
}

fn tenant(n: usize) -> TenantId {
    TenantId::new(format!("tenant-{n}")).unwrap()
}

fn head(n: usize, seq: u64) -> Head {
    Head { tenant: tenant(n), epoch: Epoch::new("e1").unwrap(), seq: Seq(seq), tag: None }
}

fn log(n: usize, seq: u64) -> Opened {
    let head = head(n, seq);
    Opened { epochs: head.epoch.clone().into(), head, writable: true }
}

fn newly(log: Opened) -> Newly {
    Newly { log, oldest: Seq(1), rules: Arc::default() }
}

/// What the watch finds of a tenant whose settings are of this version.
fn watched(n: usize, seq: u64, version: u64) -> Watched {
    Watched { head: head(n, seq), settings: SettingsVersion { tenant: version, defaults: 0 } }
}

fn rules(version: u64) -> Arc<RuleSet> {
    let version = SettingsVersion { tenant: version, defaults: 0 };
    Arc::new(RuleSet::new(version, Arc::default(), Arc::default()))
}

fn wants(feed: &mut Feed, n: usize) -> oneshot::Receiver<OpenedStream> {
    let (answer, opened) = oneshot::channel();
    feed.on_ask(Ask::Open(tenant(n), answer));
    opened
}

fn opens(feed: &mut Feed, n: usize, seq: u64) -> Arc<Stream> {
    let mut opened = wants(feed, n);
    feed.on_found(Found::Subscribed(tenant(n)));
    feed.on_found(Found::Opened(tenant(n), Ok(Some(newly(log(n, seq))))));
    opened.try_recv().unwrap().unwrap()
}

fn batch(n: usize, first: u64, events: usize) -> BusEvent {
    let bodies = (0..events).map(|_| EnvelopeEvent { channels: Vec::new(), body: "{}".into(), except: None });
    let batch = Batch {
        tenant: tenant(n),
        epoch: Epoch::new("e1").unwrap(),
        first: Seq(first),
        before: None,
        at_micros: 1,
        events: bodies.collect(),
    };
    BusEvent::Message { tenant: tenant(n), payload: envelope::encode(&batch) }
}

fn in_question(feed: &Feed, n: usize) -> bool {
    matches!(feed.tracked.get(&tenant(n)), Some(Tracked::Open(open)) if open.in_question)
}

#[tokio::test]
async fn heads_asked_for_before_a_tenant_was_opened_again_say_nothing_about_it() {
    let mut feed = feed();
    opens(&mut feed, 1, 10);
    assert!(feed.heads.begin(Instant::now()));
    feed.ask_heads();
    // Left and opened again while the question is under way; the log has grown.
    feed.tracked.remove(&tenant(1));
    let stream = opens(&mut feed, 1, 12);
    feed.on_found(Found::Heads(Ok(vec![watched(1, 10, 0)])));
    assert!(!in_question(&feed, 1), "an old answer is no sign that the log lost its end");
    assert_eq!(stream.position().1, Seq(12));
    // The same answer to a question that was asked since is one.
    feed.ask_heads();
    feed.on_found(Found::Heads(Ok(vec![watched(1, 10, 0)])));
    assert!(in_question(&feed, 1));
}

#[tokio::test]
async fn rules_of_another_version_are_read_once_and_again_if_they_changed_meanwhile() {
    let mut feed = feed();
    let stream = opens(&mut feed, 1, 10);
    let look = |feed: &mut Feed, version| {
        feed.ask_heads();
        feed.on_found(Found::Heads(Ok(vec![watched(1, 10, version)])));
    };
    look(&mut feed, 0);
    assert_eq!(feed.settings, Reading::Nothing, "those it has");
    look(&mut feed, 7);
    assert_eq!(feed.settings, Reading::UnderWay { again: false });
    look(&mut feed, 8);
    assert_eq!(feed.settings, Reading::UnderWay { again: true }, "one query at a time");
    feed.heads.answered(Instant::now(), Duration::from_secs(60));
    feed.on_found(Found::Rules(Ok(vec![(tenant(1), rules(7))])));
    assert_eq!((stream.rules().version().tenant, &feed.settings), (7, &Reading::Nothing));
    assert!(feed.heads.wakes_at().unwrap() < Instant::now() + Duration::from_secs(30), "it looks again");
    // What cannot be read changes nothing, and is tried at the next look.
    look(&mut feed, 8);
    feed.on_found(Found::Rules(Err(LogError::Down("away".into()))));
    assert_eq!((stream.rules().version().tenant, &feed.settings), (7, &Reading::Nothing));
    look(&mut feed, 8);
    assert_eq!(feed.settings, Reading::UnderWay { again: false });
}

/// What of these tenants' changes is followed when a query in which one of them is fails, query by query.
#[test]
fn one_tenant_whose_settings_cannot_be_read_keeps_no_others_from_being_followed() {
    for slow in [0, 1, 63, 64, 100, 299] {
        let mut batches = Batches::default();
        let mut changed: Vec<TenantId> = (0..300).map(tenant).collect();
        let slow = tenant(slow);
        for query in 1.. {
            let (read, more) = batches.begin(changed.clone());
            assert!(!read.is_empty() && read.len() <= TOGETHER);
            assert_eq!(more, read.len() < changed.len());
            let failed = read.contains(&slow);
            assert_eq!(batches.ended(failed), failed && read.len() > 1, "fewer may do");
            if !failed {
                changed.retain(|tenant| !read.contains(tenant));
            }
            if changed == [slow.clone()] {
                break;
            }
            assert!(query < 40, "{slow}: {} are not followed", changed.len());
        }
    }
}

#[test]
fn after_an_error_half_as_many_are_read_from_behind_the_first_and_twice_as_many_after_a_success() {
    let all: Vec<TenantId> = (100..300).map(tenant).collect();
    let mut batches = Batches::default();
    let mut begins = |failed: bool| {
        let (read, more) = batches.begin(all.clone());
        assert!(more);
        batches.ended(failed);
        (read[0].as_str().to_owned(), read.len())
    };
    let at = |n: usize, count: usize| (format!("tenant-{n}"), count);
    assert_eq!(begins(false), at(100, 64), "at most so many together");
    for (n, count) in [(100, 64), (101, 32), (102, 16), (103, 8), (104, 4), (105, 2), (106, 1), (107, 1)] {
        assert_eq!(begins(true), at(n, count));
    }
    for count in [1, 2, 4, 8, 16, 32, 64, 64] {
        assert_eq!(begins(false), at(108, count));
    }
    // Behind the last it goes on with the first.
    let mut two = Batches::default();
    for first in [100, 101, 100] {
        assert_eq!(two.begin(all[..2].to_vec()).0[0], tenant(first));
        two.ended(true);
    }
}

#[tokio::test]
async fn changes_that_could_not_be_read_together_are_tried_again_at_once_and_one_alone_at_the_next_look() {
    let mut feed = feed();
    for n in 1..=2 {
        opens(&mut feed, n, 10);
    }
    let fails = |feed: &mut Feed, changed: std::ops::RangeInclusive<usize>| {
        feed.ask_heads();
        feed.on_found(Found::Heads(Ok(changed.map(|n| watched(n, 10, 7)).collect())));
        assert_eq!(feed.settings, Reading::UnderWay { again: false });
        feed.heads.answered(Instant::now(), Duration::from_secs(60));
        feed.on_found(Found::Rules(Err(LogError::Down("slow".into()))));
        feed.heads.wakes_at().unwrap() < Instant::now() + Duration::from_secs(30)
    };
    assert!(fails(&mut feed, 1..=2));
    assert!(!fails(&mut feed, 1..=1));
}

#[tokio::test]
async fn word_of_changed_settings_has_the_versions_looked_at_now() {
    let mut feed = feed();
    opens(&mut feed, 1, 10);
    assert!(feed.heads.begin(Instant::now()));
    feed.heads.answered(Instant::now(), Duration::from_secs(60));
    let said = |of: usize, to| BusEvent::Message {
        tenant: tenant(to),
        payload: envelope::encode_settings(&tenant(of)),
    };
    let waits = |feed: &Feed| feed.heads.wakes_at().unwrap() > Instant::now() + Duration::from_secs(30);
    feed.on_bus(said(2, 1));
    feed.on_bus(said(3, 3));
    assert!(waits(&feed), "I5: another tenant's word, and one for a tenant that is not served");
    feed.on_bus(said(1, 1));
    assert!(!waits(&feed));
    assert_eq!(feed.settings, Reading::Nothing, "nothing is read for a word alone");
}

#[tokio::test]
async fn a_wish_to_look_at_heads_survives_the_question_under_way() {
    let mut feed = feed();
    assert!(feed.heads.begin(Instant::now()));
    feed.ask_heads();
    feed.on_ask(Ask::CheckHeads);
    feed.on_found(Found::Heads(Ok(Vec::new())));
    let next = feed.heads.wakes_at().unwrap();
    assert!(next < Instant::now() + Duration::from_millis(100), "the next beat is after 200 ms");
}

#[tokio::test]
async fn a_tenant_whose_clients_all_went_away_is_not_read() {
    let mut feed = feed();
    drop(wants(&mut feed, 1));
    feed.on_found(Found::Subscribed(tenant(1)));
    assert!(!feed.tracked.contains_key(&tenant(1)), "left before its turn");
    opens(&mut feed, 1, 7);
}

#[tokio::test]
async fn what_came_early_passes_when_the_stream_is_open_and_what_did_not_fit_is_looked_for() {
    let mut feed = feed();
    let mut opened = wants(&mut feed, 1);
    feed.on_bus(batch(1, 11, 2));
    feed.on_bus(batch(1, 13, 1));
    feed.on_found(Found::Subscribed(tenant(1)));
    feed.on_found(Found::Opened(tenant(1), Ok(Some(newly(log(1, 10))))));
    assert_eq!(opened.try_recv().unwrap().unwrap().position().1, Seq(13));

    assert!(feed.heads.begin(Instant::now()));
    feed.heads.answered(Instant::now(), Duration::from_secs(60));
    let mut opened = wants(&mut feed, 2);
    (0..300).for_each(|n| feed.on_bus(batch(2, 1 + n, 1)));
    feed.on_found(Found::Subscribed(tenant(2)));
    feed.on_found(Found::Opened(tenant(2), Ok(Some(newly(log(2, 0))))));
    assert_eq!(opened.try_recv().unwrap().unwrap().position().1, Seq(256));
    let next = feed.heads.wakes_at().unwrap();
    assert!(next < Instant::now() + Duration::from_secs(30), "the heads are asked for");
}

#[tokio::test]
async fn i10_what_waits_for_its_turn_is_bounded_for_all_tenants_together() {
    let mut feed = feed();
    let streams: Vec<_> = (0..20).map(|n| opens(&mut feed, n, 10)).collect();
    let large = |n: usize, first: u64| {
        let body = Bytes::from(vec![b'x'; 2_000_000]);
        let events = vec![EnvelopeEvent { channels: Vec::new(), body, except: None }];
        Batch {
            tenant: tenant(n),
            epoch: Epoch::new("e1").unwrap(),
            first: Seq(first),
            before: None,
            at_micros: 1,
            events,
        }
    };
    for n in 0..20 {
        // Two of 2 MB each, and 11 never comes.
        feed.offer(large(n, 12));
        feed.offer(large(n, 13));
        assert!(feed.arrivals.used() <= ARRIVALS);
    }
    assert!(feed.arrivals.used() > ARRIVALS / 2);
    // Whoever still has it goes on by itself; the others read the log.
    for n in 0..20 {
        feed.on_bus(batch(n, 11, 1));
    }
    let passed = |seq: u64| streams.iter().filter(|stream| stream.position().1 == Seq(seq)).count();
    assert_eq!((passed(13), passed(11)), (8, 12));
    assert_eq!(feed.arrivals.used(), 0);
    feed.tracked.clear();
}

#[tokio::test]
async fn i10_too_many_tenants_at_once_are_refused_by_name() {
    let mut feed = feed();
    let mut answers: Vec<_> = (0..17_000).map(|n| wants(&mut feed, n)).collect();
    let refused = answers.iter_mut().filter_map(|answer| answer.try_recv().ok()).collect::<Vec<_>>();
    assert_eq!(refused.len(), 17_000 - 16_384);
    assert!(refused.iter().all(|answer| matches!(answer, Err(OpenError::Busy(_)))));
}
