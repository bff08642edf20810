//! Does a client come back with its cursor, and does it see what a gateway loses and doubles?

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;
use tungstenite::Message;
use tungstenite::handshake::server::{Request, Response};

use super::client::Client;
use super::part::{Desk, Known, Stage, Surroundings};
use super::plan::{ClientPlan, Comeback, Group, Habit, Order, PartReport};
use super::spread::Spread;
use crate::target::Address;

/// What is sent on one connection: the cursor in the `welcome`, how it resumed, and events.
type Script = (u64, &'static str, &'static [u64]);

/// Plays one script on each connection, drops all but the last after it, and says what each asked for.
#[expect(clippy::result_large_err, reason = "tungstenite's callback returns a whole response")]
fn gateway(scripts: &'static [Script]) -> (Address, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address { authority: listener.local_addr().unwrap().to_string(), path: "/v1/ws".into() };
    let playing = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for (index, (cursor, resumed, events)) in scripts.iter().enumerate() {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut socket = tungstenite::accept_hdr(stream, |request: &Request, response: Response| {
                asked.push(request.uri().query().unwrap_or_default().to_owned());
                Ok(response)
            })
            .unwrap();
            let welcome = format!(r#"{{"type":"welcome","seq":{cursor},"epoch":"e","resumed":"{resumed}"}}"#);
            socket.send(Message::text(welcome)).unwrap();
            for seq in *events {
                let event = format!(r#"{{"type":"event","seq":{seq},"event":{{"data":{{"stamp":1}}}}}}"#);
                socket.send(Message::text(event)).unwrap();
            }
            if index + 1 == scripts.len() {
                assert!(matches!(socket.read().unwrap(), Message::Close(_)), "the client leaves politely");
            }
        }
        asked
    });
    (address, playing)
}

/// One client, of a tenant whose fifth event is the last.
fn play(scripts: &'static [Script]) -> (Group, PartReport, Vec<String>) {
    let (address, playing) = gateway(scripts);
    let known = Arc::new(Known::new(1));
    known.take(&Order::Mark(1));
    known.take(&Order::Head { tenant: 0, seq: 5 });
    let (_stages, stage) = watch::channel(Stage::Finishing(Instant::now() + Duration::from_secs(8)));
    let desk = Rc::new(RefCell::new(Desk::new().unwrap()));
    let around = Surroundings {
        addresses: Rc::new([address]),
        comeback: Comeback { first_ms: 0, cap_ms: 0 },
        known,
        stage,
        desk: Rc::clone(&desk),
        handshakes: Rc::new(Semaphore::new(1)),
    };
    let (token, habit) = ("tok".into(), Habit::Steady);
    let plan = ClientPlan { number: 0, tenant: 0, token, home: 0, source: None, habit };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, Client::new(plan, around).play());
    let report = Rc::into_inner(desk).unwrap().into_inner().report();
    (report.groups["steady"].clone(), report, playing.join().unwrap())
}

#[test]
fn a_client_comes_back_with_its_cursor_and_gets_the_rest() {
    let (group, report, asked) = play(&[(0, "live", &[1, 2]), (2, "replay", &[3, 4, 5])]);
    assert_eq!(asked, ["", "since=2&epoch=e"]);
    assert!(group.account.is_whole() && group.account.expected == 5, "{group:?}");
    assert_eq!((group.connects, group.lost, group.faults), (2, 1, 0));
    for times in [&report.replay, &report.live_again] {
        let mut spread = Spread::new().unwrap();
        spread.add(times);
        assert_eq!(spread.percentiles().count, 1);
    }
}

#[test]
fn what_a_gateway_loses_and_doubles_is_counted() {
    let (group, report, _) = play(&[(0, "live", &[1, 2]), (2, "replay", &[3, 3, 5])]);
    assert_eq!((group.account.missed(), group.account.duplicates, group.faults), (1, 1, 2));
    assert!(report.told.iter().any(|told| told == "client 0: seq 5 after 3"), "{:?}", report.told);
}

#[test]
fn a_welcome_at_another_place_is_a_fault() {
    let (group, report, _) = play(&[(0, "live", &[1, 2]), (4, "live", &[5])]);
    assert_eq!((group.account.missed(), group.faults), (2, 2));
    assert!(
        report.told.iter().any(|told| told == "client 0: welcomed at 4 and not at 2"),
        "{:?}",
        report.told
    );
}
