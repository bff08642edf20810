//! Where may a token stand, and which tokens are refused?

use std::time::{Duration, Instant};

use carillon_devstack::client::socket::{Socket, TokenPlace};
use carillon_devstack::stack::Stack;
use carillon_devstack::token::now;
use serde_json::{Value, json};

use crate::wire::raw::{Answer, Raw, refused};
use crate::wire::{PATIENCE, assert_unlogged, block_on, claims, client, open, publish, sign, token};
use crate::{AUDIENCE, ISSUER, PLAIN, PREVIOUS_SECRET, STRICT, stack};

/// `{"alg":"none"}` in base64url.
const ALG_NONE: &str = "eyJhbGciOiJub25lIn0";

#[test]
fn a_token_may_stand_in_each_of_its_places() {
    block_on(async {
        let stack = stack().await;
        let gateway = stack.gateway(PLAIN);
        let mut tokens = Vec::new();
        for (number, (place, protocol)) in [
            (TokenPlace::Header, None),
            (TokenPlace::Subprotocol, Some("carillon.v1")),
            (TokenPlace::Query, None),
            (TokenPlace::FirstFrame, None),
        ]
        .into_iter()
        .enumerate()
        {
            let wanted = client(&stack, gateway, &claims("places", &format!("u{number}"))).place(place);
            tokens.push(wanted.token.clone());
            let (socket, welcome) = Socket::open(&wanted).await.unwrap();
            assert_eq!(
                (welcome.tenant.as_str(), welcome.user),
                ("places", format!("u{number}")),
                "{place:?}"
            );
            assert_eq!(socket.protocol(), protocol, "{place:?}");
            socket.close().await;
        }
        assert_unlogged(&stack, &tokens);
    });
}

/// What a URL has no room for: through most balancers it ends long before a thousand channels.
#[test]
fn a_first_frame_says_what_a_url_says_and_wins_over_it() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let claims = claims("first-frame", "anna").channels(["contact:*"]);
        let good = token(&stack, &claims);
        let begin = publish(&stack, "first-frame", &["contact:1"], json!({})).await;
        let said = async |path: &str, more: Value| {
            let mut raw = Raw::upgrade(addr, path, &[]).await.unwrap();
            let mut frame = json!({"type": "auth", "token": good});
            frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            raw.text(&frame.to_string()).await;
            raw
        };
        let resumes = json!({
            "channels": ["contact:1"], "device": "phone", "tenant": "first-frame",
            "since": begin.seq - 1, "epoch": begin.epoch,
        });
        let mut raw = said("/v1/ws?channels=contact:2&since=7&epoch=other&last=7:x", resumes).await;
        let welcome = raw.json().await;
        assert_eq!((&welcome["resumed"], &welcome["seq"]), (&"replay".into(), &(begin.seq - 1).into()));
        assert_eq!(welcome["channels"], json!(["tenant", "user:anna", "contact:1"]));
        assert_eq!(raw.json().await["seq"], begin.seq);
        // What the frame does not say the URL may.
        let welcome = said("/v1/ws?channels=contact:2", json!({"since": begin.seq})).await.json().await;
        assert_eq!(welcome["channels"], json!(["tenant", "user:anna", "contact:2"]));
        for (more, code) in [
            (json!({"channels": ["lead:1"]}), 4403),
            (json!({"tenant": "elsewhere"}), 4403),
            (json!({"channels": ["a b"]}), 4400),
            (json!({"channels": "contact:1"}), 4400),
            (json!({"since": -1}), 4400),
            (json!({"device": "a/b"}), 4400),
            (json!({"channels": (0..999).map(|n| format!("contact:{n}")).collect::<Vec<_>>()}), 4400),
        ] {
            let (closed, reason) = said("/v1/ws", more.clone()).await.closed().await;
            assert_eq!(closed, code, "{more}: {reason}");
            assert!(!reason.is_empty(), "{more}");
        }
        // A refresh brings a token and nothing else.
        let mut raw = said("/v1/ws", json!({})).await;
        assert_eq!(raw.json().await["type"], "welcome");
        let refresh = json!({"type": "auth", "id": 1, "token": good, "channels": ["a b"], "since": -1});
        raw.text(&refresh.to_string()).await;
        assert_eq!(raw.json().await["type"], "ok");
    });
}

