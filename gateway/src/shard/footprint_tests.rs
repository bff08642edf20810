//! What does a connection cost, counted in allocated bytes, and what a delivery?
//!
//! A shard is driven by hand on the test's own thread, with real sockets, under an allocator that counts for each thread.
//! So the figures are exact and the same on every machine: resident memory is measured by the load tests.

use super::live::hand_in;
use super::messages::{Attached, Attaching, Coming, Newcomer, Ready, Request, ToShard};
use super::room::RoomKey;
use super::shard::Shard;
use super::waiting::WAITING;
use super::wire::{Format, Wire};
use super::world::Kernel;
use super::{FrameRate, ShardConfig, StuckCursors};
use crate::admission::{Admission, ConnectionLimits};
use crate::authorize::testkit::person;
use crate::authorize::{Authorized, Recovered, Resume};
use crate::budget::Budget;
use crate::edge::RawQuery;
use crate::limits::Limits;
use crate::live::{Outgoing, Passing, Rates};
use crate::records::Records;
use crate::relay::Relays;
use crate::socketio::outgoing::Form;
use crate::stream::Stream;
use crate::stream::entry::Entry;
use crate::stream::ring::RingLimits;
use bytes::Bytes;
use carillon_platform::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_platform::descriptors;
use carillon_platform::telemetry::Traces;
use carillon_protocol::client::ConnectParameters;
use carillon_protocol::connection::Incarnation;
use carillon_protocol::{Channel, Epoch, Seq, Signal, TenantId, UserId};
use mio::Poll;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// Most heap a subscribed connection at rest may own, its places in all tables included. I7's budget is 2.5 KB of
/// resident memory; the allocator's own overhead and the kernel's socket come on top of this.
const CEILING: i64 = 612;
/// Most heap that each further tenant of a connection may own, likewise, with its part of the token that is kept: 48 bytes are the
/// session, 36 its places in lists, 38 the person's own channel in the room, 26 their place among the connections of one person, 8 the
/// part of the token.
const A_TENANT: i64 = 160;

thread_local! {
    /// Bytes allocated and not freed, and allocations made, by this thread.
    static LIVE: Cell<(i64, u64)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(bytes: i64, allocations: u64) {
    let (live, made) = LIVE.get();
    LIVE.set((live + bytes, made + allocations));
}

#[expect(
    unsafe_code,
    reason = "a counting allocator is the only proof; it adds counters to the system's own"
)]
// SAFETY: all methods pass their arguments unchanged to `System`, which upholds the contract; the counters are a
// constant-initialised thread local without a destructor, so touching them neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), 0);
        // SAFETY: `ptr` came from `System` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64, 1);
        // SAFETY: `ptr` came from `System` with this layout; the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A shard, a stream, and the clients of its connections.
pub(super) struct Rig {
    pub(super) shard: Shard<Kernel>,
    pub(super) stream: Arc<Stream>,
    admission: Admission,
    budget: Arc<Budget>,
    requests: UnboundedReceiver<Request>,
    listener: TcpListener,
    pub(super) clients: Vec<TcpStream>,
    _poll: Poll,
}

fn stream(tenant: &str) -> Arc<Stream> {
    let limits = RingLimits { events: 1_024, bytes: 1 << 20 };
    let (tenant, epoch) = (TenantId::new(tenant).unwrap(), Epoch::new("e1").unwrap());
    Arc::new(Stream::new(tenant, epoch, Seq::ZERO, Seq(1), limits))
}

