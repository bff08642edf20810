//! Does a page that published something get it back, and does everybody else?

use super::{set, stack};
use crate::wire::{block_on, claims, client, events_to, open, seqs, token};
use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::Socket;
use carillon_devstack::stack::Stack;
use serde_json::{Value, json};

/// Publishes with these credentials, not to this connection; the seq.
async fn post(stack: &Stack, publisher: usize, bearer: &str, not_to: Option<&str>, event: Value) -> u64 {
    let url = format!("{}/v1/events", stack.publisher(publisher).url());
    let mut request = reqwest::Client::new().post(url).bearer_auth(bearer).json(&event);
    if let Some(connection) = not_to {
        request = request.header("X-Carillon-Connection", connection);
    }
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 201, "{body}");
    body["seq"].as_u64().unwrap()
}

#[test]
fn every_tab_of_a_person_but_the_one_that_published_gets_the_event_on_every_node() {
    block_on(async {
        let stack = stack().await;
        let rule = json!({"subscribe": ["anyone"], "publish": ["anyone"], "durable": true, "rate": 100});
        set(&stack, "tabs", "order:{order}", rule).await;
        let (mila, jan) = (claims("tabs", "mila"), claims("tabs", "jan"));
        let mut tabs = Vec::new();
        for (gateway, who) in [(0, &mila), (0, &mila), (1, &mila), (1, &jan)] {
            let wanted = client(&stack, stack.gateway(gateway), who).channels(["order:1", "order:2"]);
            tabs.push(Socket::open(&wanted).await.unwrap());
        }
        let first = tabs[0].1.connection.clone();
        let began = Cursor { epoch: Some(tabs[0].1.epoch.clone()), seq: tabs[0].1.seq };
        let note = |channels: &[&str]| json!({"type": "note", "channels": channels});
        let person = token(&stack, &mila);
        // Of one channel, of several, and said in the event itself by a back end.
        let one = post(&stack, 0, &person, Some(&first), note(&["order:1"])).await;
        let several = post(&stack, 0, &person, Some(&first), note(&["order:1", "order:2"])).await;
        let mut within = note(&["order:2"]);
        (within["tenant"], within["except"]) = (json!("tabs"), json!(first));
        let by_service = post(&stack, 0, stack.api_key(), None, within).await;
        // Nobody keeps an event from somebody else.
        let by_jan = post(&stack, 0, &token(&stack, &jan), Some(&first), note(&["order:1"])).await;
        // A name from before a restart is nobody's, and neither is one of no node.
        let mut past = first.clone();
        past.replace_range(past.len() - 1.., "999");
        let of_nobody = post(&stack, 0, &person, Some(&past), note(&["order:1"])).await;
        let last = post(&stack, 0, &person, None, note(&["order:1"])).await;
        assert_eq!(seqs(&events_to(&mut tabs[0].0, last).await), [by_jan, of_nobody, last]);
        let all = [one, several, by_service, by_jan, of_nobody, last];
        for (socket, _) in &mut tabs[1..] {
            assert_eq!(seqs(&events_to(socket, last).await), all);
        }
        // Its cursor has moved on all the same, and whoever resumes gets everything.
        let pong = crate::wire::ask(&mut tabs[0].0, json!({"type": "ping", "id": 1})).await;
        assert_eq!(pong.0["seq"].as_u64(), Some(last));
        let back = client(&stack, stack.gateway(0), &mila).channels(["order:1", "order:2"]).since(began);
        let (mut again, _) = Socket::open(&back).await.unwrap();
        assert_eq!(seqs(&events_to(&mut again, last).await), all);
        for socket in tabs.into_iter().map(|(socket, _)| socket).chain([again]) {
            socket.close().await;
        }
    });
}

#[test]
fn a_connection_s_name_says_which_run_of_the_node_it_is_of() {
    block_on(async {
        let stack = stack().await;
        let (socket, welcome) = open(&stack, stack.gateway(0), &claims("named", "mila")).await;
        let rest = welcome.connection.strip_prefix(&format!("{}-", welcome.node));
        let parts: Vec<&str> = rest.unwrap().split('-').collect();
        assert_eq!((parts.len(), parts[0].len()), (4, 8), "{}", welcome.connection);
        socket.close().await;
    });
}
