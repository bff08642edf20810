//! I4: is every hole repaired from the log, or told?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/faults/mod.rs"]
mod faults;

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use faults::probe::{metric, metric_reaches, readiness_becomes, sql};
use faults::{PATIENCE, Scene, TENANT, stop};

fn two_publishers() -> StackConfig {
    StackConfig { publishers: 2, chaos: true, ..StackConfig::default() }
}

/// The publisher commits, acknowledges, and dies before Redis has heard anything. The second gateway has no head
/// watch to speak of: it is the twin that shows that nothing but the head watch can find such an event.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_what_a_publisher_committed_but_never_announced_is_found() {
    let config = StackConfig { gateways: 1, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    let unwatched = [("CARILLON_HEAD_WATCH_MS".to_owned(), "60000".to_owned())];
    scene.stack.add_gateway(&unwatched).await.unwrap();
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    scene.publish(10).await;
    scene.everything_arrives().await;
    // An announcement that a busy machine holds up is a hole, too, and repaired.
    let repaired =
        async |gateway: usize| metric(scene.stack.gateway(gateway), "carillon_events_repaired_total").await;
    let before = repaired(0).await;

    let publisher = scene.stack.publisher(0);
    publisher.links().unwrap().redis.blackhole();
    scene.publish(5).await;
    publisher.kill().unwrap();
    for watched in &scene.followers[..2] {
        watched.reached(15, PATIENCE).await.unwrap();
    }
    assert_eq!(repaired(0).await, before + 5.0);
    let gaps = async || metric(scene.stack.gateway(1), "carillon_gaps_total").await;
    let (gaps_before, before) = (gaps().await, repaired(1).await);
    for unwatched in &scene.followers[2..] {
        assert_eq!(unwatched.status().seq(), 10, "nobody told the second gateway");
    }

    // What waits in the black hole must not reach Redis after all.
    publisher.links().unwrap().redis.cut().await.unwrap();
    publisher.links().unwrap().redis.restore().await.unwrap();
    publisher.restart().await.unwrap();
    scene.publish(1).await;
    scene.assert_whole().await;
    assert_eq!(gaps().await, gaps_before + 1.0, "the next event showed it the hole");
    assert_eq!(repaired(1).await, before + 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_messages_that_redis_loses_are_read_from_the_log() {
    let mut scene = Scene::start(two_publishers()).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    let load = scene.load(150.0);
    let (cut, untouched) = (scene.stack.gateway(0), scene.stack.gateway(1));
    for _ in 0..6 {
        scene.acknowledged_more(60).await;
        let before = metric(cut, "carillon_redis_interruptions_total").await;
        cut.links().unwrap().redis.cut_once().await.unwrap();
        metric_reaches(cut, "carillon_redis_interruptions_total", before + 1.0).await;
    }
    scene.acknowledged_more(60).await;
    stop(load).await;
    scene.assert_whole().await;
    let repaired = metric(cut, "carillon_events_repaired_total").await;
    assert!(repaired > 0.0, "messages were lost and repaired");
    assert!(metric(untouched, "carillon_redis_messages_total").await > 100.0);
}

/// With its link cut, a gateway hears nothing at all: everything it delivers comes from the log.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_without_the_fast_path_everything_comes_from_the_log() {
    let mut scene = Scene::start(two_publishers()).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 1).await;
    scene.publish(20).await;
    scene.everything_arrives().await;
    let deaf = scene.stack.gateway(0);
    deaf.links().unwrap().redis.cut().await.unwrap();
    readiness_becomes(deaf, "degraded", Some("redis")).await;
    let heard = metric(deaf, "carillon_redis_messages_total").await;
    let repaired = metric(deaf, "carillon_events_repaired_total").await;
    scene.publish(100).await;
    scene.assert_whole().await;
    assert_eq!(metric(deaf, "carillon_redis_messages_total").await, heard, "the fast path is dead");
    metric_reaches(deaf, "carillon_events_repaired_total", repaired + 100.0).await;
    deaf.links().unwrap().redis.restore().await.unwrap();
    readiness_becomes(deaf, "ready", None).await;
    scene.publish(20).await;
    scene.assert_whole().await;
    metric_reaches(deaf, "carillon_redis_messages_total", heard + 1.0).await;
}

/// A log whose end was cut off by hand. The tenant's row says that it was longer.
async fn lose_the_end(scene: &Scene, keep: u64) {
    sql(
        &scene.stack,
        &format!(
            "BEGIN; DELETE FROM carillon.events WHERE seq > {keep}; DELETE FROM carillon.idempotency WHERE seq > {keep};
             UPDATE carillon.tenants SET head = {keep}; COMMIT"
        ),
    )
    .await;
}

/// A log as an older snapshot of the same server has it: nothing in it says that there was more.
async fn restore_snapshot(scene: &Scene, keep: u64) {
    lose_the_end(scene, keep).await;
    let tag = "(SELECT carillon.tag(body) FROM carillon.events WHERE tenant_id = t.id AND seq = t.head)";
    sql(&scene.stack, &format!("UPDATE carillon.tenants t SET tag_seq = head, tag = {tag}")).await;
}