/// Somebody with a role who comes into a stream's tenant and one further channel.
pub(super) fn authorized(number: usize, stream: &Arc<Stream>, channel: &str) -> Authorized {
    let identity = Identity {
        tenant: stream.tenant.clone(),
        roles: ["teacher".to_owned()].into(),
        credentials: Credentials {
            user: UserId::new(format!("user-{number:08}")).unwrap(),
            patterns: Box::new([]),
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: 4_000_000_000,
            service: None,
        }
        .into(),
    };
    Authorized {
        identity,
        stream: stream.clone(),
        channels: vec![Channel::new(channel).unwrap()],
        resume: Resume::Fresh,
        rules: None,
        verdicts: crate::verdicts::Verdicts::default(),
        device: None,
        types: None,
        meta: None,
        presence: false,
        inbox: None,
        command: None,
        arriving: None,
        bearer: None,
        recovered: Recovered::Nothing,
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        descriptors::raise().unwrap();
        let poll = Poll::new().unwrap();
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
        let shard = Shard::new(world, 0, config, Arc::default());
        Self {
            shard,
            stream: stream("acme"),
            admission: Admission::new(ConnectionLimits {
                node: 0,
                per_second: 0,
                per_address: 0,
                per_user: 1_000,
            }),
            budget: Budget::new(usize::MAX),
            requests,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            clients: Vec::with_capacity(4_096),
            _poll: poll,
        }
    }

    /// One more connection: a person with a role and one further channel.
    pub(super) fn connect(&mut self) {
        let authorized = authorized(self.clients.len(), &self.stream, "class:7b");
        self.accept(Coming::Admitted(Box::new(authorized)));
    }

    /// One more connection of somebody whose token names a tenant for each of these streams; it comes into all of them.
    fn connect_to(&mut self, streams: &[Arc<Stream>]) {
        let number = self.clients.len();
        let tenants: Vec<(&str, &[&str])> =
            streams.iter().map(|stream| (stream.tenant.as_str(), ["teacher"].as_slice())).collect();
        let bearer = Arc::new(person(&format!("user-{number:08}"), &tenants, &[], 2_000_000_000, 9));
        let mut own = authorized(number, &streams[0], "class:7b");
        own.identity = bearer.enter(Some(&streams[0].tenant)).unwrap();
        own.bearer = Some(bearer.clone());
        self.accept(Coming::Admitted(Box::new(own)));
        let id = self.shard.tables.get(number as u32).unwrap().id;
        for stream in &streams[1..] {
            let wanted = ConnectParameters { tenant: Some(stream.tenant.clone()), ..Default::default() };
            let attaching = Attaching { frame: None, tenant: stream.tenant.clone(), wanted, alone: false };
            let identity = bearer.enter(Some(&stream.tenant)).unwrap();
            let result = Ok(Authorized::plain(identity, stream.clone(), Vec::new(), Resume::Fresh));
            let attached = Attached { attaching, bearer: bearer.clone(), result };
            assert!(self.shard.turn([], [ToShard::Attached(id, Box::new(attached))]));
        }
        assert_eq!(self.shard.tables.get(id.key).unwrap().sessions().len(), streams.len());
    }

    pub(super) fn accept(&mut self, coming: Coming) {
        self.accept_as(Wire::WebSocket(None), coming);
    }

    fn accept_as(&mut self, wire: Wire, coming: Coming) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (socket, peer) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let newcomer = Newcomer {
            socket: mio::net::TcpStream::from_std(socket),
            early: Bytes::new(),
            head: Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            wire,
            format: Format::PLAIN,
            permit: self.admission.enter(peer.ip()).unwrap(),
            coming,
        };
        assert!(self.shard.turn([], [ToShard::Connect(Box::new(newcomer))]));
        self.clients.push(client);
    }

    fn room(&self) -> RoomKey {
        self.shard.tables.rooms.of(&self.stream).unwrap()
    }

    /// An event for everyone, into the ring.
    pub(super) fn publish(&self, seq: u64) {
        self.publish_to(&self.stream, seq);
    }

    fn publish_to(&self, stream: &Stream, seq: u64) {
        let json = format!(r#"{{"type":"event","seq":{seq},"channels":["tenant"],"event":{{"n":{seq}}}}}"#);
        let channels = Box::new([Channel::tenant()]);
        let entry = Entry::new(Seq(seq), channels, json.as_bytes(), 0, |bytes| self.budget.charge(bytes));
        stream.push([Arc::new(entry)]);
    }

    /// Bytes that every client has waiting, and takes.
    fn read_all(&mut self) -> Vec<usize> {
        let mut buffer = vec![0; 64 * 1024];
        let mut read = |client: &mut TcpStream| {
            let mut total = 0;
            loop {
                match client.read(&mut buffer) {
                    Ok(0) => panic!("a connection was closed"),
                    Ok(n) => total += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        self.clients.iter_mut().map(&mut read).collect()
    }
}

#[test]
fn i7_a_connection_at_rest_owns_less_than_its_ceiling() {
    // From one power of two to another, where tables that double have grown by exactly what they hold.
    const FROM: usize = 256;
    const TO: usize = 1_024;
    let mut rig = Rig::new();
    (0..FROM).for_each(|_| rig.connect());
    let (before, _) = LIVE.get();
    (FROM..TO).for_each(|_| rig.connect());
    let (after, _) = LIVE.get();
    let each = (after - before) / (TO - FROM) as i64;
    println!("{each} bytes for a connection at rest");
    assert!(each <= CEILING, "{each} bytes for a connection at rest, {CEILING} are allowed");
    assert!(
        each >= size_of::<super::connection::Connection<mio::net::TcpStream>>() as i64,
        "the count itself works: {each}"
    );
}

/// A client of Socket.IO that recovers: beside what everybody has its id and its place in a table.
#[test]
fn i7_a_client_of_socket_io_at_rest_owns_little_more() {
    let mut rig = Rig::new();
    let connect = |rig: &mut Rig| {
        let number = rig.clients.len();
        rig.shard.tables.recovery.begin(number as u32, None);
        let authorized = authorized(number, &rig.stream, "class:7b");
        rig.accept_as(Wire::SocketIo(Form::PLAIN), Coming::Admitted(Box::new(authorized)));
    };
    (0..256).for_each(|_| connect(&mut rig));
    let (before, _) = LIVE.get();
    (256..1_024).for_each(|_| connect(&mut rig));
    let each = (LIVE.get().0 - before) / 768;
    println!("{each} bytes for a client of Socket.IO at rest");
    assert!(each <= CEILING + 160, "{each} bytes for a client of Socket.IO at rest");
}

/// What a connection at rest costs that is in so many tenants.
fn cost_of(tenants: usize) -> i64 {
    const FROM: usize = 256;
    const TO: usize = 1_024;
    let streams: Vec<Arc<Stream>> = (0..tenants).map(|n| stream(&format!("school-{n:02}"))).collect();
    let mut rig = Rig::new();
    (0..FROM).for_each(|_| rig.connect_to(&streams));
    let (before, _) = LIVE.get();
    (FROM..TO).for_each(|_| rig.connect_to(&streams));
    (LIVE.get().0 - before) / (TO - FROM) as i64
}

#[test]
fn i7_each_further_tenant_of_a_connection_costs_little() {
    let (one, all) = (cost_of(1), cost_of(16));
    let each = (all - one) / 15;
    println!("{one} bytes for a connection in one tenant, {each} for each further one");
    assert!(each <= A_TENANT, "{each} bytes for a further tenant, {A_TENANT} are allowed");
}

#[test]
fn i6_a_delivery_that_names_its_tenant_allocates_nothing_and_is_encoded_once() {
    const CONNECTIONS: usize = 100;
    let streams = [stream("school-1"), stream("school-2")];
    let mut rig = Rig::new();
    (0..CONNECTIONS).for_each(|_| rig.connect_to(&streams[..1]));
    (0..CONNECTIONS).for_each(|_| rig.connect_to(&streams));
    let room = rig.shard.tables.rooms.of(&streams[0]).unwrap();
    let fan_out = |rig: &mut Rig, events: std::ops::RangeInclusive<u64>| {
        let count = events.clone().count() as u64;
        events.for_each(|seq| rig.publish_to(&streams[0], seq));
        rig.read_all();
        let (bytes, before) = LIVE.get();
        rig.shard.hand_out(room, 0);
        let (more, after) = LIVE.get();
        let got = rig.read_all();
        let (alone, several) = (got[0], got[CONNECTIONS]);
        assert!(got[..CONNECTIONS].iter().all(|bytes| *bytes == alone && *bytes > 0), "{got:?}");
        assert!(got[CONNECTIONS..].iter().all(|bytes| *bytes == several), "{got:?}");
        assert_eq!(several - alone, count as usize * ",\"tenant\":\"school-1\"".len());
        ((after - before) / count, (more - bytes) / count as i64)
    };
    fan_out(&mut rig, 1..=20);
    let (made, bytes) = fan_out(&mut rig, 21..=40);
    assert!(made <= 8 && bytes < 512, "for an event, not for a delivery: {made} allocations, {bytes} bytes");
    let (made, _) = fan_out(&mut rig, 41..=41);
    assert!(made <= 8, "{made} for 200 deliveries of one event");
}

#[test]
fn nothing_that_a_client_asks_for_is_read_before_its_token_is_verified() {
    let channels = |named: &str| (0..990).map(|n| format!("{named}:{n}")).collect::<Vec<_>>();
    let query = format!("channels={}", channels("contact").join(","));
    let frame = format!(r#"{{"type":"auth","token":"t","channels":{:?}}}"#, channels("lead"));
    assert!(frame.len() < 1 << 16);
    let mut rig = Rig::new();
    rig.accept(Coming::Unknown(RawQuery::default()));
    let (bytes, made) = LIVE.get();
    rig.accept(Coming::Unknown(RawQuery::new(&query, None)));
    let holds = LIVE.get().0 - bytes;
    assert!(holds <= CEILING + query.len() as i64, "{holds} bytes for {} of a URL", query.len());

    let mut message = vec![0x81, 0x80 | 126];
    message.extend((frame.len() as u16).to_be_bytes());
    message.extend([0; 4]);
    message.extend(frame.as_bytes());
    rig.clients[1].write_all(&message).unwrap();
    let mut requests = Vec::new();
    while requests.is_empty() {
        assert!(rig.shard.turn([Ready { key: 1, readable: true, ended: false, writable: false }], []));
        requests.extend(rig.requests.try_recv());
    }
    // Each channel that is read costs one.
    let allocations = LIVE.get().1 - made;
    assert!(allocations < 200, "{allocations} allocations for two times 990 channels");
    let Request::Enter { token, frame: kept, url, .. } = requests.remove(0) else {
        panic!("another request")
    };
    assert_eq!((&*token, &*kept), ("t", &*frame));
    assert_eq!(url.connect_parameters().unwrap().channels.len(), 990);
}

#[test]
fn i7_a_connection_that_was_busy_owns_no_more_than_before() {
    let mut rig = Rig::new();
    (0..64).for_each(|_| rig.connect());
    let room = rig.room();
    rig.publish(1);
    rig.shard.hand_out(room, 0);
    let (before, _) = LIVE.get();
    for seq in 2..=200 {
        rig.publish(seq);
    }
    let ring = rig.budget.used();
    rig.shard.hand_out(room, 0);
    // The events, and what a fan-out of so many needs and keeps for the next; nothing for a connection.
    let (after, _) = LIVE.get();
    let scratch = 200 * 64 * 8 + 200 * 8 + 64 * 4;
    assert!(after - before <= ring as i64 + 2 * scratch, "{} beside {ring} bytes of events", after - before);
    rig.read_all();
    let (settled, _) = LIVE.get();
    let left: Vec<bool> = rig.shard.tables.connections.iter().map(|(_, c)| c.outbox.is_empty()).collect();
    assert!(left.iter().all(|empty| *empty) && settled <= after);
}

#[test]
fn i6_a_delivery_allocates_nothing() {
    const CONNECTIONS: usize = 200;
    let mut rig = Rig::new();
    (0..CONNECTIONS).for_each(|_| rig.connect());
    let room = rig.room();
    let fan_out = |rig: &mut Rig, events: std::ops::RangeInclusive<u64>| {
        events.for_each(|seq| rig.publish(seq));
        rig.read_all();
        let (_, before) = LIVE.get();
        rig.shard.hand_out(room, 0);
        let (_, after) = LIVE.get();
        let got = rig.read_all();
        assert!(got.iter().all(|bytes| *bytes > 0 && *bytes == got[0]), "everyone got the same: {got:?}");
        after - before
    };
    fan_out(&mut rig, 1..=20);
    assert_eq!(fan_out(&mut rig, 21..=40), 0, "4,000 deliveries in one drain");
    assert_eq!(fan_out(&mut rig, 41..=41), 0, "200 deliveries of one event");
}

#[test]
fn i6_a_signal_s_delivery_allocates_nothing() {
    const CONNECTIONS: usize = 200;
    let mut rig = Rig::new();
    (0..CONNECTIONS).for_each(|_| rig.connect());
    let room = rig.room();
    let fan_out = |rig: &mut Rig, count: usize| {
        rig.read_all();
        for n in 0..count {
            let frame =
                format!(r#"{{"type":"signal","channel":"class:7b","from":"mila","event":{{"n":{n}}}}}"#);
            let signal = Signal {
                shard: 1,
                channel: Channel::new("class:7b").unwrap(),
                user: UserId::new("mila").unwrap(),
                typing: None,
                frame: frame.into(),
            };
            let passing = Passing::new(7, signal, None, &rig.budget).unwrap();
            hand_in(room, passing, &mut rig.shard.tables);
        }
        let (_, before) = LIVE.get();
        rig.shard.hand_out(room, 0);
        let (_, after) = LIVE.get();
        let got = rig.read_all();
        assert!(got.iter().all(|bytes| *bytes > 0 && *bytes == got[0]), "everyone got the same: {got:?}");
        after - before
    };
    fan_out(&mut rig, 20);
    assert_eq!(fan_out(&mut rig, 20), 0, "4,000 deliveries in one fan-out");
    assert_eq!(fan_out(&mut rig, 1), 0, "200 deliveries of one signal");
    assert!(rig.budget.used() == 0, "what was handed out is let go");
}

#[test]
fn i10_a_fan_out_takes_a_bounded_part_of_what_waits_in_a_room_and_what_is_too_much_is_let_go() {
    let mut rig = Rig::new();
    (0..3).for_each(|_| rig.connect());
    let room = rig.room();
    rig.read_all();
    let signal = |rig: &Rig, channel: &str| {
        let (channel, user) = (Channel::new(channel).unwrap(), UserId::new("mila").unwrap());
        let signal = Signal { shard: 1, channel, user, typing: None, frame: Bytes::from_static(&[b'x'; 98]) };
        Passing::new(7, signal, None, &rig.budget).unwrap()
    };
    for _ in 0..WAITING + 44 {
        let passing = signal(&rig, "class:7b");
        hand_in(room, passing, &mut rig.shard.tables);
    }
    let mut handed_out = Vec::new();
    rig.shard.hand_out(room, 0);
    handed_out.push(rig.read_all());
    for turn in 1.. {
        // Also when others come meanwhile, it is in the list of those that wait once.
        assert!(rig.shard.tables.signalled.len() <= 1);
        rig.shard.wake_rested();
        let got = rig.read_all();
        if got[0] > 0 {
            handed_out.push(got);
        }
        if rig.shard.tables.signalled.is_empty() && handed_out.len() == 4 {
            break;
        }
        assert!(turn < 1_000_000, "{handed_out:?}");
    }
    assert_eq!(handed_out, vec![vec![64 * 100; 3]; 4], "in four parts");
    assert_eq!(rig.budget.used(), 0);
    // A channel that nobody here is in is no work.
    let passing = signal(&rig, "class:8a");
    hand_in(room, passing, &mut rig.shard.tables);
    assert!(rig.shard.tables.signalled.is_empty() && rig.budget.used() == 0);
}
