//! Does a client that recovers go on where it was, on whichever node, with nothing lost and nothing twice?

use super::client::Engine;
use super::wire::{block_on, claims, publish, token};
use super::{open_pages, stack};
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::{Value, json};

/// What a client keeps of a connection, as the library of JavaScript does: the id of CONNECT, and the last argument of any event if
/// that is a text.
struct Client {
    engine: Engine,
    id: Option<String>,
    offset: Option<String>,
    recovered: bool,
}

impl Client {
    async fn connect(
        stack: &Stack,
        gateway: usize,
        tenant: &str,
        more: Value,
        before: Option<&Self>,
    ) -> Self {
        let mut auth = json!({"token": token(stack, &claims(tenant, "mila")), "recovery": true});
        for (name, value) in more.as_object().into_iter().flatten() {
            auth[name] = value.clone();
        }
        if let Some(Self { id: Some(id), offset, .. }) = before {
            auth["pid"] = json!(id);
            if let Some(offset) = offset {
                auth["offset"] = json!(offset);
            }
        }
        let mut engine = Engine::open(stack.gateway(gateway), "", &[]).await;
        let connected = engine.connect(&auth).await.unwrap();
        let id = connected["pid"].as_str().map(str::to_owned);
        let before = before.and_then(|before| before.id.as_ref());
        let recovered = before.is_some() && before == id.as_ref();
        let mut client = Self { engine, id, offset: None, recovered };
        client.next("carillon:welcome").await;
        assert!(client.offset.is_some(), "also who gets no event can come back");
        client
    }

    async fn event(&mut self) -> Value {
        let event = self.engine.event().await;
        if let Some(Value::String(offset)) = event.as_array().unwrap().last() {
            self.offset = Some(offset.clone());
        }
        event
    }

    async fn next(&mut self, name: &str) -> Value {
        loop {
            let event = self.event().await;
            if event[0] == json!(name) {
                return event;
            }
        }
    }

    /// Calls, and takes note of the offsets of what comes before the answer.
    async fn call(&mut self, event: Value) -> Value {
        let answer = self.engine.call(event).await;
        // What came before the answer waits and is read in its order.
        answer
    }

    /// The numbers of the events up to this one, which must come.
    async fn seqs_to(&mut self, seq: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            seqs.push(self.next("wire.test").await[2]["seq"].as_u64().unwrap());
            if seqs.last() == Some(&seq) {
                return seqs;
            }
        }
    }
}

async fn publish_some(stack: &Stack, tenant: &str, channel: &str, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for n in 0..count {
        seqs.push(publish(stack, tenant, &[channel], json!(n)).await.seq);
    }
    seqs
}

#[test]
fn i3_who_comes_back_to_another_node_has_its_id_and_gets_what_it_missed_once() {
    block_on(async {
        let (stack, tenant) = (Stack::start(StackConfig::default()).await.unwrap(), "door-back");
        let channels = json!({"channels": ["page:1"]});
        open_pages(&stack, tenant).await;
        let mut before = Client::connect(&stack, 0, tenant, channels.clone(), None).await;
        let first = publish_some(&stack, tenant, "page:1", 3).await;
        assert_eq!(before.seqs_to(first[2]).await, first);
        // It is there no more, and says nothing.
        stack.gateway(0).kill().unwrap();
        let missed = publish_some(&stack, tenant, "page:1", 20).await;
        let mut after = Client::connect(&stack, 1, tenant, channels, Some(&before)).await;
        assert!(after.recovered);
        let later = publish_some(&stack, tenant, "page:1", 3).await;
        assert_eq!(after.seqs_to(later[2]).await, [missed, later].concat());
    });
}

#[test]
fn i3_who_has_had_no_event_recovers_too() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-none");
        let before = Client::connect(&stack, 0, tenant, Value::Null, None).await;
        let missed = publish_some(&stack, tenant, "user:mila", 2).await;
        let mut after = Client::connect(&stack, 1, tenant, Value::Null, Some(&before)).await;
        assert!(after.recovered);
        assert_eq!(after.seqs_to(missed[1]).await, missed);
    });
}

