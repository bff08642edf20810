//! Does a back end hear all that its API key may read, over each way of listening, and nothing once the key has ended?

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::{Connect, Socket, SocketError, TokenPlace};
use carillon_devstack::stack::{KeyTenant, Stack};
use serde_json::json;

use crate::wire::{self, PATIENCE, block_on, claims, client, is_ascending, publish, token};
use crate::{PLAIN, events_to, listen, seqs, stack};

async fn key(stack: &Stack, tenant: KeyTenant<'_>, scopes: &[&str]) -> String {
    stack.create_api_key(tenant, scopes).await.unwrap()
}

fn socket(stack: &Stack, key: &str) -> Connect {
    let mut connect = Connect::new(stack.gateway(PLAIN).ws_url(), key);
    connect.patience = PATIENCE;
    connect
}

fn listener(stack: &Stack, key: &str) -> Listen {
    Listen::new(&stack.gateway(PLAIN).url(), key).unwrap()
}

/// Events of every kind of channel; the last is in `contact:9`.
async fn publish_some(stack: &Stack, tenant: &str) -> Vec<u64> {
    let mut seqs = Vec::new();
    for channels in [
        &["tenant"][..],
        &["user:anna"],
        &["role:staff", "user:bob"],
        &["contact:1", "contact:2", "tenant"],
        &["order:7"],
        &["contact:9"],
    ] {
        seqs.push(publish(stack, tenant, channels, json!({})).await.seq);
    }
    seqs
}

#[test]
fn i3_a_key_that_may_read_hears_every_event_of_its_tenant_once() {
    block_on(async {
        let stack = stack().await;
        let reads = key(&stack, KeyTenant::One("svc-all"), &["read"]).await;
        let mut sockets = Vec::new();
        for place in [TokenPlace::Header, TokenPlace::Subprotocol, TokenPlace::Query, TokenPlace::FirstFrame]
        {
            let (open, welcome) = Socket::open(&socket(&stack, &reads).place(place)).await.unwrap();
            assert_eq!((welcome.tenant.as_str(), welcome.roles.len()), ("svc-all", 0), "{place:?}");
            sockets.push(open);
        }
        let mut stream = listener(&stack, &reads).stream().await.unwrap();
        let begin = listener(&stack, &reads).poll(None).await.unwrap().cursor;
        publish(&stack, "svc-other", &["tenant"], json!({})).await;
        let sent = publish_some(&stack, "svc-all").await;
        let last = *sent.last().unwrap();
        for socket in &mut sockets {
            assert_eq!(wire::seqs(&wire::events_to(socket, last).await), sent);
        }
        stream.next_of("welcome", PATIENCE).await.unwrap();
        assert_eq!(seqs(&events_to(&mut stream, last).await), sent);
        let mut polled = Vec::new();
        let mut cursor = begin;
        while cursor.seq < last {
            let page = listener(&stack, &reads).since(cursor).poll(None).await.unwrap();
            polled.extend(wire::seqs(&page.events));
            cursor = page.cursor;
        }
        assert_eq!(polled, sent);
        // Subscribing is allowed everywhere, and what it is in already comes once.
        let (mut again, _) = Socket::open(&socket(&stack, &reads)).await.unwrap();
        let ok = wire::ask(
            &mut again,
            json!({"type": "subscribe", "id": 1, "channels": ["contact:1", "user:anna"]}),
        )
        .await;
        assert!(ok.is("ok"), "{ok:?}");
        let more = publish_some(&stack, "svc-all").await;
        assert_eq!(wire::seqs(&wire::events_to(&mut again, more[5]).await), more);
    });
}

#[test]
fn i4_a_back_end_resumes_from_the_log_with_the_patterns_it_names() {
    block_on(async {
        let stack = stack().await;
        let reads = key(&stack, KeyTenant::All, &["read"]).await;
        let mut wanted = Vec::new();
        let mut everything = Vec::new();
        let first = publish(&stack, "svc-resume", &["order:0"], json!({})).await;
        everything.push(first.seq);
        // More than the rings keep: the first of them come from the log.
        for _ in 0..20 {
            let sent = publish_some(&stack, "svc-resume").await;
            wanted.extend([sent[3], sent[4], sent[5]]);
            everything.extend(sent);
        }
        let last = *everything.last().unwrap();
        let mut all = socket(&stack, &reads).since(Cursor::new(0, &first.epoch));
        all.tenant = Some("svc-resume".into());
        let (mut open, welcome) = Socket::open(&all).await.unwrap();
        assert_eq!(welcome.resumed, "replay");
        assert_eq!(wire::seqs(&wire::events_to(&mut open, last).await), everything);
        let (mut open, _) = Socket::open(&all.clone().channels(["contact:*", "order:7"])).await.unwrap();
        let seen = wire::seqs(&wire::events_to(&mut open, last).await);
        assert!(seen == wanted && is_ascending(&seen), "{seen:?}");
        // Live it is the same.
        let sent = publish_some(&stack, "svc-resume").await;
        assert_eq!(wire::seqs(&wire::events_to(&mut open, sent[5]).await), [sent[3], sent[4], sent[5]]);
        let mut stream = listener(&stack, &reads).channels(["contact:*"]).since(Cursor::new(0, &first.epoch));
        stream.tenant = Some("svc-resume".into());
        let mut stream = stream.stream().await.unwrap();
        let seen = seqs(&events_to(&mut stream, sent[5]).await);
        assert_eq!(seen.len(), 2 * 21, "two of six");
    });
}

