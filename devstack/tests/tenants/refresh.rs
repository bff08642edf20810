//! What does a new token change for a connection that is in several tenants?

use super::{attach, come_into, events_until, open, person, stack, tell};
use crate::wire::{PATIENCE, ask, block_on, publish, token};
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::stack::Stack;
use carillon_devstack::token::{Claims, now};
use serde_json::json;

async fn refresh(stack: &Stack, socket: &mut Socket, claims: &Claims) -> Frame {
    ask(socket, json!({"type": "auth", "id": "refresh", "token": token(stack, claims)})).await
}

#[test]
fn a_refresh_keeps_what_the_new_token_names_with_the_roles_there_and_leaves_the_others() {
    block_on(async {
        let stack = stack().await;
        let (a, b, c) = ("fresh-1", "fresh-2", "fresh-3");
        let mut socket =
            open(&stack, 0, &person("ana", &[(a, "director"), (b, "director"), (c, "director")])).await;
        come_into(&mut socket, attach(b)).await;
        come_into(&mut socket, attach(c)).await;
        let after = person("ana", &[(a, "teacher"), (c, "director")]);
        socket
            .send_json(&json!({"type": "auth", "id": "refresh", "token": token(&stack, &after)}))
            .await
            .unwrap();
        let detached = socket.next_frame(PATIENCE).await.unwrap();
        assert!(detached.is("detached") && detached.text("tenant") == Some(b), "{detached:?}");
        assert_eq!(detached.text("reason"), Some("token"), "{detached:?}");
        let ok = socket.next_frame(PATIENCE).await.unwrap();
        assert!(ok.is("ok") && ok.number("expires_in").is_some_and(|left| left > 3_500), "{ok:?}");
        // Of the roles each tenant has its own.
        let of = |tenant: &str| json!({"of": tenant});
        publish(&stack, a, &["role:director"], of(a)).await;
        publish(&stack, b, &["tenant"], of(b)).await;
        let own = publish(&stack, a, &["role:teacher"], of(a)).await.seq;
        let other = publish(&stack, c, &["role:director"], of(c)).await.seq;
        let heard = events_until(&mut socket, &[(a, own), (c, other)]).await;
        assert_eq!((&heard[a], &heard[c], heard.get(b)), (&vec![own], &vec![other], None));
        // It may not come back with a token that does not name it.
        assert_eq!(ask(&mut socket, attach(b)).await.code(), Some("forbidden"));
        socket.close().await;
    });
}

#[test]
fn a_refresh_that_names_none_of_them_or_is_somebody_else_s_changes_nothing() {
    block_on(async {
        let stack = stack().await;
        let (a, b) = ("firm-1", "firm-2");
        let mut socket = open(&stack, 1, &person("ana", &[(a, "x"), (b, "x")])).await;
        come_into(&mut socket, attach(b)).await;
        for (other, code) in [
            (person("ana", &[("firm-3", "x")]), "tenant_forbidden"),
            (person("bob", &[(a, "x"), (b, "x")]), "token_mismatch"),
        ] {
            assert_eq!(refresh(&stack, &mut socket, &other).await.code(), Some(code));
        }
        let seqs = [(a, tell(&stack, a).await), (b, tell(&stack, b).await)];
        events_until(&mut socket, &seqs).await;
        socket.close().await;
    });
}

#[test]
fn the_end_of_the_token_is_told_once_and_is_the_end_of_all() {
    block_on(async {
        let stack = stack().await;
        let short = Claims { exp: now() + 16, ..person("ana", &[("brief-1", "x"), ("brief-2", "x")]) };
        let mut socket = open(&stack, 0, &short).await;
        come_into(&mut socket, attach("brief-2")).await;
        let expiring = socket.next_of("expiring", PATIENCE).await.unwrap();
        assert_eq!(expiring.text("tenant"), None, "{expiring:?}");
        let next = socket.next_frame(PATIENCE).await;
        assert!(matches!(next, Err(SocketError::Closed { code: 4401, .. })), "{next:?}");
    });
}
