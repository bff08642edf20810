//! Is a `subscribe` that waits for an application's verdicts answered by what holds when they come?
//!
//! A shard is driven by hand; the test gives the application's answers.

use super::joining::subscribe;
use super::messages::{Coming, ConnectionId, Joining, Newcomer, Request, ToShard};
use super::past::Position;
use super::room::Member;
use super::session::At;
use super::shard::Shard;
use super::wire::{Format, Wire};
use super::world::Kernel;
use super::{FrameRate, ShardConfig, StuckCursors};
use crate::admission::{Admission, ConnectionLimits};
use crate::authorize::{Authorized, Bearer, Recovered, Resume};
use crate::limits::Limits;
use crate::live::{Outgoing, Rates};
use crate::records::Records;
use crate::relay::Relays;
use crate::stream::Stream;
use crate::stream::ring::RingLimits;
use crate::verdicts::Verdicts;
use bytes::Bytes;
use carillon_platform::ask::{Endpoint, Granted, Question, Verdict};
use carillon_platform::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_platform::outbound::SigningSecret;
use carillon_platform::rules::{Compiled, RuleSet};
use carillon_platform::telemetry::Traces;
use carillon_protocol::connection::Incarnation;
use carillon_protocol::{Channel, Epoch, Seq, SettingsVersion, TenantId, UserId};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// One connection of mila's, who has the role x.
struct Rig {
    shard: Shard<Kernel>,
    stream: Arc<Stream>,
    requests: UnboundedReceiver<Request>,
    client: TcpStream,
    id: ConnectionId,
    version: u64,
    _poll: mio::Poll,
}

/// What the application was asked, and for which `subscribe`.
struct Asked {
    ticket: Option<u64>,
    generation: u64,
    questions: Vec<Question>,
}

impl Asked {
    /// The channels and actions of the questions.
    fn about(&self) -> Vec<String> {
        let name = |question: &Question| format!("{} {}", question.action.name(), question.channel.as_str());
        self.questions.iter().map(name).collect()
    }
}