#[test]
fn what_a_key_may_not_is_refused_by_name() {
    block_on(async {
        let stack = stack().await;
        let writes = key(&stack, KeyTenant::One("svc-refused"), &["publish"]).await;
        let reads = key(&stack, KeyTenant::One("svc-refused"), &["read"]).await;
        let all = key(&stack, KeyTenant::All, &["read"]).await;
        let forged = format!("{reads}x");
        let anna = token(&stack, &claims("svc-refused", "anna").channels(["contact:*"]));
        for (key, tenant, channels, status, code) in [
            (writes.as_str(), None, vec![], 403, "missing_scope"),
            (&forged, None, vec![], 401, "credentials_invalid"),
            ("crln_nobody_secret", None, vec![], 401, "credentials_invalid"),
            ("crln_", None, vec![], 401, "credentials_invalid"),
            (&reads, Some("svc-other"), vec![], 403, "tenant_forbidden"),
            (&all, None, vec![], 403, "tenant_required"),
            (&reads, None, vec!["a*b*"], 400, "invalid_query"),
            (&anna, None, vec!["contact:*"], 400, "invalid_query"),
        ] {
            let mut wanted = socket(&stack, key).channels(channels.clone());
            wanted.tenant = tenant.map(str::to_owned);
            let mut listens = listener(&stack, key).channels(channels);
            listens.tenant = wanted.tenant.clone();
            let refusals = [
                Socket::connect(&wanted).await.err(),
                listens.stream().await.err(),
                listens.poll(None).await.err(),
            ];
            for refusal in refusals {
                let Some(SocketError::Refused { status: told, code: named, .. }) = &refusal else {
                    panic!("{code}: {refusal:?}")
                };
                assert_eq!((*told, named.as_str()), (status, code));
            }
        }
        let late = Socket::connect(&socket(&stack, &writes).place(TokenPlace::FirstFrame)).await;
        assert_eq!(late.unwrap().ended(PATIENCE).await.close_code(), Some(4403));
        wire::assert_unlogged(&stack, &[writes, reads, all]);
    });
}

#[test]
fn a_connection_ends_with_its_key_and_no_other_does() {
    block_on(async {
        let stack = stack().await;
        let ends = key(&stack, KeyTenant::One("svc-ends"), &["read"]).await;
        let stays = key(&stack, KeyTenant::One("svc-ends"), &["read"]).await;
        let (mut ending, _) = Socket::open(&socket(&stack, &ends)).await.unwrap();
        let (mut staying, _) = Socket::open(&socket(&stack, &stays)).await.unwrap();
        let anna = claims("svc-ends", "anna");
        let (mut person, _) = Socket::open(&client(&stack, stack.gateway(PLAIN), &anna)).await.unwrap();
        // Another key, and a person, take no connection over.
        for other in [stays.clone(), token(&stack, &anna)] {
            let refused = wire::ask(&mut ending, json!({"type": "auth", "id": 1, "token": other})).await;
            assert_eq!(refused.0["code"], "token_mismatch", "{refused:?}");
        }
        let ok = wire::ask(&mut ending, json!({"type": "auth", "id": 2, "token": ends})).await;
        assert!(ok.is("ok"), "{ok:?}");
        let id = ends.split('_').nth(1).unwrap();
        stack
            .sql(&format!("UPDATE carillon.api_keys SET revoked_at = now() WHERE id = '{id}'"))
            .await
            .unwrap();
        assert_eq!(ending.ended(PATIENCE).await.close_code(), Some(4401));
        let last = publish(&stack, "svc-ends", &["tenant"], json!({})).await.seq;
        for socket in [&mut staying, &mut person] {
            wire::events_to(socket, last).await;
        }
        let back = listen(&stack, PLAIN, &anna).poll(None).await;
        assert!(back.is_ok(), "{back:?}");
    });
}
