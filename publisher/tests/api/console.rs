//! Does a session of the console stand for its key, and for nothing that outlives it?

use crate::harness::{Api, Database, Reply, make_key};
use axum::body::Body;
use carillon_platform::config::Tenants as Policy;
use futures_util::future::join_all;
use http::Method;
use serde_json::json;
use std::time::{Duration, Instant};

const SESSION: &str = "/v1/console/session";
const PAGE: (&str, &str) = ("carillon-console", "1");
const NOBODY: (&str, &str) = ("anonymous", "");

async fn call(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    api.call(method, path, headers, Body::empty()).await
}

/// The name and value of the cookie that an answer sets, and what else it says of it.
fn set(reply: &Reply) -> (String, String) {
    let text = reply.header("set-cookie").unwrap();
    let (cookie, says) = text.split_once("; ").unwrap();
    (cookie.to_owned(), says.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stands_for_its_key_and_makes_no_other_session() {
    let api = Api::new().await;
    let key = make_key(&api.database, Some("console-one"), "read", None).await;
    let bearer = format!("Bearer {key}");
    let begun = call(&api, Method::POST, SESSION, &[("authorization", &bearer)]).await;
    assert_eq!((begun.status.as_u16(), &begun.json["kept"]), (201, &json!(true)), "{:?}", begun.json);
    let (cookie, says) = set(&begun);
    assert!(cookie.starts_with("carillon_console=crln_") && !says.contains("Secure"), "{cookie}; {says}");
    let kept = [NOBODY, PAGE, ("cookie", &cookie)];
    let read = call(&api, Method::GET, SESSION, &kept).await;
    assert_eq!((read.status.as_u16(), &read.json["tenant"]), (200, &json!("console-one")), "{:?}", read.json);
    for path in [SESSION, "/v1/console/links"] {
        call(&api, Method::POST, path, &kept).await.problem(403, "session_forbidden");
    }
    // With its key beside the cookie it is the key that asks.
    let with_key = [PAGE, ("cookie", &cookie), ("authorization", &bearer)];
    let link = call(&api, Method::POST, "/v1/console/links", &with_key).await;
    let code = format!("Bearer {}", link.json["code"].as_str().unwrap());
    let by_link = [PAGE, ("cookie", &cookie), ("authorization", &code)];
    assert_eq!(call(&api, Method::POST, SESSION, &by_link).await.status, 201);
    call(&api, Method::POST, SESSION, &by_link).await.problem(401, "code_invalid");
    // A ticket says when the session ends; the key has no end.
    let ticket = call(&api, Method::POST, "/v1/tickets", &kept).await;
    assert_eq!(ticket.status, 201, "{:?}", ticket.json);
    let id = key.split('_').nth(1).unwrap();
    let ends = api.database.sql(&format!(
        "SELECT (t.identity->>'expires_at')::bigint - extract(epoch FROM now())::bigint FROM carillon.tickets t WHERE t.user_id = 'key:{id}'"
    ));
    let ends: i64 = ends.parse().unwrap();
    assert!((43_100..=43_201).contains(&ends), "{ends} s");
    let count = format!("SELECT count(*) FROM carillon.console_sessions WHERE key_id = '{id}'");
    // Beside other credentials nobody has proved the cookie.
    let named = format!("{}_guessed", cookie.rsplit_once('_').unwrap().0);
    let other = call(&api, Method::DELETE, SESSION, &[PAGE, ("cookie", &named)]).await;
    assert_eq!((other.status.as_u16(), api.database.sql(&count).as_str()), (204, "2"));
    let ended = call(&api, Method::DELETE, SESSION, &kept).await;
    assert_eq!(ended.status, 204);
    assert_eq!(api.database.sql(&count), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_makes_changes_and_rotates_no_key_for_those_would_outlive_it() {
    let api = Api::new().await;
    let key = make_key(&api.database, Some("console-keys"), "read,admin", None).await;
    let bearer = format!("Bearer {key}");
    let begun = call(&api, Method::POST, SESSION, &[("authorization", &bearer)]).await;
    let (cookie, _) = set(&begun);
    let id = key.split('_').nth(1).unwrap();
    let own = format!("/v1/api-keys/{id}");
    let json = ("content-type", "application/json");
    let kept = [NOBODY, PAGE, json, ("cookie", &cookie)];
    let with_key = [PAGE, json, ("cookie", &cookie), ("authorization", &bearer)];
    for (method, path, body, status) in [
        (Method::POST, "/v1/api-keys", r#"{"scopes": ["read"]}"#, 201),
        (Method::PUT, &own, r#"{"name": "mine"}"#, 200),
        (Method::POST, &format!("{own}/rotate"), "{}", 201),
    ] {
        let refused = api.call(method.clone(), path, &kept, body).await;
        refused.problem(403, "session_forbidden");
        let made = api.call(method, path, &with_key, body).await;
        assert_eq!(made.status, status, "{path}: {:?}", made.json);
    }
    // It sees keys, and ends them.
    assert_eq!(call(&api, Method::GET, "/v1/api-keys", &kept).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_taken_back_and_two_cookies_are_none() {
    let api = Api::new().await;
    let ended = ("cookie", "carillon_console=crln_none_x");
    call(&api, Method::GET, SESSION, &[NOBODY, PAGE, ended]).await.problem(401, "credentials_invalid");
    let reply = call(&api, Method::DELETE, SESSION, &[NOBODY, PAGE, ended]).await;
    assert_eq!(reply.status, 204, "{:?}", reply.json);
    assert_eq!(set(&reply).0, "carillon_console=");
    assert!(set(&reply).1.contains("Max-Age=0"), "{:?}", set(&reply));
    let twice = ("cookie", "carillon_console=crln_none_x; carillon_console=crln_other_x");
    let refused = call(&api, Method::GET, SESSION, &[NOBODY, PAGE, twice]).await;
    refused.problem(401, "credentials_invalid");
    assert!(refused.json["detail"].as_str().unwrap().contains("twice"), "{:?}", refused.json);
    assert_eq!(call(&api, Method::DELETE, SESSION, &[NOBODY, PAGE, twice]).await.status, 204);
    // Who brings no cookie, or a key that has ended, is told so.
    call(&api, Method::DELETE, SESSION, &[NOBODY, PAGE]).await.problem(401, "credentials_missing");
    let wrong = [("authorization", "Bearer crln_none_x")];
    call(&api, Method::DELETE, SESSION, &wrong).await.problem(401, "credentials_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_https_the_cookie_is_one_that_only_this_host_can_set() {
    let api = Api::new().await;
    let https = ("x-forwarded-proto", "HTTPS, http");
    let begun = call(&api, Method::POST, SESSION, &[https, ("x-api-key", &api.key)]).await;
    let (cookie, says) = set(&begun);
    assert!(cookie.starts_with("__Host-carillon_console=crln_"), "{cookie}");
    assert!(says.contains("Path=/;") && says.ends_with("; Secure"), "{says}");
    assert_eq!(
        call(&api, Method::GET, SESSION, &[NOBODY, PAGE, https, ("cookie", &cookie)]).await.status,
        200
    );
    let plain = cookie.trim_start_matches("__Host-").to_owned();
    call(&api, Method::GET, SESSION, &[NOBODY, PAGE, https, ("cookie", &plain)])
        .await
        .problem(401, "credentials_missing");
}

/// While the database is slow, an address that makes codes up has a few of its own under way and no more.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_codes_waits_behind_its_own() {
    let database = Database::own().await;
    let api = Api::with(database.clone(), Policy::Auto).await;
    let held = database.clone();
    let lock =
        "BEGIN; LOCK TABLE carillon.console_codes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(8); COMMIT";
    let lock = tokio::task::spawn_blocking(move || held.sql(lock));
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'carillon.console_codes'::regclass";
    while database.sql(is_held) == "0" {
        assert!(Instant::now() < deadline, "the table is locked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let looks = tokio::task::spawn_blocking(move || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'carillon.console_codes'::regclass";
        let mut most = 0;
        while database.sql(is_held) != "0" {
            most = most.max(database.sql(waiting).parse::<u32>().unwrap());
        }
        most
    });
    let guesses: Vec<String> = (0..12u8).map(|n| format!("Bearer crlc_{}", code(n))).collect();
    let asked = guesses
        .iter()
        .map(|guess| async { call(&api, Method::POST, SESSION, &[("authorization", guess.as_str())]).await });
    let replies = join_all(asked).await;
    let told = |code: &str| replies.iter().filter(|reply| reply.json["code"] == code).count();
    lock.await.unwrap();
    // Three are asked for at a time at most and meet the lock; whoever does not get a turn is told so.
    let most = looks.await.unwrap();
    assert!((1..=3).contains(&most), "{most} at a time: {replies:?}");
    assert_eq!(told("too_slow") + told("log_busy"), 12, "{replies:?}");
    assert!(told("too_slow") >= 1 && told("log_busy") >= 1, "{replies:?}");
}

/// 32 bytes in the alphabet of URLs, without padding.
fn code(n: u8) -> String {
    let last = char::from(b'A' + n);
    format!("{last}{}", "A".repeat(42))
}
