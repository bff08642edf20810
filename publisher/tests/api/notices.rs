//! Do devices hear of their person's inbox, is a notice taken back everywhere, and is it known what became of it?

use crate::harness::{Api, NONE};
use crate::inbox::{Bell, notice};
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_is_told_to_their_devices_with_the_version_and_counts_of_the_answer() {
    use carillon_protocol::envelope::{LiveKind, Message, read};
    let (api, tenant) = (Api::new().await, "inbox-told");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    let one = notice(&api, tenant, "one", json!({"tenant": true}), json!({})).await;
    let two = notice(&api, tenant, "two", json!({"tenant": true}), json!({})).await;
    let mut answers = vec![bell.call(Method::POST, &format!("/v1/inbox/{one}/read"), None).await.json];
    bell.mark(one, "read").await;
    answers.push(bell.all("read-all", json!(two)).await.json);
    bell.all("read-all", json!(one)).await;
    answers.push(bell.call(Method::DELETE, &format!("/v1/inbox/{two}"), None).await.json);
    let told: Vec<(String, Value)> = api
        .live
        .lock()
        .unwrap()
        .iter()
        .map(|envelope| {
            let Ok(Message::Live(live)) = read(envelope.clone()) else { panic!("no live envelope") };
            let LiveKind::Signal(signal) = live.kind else { panic!("no signal") };
            assert_eq!(live.tenant.as_str(), tenant);
            (signal.channel.as_str().to_owned(), serde_json::from_slice(&signal.frame).unwrap())
        })
        .collect();
    let frame = |answer: &Value, more: Value| {
        let mut frame = json!({"type": "inbox", "version": answer["version"], "unread": answer["unread"], "unseen": answer["unseen"]});
        frame.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        ("user:mila".to_owned(), frame)
    };
    let expected = [
        frame(&answers[0], json!({"changed": [{"seq": one, "read": true}]})),
        frame(&answers[1], json!({"read_to": two})),
        frame(&answers[2], json!({"changed": [{"seq": two, "deleted": true}]})),
    ];
    assert_eq!(told, expected, "once for each change, and nothing for what was so already");
    let versions: Vec<_> = answers.iter().map(|answer| answer["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_taken_back_is_in_no_inbox_and_everybody_hears_of_it() {
    use carillon_protocol::envelope::{LiveKind, Message, read};
    let (api, tenant) = (Api::new().await, "inbox-retract");
    let (mila, jan) = (Bell::of(&api, "mila", tenant, &[]), Bell::of(&api, "jan", tenant, &[]));
    mila.list("").await;
    jan.list("").await;
    let id = json!({"id": "n1"});
    let one = notice(&api, tenant, "one", json!({"tenant": true, "users": ["mila"]}), id).await;
    let two = notice(&api, tenant, "two", json!({"tenant": true}), json!({})).await;
    mila.mark(one, "read").await;
    let tag = jan.get("/v1/inbox").await.header("etag").unwrap().to_owned();
    let path = format!("/v1/notices/n1?tenant={tenant}");
    let gone = api.call(Method::DELETE, &path, &[], Body::empty()).await;
    assert_eq!((gone.status.as_u16(), &gone.json["seq"]), (200, &json!(one)), "{:?}", gone.json);
    let again = api.call(Method::DELETE, &path, &[], Body::empty()).await;
    assert_eq!(again.json, gone.json);
    for bell in [&mila, &jan] {
        assert_eq!(bell.list("all").await, [(two, false)]);
        bell.call(Method::POST, &format!("/v1/inbox/{one}/read"), None).await.problem(404, "not_found");
    }
    let changed = api.get_with(&[("authorization", &jan.bearer), ("if-none-match", &tag)], "/v1/inbox").await;
    assert_eq!(changed.status, 200, "what somebody has is spent");
    let told: Vec<(String, Value)> = api
        .live
        .lock()
        .unwrap()
        .iter()
        .filter_map(|envelope| {
            let Ok(Message::Live(live)) = read(envelope.clone()) else { return None };
            let LiveKind::Signal(signal) = live.kind else { return None };
            let frame: Value = serde_json::from_slice(&signal.frame).unwrap();
            frame.get("retracted").is_some().then(|| (signal.channel.as_str().to_owned(), frame))
        })
        .collect();
    let frame = json!({"type": "inbox", "retracted": one});
    assert_eq!(
        told,
        [("user:mila".into(), frame.clone()), ("tenant".into(), frame)],
        "once for each channel"
    );
    let missing =
        api.call(Method::DELETE, &format!("/v1/notices/none?tenant={tenant}"), &[], Body::empty()).await;
    missing.problem(404, "not_found");
    let forbidden = mila.call(Method::DELETE, "/v1/notices/n1", None).await;
    forbidden.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_notice_is_counted_and_listed_by_name() {
    let (api, tenant) = (Api::new().await, "inbox-status");
    let people = ["a", "b", "c", "d"].map(|user| Bell::of(&api, user, tenant, &[]));
    for bell in &people {
        bell.list("").await;
    }
    let ask = json!({"id": "n1", "requires_ack": true});
    let seq = notice(&api, tenant, "take note", json!({"tenant": true, "users": ["named"]}), ask).await;
    people[0].mark(seq, "ack").await;
    people[1].mark(seq, "read").await;
    people[2].all("seen-all", json!(seq)).await;
    let get = async |more: &str| api.get(&format!("/v1/notices/n1?tenant={tenant}{more}")).await.json;
    let all = get("").await;
    for (name, count) in [("audience", 5), ("delivered", 3), ("seen", 3), ("read", 2), ("acked", 1)] {
        assert_eq!(all[name], count, "{name}: {all}");
    }
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|person| person["user"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all["not_acked"]), ["b", "c", "d", "named"]);
    assert_eq!(
        (&all["not_acked"][0]["read"], &all["not_acked"][1]["seen"], &all["next"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    for (list, expected) in [
        ("acked", &["a"][..]),
        ("seen", &["a", "b", "c"]),
        ("delivered", &["a", "b", "c"]),
        ("not_delivered", &["d", "named"]),
    ] {
        assert_eq!(names(&get(&format!("&list={list}")).await["people"]), expected, "{list}");
    }
    let first = get("&limit=3").await;
    assert_eq!(
        (names(&first["not_acked"]), &first["next"]),
        (vec!["b".into(), "c".into(), "d".into()], &json!("d"))
    );
    assert_eq!(names(&get("&limit=3&after=d").await["not_acked"]), ["named"]);
    people[0].get("/v1/notices/n1").await.problem(403, "missing_scope");
    api.get(&format!("/v1/notices/none?tenant={tenant}")).await.problem(404, "not_found");
    api.get(&format!("/v1/notices/n1?tenant={tenant}&list=all")).await.problem(400, "invalid_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_in_the_inbox_of_whoever_follows_it_and_may_read_it() {
    let (api, tenant) = (Api::new().await, "inbox-follows");
    let allowed = crate::harness::token_for("mila", tenant, &["order:*"], NONE);
    let mila = Bell::with(&api, allowed);
    let plain = Bell::of(&api, "mila", tenant, &[]);
    let order = || json!({"channels": ["order:7"]});
    mila.list("").await;
    api.post(json!({"tenant": tenant, "type": "t", "tenant_wide": true})).await.seq();
    let before = notice(&api, tenant, "before", order(), json!({})).await;
    let follow = mila.call(Method::PUT, "/v1/inbox/follows/order:7", None).await;
    assert_eq!(Bell::done(&follow), 0, "what came before is not theirs");
    assert_eq!(mila.get("/v1/inbox/follows").await.json, json!({"channels": ["order:7"]}));
    let after = notice(&api, tenant, "after", order(), json!({})).await;
    assert!(before < after);
    assert_eq!(mila.list("").await, [(after, false)]);
    assert_eq!(
        plain.list("").await,
        [],
        "a token that does not allow the channel any more shows nothing of it"
    );
    plain.call(Method::POST, &format!("/v1/inbox/{after}/read"), None).await.problem(404, "not_found");
    plain.call(Method::PUT, "/v1/inbox/follows/order:8", None).await.problem(403, "forbidden");
    mila.call(Method::PUT, "/v1/inbox/follows/no%20channel", None).await.problem(400, "invalid_parameter");
    Bell::done(&mila.call(Method::DELETE, "/v1/inbox/follows/order:7", None).await);
    assert_eq!(mila.list("").await, []);
}
