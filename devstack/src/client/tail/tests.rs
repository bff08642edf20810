//! Does `tail` show each event once, and say what happened to the connection?

use super::*;
use crate::client::fake::{Fake, Scene, Step, event, welcome};
use serde_json::json;

async fn shown(scenes: Vec<Scene>, count: u64) -> (Vec<String>, Vec<String>, Result<(), TailError>) {
    let fake = Fake::start(scenes).await;
    let (mut events, mut notes) = (Vec::new(), Vec::new());
    let style = Style::Line { width: 100, colours: false, zone: TimeZone::UTC };
    let mut view = View { style, events: &mut events, notes: &mut notes, left: Some(count) };
    let outcome = view.show(Resuming::new(Follow::new([fake.url.clone()], "token"))).await;
    let lines = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect();
    (lines(events), lines(notes), outcome)
}

#[tokio::test]
async fn tail_says_when_it_reconnected_and_how_much_it_caught_up() {
    let rest = Step::Rest(QUIET + Duration::from_millis(100));
    let first = vec![welcome("gateway-1", 4, "live"), event(5), Step::Hang];
    let second = vec![welcome("gateway-2", 5, "replay"), event(6), event(7), rest, event(8)];
    let (events, notes, outcome) = shown(vec![Scene::Play(first), Scene::Play(second)], 4).await;
    outcome.unwrap();
    let seqs: Vec<&str> = events.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(seqs, ["#5", "#6", "#7", "#8"]);
    assert_eq!(notes[0], "· connected to gateway-1 as 1 of acme, after #4, in tenant user:1");
    assert!(notes[1].starts_with("· disconnected: "), "{notes:?}");
    assert!(
        notes[2].starts_with("· reconnected to gateway-2 after ")
            && notes[2].ends_with(" s, 2 events caught up")
    );
}

#[tokio::test]
async fn tail_shows_signals_and_counts_events() {
    let signal = json!({"type": "signal", "channel": "tenant", "from": "anna", "event": {"type": "typing"}});
    let scene = vec![welcome("g", 4, "live"), Step::Say(signal), event(5)];
    let (events, _, outcome) = shown(vec![Scene::Play(scene)], 1).await;
    outcome.unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("typing") && events[0].ends_with("tenant anna") && events[1].contains("#5"));
}

#[tokio::test]
async fn tail_shows_who_comes_and_goes_and_counts_events() {
    let presence = json!({"type": "presence", "channel": "branch:1", "count": 1, "joined": [{"user": "ana", "since": 1}], "left": [], "updated": []});
    let scene = vec![welcome("g", 4, "live"), Step::Say(presence), event(5)];
    let (events, _, outcome) = shown(vec![Scene::Play(scene)], 1).await;
    outcome.unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].contains("presence.joined") && events[0].contains("branch:1 ana"), "{events:?}");
}

#[tokio::test]
async fn tail_ends_when_the_gateway_says_not_to_come_back() {
    let (_, _, outcome) = shown(vec![Scene::Play(vec![welcome("g", 0, "live"), Step::Close(4401)])], 1).await;
    assert_eq!(outcome.unwrap_err().to_string(), "the gateway will not serve us: closed with 4401 scripted");
    let (_, _, outcome) = shown(vec![Scene::Refuse(403)], 1).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the gateway will not serve us: refused with HTTP 403 scripted"
    );
}
