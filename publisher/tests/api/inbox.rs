//! Is a notice in the inbox of everybody it is for, and does the inbox say of it what its person did with it?

use crate::harness::{Api, NONE, Reply, token};
use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

/// Somebody's inbox.
pub(crate) struct Bell<'a> {
    api: &'a Api,
    pub(crate) bearer: String,
}

impl<'a> Bell<'a> {
    pub(crate) fn of(api: &'a Api, user: &str, tenant: &str, roles: &[&str]) -> Self {
        Self { api, bearer: token(user, &[(tenant, roles)], NONE) }
    }

    pub(crate) fn with(api: &'a Api, bearer: String) -> Self {
        Self { api, bearer }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.api.get_with(&[("authorization", &self.bearer)], path).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        self.api.call(method, path, &headers, body).await
    }

    /// Does something that works; what is unread afterwards.
    #[track_caller]
    pub(crate) fn done(reply: &Reply) -> u64 {
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        reply.json["unread"].as_u64().unwrap()
    }

    pub(crate) async fn mark(&self, seq: u64, what: &str) -> u64 {
        Self::done(&self.call(Method::POST, &format!("/v1/inbox/{seq}/{what}"), None).await)
    }

    pub(crate) async fn all(&self, what: &str, up_to: Value) -> Reply {
        self.call(Method::POST, &format!("/v1/inbox/{what}"), Some(json!({"up_to": up_to}))).await
    }

    /// The entries of a view, by number, and whether each is read; that the list agrees with the counts.
    pub(crate) async fn list(&self, filter: &str) -> Vec<(u64, bool)> {
        let path = if filter.is_empty() { "/v1/inbox".into() } else { format!("/v1/inbox?filter={filter}") };
        let list = self.get(&path).await;
        assert_eq!(list.status, 200, "{:?}", list.json);
        let of = |item: &Value| (item["seq"].as_u64().unwrap(), item["read"].as_bool().unwrap());
        let items: Vec<_> = list.json["items"].as_array().unwrap().iter().map(of).collect();
        if filter.is_empty() && list.json["next"].is_null() {
            let unread = items.iter().filter(|(_, read)| !read).count() as u64;
            assert_eq!(list.json["unread"], unread, "{:?}", list.json);
        }
        items
    }
}

