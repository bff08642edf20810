//! When does somebody type, and when no more?

use super::{PATIENCE, join, next_typing, open_pages, set, signals_until_now, stack, typing};
use crate::wire::{ask, block_on};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn typing_is_told_once_and_ends_by_itself_six_seconds_after_the_last() {
    block_on(async {
        let stack = stack().await;
        open_pages(&stack, "typing").await;
        let mut mila = join(&stack, 0, "typing", "mila", "page:1").await;
        let mut readers = [
            join(&stack, 0, "typing", "ana", "page:1").await,
            join(&stack, 1, "typing", "jan", "page:1").await,
        ];
        let began = Instant::now();
        // Not with `ask`, which passes over what comes before the answer.
        mila.send_json(&typing("page:1", "start")).await.unwrap();
        let told = signals_until_now(&stack, "typing", "page:1", &mut mila).await;
        assert!(told.is_empty(), "whoever types is not told so: {told:?}");
        for _ in 0..9 {
            assert_eq!(
                ask(&mut mila, typing("page:1", "start")).await.0,
                json!({"type": "ok", "id": "start"})
            );
        }
        let last = Instant::now();
        // Starts within three seconds are passed on as one: here the first, and one for all that came after it.
        let most = 2 + last.duration_since(began).as_secs() / 3;
        for reader in &mut readers {
            let mut starts = 0;
            while next_typing(reader, "mila", PATIENCE).await.0 == "start" {
                starts += 1;
            }
            assert!((1..=most).contains(&starts), "{starts} of ten, at most {most}, and then the stop");
        }
        let (took, since_the_last) = (began.elapsed(), last.elapsed());
        assert!(took >= Duration::from_secs(6), "{took:?}");
        assert!(since_the_last < Duration::from_secs(8), "{since_the_last:?}");
        for socket in readers.into_iter().chain([mila]) {
            socket.close().await;
        }
    });
}

#[test]
fn typing_ends_at_once_with_stop_unsubscribe_and_the_connection() {
    block_on(async {
        let stack = stack().await;
        open_pages(&stack, "ends").await;
        let mut reader = join(&stack, 1, "ends", "jan", "page:1").await;
        let soon = Duration::from_secs(3);
        for (user, how) in [("a", "stop"), ("b", "unsubscribe"), ("c", "close"), ("d", "sever")] {
            let mut mila = join(&stack, 0, "ends", user, "page:1").await;
            assert!(ask(&mut mila, typing("page:1", "start")).await.is("ok"));
            assert_eq!(next_typing(&mut reader, user, PATIENCE).await.0, "start", "{how}");
            match how {
                "stop" => mila.send_json(&typing("page:1", "stop")).await.unwrap(),
                "unsubscribe" => {
                    let frame = json!({"type": "unsubscribe", "channel": "page:1"});
                    mila.send_json(&frame).await.unwrap();
                }
                "close" => {
                    mila.close().await;
                    assert_eq!(next_typing(&mut reader, user, soon).await.0, "stop", "{how}");
                    continue;
                }
                _ => {
                    mila.sever();
                    assert_eq!(next_typing(&mut reader, user, soon).await.0, "stop", "{how}");
                    continue;
                }
            }
            assert_eq!(next_typing(&mut reader, user, soon).await.0, "stop", "{how}");
            mila.close().await;
        }
        assert!(signals_until_now(&stack, "ends", "page:1", &mut reader).await.is_empty(), "each once");
        reader.close().await;
    });
}

#[test]
fn a_person_types_as_long_as_one_tab_does_on_whichever_node() {
    block_on(async {
        let stack = stack().await;
        open_pages(&stack, "tabs").await;
        let mut reader = join(&stack, 1, "tabs", "jan", "page:1").await;
        let mut tabs = Vec::new();
        for gateway in [0, 0, 1] {
            tabs.push(join(&stack, gateway, "tabs", "mila", "page:1").await);
            assert!(ask(tabs.last_mut().unwrap(), typing("page:1", "start")).await.is("ok"));
        }
        assert_eq!(next_typing(&mut reader, "mila", PATIENCE).await.0, "start");
        for tab in &mut tabs[..2] {
            assert!(ask(tab, typing("page:1", "stop")).await.is("ok"));
        }
        assert!(signals_until_now(&stack, "tabs", "page:1", &mut reader).await.is_empty(), "one still types");
        assert!(ask(&mut tabs[2], typing("page:1", "stop")).await.is("ok"));
        assert_eq!(next_typing(&mut reader, "mila", PATIENCE).await.0, "stop");
        for socket in tabs.into_iter().chain([reader]) {
            socket.close().await;
        }
    });
}

#[test]
fn a_start_that_is_still_owed_when_the_right_is_withdrawn_is_not_sent() {
    block_on(async {
        let stack = stack().await;
        for n in 0.. {
            let tenant = &format!("withdrawn-typing-{n}");
            open_pages(&stack, tenant).await;
            let mut reader = join(&stack, 1, tenant, "jan", "page:1").await;
            let mut mila = join(&stack, 0, tenant, "mila", "page:1").await;
            let began = Instant::now();
            for _ in 0..2 {
                assert!(ask(&mut mila, typing("page:1", "start")).await.is("ok"));
            }
            let anyone = json!(["anyone"]);
            set(&stack, tenant, "page:{page}", json!({"subscribe": anyone, "publish": anyone})).await;
            while ask(&mut mila, typing("page:1", "start")).await.is("ok") {
                // Each costs a frame of the client's allowance.
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            // The second one is passed on three seconds after the first: the gateway must have heard of the rule before.
            if began.elapsed() >= Duration::from_secs(3) {
                continue;
            }
            assert_eq!(next_typing(&mut reader, "mila", PATIENCE).await.0, "start");
            assert_eq!(next_typing(&mut reader, "mila", PATIENCE).await.0, "stop");
            // Without the rule it would end six seconds after the last.
            assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
            let refused = ask(&mut mila, typing("page:1", "start")).await;
            assert_eq!(refused.code(), Some("forbidden"), "{refused:?}");
            assert!(signals_until_now(&stack, tenant, "page:1", &mut reader).await.is_empty());
            return;
        }
    });
}