#[test]
fn i4_rooms_that_were_joined_later_come_back_too_as_soon_as_the_client_was_told() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-rooms-back");
        open_pages(&stack, tenant).await;
        let mut before = Client::connect(&stack, 0, tenant, Value::Null, None).await;
        // One after the other, without a pause.
        before.engine.emit(json!(["join", "page:1"])).await;
        assert_eq!(before.call(json!(["join", "page:2"])).await["type"], json!("ok"));
        assert_eq!(before.next("carillon:recovery").await[1], json!({"recoverable": false}));
        assert_eq!(before.offset.as_deref(), Some("-"), "until they are kept nothing is recovered");
        assert_eq!(before.next("carillon:recovery").await[1], json!({"recoverable": true}));
        let first = publish(&stack, tenant, &["page:1"], json!(1)).await.seq;
        assert_eq!(before.seqs_to(first).await, [first]);
        let missed = [
            publish(&stack, tenant, &["page:2"], json!(2)).await.seq,
            publish(&stack, tenant, &["page:1"], json!(3)).await.seq,
        ];
        let mut after = Client::connect(&stack, 1, tenant, Value::Null, Some(&before)).await;
        assert!(after.recovered);
        assert_eq!(after.seqs_to(missed[1]).await, missed);
        // What it leaves is left, also for the next time.
        assert_eq!(after.call(json!(["leave", "page:2"])).await["type"], json!("ok"));
        after.next("carillon:recovery").await;
        assert_eq!(after.next("carillon:recovery").await[1], json!({"recoverable": true}));
        publish(&stack, tenant, &["page:2"], json!(4)).await;
        let last = publish(&stack, tenant, &["page:1"], json!(5)).await.seq;
        let mut again = Client::connect(&stack, 0, tenant, Value::Null, Some(&after)).await;
        assert!(again.recovered);
        assert_eq!(again.seqs_to(last).await, [last]);
    });
}

#[test]
fn nothing_is_recovered_that_is_not_known_and_the_client_hears_it() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-strange");
        open_pages(&stack, tenant).await;
        let mut own = Client::connect(&stack, 0, tenant, Value::Null, None).await;
        own.call(json!(["join", "page:1"])).await;
        own.next("carillon:recovery").await;
        own.next("carillon:recovery").await;
        let (id, offset) = (own.id.clone().unwrap(), own.offset.clone().unwrap());
        assert!(offset.ends_with('+'), "{offset}");
        let position = offset.trim_end_matches('+').to_owned();
        let far = format!("{}:999999999", position.split(':').next().unwrap());
        for (pid, offset) in [
            (id.clone(), "alice".to_owned()),
            (id.clone(), "-".to_owned()),
            (id.clone(), String::new()),
            // Of an epoch that the log never had, and of an event that is not there yet.
            (id.clone(), "e0:1".to_owned()),
            (id.clone(), far),
            // Nobody's rooms.
            ("f".repeat(32), offset.clone()),
            ("no id of ours!".to_owned(), position.clone()),
        ] {
            let strange = json!({"pid": pid, "offset": offset});
            let other = Client::connect(&stack, 1, tenant, strange, None).await;
            assert_ne!(other.id.as_deref(), Some(&*pid), "{pid} {offset}");
        }
        // Who names more channels now than it had begins anew, and knows it.
        let more = json!({"pid": id, "offset": offset, "channels": ["page:9"]});
        assert_ne!(Client::connect(&stack, 0, tenant, more, None).await.id.as_deref(), Some(&*id));
        // Somebody else on the same page, with the id and the position of who was there before.
        let auth = json!({"token": token(&stack, &claims(tenant, "jan")), "pid": id, "offset": position});
        let mut jan = Engine::open(stack.gateway(1), "", &[]).await;
        assert_ne!(jan.connect(&auth).await.unwrap()["pid"], json!(id));
        // And with the offset that says that there are rooms.
        let auth = json!({"token": token(&stack, &claims(tenant, "jan")), "pid": id, "offset": offset});
        let mut jan = Engine::open(stack.gateway(1), "", &[]).await;
        assert_ne!(jan.connect(&auth).await.unwrap()["pid"], json!(id));
    });
}

#[test]
fn who_does_not_recover_gets_no_argument_more_and_a_browser_recovers_unasked() {
    block_on(async {
        let (stack, tenant) = (stack().await, "door-arguments");
        let auth = json!({"token": token(&stack, &claims(tenant, "mila"))});
        let mut plain = Engine::open(stack.gateway(0), "", &[("user-agent", "okhttp/4.12")]).await;
        assert_eq!(plain.connect(&auth).await.unwrap().get("pid"), None);
        let agent =
            [("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")];
        let mut browser = Engine::open(stack.gateway(0), "", &agent).await;
        assert!(browser.connect(&auth).await.unwrap()["pid"].is_string());
        let mut unwilling = auth.clone();
        unwilling["recovery"] = json!(false);
        let mut other = Engine::open(stack.gateway(0), "", &agent).await;
        assert_eq!(other.connect(&unwilling).await.unwrap().get("pid"), None);
        publish(&stack, tenant, &["user:mila"], json!(1)).await;
        for (engine, arguments) in [(&mut plain, 3), (&mut browser, 4), (&mut other, 3)] {
            assert_eq!(engine.next("wire.test").await.as_array().unwrap().len(), arguments);
        }
    });
}
