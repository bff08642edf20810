//! Is it known who is connected, and why whoever was left?

use super::{device, stack};
use crate::wire::{PATIENCE, ask, block_on, claims, client, open, publish, token, variables};
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::{Stack, StackConfig};
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::time::Duration;

/// The open connections of a tenant, as a service is told them: the status and the body.
async fn connections(stack: &Stack, tenant: &str, more: &str) -> (u16, Value) {
    let url = format!("{}/v1/connections?tenant={tenant}{more}", stack.publisher(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(stack.api_key()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn names(page: &Value) -> Vec<&str> {
    let list = page["connections"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|open| open["connection"].as_str().unwrap()).collect()
}

/// Waits until exactly these connections are listed.
async fn listed(stack: &Stack, tenant: &str, more: &str, wanted: &[&str], limit: Duration) -> Value {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    let seen = std::sync::Mutex::new(Value::Null);
    let reached = wait::until(format!("{wanted:?}"), limit, || async {
        let (_, page) = connections(stack, tenant, more).await;
        *seen.lock().unwrap() = page.clone();
        (names(&page) == wanted).then_some(page)
    });
    reached.await.unwrap_or_else(|timeout| panic!("{timeout}; it is {}", seen.lock().unwrap()))
}

/// Waits until a tenant's ended sessions are these: user and reason.
async fn ended(stack: &Stack, tenant: &str, wanted: &[&str], limit: Duration) {
    let sql = format!(
        "select user_id || ' ' || reason from carillon.sessions where tenant_id = '{tenant}' order by 1"
    );
    let seen = std::sync::Mutex::new(String::new());
    let reached = wait::until(format!("{wanted:?}"), limit, || async {
        let told = stack.sql(&sql).await.unwrap();
        *seen.lock().unwrap() = told.clone();
        told.lines().eq(wanted.iter().copied()).then_some(())
    });
    if let Err(timeout) = reached.await {
        panic!("{timeout}; it is {}", seen.lock().unwrap());
    }
}

#[test]
fn who_is_connected_is_listed_of_every_gateway_and_goes_when_they_go() {
    block_on(async {
        let stack = stack().await;
        let tenant = "listed";
        let (mut phone, first) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let (mut plain, second) = open(&stack, stack.gateway(1), &claims(tenant, "ana")).await;
        // It answers pings while it is read: until it says goodbye, however long that takes.
        let (leaves, mut left) = tokio::sync::oneshot::channel::<()>();
        let plain = tokio::spawn(async move {
            loop {
                tokio::select! {
                    frame = plain.next_frame(2 * PATIENCE) => drop(frame.unwrap()),
                    _ = &mut left => return plain.close().await,
                }
            }
        });
        let both = [&*first.connection, &*second.connection];
        let page = listed(&stack, tenant, "", &both, PATIENCE).await;
        assert!(page["next"].is_null());
        let of = |name: &str| {
            let list = page["connections"].as_array().unwrap();
            list.iter().find(|open| open["connection"] == name).unwrap().clone()
        };
        let told = of(both[0]);
        assert_eq!(
            (&told["user"], &told["device"], &told["node"]),
            (&json!("mila"), &json!("phone"), &json!("gateway-1"))
        );
        assert_eq!((&told["transport"], &told["lost_pings"]), (&json!("websocket"), &json!(0)));
        assert!(told["since"].as_str().unwrap().ends_with('Z') && told.get("address").is_none(), "{told}");
        assert_eq!((&of(both[1])["device"], &of(both[1])["behind"]), (&Value::Null, &Value::Null));
        // Where they are follows what they do.
        let joined = ask(&mut phone, json!({"type": "subscribe", "id": 1, "channels": ["contact:7"]})).await;
        assert!(joined.is("ok"), "{joined:?}");
        let all_listed = async {
            listed(&stack, tenant, "&channel=contact:7", &both[..1], PATIENCE).await;
            for (more, wanted) in [
                ("&user=ana", &both[1..]),
                ("&device=phone", &both[..1]),
                ("&node=gateway-2", &both[1..]),
                ("&user=ana&device=phone", &[]),
                ("&user=nobody", &[]),
            ] {
                listed(&stack, tenant, more, wanted, PATIENCE).await;
            }
        };
        // The phone is read meanwhile: it answers pings, or it would be given up.
        tokio::pin!(all_listed);
        loop {
            tokio::select! {
                () = &mut all_listed => break,
                frame = phone.next_frame(2 * PATIENCE) => drop(frame.unwrap()),
            }
        }
        let (_, one) = connections(&stack, tenant, "&limit=1").await;
        let next = format!("&limit=1&after={}", one["next"].as_str().unwrap());
        let (_, other) = connections(&stack, tenant, &next).await;
        let mut all = [names(&one), names(&other)].concat();
        assert!(other["next"].is_null() && all.is_sorted());
        all.sort_unstable();
        assert_eq!(all.len(), 2);
        // How well it is reached, and how far behind its device is.
        let event = publish(&stack, tenant, &["tenant"], json!({})).await;
        let began = std::time::Instant::now();
        let told = loop {
            // It answers pings while it is read.
            phone.next_of("heartbeat", PATIENCE).await.unwrap();
            let (_, page) = connections(&stack, tenant, "&device=phone").await;
            let told = page["connections"][0].clone();
            if told["rtt_ms"].is_u64() && told["behind"] == 0 {
                break told;
            }
            assert!(began.elapsed() < PATIENCE, "{told}");
        };
        assert!(told["rtt_ms"].as_u64().unwrap() < 30_000, "{told} after {}", event.seq);
        leaves.send(()).unwrap();
        plain.await.unwrap();
        listed(&stack, tenant, "", &both[..1], PATIENCE).await;
        phone.sever();
        listed(&stack, tenant, "", &[], PATIENCE).await;
        ended(&stack, tenant, &["ana bye", "mila left"], PATIENCE).await;
        // A poll is a question and no connection.
        let url = format!("{}/v1/poll?wait=0", stack.gateway(0).url());
        let poll =
            reqwest::Client::new().get(url).bearer_auth(token(&stack, &claims(tenant, "eva"))).send().await;
        assert_eq!(poll.unwrap().status(), 200);
        let (_, page) = connections(&stack, tenant, "").await;
        assert_eq!(page, json!({"connections": [], "next": null}));
    });
}

#[test]
fn who_is_connected_is_told_to_services_and_administrators() {
    block_on(async {
        let stack = stack().await;
        let tenant = "listing";
        let url = format!("{}/v1/connections", stack.publisher(0).url());
        let status = async |bearer: &str| {
            reqwest::Client::new().get(&url).bearer_auth(bearer).send().await.unwrap().status().as_u16()
        };
        assert_eq!(status(&token(&stack, &claims(tenant, "mila"))).await, 403);
        assert_eq!(status(&token(&stack, &claims(tenant, "mila").caps(["admin"]))).await, 200);
        assert_eq!(status(stack.api_key()).await, 400, "a key for all names one");
        for more in ["&limit=201", "&device=a/b", "&after=%21", "&channel=a b", "&what=1"] {
            let (status, problem) = connections(&stack, tenant, more).await;
            assert_eq!(status, 400, "{more}: {problem}");
        }
    });
}

#[test]
fn connections_of_a_dead_gateway_are_closed_as_lost_and_those_of_living_ones_stay() {
    block_on(async {
        let config = StackConfig {
            gateway_env: variables(&[("CARILLON_SESSION_ADDRESSES", "on")]),
            ..StackConfig::default()
        };
        let mut stack = Stack::start(config).await.unwrap();
        let off = stack.add_gateway(&variables(&[("CARILLON_SESSIONS", "off")])).await.unwrap();
        let tenant = "lost";
        let reading = |socket: Socket| {
            let mut socket = socket;
            tokio::spawn(async move { while socket.next_frame(Duration::from_secs(120)).await.is_ok() {} })
        };
        let (here, kept) = open(&stack, stack.gateway(0), &claims(tenant, "mila")).await;
        let (there, gone) = open(&stack, stack.gateway(1), &claims(tenant, "ana")).await;
        let (unseen, _) =
            Socket::open(&client(&stack, stack.gateway(off), &claims(tenant, "eva"))).await.unwrap();
        let all = [reading(here), reading(there), reading(unseen)];
        let both = [&*kept.connection, &*gone.connection];
        let page = listed(&stack, tenant, "", &both, PATIENCE).await;
        assert_eq!(page["connections"][0]["address"], "127.0.0.1", "{page}");
        stack.gateway(1).kill().unwrap();
        // Redis is away and comes back empty meanwhile: that closes nobody who lives.
        stack.redis().process().kill().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        stack.redis().restart().await.unwrap();
        listed(&stack, tenant, "", &both[..1], Duration::from_secs(120)).await;
        ended(&stack, tenant, &["ana node_lost"], PATIENCE).await;
        let runs = "select count(*) from carillon.gateway_runs";
        wait::until("the dead one is forgotten", PATIENCE, || async {
            (stack.sql(runs).await.unwrap().trim() == "1").then_some(())
        })
        .await
        .unwrap();
        // Whoever was given up by mistake tells all again.
        stack.sql("delete from carillon.gateway_runs").await.unwrap();
        stack.sql("delete from carillon.connections").await.unwrap();
        listed(&stack, tenant, "", &both[..1], PATIENCE).await;
        all.iter().for_each(|task| task.abort());
        // A gateway that stops says why, too.
        stack.gateway(0).terminate().await.unwrap();
        listed(&stack, tenant, "", &[], PATIENCE).await;
        let sql = "select count(*) from carillon.sessions where tenant_id = 'lost' and user_id = 'mila'";
        assert_eq!(stack.sql(sql).await.unwrap().trim(), "1");
    });
}
