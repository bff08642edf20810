//! Are the rooms of a namespace the channels that the operator has named for it?

use super::client::Engine;
use super::polling::Polling;
use super::wire::{block_on, claims, publish, token};
use super::{connected, open_pages};
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};

async fn in_namespace(stack: &Stack, gateway: usize, tenant: &str, user: &str, more: Value) -> Engine {
    let mut auth = json!({"token": token(stack, &claims(tenant, user))});
    for (name, value) in more.as_object().into_iter().flatten() {
        auth[name] = value.clone();
    }
    let mut engine = Engine::open(stack.gateway(gateway), "", &[]).await;
    engine.send(format!("40/pages,{auth}")).await;
    let welcome = engine.packet_of("0/pages,").await;
    assert!(welcome["sid"].is_string(), "{welcome}");
    engine
}

/// The next event with this name in `/pages`.
async fn next(engine: &mut Engine, name: &str) -> Value {
    loop {
        let event = engine.packet_of("2/pages,").await;
        if event[0] == json!(name) {
            return event;
        }
    }
}

/// Emits in `/pages`; what the callback gets.
async fn call(engine: &mut Engine, id: u64, event: Value) -> Value {
    engine.send(format!("42/pages,{id}{event}")).await;
    engine.packet_of(&format!("3/pages,{id}")).await[0].clone()
}

#[test]
fn the_rooms_of_a_namespace_are_channels_that_begin_with_what_the_operator_says() {
    block_on(async {
        let env = [("CARILLON_SOCKETIO_NAMESPACES", "/pages=page:,/vaults=vault:")];
        let gateway_env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let stack = Stack::start(StackConfig { gateway_env, ..StackConfig::default() }).await.unwrap();
        let tenant = "door-namespaces";
        open_pages(&stack, tenant).await;
        let mut mila = in_namespace(&stack, 0, tenant, "mila", json!({"channels": ["1"]})).await;
        let welcome = next(&mut mila, "carillon:welcome").await;
        assert!(welcome[1]["channels"].as_array().unwrap().contains(&json!("1")), "{welcome}");
        let more = json!({"channels": ["page:1", "page:2"]});
        let mut bo = connected(&stack, 1, tenant, "bo", more).await;
        bo.next("carillon:welcome").await;
        // What is published to a channel comes with the name of its room, and to everybody else with the channel's.
        let seq = publish(&stack, tenant, &["page:1"], json!(1)).await.seq;
        let event = next(&mut mila, "wire.test").await;
        assert_eq!((&event[2]["channels"], &event[2]["seq"]), (&json!(["1"]), &json!(seq)));
        let event = bo.next("wire.test").await;
        assert_eq!((&event[2]["channels"], &event[2]["seq"]), (&json!(["page:1"]), &json!(seq)));
        // A room is joined, and what is emitted to it is for its channel.
        let ok = call(&mut mila, 7, json!(["join", "2"])).await;
        assert_eq!((&ok["type"], &ok["channels"]), (&json!("ok"), &json!(["2"])));
        assert_eq!(call(&mut mila, 8, json!(["moved", {"room": "2", "x": 1}])).await["type"], json!("ok"));
        let signal = bo.next("moved").await;
        assert_eq!((&signal[1]["x"], &signal[2]["channel"]), (&json!(1), &json!("page:2")));
        let refused = call(&mut mila, 9, json!(["join", "user:bo"])).await;
        assert_eq!(refused["code"], json!("forbidden"), "what the platform names has one name everywhere");
        // A connection is in one namespace, and one that is not there is said to be none.
        for (packet, code) in
            [("40/vaults,{}", "one_namespace"), ("40{}", "one_namespace"), ("40/x,{}", "invalid_namespace")]
        {
            mila.send(packet).await;
            let begin = packet.replace("40", "4").replace("{}", "");
            assert_eq!(mila.packet_of(&begin).await["data"]["code"], json!(code), "{packet}");
        }
        assert_eq!(call(&mut mila, 10, json!(["ping"])).await["type"], json!("pong"), "it goes on");
        // Who has no right to a channel has none under another name.
        let mut engine = Engine::open(stack.gateway(0), "", &[]).await;
        let auth = json!({"token": token(&stack, &claims(tenant, "eve")), "channels": ["1"]});
        engine.send(format!("40/vaults,{auth}")).await;
        assert_eq!(engine.packet_of("4/vaults,").await["data"]["code"], json!("forbidden"));
    });
}

/// The position and the rooms are the log's, whatever a namespace calls them.
#[test]
fn i3_who_recovers_in_a_namespace_is_where_it_was() {
    block_on(async {
        let gateway_env = vec![("CARILLON_SOCKETIO_NAMESPACES".to_owned(), "/pages=page:".to_owned())];
        let stack = Stack::start(StackConfig { gateway_env, ..StackConfig::default() }).await.unwrap();
        let tenant = "door-namespace-back";
        open_pages(&stack, tenant).await;
        let auth = json!({"token": token(&stack, &claims(tenant, "mila")), "recovery": true});
        let mut mila = Engine::open(stack.gateway(0), "", &[]).await;
        mila.send(format!("40/pages,{auth}")).await;
        let pid = mila.packet_of("0/pages,").await["pid"].clone();
        mila.send("42/pages,1[\"join\",\"3\"]").await;
        let kept = loop {
            let event = next(&mut mila, "carillon:recovery").await;
            if event[1]["recoverable"] == json!(true) {
                break event;
            }
        };
        drop(mila);
        let missed = publish(&stack, tenant, &["page:3"], json!(1)).await.seq;
        let mut back = auth.clone();
        (back["pid"], back["offset"]) = (pid.clone(), kept[2].clone());
        let mut mila = Engine::open(stack.gateway(1), "", &[]).await;
        mila.send(format!("40/pages,{back}")).await;
        assert_eq!(mila.packet_of("0/pages,").await["pid"], pid, "it has recovered");
        let event = next(&mut mila, "wire.test").await;
        assert_eq!((&event[2]["channels"], &event[2]["seq"]), (&json!(["3"]), &json!(missed)));
    });
}

/// Who polls in a namespace is known as in the main one: it is not given up after 10 s, and may send larger bodies.
#[test]
fn who_polls_in_a_namespace_is_known() {
    block_on(async {
        let gateway_env = vec![("CARILLON_SOCKETIO_NAMESPACES".to_owned(), "/pages=page:".to_owned())];
        let stack = Stack::start(StackConfig { gateway_env, ..StackConfig::default() }).await.unwrap();
        let tenant = "door-namespace-polls";
        open_pages(&stack, tenant).await;
        let mut mila = Polling::begin(stack.gateway(0)).await;
        let auth = json!({"token": token(&stack, &claims(tenant, "mila")), "channels": ["1"]});
        let answer = mila.enter("/pages", &auth).await;
        assert!(answer.starts_with("40/pages,{\"sid\""), "{answer}");
        let emit = |id: u32| format!("42/pages,{id}[\"publish\",\"1\",\"note\",\"{}\"]", "x".repeat(15_000));
        mila.say(&(1..=8).map(emit).collect::<Vec<_>>().join("\u{1e}")).await;
        for id in 1..=8 {
            let answer = mila.next(&format!("43/pages,{id}[")).await;
            assert!(answer.contains("\"ok\""), "{answer}");
        }
    });
}
