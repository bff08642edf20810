//! Does a client that polls get what every client gets, and a WebSocket when it asks for one?

use super::client::Engine;
use super::wire::{PATIENCE, block_on, claims, publish, publisher, token};
use super::{open_pages, stack};
use carillon_devstack::client::post::Post;
use carillon_devstack::stack::{Service, Stack};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// A session that polls.
pub(crate) struct Polling {
    pub(crate) http: reqwest::Client,
    base: String,
    pub(crate) sid: String,
    open: Value,
    packets: VecDeque<String>,
    pid: Value,
}

impl Polling {
    pub(crate) async fn begin(gateway: &Service) -> Self {
        let http = http();
        let base =
            super::client::url(gateway, "").replace("ws://", "http://").replace("websocket", "polling");
        let answer = http.get(&base).header("origin", "https://shop.example").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let allowed = answer.headers()["access-control-allow-origin"].clone();
        let cached = answer.headers()["cache-control"].clone();
        assert_eq!(
            (allowed.to_str().unwrap(), cached.to_str().unwrap()),
            ("https://shop.example", "no-store")
        );
        let text = answer.text().await.unwrap();
        let open: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self { http, base, sid, open, packets: VecDeque::new(), pid: Value::Null }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}&sid={}", self.base, self.sid)
    }

    pub(crate) async fn get(&self) -> reqwest::Response {
        self.http.get(self.url()).send().await.unwrap()
    }

    pub(crate) async fn post(&self, body: &str) -> reqwest::Response {
        self.http.post(self.url()).body(body.to_owned()).send().await.unwrap()
    }

    pub(crate) async fn say(&self, body: &str) {
        let answer = self.post(body).await;
        assert_eq!(answer.status(), 200, "{body}");
        assert_eq!(answer.text().await.unwrap(), "ok");
    }

    /// From now on at another node.
    pub(crate) fn go_to(&mut self, gateway: &Service) {
        self.base =
            super::client::url(gateway, "").replace("ws://", "http://").replace("websocket", "polling");
    }

    /// One poll: its packets.
    pub(crate) async fn poll(&self) -> Vec<String> {
        let answer = self.get().await;
        assert_eq!(answer.status(), 200);
        let packets: Vec<String> = answer.text().await.unwrap().split('\u{1e}').map(str::to_owned).collect();
        assert!(packets.len() <= 16, "some clients take no more: {}", packets.len());
        packets
    }

    /// The next packet that begins with this.
    pub(crate) async fn next(&mut self, begin: &str) -> String {
        loop {
            let Some(packet) = self.packets.pop_front() else {
                self.packets = self.poll().await.into();
                continue;
            };
            if packet == "2" {
                self.say("3").await;
            }
            if packet.starts_with(begin) {
                return packet;
            }
        }
    }

    /// Goes on in a namespace: what it answers to CONNECT.
    pub(crate) async fn enter(&mut self, namespace: &str, auth: &Value) -> String {
        self.say(&format!("40{namespace},{auth}")).await;
        self.next("40").await
    }

    pub(crate) async fn connect(gateway: &Service, stack: &Stack, tenant: &str, more: Value) -> Self {
        let mut polling = Self::begin(gateway).await;
        let mut auth = json!({"token": token(stack, &claims(tenant, "mila"))});
        for (name, value) in more.as_object().into_iter().flatten() {
            auth[name] = value.clone();
        }
        polling.say(&format!("40{auth}")).await;
        let packet = polling.next("40").await;
        assert!(packet.starts_with("40{\"sid\""), "{packet}");
        let connected: Value = serde_json::from_str(packet.strip_prefix("40").unwrap()).unwrap();
        polling.pid = connected["pid"].clone();
        polling
    }
}

/// One that has no sockets yet.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

pub(crate) fn number(packet: &str) -> u64 {
    let event: Value = serde_json::from_str(packet.strip_prefix("42").unwrap()).unwrap();
    event[2]["seq"].as_u64().unwrap()
}

/// So many events in `page:1` with one request: whoever does not poll meanwhile is given up after a while.
async fn publish_at_once(stack: &Stack, tenant: &str, count: usize) -> Vec<u64> {
    let posts: Vec<Post> =
        (0..count).map(|n| Post::new(tenant, "wire.test", json!(n)).channel("page:1")).collect();
    publisher(stack).publish_many(&posts, None).await.unwrap().iter().map(|ack| ack.seq).collect()
}

