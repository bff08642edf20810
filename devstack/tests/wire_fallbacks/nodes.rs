//! What becomes of listeners when the node that serves them is killed, or stops?

use std::time::{Duration, Instant};

use carillon_devstack::client::frame::Cursor;
use carillon_devstack::client::ledger::Witness;
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::socket::SocketError;
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;

use crate::faults::probe::readiness_becomes;
use crate::faults::{PATIENCE, Scene, TENANT, alone, stop};
use crate::listeners::{By, Listener};

const EACH: usize = 6;

fn listen(scene: &Scene, url: &str, user: &str) -> Listen {
    Listen::new(url, scene.token(TENANT, user)).unwrap()
}

/// Event streams, polls and WebSockets side by side through the balancer, while node after node dies under load.
#[tokio::test(flavor = "multi_thread")]
async fn i3_i4_listeners_lose_nothing_and_see_nothing_twice_when_their_nodes_are_killed() {
    let _alone = alone().await;
    // Some come back to the ring, some to the log.
    let config = StackConfig { lb: true, publishers: 2, ..StackConfig::default() };
    let mut scene = Scene::start(config.gateway_var("CARILLON_RING_EVENTS", 16)).await;
    let mut listeners = Vec::new();
    for n in 0..2 * EACH {
        let by = if n < EACH { By::Stream } else { By::Poll };
        let name = format!("{by:?}-{n}");
        listeners.push(Listener::start(&name, TENANT, by, listen(&scene, &scene.stack.lb_url(), &name)));
    }
    scene.follow_balanced(2).await;
    let begun = || listeners.iter().all(|listener| listener.seen().cursor.is_some());
    wait::until_true("everyone listening", PATIENCE, begun).await.unwrap();

    let load = scene.load(60.0);
    for round in 0..4 {
        scene.acknowledged_more(40).await;
        let victim = scene.stack.gateway(round % 2);
        victim.kill().unwrap();
        scene.acknowledged_more(40).await;
        victim.restart().await.unwrap();
    }
    scene.acknowledged_more(20).await;
    stop(load).await;
    scene.everything_arrives().await;
    let epoch = listeners[0].seen().cursor.unwrap().epoch.unwrap();
    let head = scene.book().last_seq(TENANT, &epoch);
    let all_there = || listeners.iter().all(|listener| listener.seq() >= head);
    if let Err(timeout) = wait::until_true("everything at every listener", PATIENCE, all_there).await {
        panic!("{timeout}: {:?} of {head}", listeners.iter().map(Listener::seq).collect::<Vec<_>>());
    }

    let mut witnesses: Vec<Witness> = listeners.iter().map(Listener::witness).collect();
    witnesses.extend(scene.followers.iter().map(|follower| follower.witness()));
    let verdict = scene.book().verify(&witnesses);
    assert!(verdict.is_clean() && verdict.resets == 0, "{verdict}");
    assert!(verdict.deliveries > witnesses.len() * 300, "{verdict}");
    // A stream that breaks is always felt; of the polls only those that the dead node had not answered yet.
    for (by, least) in [(By::Stream, EACH), (By::Poll, 1)] {
        let losses: usize = listeners.iter().filter(|l| l.by == by).map(|l| l.seen().losses).sum();
        assert!(losses >= least, "the kills were felt by {by:?}: {losses}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_a_stopping_gateway_answers_its_polls_and_sends_its_streams_away() {
    let _alone = alone().await;
    let config =
        StackConfig { gateways: 1, ..StackConfig::default() }.gateway_var("CARILLON_DRAIN_MS", 3_000);
    let scene = Scene::start(config).await;
    scene.publish(3).await;
    let gateway = scene.stack.gateway(0);
    let wanted = listen(&scene, &gateway.url(), "anna");
    let begin = wanted.poll(None).await.unwrap().cursor;
    let mut streams = Vec::new();
    let mut polls = Vec::new();
    for _ in 0..4 {
        let mut stream = wanted.stream().await.unwrap();
        assert!(stream.next(PATIENCE).await.unwrap().frame.is("welcome"));
        streams.push(stream);
        let poll = wanted.clone().since(begin.clone());
        polls.push(tokio::spawn(async move { poll.poll(Some(Duration::from_secs(50))).await }));
    }
    let there = || async { (gateway.metric("carillon_connections").await? == 8.0).then_some(()) };
    wait::until("everyone being there", PATIENCE, there).await.unwrap();

    let begun = Instant::now();
    let watch = async {
        for stream in streams {
            let mut stream = stream;
            let goaway = stream.next_of("goaway", PATIENCE).await.unwrap();
            let asked = goaway.frame.number("reconnect_ms").map(Duration::from_millis);
            assert!(asked.is_some() && goaway.retry == asked, "in the stream's own words, too: {goaway:?}");
            let end = stream.next(PATIENCE).await.unwrap();
            assert_eq!((end.frame.kind(), end.frame.code()), ("error", Some("restart")), "{end:?}");
            assert!(matches!(stream.next(PATIENCE).await, Err(SocketError::Lost(_))), "then it ends");
        }
        for poll in polls {
            let polled = poll.await.unwrap().unwrap();
            assert_eq!((polled.events.len(), &polled.cursor), (0, &begin));
        }
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "within the drain, not the wait: {:?}",
            begun.elapsed()
        );
    };
    let refused = async {
        readiness_becomes(gateway, "unready", Some("draining")).await;
        let late = wanted.clone().since(Cursor { seq: 1, epoch: None });
        let error = late.poll(None).await.unwrap_err();
        let SocketError::Refused { status: 503, code, retry_after, .. } = &error else { panic!("{error}") };
        assert!(code == "draining" && retry_after.is_some(), "{error}");
        // A browser's EventSource would not come back after any status but 200.
        let mut stream = late.stream().await.unwrap();
        let told = stream.next(PATIENCE).await.unwrap();
        assert_eq!((told.frame.kind(), told.frame.code()), ("error", Some("draining")), "{told:?}");
        let second = Duration::from_secs(1);
        assert!(told.retry.is_some_and(|retry| (second..=3 * second).contains(&retry)), "{told:?}");
        assert!(matches!(stream.next(PATIENCE).await, Err(SocketError::Lost(_))), "then it ends");
    };
    let ((), (), status) = tokio::join!(watch, refused, gateway.terminate());
    assert_eq!(status.unwrap().code(), Some(0), "{}", gateway.process().log_tail());
}

/// A cursor from before what retention has left is told `too_old`; from the edge on nothing is missed.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_listener_from_before_retention_is_told_so() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    scene.publish(20).await;
    let forty_days_pass = "DO $$ DECLARE day date := current_date - 40; BEGIN
            EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events FOR VALUES FROM (%L) TO (%L)',
                to_char(day, 'YYYYMMDD'), day, day + 1);
            UPDATE carillon.events SET at = day + interval '12 hours';
         END $$";
    crate::faults::probe::sql(&scene.stack, forty_days_pass).await;
    // A read of the log that is under way puts it off.
    let dropped = || async {
        let sql = async |text: &str| crate::faults::probe::sql(&scene.stack, text).await;
        sql("SELECT carillon.drop_partitions(30)").await;
        (sql("SELECT due FROM carillon.partition_state(30)").await == "0").then_some(())
    };
    wait::until("the partition being dropped", PATIENCE, dropped).await.unwrap();
    scene.publish(10).await;
    let mut wanted = listen(&scene, &scene.stack.gateway(0).url(), "anna");
    wanted.since = Some(Cursor { seq: 19, epoch: None });
    let polled = wanted.poll(None).await.unwrap();
    assert_eq!((polled.reset.as_deref(), polled.events.len(), polled.cursor.seq), (Some("too_old"), 0, 30));
    let mut stream = wanted.stream().await.unwrap();
    assert_eq!(stream.next(PATIENCE).await.unwrap().frame.text("resumed"), Some("reset"));
    let reset = stream.next(PATIENCE).await.unwrap();
    assert_eq!((reset.frame.text("reason"), reset.frame.seq()), (Some("too_old"), Some(30)));
    wanted.since = Some(Cursor { seq: 20, epoch: None });
    let polled = wanted.poll(None).await.unwrap();
    assert_eq!((polled.reset, polled.events.len(), polled.cursor.seq), (None, 10, 30));
}
