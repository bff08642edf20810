//! Are channel rules kept as they were set, refused with the reason, and obeyed by who reads the log?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token, token_for};
use carillon_protocol::TenantId;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(api: &Api, tenant: &str, pattern: &str, rule: Value) -> Reply {
    put_with(api, &[], tenant, pattern, rule).await
}

async fn put_with(api: &Api, headers: &[(&str, &str)], tenant: &str, pattern: &str, rule: Value) -> Reply {
    let path =
        format!("/v1/channel-rules/{}?tenant={tenant}", pattern.replace('{', "%7B").replace('}', "%7D"));
    api.call(Method::PUT, &path, &[&[JSON], headers].concat(), rule.to_string()).await
}

async fn delete(api: &Api, path: &str) -> Reply {
    api.call(Method::DELETE, path, &[], "").await
}

fn version(api: &Api, tenant: &str) -> u64 {
    let query = format!("select settings_version from carillon.tenants where id = '{tenant}'");
    api.database.sql(&query).parse().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_kept_as_it_was_set_and_moves_the_version() {
    let api = Api::new().await;
    let set = put(&api, "rules-kept", "staff:{user}", json!({"subscribe": ["self"], "rate": 3})).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
    let expected = json!({
        "pattern": "staff:{user}", "subscribe": ["self"], "publish": [], "signal": [], "presence": [], "history": ["self"],
        "client_types": ["*"], "durable": false, "typing": true, "presence_grace_ms": 10_000, "rate": 3,
    });
    assert_eq!(set.json, expected);
    let first = version(&api, "rules-kept");
    assert!(first > 0);
    let one = "/v1/channel-rules/staff:%7Buser%7D?tenant=rules-kept";
    assert_eq!(api.get(one).await.json, expected);
    assert_eq!(put(&api, "rules-kept", "branch:*", json!({})).await.status, 200);
    let second = version(&api, "rules-kept");
    assert!(second > first, "each write moves it");
    let listed = api.get("/v1/channel-rules?tenant=rules-kept").await.json;
    let patterns: Vec<&str> =
        listed["rules"].as_array().unwrap().iter().map(|rule| rule["pattern"].as_str().unwrap()).collect();
    assert_eq!(patterns, ["branch:*", "staff:{user}"]);
    let replaced =
        put(&api, "rules-kept", "staff:{user}", json!({"signal": ["anyone"], "durable": true})).await;
    assert_eq!((&replaced.json["subscribe"], &replaced.json["durable"]), (&json!([]), &json!(true)));
    let third = version(&api, "rules-kept");
    assert_eq!(delete(&api, one).await.status, 204);
    assert!(version(&api, "rules-kept") > third);
    api.get(one).await.problem(404, "not_found");
    delete(&api, one).await.problem(404, "not_found");
    let tenant = TenantId::new("rules-kept").unwrap();
    let told = api.told.lock().unwrap().iter().filter(|told| **told == tenant).count();
    assert_eq!(told, 4, "gateways hear of every write, and of nothing else");
    assert_eq!(api.get("/v1/channel-rules?tenant=rules-nobody").await.json, json!({"rules": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_wrong_is_refused_with_the_place_of_every_fault() {
    let api = Api::new().await;
    let wrong = json!({"subscribe": ["anyone", "everyone"], "typing": "on", "signals": []});
    let reply = put(&api, "rules-wrong", "order:{order}", wrong).await;
    reply.problem(422, "invalid_rule");
    let mut faults = reply.faults();
    faults.sort();
    let expected = [("/signals", "unknown_field"), ("/subscribe/1", "invalid"), ("/typing", "wrong_type")];
    assert_eq!(faults, expected.map(|(at, code)| (at.to_owned(), code.to_owned())));
    let reply = put(&api, "rules-wrong", "order:{order}", json!({"signal": ["self"]})).await;
    assert_eq!(reply.faults(), [("/signal/0".to_owned(), "invalid".to_owned())]);
    assert!(reply.json["detail"].as_str().unwrap().contains("{user}"), "{:?}", reply.json);
    for pattern in ["a*b", "order:{Order}", "order:{o}x", "user:", "a%20b"] {
        let reply = put(&api, "rules-wrong", pattern, json!({})).await;
        reply.problem(400, "invalid_parameter");
        assert_eq!(reply.faults(), [("pattern".to_owned(), "invalid".to_owned())], "{pattern}");
    }
    let path = "/v1/channel-rules/a?tenant=rules-wrong";
    let send = async |body: &str| api.call(Method::PUT, path, &[JSON], body.to_owned()).await;
    send("{").await.problem(400, "invalid_json");
    let twice = send(r#"{"rate": 1, "rate": 2}"#).await;
    twice.problem(422, "invalid_rule");
    assert_eq!(twice.faults(), [("/rate".to_owned(), "duplicate_key".to_owned())]);
    send("[]").await.problem(422, "invalid_rule");
    api.call(Method::PUT, path, &[("content-type", "text/plain")], "{}")
        .await
        .problem(415, "unsupported_media_type");
    api.call(Method::PUT, "/v1/channel-rules/a", &[JSON], "{}").await.problem(400, "invalid_parameter");
    assert_eq!(version(&api, "rules-wrong"), 0, "nothing of it was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_say_as_much_about_a_channel_are_refused_also_when_they_come_together() {
    let api = Api::new().await;
    assert_eq!(put(&api, "rules-tie", "order:{order}", json!({})).await.status, 200);
    let tie = put(&api, "rules-tie", "order:{id}", json!({})).await;
    tie.problem(422, "invalid_rule");
    assert_eq!(tie.faults(), [("pattern".to_owned(), "conflicting".to_owned())]);
    assert!(tie.json["errors"][0]["detail"].as_str().unwrap().contains("order:{order}"));
    assert_eq!(
        put(&api, "rules-tie", "order:*", json!({})).await.status,
        200,
        "one without a star says more"
    );
    // Twelve that tie with one another, at the same time: one is stored.
    let names: Vec<String> = (0..12).map(|n| format!("room:{{n{n}}}")).collect();
    let together = names.iter().map(|pattern| put(&api, "rules-tie", pattern, json!({})));
    let replies = futures_util::future::join_all(together).await;
    let stored = replies.iter().filter(|reply| reply.status == 200).count();
    let conflicts = replies.iter().filter(|reply| reply.json["code"] == "invalid_rule").count();
    let busy = replies.iter().filter(|reply| reply.json["code"] == "log_busy").count();
    assert_eq!((stored, conflicts + busy), (1, 11), "{replies:?}");
    let count =
        "select count(*) from carillon.channel_rules where tenant_id = 'rules-tie' and pattern like 'room:%'";
    assert_eq!(api.database.sql(count), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rules_of_an_owner_have_a_bound_in_bytes() {
    let api = Api::new().await;
    let large = |letter: char| {
        let roles: Vec<String> =
            (100..164).map(|n| format!("role:{n}{}", letter.to_string().repeat(117))).collect();
        json!({"subscribe": roles, "publish": roles, "signal": roles, "presence": roles})
    };
    // 41 KB each.
    for n in 0..6 {
        assert_eq!(put(&api, "rules-large", &format!("a{n}"), large('a')).await.status, 200);
    }
    let refused = put(&api, "rules-large", "a6", large('a')).await;
    refused.problem(422, "invalid_rule");
    assert_eq!(refused.faults(), [("pattern".to_owned(), "too_many".to_owned())]);
    assert!(refused.json["detail"].as_str().unwrap().contains("262144 bytes"), "{:?}", refused.json);
    assert_eq!(put(&api, "rules-large", "a3", large('b')).await.status, 200, "in its own place");
    assert_eq!(put(&api, "rules-large", "a6", json!({"subscribe": ["anyone"]})).await.status, 200);
    assert_eq!(put(&api, "rules-large-2", "a6", large('a')).await.status, 200, "another's is another's");
    let listed = api.get("/v1/channel-rules?tenant=rules-large").await.json;
    assert_eq!(listed["rules"].as_array().unwrap().len(), 7);
    assert_eq!(delete(&api, "/v1/channel-rules/a0?tenant=rules-large").await.status, 204);
    assert_eq!(put(&api, "rules-large", "a6", large('a')).await.status, 200);
    // Those of an older release may have more: what gets smaller is taken, what gets larger is not.
    api.database.sql(
        "insert into carillon.channel_rules (tenant_id, pattern, rule)
         select 'rules-large', 'b' || n, r.rule from carillon.channel_rules r, generate_series(1, 4) n
         where r.tenant_id = 'rules-large' and r.pattern = 'a3'",
    );
    assert_eq!(put(&api, "rules-large", "b1", json!({"subscribe": ["anyone"]})).await.status, 200);
    put(&api, "rules-large", "b1", json!({"subscribe": ["anyone", format!("role:{}", "a".repeat(100))]}))
        .await
        .problem(422, "invalid_rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_set_rules_and_only_their_tenants() {
    let api = Api::new().await;
    let publishes = make_key(&api.database, Some("rules-who"), "publish,read", None).await;
    let administers = make_key(&api.database, Some("rules-who"), "admin", None).await;
    let of_all = make_key(&api.database, None, "publish", None).await;
    let (person, chief) =
        (token("mila", &[("rules-who", &[])], NONE), token("ana", &[("rules-who", &[])], ADMIN));
    let with = async |name: &str, value: &str, tenant: &str| {
        put_with(&api, &[(name, value)], tenant, "a", json!({})).await
    };
    with("x-api-key", &publishes, "rules-who").await.problem(403, "missing_scope");
    with("authorization", &person, "rules-who").await.problem(403, "missing_scope");
    for (name, value) in [("x-api-key", &administers), ("authorization", &chief)] {
        assert_eq!(with(name, value, "rules-who").await.status, 200);
        with(name, value, "rules-other").await.problem(403, "tenant_forbidden");
        with(name, value, "*").await.problem(403, "tenant_forbidden");
        api.get_with(&[(name, value)], "/v1/channel-rules?tenant=rules-other")
            .await
            .problem(403, "tenant_forbidden");
    }
    with("x-api-key", &of_all, "*").await.problem(403, "missing_scope");
    api.get_with(&[("x-api-key", &publishes)], "/v1/channel-rules").await.problem(403, "missing_scope");
    assert_eq!(
        api.get_with(&[("x-api-key", &administers)], "/v1/channel-rules").await.json["rules"][0]["pattern"],
        "a"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tester_says_which_rule_decides_and_why() {
    let api = Api::new().await;
    for (tenant, pattern, rule) in [
        ("*", "rt-desk:*", json!({"subscribe": ["role:desk"]})),
        (
            "rules-test",
            "rt-staff:{user}",
            json!({"subscribe": ["self", "role:head"], "signal": ["role:head"]}),
        ),
    ] {
        let set = put(&api, tenant, pattern, rule).await;
        assert_eq!(set.status, 200, "{:?}", set.json);
    }
    let test = async |user: &str, roles: &str, channel: &str| {
        let path =
            format!("/v1/channel-rules/test?tenant=rules-test&user={user}&roles={roles}&channel={channel}");
        let reply = api.get(&path).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        reply.json
    };
    let own = test("mila", "", "rt-staff:mila").await;
    assert_eq!((&own["pattern"], &own["source"]), (&json!("rt-staff:{user}"), &json!("tenant")));
    assert_eq!(
        own["subscribe"],
        json!({"verdict": "allowed", "why": "the rule says self, and they stand at {user}"})
    );
    assert_eq!(
        (&own["history"]["verdict"], &own["signal"]["verdict"]),
        (&json!("allowed"), &json!("forbidden"))
    );
    assert_eq!(own["publish"]["verdict"], "forbidden");
    let head = test("ana", "desk,head", "rt-staff:mila").await;
    assert_eq!(head["subscribe"], json!({"verdict": "allowed", "why": "the rule says role:head"}));
    assert_eq!(test("ana", "desk", "rt-staff:mila").await["subscribe"]["verdict"], "forbidden");
    let desk = test("ana", "desk", "rt-desk:1").await;
    assert_eq!((&desk["source"], &desk["subscribe"]["verdict"]), (&json!("defaults"), &json!("allowed")));
    let none = test("ana", "desk", "elsewhere").await;
    assert_eq!(
        none["subscribe"],
        json!({"verdict": "forbidden", "why": "there is no rule for this channel"})
    );
    assert!(none.get("pattern").is_none());
    assert_eq!(test("ana", "desk", "user:ana").await["subscribe"]["why"], "it is their own channel");
    for (query, name) in [("user=a", "channel"), ("channel=a", "user"), ("user=a&channel=a%20b", "channel")] {
        let reply = api.get(&format!("/v1/channel-rules/test?tenant=rules-test&{query}")).await;
        reply.problem(400, "invalid_parameter");
        assert_eq!(reply.faults()[0].0, name);
    }
    api.get("/v1/channel-rules/test?tenant=*&user=a&channel=a").await.problem(400, "invalid_parameter");
    assert_eq!(delete(&api, "/v1/channel-rules/rt-desk:*?tenant=*").await.status, 204);
}

/// Proxies decode what need not be encoded: both are one path.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_be_called_test_however_that_is_written() {
    let api = Api::new().await;
    for path in ["test", "%74est"] {
        let path = format!("/v1/channel-rules/{path}?tenant=rules-named");
        api.get(&path).await.problem(404, "not_found");
        let set = api.call(Method::PUT, &path, &[JSON], r#"{"subscribe":["anyone"]}"#).await;
        assert_eq!((set.status.as_u16(), &set.json["pattern"]), (200, &json!("test")), "{:?}", set.json);
        assert_eq!(api.get(&path).await.json, set.json);
        let tried = api.get(&format!("{path}&user=mila&channel=test")).await.json;
        assert_eq!((&tried["pattern"], &tried["channel"]), (&json!("test"), &json!("test")), "{tried}");
        assert_eq!(delete(&api, &path).await.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_rule_that_cannot_be_read_is_shown_as_closed_and_hides_no_other() {
    let api = Api::new().await;
    for pattern in ["a:*", "b:*", "c:*"] {
        assert_eq!(put(&api, "rules-newer", pattern, json!({"subscribe": ["anyone"]})).await.status, 200);
    }
    for (pattern, newer) in
        [("a:*", r#"{"subscribe": 7}"#), ("b:*", r#"{"subscribe": ["anyone", "group:a"]}"#)]
    {
        api.database.sql(&format!(
            "update carillon.channel_rules set rule = '{newer}' where tenant_id = 'rules-newer' and pattern = '{pattern}'"
        ));
    }
    let listed = api.get("/v1/channel-rules?tenant=rules-newer").await;
    assert_eq!(listed.status, 200, "{:?}", listed.json);
    let closed = |pattern: &str| {
        json!({
            "pattern": pattern, "subscribe": [], "publish": [], "signal": [], "presence": [], "history": [],
            "client_types": [], "durable": false, "typing": false, "presence_grace_ms": 0, "rate": 0, "unreadable": true,
        })
    };
    let rules = listed.json["rules"].as_array().unwrap();
    assert_eq!(rules[..2], [closed("a:*"), closed("b:*")]);
    assert_eq!((&rules[2]["subscribe"], rules[2].get("unreadable")), (&json!(["anyone"]), None));
    let one = "/v1/channel-rules/a:*?tenant=rules-newer";
    assert_eq!(api.get(one).await.json, closed("a:*"));
    for channel in ["a:1", "b:1"] {
        let path = format!("/v1/channel-rules/test?tenant=rules-newer&user=mila&channel={channel}");
        let tried = api.get(&path).await.json;
        let why = "this release cannot read the rule, so it gives nobody anything";
        assert_eq!(tried["subscribe"], json!({"verdict": "forbidden", "why": why}), "{tried:?}");
    }
    // It is replaced and deleted like any other.
    let replaced = put(&api, "rules-newer", "b:*", json!({"subscribe": ["anyone"]})).await;
    assert_eq!((replaced.status.as_u16(), replaced.json.get("unreadable")), (200, None));
    assert_eq!(delete(&api, one).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_opens_the_past_over_rest_and_closes_it_within_a_second() {
    let api = Api::new().await;
    let event = json!({"tenant": "rules-rest", "type": "t", "id": "the-one", "channels": ["order:1"]});
    assert_eq!(api.post(event).await.seq(), 1);
    let mila = token_for("mila", "rules-rest", &[], NONE);
    let as_mila = [("authorization", mila.as_str())];
    let (list, one) = ("/v1/events?channel=order:1", "/v1/events/the-one");
    api.get_with(&as_mila, list).await.problem(403, "forbidden");
    api.get_with(&as_mila, one).await.problem(404, "not_found");
    // To hear a channel is not to read it back.
    let live_only = json!({"subscribe": ["anyone"], "history": []});
    assert_eq!(put(&api, "rules-rest", "order:{order}", live_only).await.status, 200);
    api.get_with(&as_mila, list).await.problem(403, "forbidden");
    assert_eq!(put(&api, "rules-rest", "order:{order}", json!({"subscribe": ["anyone"]})).await.status, 200);
    let page = api.get_with(&as_mila, list).await;
    assert_eq!(page.json["events"][0]["seq"], 1, "{:?}", page.json);
    assert_eq!(api.get_with(&as_mila, one).await.status, 200);
    // Past this publisher, as another one would have written it.
    api.database.sql("delete from carillon.channel_rules where tenant_id = 'rules-rest'");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while api.get_with(&as_mila, list).await.status == 200 {
        assert!(std::time::Instant::now() < deadline, "an old rule is believed for a second");
    }
}
