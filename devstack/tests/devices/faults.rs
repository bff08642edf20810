//! What is stored of devices when Postgres stands still, a gateway dies or stops, and a log gets another epoch?

use super::{ack, acks_become, config, device, is_stored, stored};
use crate::wire::{PATIENCE, block_on, events_to, publish};
use carillon_devstack::stack::Stack;
use carillon_devstack::wait;
use serde_json::json;

/// Waits until something is so.
async fn becomes(what: &str, is_so: impl AsyncFn() -> bool) {
    wait::until(what, PATIENCE, async || is_so().await.then_some(())).await.unwrap();
}

/// How many records a gateway has let go.
async fn dropped(stack: &Stack, gateway: usize) -> f64 {
    stack.gateway(gateway).metric("carillon_records_dropped_total").await.unwrap()
}

#[test]
fn while_postgres_is_frozen_devices_go_on_acknowledging_and_all_of_it_is_written_after() {
    block_on(async {
        let stack = Stack::start(config()).await.unwrap();
        let tenant = "frozen";
        let mut sockets = Vec::new();
        for n in 0..20 {
            sockets.push(device(&stack, n % 2, (tenant, "mila"), &format!("d{n:02}")).await.0);
        }
        for _ in 0..10 {
            publish(&stack, tenant, &["tenant"], json!({})).await;
        }
        for socket in &mut sockets {
            events_to(socket, 10).await;
            assert!(ack(socket, 1).await.is("ok"));
        }
        let all = |seq: u64| -> Vec<String> { (0..20).map(|n| format!("mila d{n:02} 10 {seq}")).collect() };
        let before = all(1);
        let acked = |rows: Vec<String>| {
            rows.iter().map(|row| row.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        becomes("the first acks are stored", async || {
            acked(stored(&stack, tenant).await) == acked(before.clone())
        })
        .await;
        stack.postgres().process().freeze().unwrap();
        for seq in 2..=10 {
            for socket in &mut sockets {
                // Answered at once: nothing of a connection waits for the database.
                assert!(ack(socket, seq).await.is("ok"));
            }
        }
        becomes("a write fails", async || {
            let failed = stack.gateway(0).metric("carillon_records_write_failures_total").await;
            failed.is_some_and(|failed| failed > 0.0)
        })
        .await;
        let waiting = stack.gateway(0).metric("carillon_records_waiting").await.unwrap();
        assert!(waiting <= 10.0, "one record a device, however often it acknowledged: {waiting}");
        stack.postgres().process().thaw().unwrap();
        let wanted = all(10);
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        is_stored(&stack, tenant, &wanted).await;
        assert_eq!((dropped(&stack, 0).await, dropped(&stack, 1).await), (0.0, 0.0));
    });
}

#[test]
fn of_a_killed_gateway_nothing_is_stored_ahead_of_what_was_said_and_the_next_ack_says_it_all() {
    block_on(async {
        let stack = Stack::start(config()).await.unwrap();
        let tenant = "killed";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let mut last = None;
        for _ in 0..20 {
            last = Some(publish(&stack, tenant, &["tenant"], json!({})).await);
        }
        let last = last.unwrap();
        events_to(&mut phone, last.seq).await;
        let mut said = 0;
        for seq in 1..=15 {
            said = seq;
            assert!(ack(&mut phone, seq).await.is("ok"));
        }
        stack.gateway(0).kill().unwrap();
        let ends = |row: &String| row.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        // Two seconds' worth may be missing, nothing may be invented.
        assert!(stored(&stack, tenant).await.iter().map(ends).all(|acked| acked <= said));
        drop(phone);
        let (mut phone, _) = device(&stack, 1, (tenant, "mila"), "phone").await;
        assert!(ack(&mut phone, said + 1).await.is("ok"));
        becomes("the ack is stored", async || stored(&stack, tenant).await.iter().map(ends).eq([said + 1]))
            .await;
        // Back again, it goes on from there.
        stack.gateway(0).restart().await.unwrap();
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        assert!(ack(&mut phone, 3).await.is("ok"), "of this connection it is the first");
        assert!(ack(&mut phone, 19).await.is("ok"));
        becomes("the ack is stored", async || stored(&stack, tenant).await.iter().map(ends).eq([19])).await;
    });
}

#[test]
fn a_gateway_that_stops_writes_what_its_devices_said_last() {
    block_on(async {
        let stack = Stack::start(config()).await.unwrap();
        let tenant = "stopped";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let event = publish(&stack, tenant, &["tenant"], json!({})).await;
        events_to(&mut phone, event.seq).await;
        let stops = tokio::spawn(async move {
            stack.gateway(0).terminate().await.unwrap();
            stack
        });
        // Until it is sent away it says what it likes.
        phone.next_of("goaway", PATIENCE).await.unwrap();
        assert!(ack(&mut phone, event.seq).await.is("ok"));
        let stack = stops.await.unwrap();
        assert_eq!(stored(&stack, tenant).await, ["mila phone 1 1"]);
    });
}

#[test]
fn in_a_new_epoch_devices_are_as_far_as_the_two_logs_are_the_same() {
    block_on(async {
        let stack = Stack::start(config()).await.unwrap();
        let tenant = "epochs";
        let (mut phone, _) = device(&stack, 0, (tenant, "mila"), "phone").await;
        let (laptop, _) = device(&stack, 1, (tenant, "mila"), "laptop").await;
        is_stored(&stack, tenant, &["mila laptop 0 0", "mila phone 0 0"]).await;
        let mut events = Vec::new();
        for _ in 0..9 {
            events.push(publish(&stack, tenant, &["tenant"], json!({})).await);
        }
        events_to(&mut phone, 9).await;
        assert!(ack(&mut phone, 9).await.is("ok"));
        acks_become(&stack, tenant, &events[8].id, 2, 1).await;
        laptop.close().await;
        // The log loses its end: what is left is the same.
        let head = "update carillon.tenants set head = 4 where id = 'epochs'";
        stack.sql(head).await.unwrap();
        stack.sql("delete from carillon.events where tenant_id = 'epochs' and seq > 4").await.unwrap();
        let reset = phone.next_of("reset", PATIENCE).await.unwrap();
        assert_eq!(reset.seq(), Some(4));
        acks_become(&stack, tenant, &events[3].id, 2, 1).await;
        let fresh = publish(&stack, tenant, &["tenant"], json!({})).await;
        assert_eq!(fresh.seq, 5);
        acks_become(&stack, tenant, &fresh.id, 2, 0).await;
        events_to(&mut phone, 5).await;
        phone.send_json(&json!({"type": "ack", "id": 1, "seq": 9})).await.unwrap();
        assert_eq!(phone.next_of("error", PATIENCE).await.unwrap().code(), Some("ack_ahead"));
        assert!(ack(&mut phone, 5).await.is("ok"));
        acks_become(&stack, tenant, &fresh.id, 2, 1).await;
    });
}
