//! What becomes of signals while Redis is away, and of somebody's typing whose node dies?

use super::{PATIENCE, join, moved, next_signal, next_typing, open_pages, signals_until_now, typing};
use crate::wire::{ask, block_on};
use carillon_devstack::stack::{Stack, StackConfig};
use std::time::{Duration, Instant};

#[test]
fn without_redis_signals_stay_on_their_node_and_a_dead_node_types_no_more() {
    block_on(async {
        let stack = Stack::start(StackConfig::default()).await.unwrap();
        let tenant = "faults";
        open_pages(&stack, tenant).await;
        let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
        let mut same = join(&stack, 0, tenant, "ana", "page:1").await;
        let mut other = join(&stack, 1, tenant, "jan", "page:1").await;
        stack.redis().process().kill().unwrap();
        let began = Instant::now();
        let mut n = 1;
        while ask(&mut mila, moved("page:1", n)).await.0["degraded"] != true {
            assert!(began.elapsed() < PATIENCE, "the answer says that it stays here");
            n += 1;
        }
        let last = n;
        loop {
            if next_signal(&mut same).await.event()["data"]["n"] == last {
                break;
            }
        }
        let signals = signals_until_now(&stack, tenant, "page:1", &mut other).await;
        assert!(signals.iter().all(|signal| signal.event()["data"]["n"] != last), "{signals:?}");

        stack.redis().restart().await.unwrap();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "it reaches others again");
            n += 1;
            let answer = ask(&mut mila, moved("page:1", n)).await;
            // Until this very one is there: of those before none may come later.
            let mut here = false;
            while !here && let Ok(signal) = other.next_of("signal", Duration::from_millis(200)).await {
                here = signal.event()["data"]["n"] == n;
            }
            if answer.0.get("degraded").is_none() && here {
                break;
            }
        }
        signals_until_now(&stack, tenant, "page:1", &mut other).await;

        assert!(ask(&mut mila, typing("page:1", "start")).await.is("ok"));
        assert_eq!(next_typing(&mut other, "mila", PATIENCE).await.0, "start");
        stack.gateway(0).kill().unwrap();
        let (state, took) = next_typing(&mut other, "mila", PATIENCE).await;
        assert_eq!(state, "stop");
        assert!(took < Duration::from_secs(8), "{took:?}");
        other.close().await;
        stack.stop().await.unwrap();
    });
}
