//! Does it hold without Redis, and what is said without Postgres?

use super::wire::{ask, block_on, claims, client, open};
use super::{bounded, disconnect, out, refused};
use carillon_devstack::chaos::Way;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::json;
use std::time::Instant;

#[test]
fn a_revoked_person_is_out_within_a_second_also_without_redis() {
    block_on(async {
        let mut stack = Stack::start(StackConfig::default()).await.unwrap();
        let mila = claims("deaf", "mila");
        let mut hers = Vec::new();
        for gateway in [0, 1] {
            hers.push(open(&stack, stack.gateway(gateway), &mila).await.0);
        }
        stack.redis().process().kill().unwrap();
        let began = Instant::now();
        let closed = async {
            let mut longest = began.elapsed();
            for socket in &mut hers {
                longest = longest.max(out(socket, began).await);
            }
            longest
        };
        let work = async { tokio::join!(disconnect(&stack, "tenant=deaf&user=mila"), closed) };
        let (((status, answer), longest), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202, "{answer}");
        assert!(longest < bound, "{longest:?} of {bound:?}");
        for gateway in [0, 1] {
            let again = Socket::connect(&client(&stack, stack.gateway(gateway), &mila)).await;
            assert_eq!(refused(again), (401, "token_revoked".into()));
            open(&stack, stack.gateway(gateway), &claims("deaf", "mila")).await.0.close().await;
        }
        // A node that starts later reads it from the table.
        stack.redis().restart().await.unwrap();
        let late = stack.add_gateway(&[]).await.unwrap();
        let again = Socket::connect(&client(&stack, stack.gateway(late), &mila)).await;
        assert_eq!(refused(again), (401, "token_revoked".into()));
        stack.stop().await.unwrap();
    });
}

/// Redis is there for everybody, and the one hint is lost: nobody knows that there was one. What finds it is the look at the heads; a
/// gateway that looks seldom shows that nothing else does.
#[test]
fn a_revoked_person_is_out_within_a_second_also_where_the_hint_is_lost_and_redis_is_there() {
    block_on(async {
        let mut stack = Stack::start(StackConfig { chaos: true, ..StackConfig::default() }).await.unwrap();
        let seldom = stack.add_gateway(&[("CARILLON_HEAD_WATCH_MS".into(), "60000".into())]).await.unwrap();
        let mila = claims("unheard", "mila");
        let mut hers = Vec::new();
        for gateway in [0, 1] {
            hers.push(open(&stack, stack.gateway(gateway), &mila).await.0);
        }
        let (mut late, _) = open(&stack, stack.gateway(seldom), &mila).await;
        let link = &stack.publisher(0).links().unwrap().redis;
        link.silence(Way::There);
        let began = Instant::now();
        let closed = async {
            let mut longest = began.elapsed();
            for socket in &mut hers {
                longest = longest.max(out(socket, began).await);
            }
            longest
        };
        let work = async { tokio::join!(disconnect(&stack, "tenant=unheard&user=mila"), closed) };
        let (((status, answer), longest), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202, "{answer}");
        assert!(longest < bound, "{longest:?} of {bound:?}");
        assert!(ask(&mut late, json!({"type": "ping", "id": 1})).await.is("pong"), "no hint has come");
        for gateway in [0, 1, seldom] {
            let readiness = stack.gateway(gateway).readiness().await.unwrap();
            assert_eq!(readiness.status, "ready", "{readiness:?}");
        }
        for gateway in [0, 1] {
            let again = Socket::connect(&client(&stack, stack.gateway(gateway), &mila)).await;
            assert_eq!(refused(again), (401, "token_revoked".into()));
        }
        stack.stop().await.unwrap();
    });
}

/// What Redis says to one gateway never arrives there, before anybody knows that.
#[test]
fn a_revoked_person_is_out_within_a_second_also_at_a_gateway_that_does_not_hear_redis() {
    block_on(async {
        let stack = Stack::start(StackConfig { chaos: true, ..StackConfig::default() }).await.unwrap();
        let mila = claims("lonely", "mila");
        let (mut hers, _) = open(&stack, stack.gateway(0), &mila).await;
        stack.gateway(0).links().unwrap().redis.silence(Way::Back);
        let began = Instant::now();
        let work =
            async { tokio::join!(disconnect(&stack, "tenant=lonely&user=mila"), out(&mut hers, began)) };
        let (((status, answer), took), bound) = bounded(&stack, work).await;
        assert_eq!(status, 202, "{answer}");
        assert!(took < bound, "{took:?} of {bound:?}");
        let again = Socket::connect(&client(&stack, stack.gateway(0), &mila)).await;
        assert_eq!(refused(again), (401, "token_revoked".into()));
        stack.stop().await.unwrap();
    });
}

#[test]
fn without_postgres_nobody_is_disconnected_and_that_is_said() {
    block_on(async {
        let stack = Stack::start(StackConfig { chaos: true, ..StackConfig::default() }).await.unwrap();
        let mila = claims("cut", "mila");
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        // What is known holds while the database is away.
        let jan = claims("cut", "jan");
        let (mut jans, _) = open(&stack, stack.gateway(0), &jan).await;
        let began = Instant::now();
        let (first, _) = tokio::join!(disconnect(&stack, "tenant=cut&user=jan"), out(&mut jans, began));
        assert_eq!(first.0, 202);
        stack.cut_postgres().await;
        let (status, answer) = disconnect(&stack, "tenant=cut&user=mila").await;
        assert_eq!((status, &answer["code"]), (503, &json!("unavailable")), "{answer}");
        assert!(ask(&mut socket, json!({"type": "ping", "id": 1})).await.is("pong"));
        let again = Socket::connect(&client(&stack, stack.gateway(0), &jan)).await;
        assert_eq!(refused(again), (401, "token_revoked".into()));
        stack.restore_postgres().await;
        let began = Instant::now();
        while disconnect(&stack, "tenant=cut&user=mila").await.0 != 202 {
            assert!(began.elapsed() < super::PATIENCE, "the database is back");
        }
        out(&mut socket, began).await;
        stack.stop().await.unwrap();
    });
}

#[test]
fn revocations_have_a_bound_and_are_forgotten_when_they_are_over() {
    block_on(async {
        let stack = super::stack().await;
        open(&stack, stack.gateway(0), &claims("bounded", "mila")).await.0.close().await;
        let fill = "insert into carillon.revocations select 'bounded', 'u' || n, '', '', now(), now() + interval '1 day', 1
            from generate_series(1, 10000) n";
        stack.sql(fill).await.unwrap();
        let (status, answer) = disconnect(&stack, "tenant=bounded&user=mila").await;
        assert_eq!((status, &answer["code"]), (409, &json!("too_many_revocations")), "{answer}");
        assert_eq!(disconnect(&stack, "tenant=bounded&user=u7").await.0, 202, "one that is there is renewed");
        let connection = "tenant=bounded&connection=gateway-9-0000000a-0-4-7";
        assert_eq!(disconnect(&stack, connection).await.0, 202, "connections are counted by themselves");
        let over =
            "update carillon.revocations set until = now() - interval '1 minute' where tenant_id = 'bounded'";
        stack.sql(over).await.unwrap();
        assert_eq!(disconnect(&stack, "tenant=bounded&user=mila").await.0, 202);
        let began = Instant::now();
        let left = "select count(*) from carillon.revocations where tenant_id = 'bounded'";
        // The task runs once a minute, slice by slice.
        while stack.sql(left).await.unwrap().trim() != "1" {
            assert!(began.elapsed().as_secs() < 100, "{:?}", stack.sql(left).await);
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    });
}
