//! When does a verdict end, and what becomes of those who are in by it?

use super::application::{Application, Reply, no, yes};
use super::{FOLLOWED, is_taken_out, set_application, set_rule, stack, subscribe, tenant_that_asks};
use crate::wire::{block_on, claims, client, events_to, open, publish, seqs};
use carillon_devstack::client::socket::Socket;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn an_application_that_changes_its_mind_takes_people_out_when_the_verdict_ends() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(2)).await;
        tenant_that_asks(&stack, "minds", &application).await;
        let mila = claims("minds", "mila").channels(["contact:*"]);
        let mut sockets = Vec::new();
        for gateway in [0, 1] {
            let wanted = client(&stack, stack.gateway(gateway), &mila).channels(["order:1", "contact:1"]);
            sockets.push(Socket::open(&wanted).await.unwrap().0);
        }
        // It is asked again and again, and says yes.
        let began = Instant::now();
        while application.asked() < 6 {
            assert!(began.elapsed() < crate::wire::PATIENCE, "it is asked again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        application.says(|_| no());
        for socket in &mut sockets {
            assert!(is_taken_out(socket, "order:1", "forbidden").await < FOLLOWED);
            let seq = publish(&stack, "minds", &["contact:1"], json!({})).await.seq;
            assert_eq!(seqs(&events_to(socket, seq).await).last(), Some(&seq), "in the others");
        }
        for mut socket in sockets {
            assert_eq!(subscribe(&mut socket, "order:1").await.code(), Some("forbidden"));
            socket.close().await;
        }
    });
}

#[test]
fn a_change_of_the_settings_has_the_application_asked_again() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(3_600)).await;
        tenant_that_asks(&stack, "again", &application).await;
        let mila = claims("again", "mila");
        let mut sockets = Vec::new();
        for gateway in [0, 1] {
            let wanted = client(&stack, stack.gateway(gateway), &mila).channels(["order:1"]);
            sockets.push(Socket::open(&wanted).await.unwrap().0);
        }
        application.says(|_| no());
        // The same again: all verdicts are forgotten.
        set_application(&stack, "again", &application.url).await;
        for mut socket in sockets {
            assert!(is_taken_out(&mut socket, "order:1", "forbidden").await < FOLLOWED);
            socket.close().await;
        }
        // And a rule that leaves to it what another let in.
        set_rule(&stack, "again", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        let began = Instant::now();
        while !subscribe(&mut socket, "order:2").await.is("ok") {
            assert!(began.elapsed() < FOLLOWED, "the rule is followed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        set_rule(&stack, "again", "order:{order}", json!({"subscribe": ["ask"]})).await;
        assert!(is_taken_out(&mut socket, "order:2", "forbidden").await < FOLLOWED);
        socket.close().await;
    });
}

#[test]
fn people_stay_for_a_while_when_the_application_goes_away_and_no_longer() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| yes(3)).await;
        tenant_that_asks(&stack, "away", &application).await;
        let (mut socket, _) = open(&stack, stack.gateway(0), &claims("away", "mila")).await;
        let began = Instant::now();
        assert!(subscribe(&mut socket, "order:1").await.is("ok"));
        application.says(|_| Reply::Raw("no HTTP".into()));
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        let seq = publish(&stack, "away", &["order:1"], json!({})).await.seq;
        assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq], "beyond the verdict's time");
        is_taken_out(&mut socket, "order:1", "unavailable").await;
        let took = began.elapsed();
        assert!((6_000..12_000).contains(&took.as_millis()), "for twice its time: {took:?}");
        application.says(|_| yes(300));
        assert!(subscribe(&mut socket, "order:1").await.is("ok"), "back, and in again");
        socket.close().await;
    });
}

#[test]
fn nobody_stays_whom_the_application_was_never_asked_about() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| Reply::Silence).await;
        set_rule(&stack, "never", "order:{order}", json!({"subscribe": ["anyone"]})).await;
        set_application(&stack, "never", &application.url).await;
        let wanted = client(&stack, stack.gateway(0), &claims("never", "mila")).channels(["order:1"]);
        let (mut socket, _) = Socket::open(&wanted).await.unwrap();
        set_rule(&stack, "never", "order:{order}", json!({"subscribe": ["ask"]})).await;
        assert!(
            is_taken_out(&mut socket, "order:1", "unavailable").await < FOLLOWED + Duration::from_secs(2)
        );
        socket.close().await;
    });
}
