//! Does REST say who is in a channel, on any publisher, as those who watch it are told?

use super::person::Plan;
use super::{set, show};
use crate::wire::{Shared, block_on, claims, token};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::Claims;
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As long as it takes to see that a gateway is dead, and to let its people go.
const SURELY: Duration = Duration::from_secs(45);

async fn start() -> Stack {
    Stack::start(StackConfig { gateways: 3, publishers: 2, ..StackConfig::default() }).await.unwrap()
}

async fn shared() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(start).await
}

/// Status, position and body of a publisher's answer.
async fn get(stack: &Stack, publisher: usize, token: &str, path: &str) -> (u16, Option<String>, Value) {
    let url = format!("{}{path}", stack.publisher(publisher).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    let position = answer.headers().get("carillon-position").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), position, answer.json().await.unwrap())
}

async fn here(stack: &Stack, publisher: usize, tenant: &str) -> Value {
    let path = format!("/v1/presence/branch:1?tenant={tenant}");
    let (status, _, body) = get(stack, publisher, stack.api_key(), &path).await;
    assert_eq!(status, 200, "{body}");
    body
}

fn names(answer: &Value) -> Vec<String> {
    let mut names: Vec<String> = answer["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["user"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Waits until both publishers know these people, and nothing of it is old.
async fn become_known(stack: &Stack, tenant: &str, wanted: &[&str]) {
    for publisher in 0..2 {
        let deadline = Instant::now() + SURELY;
        loop {
            let answer = here(stack, publisher, tenant).await;
            if names(&answer) == wanted && answer.get("stale").is_none() {
                assert_eq!(answer["count"], wanted.len());
                break;
            }
            assert!(Instant::now() < deadline, "{wanted:?} and not {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn every_publisher_says_who_is_here_on_all_nodes_and_of_one_tenant_alone() {
    block_on(async {
        let stack = shared().await;
        for tenant in ["rest-1", "rest-2"] {
            show(&stack, tenant, 500).await;
        }
        let mut people = Vec::new();
        for (gateway, name) in [(0, "ana"), (1, "eva"), (2, "mila"), (1, "mila")] {
            people.push(Plan::new("rest-1", name).at(&stack, gateway).await);
        }
        let other = Plan::new("rest-2", "otto").at(&stack, 0).await;
        become_known(&stack, "rest-1", &["ana", "eva", "mila"]).await;
        become_known(&stack, "rest-2", &["otto"]).await;
        people[0].send(json!({"type": "presence", "channel": "branch:1", "meta": {"desk": 4}}));
        let key = stack.api_key();
        let is_told = async || {
            let (_, _, body) = get(&stack, 1, key, "/v1/presence?user=ana&tenant=rest-1").await;
            (body["channels"][0]["meta"]["desk"] == 4).then_some(())
        };
        wait::until("meta is told", SURELY, is_told).await.unwrap();
        let (_, position, body) = get(&stack, 1, key, "/v1/presence?user=ana&tenant=rest-1").await;
        assert!(position.unwrap().ends_with(":0"), "nothing was published");
        assert_eq!((&body["present"], &body["channels"][0]["channel"]), (&json!(true), &json!("branch:1")));
        assert!(body["channels"][0]["since"].is_u64() && body.get("stale").is_none(), "{body}");
        let (_, _, body) = get(&stack, 0, key, "/v1/presence?user=nobody&tenant=rest-1").await;
        assert_eq!(body, json!({"user": "nobody", "present": false, "channels": [], "next": null}));
        // Page by page, in the order of their coming, each once.
        let mut path = "/v1/presence/branch:1?tenant=rest-1&limit=1".to_owned();
        let mut read = Vec::new();
        loop {
            let (_, _, page) = get(&stack, 0, key, &path).await;
            assert_eq!((page["count"].as_u64(), page["members"].as_array().unwrap().len()), (Some(3), 1));
            read.extend(names(&page));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/presence/branch:1?tenant=rest-1&limit=1&after={next}");
        }
        assert_eq!(read, ["ana", "eva", "mila"]);
        // Who is dropped is gone without a word, half a second later.
        let ana = people.remove(0);
        for person in people {
            person.close().await;
        }
        become_known(&stack, "rest-1", &["ana"]).await;
        ana.close().await;
        other.close().await;
    });
}

#[test]
fn a_channels_rule_says_who_may_ask_for_administrators_too() {
    block_on(async {
        let stack = shared().await;
        set(&stack, "rest-rights", json!({"subscribe": ["anyone"], "presence": ["role:desk"]})).await;
        let ana = claims("rest-rights", "ana").roles(["desk"]);
        let mut socket =
            crate::wire::open(&stack, stack.gateway(0), &ana.clone().channels(["branch:1"])).await.0;
        let answer =
            crate::wire::ask(&mut socket, json!({"type": "subscribe", "id": 1, "channel": "branch:1"})).await;
        assert!(answer.is("ok"), "{answer:?}");
        become_known(&stack, "rest-rights", &["ana"]).await;
        let asked = async |claims: &Claims, path: &str| {
            let (status, _, body) = get(&stack, 0, &token(&stack, claims), path).await;
            (status, body)
        };
        let (status, body) = asked(&ana, "/v1/presence/branch:1").await;
        assert_eq!((status, &body["count"]), (200, &json!(1)), "{body}");
        let mila = claims("rest-rights", "mila").channels(["branch:*"]).caps(["admin"]);
        let (status, body) = asked(&mila, "/v1/presence/branch:1").await;
        assert_eq!((status, &body["code"]), (403, &json!("forbidden")), "{body}");
        let (status, body) = asked(&ana, "/v1/presence/tenant").await;
        assert_eq!((status, &body["code"]), (403, &json!("forbidden")), "without a rule: {body}");
        // Where somebody is, each is told of the channels that they see people in.
        let (_, body) = asked(&ana, "/v1/presence?user=ana").await;
        assert_eq!((&body["present"], body["channels"].as_array().unwrap().len()), (&json!(true), 1));
        let (_, body) = asked(&mila, "/v1/presence?user=ana").await;
        assert_eq!(body, json!({"user": "ana", "present": false, "channels": [], "next": null}));
        for (path, code) in [
            ("/v1/presence/b%20c", "invalid_parameter"),
            ("/v1/presence", "invalid_parameter"),
            ("/v1/presence/branch:1?limit=201", "invalid_parameter"),
            ("/v1/presence/branch:1?users=1", "invalid_parameter"),
            ("/v1/presence/branch:1?after=xyz", "invalid_cursor"),
        ] {
            let (status, body) = asked(&ana, path).await;
            assert_eq!((status, body["code"].as_str().unwrap()), (400, code), "{path}: {body}");
        }
        socket.close().await;
    });
}

#[test]
fn a_killed_gateways_people_go_over_rest_when_its_lease_is_over() {
    block_on(async {
        let stack = start().await;
        show(&stack, "rest-killed", 2_000).await;
        let stays = Plan::new("rest-killed", "wanda").at(&stack, 0).await;
        let lost = Plan::new("rest-killed", "otto").at(&stack, 1).await;
        become_known(&stack, "rest-killed", &["otto", "wanda"]).await;
        stack.gateway(1).kill().unwrap();
        let began = Instant::now();
        become_known(&stack, "rest-killed", &["wanda"]).await;
        assert!(began.elapsed() < SURELY, "{:?}", began.elapsed());
        drop(lost);
        stays.close().await;
    });
}

#[test]
fn while_redis_is_away_the_last_that_was_known_is_told_as_stale_and_afterwards_the_truth() {
    block_on(async {
        let stack = start().await;
        show(&stack, "rest-away", 2_000).await;
        let ana = Plan::new("rest-away", "ana").at(&stack, 0).await;
        let eva = Plan::new("rest-away", "eva").at(&stack, 1).await;
        become_known(&stack, "rest-away", &["ana", "eva"]).await;
        stack.redis().process().kill().unwrap();
        let answer = here(&stack, 0, "rest-away").await;
        assert_eq!((names(&answer), &answer["stale"]), (vec!["ana".into(), "eva".into()], &json!(true)));
        // What nobody has asked for is not known.
        let path = "/v1/presence/branch:2?tenant=rest-away";
        let (status, _, body) = get(&stack, 0, stack.api_key(), path).await;
        assert_eq!((status, body["code"].as_str().unwrap()), (503, "presence_unavailable"), "{body}");
        eva.close().await;
        // It comes back empty: nobody is told that there was nobody, and what is told in the end is so.
        stack.redis().restart().await.unwrap();
        let deadline = Instant::now() + SURELY;
        loop {
            let answer = here(&stack, 0, "rest-away").await;
            if answer.get("stale").is_none() {
                assert_eq!(names(&answer), ["ana"]);
                break;
            }
            assert!(names(&answer).contains(&"ana".to_owned()), "{answer}");
            assert!(Instant::now() < deadline, "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ana.close().await;
    });
}