fn identity(roles: &[&str]) -> Identity {
    Identity {
        tenant: TenantId::new("acme").unwrap(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        credentials: Credentials {
            user: UserId::new("mila").unwrap(),
            patterns: Box::new([]),
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: 4_000_000_000,
            service: None,
        }
        .into(),
    }
}

fn yes(number: u64) -> Verdict {
    let lasts = Duration::from_secs(300);
    Verdict::Allowed(Granted { number, lasts, left: lasts })
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

impl Rig {
    fn new() -> Self {
        let poll = mio::Poll::new().unwrap();
        let (asks, requests) = tokio::sync::mpsc::unbounded_channel();
        let config = ShardConfig {
            run: Arc::new(Incarnation { node: "gateway-1".into(), number: 7 }),
            heartbeat_ms: 25_000,
            stall_ms: 120_000,
            shards: 1,
            frame_rate: FrameRate { per_second: 50 },
            traces: Traces::default(),
            stuck: StuckCursors::default(),
            rates: Rates::default(),
            limits: Limits::default(),
            relays: Relays::default(),
            records: Records::default(),
        };
        let (presence, _) = tokio::sync::mpsc::unbounded_channel();
        let world = Kernel::new(poll.registry().try_clone().unwrap(), asks, Outgoing::nowhere(), presence);
        let mut shard = Shard::new(world, 0, config, Arc::default());
        let limits = RingLimits { events: 16, bytes: 1 << 10 };
        let (tenant, epoch) = (TenantId::new("acme").unwrap(), Epoch::new("e1").unwrap());
        let stream = Arc::new(Stream::new(tenant, epoch, Seq::ZERO, Seq(1), limits));
        let limits = ConnectionLimits { node: 0, per_second: 0, per_address: 0, per_user: 0 };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let authorized = Authorized {
            identity: identity(&["x"]),
            stream: stream.clone(),
            channels: Vec::new(),
            resume: Resume::Fresh,
            rules: None,
            verdicts: Verdicts::default(),
            device: None,
            types: None,
            meta: None,
            presence: false,
            inbox: None,
            command: None,
            arriving: None,
            bearer: None,
            recovered: Recovered::Nothing,
        };
        let newcomer = Newcomer {
            socket: mio::net::TcpStream::from_std(socket),
            early: Bytes::new(),
            head: Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            wire: Wire::WebSocket(None),
            format: Format::PLAIN,
            permit: Admission::new(limits).enter(peer.ip()).unwrap(),
            coming: Coming::Admitted(Box::new(authorized)),
        };
        assert!(shard.turn([], [ToShard::Connect(Box::new(newcomer))]));
        let id = shard.tables.get(0).unwrap().id;
        let mut rig = Self { shard, stream, requests, client, id, version: 0, _poll: poll };
        rig.set_rules(1);
        rig
    }

    fn at(&self) -> At {
        At { key: self.id.key, session: 0 }
    }

    fn member(&self) -> Member {
        self.shard.tables.session(self.at()).unwrap().member(self.id.key)
    }

    fn tell(&mut self, message: ToShard) {
        assert!(self.shard.turn([], [message]));
    }

    /// The rules, with this setting of the application.
    fn set_rules(&mut self, generation: u64) {
        let (rules, unreadable) = Compiled::of([
            ("a:{a}", r#"{"subscribe": ["ask"], "history": ["ask"]}"#),
            ("b:{b}", r#"{"subscribe": ["role:x", "ask"], "history": ["anyone"]}"#),
            ("seen:*", r#"{"subscribe": ["anyone"], "presence": ["ask"]}"#),
        ]);
        assert_eq!(unreadable, 0);
        self.follow(Arc::new(rules), generation);
    }

    /// Other settings: with these rules.
    fn follow(&mut self, rules: Arc<Compiled>, generation: u64) {
        self.version += 1;
        let version = SettingsVersion { tenant: self.version, defaults: 0 };
        let secret = SigningSecret::fresh();
        let endpoint = Endpoint::stored("https://app.example/", secret.expose(), None, generation);
        let defaults = self.stream.rules().defaults().clone();
        let rules = RuleSet::new(version, rules, defaults).asking(endpoint);
        let _ = self.stream.set_rules(Arc::new(rules));
        self.tell(ToShard::Rules(self.stream.clone()));
    }

    fn subscribe(&mut self, channels: &[&str]) {
        let channels = channels.iter().map(|name| channel(name)).collect();
        let joining = Joining { id: Some("1".into()), channels, history: None, types: None, presence: false };
        subscribe(self.at(), joining, &mut self.shard.tables, &mut self.shard.context);
    }

    fn unsubscribe(&mut self, name: &str) {
        let request = carillon_protocol::client::Request::Unsubscribe { channels: vec![channel(name)] };
        let frame = carillon_protocol::client::ClientFrame { id: None, tenant: None, request };
        super::commands::carry_out(self.id.key, frame, &mut self.shard.tables, &mut self.shard.context);
    }

    fn has_roles(&mut self, roles: &[&str]) {
        self.tell(ToShard::Refreshed(self.id, None, Ok(Box::new(Bearer::Ticket(Box::new(identity(roles)))))));
    }

    /// What the application is asked now, if anything.
    fn asked(&mut self) -> Option<Asked> {
        while let Ok(request) = self.requests.try_recv() {
            if let Request::Ask { ticket, endpoint, questions, .. } = request {
                let questions = questions.into_iter().map(|(question, _)| question).collect();
                return Some(Asked { ticket, generation: endpoint.generation(), questions });
            }
        }
        None
    }

    fn answer(&mut self, asked: Asked, verdict: impl Fn(&Question) -> Verdict) {
        let said = asked.questions.into_iter().map(|question| {
            let verdict = verdict(&question);
            (question, verdict)
        });
        let verdicts = Verdicts::new(asked.generation, said.collect());
        self.tell(ToShard::Asked(self.id, self.stream.tenant.clone(), asked.ticket, Box::new(verdicts)));
    }

    fn is_in(&self, name: &str) -> bool {
        let session = &self.shard.tables.get(self.id.key).unwrap().sessions()[0];
        let room = self.shard.tables.rooms.get(session.room).unwrap();
        room.own_key(&session.channels, &channel(name)).is_some()
    }

    fn is_behind(&mut self, seq: Option<u64>) {
        let connection = self.shard.tables.get_mut(self.id.key).unwrap();
        connection.sessions_mut()[0]
            .past
            .set_position(seq.map_or(Position::Live, |seq| Position::Behind(Seq(seq))));
    }

    /// What the client was sent since.
    fn heard(&mut self) -> String {
        let mut buffer = vec![0; 64 * 1024];
        let read = self.client.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }
}

#[test]
fn a_subscribe_is_asked_about_anew_for_other_roles_and_then_answered() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1", "b:1"]);
    let first = rig.asked().unwrap();
    assert_eq!(first.about(), ["subscribe a:1"]);
    rig.has_roles(&[]);
    rig.answer(first, |_| yes(1));
    let second = rig.asked().unwrap();
    assert_eq!(second.about(), ["subscribe a:1", "subscribe b:1"], "nothing was said about these roles");
    assert!(second.questions.iter().all(|question| question.roles.is_empty()));
    rig.answer(second, |_| yes(2));
    assert!(rig.asked().is_none(), "it knows all there is to know");
    assert!(rig.is_in("a:1") && rig.is_in("b:1"));
}

#[test]
fn a_yes_about_old_roles_lets_nobody_in() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1"]);
    let about_x = rig.asked().unwrap();
    rig.has_roles(&["y"]);
    rig.answer(about_x, |_| yes(1));
    assert!(!rig.is_in("a:1"));
    let about_y = rig.asked().unwrap();
    assert_eq!(*about_y.questions[0].roles, ["y".to_owned()]);
    rig.answer(about_y, |_| Verdict::Refused);
    assert!(!rig.is_in("a:1") && rig.heard().contains("forbidden"));
}

#[test]
fn what_was_said_is_kept_while_something_else_is_asked() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1"]);
    let live = rig.asked().unwrap();
    assert_eq!(live.about(), ["subscribe a:1"]);
    rig.is_behind(Some(0));
    rig.answer(live, |_| yes(1));
    let past = rig.asked().unwrap();
    assert_eq!(past.about(), ["history a:1"]);
    rig.is_behind(None);
    rig.answer(past, |_| yes(2));
    assert!(rig.asked().is_none() && rig.is_in("a:1"));
}

#[test]
fn a_subscribe_is_asked_about_three_times_at_most() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1"]);
    let mut rounds = 0;
    while let Some(asked) = rig.asked() {
        rounds += 1;
        assert!(rounds <= 3, "it is asked about without an end");
        // The setting is another one by the time it has answered.
        rig.set_rules(rounds + 1);
        rig.answer(asked, |_| yes(1));
    }
    let heard = rig.heard();
    assert!(rounds == 3 && heard.contains(r#""code":"unavailable""#) && !rig.is_in("a:1"), "{heard}");
}

#[test]
fn an_answer_about_old_roles_is_nothing_to_a_member() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1"]);
    let asked = rig.asked().unwrap();
    rig.answer(asked, |_| yes(1));
    let held = rig.shard.tables.asked.held(rig.member(), &channel("a:1")).unwrap();
    let renewal = || Asked {
        ticket: None,
        generation: 1,
        questions: vec![Question::new(
            &identity(&["x"]),
            &channel("a:1"),
            carillon_platform::rules::Action::Subscribe,
            None,
        )],
    };
    rig.has_roles(&["y"]);
    let waits = rig.shard.tables.asked.held(rig.member(), &channel("a:1")).unwrap();
    for verdict in [yes(9), Verdict::Unavailable, Verdict::Refused] {
        rig.answer(renewal(), |_| verdict);
        assert!(rig.is_in("a:1"), "{verdict:?}");
        assert_eq!(rig.shard.tables.asked.held(rig.member(), &channel("a:1")), Some(waits), "{verdict:?}");
    }
    assert_eq!(waits.number, held.number);
    // About the present ones it is.
    rig.has_roles(&["x"]);
    rig.answer(renewal(), |_| Verdict::Refused);
    assert!(!rig.is_in("a:1"));
}

#[test]
fn other_settings_are_nothing_to_whom_the_application_has_spoken_of() {
    let mut rig = Rig::new();
    rig.subscribe(&["seen:1"]);
    // A turn, in which it is asked for the first time.
    rig.set_rules(1);
    let member = rig.member();
    let held = |rig: &Rig| rig.shard.tables.shown.held(member, &channel("seen:1")).unwrap();
    let say = |rig: &mut Rig, number: u64| {
        let (room, spread) = (channel("seen:1"), 0);
        let Verdict::Allowed(granted) = yes(number) else { unreachable!() };
        rig.shard.tables.shown.hold(member, &room, granted, 1, rig.shard.context.now_ms, spread);
    };
    say(&mut rig, 7);
    let said = held(&rig);
    // Other objects that say the same, and then the same object: a reader of rules may give either.
    rig.set_rules(1);
    assert_eq!(held(&rig), said, "by the same setting it is not asked anew");
    rig.follow(rig.stream.rules().own().clone(), 1);
    assert_eq!(held(&rig), said);
    rig.set_rules(2);
    assert_ne!(held(&rig), said, "another application is");
    assert_eq!(held(&rig).generation, 2);
    say(&mut rig, 8);
    rig.set_rules(1);
    let said = held(&rig);
    rig.has_roles(&["y"]);
    assert_eq!(held(&rig).number, said.number);
}

#[test]
fn no_verdict_on_the_past_costs_nobody_what_they_missed() {
    let mut rig = Rig::new();
    rig.is_behind(Some(0));
    rig.subscribe(&["a:1"]);
    let asked = rig.asked().unwrap();
    assert_eq!(asked.about(), ["subscribe a:1", "history a:1"]);
    let past = carillon_platform::rules::Action::History;
    rig.heard();
    rig.answer(asked, |question| if question.action == past { Verdict::Unavailable } else { yes(1) });
    let heard = rig.heard();
    assert!(heard.contains(r#""code":"unavailable""#) && !heard.contains("reset"), "{heard}");
    assert!(!rig.is_in("a:1"));
}

#[test]
fn the_last_word_about_a_channel_holds_whatever_waits() {
    let mut rig = Rig::new();
    // Left while it is asked about, which happens twice.
    rig.subscribe(&["a:1", "b:1"]);
    let first = rig.asked().unwrap();
    rig.unsubscribe("a:1");
    rig.has_roles(&[]);
    rig.answer(first, |_| yes(1));
    let second = rig.asked().unwrap();
    rig.answer(second, |_| yes(2));
    assert!(!rig.is_in("a:1") && rig.is_in("b:1"));
    // Left and wanted again.
    rig.subscribe(&["a:2"]);
    let before = rig.asked().unwrap();
    rig.unsubscribe("a:2");
    rig.subscribe(&["a:2"]);
    let after = rig.asked().unwrap();
    rig.answer(before, |_| yes(3));
    assert!(!rig.is_in("a:2"));
    rig.answer(after, |_| yes(3));
    assert!(rig.is_in("a:2"), "the unsubscribe came before it");
    // The same, answered the other way round.
    rig.subscribe(&["a:3"]);
    let before = rig.asked().unwrap();
    rig.unsubscribe("a:3");
    rig.subscribe(&["a:3"]);
    let after = rig.asked().unwrap();
    rig.answer(after, |_| yes(4));
    rig.answer(before, |_| yes(4));
    assert!(rig.is_in("a:3"));
}

#[test]
fn memberships_are_asked_about_one_by_one() {
    let mut rig = Rig::new();
    rig.subscribe(&["a:1", "a:2", "a:3"]);
    let asked = rig.asked().unwrap();
    rig.answer(asked, |_| yes(1));
    // Another setting: each is asked about, within moments.
    rig.set_rules(2);
    let began = std::time::Instant::now();
    let mut about = Vec::new();
    while about.len() < 3 {
        assert!(began.elapsed() < Duration::from_secs(5), "{about:?}");
        assert!(rig.shard.turn([], []));
        if let Some(asked) = rig.asked() {
            assert_eq!((asked.ticket, asked.questions.len()), (None, 1));
            about.extend(asked.about());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    about.sort_unstable();
    assert_eq!(about, ["subscribe a:1", "subscribe a:2", "subscribe a:3"]);
}
