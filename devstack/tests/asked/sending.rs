//! Who may publish, signal and see people where a rule leaves that to the application?

use super::application::{Application, no, raw, yes};
use super::{set_application, set_rule, stack};
use crate::wire::{PATIENCE, ask, block_on, claims, open, token};
use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A tenant in whose `page:` and `order:` channels this application decides who says something and who is seen.
async fn tenant(stack: &Stack, tenant: &str, application: &Application) {
    let (anyone, left) = (json!(["anyone"]), json!(["ask"]));
    let page = json!({"subscribe": anyone, "publish": left, "signal": left, "presence": left, "presence_grace_ms": 500, "rate": 1000});
    set_rule(stack, tenant, "page:{page}", page).await;
    let order = json!({"subscribe": anyone, "publish": left, "durable": true, "rate": 1000});
    set_rule(stack, tenant, "order:{order}", order).await;
    set_application(stack, tenant, &application.url).await;
}

async fn joined(stack: &Stack, gateway: usize, tenant: &str, user: &str, channel: &str) -> Socket {
    let (mut socket, _) = open(stack, stack.gateway(gateway), &claims(tenant, user)).await;
    let answer = ask(&mut socket, json!({"type": "subscribe", "id": "in", "channel": channel})).await;
    assert!(answer.is("ok"), "{answer:?}");
    socket
}

fn publish(channel: &str, n: usize) -> Value {
    json!({"type": "publish", "id": n, "channel": channel, "event": {"type": "x", "id": format!("e-{n}"), "data": n}})
}

fn actions(application: &Application, action: &str) -> usize {
    application.questions().iter().filter(|asked| asked.body["action"] == action).count()
}