#[test]
fn what_a_client_asks_for_is_read_when_its_token_is_known() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let good = token(&stack, &claims("unread", "anna"));
        let bad = format!("{good}x");
        let said = async |path: &str, token: &str, more: Value| {
            let mut raw = Raw::upgrade(addr, path, &[]).await.expect("nobody has read the URL");
            let mut frame = json!({"type": "auth", "token": token});
            frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            raw.text(&frame.to_string()).await;
            raw.closed().await
        };
        for (path, more, name) in [
            ("/v1/ws?since=-1", json!({}), "since"),
            ("/v1/ws?channels=a%20b", json!({"channels": ["also bad"]}), "channels"),
            ("/v1/ws?tenant=unread&tenant=unread", json!({}), "tenant"),
            ("/v1/ws?lastEventId=7", json!({}), "lastEventId"),
            ("/v1/ws", json!({"device": "a/b"}), "auth: device"),
        ] {
            assert_eq!(said(path, &bad, more.clone()).await.0, 4401, "{path} {more}");
            let (code, reason) = said(path, &good, more.clone()).await;
            assert_eq!(code, 4400, "{path} {more}");
            assert!(reason.starts_with(name), "{path} {more}: {reason}");
        }
        // Another first frame than auth is told so, whatever else is wrong with it.
        let mut raw = Raw::upgrade(addr, "/v1/ws", &[]).await.unwrap();
        raw.text(r#"{"type":"subscribe","channels":["a b"]}"#).await;
        assert_eq!(raw.closed().await.0, 4401);
    });
}

#[test]
fn the_first_place_that_has_a_token_counts() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let good = token(&stack, &claims("places", "anna"));
        let query = format!("/v1/ws?token={good}");
        let protocols = format!("carillon.v1, bearer.{good}");
        let bad_header = [("Authorization", "Bearer a.b.c"), ("Sec-WebSocket-Protocol", &protocols)];
        refused(addr, &query, &bad_header).await.assert_problem(401, "token_malformed");
        let bad_protocol = [("Sec-WebSocket-Protocol", "carillon.v1, bearer.a.b.c")];
        refused(addr, &query, &bad_protocol).await.assert_problem(401, "token_malformed");
        let basic = refused(addr, &query, &[("Authorization", "Basic YTpi")]).await;
        basic.assert_problem(401, "token_missing");
        let scheme = format!("bEARER   {good}");
        assert!(Raw::upgrade(addr, "/ws", &[("Authorization", &scheme)]).await.is_ok());
    });
}

#[test]
fn a_subprotocol_is_selected_only_when_offered_and_a_token_is_never_echoed() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let good = token(&stack, &claims("places", "anna"));
        let mut raw = Raw::connect(addr).await;
        let offered = format!("bearer.{good}, mqtt, carillon.v1");
        raw.send(crate::wire::raw::handshake("/v1/ws", &[("Sec-WebSocket-Protocol", &offered)])).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("carillon.v1")));
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        assert!(!answer.head.contains(&good));
        for (bad, code) in [
            ("carillon.v1, bearer.", "websocket_protocol"),
            ("bearer.a, bearer.b", "websocket_protocol"),
            ("carillon.v1, bearer.a b", "websocket_protocol"),
        ] {
            let answer = refused(addr, "/v1/ws", &[("Sec-WebSocket-Protocol", bad)]).await;
            answer.assert_problem(400, code);
        }
    });
}

