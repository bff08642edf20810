//! Is a step taken once for each person, and does an ack that was committed first always count?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{
    Appended, Deed, DueStep, Escalating, EscalationLag, EscalationPlan, Log, Role, Sight, Who,
};
use carillon_protocol::escalation::{Escalation, Missed, webhook};
use carillon_protocol::{Channel, EventId, Notice, Seq, TenantId, UserId};
use database::{Database, append, channel, tenant};
use std::time::{Duration, Instant};

const NAME: &str = "acme";

/// A notice for `ada` and `ben` whose step is due at once.
async fn due_notice(database: &Database) -> (TenantId, Seq) {
    due_notice_for(database, &["user:ada", "user:ben"]).await
}

async fn due_notice_for(database: &Database, channels: &[&str]) -> (TenantId, Seq) {
    let (log, acme) = (&database.publisher, tenant(NAME));
    log.open_tenant(&acme, true).await.unwrap();
    let to = webhook("webhook:push").unwrap();
    let mut append = append(NAME, 0, "n-1", None);
    append.event.channels = channels.iter().map(|name| channel(name)).collect();
    append.event.notice = Some(Box::new(Notice {
        title: "Shift moved".into(),
        body: None,
        action: None,
        group: None,
        priority: None,
        requires_ack: true,
        expires_at: None,
        data: None,
        escalate: vec![Escalation { after: 1, to, who: Missed::NotAcked }],
        locales: Default::default(),
    }));
    let stored = log.append(&[append]).await.unwrap();
    let Appended::Stored { seq, .. } = stored[0] else { panic!("{stored:?}") };
    database.sql("UPDATE carillon.escalations SET due_at = now()").await;
    (acme, seq)
}

async fn due(log: &Log) -> Vec<DueStep> {
    log.escalations_due(&[], 10).await.unwrap()
}

async fn ack(log: &Log, acme: &TenantId, user: &str, seq: Seq) {
    let user = UserId::new(user).unwrap();
    let inbox = log.inbox(acme, &user).await.unwrap().unwrap();
    let own: Vec<Channel> = vec![channel(&format!("user:{}", user.as_str()))];
    let sight = Sight::of(&user, &own, &inbox, |_| true);
    log.mark_notice((acme, &user), &sight, seq, Deed::Ack).await.unwrap();
}

fn names(known: &Escalating) -> Vec<String> {
    known.people.iter().map(|person| person.user.clone()).collect()
}