async fn refused(socket: &mut Socket, frame: Value) -> String {
    let answer: Frame = ask(socket, frame).await;
    answer.code().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[test]
fn the_application_decides_who_publishes_and_types_and_is_asked_once_for_as_long_as_its_yes_holds() {
    block_on(async {
        let stack = stack().await;
        let application =
            Application::start(|asked| if asked["user"] == "mila" { yes(300) } else { no() }).await;
        tenant(&stack, "sends", &application).await;
        let mut ana = joined(&stack, 0, "sends", "ana", "page:1").await;
        let mut mila = joined(&stack, 1, "sends", "mila", "page:1").await;
        application.takes(Duration::from_millis(1_700));
        // Sent together, they wait for one verdict and go on in their order; what needs none does not wait.
        for n in 1..=5 {
            mila.send_json(&publish("page:1", n)).await.unwrap();
        }
        let (quick, before) = mila.ask(&json!({"type": "ping", "id": "quick"}), PATIENCE).await.unwrap();
        assert!(quick.is("pong"), "{quick:?}");
        assert!(before.iter().all(|frame| frame.0["id"].is_null()), "{before:?}");
        for n in 1..=5 {
            assert_eq!(ana.next_of("signal", PATIENCE).await.unwrap().event()["data"], n);
        }
        application.takes(Duration::ZERO);
        for n in 6..=50 {
            assert!(ask(&mut mila, publish("page:1", n)).await.is("ok"));
        }
        assert_eq!(actions(&application, "publish"), 1);
        let body =
            application.questions().into_iter().find(|asked| asked.body["action"] == "publish").unwrap().body;
        assert_eq!((&body["user"], &body["channel"]), (&json!("mila"), &json!("page:1")));
        let typing =
            |state: &str| json!({"type": "typing", "id": state, "channel": "page:1", "state": state});
        assert!(ask(&mut mila, typing("start")).await.is("ok"));
        loop {
            let signal = ana.next_of("signal", PATIENCE).await.unwrap();
            if signal.event()["type"] == "typing" {
                break;
            }
        }
        assert_eq!(actions(&application, "signal"), 1);
        // Into the log the publisher asks, too.
        let stored = ask(&mut mila, publish("order:7", 51)).await;
        assert!(stored.is("ok") && stored.seq().is_some(), "{stored:?}");
        // Whom it does not let is told so.
        assert_eq!(refused(&mut ana, publish("page:1", 1)).await, "forbidden");
        assert_eq!(refused(&mut ana, publish("order:7", 1)).await, "forbidden");
        assert_eq!(refused(&mut ana, typing("start")).await, "forbidden");
        // A command is asked about as a frame is.
        let url = format!("{}/v1/commands", stack.gateway(0).url());
        let say = async |user: &str| {
            let token = token(&stack, &claims("sends", user));
            let request =
                reqwest::Client::new().post(&url).bearer_auth(token).body(publish("page:1", 60).to_string());
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            answer["type"].clone()
        };
        assert_eq!((say("mila").await, say("ana").await), (json!("ok"), json!("error")));
        mila.close().await;
        ana.close().await;
    });
}

#[test]
fn without_a_verdict_nothing_is_sent_and_a_changed_setting_is_asked_anew() {
    block_on(async {
        let stack = stack().await;
        let application = Application::start(|_| raw("500 No", "", "")).await;
        tenant(&stack, "silent", &application).await;
        let mut mila = joined(&stack, 0, "silent", "mila", "page:1").await;
        assert_eq!(refused(&mut mila, publish("page:1", 1)).await, "unavailable");
        assert_eq!(refused(&mut mila, publish("order:1", 1)).await, "unavailable");
        let typing = json!({"type": "typing", "id": 1, "channel": "page:1", "state": "start"});
        assert_eq!(refused(&mut mila, typing).await, "unavailable");
        // Over REST, too, and then with another answer.
        let token = token(&stack, &claims("silent", "mila"));
        let post = async || {
            let url = format!("{}/v1/events", stack.publisher(0).url());
            let body = json!({"type": "x", "channel": "order:1", "data": 1});
            let answer =
                reqwest::Client::new().post(url).bearer_auth(&token).json(&body).send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap()["code"].clone())
        };
        assert_eq!(post().await, (503, json!("ask_unavailable")));
        application.says(|_| yes(300));
        assert!(ask(&mut mila, publish("page:1", 2)).await.is("ok"));
        assert_eq!(post().await.0, 201);
        // More than may wait is refused by name, and the rest goes on.
        application.takes(Duration::from_millis(700));
        for n in 0..40 {
            mila.send_json(&publish(&format!("page:{}", 100 + n), n)).await.unwrap();
        }
        let (mut ok, mut too_many) = (0, 0);
        while ok + too_many < 40 {
            let frame = mila.next_frame(PATIENCE).await.unwrap();
            ok += usize::from(frame.is("ok"));
            if frame.is("error") {
                assert_eq!(frame.code(), Some("too_many_requests"), "{frame:?}");
                too_many += 1;
            }
        }
        assert!(too_many >= 1 && ok >= 32, "{ok} {too_many}");
        application.takes(Duration::ZERO);
        // All verdicts of before are forgotten with the setting.
        application.says(|_| no());
        set_application(&stack, "silent", &application.url).await;
        let deadline = Instant::now() + super::FOLLOWED;
        while ask(&mut mila, publish("page:1", 3)).await.code() != Some("forbidden") {
            assert!(Instant::now() < deadline, "the change is followed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        mila.close().await;
    });
}

#[test]
fn the_application_decides_who_is_seen_and_who_sees() {
    block_on(async {
        let stack = stack().await;
        let application =
            Application::start(|asked| if asked["user"] == "otto" { no() } else { yes(2) }).await;
        tenant(&stack, "seen", &application).await;
        let mila = joined(&stack, 0, "seen", "mila", "page:1").await;
        let otto = joined(&stack, 1, "seen", "otto", "page:1").await;
        let (mut ana, _) = open(&stack, stack.gateway(1), &claims("seen", "ana")).await;
        let watch = json!({"type": "subscribe", "id": 1, "channel": "page:1", "presence": true});
        let mut known: Vec<String> = Vec::new();
        let answer = ask(&mut ana, watch.clone()).await;
        let names = |list: &Value| -> Vec<String> {
            let users =
                list.as_array().into_iter().flatten().map(|one| one["user"].as_str().unwrap().to_owned());
            users.collect()
        };
        known.extend(names(&answer.0["presence"]["page:1"]["members"]));
        while !(known.contains(&"mila".into()) && known.contains(&"ana".into())) {
            let frame = ana.next_of("presence", PATIENCE).await.unwrap();
            known.extend(names(&frame.0["joined"]));
        }
        assert!(!known.contains(&"otto".into()), "{known:?}");
        let (mut elsewhere, _) = open(&stack, stack.gateway(0), &claims("seen", "otto")).await;
        assert_eq!(refused(&mut elsewhere, watch.clone()).await, "forbidden");
        let look = json!({"type": "presence", "id": 2, "channel": "page:1"});
        assert_eq!(refused(&mut elsewhere, look).await, "forbidden");
        // Over REST as well.
        let seen = async |user: &str| {
            let token = token(&stack, &claims("seen", user));
            let url = format!("{}/v1/presence/page:1", stack.publisher(0).url());
            let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
            answer.status().as_u16()
        };
        assert_eq!((seen("ana").await, seen("otto").await), (200, 403));
        // When its yes is over it is asked again, and a no takes them out of sight.
        application.says(|asked| if asked["user"] == "ana" { yes(2) } else { no() });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame =
                ana.next_of("presence", deadline.saturating_duration_since(Instant::now())).await.unwrap();
            if frame.0["left"] == json!(["mila"]) {
                break;
            }
        }
        // Who watches and may no more is told so.
        application.says(|_| no());
        let told = ana.next_of("error", PATIENCE).await.unwrap();
        assert_eq!(
            (told.code(), told.channels()),
            (Some("presence_forbidden"), vec!["page:1".to_owned()]),
            "{told:?}"
        );
        for socket in [mila, otto, ana, elsewhere] {
            socket.close().await;
        }
    });
}
