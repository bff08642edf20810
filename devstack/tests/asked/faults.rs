//! An application that is slow, down, lies or answers nonsense: is it never a yes, and does nobody else notice?

use super::application::{Application, Reply, raw, yes};
use super::{put, set_application, set_rule, stack, subscribe, tenant_that_asks};
use crate::wire::{block_on, claims, client, events_to, open, publish, seqs};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn nothing_but_a_clear_yes_in_time_is_a_yes_and_other_channels_are_untouched() {
    block_on(async {
        let stack = stack().await;
        let elsewhere = Application::start(|_| yes(300)).await;
        let target = elsewhere.url.clone();
        let application = Application::start(move |asked| match asked["channel"].as_str().unwrap() {
            "order:text" => Reply::Json(json!({"allow": "yes"})),
            "order:one" => Reply::Json(json!({"allow": 1})),
            "order:long" => Reply::Json(json!({"allow": true, "ttl": 86_400})),
            "order:json" => raw("200 OK", "", "{\"allow\": true"),
            "order:html" => raw("200 OK", "", "<html>allow</html>"),
            "order:500" => raw("500 Internal Server Error", "", "{\"allow\": true}"),
            "order:201" => raw("201 Created", "", "{\"allow\": true}"),
            "order:moved" => raw("307 Temporary Redirect", &format!("location: {target}\r\n"), ""),
            "order:inside" => raw("302 Found", "location: http://169.254.169.254/latest\r\n", ""),
            "order:large" => Reply::Json(json!({"allow": true, "padding": "x".repeat(1_000_000)})),
            "order:cut" => {
                Reply::Raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"allow\": true}".into())
            }
            "order:noise" => Reply::Raw("allow: true\r\n\r\n".into()),
            "order:silent" => Reply::Silence,
            _ => yes(300),
        })
        .await;
        tenant_that_asks(&stack, "liar", &application).await;
        let mila = claims("liar", "mila").channels(["contact:*"]);
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        assert!(subscribe(&mut socket, "order:good").await.is("ok"));
        assert!(subscribe(&mut socket, "contact:1").await.is("ok"));
        for kind in [
            "text", "one", "long", "json", "html", "500", "201", "moved", "inside", "large", "cut", "noise",
            "silent",
        ] {
            let (channel, began) = (format!("order:{kind}"), Instant::now());
            let refused = subscribe(&mut socket, &channel).await;
            let told = (refused.code().map(str::to_owned), refused.channels());
            assert_eq!(told, (Some("unavailable".into()), vec![channel.clone()]), "{refused:?}");
            assert!(began.elapsed() < Duration::from_secs(3), "{kind}: {:?}", began.elapsed());
            let seq = publish(&stack, "liar", &[&channel, "contact:1"], json!({})).await.seq;
            assert_eq!(seqs(&events_to(&mut socket, seq).await), [seq], "{kind}: still in the others");
        }
        assert_eq!(elsewhere.asked(), 0, "nobody follows a redirect");
        let text = stack.gateway(0).metrics().await.unwrap();
        for reason in ["status", "answer", "too_large", "timeout", "connection"] {
            let line = format!("carillon_ask_unavailable_total{{reason=\"{reason}\"}}");
            assert!(text.lines().any(|own| own.starts_with(&line) && !own.ends_with(" 0")), "{line}");
        }
        socket.close().await;
    });
}

#[test]
fn an_application_that_is_down_is_told_at_every_way_in() {
    block_on(async {
        let stack = stack().await;
        // A port that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}/", free.local_addr().unwrap().port());
        drop(free);
        set_rule(&stack, "down", "order:{order}", json!({"subscribe": ["ask"]})).await;
        set_application(&stack, "down", &url).await;
        let mila = claims("down", "mila");
        let (mut socket, _) = open(&stack, stack.gateway(0), &mila).await;
        assert_eq!(subscribe(&mut socket, "order:1").await.code(), Some("unavailable"));
        socket.close().await;
        let wanted = client(&stack, stack.gateway(0), &mila).channels(["order:1"]);
        let error = format!("{:?}", Socket::open(&wanted).await.unwrap_err());
        assert!(error.contains("503") && error.contains("unavailable"), "{error}");
        let token = crate::wire::token(&stack, &mila);
        let read = format!("{}/v1/events?channel=order:1", stack.publisher(0).url());
        let answer = reqwest::Client::new().get(read).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "ask_unavailable");
    });
}

/// Questions of one tenant that are under way at a time.
const AT_A_TIME: usize = 32;

#[test]
fn a_tenant_with_a_slow_application_delays_no_other() {
    block_on(async {
        let stack = stack().await;
        let slow = Application::start(|_| Reply::Silence).await;
        let quick = Application::start(|_| yes(300)).await;
        tenant_that_asks(&stack, "slow", &slow).await;
        tenant_that_asks(&stack, "quick", &quick).await;
        let mut waiting = Vec::new();
        for user in 0..12 {
            let (socket, _) = open(&stack, stack.gateway(0), &claims("slow", &format!("u{user}"))).await;
            waiting.push(socket);
        }
        let (mut mila, _) = open(&stack, stack.gateway(0), &claims("quick", "mila")).await;
        for socket in &mut waiting {
            for order in 0..8 {
                let frame = json!({"type": "subscribe", "channels": [format!("order:{order}")]});
                socket.send_json(&frame).await.unwrap();
            }
        }
        wait::until(
            "as many questions as one tenant may have under way",
            Duration::from_secs(10),
            || async { (slow.most() >= AT_A_TIME).then_some(()) },
        )
        .await
        .unwrap();
        // Later, whoever has just been given up may still be counted beside the next one.
        assert_eq!(slow.most(), AT_A_TIME, "of 96 questions");
        let began = Instant::now();
        assert!(subscribe(&mut mila, "order:1").await.is("ok"));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        for socket in &mut waiting {
            for _ in 0..8 {
                let told = socket.next_of("error", crate::wire::PATIENCE).await.unwrap();
                assert_eq!(told.code(), Some("unavailable"));
            }
        }
        mila.close().await;
    });
}

#[test]
fn a_wrong_url_is_refused_with_its_place() {
    block_on(async {
        let stack = stack().await;
        for url in [
            json!("ftp://app.example/"),
            json!("http://10.0.0.1/"),
            json!("http://169.254.169.254/"),
            json!("http://[::ffff:10.0.0.1]/"),
            json!("https://u:p@app.example/"),
            json!("app"),
            json!(7),
        ] {
            let (status, answer) = put(&stack, "/v1/tenants/wrong", json!({"authorize_url": url})).await;
            assert_eq!((status, &answer["code"]), (422, &json!("invalid_settings")), "{answer}");
            assert_eq!(answer["errors"][0]["pointer"], "/authorize_url", "{answer}");
        }
    });
}