#[test]
fn i3_a_client_that_polls_gets_every_event_once_in_answers_of_at_most_sixteen_packets() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-poll");
        open_pages(&stack, tenant).await;
        let more = json!({"channels": ["page:1"]});
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more).await;
        assert_eq!(mila.open["upgrades"], json!(["websocket"]));
        let seqs = publish_at_once(&stack, tenant, 100).await;
        let mut got = Vec::new();
        while got.len() < seqs.len() {
            got.push(number(&mila.next("42[\"wire.test\"").await));
        }
        assert_eq!(got, seqs);
        // Several packets in one body, and their answers.
        mila.say("421[\"ping\"]\u{1e}422[\"join\",\"vault:1\"]").await;
        assert!(mila.next("431[").await.contains("pong"));
        assert!(mila.next("432[").await.contains("forbidden"));
        // It waits until there is something.
        let polling = &mila;
        let (packets, seq) =
            tokio::join!(polling.poll(), async { publish(&stack, tenant, &["page:1"], json!(1)).await.seq });
        assert_eq!(number(&packets[0]), seq);
        // Who says goodbye is gone: the poll that waits is answered, and there is no other.
        let (last, ()) = tokio::join!(polling.get(), polling.say("1"));
        assert!(last.status() == 200 || last.status() == 400);
        assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1));
    });
}

/// At the session's node, and at another, which hands on what is said.
#[test]
fn i3_the_way_to_a_websocket_loses_and_repeats_nothing_at_any_node() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-upgrade");
        open_pages(&stack, tenant).await;
        known_to_each_other(&stack).await;
        for round in 0..6 {
            let at = stack.gateway(round % 2);
            let more = json!({"channels": ["page:1"]});
            let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more).await;
            mila.next("42[\"carillon:welcome\"").await;
            let publishing = async {
                let mut seqs = Vec::new();
                for n in 0..60 {
                    seqs.push(publish(&stack, tenant, &["page:1"], json!(n)).await.seq);
                }
                seqs
            };
            let upgrading = async {
                let mut got = Vec::new();
                for _ in 0..=round {
                    got.push(number(&mila.next("42[\"wire.test\"").await));
                }
                let more = format!("&sid={}", mila.sid);
                let mut engine = Engine::probe(at, &more).await;
                // The poll that waits ends, with what there is or with nothing.
                got.extend(
                    mila.packets
                        .drain(..)
                        .filter(|packet| packet.starts_with("42[\"wire"))
                        .map(|packet| number(&packet)),
                );
                let packets = mila.poll().await;
                got.extend(
                    packets
                        .iter()
                        .filter(|packet| packet.starts_with("42[\"wire"))
                        .map(|packet| number(packet)),
                );
                engine.send("5").await;
                engine.send("429[\"ping\"]").await;
                (engine, got)
            };
            let (seqs, (mut engine, mut got)) = tokio::join!(publishing, upgrading);
            let mut ponged = false;
            while got.len() < seqs.len() || !ponged {
                let packet = engine.packet().await;
                ponged |= packet.starts_with("39[");
                if packet.starts_with("2[\"wire.test\"") {
                    got.push(number(&format!("4{packet}")));
                }
            }
            assert_eq!(got, seqs, "round {round}");
            // The session does not poll any more.
            assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1));
        }
    });
}

#[test]
fn a_probe_that_does_not_go_on_ends_alone_and_the_client_polls_on() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-probe");
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, Value::Null).await;
        mila.next("42[\"carillon:welcome\"").await;
        let more = format!("&sid={}", mila.sid);
        for wrong in ["5", "2", "42[\"ping\"]", "nonsense"] {
            let mut engine = Engine::raw(stack.gateway(0), &more).await;
            engine.send(wrong).await;
            assert!(engine.message().await.is_err(), "{wrong}");
        }
        let half = Engine::probe(stack.gateway(0), &more).await;
        drop(half);
        mila.say("421[\"ping\"]").await;
        assert!(mila.next("431[").await.contains("pong"));
        let seq = publish(&stack, tenant, &["user:mila"], json!(1)).await.seq;
        assert_eq!(number(&mila.next("42[\"wire.test\"").await), seq);
    });
}

#[test]
fn whatever_is_no_payload_ends_its_session_and_no_other() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-payload");
        let gateway = stack.gateway(0);
        let mut bystander = Polling::connect(gateway, &stack, tenant, Value::Null).await;
        for body in ["", "9", "abc", "421[\"ping\"]\u{1e}", "b%%%"] {
            let mila = Polling::connect(gateway, &stack, tenant, Value::Null).await;
            let answer = mila.post(body).await;
            assert_eq!(answer.status(), 400, "{body:?}");
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], json!(3), "{body:?}");
            assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1), "{body:?}");
        }
        let mila = Polling::connect(gateway, &stack, tenant, Value::Null).await;
        assert_eq!(mila.post(&"4".repeat(70_000)).await.status(), 413);
        // A packet of Socket.IO that is none: the connection ends, and the next poll says so.
        let mila = Polling::connect(gateway, &stack, tenant, Value::Null).await;
        mila.say("42{}").await;
        let over = carillon_devstack::wait::until("the end", PATIENCE, || async {
            (mila.get().await.status() == 400).then_some(())
        });
        over.await.unwrap();
        // Two polls at a time are one too many.
        let mut mila = Polling::connect(gateway, &stack, tenant, Value::Null).await;
        mila.next("42[\"carillon:welcome\"").await;
        let (one, two) = tokio::join!(mila.get(), mila.get());
        let mut statuses = [one.status().as_u16(), two.status().as_u16()];
        statuses.sort();
        assert_eq!(statuses, [200, 400], "whichever came first waits, and hears that it is over");
        let answer = mila.http.post(&mila.base).body("40").send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], json!(2), "a session begins with a GET");
        bystander.say("421[\"ping\"]").await;
        assert!(bystander.next("431[").await.contains("pong"));
    });
}

