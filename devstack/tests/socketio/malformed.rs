//! What becomes of what is no packet, and of requests that are none of Engine.IO?

use super::client::{Engine, url};
use super::wire::{block_on, claims, token};
use super::{connected, stack};
use carillon_protocol::CloseCode;
use serde_json::{Value, json};

/// Sends something and expects the connection to end with the code of a protocol error.
async fn ends(mut engine: Engine, text: &str) {
    engine.send(text).await;
    loop {
        match engine.message().await {
            Ok(_) => {}
            Err(code) => return assert_eq!(code, Some(CloseCode::ProtocolError.code()), "{text:?}"),
        }
    }
}

#[test]
fn whatever_is_no_packet_ends_its_connection_and_no_other() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-malformed");
        let mut bystander = connected(&stack, 0, tenant, "jan", Value::Null).await;
        for text in [
            "",
            "7",
            "abc",
            "1x",
            "4",
            "49",
            "42",
            "42{}",
            "42[1]",
            "42[\"a\"",
            "42[\"connect\"]",
            "451[\"a\"]",
        ] {
            ends(connected(&stack, 0, tenant, "mila", Value::Null).await, text).await;
        }
        // Before CONNECT nothing else is taken, and to a namespace that is not there nothing is said.
        ends(Engine::open(stack.gateway(0), "", &[]).await, "42[\"join\",\"a\"]").await;
        ends(Engine::open(stack.gateway(0), "", &[]).await, "42/admin,[\"join\"]").await;
        assert_eq!(bystander.call(json!(["ping"])).await["type"], json!("pong"));
    });
}

#[test]
fn binary_arguments_are_refused_to_their_callback_and_attachments_wait_for_nobody() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-binary");
        let mut mila = connected(&stack, 0, tenant, "mila", Value::Null).await;
        // The attachment never comes.
        mila.send("451-7[\"photo\",{\"_placeholder\":true,\"num\":0}]").await;
        let answer = mila.packet_of("37").await;
        assert_eq!(answer[0]["code"], json!("invalid_frame"), "{answer}");
        mila.send("451-8[\"photo\",{\"_placeholder\":true,\"num\":0}]").await;
        mila.send_binary(&[1, 2, 3]).await.unwrap();
        let answer = mila.packet_of("38").await;
        assert_eq!(answer[0]["code"], json!("invalid_frame"), "{answer}");
        assert_eq!(mila.call(json!(["ping"])).await["type"], json!("pong"), "it goes on");
    });
}

#[test]
fn a_request_that_is_none_of_engine_io_gets_the_protocol_s_error() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-http");
        let gateway = stack.gateway(0);
        let base = url(gateway, "").replace("ws://", "http://");
        let base = base.split('?').next().unwrap();
        for (query, code) in [
            ("", 5),
            ("EIO=3&transport=websocket", 5),
            ("EIO=4&transport=carrier-pigeon", 0),
            ("EIO=4&transport=websocket", 3),
            ("EIO=4&transport=websocket&sid=unknown", 1),
        ] {
            let answer = reqwest::get(format!("{base}?{query}")).await.unwrap();
            assert_eq!(answer.status(), 400, "{query}");
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], json!(code), "{query}");
        }
        let text = gateway.metrics().await.unwrap();
        assert!(text.contains(r#"carillon_handshakes_rejected_total{code="socketio_version"}"#), "counted");
        let good = token(&stack, &claims(tenant, "mila"));
        Engine::open(gateway, "&t=abc&b64=1&custom=1", &[])
            .await
            .connect(&json!({"token": good}))
            .await
            .unwrap();
    });
}