/// Every follower is told `reset` and stands at `seq` or later, in one new epoch; that epoch.
async fn all_reset(scene: &Scene, old: &str, seq: u64) -> String {
    let mut epochs = Vec::new();
    for follower in &scene.followers {
        let status = follower.until("be reset", PATIENCE, |status| status.resets > 0).await.unwrap();
        let cursor = status.cursor.unwrap();
        assert!(cursor.seq >= seq);
        assert_eq!(status.resets, 1, "once");
        epochs.push(cursor.epoch.unwrap());
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "all in the same new life: {epochs:?}");
    assert_ne!(epochs[0], old);
    epochs.remove(0)
}

/// Whoever comes back with a cursor of another life is told so and goes on from the head.
async fn resumes_with_reset(scene: &Scene, cursor: Cursor, reason: &str, head: Cursor) {
    for gateway in scene.stack.gateways() {
        let mut wanted = Connect::new(gateway.ws_url(), scene.token(TENANT, "late")).since(cursor.clone());
        wanted.patience = PATIENCE;
        let (mut socket, welcome) = Socket::open(&wanted).await.unwrap();
        assert_eq!((welcome.resumed.as_str(), welcome.seq), ("reset", head.seq), "{}", gateway.name());
        let reset = socket.next_frame(PATIENCE).await.unwrap();
        assert!(reset.is("reset") && reset.text("reason") == Some(reason), "{reset:?}");
        assert_eq!((reset.seq(), reset.epoch()), (Some(head.seq), head.epoch.as_deref()));
        socket.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_a_log_that_lost_its_end_resets_every_client() {
    let mut scene = Scene::start(StackConfig::default()).await;
    scene.follow_at(0, 3).await;
    scene.follow_at(1, 3).await;
    scene.publish(50).await;
    scene.everything_arrives().await;
    let old = scene.followers[0].status().cursor.unwrap().epoch.unwrap();

    lose_the_end(&scene, 30).await;
    let new = all_reset(&scene, &old, 30).await;
    scene.publish(10).await;
    scene.everything_arrives().await;
    for witness in scene.followers.iter().map(|follower| follower.witness()) {
        let after: Vec<u64> = witness.events().map(|event| event.seq).skip(50).collect();
        assert_eq!(after, Vec::from_iter(31..=40), "{}: it goes on after the reset", witness.follower);
    }
    let verdict = scene.verdict();
    assert!(verdict.is_clean() && verdict.resets == 6, "{verdict}");
    let head = Cursor::new(40, &new);
    for seq in [31, 35, 50] {
        resumes_with_reset(&scene, Cursor::new(seq, &old), "epoch_changed", head.clone()).await;
    }
    // Who saw nothing of what was lost misses nothing.
    for seq in [20, 30] {
        let wanted = Connect::new(scene.stack.gateway(0).ws_url(), scene.token(TENANT, "late"));
        let (mut socket, welcome) = Socket::open(&wanted.since(Cursor::new(seq, &old))).await.unwrap();
        assert_eq!((welcome.resumed.as_str(), welcome.seq, &welcome.epoch), ("replay", seq, &new));
        for expected in seq + 1..=40 {
            assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
        }
        socket.close().await;
    }
    // A cursor beyond the head is only what a client says: it is told, and the log goes on.
    resumes_with_reset(&scene, Cursor::new(41, &new), "epoch_changed", head).await;
    assert_eq!(sql(&scene.stack, "SELECT epoch FROM carillon.tenants").await, new);
}

/// The log lost its end and has grown past it again before any gateway compared heads: the numbers look right, the
/// events are others.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_numbers_given_twice_are_noticed() {
    let config = StackConfig::default().gateway_var("CARILLON_HEAD_WATCH_MS", 60_000);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    scene.publish(50).await;
    scene.everything_arrives().await;
    let old = scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    restore_snapshot(&scene, 45).await;
    scene.publish(1).await;
    let new = all_reset(&scene, &old, 46).await;
    scene.publish(10).await;
    for follower in &scene.followers {
        let status = follower.reached(56, PATIENCE).await.unwrap();
        assert_eq!(status.cursor, Some(Cursor::new(56, &new)));
    }
}

/// The log lost its end and has grown to the very same number while nothing was heard.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_a_head_of_the_same_number_with_another_event_is_noticed() {
    let config = StackConfig { gateways: 1, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config.gateway_var("CARILLON_HEAD_WATCH_MS", 60_000)).await;
    scene.follow_at(0, 2).await;
    scene.publish(50).await;
    scene.everything_arrives().await;
    let old = scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    let links = scene.stack.gateway(0).links().unwrap();
    links.postgres.cut().await.unwrap();
    links.redis.cut().await.unwrap();
    restore_snapshot(&scene, 45).await;
    scene.publish(5).await;
    links.postgres.restore().await.unwrap();
    links.redis.restore().await.unwrap();
    let new = all_reset(&scene, &old, 50).await;
    scene.publish(5).await;
    for follower in &scene.followers {
        assert_eq!(follower.reached(55, PATIENCE).await.unwrap().cursor, Some(Cursor::new(55, &new)));
    }
}

