//! What is told of people when gateways die, stand still or are replaced, and when Redis goes away?

use super::person::{Person, Plan};
use super::{show, stack};
use crate::wire::block_on;
use carillon_devstack::stack::{Stack, StackConfig};
use std::time::Duration;

/// As long as it takes to see that a gateway is dead, and to let its people go.
const SURELY: Duration = Duration::from_secs(45);

async fn people(stack: &Stack, tenant: &str, gateway: usize, names: &[&str]) -> Vec<Person> {
    let mut people = Vec::new();
    for name in names {
        people.push(Plan::new(tenant, name).returns().at(stack, gateway).await);
    }
    people
}

async fn gone(person: &Person, name: &str) {
    let is_gone = &mut |known: &super::person::Known| !known.members.as_ref().unwrap().contains_key(name);
    person.within(SURELY, &format!("{name} is gone"), is_gone).await;
}

#[test]
fn of_a_killed_gateways_people_those_who_come_back_elsewhere_are_not_told_of() {
    block_on(async {
        let stack = stack(false).await;
        show(&stack, "killed", 5_000).await;
        let watcher = Plan::new("killed", "wanda").at(&stack, 0).await;
        let people = people(&stack, "killed", 1, &["ana", "eva", "mila"]).await;
        let lost = Plan::new("killed", "otto").at(&stack, 1).await;
        watcher.sees(&["ana", "eva", "mila", "otto", "wanda"]).await;
        let before = watcher.told().len();
        stack.gateway(1).kill().unwrap();
        gone(&watcher, "otto").await;
        assert_eq!(watcher.told()[before..], ["otto left"], "who came back is not told of");
        watcher.sees(&["ana", "eva", "mila", "wanda"]).await;
        // Nobody stays as a ghost, and who comes later sees the same.
        let late = Plan::new("killed", "late").at(&stack, 2).await;
        late.sees(&["ana", "eva", "late", "mila", "wanda"]).await;
        drop((people, lost));
        watcher.close().await;
    });
}

#[test]
fn people_of_a_frozen_gateway_go_and_are_there_again_when_it_thaws() {
    block_on(async {
        let stack = stack(false).await;
        show(&stack, "frozen", 2_000).await;
        let watcher = Plan::new("frozen", "wanda").at(&stack, 0).await;
        let frozen = Plan::new("frozen", "mila").at(&stack, 1).await;
        watcher.sees(&["mila", "wanda"]).await;
        // A short stop is not told of.
        stack.gateway(1).freeze().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        stack.gateway(1).thaw().unwrap();
        assert_eq!(watcher.told(), ["mila joined"]);
        stack.gateway(1).freeze().unwrap();
        gone(&watcher, "mila").await;
        // Its lease ends, too: it writes everything anew.
        tokio::time::sleep(Duration::from_secs(8)).await;
        stack.gateway(1).thaw().unwrap();
        watcher.sees(&["mila", "wanda"]).await;
        frozen.sees(&["mila", "wanda"]).await;
        drop(frozen);
        watcher.close().await;
    });
}

#[test]
fn a_redis_that_comes_back_empty_moves_nobody() {
    block_on(async {
        let stack = stack(false).await;
        show(&stack, "emptied", 2_000).await;
        let watchers = [
            Plan::new("emptied", "wanda").at(&stack, 0).await,
            Plan::new("emptied", "mila").at(&stack, 1).await,
            Plan::new("emptied", "ana").at(&stack, 2).await,
        ];
        let all = ["ana", "mila", "wanda"];
        for watcher in &watchers {
            watcher.sees(&all).await;
        }
        let told: Vec<usize> = watchers.iter().map(|watcher| watcher.told().len()).collect();
        stack.redis().process().kill().unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        // Meanwhile somebody comes: nothing moves, and they hear what is known.
        let meanwhile = Plan::new("emptied", "eva").at(&stack, 0).await;
        assert_eq!(meanwhile.known().others.len(), 0);
        stack.redis().restart().await.unwrap();
        for watcher in &watchers {
            watcher.sees(&["ana", "eva", "mila", "wanda"]).await;
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        for (watcher, before) in watchers.iter().zip(told) {
            assert_eq!(watcher.told()[before..], ["eva joined"], "{}", watcher.name);
        }
        meanwhile.close().await;
        for watcher in watchers {
            watcher.sees(&all).await;
        }
    });
}

#[test]
fn a_gateway_that_is_cut_off_from_redis_for_a_while_tells_only_what_really_changed() {
    block_on(async {
        let config = StackConfig { gateways: 3, chaos: true, ..StackConfig::default() };
        let stack = Stack::start(config).await.unwrap();
        show(&stack, "cut", 2_000).await;
        let here = Plan::new("cut", "wanda").at(&stack, 0).await;
        let there = Plan::new("cut", "mila").at(&stack, 1).await;
        here.sees(&["mila", "wanda"]).await;
        there.sees(&["mila", "wanda"]).await;
        let before = (here.told().len(), there.told().len());
        stack.gateway(1).links().unwrap().redis.cut().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let new = Plan::new("cut", "ana").at(&stack, 0).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        stack.gateway(1).links().unwrap().redis.restore().await.unwrap();
        there.sees(&["ana", "mila", "wanda"]).await;
        here.sees(&["ana", "mila", "wanda"]).await;
        assert_eq!(there.told()[before.1..], ["ana joined"]);
        assert_eq!(here.told()[before.0..], ["ana joined"]);
        drop((there, new));
        here.close().await;
    });
}

#[test]
fn while_all_gateways_are_replaced_nobody_who_comes_back_is_told_of() {
    block_on(async {
        let stack = stack(false).await;
        show(&stack, "rolling", 10_000).await;
        let mut all = Vec::new();
        for (gateway, names) in [(0, ["ana", "bea"]), (1, ["eva", "fia"]), (2, ["mila", "nora"])] {
            all.extend(people(&stack, "rolling", gateway, &names).await);
        }
        let names = ["ana", "bea", "eva", "fia", "mila", "nora"];
        for person in &all {
            person.sees(&names).await;
            person.known().told.clear();
        }
        for gateway in stack.gateways() {
            gateway.terminate().await.unwrap();
            gateway.restart().await.unwrap();
        }
        // Longer than a dead gateway's people are waited for.
        tokio::time::sleep(Duration::from_secs(14)).await;
        for person in &all {
            person.sees(&names).await;
            assert_eq!(person.told(), Vec::<String>::new(), "{}", person.name);
        }
    });
}
