//! Are a tenant's settings kept, refused with the place of a fault, and their secret shown once?

use crate::harness::{ADMIN, Api, NONE, Reply, make_key, token_for};
use carillon_platform::outbound::SigningSecret;
use http::Method;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(api: &Api, tenant: &str, body: Value) -> Reply {
    api.call(Method::PUT, &format!("/v1/tenants/{tenant}"), &[JSON], body.to_string()).await
}

fn secret(reply: &Reply) -> Option<String> {
    reply.json["authorize_secret"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorize_url_is_kept_its_secret_shown_once_and_rotated() {
    let api = Api::new().await;
    assert_eq!(
        api.get("/v1/tenants/settings-kept").await.json,
        json!({"tenant": "settings-kept", "authorize_url": null})
    );
    let set = put(&api, "settings-kept", json!({"authorize_url": "https://app.example/a"})).await;
    assert_eq!((set.status.as_u16(), &set.json["authorize_url"]), (200, &json!("https://app.example/a")));
    let first = secret(&set).unwrap();
    assert!(SigningSecret::read(&first).is_some(), "{first}");
    let shown = api.get("/v1/tenants/settings-kept").await;
    assert!(secret(&shown).is_none() && !shown.json.to_string().contains("whsec_"), "{:?}", shown.json);
    let moved = put(&api, "settings-kept", json!({"authorize_url": "https://app.example/b"})).await;
    assert!(secret(&moved).is_none(), "the secret stays");
    let rotated = put(&api, "settings-kept", json!({"rotate_authorize_secret": true})).await;
    assert_eq!(rotated.json["authorize_url"], "https://app.example/b", "what is left out stays");
    let second = secret(&rotated).unwrap();
    assert_ne!(first, second);
    assert!(rotated.json["authorize_secret_before_until"].is_string(), "{:?}", rotated.json);
    let stored = api.database.sql(
        "select authorize_secret || ' ' || authorize_secret_before from carillon.tenant_settings where tenant_id = 'settings-kept'",
    );
    assert_eq!(stored, format!("{second} {first}"));
    // It is kept as it is called, also where that is not as it was written.
    let odd = put(&api, "settings-kept", json!({"authorize_url": "HTTPS://App.example/\0?a\n=ä"})).await;
    assert_eq!(odd.json["authorize_url"], "https://app.example/%00?a=%C3%A4", "{:?}", odd.json);
    let long = format!("https://app.example/{}", "\u{e4}".repeat(1_000));
    put(&api, "settings-kept", json!({"authorize_url": long})).await.problem(422, "invalid_settings");
    put(&api, "settings-kept", json!({"authorize_url": "https://app.example/b"})).await;
    // Nothing in it: nothing changes.
    let version = "select settings_version from carillon.tenants where id = 'settings-kept'";
    let before = api.database.sql(version);
    assert_eq!(put(&api, "settings-kept", json!({})).await.json["authorize_url"], "https://app.example/b");
    assert_eq!(api.database.sql(version), before);
    let off = put(&api, "settings-kept", json!({"authorize_url": null})).await;
    assert_eq!(off.json, json!({"tenant": "settings-kept", "authorize_url": null}));
    let left = "select count(*) from carillon.tenant_settings where authorize_secret is not null or authorize_secret_before is not null";
    assert_eq!(api.database.sql(left), "0");
    assert!(api.database.sql(version) > before, "each write moves it");
    let told = api.told.lock().unwrap().iter().filter(|told| told.as_str() == "settings-kept").count();
    assert_eq!(told, 6, "gateways hear of every write, and of nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_place_and_nothing_changes() {
    let api = Api::new().await;
    for (body, pointer, code) in [
        (json!({"authorize_url": "ftp://app.example/"}), "/authorize_url", "invalid"),
        (json!({"authorize_url": "http://10.0.0.1/"}), "/authorize_url", "invalid"),
        (json!({"authorize_url": "https://[fd00::1]/"}), "/authorize_url", "invalid"),
        (json!({"authorize_url": "https://u:p@app.example/"}), "/authorize_url", "invalid"),
        (json!({"authorize_url": 7}), "/authorize_url", "wrong_type"),
        (json!({"rotate_authorize_secret": "yes"}), "/rotate_authorize_secret", "wrong_type"),
        (json!({"rotate_authorize_secret": true}), "/rotate_authorize_secret", "conflicting"),
        (
            json!({"authorize_url": null, "rotate_authorize_secret": true}),
            "/rotate_authorize_secret",
            "conflicting",
        ),
        (json!({"authorise_url": null}), "/authorise_url", "unknown_field"),
        (json!([]), "", "wrong_type"),
    ] {
        let reply = put(&api, "settings-wrong", body.clone()).await;
        reply.problem(422, "invalid_settings");
        assert_eq!(reply.faults(), [(pointer.to_owned(), code.to_owned())], "{body}");
    }
    let send = async |body: &str| {
        api.call(Method::PUT, "/v1/tenants/settings-wrong", &[JSON], body.to_owned()).await
    };
    send("{").await.problem(400, "invalid_json");
    send(r#"{"authorize_url": null, "authorize_url": null}"#).await.problem(422, "invalid_settings");
    put(&api, "Settings", json!({})).await.problem(400, "invalid_parameter");
    api.get("/v1/tenants/settings-wrong?a=1").await.problem(400, "invalid_parameter");
    let stored = "select count(*) from carillon.tenant_settings where tenant_id = 'settings-wrong'";
    assert_eq!(api.database.sql(stored), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_settings_are_for_administrators_of_the_tenant() {
    let api = Api::new().await;
    let reader = make_key(&api.database, Some("settings-own"), "publish,read", None).await;
    let admin = make_key(&api.database, Some("settings-own"), "admin", None).await;
    let bearer = |text: &str| format!("Bearer {text}");
    let mila = |caps| token_for("mila", "settings-own", &[], caps);
    let get = async |tenant: &str, credentials: &str| {
        let headers = [("authorization", credentials)];
        api.call(Method::GET, &format!("/v1/tenants/{tenant}"), &headers, "").await
    };
    get("settings-own", &bearer(&reader)).await.problem(403, "missing_scope");
    get("settings-own", &mila(NONE)).await.problem(403, "missing_scope");
    get("settings-other", &bearer(&admin)).await.problem(403, "tenant_forbidden");
    get("settings-other", &mila(ADMIN)).await.problem(403, "tenant_forbidden");
    assert_eq!(get("settings-own", &bearer(&admin)).await.status, 200);
    assert_eq!(get("settings-own", &mila(ADMIN)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_the_installation_lists_its_tenants_page_by_page() {
    let api = Api::new().await;
    for n in 0..5 {
        put(&api, &format!("listed-{n}"), json!({"suspended": n == 3})).await;
    }
    put(&api, "listed-1", json!({"limits": {"connections": 5}})).await;
    let event = json!({"tenant": "listed-2", "type": "order.paid", "channels": ["order:7"]});
    assert_eq!(api.post(event).await.status, 201);
    let (mut listed, mut after) = (Vec::new(), "listed-".to_owned());
    loop {
        // A page ends where it ends, whichever tenants other tests make.
        let page = api.get(&format!("/v1/tenants?limit=2&after={after}")).await;
        assert_eq!(page.status, 200, "{:?}", page.json);
        let tenants = page.json["tenants"].as_array().unwrap();
        assert!(tenants.len() <= 2);
        listed.extend(
            tenants.iter().filter(|entry| entry["tenant"].as_str().unwrap().starts_with("listed-")).cloned(),
        );
        let Some(next) = page.json["next"].as_str().filter(|next| next.starts_with("listed-")) else { break };
        after = next.to_owned();
    }
    let names: Vec<&str> = listed.iter().map(|entry| entry["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["listed-0", "listed-1", "listed-2", "listed-3", "listed-4"]);
    assert_eq!(listed[1]["limits"]["connections"], 5);
    assert_eq!((&listed[2]["head"], listed[2].get("limits")), (&json!(1), None));
    assert_eq!((&listed[3]["suspended"], &listed[4]["suspended"]), (&json!(true), &json!(false)));
    let page = api.get("/v1/tenants?suspended=true&limit=200").await;
    let suspended: Vec<&str> = page.json["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["tenant"].as_str().unwrap())
        .collect();
    assert!(suspended.contains(&"listed-3") && !suspended.contains(&"listed-4"), "{suspended:?}");
    // Of others nobody hears by it who they are.
    let ada = token_for("ada", "listed-1", &[], ADMIN);
    let key = make_key(&api.database, Some("listed-1"), "publish,read,admin", None).await;
    for (name, value) in [("authorization", ada), ("x-api-key", key)] {
        api.get_with(&[(name, &*value)], "/v1/tenants").await.problem(403, "missing_scope");
    }
    for wrong in ["limit=0", "after=No", "suspended=yes", "tenant=listed-1"] {
        api.get(&format!("/v1/tenants?{wrong}")).await.problem(400, "invalid_parameter");
    }
}