#[test]
fn without_a_token_in_the_handshake_the_first_frame_must_bring_one() {
    block_on(async {
        let stack = stack().await;
        let addr = stack.gateway(PLAIN).addr();
        let late = async {
            let begun = Instant::now();
            let mut raw = Raw::upgrade(addr, "/v1/ws", &[]).await.unwrap();
            let (code, _) = raw.closed().await;
            assert_eq!(code, 4401);
            assert!(begun.elapsed() > Duration::from_millis(4_500), "{:?}", begun.elapsed());
        };
        let others = async {
            let foreign =
                json!({"type": "auth", "token": token(&stack, &claims("theirs", "anna"))}).to_string();
            let unsigned =
                json!({"type": "auth", "token": sign(&json!({}), "not the secret at all")}).to_string();
            for (path, first, code) in [
                ("/v1/ws", r#"{"type":"ping"}"#, 4401),
                ("/v1/ws", r#"{"type":"subscribe","channel":"tenant"}"#, 4401),
                ("/v1/ws", "not JSON", 4401),
                ("/v1/ws", r#"{"type":"auth"}"#, 4401),
                ("/v1/ws", r#"{"type":"auth","token":"a.b.c"}"#, 4401),
                ("/v1/ws", &unsigned, 4401),
                ("/v1/ws?tenant=ours", &foreign, 4403),
                ("/v1/ws?channels=secret:1", &foreign, 4403),
            ] {
                let mut raw = Raw::upgrade(addr, path, &[]).await.unwrap();
                raw.text(first).await;
                assert_eq!(raw.closed().await.0, code, "{path} {first}");
            }
        };
        tokio::join!(late, others);
    });
}

#[test]
fn what_is_sent_right_behind_the_first_frame_is_answered_after_the_welcome() {
    block_on(async {
        let stack = stack().await;
        let anna = token(&stack, &claims("eager", "anna").channels(["contact:*"]));
        let mut raw = Raw::connect(stack.gateway(PLAIN).addr()).await;
        let mut all = crate::wire::raw::handshake("/v1/ws", &[]).into_bytes();
        let frames = [
            json!({"type": "auth", "token": anna}),
            json!({"type": "subscribe", "channel": "contact:1", "id": 1}),
            json!({"type": "ping", "id": 2}),
        ];
        for frame in frames {
            all.extend(crate::wire::raw::frame(crate::wire::raw::TEXT, frame.to_string().as_bytes()));
        }
        raw.send(all).await;
        assert_eq!(raw.answer().await.unwrap().status, 101);
        for (kind, id) in [("welcome", Value::Null), ("ok", json!(1)), ("pong", json!(2))] {
            let frame = raw.json().await;
            assert_eq!((frame["type"].as_str(), &frame["id"]), (Some(kind), &id), "{frame}");
        }
    });
}

/// Refused before the upgrade, with a code; the token stands in no byte of the answer.
async fn assert_refused(stack: &Stack, gateway: usize, token: &str, code: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let answer = refused(stack.gateway(gateway).addr(), "/v1/ws", &[("Authorization", &bearer)]).await;
    answer.assert_problem(401, code);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"carillon\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.head.contains(token) && !answer.body.contains(token), "{answer:?}");
    answer
}

#[test]
fn a_bad_token_is_401_with_a_code_and_leaves_no_trace() {
    block_on(async {
        let stack = stack().await;
        let secret = stack.jwt_secret();
        let good = token(&stack, &claims("acme", "anna"));
        let parts: Vec<&str> = good.split('.').collect();
        let (header, payload, signature) = (parts[0], parts[1], parts[2]);
        let with = |more: Value| {
            let mut all = json!({"sub": "anna", "tenant": "acme", "exp": now() + 600});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sign(&all, secret)
        };
        let other = token(&stack, &claims("acme", "boss"));
        let forged = format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap());
        let cases = [
            (with(json!({"exp": now() - 1})), "token_expired"),
            (with(json!({"exp": null})), "token_claims"),
            (with(json!({"exp": "tomorrow"})), "token_claims"),
            (with(json!({"exp": 1e300})), "token_claims"),
            (with(json!({"nbf": now() + 600})), "token_not_yet_valid"),
            (with(json!({"iat": now() + 600})), "token_not_yet_valid"),
            (with(json!({"sub": null})), "token_claims"),
            (with(json!({"sub": "line\nbreak"})), "token_claims"),
            (with(json!({"sub": "x".repeat(129)})), "token_claims"),
            (with(json!({"tenant": "Not A Tenant"})), "token_claims"),
            (with(json!({"roles": "admin"})), "token_claims"),
            (with(json!({"channels": ["a*b"]})), "token_claims"),
            (sign(&json!([1, 2, 3]), secret), "token_malformed"),
            (sign(&json!({"sub": "anna"}), "another secret of enough bytes"), "token_signature"),
            (forged, "token_signature"),
            (format!("{header}.{payload}."), "token_signature"),
            (format!("{ALG_NONE}.{payload}."), "token_signature"),
            (format!("{ALG_NONE}.{payload}.{signature}"), "token_signature"),
            (format!("{header}.{payload}"), "token_malformed"),
            (format!("{good}.{signature}"), "token_malformed"),
            (format!("{header}.{payload}.{signature}="), "token_malformed"),
            ("garbage-that-is-no-token".into(), "token_malformed"),
            (format!("{header}.{payload}.{}", "A".repeat(8 * 1024)), "token_malformed"),
            (with(json!({"pad": "x".repeat(9_000)})), "token_malformed"),
        ];
        for (bad, code) in &cases {
            assert_refused(&stack, PLAIN, bad, code).await;
        }
        let named: Vec<String> = cases.into_iter().map(|(bad, _)| bad).collect();

        // The same in the other places.
        let gateway = stack.gateway(PLAIN);
        let expired = with(json!({"exp": now() - 1}));
        for place in [TokenPlace::Subprotocol, TokenPlace::Query] {
            let mut wanted = client(&stack, gateway, &claims("acme", "anna")).place(place);
            wanted.token.clone_from(&expired);
            let error = Socket::open(&wanted).await.unwrap_err();
            assert!(error.to_string().contains("401 token_expired"), "{place:?}: {error}");
        }
        let mut raw = Raw::upgrade(gateway.addr(), "/v1/ws", &[]).await.unwrap();
        raw.text(&json!({"type": "auth", "token": expired}).to_string()).await;
        let (code, reason) = raw.closed().await;
        assert_eq!(code, 4401);
        assert!(!reason.contains(&expired));
        assert_unlogged(&stack, &named);
        assert_unlogged(&stack, &[expired, secret.to_owned(), PREVIOUS_SECRET.to_owned()]);
    });
}

#[test]
fn audience_and_issuer_are_checked_where_they_are_configured() {
    block_on(async {
        let stack = stack().await;
        // A registered installation serves only tenants that exist: now this one does.
        open(&stack, stack.gateway(PLAIN), &claims("acme", "anna")).await.0.close().await;
        let with = |aud: Value, iss: Value| {
            let all = json!({"sub": "anna", "tenant": "acme", "exp": now() + 600, "aud": aud, "iss": iss});
            sign(&all, stack.jwt_secret())
        };
        for (aud, iss, code) in [
            (json!(null), json!(ISSUER), "token_audience"),
            (json!("carillon2"), json!(ISSUER), "token_audience"),
            (json!(["a", "b"]), json!(ISSUER), "token_audience"),
            (json!({AUDIENCE: true}), json!(ISSUER), "token_audience"),
            (json!(AUDIENCE), json!(null), "token_issuer"),
            (json!(AUDIENCE), json!("https://id.example.evil"), "token_issuer"),
            (json!(AUDIENCE), json!([ISSUER]), "token_issuer"),
        ] {
            assert_refused(&stack, STRICT, &with(aud, iss), code).await;
        }
        for aud in [json!(AUDIENCE), json!(["a", AUDIENCE])] {
            Raw::member(stack.gateway(STRICT).addr(), &with(aud, json!(ISSUER))).await;
        }
    });
}

#[test]
fn the_previous_secret_is_still_good_and_a_token_in_the_url_can_be_switched_off() {
    block_on(async {
        let stack = stack().await;
        let old = claims("acme", "anna").sign(PREVIOUS_SECRET).unwrap();
        Raw::member(stack.gateway(PLAIN).addr(), &old).await;

        let good = sign(
            &json!({"sub": "anna", "tenant": "acme", "exp": now() + 600, "aud": AUDIENCE, "iss": ISSUER}),
            stack.jwt_secret(),
        );
        let strict = stack.gateway(STRICT).addr();
        let answer = refused(strict, &format!("/v1/ws?token={good}"), &[]).await;
        answer.assert_problem(401, "token_malformed");
        assert!(!answer.body.contains(&good));
        Raw::member(strict, &good).await;
        assert_unlogged(&stack, &[good, old]);
    });
}

#[test]
fn a_refused_first_frame_is_answered_within_the_deadline_even_when_nothing_more_comes() {
    block_on(async {
        let stack = stack().await;
        // Half a frame is no first frame.
        let mut raw = Raw::upgrade(stack.gateway(PLAIN).addr(), "/v1/ws", &[]).await.unwrap();
        raw.send(&crate::wire::raw::frame(crate::wire::raw::TEXT, br#"{"type":"auth""#)[..9]).await;
        assert_eq!(raw.closed().await.0, 4401);
        assert!(raw.until_gone(PATIENCE).await, "and the socket is given up soon after");
    });
}