#[test]
fn i3_a_client_that_polls_at_any_node_in_turn_gets_every_event_once() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-turns");
        open_pages(&stack, tenant).await;
        known_to_each_other(&stack).await;
        let more = json!({"channels": ["page:1"]});
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more).await;
        let seqs = publish_at_once(&stack, tenant, 40).await;
        let (mut got, mut turn) = (Vec::new(), 0);
        while got.len() < seqs.len() {
            turn += 1;
            mila.go_to(stack.gateway(turn % 2));
            got.push(number(&mila.next("42[\"wire.test\"").await));
        }
        assert_eq!(got, seqs);
        mila.go_to(stack.gateway(1));
        mila.say("421[\"ping\"]").await;
        mila.go_to(stack.gateway(0));
        assert!(mila.next("431[").await.contains("pong"));
        // What is wrong is wrong everywhere.
        mila.go_to(stack.gateway(1));
        assert_eq!(mila.post("abc").await.json::<Value>().await.unwrap()["code"], json!(3));
        assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1));
    });
}

#[test]
fn i3_who_polled_at_a_node_that_is_killed_connects_anew_and_recovers() {
    block_on(async {
        let stack = Stack::start(carillon_devstack::stack::StackConfig::default()).await.unwrap();
        let tenant = "door-killed";
        known_to_each_other(&stack).await;
        let more = json!({"recovery": true});
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, more.clone()).await;
        let first = publish(&stack, tenant, &["user:mila"], json!(1)).await.seq;
        let last = mila.next("42[\"wire.test\"").await;
        assert_eq!(number(&last), first);
        let event: Value = serde_json::from_str(last.strip_prefix("42").unwrap()).unwrap();
        let (offset, pid) = (event[3].clone(), mila.pid.clone());
        stack.gateway(0).kill().unwrap();
        let missed = publish(&stack, tenant, &["user:mila"], json!(2)).await.seq;
        mila.go_to(stack.gateway(1));
        assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1));
        let back = json!({"recovery": true, "pid": pid, "offset": offset});
        let mut mila = Polling::connect(stack.gateway(1), &stack, tenant, back).await;
        assert_eq!(mila.pid, pid, "it has recovered");
        assert_eq!(number(&mila.next("42[\"wire.test\"").await), missed);
    });
}

/// Waits until each node passes on what is asked of the others: until it has heard of them.
pub(crate) async fn known_to_each_other(stack: &Stack) {
    let all = 0..stack.gateways().len();
    for (has, asked) in all.clone().flat_map(|has| all.clone().map(move |asked| (has, asked))) {
        if has == asked {
            continue;
        }
        let known = carillon_devstack::wait::until("the other node", PATIENCE, || async {
            let mut polling = Polling::begin(stack.gateway(has)).await;
            polling.go_to(stack.gateway(asked));
            (polling.post("1").await.status() == 200).then_some(())
        });
        known.await.unwrap();
    }
}

/// Nothing but a poll or what is said keeps a session, and nobody who is not connected has one for long.
#[test]
fn i10_a_session_that_nobody_connects_is_gone_whatever_is_asked_with_its_id() {
    block_on(async {
        let stack = stack().await;
        let polling = Polling::begin(stack.gateway(0)).await;
        let gone = carillon_devstack::wait::until("the end of the session", PATIENCE, || async {
            let answer = polling.http.put(polling.url()).send().await.unwrap();
            let code = answer.json::<Value>().await.unwrap()["code"].clone();
            (code == json!(1)).then_some(())
        });
        gone.await.unwrap();
    });
}

/// Something on the way repeats a poll whose answer was lost: what was in it would be missing without a word.
#[test]
fn i3_a_poll_that_is_repeated_ends_its_session_so_that_the_client_recovers() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-repeated");
        let mut mila = Polling::connect(stack.gateway(0), &stack, tenant, Value::Null).await;
        mila.next("42[\"carillon:welcome\"").await;
        let get = async |time: &str| {
            mila.say("421[\"ping\"]").await;
            mila.http.get(format!("{}&t={time}", mila.url())).send().await.unwrap()
        };
        assert_eq!(get("a").await.status(), 200);
        assert_eq!(get("b").await.status(), 200);
        assert_eq!(get("b").await.json::<Value>().await.unwrap()["code"], json!(1));
        assert_eq!(mila.get().await.json::<Value>().await.unwrap()["code"], json!(1));
    });
}
