//! One run: a shard, its streams and its clients, step by step, judged after each.

use super::client::{Client, Finding, Kinds, Speech};
use super::outside::{COMPRESSED, compressed, event_channels, frame, names};
use super::scenario::{CLIENTS, Connecting, Past, Saying, Step, TENANTS};
use super::seat::Change;
use super::several::SWITCHES;
use super::tenant::{Tenant, incarnation};
use super::world::{Pipe, SimSocket, SimWorld};
use crate::admission::{Admission, ConnectionLimits};
use crate::authorize::Authorized;
use crate::edge::RawQuery;
use crate::live::Rates;
use crate::shard::allowance::FrameRate;
use crate::shard::context::ShardConfig;
use crate::shard::messages::Ready;
use crate::shard::messages::{Cause, Coming, Newcomer, ToShard};
use crate::shard::shard::Shard;
use crate::shard::stuck::StuckCursors;
use crate::shard::wire::{Format, Wire};
use crate::ws::Deflate;
use bytes::Bytes;
use carillon_platform::telemetry::Traces;
use carillon_protocol::{Except, UserId};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// 2026-01-01, where the clock begins.
const BEGIN_US: u64 = 1_767_225_600_000_000;

/// Whether a client's event stream comes in chunks.
pub(super) fn chunked(number: usize) -> bool {
    number % 8 < 4
}

/// How long a client may go without its cursor.
pub(super) const HEARTBEAT_MS: u64 = 25_000;

/// Everything in one run.
pub(super) struct Run {
    pub(super) shard: Shard<SimWorld>,
    pub(super) world: SimWorld,
    pub(super) load: Arc<AtomicUsize>,
    pub(super) admission: Admission,
    pub(super) tenants: Vec<Tenant>,
    pub(super) clients: Vec<Client>,
    /// Connections whose clients are gone: what the shard still has of them.
    pub(super) orphans: Vec<Rc<RefCell<Pipe>>>,
    pub(super) messages: VecDeque<ToShard<SimSocket>>,
    began: Instant,
}

/// Runs a scenario to its end and answers what the clients heard. An error, or a panic, is a fault of the shard.
pub(super) fn run(steps: &[Step]) -> Result<Kinds, String> {
    let mut run = Run::new();
    for step in steps {
        run.step(step)?;
        run.check()?;
    }
    run.come_to_rest()?;
    run.end()?;
    let mut all = Kinds::new();
    for (kind, count) in run.clients.into_iter().flat_map(|client| client.kinds) {
        *all.entry(kind).or_default() += count;
    }
    Ok(all)
}

