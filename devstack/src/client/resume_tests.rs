//! Does a client keep its place through every way a connection can end?

use std::time::Duration;

use serde_json::json;

use super::fake::{Fake, Scene, Step, event, welcome};
use super::follow::Follower;
use super::frame::Cursor;
use super::resume::{Follow, Happening, Resuming};
use super::socket::{Connect, Socket, SocketError, TokenPlace};

const PATIENCE: Duration = Duration::from_secs(5);

fn follow(fake: &Fake) -> Follow {
    Follow::new([fake.url.clone()], "tok")
}

fn seqs(follower: &Follower) -> Vec<u64> {
    follower.witness().events().map(|event| event.seq).collect()
}

#[tokio::test]
async fn the_url_carries_everything_a_client_wants() {
    let fake = Fake::start(vec![Scene::Play(vec![welcome("g", 4, "replay")])]).await;
    let mut wanted = Connect::new(&fake.url, "tok").since(Cursor::new(4, "e1")).channels(["a:1", "b@2"]);
    wanted.device = Some("phone".into());
    wanted.tenant = Some("acme".into());
    let (_socket, welcome) = Socket::open(&wanted).await.unwrap();
    assert_eq!((welcome.node.as_str(), welcome.seq), ("g", 4));
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.paths, ["/v1/ws?since=4&epoch=e1&device=phone&channels=a%3A1%2Cb%402&tenant=acme"]);
    assert_eq!(seen.bearers, ["Bearer tok"]);
}

#[tokio::test]
async fn the_token_can_be_the_first_frame() {
    let fake = Fake::start(vec![Scene::Play(vec![Step::Hear, welcome("g", 0, "live")])]).await;
    Socket::open(&Connect::new(&fake.url, "tok").place(TokenPlace::FirstFrame)).await.unwrap();
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.frames, [json!({"type": "auth", "token": "tok"})]);
    assert_eq!((seen.paths[0].as_str(), seen.bearers[0].as_str()), ("/v1/ws", ""));
}

#[tokio::test]
async fn a_refusal_names_status_and_code() {
    let fake = Fake::start(vec![Scene::Refuse(429)]).await;
    let error = Socket::connect(&Connect::new(&fake.url, "tok")).await.unwrap_err();
    assert!(
        matches!(&error, SocketError::Refused { status: 429, code, .. } if code == "scripted"),
        "{error}"
    );
    assert!(!error.is_terminal());
}

#[tokio::test]
async fn after_a_loss_the_client_resumes_from_its_newest_seq() {
    let first = vec![
        welcome("g1", 4, "live"),
        event(5),
        Step::Say(json!({"type": "heartbeat", "seq": 9})),
        Step::Hang,
    ];
    let second = vec![welcome("g2", 9, "replay"), event(10)];
    let fake = Fake::start(vec![Scene::Play(first), Scene::Refuse(503), Scene::Play(second)]).await;
    let follower = Follower::start("f", "acme", follow(&fake));
    let status = follower.reached(10, PATIENCE).await.unwrap();
    assert_eq!((status.connections, status.node.as_deref()), (2, Some("g2")));
    assert_eq!(seqs(&follower), [5, 10]);
    let paths = fake.seen.lock().unwrap().paths.clone();
    let again = "/v1/ws?since=9&epoch=e1&last=5%3Aid-5";
    assert_eq!(paths, ["/v1/ws", again, again]);
}

