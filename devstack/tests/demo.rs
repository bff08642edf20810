//! Does the demo have people who come, move, type, say something and go, for whoever watches?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/wire/mod.rs"]
mod wire;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use carillon_devstack::client::demo::TENANTS;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::find;
use carillon_devstack::process::{Signal, signal};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use wire::{PATIENCE, ask, claims};

/// A `carillon` in this data folder.
fn carillon(data: &tempfile::TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(find::own_binary("carillon").unwrap());
    command.arg("--data").arg(data.path()).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// Ends the stack of a data folder.
struct Down<'a>(&'a tempfile::TempDir);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(find::own_binary("carillon").unwrap());
        down.arg("--data").arg(self.0.path()).arg("down").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(down.status().unwrap().success() || std::thread::panicking(), "the stack did not stop");
    }
}

fn people(members: &Value) -> BTreeSet<String> {
    let name = |member: &Value| member["user"].as_str().or(member.as_str()).unwrap().to_owned();
    members.as_array().map(|all| all.iter().map(name).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_people_who_come_move_type_say_something_and_go_when_it_ends() {
    let data = tempfile::tempdir().unwrap();
    let _down = Down(&data);
    let up = carillon(&data, &["up", "--detach", "--json", "--no-demo"]).output().await.unwrap();
    let info: Value = serde_json::from_slice(&up.stdout).unwrap();
    let mut demo =
        carillon(&data, &["demo", "--rate", "15", "--seed", "7", "--people", "6"]).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    // Whoever comes first shows that the rules are there.
    while !printed.iter().any(|line: &String| line.ends_with(" comes") && line.starts_with(TENANTS[0])) {
        printed.push(tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap());
    }
    let reading = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            printed.push(line);
        }
        printed
    });
    let secret = info["jwt_secret"].as_str().unwrap();
    let url = format!("{}/v1/ws", info["lb"].as_str().unwrap().replacen("http", "ws", 1));
    let token = claims(TENANTS[0], "watcher").sign(secret).unwrap();
    let wanted = Connect { patience: PATIENCE, ..Connect::new(url, token) };
    let (mut socket, _) = Socket::open(&wanted).await.unwrap();
    let watched = json!({"type": "subscribe", "id": 1, "channels": ["tenant"], "presence": true});
    let answer = ask(&mut socket, watched).await;
    assert!(answer.is("ok"), "{answer:?}");
    let mut here = people(&answer.0["presence"]["tenant"]["members"]);
    let (mut joined, mut left, mut typing, mut notes) = (0, 0, BTreeSet::new(), 0);
    let mut most = here.len();
    let (mut statuses, mut moved) = (0, BTreeSet::new());
    let deadline = Instant::now() + 2 * PATIENCE;
    while joined < 2 || left < 2 || typing.len() < 2 || notes < 2 || statuses < 2 || moved.len() < 2 {
        let seen = format!(
            "{joined} joined, {left} left, {moved:?} moved, {typing:?} typed, {notes} notes, {statuses} statuses"
        );
        assert!(Instant::now() < deadline, "{seen}");
        let frame = socket.next_frame(PATIENCE).await.unwrap();
        match frame.kind() {
            "presence" => {
                joined += people(&frame.0["joined"]).len();
                left += people(&frame.0["left"]).len();
                for one in frame.0["updated"].as_array().into_iter().flatten() {
                    moved.extend(one["meta"]["page"].as_str().map(str::to_owned));
                }
                here.extend(people(&frame.0["joined"]));
                here = &here - &people(&frame.0["left"]);
                most = most.max(here.len());
            }
            "signal" if frame.0["event"]["type"] == "typing" => {
                typing.insert(frame.0["event"]["data"]["state"].as_str().unwrap().to_owned());
            }
            "signal" if frame.0["event"]["type"] == "note" => notes += 1,
            "event" if frame.0["event"]["type"] == "staff.status" => statuses += 1,
            _ => {}
        }
    }
    assert!(most <= 7, "six at most, and whoever watches: {here:?}");
    // Who is free, for whoever opens the page now.
    let free =
        ask(&mut socket, json!({"type": "subscribe", "id": 2, "channels": ["staff"], "latest": true})).await;
    assert!(free.is("ok"), "{free:?}");
    let latest = loop {
        let event = socket.next_of("event", PATIENCE).await.unwrap();
        if event.is_history() {
            break event;
        }
    };
    assert_eq!(latest.0["event"]["latestkey"], latest.0["event"]["data"]["staff"], "{latest:?}");

    // Notices and what they need: each page of whoever administers has something to show.
    let ask_rest = async |path: &str, bearer: &str| -> Value {
        let url = format!("{}{path}", info["lb"].as_str().unwrap());
        let answer = reqwest::Client::new().get(url).bearer_auth(bearer).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.json().await.unwrap()
    };
    let key = info["api_key"].as_str().unwrap();
    let of =
        |path: &str| format!("{path}{}tenant={}", if path.contains('?') { "&" } else { "?" }, TENANTS[0]);
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let hook = ask_rest(&of("/v1/webhooks"), key).await["webhooks"][0].clone();
        if hook["delivered_at"].is_string() {
            assert_eq!((&hook["id"], &hook["state"]), (&json!("demo"), &json!("enabled")), "{hook}");
            break;
        }
        assert!(Instant::now() < deadline, "its webhook gets something: {hook}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let types = ask_rest(&of("/v1/event-types"), key).await;
    assert!(types.to_string().contains("office.drill"), "{types}");
    let preferences = ask_rest(&of("/v1/preferences?user=boris"), key).await;
    assert_eq!(preferences["locale"], "de", "{preferences}");
    let boris = claims(TENANTS[0], "boris").roles(["staff"]).sign(secret).unwrap();
    let inbox = ask_rest("/v1/inbox?filter=all&limit=200", &boris).await;
    let items = inbox["items"].as_array().unwrap();
    let drill = items.iter().find(|item| item["type"] == "office.drill");
    assert!(drill.is_some_and(|drill| drill["requires_ack"] == true), "{inbox}");
    let oldest = items.iter().map(|item| item["time"].as_str().unwrap()).min().unwrap();
    let hours = jiff::Timestamp::now() - oldest.parse::<jiff::Timestamp>().unwrap();
    assert!(hours.get_seconds() > 3_600, "notices of a day: {oldest}");
    let audit = ask_rest(&of("/v1/audit?action=webhook"), key).await;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1, "{audit}");

    // A tail shows it between the events.
    let mut tail = carillon(&data, &["tail"]).spawn().unwrap();
    let mut shown = BufReader::new(tail.stdout.take().unwrap()).lines();
    let signals = async {
        loop {
            let line = shown.next_line().await.unwrap().unwrap();
            if line.contains('~') && (line.contains("typing") || line.contains("note")) {
                return line;
            }
        }
    };
    tokio::time::timeout(PATIENCE, signals).await.unwrap();
    tail.kill().await.unwrap();

    // Told to end, everybody says goodbye: nobody is there any more, without the ten seconds of grace.
    let told = Instant::now();
    signal(demo.id().unwrap(), Signal::TERM).unwrap();
    assert!(demo.wait().await.unwrap().success());
    // The tail was Anna's, and said none.
    while here.iter().any(|user| !["watcher", "anna"].contains(&user.as_str())) {
        let frame = socket.next_of("presence", PATIENCE).await.unwrap();
        here.extend(people(&frame.0["joined"]));
        here = &here - &people(&frame.0["left"]);
    }
    assert!(told.elapsed() < Duration::from_secs(9), "{:?}", told.elapsed());
    let printed = reading.await.unwrap();
    let tenants: BTreeSet<&str> = printed
        .iter()
        .filter(|line| line.ends_with(" comes"))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(tenants.len() >= 3, "{tenants:?}");
}
