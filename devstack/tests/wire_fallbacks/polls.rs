//! Is a poll answered when there is something for it, and does the next one go on where it ended?

use std::time::{Duration, Instant};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::{Listen, Polled};
use carillon_devstack::client::post::Post;
use carillon_devstack::client::socket::SocketError;
use carillon_devstack::token::{Claims, now};
use carillon_devstack::wait;
use serde_json::json;

use crate::wire::{self, PATIENCE, block_on, claims, publish, publisher};
use crate::{PLAIN, listen, stack};

/// How long a poll may take that has something to say.
const PROMPT: Duration = Duration::from_secs(10);
const LONG: Option<Duration> = Some(Duration::from_secs(50));
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn seqs(polled: &Polled) -> Vec<u64> {
    wire::seqs(&polled.events)
}

/// Polls in the background and waits until the gateway has it.
async fn waiting(
    stack: &carillon_devstack::stack::Stack,
    poll: Listen,
) -> tokio::task::JoinHandle<Result<Polled, SocketError>> {
    let gateway = stack.gateway(PLAIN);
    let polls = || async {
        crate::faults::probe::sample(gateway, r#"carillon_fallback_requests_total{kind="poll"}"#).await
    };
    let before = polls().await;
    let task = tokio::spawn(async move { poll.poll(LONG).await });
    wait::until("the poll being there", PATIENCE, || async { (polls().await > before).then_some(()) })
        .await
        .unwrap();
    task
}

#[test]
fn a_poll_without_a_cursor_says_where_to_begin() {
    block_on(async {
        let stack = stack().await;
        let head = publish(&stack, "begin", &["tenant"], json!({})).await;
        let begun = Instant::now();
        let polled = listen(&stack, PLAIN, &claims("begin", "anna")).poll(None).await.unwrap();
        assert!(begun.elapsed() < PROMPT);
        assert_eq!(
            polled,
            Polled { events: vec![], cursor: Cursor::new(head.seq, &head.epoch), reset: None }
        );
        // Of a tenant without any event as well.
        let polled = listen(&stack, PLAIN, &claims("begin-empty", "anna")).poll(None).await.unwrap();
        assert_eq!((polled.events.len(), polled.cursor.seq, polled.reset), (0, 0, None));
    });
}

#[test]
fn a_poll_that_waits_is_answered_by_the_first_event_that_is_for_it() {
    block_on(async {
        let stack = stack().await;
        let anna = claims("waits", "anna").channels(["contact:*"]);
        let begin = publish(&stack, "waits", &["tenant"], json!({})).await;
        let wanted = listen(&stack, PLAIN, &anna).channels(["contact:1"]);
        let wanted = wanted.since(Cursor::new(begin.seq, &begin.epoch));
        let poll = waiting(&stack, wanted.clone()).await;
        for channel in ["contact:2", "user:bob", "role:staff"] {
            publish(&stack, "waits", &[channel], json!({})).await;
        }
        publish(&stack, "waits-else", &["contact:1", "tenant"], json!({})).await;
        assert!(!poll.is_finished(), "none of these is for it");
        let first = publish(&stack, "waits", &["contact:1"], json!({"first": true})).await;
        let begun = Instant::now();
        let polled = poll.await.unwrap().unwrap();
        assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
        assert_eq!((seqs(&polled), &polled.cursor), (vec![first.seq], &Cursor::new(first.seq, &first.epoch)));
        assert_eq!(polled.events[0].event()["data"], json!({"first": true}));
        // The same question again has the same answer, at once and without waiting.
        let again = wanted.poll(LONG).await.unwrap();
        assert_eq!(again.events, polled.events);
    });
}

#[test]
fn a_poll_that_nothing_came_for_ends_empty_and_further_on() {
    block_on(async {
        let stack = stack().await;
        let begin = publish(&stack, "idle-poll", &["tenant"], json!({})).await;
        let cursor = Cursor::new(begin.seq, &begin.epoch);
        let wanted = listen(&stack, PLAIN, &claims("idle-poll", "anna")).since(cursor.clone());
        let begun = Instant::now();
        let at_once = wanted.poll(AT_ONCE).await.unwrap();
        assert_eq!(at_once, Polled { events: vec![], cursor, reset: None });
        assert!(begun.elapsed() < PROMPT);
        let other = publish(&stack, "idle-poll", &["user:bob"], json!({})).await;
        let further = Polled { events: vec![], cursor: Cursor::new(other.seq, &other.epoch), reset: None };
        // The event may take longer than a poll to get there: each of them waits all the same.
        wait::until("a poll ending further on", PATIENCE, || async {
            let begun = Instant::now();
            let polled = wanted.poll(Some(Duration::from_secs(2))).await.unwrap();
            assert!(begun.elapsed() >= Duration::from_millis(1_900), "it waits: {:?}", begun.elapsed());
            assert!(polled.events.is_empty(), "{polled:?}");
            (polled == further).then_some(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn i3_i4_a_long_past_comes_in_several_answers_each_going_on_where_the_last_ended() {
    block_on(async {
        let stack = stack().await;
        let publisher = publisher(&stack);
        let mut last = 0;
        // 1.5 MB: half of it in a channel nobody asked for.
        for _ in 0..2 {
            let post = |n: u64| {
                let data = json!({"n": n, "text": "x".repeat(7_500)});
                Post::new("long-poll", "wire.test", data).channel(["contact:1", "contact:2"][n as usize % 2])
            };
            let acks = publisher.publish_many(&Vec::from_iter((0..100).map(post)), None).await.unwrap();
            last = acks.last().unwrap().seq;
        }
        let anna = claims("long-poll", "anna").channels(["contact:*"]);
        let mut wanted = listen(&stack, PLAIN, &anna).channels(["contact:1"]);
        let mut cursor = Cursor { seq: 0, epoch: None };
        let (mut seen, mut answers) = (Vec::new(), 0);
        while cursor.seq < last {
            wanted.since = Some(cursor.clone());
            let polled = wanted.poll(AT_ONCE).await.unwrap();
            let bytes: usize = polled.events.iter().map(|event| event.0.to_string().len()).sum();
            assert!(bytes <= 300 * 1024, "{bytes} bytes in one answer");
            assert!(polled.cursor.seq > cursor.seq, "it goes on: {cursor:?}");
            let ours = seqs(&polled);
            assert!(ours.iter().all(|seq| (cursor.seq + 1..=polled.cursor.seq).contains(seq)), "{ours:?}");
            seen.extend(ours);
            cursor = polled.cursor;
            answers += 1;
        }
        assert_eq!(seen, Vec::from_iter((1..=last).step_by(2)), "every event for it, once, in order");
        assert!(answers >= 3, "{answers} answers");
    });
}

#[test]
fn i4_a_poll_with_a_cursor_of_another_life_is_told_so_at_once() {
    block_on(async {
        let stack = stack().await;
        publish(&stack, "reset-poll", &["tenant"], json!({})).await;
        let head = publish(&stack, "reset-poll", &["tenant"], json!({})).await;
        let mut wanted = listen(&stack, PLAIN, &claims("reset-poll", "anna"));
        for cursor in [Cursor::new(1, "elsewhere"), Cursor::new(head.seq + 1, &head.epoch)] {
            wanted.since = Some(cursor);
            let begun = Instant::now();
            let polled = wanted.poll(LONG).await.unwrap();
            assert!(begun.elapsed() < PROMPT);
            assert_eq!(polled.reset.as_deref(), Some("epoch_changed"));
            assert_eq!((polled.events.len(), &polled.cursor), (0, &Cursor::new(head.seq, &head.epoch)));
            wanted.since = Some(polled.cursor);
            let next = wanted.poll(AT_ONCE).await.unwrap();
            assert_eq!((next.events.len(), next.reset), (0, None), "and goes on from there");
        }
    });
}

#[test]
fn a_token_that_expires_answers_the_poll_and_refuses_the_next() {
    block_on(async {
        let stack = stack().await;
        let begin = publish(&stack, "brief-poll", &["tenant"], json!({})).await;
        let brief = Claims::new("brief-poll", "anna", now(), 6);
        let wanted = listen(&stack, PLAIN, &brief).since(Cursor::new(begin.seq, &begin.epoch));
        let begun = Instant::now();
        let polled = wanted.poll(LONG).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(6) + PROMPT);
        assert_eq!((polled.events.len(), polled.cursor.seq), (0, begin.seq));
        let Err(SocketError::Refused { status: 401, code, .. }) = wanted.poll(LONG).await else { panic!() };
        assert_eq!(code, "token_expired");
    });
}