impl Run {
    fn new() -> Self {
        let world = SimWorld::default();
        world.unix_us.set(BEGIN_US);
        let config = ShardConfig {
            run: Arc::new(incarnation()),
            heartbeat_ms: HEARTBEAT_MS,
            stall_ms: 60_000,
            shards: 1,
            frame_rate: FrameRate { per_second: 50 },
            traces: Traces::default(),
            stuck: StuckCursors::default(),
            rates: Rates::default(),
            relays: Default::default(),
            records: Default::default(),
            limits: Default::default(),
        };
        let load = Arc::new(AtomicUsize::new(0));
        let limits = ConnectionLimits { node: 0, per_second: 0, per_address: 0, per_user: 3 };
        Self {
            shard: Shard::new(world.clone(), 0, config, load.clone()),
            world,
            load,
            admission: Admission::new(limits),
            tenants: (0..TENANTS).map(Tenant::new).collect(),
            clients: (0..CLIENTS).map(|number| Client::new(number, TENANTS)).collect(),
            orphans: Vec::new(),
            messages: VecDeque::new(),
            began: Instant::now(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) -> Finding {
        let now = self.now();
        match step {
            Step::Connect { client, how } => self.connect(*client, how),
            Step::Say { client, tenant, what, flow } => self.say(*client, *tenant, what, *flow),
            Step::Read { client, bytes } => return self.read(*client, *bytes),
            Step::Leave { client, reset } => self.leave(*client, *reset),
            Step::BreakAt { client, write } => {
                if let Some(pipe) = &self.clients[*client].pipe {
                    pipe.borrow_mut().breaks_in = Some(*write);
                }
            }
            Step::Narrow { client, most } => {
                if let Some(pipe) = &self.clients[*client].pipe {
                    pipe.borrow_mut().most = *most;
                }
            }
            Step::Publish { tenant, channels, size, count } => {
                let before = self.tenants[*tenant].head();
                for number in 0..*count {
                    let channels = event_channels(channels.wrapping_add((number as u8).wrapping_mul(37)));
                    let except = self.except(*tenant, *size + number);
                    self.tenants[*tenant].publish(channels, *size, except);
                }
                self.tenants[*tenant].announce(before);
            }
            Step::Arrive { tenant, which, fate } => {
                let told = self.tenants[*tenant].arrive(*which, *fate, now)?;
                self.tell(*tenant, told);
            }
            Step::ReadHead { tenant, later } => self.tenants[*tenant].read_head(*later, now)?,
            Step::Repair { tenant, outcome } => {
                let told = self.tenants[*tenant].repair(*outcome, now)?;
                self.tell(*tenant, told);
            }
            Step::Restart { tenant, lost } => {
                let kept = self.tenants[*tenant].head().saturating_sub(*lost);
                let told = self.tenants[*tenant].restart(kept);
                self.tell(*tenant, told);
            }
            Step::Drop { tenant, count } => {
                let tenant = &mut self.tenants[*tenant];
                // Retention never reaches what the stream has not heard of.
                tenant.dropped = (tenant.dropped + count).min(tenant.fed());
            }
            Step::Trim { tenant, weight } => drop(self.tenants[*tenant].stream.trim(*weight)),
            Step::Rules { tenant, rules } => {
                if self.tenants[*tenant].set_rules(*rules) != 0 {
                    self.messages.push_back(ToShard::Rules(self.tenants[*tenant].stream.clone()));
                }
            }
            Step::Answer { request, outcome } => self.answer(*request, *outcome),
            Step::SendAway { count } => self.messages.push_back(ToShard::SendAway(Cause::Rebalance, *count)),
            Step::Wait { ms } => {
                self.world.now_us.set(self.world.now_us.get() + ms * 1_000);
                self.world.unix_us.set(self.world.unix_us.get() + ms * 1_000);
            }
            Step::SetClock { ms } => {
                self.world.unix_us.set(self.world.unix_us.get().saturating_add_signed(ms * 1_000));
            }
            Step::Turn { backwards, messages } => return self.turn(*backwards, *messages).map(drop),
        }
        Ok(())
    }

    /// One event in three is kept from somebody's connection, if it has been welcomed; of those every second from one person's
    /// alone, who may be another.
    fn except(&self, tenant: usize, choice: usize) -> Option<Except> {
        let client = self.clients.get(choice / 3 % CLIENTS).filter(|_| choice.is_multiple_of(3))?;
        let connection = client.connection().filter(|_| client.line.tenants.contains(&tenant))?;
        let somebody = &self.clients[choice / 7 % CLIENTS];
        let of = (choice / 3).is_multiple_of(2).then(|| UserId::new(somebody.user()).unwrap());
        Some(Except { connection, of })
    }

    /// The time as the sequencer takes it.
    pub(super) fn now(&self) -> Instant {
        self.began + Duration::from_micros(self.world.now_us.get())
    }

    pub(super) fn tell(&mut self, tenant: usize, shards: u64) {
        if shards != 0 {
            self.messages.push_back(ToShard::News(self.tenants[tenant].stream.clone()));
        }
    }

    fn connect(&mut self, number: usize, how: &Connecting) {
        let address = IpAddr::from([10, 0, 0, 1]);
        let client = &mut self.clients[number];
        if client.pipe.is_some() {
            return;
        }
        let refused = how.refused && how.resumes && client.cursor.is_some();
        if !how.resumes {
            client.cursor = None;
        }
        let pipe = Rc::new(RefCell::new(Pipe {
            room: how.room,
            most: usize::MAX,
            breaks_in: how.breaks_in,
            readable: true,
            writable: true,
            ..Pipe::default()
        }));
        let version = self.tenants[client.tenant].version();
        client.begin(pipe.clone(), refused, how.types.clone(), version);
        let url = if client.is_service() { Vec::new() } else { names(how.channels) };
        client.asked_for(0, &url, &how.types, None, version);
        let is_websocket = client.speech == Speech::WebSocket;
        let greets = how.greets && is_websocket;
        if greets {
            let text = format!(
                r#"{{"type":"auth","token":"{number} {refused} {} {}"}}"#,
                how.expires_s,
                url.join(" ")
            );
            client.unsent.extend(frame(1, text.as_bytes()));
        }
        for _ in 0..if is_websocket { how.early } else { 0 } {
            self.say(number, 0, &Saying::Ping, 0);
        }
        let client = &mut self.clients[number];
        let with_request = how.with_request.min(client.unsent.len());
        let early: Bytes = client.unsent.drain(..with_request).collect::<Vec<u8>>().into();
        pipe.borrow_mut().to_shard.extend(client.unsent.drain(..));
        if how.is_gone {
            pipe.borrow_mut().reset();
        }
        self.note_admission(number, self.clients[number].home, None);
        let mut permit = self.admission.enter(address).unwrap();
        let bearer = Arc::new(self.bearer(number, false, 7, how.expires_s));
        let authorized = match greets {
            true => Ok(None),
            false => self.connecting(number, &bearer, refused, url).map(Some),
        };
        let is_identified = |authorized: &Authorized| {
            permit.identify(&authorized.identity.tenant, &authorized.identity.user).is_ok()
        };
        let Some(authorized) = authorized.ok().filter(|it| it.as_ref().is_none_or(is_identified)) else {
            // Refused by HTTP.
            self.clients[number].pipe = None;
            return;
        };
        let wire = match self.clients[number].speech {
            Speech::WebSocket => {
                Wire::WebSocket(self.clients[number].window_bits().map(Deflate::with_window))
            }
            Speech::EventStream => Wire::EventStream { chunked: chunked(number) },
            Speech::Poll => Wire::Poll { wait_ms: how.wait_ms, most: 4_096 },
        };
        let format = if self.clients[number].is_compact() { Format::COMPACT } else { Format::PLAIN };
        self.load.fetch_add(1, Ordering::Relaxed);
        self.messages.push_back(ToShard::Connect(Box::new(Newcomer {
            socket: SimSocket(pipe),
            early,
            head: Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            wire,
            format,
            permit,
            coming: authorized
                .map_or_else(|| Coming::Unknown(RawQuery::default()), |it| Coming::Admitted(Box::new(it))),
        })));
    }

    /// A client says something in one of its tenants.
    pub(super) fn say(&mut self, number: usize, tenant: usize, what: &Saying, flow: usize) {
        if let Saying::Flood = what {
            return (0..300).for_each(|_| self.say(number, tenant, &Saying::Ping, flow));
        }
        let client = &mut self.clients[number];
        let is_early = client.line.tenants.is_empty() && matches!(what, Saying::Detach);
        if (client.waits_for_tenants() || is_early) && !matches!(what, Saying::Goodbye) {
            // Which of its tenants a frame is for is not known now; the rest of those before it goes.
            return self.send(number, flow);
        }
        let (own, into) = (client.stays_in(), client.home);
        if own.is_empty() && !client.line.tenants.is_empty() && !matches!(what, Saying::Goodbye) {
            // It leaves all that it knows itself to be in, and another that it is coming into stays.
            return self.send(number, flow);
        }
        let into = own.get(tenant % own.len().max(1)).copied().unwrap_or(into);
        client.sit(into);
        self.say_in(number, tenant, what);
        let client = &mut self.clients[number];
        client.sit(client.home);
        self.send(number, flow);
    }

    /// It says something in the tenant whose seat it has taken.
    fn say_in(&mut self, number: usize, choice: usize, what: &Saying) {
        let client = &mut self.clients[number];
        // Those that the shard has been told of.
        let tenant = &self.tenants[client.tenant];
        let tables = &self.shard.tables;
        let room = tables.rooms.of(&tenant.stream).and_then(|room| tables.rooms.get(room));
        let version = room.map_or(tenant.version(), |room| room.rules.version().tenant);
        let Some(pipe) = client.pipe.clone() else { return };
        if client.speech != Speech::WebSocket || pipe.borrow().is_finished {
            return;
        }
        client.next_id += 1;
        let id = client.next_id;
        // Without a name it is for the one that it is in for the longest.
        let is_first = client.line.tenants.first().is_none_or(|first| *first == client.tenant);
        let named = match is_first && choice.is_multiple_of(2) && client.line.tenants == client.stays_in() {
            true => String::new(),
            false => format!(r#","tenant":"{}""#, tenant.name),
        };
        let text = match what {
            Saying::Ping => {
                client.pinged(id);
                format!(r#"{{"type":"ping","id":{id}{named}}}"#)
            }
            Saying::Subscribe { channels, history, types } => {
                let channels = names(*channels);
                client.asked_for(id, &channels, types, *history, version);
                let types = types.as_ref().map_or(String::new(), |types| format!(r#","types":{types:?}"#));
                let history = match history {
                    None => String::new(),
                    Some(Past::Last(count)) => format!(r#","history":{count}"#),
                    Some(Past::Latest) => r#","latest":true"#.into(),
                };
                let channels = serde_json::to_string(&channels).unwrap();
                format!(r#"{{"type":"subscribe","id":{id},"channels":{channels}{history}{types}{named}}}"#)
            }
            Saying::Unsubscribe { channels } => {
                let channels = names(*channels);
                client.left(id, &channels);
                let channels = serde_json::to_string(&channels).unwrap();
                format!(r#"{{"type":"unsubscribe","id":{id},"channels":{channels}{named}}}"#)
            }
            Saying::Auth { narrow, names } => {
                let current = client.tenant;
                client.sit(client.home);
                client.refreshed(id, *narrow);
                client.sit(current);
                client.line.changes.insert(id, Change::Token);
                format!(r#"{{"type":"auth","id":{id},"token":"{number} {narrow} {names}"}}"#)
            }
            Saying::Attach { into, alone, resumes, channels, types } => {
                let alone = *alone && client.line.changes.is_empty();
                let id = if alone { id + SWITCHES } else { id };
                let channels = if client.is_service() { Vec::new() } else { names(*channels) };
                client.attaches(id, (*into, alone), *resumes, (&channels, types), &self.tenants[*into])
            }
            Saying::Detach => {
                client.line.changes.insert(id, Change::Detach { tenant: client.tenant });
                format!(r#"{{"type":"detach","id":{id},"tenant":"{}"}}"#, tenant.name)
            }
            Saying::Publish => client.published(id, &named),
            Saying::Goodbye | Saying::Flood => String::new(),
        };
        if text.is_empty() {
            client.unsent.extend(frame(8, &1_000_u16.to_be_bytes()));
        } else if client.window_bits().is_some() && id.is_multiple_of(2) {
            client.unsent.extend(frame(COMPRESSED | 1, &compressed(text.as_bytes())));
        } else {
            client.unsent.extend(frame(1, text.as_bytes()));
        }
    }

    /// So many of the bytes that it has not sent yet reach the shard.
    fn send(&mut self, number: usize, flow: usize) {
        let client = &mut self.clients[number];
        let Some(pipe) = client.pipe.clone() else { return };
        let flow = flow.min(client.unsent.len());
        if flow > 0 && !pipe.borrow().is_finished {
            let mut pipe = pipe.borrow_mut();
            pipe.to_shard.extend(client.unsent.drain(..flow));
            pipe.readable = true;
        }
    }

    pub(super) fn read(&mut self, number: usize, bytes: usize) -> Finding {
        let client = &mut self.clients[number];
        let Some(pipe) = client.pipe.clone() else { return Ok(()) };
        let (taken, has_ended) = {
            let mut pipe = pipe.borrow_mut();
            let taken = pipe.take(bytes);
            (taken, pipe.has_ended && pipe.to_client.is_empty())
        };
        let heard = client.hear(&taken, &self.tenants, has_ended);
        heard.map_err(|what| format!("client {number}: {what}"))?;
        if client.line.closed.is_some() || has_ended {
            self.leave(number, false);
        }
        Ok(())
    }

    fn leave(&mut self, number: usize, reset: bool) {
        let Some(pipe) = self.clients[number].pipe.take() else { return };
        {
            let mut pipe = pipe.borrow_mut();
            (pipe.is_finished, pipe.readable, pipe.room) = (true, true, usize::MAX / 2);
            // The kernel of whoever left takes everything, however little the client took.
            (pipe.writable, pipe.most) = (true, usize::MAX);
            if reset {
                pipe.reset();
            }
        }
        self.orphans.push(pipe);
    }

    /// The shard works. False when it has ended.
    pub(super) fn turn(&mut self, backwards: bool, messages: usize) -> Result<bool, String> {
        let now_ms = self.world.now_us.get() / 1_000;
        let pipes = self.clients.iter().filter_map(|client| client.pipe.as_ref()).chain(&self.orphans);
        let mut ready = Vec::new();
        for pipe in pipes {
            let mut pipe = pipe.borrow_mut();
            if let Some(key) = pipe.key
                && (pipe.readable || pipe.writable)
            {
                let ended = pipe.is_finished || pipe.is_reset;
                ready.push(Ready { key, readable: pipe.readable, ended, writable: pipe.writable });
                if pipe.writable && std::mem::take(&mut pipe.was_full) {
                    pipe.tap.freed(now_ms);
                }
                (pipe.readable, pipe.writable) = (false, false);
            }
        }
        if backwards {
            ready.reverse();
        }
        let messages = messages.min(self.messages.len());
        let messages: Vec<ToShard<SimSocket>> = self.messages.drain(..messages).collect();
        messages.iter().for_each(|message| self.note_welcome(message));
        let behind = self.those_behind();
        let goes_on = self.shard.turn(ready, messages);
        self.check_behind(&behind)?;
        self.orphans.retain(|pipe| !pipe.borrow().is_dropped);
        self.check_times(now_ms)?;
        Ok(goes_on)
    }
}
