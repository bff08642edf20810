//! What do callers hear when the database is gone, frozen, overloaded, or refuses one of them?

use crate::harness::{Api, Database};
use crate::locked::Lock;
use carillon_platform::config::Tenants as Policy;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

fn event(tenant: &str) -> serde_json::Value {
    json!({"tenant": tenant, "type": "t", "channels": ["c"]})
}

async fn until_published(api: &Api, tenant: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.post(event(tenant)).await.status != 201 {
        assert!(Instant::now() < deadline, "the publisher did not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_database_is_told_quickly_and_its_return_is_noticed() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("dead")).await.seq(), 1);
    api.database.postgres.process().kill().unwrap();
    for _ in 0..5 {
        let began = Instant::now();
        let reply = api.post(event("dead")).await;
        reply.problem(503, "unavailable");
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    api.get("/v1/events?tenant=dead").await.problem(503, "unavailable");
    assert!(began.elapsed() < Duration::from_secs(3));
    api.database.restart().await;
    until_published(&api, "dead").await;
    let rows = api.database.sql("select count(*) = max(seq) from carillon.events where tenant_id = 'dead'");
    assert_eq!(rows, "t", "no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_database_is_told_within_about_two_seconds() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("frozen")).await.seq(), 1);
    api.database.postgres.process().freeze().unwrap();
    let began = Instant::now();
    let replies = join_all((0..20).map(|_| api.post(event("frozen")))).await;
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
    for reply in replies {
        assert_eq!(reply.status, 503, "{:?}", reply.json);
    }
    api.database.postgres.process().thaw().unwrap();
    until_published(&api, "frozen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_share_of_the_intake_refuses_its_tenant_alone_and_stores_nothing_of_it() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("full")).await.seq(), 1);
    // Slow inserts keep the intake full.
    api.database.sql(
        "create function carillon.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.7); return null; end $$;
         create trigger slow after insert on carillon.events for each statement execute function carillon.slow()",
    );
    let array = json!(vec![event("full"); 400]);
    let post = async || {
        let began = Instant::now();
        (api.post(&array).await, began.elapsed())
    };
    let (mut by_share, mut stored) = (0, 0);
    // Until ten are refused by the share: how many of forty are depends on how quickly they come.
    for others in 1..=10 {
        let (replies, other) = tokio::join!(join_all((0..40).map(|_| post())), async {
            // By now the forty wait.
            tokio::time::sleep(Duration::from_millis(300)).await;
            api.post(event("other")).await
        });
        assert_eq!(other.seq(), others, "others are not refused");
        for (reply, took) in &replies {
            // Some are in the share and wait in vain; the others learn after a second that it is used up, and never at once.
            match reply.status.as_u16() {
                201 => stored += 1,
                429 => {
                    reply.problem(429, "caller_share_full");
                    assert!(*took >= Duration::from_millis(900), "{took:?}");
                    assert_eq!(reply.header("retry-after"), Some("1"));
                    by_share += 1;
                }
                _ => {
                    reply.problem(503, "overloaded");
                    assert_eq!(reply.header("retry-after"), Some("1"));
                }
            }
        }
        if by_share >= 10 {
            break;
        }
    }
    assert!(by_share >= 10 && stored > 0, "{by_share} of 400 were refused, {stored} stored");
    let rows = api.database.sql("select count(*) from carillon.events where tenant_id = 'full'");
    assert_eq!(rows, (1 + stored * 400).to_string(), "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_refuses_costs_nothing_of_a_tenants_limit() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("limited")).await.seq(), 1);
    let set = json!({"limits": {"events_per_second": 1}}).to_string();
    let answer =
        api.call(Method::PUT, "/v1/tenants/limited", &[("content-type", "application/json")], set).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let began = Instant::now();
    while api.post(event("limited")).await.status != 429 {
        assert!(began.elapsed() < Duration::from_secs(20), "the limit is read");
    }
    api.database.sql(
        "create function carillon.refuse() returns trigger language plpgsql as $$ begin
            if new.type = 'refused' then raise exception 'refused'; end if; return new; end $$;
         create trigger refuse before insert on carillon.events for each row execute function carillon.refuse()",
    );
    let refused = json!({"tenant": "limited", "type": "refused", "channels": ["c"]});
    // One event a second; whoever waits that long has it, and gets it back each time.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..10 {
        let began = Instant::now();
        let replies = [api.post(&refused).await, api.post(&refused).await, api.post(event("limited")).await];
        if began.elapsed() > Duration::from_millis(900) {
            // The machine is too busy to tell: the limit has given one back by itself.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            continue;
        }
        let [first, second, stored] = replies;
        first.problem(500, "internal");
        second.problem(500, "internal");
        assert_eq!(stored.status, 201, "what was not stored was given back: {:?}", stored.json);
        return;
    }
    panic!("ten times three requests took longer than a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisoned_request_does_not_fail_the_others() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("poison")).await.seq(), 1);
    api.database.sql(
        "create function carillon.poison() returns trigger language plpgsql as $$ begin
            if new.type = 'poison' then raise exception 'poisoned'; end if; return new; end $$;
         create trigger poison before insert on carillon.events for each row execute function carillon.poison()",
    );
    let poison = json!({"tenant": "poison", "type": "poison", "channels": ["c"]});
    let calls = (0..30).map(|n| api.post(if n == 15 { poison.clone() } else { event("poison") }));
    let replies = join_all(calls).await;
    for (n, reply) in replies.iter().enumerate() {
        if n == 15 {
            reply.problem(500, "internal");
        } else {
            assert_eq!(reply.status, 201, "{n} {:?}", reply.json);
        }
    }
    assert_eq!(api.database.sql("select head from carillon.tenants where id = 'poison'"), "30");
    let announced: usize = api.announced(30).await.iter().map(|batch| batch.events.len()).sum();
    assert_eq!(announced, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_went_away_before_its_batch_is_not_stored() {
    let api = Api::with(Database::own().await, Policy::Auto).await;
    assert_eq!(api.post(event("gone")).await.seq(), 1);
    // The batch before its own is not over while this is there.
    let lock = Lock::hold_by(&api.database, "lock table carillon.events in share mode");
    let waiting =
        "select count(*) from pg_locks where relation = 'carillon.events'::regclass and not granted";
    let (first, gone) = tokio::join!(api.post(event("gone")), async {
        let deadline = Instant::now() + Duration::from_secs(20);
        while api.database.sql(waiting) == "0" {
            assert!(Instant::now() < deadline, "the first one does not wait");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let gone = tokio::time::timeout(Duration::from_millis(50), api.post(event("gone"))).await;
        lock.release(&api.database);
        gone
    });
    assert_eq!((first.seq(), gone.is_err()), (2, true));
    assert_eq!(api.post(event("gone")).await.seq(), 3, "nothing came between");
}
