//! Does whoever asks hear of connections and channels, and nobody else?

use super::receiver::{OK, Receiver};
use super::wire::{claims, open};
use super::{put, stack, until};
use serde_json::{Value, json};

/// What has come about this: type, and how many connections there are.
fn about(receiver: &Receiver, name: &str, value: &str) -> Vec<(String, u64)> {
    let all = receiver.messages();
    let all = all.iter().map(super::receiver::Message::json).filter(|event| event["data"][name] == value);
    let told = |event: Value| {
        (event["type"].as_str().unwrap().to_owned(), event["data"]["connections"].as_u64().unwrap())
    };
    all.map(told).collect()
}

#[test]
fn connections_and_channels_are_told_in_order_to_webhooks_that_name_them_and_to_no_other() {
    super::wire::block_on(async {
        let stack = stack().await;
        let (asking, other, some) =
            (Receiver::start(|_| OK).await, Receiver::start(|_| OK).await, Receiver::start(|_| OK).await);
        let all = ["connection.opened", "connection.closed", "channel.occupied", "channel.vacated"];
        put(&stack, "door", "all", json!({"url": asking.url, "types": all})).await;
        put(&stack, "door", "other", json!({"url": other.url})).await;
        let few = json!({"url": some.url, "types": all, "channels": ["user:ana"]});
        put(&stack, "door", "some", few).await;
        let mila = claims("door", "mila");
        let (first, welcome) = open(&stack, stack.gateway(0), &mila).await;
        until("she has come", async || about(&asking, "user", "mila").len() == 1).await;
        let (second, _) = open(&stack, stack.gateway(0), &mila).await;
        until("she has come twice", async || about(&asking, "user", "mila").len() == 2).await;
        drop(second);
        until("one has gone", async || about(&asking, "user", "mila").len() == 3).await;
        drop(first);
        until("both have gone", async || about(&asking, "user", "mila").len() == 4).await;
        let told = |kind: &str, count: u64| (kind.to_owned(), count);
        let mine = [
            told("connection.opened", 1),
            told("connection.opened", 2),
            told("connection.closed", 1),
            told("connection.closed", 0),
        ];
        assert_eq!(about(&asking, "user", "mila"), mine);
        let own = [told("channel.occupied", 1), told("channel.vacated", 0)];
        // Each channel is told of by itself.
        for channel in ["user:mila", "tenant"] {
            until("her channel is empty", async || about(&asking, "channel", channel).len() >= 2).await;
            assert_eq!(about(&asking, "channel", channel), own, "{channel}");
        }
        let message = asking
            .messages()
            .into_iter()
            .map(|message| message.json())
            .find(|event| event["type"] == "connection.opened");
        let event = message.unwrap();
        assert_eq!((&event["source"], &event["subject"]), (&json!("carillon"), &json!("mila")), "{event}");
        assert_eq!(
            (&event["data"]["connection"], &event["data"]["transport"]),
            (&json!(welcome.connection), &json!("websocket"))
        );
        let (_third, _) = open(&stack, stack.gateway(0), &claims("door", "ana")).await;
        until("ana has come", async || about(&some, "user", "ana").len() == 1).await;
        until("her channel is told", async || about(&some, "channel", "user:ana").len() == 1).await;
        assert_eq!((some.messages().len(), other.messages().len()), (2, 0));
    });
}
