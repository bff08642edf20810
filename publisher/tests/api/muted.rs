//! Do notices of types that somebody does not want leave their inbox, and come back, in list, counts, tags and frames alike?

use crate::harness::{ADMIN, Api, token_for};
use crate::inbox::{Bell, notice};
use carillon_protocol::envelope::{LiveKind, Message, read};
use http::Method;
use serde_json::{Value, json};

/// The frames that were sent in a tenant, each with its channel.
fn frames(api: &Api, tenant: &str) -> Vec<(String, Value)> {
    let live = api.live.lock().unwrap();
    let told = live.iter().filter_map(|envelope| {
        let Ok(Message::Live(live)) = read(envelope.clone()) else { return None };
        let LiveKind::Signal(signal) = live.kind else { return None };
        let frame: Value = serde_json::from_slice(&signal.frame).unwrap();
        (live.tenant.as_str() == tenant).then(|| (signal.channel.as_str().to_owned(), frame))
    });
    told.collect()
}

async fn mute(bell: &Bell<'_>, types: Value) {
    let set = bell.call(Method::PUT, "/v1/preferences", Some(json!({"types": types}))).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn muted_types_leave_list_counts_and_tags_and_come_back_as_they_were() {
    let (api, tenant) = (Api::new().await, "inbox-muted");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    let other = Bell::of(&api, "jan", tenant, &[]);
    bell.list("").await;
    other.list("").await;
    let of = async |kind: &str, more: Value| {
        let mut body = json!({"type": kind});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        notice(&api, tenant, kind, json!({"tenant": true}), body).await
    };
    let chat = of("chat.message", json!({"requires_ack": true})).await;
    let order = of("order.paid", json!({"group": "g"})).await;
    let chatter = of("chat.message", json!({"group": "g"})).await;
    assert_eq!(bell.list("").await, [(chatter, false), (chat, false)], "the group is its newest");
    let first = bell.get("/v1/inbox").await;
    let tag = first.header("etag").unwrap().to_owned();
    mute(&bell, json!({"chat.*": {"inbox": false}})).await;
    // Groups are folded of what is left.
    assert_eq!(bell.list("").await, [(order, false)]);
    for filter in ["unread", "all"] {
        assert_eq!(bell.list(filter).await, [(order, false)], "{filter}");
    }
    assert_eq!(bell.get("/v1/inbox").await.json["items"][0]["count"], 1);
    let again = api.get_with(&[("authorization", &bell.bearer), ("if-none-match", &tag)], "/v1/inbox").await;
    assert_eq!(
        (again.status.as_u16(), &again.json["unread"]),
        (200, &json!(1)),
        "what somebody has is spent"
    );
    assert_eq!(bell.get("/v1/inbox/summary").await.json, json!({"version": 2, "unread": 1, "unseen": 1}));
    // It is kept: whoever knows of it by its event can take note of it.
    assert_eq!(bell.mark(chat, "ack").await, 1);
    assert_eq!(other.list("").await, [(chatter, false), (chat, false)], "nobody else's is touched");
    // What is said about other means is nothing for the inbox.
    mute(&bell, json!({"chat.*": {"inbox": false, "toast": false}})).await;
    assert_eq!(bell.get("/v1/inbox/summary").await.json["version"], 3);
    mute(&bell, json!({})).await;
    assert_eq!(
        bell.list("").await,
        [(chatter, false), (chat, true)],
        "as they were, and as they were marked"
    );
    let told: Vec<Value> = frames(&api, tenant)
        .into_iter()
        .map(|(channel, frame)| {
            assert_eq!(channel, "user:mila");
            frame
        })
        .filter(|frame| frame["stale"] == true)
        .collect();
    let frame = |version: u64, unread: u64| json!({"type": "inbox", "version": version, "unread": unread, "unseen": unread, "stale": true});
    assert_eq!(told, [frame(2, 1), frame(4, 1)], "once for each change of what stands there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_or_a_type_keeps_out_is_out_and_what_is_mandatory_is_not() {
    let (api, tenant) = (Api::new().await, "inbox-muted-by");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    let admin = Bell::with(&api, token_for("ada", tenant, &[], ADMIN));
    bell.list("").await;
    let put = async |path: &str, body: Value| {
        let set = admin.call(Method::PUT, path, Some(body)).await;
        assert_eq!(set.status, 200, "{path}: {:?}", set.json);
    };
    let mut seqs = Vec::new();
    for kind in ["alarm", "chat", "news", "debug"] {
        seqs.push(notice(&api, tenant, kind, json!({"tenant": true}), json!({"type": kind})).await);
    }
    let stands = async |expected: &[usize]| {
        let expected: Vec<(u64, bool)> = expected.iter().rev().map(|at| (seqs[*at], false)).collect();
        assert_eq!(bell.list("").await, expected);
    };
    stands(&[0, 1, 2, 3]).await;
    let tag = bell.get("/v1/inbox").await.header("etag").unwrap().to_owned();
    put("/v1/event-types/debug", json!({"defaults": {"inbox": false}})).await;
    let again = api.get_with(&[("authorization", &bell.bearer), ("if-none-match", &tag)], "/v1/inbox").await;
    assert_eq!(again.status, 200, "a type that says otherwise makes another answer");
    stands(&[0, 1, 2]).await;
    put("/v1/event-types/alarm", json!({"mandatory": true, "schema": {"type": ["object", "null"]}})).await;
    put("/v1/preferences/defaults", json!({"types": {"*": {"inbox": false}, "news": {"inbox": true}}})).await;
    stands(&[0, 2]).await;
    mute(&bell, json!({"*": {"inbox": true}, "alarm": {"inbox": false}, "news": {"inbox": false}})).await;
    stands(&[0, 1, 3]).await;
    assert_eq!(bell.get("/v1/inbox/summary?exact=true").await.json["unread"], 3);
    // Somebody else sets it for them: what is in their inbox depends on their roles, so no counts are told.
    put("/v1/preferences?user=mila", json!({})).await;
    stands(&[0, 2]).await;
    put("/v1/event-types/alarm", json!({"mandatory": true, "title": "x"})).await;
    let gone = admin.call(Method::DELETE, "/v1/event-types/alarm", None).await;
    assert_eq!(gone.status, 204);
    stands(&[2]).await;
    let told: Vec<(String, Value)> = frames(&api, tenant);
    let all = ("tenant".to_owned(), json!({"type": "inbox", "stale": true}));
    let version = bell.get("/v1/inbox/summary").await.json["version"].clone();
    let own = |frame: Value| ("user:mila".to_owned(), frame);
    let expected = [
        // The type that is off, the one that is mandatory, the defaults.
        all.clone(),
        all.clone(),
        all.clone(),
        own(json!({"type": "inbox", "version": 2, "unread": 3, "unseen": 3, "stale": true})),
        own(json!({"type": "inbox", "version": version, "stale": true})),
        // A title is nothing for the inbox; a type that is gone was mandatory.
        all,
    ];
    assert_eq!((told, version), (expected.to_vec(), json!(3)));
}