/// It has grown past that number: what comes next follows another event than the one that passed.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_an_event_that_follows_another_is_noticed() {
    let config = StackConfig { gateways: 1, chaos: true, ..StackConfig::default() };
    let mut scene = Scene::start(config.gateway_var("CARILLON_HEAD_WATCH_MS", 60_000)).await;
    scene.follow_at(0, 2).await;
    scene.publish(50).await;
    scene.everything_arrives().await;
    let old = scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    restore_snapshot(&scene, 45).await;
    // What a publisher commits that dies before it announces anything.
    sql(
        &scene.stack,
        "INSERT INTO carillon.events SELECT tenant_id, seq + 45, at, id || 'x', type, source, subject, actor, priority,
             channels, time, body || ' ', traceparent FROM carillon.events WHERE seq <= 5;
         UPDATE carillon.tenants t SET head = 50, tag_seq = 50,
             tag = (SELECT carillon.tag(body) FROM carillon.events WHERE tenant_id = t.id AND seq = 50)",
    )
    .await;
    scene.publish(1).await;
    let new = all_reset(&scene, &old, 51).await;
    assert!(
        scene.followers.iter().all(|follower| follower.status().events == 50),
        "51 was not passed as the next"
    );
    scene.publish(4).await;
    for follower in &scene.followers {
        assert_eq!(follower.reached(55, PATIENCE).await.unwrap().cursor, Some(Cursor::new(55, &new)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_another_epoch_in_the_database_resets_every_client() {
    let mut scene = Scene::start(StackConfig::default()).await;
    scene.follow_at(0, 2).await;
    scene.follow_at(1, 2).await;
    scene.publish(20).await;
    scene.everything_arrives().await;
    let old = scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    sql(&scene.stack, "UPDATE carillon.tenants SET epoch = 'restored'").await;
    assert_eq!(all_reset(&scene, &old, 20).await, "restored");
    scene.publish(10).await;
    scene.everything_arrives().await;
    let verdict = scene.verdict();
    assert!(verdict.is_clean() && verdict.resets == 4, "{verdict}");
    resumes_with_reset(&scene, Cursor::new(20, &old), "epoch_changed", Cursor::new(30, "restored")).await;
}

/// A cursor from before what retention has left is told `too_old`; one right at the edge misses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn i4_whole_a_cursor_behind_retention_is_told_so() {
    let config = StackConfig { gateways: 1, ..StackConfig::default() }.gateway_var("CARILLON_RING_EVENTS", 4);
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 1).await;
    scene.publish(20).await;
    scene.everything_arrives().await;
    let epoch = scene.followers[0].status().cursor.unwrap().epoch.unwrap();
    // Forty days pass for these events, and the janitor comes.
    sql(
        &scene.stack,
        "DO $$ DECLARE day date := current_date - 40; BEGIN
            EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events FOR VALUES FROM (%L) TO (%L)',
                to_char(day, 'YYYYMMDD'), day, day + 1);
            UPDATE carillon.events SET at = day + interval '12 hours';
         END $$",
    )
    .await;
    // A read of the log that is under way puts it off.
    let dropped = || async {
        sql(&scene.stack, "SELECT carillon.drop_partitions(30)").await;
        (sql(&scene.stack, "SELECT due FROM carillon.partition_state(30)").await == "0").then_some(())
    };
    wait::until("the partition being dropped", PATIENCE, dropped).await.unwrap();
    scene.publish(10).await;
    scene.everything_arrives().await;

    // One gateway opened the stream while the log was whole, the other knows from the start what is gone.
    scene.stack.add_gateway(&[]).await.unwrap();
    for gateway in scene.stack.gateways() {
        let head = scene.book().last_seq(TENANT, &epoch);
        let connect = |seq| {
            let cursor = Cursor::new(seq, &epoch);
            Connect::new(gateway.ws_url(), scene.token(TENANT, "late")).since(cursor)
        };
        let (mut edge, welcome) = Socket::open(&connect(20)).await.unwrap();
        assert_eq!(welcome.resumed, "replay");
        for expected in 21..=head {
            assert_eq!(edge.next_of("event", PATIENCE).await.unwrap().seq(), Some(expected));
        }
        let (mut late, _) = Socket::open(&connect(5)).await.unwrap();
        let first = late.next_frame(PATIENCE).await.unwrap();
        assert!(first.is("reset"), "{}: no event before the reset: {first:?}", gateway.name());
        assert_eq!((first.text("reason"), first.seq()), (Some("too_old"), Some(head)));
        scene.publish(1).await;
        for socket in [&mut edge, &mut late] {
            assert_eq!(socket.next_of("event", PATIENCE).await.unwrap().seq(), Some(head + 1));
        }
        edge.close().await;
        late.close().await;
    }
    scene.assert_whole().await;
}
