//! Where may a webhook lead, and who may set one?

use super::receiver::{OK, Receiver};
use super::{act, call, publish, put, read, stack, until};
use carillon_devstack::stack::{KeyTenant, Stack, StackConfig};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn no_webhook_leads_to_what_is_not_public_however_it_is_written() {
    super::wire::block_on(async {
        let config = StackConfig::default()
            .publisher_var("CARILLON_WEBHOOK_ALLOW", "192.0.2.0/24")
            .publisher_var("CARILLON_WEBHOOK_PORTS", "8081")
            .publisher_var("CARILLON_WEBHOOK_HTTP", "on");
        let stack = Stack::start(config).await.unwrap();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[2002:7f00:1::1]/",
            "http://169.254.169.254/latest",
            "http://10.0.0.1/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "ftp://app.example/",
            "http://app.example:8080/",
            "http://user:pass@app.example/",
        ] {
            let path = "/v1/webhooks/main?tenant=ssrf";
            let (status, answer) = call(&stack, Method::PUT, path, json!({"url": url})).await;
            assert_eq!((status, &answer["errors"][0]["pointer"]), (422, &json!("/url")), "{url}: {answer}");
        }
        // A name is looked up when it is called, each time.
        put(&stack, "ssrf", "named", json!({"url": "http://localhost/"})).await;
        let (_, answer) = act(&stack, "ssrf", "named", "test", json!({})).await;
        let error = answer["error"].as_str().unwrap();
        assert!(answer["delivered"] == false && error.contains("no address that is public"), "{answer}");
        stack.stop().await.unwrap();
    });
}

#[test]
fn faults_are_named_and_only_administrators_get_to_them() {
    super::wire::block_on(async {
        let stack = stack().await;
        let many = vec!["a"; 17];
        for (body, pointer) in [
            (json!({}), "/url"),
            (json!({"url": 7}), "/url"),
            (json!({"url": "https://app.example/", "types": "a"}), "/types"),
            (json!({"url": "https://app.example/", "types": ["a b"]}), "/types"),
            (json!({"url": "https://app.example/", "types": many}), "/types"),
            (json!({"url": "https://app.example/", "channels": ["a*b"]}), "/channels"),
            (json!({"url": "https://app.example/", "ordered": 1}), "/ordered"),
            (json!({"url": "https://app.example/", "secret": "whsec_abc"}), "/secret"),
            (json!({"url": "https://app.example/", "retries": 3}), "/retries"),
            (json!([]), ""),
        ] {
            let (status, answer) =
                call(&stack, Method::PUT, "/v1/webhooks/main?tenant=faults", body.clone()).await;
            assert_eq!((status, &answer["code"]), (422, &json!("invalid_webhook")), "{body}: {answer}");
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let (status, answer) =
            call(&stack, Method::GET, "/v1/webhooks/a%20b?tenant=faults", Value::Null).await;
        assert_eq!((status, &answer["errors"][0]["parameter"]), (400, &json!("webhook")), "{answer}");
        let reader = stack.create_api_key(KeyTenant::All, &["read", "publish"]).await.unwrap();
        let url = format!("{}/v1/webhooks?tenant=faults", stack.publisher(0).url());
        let answer = reqwest::Client::new().get(url).bearer_auth(reader).send().await.unwrap();
        assert_eq!(answer.status(), 403);
    });
}

#[test]
fn a_process_that_only_works_sends_what_publishers_without_projectors_store() {
    super::wire::block_on(async {
        let config = StackConfig::default().publisher_var("CARILLON_PROJECTORS", "off");
        let (stack, receiver) = (Stack::start(config).await.unwrap(), Receiver::start(|_| OK).await);
        publish(&stack, "apart", "a", 1).await;
        put(&stack, "apart", "main", json!({"url": receiver.url})).await;
        let last = publish(&stack, "apart", "order.paid", 5).await;
        let program = carillon_devstack::find::own_binary("carillon-publisher").unwrap();
        let mut worker = tokio::process::Command::new(program)
            .arg("work")
            .env_clear()
            .env("DATABASE_URL", stack.database_url())
            .env("CARILLON_OPS_LISTEN", "127.0.0.1:0")
            .env("CARILLON_WEBHOOK_ALLOW", "127.0.0.0/8")
            .env("CARILLON_WEBHOOK_HTTP", "on")
            .env("CARILLON_WEBHOOK_PORTS", "any")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("they have arrived", async || receiver.seqs().len() >= 5).await;
        until("it is kept", async || read(&stack, "apart", "main").await["seq"] == last).await;
        worker.kill().await.unwrap();
        stack.stop().await.unwrap();
    });
}
