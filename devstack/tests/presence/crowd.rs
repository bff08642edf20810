//! Is everything right after a crowd has come and gone, again and again?

use super::person::{Person, Plan};
use super::{show, stack};
use crate::wire::{block_on, claims, token};
use carillon_devstack::client::dice::Dice;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::Stack;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

/// Clients that come and go; `CARILLON_TEST_FLAPPING=5000` is the long run.
fn flapping() -> usize {
    std::env::var("CARILLON_TEST_FLAPPING").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

async fn comes_and_goes(stack: &Stack, user: String, mut dice: Dice) -> Option<Socket> {
    let token = token(stack, &claims("flapping", &user));
    for _ in 0..4 {
        let gateway = stack.gateway(dice.below(3));
        let mut wanted = Connect::new(gateway.ws_url(), &token).channels(["branch:1"]);
        wanted.patience = Duration::from_secs(60);
        let (socket, _) = Socket::open(&wanted).await.unwrap();
        tokio::time::sleep(Duration::from_millis(dice.below(400) as u64)).await;
        match dice.below(3) {
            0 => socket.close().await,
            1 => socket.sever(),
            _ => return Some(socket),
        }
    }
    None
}

async fn truth_is_seen(watchers: &[Person], truth: &BTreeSet<String>) {
    for watcher in watchers {
        watcher
            .within(Duration::from_secs(60), "the truth is seen", &mut |known| {
                let members = known.members.as_ref().unwrap();
                known.count == truth.len() as u64
                    && members.len() == truth.len().min(200)
                    && members.keys().all(|user| truth.contains(user))
            })
            .await;
    }
}

#[test]
fn after_a_crowd_has_come_and_gone_everybody_sees_who_is_left() {
    block_on(async {
        let stack = stack(false).await;
        show(&stack, "flapping", 2_000).await;
        let mut watchers = Vec::new();
        for gateway in 0..3 {
            watchers.push(Plan::new("flapping", &format!("watcher-{gateway}")).at(&stack, gateway).await);
        }
        let all =
            (0..flapping()).map(|n| comes_and_goes(&stack, format!("user-{n}"), Dice::seeded(n as u64)));
        let left = join_all(all).await;
        let names = left.iter().enumerate().filter(|(_, socket)| socket.is_some());
        let mut truth: BTreeSet<String> = names.map(|(n, _)| format!("user-{n}")).collect();
        truth.extend(watchers.iter().map(|watcher| watcher.name.clone()));
        truth_is_seen(&watchers, &truth).await;
        let frames = watchers[0].known().frames;
        assert!(frames < 200, "changes are told together: {frames} frames");
        drop(left);
        let truth: BTreeSet<String> = watchers.iter().map(|watcher| watcher.name.clone()).collect();
        truth_is_seen(&watchers, &truth).await;
    });
}
