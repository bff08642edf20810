//! Does a tenant send no more notices a day than its limit says, counted by what is stored?

use crate::harness::{Api, Database, Reply};
use carillon_platform::config::Tenants as Policy;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const JSON: (&str, &str) = ("content-type", "application/json");
const DEADLINE: Duration = Duration::from_secs(20);

fn notice_of(tenant: &str) -> Value {
    json!({"tenant": tenant, "type": "shift.moved", "channels": ["shift:7"], "notify": {"title": "Shift moved"}})
}

/// Returns in a day, by the database's clock, that does not end while a test counts: a few minutes before midnight it waits for the next.
async fn in_one_day(api: &Api) {
    const LONG_ENOUGH_S: u64 = 180;
    let rest =
        "select ceil(extract(epoch from date_trunc('day', now(), 'UTC') + interval '1 day' - now()))::bigint";
    while api.database.sql(rest).parse::<u64>().unwrap() < LONG_ENOUGH_S {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Sends so many notices in one request.
async fn send(api: &Api, tenant: &str, notices: usize) -> Reply {
    api.post(json!(vec![notice_of(tenant); notices])).await
}

/// Sets the limit, and waits until the publisher knows it.
async fn limit(api: &Api, tenant: &str, notices: Value) {
    let body = json!({"limits": {"notices_per_day": notices}}).to_string();
    let answer = api.call(Method::PUT, &format!("/v1/tenants/{tenant}"), &[JSON], body).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let began = Instant::now();
    while api.get(&format!("/v1/stats?tenant={tenant}")).await.json.get("notices_today").is_some()
        == notices.is_null()
    {
        assert!(began.elapsed() < DEADLINE, "the limit is read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn today(api: &Api, tenant: &str) -> u64 {
    api.get(&format!("/v1/stats?tenant={tenant}")).await.json["notices_today"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_notices_are_those_that_are_stored_and_a_request_is_taken_whole_or_not_at_all() {
    let (api, tenant) = (Api::new().await, "notices-a-day");
    in_one_day(&api).await;
    let first = send(&api, tenant, 1).await;
    assert_eq!((first.status.as_u16(), first.header("ratelimit")), (201, None), "without a limit");
    limit(&api, tenant, json!(5)).await;
    assert_eq!(today(&api, tenant).await, 1, "what was sent before there was a limit counts");
    let taken = send(&api, tenant, 3).await;
    assert_eq!(taken.status, 201, "{:?}", taken.json);
    assert_eq!(taken.header("ratelimit-policy"), Some("\"notices\";q=5;w=86400"));
    assert!(taken.header("ratelimit").unwrap().starts_with("\"notices\";r=1;t="), "{:?}", taken.headers);

    let refused = send(&api, tenant, 2).await;
    refused.problem(429, "too_many_notices");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds));
    assert_eq!(refused.header("ratelimit"), Some(&*format!("\"notices\";r=1;t={seconds}")));
    assert_eq!(today(&api, tenant).await, 4, "nothing of it was stored");

    let event = json!({"tenant": tenant, "type": "shift.moved", "channels": ["shift:7"]});
    let mixed = api.post(json!([event, notice_of(tenant)])).await;
    assert_eq!(mixed.status, 201, "one notice and an event: {:?}", mixed.json);
    let body = json!({"tenant": tenant, "title": "Fire drill", "audience": {"users": ["mila"]}}).to_string();
    let further = api.call(Method::POST, "/v1/notices", &[JSON], body).await;
    further.problem(429, "too_many_notices");
    assert!(further.header("ratelimit").unwrap().starts_with("\"notices\";r=0;t="));
    let plain = api.post(&event).await;
    assert_eq!((plain.status.as_u16(), plain.header("ratelimit")), (201, None), "no notice");
    let other = send(&api, "notices-another", 9).await;
    assert_eq!((other.status.as_u16(), other.header("ratelimit")), (201, None), "another tenant");

    api.database
        .sql(&format!("update carillon.notices set at = at - interval '1 day' where tenant_id = '{tenant}'"));
    limit(&api, tenant, json!(6)).await;
    let began = Instant::now();
    while send(&api, tenant, 1).await.status != 201 {
        assert!(began.elapsed() < DEADLINE, "those of yesterday do not count");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(today(&api, tenant).await, 1);
    limit(&api, tenant, Value::Null).await;
    assert_eq!(send(&api, tenant, 9).await.status, 201, "without a limit again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_a_time_no_more_than_the_limit_are_stored() {
    let (api, tenant) = (Api::new().await, "notices-at-once");
    in_one_day(&api).await;
    send(&api, tenant, 1).await;
    limit(&api, tenant, json!(11)).await;
    let answers = join_all((0..40).map(|_| send(&api, tenant, 1))).await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    assert!((1..=10).contains(&taken), "{taken}");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.problem(429, "too_many_notices");
    }
    // Who was refused because others were under way fits in when they have ended.
    let mut later = 0;
    while send(&api, tenant, 1).await.status == 201 {
        later += 1;
    }
    assert_eq!((taken + later, today(&api, tenant).await), (10, 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_what_is_stored_is_answered_as_a_repeat_also_when_the_day_s_limit_is_full() {
    let (api, tenant) = (Api::new().await, "notices-repeated");
    in_one_day(&api).await;
    let under = |key: &'static str| [JSON, ("idempotency-key", key)];
    let body =
        |title: &str| json!({"tenant": tenant, "title": title, "audience": {"users": ["mila"]}}).to_string();
    let notice = async |key, title| api.call(Method::POST, "/v1/notices", &under(key), body(title)).await;
    let array = |from: usize| -> String {
        let of = |n: usize| {
            let mut event = notice_of(tenant);
            event["id"] = json!(format!("shift-{n}"));
            event
        };
        json!((from..from + 3).map(of).collect::<Vec<_>>()).to_string()
    };
    let events =
        async |headers: &[(&str, &str)], body| api.call(Method::POST, "/v1/events", headers, body).await;

    let first = notice("drill", "Fire drill").await;
    let three = events(&[JSON], array(0)).await;
    assert_eq!(
        (first.status.as_u16(), three.status.as_u16()),
        (201, 201),
        "{:?} {:?}",
        first.json,
        three.json
    );
    limit(&api, tenant, json!(4)).await;
    notice("another", "Fire drill").await.problem(429, "too_many_notices");

    let again = notice("drill", "Fire drill").await;
    assert_eq!((again.status.as_u16(), &again.json), (201, &first.json), "a repeat");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert!(again.header("ratelimit").unwrap().starts_with("\"notices\";r=0;t="), "{:?}", again.headers);
    notice("drill", "Something else").await.problem(422, "idempotency_mismatch");
    let again = events(&[JSON], array(0)).await;
    assert_eq!((again.status.as_u16(), &again.json), (201, &three.json), "an array of repeats, by id");
    events(&[JSON], array(1)).await.problem(429, "too_many_notices");
    assert_eq!(today(&api, tenant).await, 4, "nothing more was stored");

    // One more may be stored, and of an array of two repeats and one other that is the one.
    limit(&api, tenant, json!(5)).await;
    let began = Instant::now();
    let mixed = loop {
        let mixed = events(&[JSON], array(1)).await;
        if mixed.status == 201 {
            break mixed;
        }
        mixed.problem(429, "too_many_notices");
        assert!(began.elapsed() < DEADLINE, "the limit is read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((&mixed.json[0], &mixed.json[1]), (&three.json[1], &three.json[2]));
    assert_eq!((mixed.header("idempotency-replayed"), today(&api, tenant).await), (None, 5));
    // Elsewhere the same key is another one.
    assert_eq!(send(&api, "notices-elsewhere", 1).await.status, 201);
    limit(&api, "notices-elsewhere", json!(1)).await;
    let elsewhere =
        json!({"tenant": "notices-elsewhere", "title": "Fire drill", "audience": {"users": ["mila"]}});
    let answer = api.call(Method::POST, "/v1/notices", &under("drill"), elsewhere.to_string()).await;
    answer.problem(429, "too_many_notices");
}

/// Notices are stored when somebody says so. Sequences are seen by everybody at once, whatever transaction moved them.
const WAITS: &str = "CREATE SEQUENCE public.begun; CREATE SEQUENCE public.may_end;
    CREATE FUNCTION public.waits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        PERFORM setval('public.begun', 2);
        WHILE (SELECT last_value FROM public.may_end) < 2 LOOP PERFORM pg_sleep(0.005); END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER waits BEFORE INSERT ON carillon.notices FOR EACH ROW EXECUTE FUNCTION public.waits()";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_while_its_notices_are_stored_does_not_make_room_for_others() {
    let (database, tenant) = (Database::own().await, "notices-left");
    let api = Arc::new(Api::with(database.clone(), Policy::Auto).await);
    in_one_day(&api).await;
    api.post(json!({"tenant": tenant, "type": "shift.moved", "channels": ["shift:7"]})).await;
    limit(&api, tenant, json!(1)).await;
    database.sql(WAITS);
    let leaving = tokio::spawn({
        let api = api.clone();
        async move { send(&api, tenant, 1).await }
    });
    let began = Instant::now();
    while database.sql("SELECT last_value FROM public.begun") != "2" {
        assert!(began.elapsed() < DEADLINE, "it is being stored");
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled(), "it had no answer yet");
    let refused = send(&api, tenant, 1).await;
    refused.problem(429, "too_many_notices");
    assert_eq!(refused.header("retry-after"), Some("1"), "what is under way may still fail");
    database.sql("SELECT setval('public.may_end', 2)");
    while today(&api, tenant).await == 0 {
        assert!(began.elapsed() < DEADLINE, "it was stored all the same");
    }
    send(&api, tenant, 1).await.problem(429, "too_many_notices");
    assert_eq!(database.sql("SELECT count(*) FROM carillon.notices"), "1");
}
