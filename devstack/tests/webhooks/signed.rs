//! Do the public libraries of Standard Webhooks take what is sent? (Those of Python and JavaScript: loadtest/interop.)

use super::receiver::{Message, OK, Receiver};
use super::{act, publish, put, stack, until};
use http::HeaderMap;
use serde_json::json;
use standardwebhooks::Webhook;

fn is_taken(message: &Message, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, message.header(name).parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(&message.body, &headers).is_ok()
}

#[test]
fn the_public_library_takes_every_message_and_both_secrets_during_a_rotation() {
    super::wire::block_on(async {
        let (stack, receiver) = (stack().await, Receiver::start(|_| OK).await);
        publish(&stack, "signed", "a", 1).await;
        let before = put(&stack, "signed", "main", json!({"url": receiver.url})).await["secret"].clone();
        let before = before.as_str().unwrap();
        publish(&stack, "signed", "order.paid", 1).await;
        until("it has arrived", async || receiver.messages().len() == 1).await;
        let (status, rotated) = act(&stack, "signed", "main", "rotate", json!({})).await;
        let after = rotated["secret"].as_str().unwrap();
        assert!(status == 200 && rotated["secret_before_until"].is_string() && after != before, "{rotated}");
        publish(&stack, "signed", "order.paid", 1).await;
        until("it has arrived", async || receiver.messages().len() == 2).await;
        let messages = receiver.messages();
        assert_eq!([before, after].map(|secret| is_taken(&messages[0], secret)), [true, false]);
        assert_eq!([before, after].map(|secret| is_taken(&messages[1], secret)), [true, true]);
        let signatures: Vec<&str> = messages[1].header("webhook-signature").split(' ').collect();
        assert!(
            signatures.len() == 2 && signatures.iter().all(|one| one.starts_with("v1,")),
            "{signatures:?}"
        );
        // A day later the secret before signs no more.
        let age = "UPDATE carillon.webhooks SET before_until = now() WHERE tenant_id = 'signed'";
        stack.sql(age).await.unwrap();
        publish(&stack, "signed", "order.paid", 1).await;
        until("it has arrived", async || receiver.messages().len() == 3).await;
        let last = &receiver.messages()[2];
        assert_eq!([before, after].map(|secret| is_taken(last, secret)), [false, true]);
        let mut altered = last.clone();
        altered.body.push(b' ');
        assert!(!is_taken(&altered, after));
    });
}