/// Publishes a notice; its number.
pub(crate) async fn notice(api: &Api, tenant: &str, title: &str, audience: Value, more: Value) -> u64 {
    let mut body = json!({"tenant": tenant, "title": title, "audience": audience});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    api.call(Method::POST, "/v1/notices", &[("content-type", "application/json")], body.to_string())
        .await
        .seq()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_in_every_inbox_it_is_for_once_and_in_no_other() {
    let (api, tenant) = (Api::new().await, "inbox-audience");
    notice(&api, tenant, "first", json!({"users": ["nobody"]}), json!({})).await;
    let mila = Bell::of(&api, "mila", tenant, &["desk", "lead"]);
    let jan = Bell::of(&api, "jan", tenant, &[]);
    let elsewhere = Bell::of(&api, "mila", "inbox-audience-2", &["desk"]);
    for bell in [&mila, &jan, &elsewhere] {
        assert_eq!(bell.list("").await, []);
    }
    let event = json!({"tenant": tenant, "type": "shift.moved", "users": ["mila"], "roles": ["desk", "lead"], "tenant_wide": true,
        "priority": "high", "actor": "boss", "data": {"shift": 7},
        "notify": {"title": "Shift moved", "body": "from 9\nto 10", "action": "/shifts/7"}});
    let all = api.post(&event).await.seq();
    let desk = notice(&api, tenant, "desk", json!({"roles": ["desk"]}), json!({"data": [1]})).await;
    api.post(json!({"tenant": tenant, "type": "t", "tenant_wide": true})).await.seq();
    assert_eq!(mila.list("").await, [(desk, false), (all, false)]);
    assert_eq!(jan.list("").await, [(all, false)]);
    assert_eq!(elsewhere.list("").await, []);
    let page = mila.get("/v1/inbox").await.json;
    let (first, second) = (&page["items"][0], &page["items"][1]);
    assert_eq!(
        (&first["type"], &first["data"], &first["priority"]),
        (&json!("notice"), &json!([1]), &json!("normal"))
    );
    for (name, value) in [
        ("title", json!("Shift moved")),
        ("body", json!("from 9\nto 10")),
        ("action", json!("/shifts/7")),
        ("type", json!("shift.moved")),
        ("priority", json!("high")),
        ("actor", json!("boss")),
        ("data", json!({"shift": 7})),
        ("seen", json!(false)),
        ("archived", json!(false)),
        ("requires_ack", json!(false)),
    ] {
        assert_eq!(second[name], value, "{name}");
    }
    assert_eq!((&page["unread"], &page["unseen"], &page["version"]), (&json!(2), &json!(2), &json!(1)));
    // The event has it, too, as an attribute that is a text.
    let logged = api.get(&format!("/v1/events?tenant={tenant}&type=shift.moved")).await.json;
    let notify: Value =
        serde_json::from_str(logged["events"][0]["event"]["notify"].as_str().unwrap()).unwrap();
    assert_eq!(notify, event["notify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_to_many_before_somebody_came_is_not_theirs_and_what_went_to_them_alone_is() {
    let (api, tenant) = (Api::new().await, "inbox-late");
    notice(&api, tenant, "old", json!({"tenant": true}), json!({})).await;
    let own = notice(&api, tenant, "welcome", json!({"users": ["new"]}), json!({})).await;
    let bell = Bell::of(&api, "new", tenant, &[]);
    assert_eq!(bell.list("").await, [(own, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_notice_is_stored_once_and_a_batch_with_one_stores_them_all() {
    let (api, tenant) = (Api::new().await, "inbox-repeat");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    let body = json!({"tenant": tenant, "id": "n1", "title": "once", "audience": {"users": ["mila"]}});
    let send =
        || api.call(Method::POST, "/v1/notices", &[("content-type", "application/json")], body.to_string());
    let (first, second) = (send().await, send().await);
    assert_eq!((first.seq(), second.header("idempotency-replayed")), (second.seq(), Some("true")));
    assert_eq!(bell.list("").await, [(first.seq(), false)]);
    // A known key among new notices: the others are stored all the same, once; keys of latest values go with them.
    let with = |id: &str| json!({"tenant": tenant, "id": id, "type": "t", "users": ["mila"], "key": "k", "data": 1, "notify": {"title": id}});
    let cloud = json!({"specversion": "1.0", "id": "c1", "source": "s", "type": "t", "tenant": tenant, "users": ["mila"], "notify": "{\"title\":\"text\"}"});
    let batch = api.post(json!([with("a"), with("b"), cloud])).await;
    assert_eq!(batch.status, 201, "{:?}", batch.json);
    assert_eq!(bell.list("").await.len(), 4);
    let wrong = json!([with("d"), {"tenant": tenant, "type": "t", "users": ["mila"], "notify": {"title": 1, "escalate": [{"after": "soon", "to": "webhook:push"}]}}]);
    api.post(wrong)
        .await
        .invalid(&[("/1/notify/title", "wrong_type"), ("/1/notify/escalate/0/after", "invalid")]);
    assert_eq!(bell.list("").await.len(), 4, "nothing of it was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_with_an_entry_is_in_list_and_count_and_can_be_undone() {
    let (api, tenant) = (Api::new().await, "inbox-marks");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    let other = Bell::of(&api, "jan", tenant, &[]);
    other.list("").await;
    let one = notice(&api, tenant, "one", json!({"users": ["mila"], "roles": ["r"]}), json!({})).await;
    let two =
        notice(&api, tenant, "two", json!({"users": ["mila", "jan"]}), json!({"requires_ack": true})).await;
    assert_eq!(bell.list("").await, [(two, false), (one, false)]);
    assert_eq!(bell.mark(one, "read").await, 1);
    assert_eq!(bell.list("unread").await, [(two, false)]);
    let version = bell.get("/v1/inbox/summary").await.json["version"].as_u64().unwrap();
    assert_eq!(bell.mark(one, "read").await, 1);
    assert_eq!(bell.get("/v1/inbox/summary").await.json["version"], version, "it was read before");
    assert_eq!(bell.mark(one, "unread").await, 2);
    assert_eq!(bell.mark(two, "archive").await, 1);
    assert_eq!((bell.list("").await, bell.list("archived").await), (vec![(one, false)], vec![(two, false)]));
    assert_eq!(bell.list("all").await, [(two, false), (one, false)]);
    assert_eq!(bell.mark(two, "unarchive").await, 2);
    let entry = format!("/v1/inbox/{two}");
    assert_eq!(Bell::done(&bell.call(Method::DELETE, &entry, None).await), 1);
    assert_eq!(bell.list("all").await, [(one, false)]);
    bell.call(Method::POST, &format!("{entry}/read"), None).await.problem(404, "not_found");
    assert_eq!(Bell::done(&bell.call(Method::PUT, &entry, None).await), 2);
    let snooze = format!("{entry}/snooze");
    let later = json!({"until": (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()});
    assert_eq!(Bell::done(&bell.call(Method::POST, &snooze, Some(later)).await), 1);
    assert_eq!((bell.list("").await, bell.list("snoozed").await), (vec![(one, false)], vec![(two, false)]));
    // Neither reads nor archives what is put off.
    assert_eq!(Bell::done(&bell.all("read-all", json!(two)).await), 0);
    assert_eq!(Bell::done(&bell.all("archive-all", json!(two)).await), 0);
    assert_eq!(bell.list("archived").await, [(one, true)]);
    assert_eq!(Bell::done(&bell.call(Method::POST, &snooze, Some(json!({"until": null}))).await), 1);
    assert_eq!(bell.list("").await, [(two, false)]);
    assert_eq!(bell.mark(two, "ack").await, 0);
    let acked = bell.get("/v1/inbox").await.json["items"][0].clone();
    assert!(acked["acked_at"].is_string() && acked["read"] == true, "{acked}");
    bell.call(Method::POST, &format!("/v1/inbox/{one}/ack"), None).await.problem(422, "invalid_mark");
    assert_eq!(other.list("").await, [(two, false)], "nobody else's is touched");
    for (body, at, code) in [
        (json!({"until": "2020-01-01T00:00:00Z"}), "/until", "invalid"),
        (json!({"until": "2999-01-01T00:00:00Z"}), "/until", "invalid"),
        (json!({"until": 7}), "/until", "wrong_type"),
        (json!({"untill": null}), "/untill", "unknown_field"),
    ] {
        let refused = bell.call(Method::POST, &snooze, Some(body)).await;
        refused.problem(422, "invalid_mark");
        assert_eq!(refused.faults(), [(at.to_owned(), code.to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_only_moves_forward_and_never_past_the_head() {
    let (api, tenant) = (Api::new().await, "inbox-watermarks");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    let mut seqs = Vec::new();
    for n in 0..4 {
        seqs.push(notice(&api, tenant, &format!("n{n}"), json!({"tenant": true}), json!({})).await);
    }
    let read = bell.all("read-all", json!(seqs[1])).await;
    assert_eq!((Bell::done(&read), &read.json["up_to"]), (2, &json!(seqs[1])));
    let back = bell.all("read-all", json!(seqs[0])).await;
    assert_eq!(
        (Bell::done(&back), &back.json["up_to"], &back.json["version"]),
        (2, &json!(seqs[1]), &read.json["version"])
    );
    // Exceptions on both sides of it.
    assert_eq!(bell.mark(seqs[0], "unread").await, 3);
    assert_eq!(bell.mark(seqs[3], "read").await, 2);
    let seen = bell.all("seen-all", json!(seqs[2])).await;
    assert_eq!((Bell::done(&seen), &seen.json["unseen"]), (2, &json!(0)));
    let beyond = bell.all("read-all", json!(1_000_000)).await;
    assert_eq!((Bell::done(&beyond), &beyond.json["up_to"]), (0, &json!(seqs[3])));
    let marks = format!("select count(*) from carillon.inbox_marks where tenant_id = '{tenant}'");
    assert_eq!(api.database.sql(&marks), "0", "the watermark says it all");
    let next = notice(&api, tenant, "next", json!({"tenant": true}), json!({})).await;
    assert_eq!(bell.list("unread").await, [(next, false)], "what comes later is not read");
    let epoch = bell.get("/v1/inbox").await.json["epoch"].as_str().unwrap().to_owned();
    for (up_to, code) in [
        (json!(-1), "invalid"),
        (json!(1.5), "invalid"),
        (json!("x"), "invalid"),
        (json!("no:7"), "invalid_cursor"),
        (json!([1]), "wrong_type"),
        (json!(null), "required"),
    ] {
        let refused = bell.all("read-all", up_to.clone()).await;
        refused.problem(422, "invalid_mark");
        assert_eq!(refused.faults(), [("/up_to".to_owned(), code.to_owned())], "{up_to}");
    }
    assert_eq!(Bell::done(&bell.all("clear", json!(format!("{epoch}:{}", seqs[3]))).await), 1);
    assert_eq!(bell.list("all").await, [(next, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_foreign_and_unknown_entries_are_not_found_whatever_is_done_with_them() {
    let (api, tenant) = (Api::new().await, "inbox-foreign");
    let (mila, jan) = (Bell::of(&api, "mila", tenant, &[]), Bell::of(&api, "jan", tenant, &[]));
    let abroad = Bell::of(&api, "mila", "inbox-foreign-2", &[]);
    let mine = notice(&api, tenant, "mine", json!({"users": ["mila"]}), json!({"requires_ack": true})).await;
    notice(&api, "inbox-foreign-2", "abroad", json!({"users": ["x"]}), json!({})).await;
    let until = json!({"until": null});
    for (bell, seq) in
        [(&jan, mine.to_string()), (&abroad, mine.to_string()), (&mila, "999".into()), (&mila, "x".into())]
    {
        for what in ["read", "unread", "archive", "unarchive", "ack", "snooze"] {
            let body = (what == "snooze").then(|| until.clone());
            bell.call(Method::POST, &format!("/v1/inbox/{seq}/{what}"), body).await.problem(404, "not_found");
        }
        for method in [Method::DELETE, Method::PUT] {
            bell.call(method, &format!("/v1/inbox/{seq}"), None).await.problem(404, "not_found");
        }
    }
    assert_eq!(
        (mila.list("").await, jan.list("").await, abroad.list("").await),
        (vec![(mine, false)], vec![], vec![])
    );
    let key = api.get(&format!("/v1/inbox?tenant={tenant}")).await;
    key.problem(403, "missing_scope");
    // Row security: without a scope nobody sees a row, and with one those of that tenant alone.
    let tables = ["notices", "notice_audience", "inbox_state", "inbox_marks", "followers", "notice_changes"];
    mila.mark(mine, "archive").await;
    for table in tables {
        let sql = |scope: &str| {
            format!(
                "set role carillon_publisher; begin; select set_config('carillon.tenant', '{scope}', true); select count(*) from carillon.{table} where tenant_id = '{tenant}'; commit"
            )
        };
        for scope in ["", "inbox-foreign-2"] {
            assert_eq!(api.database.sql(&sql(scope)).lines().last(), Some("0"), "{table} {scope}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_one_entry_the_newest_in_list_and_count() {
    let (api, tenant) = (Api::new().await, "inbox-groups");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    let group = json!({"group": "order:7"});
    let mut seqs = Vec::new();
    for n in 0..5 {
        seqs.push(notice(&api, tenant, &format!("n{n}"), json!({"tenant": true}), group.clone()).await);
    }
    let alone = notice(&api, tenant, "alone", json!({"tenant": true}), json!({})).await;
    notice(&api, tenant, "not hers", json!({"users": ["jan"]}), group.clone()).await;
    assert_eq!(bell.list("").await, [(alone, false), (seqs[4], false)]);
    let folded = bell.get("/v1/inbox").await.json["items"][1].clone();
    assert_eq!((&folded["count"], &folded["group"]), (&json!(5), &json!("order:7")));
    assert_eq!(bell.get("/v1/inbox/summary").await.json["unread"], 2);
    // On pages of one it is told once.
    let first = bell.get("/v1/inbox?limit=1").await.json;
    let second = bell.get(&format!("/v1/inbox?limit=1&after={}", first["next"].as_str().unwrap())).await.json;
    assert_eq!(second["items"][0]["seq"], seqs[4]);
    if let Some(next) = second["next"].as_str() {
        assert_eq!(bell.get(&format!("/v1/inbox?after={next}")).await.json["items"], json!([]));
    }
    assert_eq!(bell.mark(seqs[4], "read").await, 1);
    assert_eq!(bell.list("unread").await, [(alone, false)]);
    let sixth = notice(&api, tenant, "n5", json!({"tenant": true}), group).await;
    assert_eq!(bell.list("").await, [(sixth, false), (alone, false)]);
    assert_eq!(bell.get("/v1/inbox?filter=unread").await.json["items"][0]["count"], 1);
    assert_eq!(Bell::done(&bell.call(Method::DELETE, &format!("/v1/inbox/{sixth}"), None).await), 1);
    assert_eq!(bell.list("all").await, [(alone, false)], "none of it comes up again");
    assert_eq!(Bell::done(&bell.call(Method::PUT, &format!("/v1/inbox/{sixth}"), None).await), 2);
    assert_eq!(bell.list("").await, [(sixth, false), (alone, false)]);
    assert_eq!(
        bell.get("/v1/inbox").await.json["items"][0]["count"],
        6,
        "all that was deleted with it is back"
    );
}

/// What was put away before is another entry by now: nothing that is done to the newest brings it up again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_a_group_leaves_those_alone_that_were_put_away_before() {
    let (api, tenant) = (Api::new().await, "inbox-put-away");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    let group = json!({"group": "order:7"});
    let next = async |name: &str| notice(&api, tenant, name, json!({"tenant": true}), group.clone()).await;
    let (deleted, archived, newest) = (next("deleted").await, next("archived").await, next("newest").await);
    Bell::done(&bell.call(Method::DELETE, &format!("/v1/inbox/{deleted}"), None).await);
    bell.mark(archived, "archive").await;
    assert_eq!(bell.list("").await, [(newest, false)]);
    let until = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
    for until in [json!({"until": until}), json!({"until": null})] {
        Bell::done(&bell.call(Method::POST, &format!("/v1/inbox/{newest}/snooze"), Some(until)).await);
    }
    for method in [Method::DELETE, Method::PUT] {
        Bell::done(&bell.call(method, &format!("/v1/inbox/{newest}"), None).await);
    }
    assert_eq!(bell.get("/v1/inbox").await.json["items"][0]["count"], 1, "neither of the others");
    assert_eq!(bell.list("archived").await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [archived]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_filters_take_everything_once_and_counts_end_at_a_hundred() {
    let (api, tenant) = (Api::new().await, "inbox-pages");
    let bell = Bell::of(&api, "mila", tenant, &["desk"]);
    bell.list("").await;
    let events: Vec<Value> = (0..120)
        .map(|n| json!({"tenant": tenant, "type": if n % 2 == 0 { "even.x" } else { "odd.x" }, "roles": ["desk"], "tenant_wide": true, "notify": {"title": format!("n{n}")}}))
        .collect();
    assert_eq!(api.post(json!(events)).await.status, 201);
    let (mut path, mut all) = ("/v1/inbox?limit=50".to_owned(), Vec::new());
    loop {
        let page = bell.get(&path).await.json;
        all.extend(page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()));
        assert_eq!((&page["unread"], &page["more"]), (&json!(100), &json!(true)));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/inbox?limit=50&after={next}");
    }
    assert!(all.len() == 120 && all.windows(2).all(|two| two[0] > two[1]), "{all:?}");
    let exact = bell.get("/v1/inbox/summary?exact=true").await.json;
    assert_eq!((&exact["unread"], &exact["more"]), (&json!(120), &Value::Null));
    let found = bell.get("/v1/inbox?q=N11&limit=200").await.json;
    let titles: Vec<_> =
        found["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect();
    assert_eq!(titles.len(), 11, "n11 and n110 to n119: {titles:?}");
    let odd = bell.get("/v1/inbox?type=odd.*&limit=200").await.json;
    assert_eq!(odd["items"].as_array().unwrap().len(), 60);
    for (query, parameter, code) in [
        ("filter=new", "filter", "invalid_parameter"),
        ("limit=201", "limit", "invalid_parameter"),
        ("after=x", "after", "invalid_cursor"),
        ("exact=1", "exact", "invalid_parameter"),
        ("page=2", "page", "invalid_parameter"),
    ] {
        let refused = bell.get(&format!("/v1/inbox?{query}")).await;
        refused.problem(400, code);
        assert_eq!(refused.faults()[0].0, parameter);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_somebody_has_is_not_sent_again_and_one_that_is_another_is() {
    let (api, tenant) = (Api::new().await, "inbox-tags");
    let bell = Bell::of(&api, "mila", tenant, &[]);
    bell.list("").await;
    let one = notice(&api, tenant, "one", json!({"tenant": true}), json!({})).await;
    let ask = async |path: &str, tag: &str| {
        api.get_with(&[("authorization", &bell.bearer), ("if-none-match", tag)], path).await
    };
    for path in ["/v1/inbox", "/v1/inbox/summary"] {
        let first = bell.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        assert_eq!(first.header("cache-control"), Some("private, no-cache"));
        let same = ask(path, &tag).await;
        assert_eq!(
            (same.status.as_u16(), same.header("etag"), same.bytes.len()),
            (304, Some(tag.as_str()), 0)
        );
        bell.mark(one, "read").await;
        assert_eq!(ask(path, &tag).await.status, 200, "something was done");
        bell.mark(one, "unread").await;
        let tag = bell.get(path).await.header("etag").unwrap().to_owned();
        notice(&api, tenant, "more", json!({"tenant": true}), json!({"group": "g"})).await;
        assert_eq!(ask(path, &tag).await.status, 200, "a notice came");
    }
    assert_eq!(
        ask("/v1/inbox?limit=7", bell.get("/v1/inbox").await.header("etag").unwrap()).await.status,
        200
    );
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4)).to_string();
    notice(&api, tenant, "brief", json!({"tenant": true}), json!({"expires_at": soon})).await;
    let before = bell.get("/v1/inbox/summary").await;
    let tag = before.header("etag").unwrap();
    // It expires without anybody doing anything.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let after = loop {
        let answer = ask("/v1/inbox/summary", tag).await;
        if answer.status == 200 || std::time::Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(after.json["unread"].as_u64().unwrap() + 1, before.json["unread"].as_u64().unwrap());
}