/// A plan that names everybody.
fn all(known: &Escalating) -> EscalationPlan {
    let event = append(NAME, 0, &format!("e-{}", known.people[0].user), None).event;
    EscalationPlan { event: Some((event, known.people.len() as u64)), held: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_note_while_a_step_is_taken_waits_until_that_is_committed() {
    let database = Database::start().await;
    let (acme, seq) = due_notice(&database).await;
    // As a step that is being taken holds it.
    let holder = database.superuser().await;
    holder.batch_execute("BEGIN; SELECT FROM carillon.notices FOR UPDATE").await.unwrap();
    let log = database.log(Role::Publisher);
    let acking = tokio::spawn(async move { ack(&log, &acme, "ada", seq).await });
    let began = Instant::now();
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mark_notice%'";
    while database.count(waits).await == 0 {
        assert!(began.elapsed() < Duration::from_secs(20) && !acking.is_finished(), "it does not wait");
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.inbox_marks").await, 0);
    holder.batch_execute("COMMIT").await.unwrap();
    acking.await.unwrap();
    assert_eq!(
        database.count("SELECT count(*) FROM carillon.inbox_marks WHERE acked_at IS NOT NULL").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_an_event_and_a_cursor_in_one_transaction() {
    let database = Database::start().await;
    let (acme, seq) = due_notice(&database).await;
    let log = &database.publisher;
    ack(log, &acme, "ben", seq).await;
    let steps = due(log).await;
    assert_eq!((steps.len(), steps[0].seq), (1, seq));
    // It dies before the end: nothing is there, and it is due.
    let events = "SELECT count(*) FROM carillon.events";
    let dies = |known: &Escalating| -> EscalationPlan {
        assert_eq!(names(known), ["ada"]);
        let mut plan = all(known);
        if let Some((event, _)) = &mut plan.event {
            event.body = "\0".to_owned();
        }
        plan
    };
    log.escalate(&steps[0], dies).await.unwrap_err();
    assert_eq!((database.count(events).await, due(log).await.len()), (1, 1));
    let done = log.escalate(&steps[0], all).await.unwrap();
    assert_eq!((done.told, done.is_sent, done.more), (1, false, false));
    assert_eq!((database.count(events).await, due(log).await.len()), (2, 0));
    // Whoever comes late with the same step finds it taken.
    let late = log.escalate(&steps[0], |_| panic!("it is not due")).await.unwrap();
    assert_eq!(late.told, 0);
    // And it goes with its notice.
    database.sql("UPDATE carillon.notices SET at = now() - interval '400 days'").await;
    database.sql("SELECT carillon.forget_some_notices(365, 10)").await;
    database.sql("SELECT carillon.forget_some_notices(365, 10)").await;
    assert_eq!(database.count("SELECT count(*) FROM carillon.escalations").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_tenant_only_so_many_devices_are_looked_at_in_one_go() {
    let database = Database::start().await;
    let log = &database.publisher;
    log.open_tenant(&tenant(NAME), true).await.unwrap();
    // Two of five thousand people work at night; one has two devices there.
    database
        .sql(
            "INSERT INTO carillon.devices (tenant_id, user_id, device_id, epoch, delivered, acked, first_seen, last_seen, seen_day, channels)
            SELECT 'acme', 'u' || lpad(n::text, 4, '0'), d, 'e', 0, 0, now() - interval '1 hour', now(), current_date,
                CASE WHEN n IN (5, 4990) THEN '{role:night}' ELSE '{role:day}' END::text[]
            FROM generate_series(0, 4999) AS n, unnest(CASE n WHEN 4990 THEN '{a,b}' ELSE '{a}' END::text[]) AS d",
        )
        .await;
    let (_, _) = due_notice_for(&database, &["role:night"]).await;
    let (mut named, mut calls, mut more) = (Vec::new(), 0, true);
    while more {
        let step = due(log).await.into_iter().next().expect("it is due until everybody was looked at");
        let escalated = log.escalate(&step, |known| {
            named.extend(names(known));
            match known.people.is_empty() {
                true => EscalationPlan::default(),
                false => all(known),
            }
        });
        more = escalated.await.unwrap().more;
        calls += 1;
        assert!(calls <= 5, "{named:?}");
    }
    assert_eq!(named, ["u0005", "u4990"], "everybody once");
    assert_eq!(calls, 3, "two thousand devices in each");
    assert_eq!(due(log).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_a_suspended_tenant_stand_before_nobody_and_come_back_as_they_were() {
    let database = Database::start().await;
    let (acme, _) = due_notice(&database).await;
    let log = &database.publisher;
    // Thousands of steps of the tenant, due for an hour, and one of another that is due now.
    database
        .sql(
            "INSERT INTO carillon.notices (tenant_id, seq, at, id, channels, type, priority, title, requires_ack, time)
                SELECT tenant_id, seq + n, at, id || n, channels, type, priority, title, requires_ack, time
                FROM carillon.notices, generate_series(1, 12000) AS n;
             INSERT INTO carillon.escalations (tenant_id, seq, step, webhook, who, after, due_at)
                SELECT tenant_id, seq, 1, 'push', 'not_acked', 1, now() - interval '1 hour' - make_interval(secs => seq)
                FROM carillon.notices ON CONFLICT (tenant_id, seq, step) DO UPDATE SET due_at = excluded.due_at",
        )
        .await;
    let other = tenant("other");
    log.open_tenant(&other, true).await.unwrap();
    database
        .sql(
            "INSERT INTO carillon.notices (tenant_id, seq, at, id, channels, type, priority, title, requires_ack, time)
                SELECT 'other', 1, at, id, channels, type, priority, title, requires_ack, time FROM carillon.notices ORDER BY seq LIMIT 1;
             INSERT INTO carillon.escalations (tenant_id, seq, step, webhook, who, after, due_at)
                VALUES ('other', 1, 1, 'push', 'not_acked', 1, now())",
        )
        .await;
    let standing =
        "SELECT count(*) FROM carillon.escalations WHERE tenant_id = 'acme' AND due_at IS NOT NULL";
    let sum = "SELECT sum(extract(epoch FROM coalesce(e.due_at, a.due_at)))::bigint
        FROM carillon.escalations e LEFT JOIN carillon.escalations_aside a USING (tenant_id, seq, step) WHERE e.tenant_id = 'acme'";
    let due_times = database.count(sum).await;
    assert!(due(log).await.iter().all(|step| step.tenant == acme), "the oldest come first");

    assert!(log.set_suspended(&acme, true).await.unwrap());
    let alone = |steps: &[DueStep]| steps.len() == 1 && steps[0].tenant == other;
    let mut calls = 0;
    while database.count(standing).await > 0 {
        assert!(alone(&due(log).await), "theirs are not waited for");
        calls += 1;
        assert!(calls <= 30, "they are still walked");
    }
    // Somebody changes what they want to get: looked at again, and set aside again.
    database
        .sql("UPDATE carillon.escalations SET due_at = now() WHERE tenant_id = 'acme' AND seq <= 4")
        .await;
    assert!(alone(&due(log).await));
    assert_eq!(database.count(standing).await, 0);
    let page = (Who::NotAcked, "", 1);
    let notice = log.notice_state(&acme, &EventId::new("n-1").unwrap(), page).await.unwrap().unwrap();
    assert!(notice.steps[0].due_at.is_some(), "it is still to come");

    assert!(log.set_suspended(&acme, false).await.unwrap());
    calls = 0;
    while database.count(standing).await < 12_001 {
        due(log).await;
        calls += 1;
        assert!(calls <= 30, "they do not come back");
    }
    assert_eq!(database.count(sum).await, due_times, "each when it was due");
    let aside = "SELECT (SELECT count(*) FROM carillon.escalations_set_aside) + (SELECT count(*) FROM carillon.escalations_aside)";
    assert_eq!(database.count(aside).await, 0);
    assert!(
        due(log).await.iter().all(|step| step.tenant == acme && step.waited > Duration::from_secs(3_600))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_stays_aside_of_a_tenant_that_is_resumed_meanwhile() {
    let database = Database::start().await;
    let (acme, _) = due_notice(&database).await;
    let log = &database.publisher;
    assert!(log.set_suspended(&acme, true).await.unwrap());
    // One sets aside and has not committed: whoever resumes the tenant waits for it.
    let setting = database.superuser().await;
    setting.batch_execute("BEGIN; SELECT * FROM carillon.escalations_due('{}', 10)").await.unwrap();
    let resuming = {
        let (log, acme) = (database.log(Role::Publisher), acme.clone());
        tokio::spawn(async move { log.set_suspended(&acme, false).await })
    };
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%suspended%'";
    let began = Instant::now();
    while database.count(waits).await == 0 {
        assert!(began.elapsed() < Duration::from_secs(20) && !resuming.is_finished(), "it does not wait");
    }
    setting.batch_execute("COMMIT").await.unwrap();
    assert!(resuming.await.unwrap().unwrap());
    while due(log).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "it is set aside for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_steps_are_due_is_told_of_a_tenant_and_of_all_and_not_of_a_suspended_one() {
    let database = Database::start().await;
    let (acme, _) = due_notice(&database).await;
    database.sql("UPDATE carillon.escalations SET due_at = now() - interval '40 s'").await;
    let (log, other) = (&database.publisher, tenant("other"));
    log.open_tenant(&other, true).await.unwrap();
    for whose in [None, Some(&acme)] {
        let lag = log.escalation_lag(whose).await.unwrap();
        assert!(lag.due == 1 && (40.0..60.0).contains(&lag.seconds), "{whose:?}: {lag:?}");
    }
    assert_eq!(log.escalation_lag(Some(&other)).await.unwrap(), EscalationLag::default());
    assert!(log.set_suspended(&acme, true).await.unwrap());
    for whose in [None, Some(&acme)] {
        assert_eq!(log.escalation_lag(whose).await.unwrap(), EscalationLag::default(), "{whose:?}");
    }
}