#[tokio::test]
async fn a_goaway_is_obeyed_with_its_delay() {
    let goaway = Step::Say(json!({"type": "goaway", "reconnect_ms": 300}));
    let scenes = vec![
        Scene::Play(vec![welcome("g1", 1, "live"), goaway]),
        Scene::Play(vec![welcome("g2", 1, "live")]),
    ];
    let fake = Fake::start(scenes).await;
    let mut client = Resuming::new(follow(&fake));
    assert!(matches!(client.next().await, Happening::Connected { after: None, .. }));
    let Happening::Lost { retry_in, .. } = client.next().await else {
        panic!("a goaway ends the connection")
    };
    assert!(retry_in >= Duration::from_millis(300));
    let Happening::Connected { after: Some(after), .. } = client.next().await else {
        panic!("it comes back")
    };
    assert!(after >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_reset_moves_the_cursor() {
    let reset = Step::Say(json!({"type": "reset", "reason": "epoch_changed", "seq": 2, "epoch": "e2"}));
    let scenes = vec![
        Scene::Play(vec![welcome("g", 7, "reset"), reset, event(3), Step::Hang]),
        Scene::Play(vec![welcome("g", 3, "live")]),
    ];
    let fake = Fake::start(scenes).await;
    let follower = Follower::start("f", "acme", follow(&fake).since(Cursor::new(40, "e0")));
    follower.until("come back", PATIENCE, |status| status.connections == 2).await.unwrap();
    assert_eq!(follower.witness().resets(), 1);
    let paths = fake.seen.lock().unwrap().paths.clone();
    assert_eq!(paths, ["/v1/ws?since=40&epoch=e0", "/v1/ws?since=3&epoch=e2&last=3%3Aid-3"]);
}

#[tokio::test]
async fn terminal_codes_end_the_follower_and_others_do_not() {
    for (code, ends) in
        [(4400, true), (4410, true), (4408, false), (4429, false), (4508, false), (1012, false)]
    {
        let again = Scene::Play(vec![welcome("g", 1, "live")]);
        let fake =
            Fake::start(vec![Scene::Play(vec![welcome("g", 1, "live"), Step::Close(code)]), again]).await;
        let follower = Follower::start("f", "acme", follow(&fake));
        let settled = follower
            .until("settle", PATIENCE, |status| status.over.is_some() || status.connections == 2)
            .await
            .unwrap();
        assert_eq!(settled.over.is_some(), ends, "{code}");
    }
}

#[tokio::test]
async fn silence_for_two_heartbeats_is_a_loss() {
    let scenes =
        vec![Scene::Play(vec![welcome("g1", 1, "live")]), Scene::Play(vec![welcome("g2", 1, "live")])];
    let fake = Fake::start(scenes).await;
    let mut client = Resuming::new(follow(&fake));
    assert!(matches!(client.next().await, Happening::Connected { .. }));
    let Happening::Lost { why, .. } = client.next().await else { panic!("silence is a loss") };
    assert_eq!(why, "nothing heard for two heartbeats");
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_expires() {
    let expiring = Step::Say(json!({"type": "expiring", "in_ms": 30_000}));
    let fake =
        Fake::start(vec![Scene::Play(vec![welcome("g", 1, "live"), expiring, Step::Hear, event(2)])]).await;
    let follower = Follower::start("f", "acme", follow(&fake));
    follower.reached(2, PATIENCE).await.unwrap();
    assert_eq!(fake.seen.lock().unwrap().frames, [json!({"type": "auth", "token": "tok"})]);
}

#[tokio::test]
async fn a_paused_follower_reads_nothing_and_a_severed_one_comes_back() {
    let rest = Step::Rest(Duration::from_millis(100));
    let scenes = vec![
        Scene::Play(vec![welcome("g1", 0, "live"), rest, event(1), event(2)]),
        Scene::Play(vec![welcome("g2", 2, "live"), event(3)]),
    ];
    let fake = Fake::start(scenes).await;
    let follower = Follower::start("f", "acme", follow(&fake));
    follower.connected(PATIENCE).await.unwrap();
    follower.pause().await;
    assert!(follower.reached(1, Duration::from_millis(250)).await.is_err());
    follower.go().await;
    follower.reached(2, PATIENCE).await.unwrap();
    follower.sever().await;
    follower.reached(3, PATIENCE).await.unwrap();
    assert_eq!(seqs(&follower), [1, 2, 3]);
    let left = follower.leave().await;
    assert_eq!((left.left_at, left.connections()), (Some(3), 2));
}
