//! Are preferences kept as they were set, theirs alone, and told with when it is quiet?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token_for};
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(api: &Api, path: &str, who: &str, says: Value) -> Reply {
    api.call(Method::PUT, path, &[JSON, ("authorization", who)], says.to_string()).await
}

async fn get(api: &Api, path: &str, who: &str) -> Reply {
    api.get_with(&[("authorization", who)], path).await
}

fn night() -> Value {
    json!([{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "22:00", "to": "07:00"}])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_says_is_kept_and_counts_before_what_their_tenant_says() {
    let api = Api::new().await;
    let (mila, admin) =
        (token_for("mila", "prefs-kept", &[], NONE), token_for("ada", "prefs-kept", &[], ADMIN));
    let nothing = get(&api, "/v1/preferences", &mila).await;
    let expected = json!({
        "user": "mila", "types": {}, "quiet_hours": null, "do_not_disturb_until": null, "locale": null,
        "defaults": {"types": {}, "quiet_hours": null, "locale": null}, "type_defaults": {},
        "zone": "UTC", "zone_data": nothing.json["zone_data"], "quiet": false, "quiet_until": null, "next_change": null,
    });
    assert_eq!(
        (nothing.status.as_u16(), &nothing.json),
        (200, &expected),
        "absence is the default, and nothing is stored"
    );
    assert_eq!(
        api.database.sql("select count(*) from carillon.preferences where tenant_id = 'prefs-kept'"),
        "0"
    );
    let defaults = json!({"types": {"order.*": {"toast": false}}, "quiet_hours": {"zone": "europe/berlin", "ranges": night()}, "locale": "de"});
    let set = put(&api, "/v1/preferences/defaults", &admin, defaults).await;
    assert_eq!(
        (set.status.as_u16(), &set.json["quiet_hours"]["zone"]),
        (200, &json!("Europe/Berlin")),
        "{:?}",
        set.json
    );
    assert_eq!(get(&api, "/v1/preferences/defaults", &admin).await.json, set.json);
    put(&api, "/v1/preferences/defaults", &mila, json!({})).await.problem(403, "missing_scope");
    get(&api, "/v1/preferences/defaults", &mila).await.problem(403, "missing_scope");
    let own = json!({"types": {"order.paid": {"toast": true}}, "do_not_disturb_until": "2999-01-01T00:00:00Z", "locale": "fr-ch"});
    let set = put(&api, "/v1/preferences", &mila, own).await;
    assert_eq!(set.status, 200, "{:?}", set.json);
    for (field, expected) in [
        ("/types", json!({"order.paid": {"toast": true}})),
        ("/defaults/types", json!({"order.*": {"toast": false}})),
        ("/locale", json!("fr-CH")),
        ("/zone", json!("Europe/Berlin")),
        ("/quiet", json!(true)),
        ("/do_not_disturb_until", json!("2999-01-01T00:00:00Z")),
    ] {
        assert_eq!(set.json.pointer(field), Some(&expected), "{field} {:?}", set.json);
    }
    assert!(set.json["quiet_until"].as_str().unwrap() >= "2999", "{:?}", set.json);
    assert_eq!(set.json["quiet_until"], set.json["next_change"]);
    let again = get(&api, "/v1/preferences", &mila).await;
    assert_eq!(again.json["types"], set.json["types"]);
    // Anew, all of it.
    let emptied = put(&api, "/v1/preferences", &mila, json!({})).await.json;
    assert_eq!((&emptied["types"], &emptied["locale"]), (&json!({}), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_a_persons_own_in_their_tenant() {
    let api = Api::new().await;
    let mila = token_for("mila", "prefs-own", &[], NONE);
    let (admin, other) =
        (token_for("ada", "prefs-own", &[], ADMIN), token_for("mila", "prefs-else", &[], NONE));
    assert_eq!(put(&api, "/v1/preferences", &mila, json!({"locale": "de"})).await.status, 200);
    assert_eq!(
        get(&api, "/v1/preferences", &other).await.json["locale"],
        Value::Null,
        "another tenant's mila"
    );
    assert_eq!(get(&api, "/v1/preferences?user=mila", &mila).await.json["locale"], "de");
    for path in ["/v1/preferences?user=juro", "/v1/preferences/test?user=juro&type=a"] {
        get(&api, path, &mila).await.problem(403, "missing_scope");
    }
    put(&api, "/v1/preferences?user=juro", &mila, json!({})).await.problem(403, "missing_scope");
    get(&api, "/v1/preferences?tenant=prefs-else", &mila).await.problem(403, "tenant_forbidden");
    assert_eq!(get(&api, "/v1/preferences?user=mila", &admin).await.json["locale"], "de");
    assert_eq!(put(&api, "/v1/preferences?user=juro", &admin, json!({"locale": "it"})).await.status, 200);
    assert_eq!(api.get("/v1/preferences?tenant=prefs-own&user=juro").await.json["locale"], "it");
    api.get("/v1/preferences?tenant=prefs-own").await.problem(400, "invalid_parameter");
    let reads = make_key(&api.database, Some("prefs-own"), "publish,read", None).await;
    api.get_with(&[("x-api-key", &reads)], "/v1/preferences?user=mila").await.problem(403, "missing_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_preferences_is_told_and_nothing_changes() {
    let api = Api::new().await;
    let mila = token_for("mila", "prefs-wrong", &[], NONE);
    assert_eq!(put(&api, "/v1/preferences", &mila, json!({"locale": "de"})).await.status, 200);
    let wrong = json!({"quiet_hours": {"zone": "Berlin", "ranges": [{"days": ["mon"], "from": "22:00", "to": "25:00"}]}, "typ": 1});
    let reply = put(&api, "/v1/preferences", &mila, wrong).await;
    reply.problem(422, "invalid_preferences");
    let mut faults = reply.faults();
    faults.sort();
    let expected = [
        ("/quiet_hours/ranges/0/to", "invalid"),
        ("/quiet_hours/zone", "invalid"),
        ("/typ", "unknown_field"),
    ];
    assert_eq!(faults, expected.map(|(at, code)| (at.to_owned(), code.to_owned())));
    assert_eq!(get(&api, "/v1/preferences", &mila).await.json["locale"], "de");
    let twice = api
        .call(
            Method::PUT,
            "/v1/preferences",
            &[JSON, ("authorization", &mila)],
            r#"{"locale":"a","locale":"b"}"#,
        )
        .await;
    twice.problem(422, "invalid_preferences");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tester_says_who_gets_what_when_and_why_not() {
    let api = Api::new().await;
    let (mila, admin) =
        (token_for("mila", "prefs-try", &[], NONE), token_for("ada", "prefs-try", &[], ADMIN));
    let types = [
        (
            "order.paid",
            json!({"title": "x", "locales": {"de": {"title": "y"}}, "defaults": {"desktop": false}}),
        ),
        ("alarm", json!({"mandatory": true, "priority": "critical"})),
    ];
    for (kind, says) in types {
        assert_eq!(put(&api, &format!("/v1/event-types/{kind}"), &admin, says).await.status, 200);
    }
    let said = json!({
        "types": {"order.*": {"webhooks": false}, "alarm": {"inbox": false}, "chat.*": {"inbox": false}}, "locale": "de-AT",
        "quiet_hours": {"zone": "Europe/Berlin", "ranges": night()},
    });
    let set = put(&api, "/v1/preferences", &mila, said).await;
    assert_eq!(
        set.json["type_defaults"],
        json!({"order.paid": {"mandatory": false, "desktop": false}, "alarm": {"mandatory": true}})
    );
    let at = async |kind: &str, at: &str| {
        get(&api, &format!("/v1/preferences/test?type={kind}&at={at}"), &mila).await.json
    };
    let gets = |answer: &Value| {
        ["inbox", "toast", "desktop", "webhooks"].map(|way| answer[way]["gets"].as_bool().unwrap())
    };
    let noon = at("order.paid", "2026-06-01T10:00:00Z").await;
    assert_eq!(gets(&noon), [true, true, false, false], "{noon}");
    assert_eq!(
        (&noon["locale"], &noon["wall_clock"], &noon["priority"]),
        (&json!("de"), &json!("2026-06-01T12:00:00"), &json!("normal"))
    );
    assert!(noon["desktop"]["why"].as_str().unwrap().contains("type's default"), "{noon}");
    assert!(noon["webhooks"]["why"].as_str().unwrap().contains("order.*"), "{noon}");
    // 22:30 by the wall clock on the night in which clocks are set forward: until 07:00, which is 05:00Z.
    let night = at("order.paid", "2026-03-28T21:30:00Z").await;
    assert_eq!(
        (gets(&night), &night["quiet_until"]),
        ([true, false, false, false], &json!("2026-03-29T05:00:00Z")),
        "{night}"
    );
    assert!(night["toast"]["held"] == true && night["webhooks"]["held"] == false, "{night}");
    let alarm = at("alarm", "2026-03-28T21:30:00Z").await;
    assert_eq!((gets(&alarm), &alarm["priority"]), ([true; 4], &json!("critical")), "{alarm}");
    assert!(alarm["inbox"]["why"].as_str().unwrap().contains("mandatory"), "{alarm}");
    let muted = at("chat.message", "2026-06-01T10:00:00Z").await;
    assert_eq!(gets(&muted), [false, true, true, true], "{muted}");
    let urgent =
        get(&api, "/v1/preferences/test?type=chat.x&priority=critical&at=2026-03-28T21:30:00Z", &mila)
            .await
            .json;
    assert_eq!(
        gets(&urgent),
        [false, true, true, true],
        "critical passes quiet hours, and nothing else: {urgent}"
    );
    for (query, name) in [("", "type"), ("?type=a&at=noon", "at"), ("?type=a&priority=loud", "priority")] {
        let reply = get(&api, &format!("/v1/preferences/test{query}"), &mila).await;
        reply.problem(400, "invalid_parameter");
        assert_eq!(reply.faults()[0].0, name);
    }
    let stranger = get(&api, "/v1/preferences/test?type=a&user=nobody", &admin).await.json;
    assert_eq!(gets(&stranger), [true; 4], "{stranger}");
}
