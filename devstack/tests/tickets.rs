//! Does a ticket let one handshake in, on one node of many, as whom the token named?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use carillon_devstack::client::socket::{Connect, Socket, TokenPlace};
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use wire::{PATIENCE, Shared, block_on, claims, token};

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(async || Stack::start(StackConfig::default()).await.unwrap()).await
}

async fn post(stack: &Stack, bearer: &str, body: &'static str) -> (u16, Value) {
    let url = format!("{}/v1/tickets", stack.publisher(0).url());
    let request = reqwest::Client::new().post(url).bearer_auth(bearer).body(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn ticket(stack: &Stack, claims: &Claims) -> String {
    let (status, answer) = post(stack, &token(stack, claims), "{}").await;
    assert_eq!((status, &answer["expires_in"]), (201, &json!(30)), "{answer}");
    answer["ticket"].as_str().unwrap().to_owned()
}

/// With a ticket in the URL and nothing else.
fn with_ticket(stack: &Stack, gateway: usize, ticket: &str) -> Connect {
    let url = format!("{}?ticket={ticket}", stack.gateway(gateway).ws_url());
    Connect { patience: PATIENCE, ..Connect::new(url, "").place(TokenPlace::Nowhere) }
}

/// Opens a WebSocket by a ticket, as a browser does: it says nothing itself.
async fn enter(stack: &Stack, gateway: usize, ticket: &str) -> Result<(Socket, Value), String> {
    let mut socket =
        Socket::connect(&with_ticket(stack, gateway, ticket)).await.map_err(|error| format!("{error:?}"))?;
    let welcome = socket.next_of("welcome", PATIENCE).await.map_err(|error| format!("{error:?}"))?;
    Ok((socket, welcome.0))
}

#[test]
fn a_ticket_lets_in_whom_the_token_named_and_once() {
    block_on(async {
        let stack = stack().await;
        let mila = claims("tickets", "mila").roles(["desk"]).channels(["contact:*"]);
        let text = ticket(&stack, &mila).await;
        let (mut socket, welcome) = enter(&stack, 0, &text).await.unwrap();
        assert_eq!((&welcome["tenant"], &welcome["user"]), (&json!("tickets"), &json!("mila")));
        assert_eq!(welcome["roles"], json!(["desk"]));
        let expires = welcome["expires_in"].as_u64().unwrap();
        assert!((3_500..=3_600).contains(&expires), "as the token does: {expires}");
        let joined =
            wire::ask(&mut socket, json!({"type": "subscribe", "id": 1, "channels": ["contact:1"]})).await;
        assert!(joined.is("ok"), "{joined:?}");
        // It goes on with a token of the same person.
        let fresh = token(&stack, &mila);
        let refreshed = wire::ask(&mut socket, json!({"type": "auth", "id": 2, "token": fresh})).await;
        assert!(refreshed.is("ok"), "{refreshed:?}");
        for gateway in [0, 1] {
            let refused = enter(&stack, gateway, &text).await.err().unwrap();
            assert!(refused.contains("401") && refused.contains("ticket_invalid"), "{refused}");
        }
        socket.close().await;
        // An event stream, too; a poll is refused by name, and its ticket is still good.
        let text = ticket(&stack, &mila).await;
        let get = async |path: &str| {
            reqwest::get(format!("{}{path}ticket={text}", stack.gateway(0).url())).await.unwrap()
        };
        let refused = get("/v1/poll?").await;
        assert_eq!(refused.status(), 400);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_query");
        assert!(problem["detail"].as_str().unwrap().contains("ticket"), "{problem}");
        let stream = get("/v1/sse?channels=contact:1&").await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let mut stream = stream;
        let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(first.contains("\"welcome\"") && first.contains("\"mila\""), "{first}");
    });
}

#[test]
fn of_two_handshakes_that_race_on_two_nodes_one_gets_in() {
    block_on(async {
        let stack = stack().await;
        let mila = claims("race", "mila");
        for round in 0..60 {
            let text = ticket(&stack, &mila).await;
            let both = tokio::join!(enter(&stack, 0, &text), enter(&stack, 1, &text));
            let (ok, refused) = match both {
                (Ok(ok), Err(refused)) | (Err(refused), Ok(ok)) => (ok, refused),
                (one, other) => panic!("round {round}: {:?} {:?}", one.err(), other.err()),
            };
            assert!(refused.contains("ticket_invalid"), "{refused}");
            ok.0.close().await;
        }
        assert_eq!(
            stack.sql("select count(*) from carillon.tickets where tenant_id = 'race'").await.unwrap().trim(),
            "0"
        );
    });
}

#[test]
fn a_ticket_of_an_api_key_lets_the_key_in_where_a_token_may_stand() {
    block_on(async {
        let stack = stack().await;
        let url = format!("{}/v1/tickets?tenant=keys", stack.publisher(0).url());
        let asked = reqwest::Client::new().post(url).bearer_auth(stack.api_key()).body("{}");
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        let text = answer["ticket"].as_str().unwrap();
        // In the first frame, as a page sends its token.
        let url = format!("{}?tenant=keys", stack.gateway(0).ws_url());
        let connect =
            Connect { patience: PATIENCE, ..Connect::new(&url, text).place(TokenPlace::FirstFrame) };
        let mut socket = Socket::connect(&connect).await.unwrap();
        let welcome = socket.next_of("welcome", PATIENCE).await.unwrap().0;
        assert_eq!(welcome["tenant"], json!("keys"));
        assert!(welcome["user"].as_str().unwrap().starts_with("key:"), "{welcome}");
        let refused = enter(&stack, 0, text).await.err().unwrap();
        assert!(refused.contains("ticket_invalid"), "it works once: {refused}");
    });
}

/// A session of the console ends before the key it stands for, and so does the connection that its ticket opened.
#[test]
fn a_connection_by_a_sessions_ticket_ends_with_the_session() {
    block_on(async {
        let stack = stack().await;
        let (http, publisher) = (reqwest::Client::new(), stack.publisher(0).url());
        let begun =
            http.post(format!("{publisher}/v1/console/session")).bearer_auth(stack.api_key()).send().await;
        let begun = begun.unwrap();
        assert_eq!(begun.status(), 201);
        let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let id = cookie.split('_').nth(2).unwrap();
        let sooner = format!(
            "update carillon.console_sessions set expires_at = now() + interval '5 s' where id = '{id}'"
        );
        stack.sql(&sooner).await.unwrap();
        let asked = http.post(format!("{publisher}/v1/tickets?tenant=console")).header("cookie", cookie);
        let answer: Value = asked.header("carillon-console", "1").send().await.unwrap().json().await.unwrap();
        let text = answer["ticket"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let (mut socket, welcome) = enter(&stack, 0, text).await.unwrap();
        // Whole seconds, rounded up on the way twice.
        assert!(welcome["expires_in"].as_u64().is_some_and(|left| left <= 6), "{welcome}");
        let ended = socket.ended(PATIENCE).await;
        assert_eq!(ended.close_code(), Some(4401), "{ended}");
    });
}

#[test]
fn what_is_no_ticket_and_who_may_have_none_is_told() {
    block_on(async {
        let stack = stack().await;
        for text in ["", "crlt_", "crlt_AAAA", "nonsense", &format!("crlt_{}", "A".repeat(43))] {
            let refused = enter(&stack, 0, text).await.err().unwrap();
            assert!(refused.contains("401") && refused.contains("ticket_invalid"), "{text}: {refused}");
        }
        let (status, answer) = post(&stack, stack.api_key(), "{}").await;
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!("invalid_parameter")),
            "for which tenant? {answer}"
        );
        let mila = token(&stack, &claims("bounded", "mila"));
        let (status, answer) = post(&stack, &mila, r#"{"user": "ana"}"#).await;
        assert_eq!((status, &answer["code"]), (400, &json!("invalid_body")), "{answer}");
        for _ in 0..16 {
            assert_eq!(post(&stack, &mila, "").await.0, 201);
        }
        let (status, answer) = post(&stack, &mila, "{}").await;
        assert_eq!((status, &answer["code"]), (429, &json!("too_many_tickets")), "{answer}");
        let ana = token(&stack, &claims("bounded", "ana"));
        assert_eq!(post(&stack, &ana, "{}").await.0, 201, "another person");
        // A ticket is for one tenant.
        let text = ticket(&stack, &claims("tickets", "ana")).await;
        let mut other = with_ticket(&stack, 0, &text);
        other.tenant = Some("race".into());
        let refused = format!("{:?}", Socket::connect(&other).await.err().unwrap());
        assert!(refused.contains("403") && refused.contains("tenant_forbidden"), "{refused}");
    });
}

#[test]
fn a_ticket_ends_after_thirty_seconds_or_with_its_token_and_is_in_no_log() {
    block_on(async {
        let stack = stack().await;
        let text = ticket(&stack, &claims("late", "mila")).await;
        let age =
            "update carillon.tickets set expires_at = now() - interval '1 second' where tenant_id = 'late'";
        stack.sql(age).await.unwrap();
        let refused = enter(&stack, 0, &text).await.err().unwrap();
        assert!(refused.contains("ticket_invalid"), "{refused}");
        let short = ticket(&stack, &Claims::new("late", "ana", now(), 6)).await;
        tokio::time::sleep(Duration::from_millis(6_100)).await;
        let refused = enter(&stack, 0, &short).await.err().unwrap();
        assert!(refused.contains("401") && refused.contains("token_expired"), "{refused}");
        let used = ticket(&stack, &claims("late", "mila")).await;
        let (socket, _) = enter(&stack, 0, &used).await.unwrap();
        socket.close().await;
        let logs = std::fs::read_dir(stack.folder().join("log")).unwrap();
        let mut read = 0;
        for log in logs {
            let log = std::fs::read_to_string(log.unwrap().path()).unwrap();
            read += log.len();
            for secret in [&text, &short, &used] {
                assert!(!log.contains(secret.trim_start_matches("crlt_")), "{log}");
            }
        }
        assert!(read > 0, "there are logs");
        let stored =
            stack.sql("select count(*) from carillon.tickets where identity::text like '%crlt_%'").await;
        assert_eq!(stored.unwrap().trim(), "0");
    });
}
