//! Does a page that loads rows and then connects with their position miss nothing, and see nothing twice?

use std::time::Duration;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::KeyTenant;
use serde_json::{Value, json};

use crate::faults::probe;
use crate::wire::{PATIENCE, block_on, events_to, publish, seqs};
use crate::{PLAIN, stack};

#[test]
fn i3_i4_what_was_loaded_and_what_comes_after_its_position_is_everything_once() {
    block_on(async {
        let stack = &stack().await;
        let http = probe::client();
        let tenant = "position-join";
        let key = stack.create_api_key(KeyTenant::One(tenant), &["read"]).await.unwrap();
        publish(stack, tenant, &["tenant"], json!({})).await;
        let publishing = async {
            loop {
                publish(stack, tenant, &["tenant"], json!({})).await;
            }
        };
        let joining = async {
            for _ in 0..20 {
                let list = format!("{}/v1/events?limit=200", stack.publisher(0).url());
                let answer = http.get(&list).header("x-api-key", &key).send().await.unwrap();
                let position = answer.headers()["carillon-position"].to_str().unwrap().to_owned();
                let (epoch, seq) = position.rsplit_once(':').unwrap();
                let seq: u64 = seq.parse().unwrap();
                let page: Value = answer.json().await.unwrap();
                assert_eq!(page["events"][0]["seq"], seq, "the page ends at its position");

                // The page is drawn meanwhile, and events go on.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let mut connect = Connect::new(stack.gateway(PLAIN).ws_url(), &key);
                connect.patience = PATIENCE;
                let connect = connect.since(Cursor { seq, epoch: Some(epoch.to_owned()) });
                let (mut socket, _) = Socket::open(&connect).await.unwrap();
                let came = seqs(&events_to(&mut socket, seq + 5).await);
                assert_eq!(came, (seq + 1..=seq + 5).collect::<Vec<_>>());
            }
        };
        tokio::select! {
            () = publishing => {}
            () = joining => {}
        }
    });
}
