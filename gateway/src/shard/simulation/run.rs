//! One run: a shard, its streams and its clients, step by step, judged after each.

use super::client::{Client, Finding, Kinds, Speech};
use super::outside::{COMPRESSED, compressed, event_channels, frame, history, names, stored};
use super::rules::Reading;
use super::scenario::{CLIENTS, Connecting, Outcome, Saying, Step, TENANTS};
use super::tenant::{Tenant, incarnation};
use super::world::{Pipe, SimSocket, SimWorld};
use crate::admission::{Admission, ConnectionLimits};
use crate::authorize::{Authorized, Refusal, Resume};
use crate::edge::RawQuery;
use crate::live::Rates;
use crate::shard::allowance::FrameRate;
use crate::shard::context::ShardConfig;
use crate::shard::messages::{Cause, Coming, Newcomer, Request, ToShard};
use crate::shard::shard::{Ready, Shard};
use crate::shard::stuck::StuckCursors;
use crate::shard::wire::Wire;
use crate::stream::backlog::BacklogPage;
use crate::verdicts::Verdicts;
use crate::ws::Deflate;
use bytes::Bytes;
use carillon_backplane::log::LogError;
use carillon_platform::ask::{Granted, Verdict};
use carillon_platform::auth::AuthError;
use carillon_platform::telemetry::Traces;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Channel, CloseCode, Epoch, Except, Seq, SettingsVersion, TypeFilter, UserId};
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
            Step::Say { client, what, flow } => self.say(*client, what, *flow),
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
        let connection = client.connection().filter(|_| client.tenant == tenant)?;
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
        client.asked_for(0, &url, &how.types, false, version);
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
            self.say(number, &Saying::Ping, 0);
        }
        let client = &mut self.clients[number];
        let with_request = how.with_request.min(client.unsent.len());
        let early: Bytes = client.unsent.drain(..with_request).collect::<Vec<u8>>().into();
        pipe.borrow_mut().to_shard.extend(client.unsent.drain(..));
        if how.is_gone {
            pipe.borrow_mut().reset();
        }
        self.note_admission(number);
        let mut permit = self.admission.enter(address).unwrap();
        let authorized = match greets {
            true => Ok(None),
            false => self.authorized(number, refused, how.expires_s, url).map(Some),
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
        self.load.fetch_add(1, Ordering::Relaxed);
        self.messages.push_back(ToShard::Connect(Box::new(Newcomer {
            socket: SimSocket(pipe),
            early,
            head: Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            wire,
            permit,
            coming: authorized
                .map_or_else(|| Coming::Unknown(RawQuery::default()), |it| Coming::Admitted(Box::new(it))),
        })));
    }

    /// What the authenticator makes of a client, with the cursor it has now.
    fn authorized(
        &self,
        number: usize,
        refused: bool,
        expires_s: u64,
        url: Vec<String>,
    ) -> Result<Authorized, Refusal> {
        let client = &self.clients[number];
        let tenant = &self.tenants[client.tenant];
        let (_, head) = tenant.stream.position();
        let resume = match &client.cursor {
            None => Resume::Fresh,
            Some(_) if refused => Resume::Reset(ResetReason::EpochChanged),
            Some((epoch, seq)) if !tenant.honours(epoch, *seq) => Resume::Reset(ResetReason::EpochChanged),
            Some((_, seq)) if *seq < tenant.dropped && Seq(*seq) < head => Resume::Reset(ResetReason::TooOld),
            Some((epoch, seq)) => Resume::From { epoch: Epoch::new(epoch).unwrap(), seq: Seq(*seq) },
        };
        let identity = self.identity(number, false, expires_s);
        let channels: Vec<Channel> = url.into_iter().map(|name| Channel::new(name).unwrap()).collect();
        let (version, rules) = (tenant.version(), tenant.rules_at(tenant.version()));
        let by_rule: Vec<&Channel> = channels.iter().filter(|channel| !identity.may_read(channel)).collect();
        let all = |reading| by_rule.iter().all(|channel| rules.allow(reading, channel.as_str()));
        if !all(Reading::Present) {
            return Err(Refusal::new("forbidden", "", 403, CloseCode::Forbidden));
        }
        let resume = match resume {
            // What was missed is past.
            Resume::From { seq, .. } if !all(Reading::Past) && seq < head => {
                Resume::Reset(ResetReason::HistoryForbidden)
            }
            resume => resume,
        };
        let rules = (!by_rule.is_empty()).then_some(SettingsVersion { tenant: version, defaults: 0 });
        let types = client.chosen().map(|types| Arc::new(TypeFilter::new(types).unwrap()));
        let stream = tenant.stream.clone();
        Ok(Authorized { rules, types, ..Authorized::plain(identity, stream, channels, resume) })
    }

    pub(super) fn say(&mut self, number: usize, what: &Saying, flow: usize) {
        if let Saying::Flood = what {
            return (0..300).for_each(|_| self.say(number, &Saying::Ping, flow));
        }
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
        let text = match what {
            Saying::Ping => {
                client.pinged(id);
                format!(r#"{{"type":"ping","id":{id}}}"#)
            }
            Saying::Subscribe { channels, history, types } => {
                let channels = names(*channels);
                client.asked_for(id, &channels, types, history.is_some(), version);
                let types = types.as_ref().map_or(String::new(), |types| format!(r#","types":{types:?}"#));
                let history = history.map_or(String::new(), |count| format!(r#","history":{count}"#));
                let channels = serde_json::to_string(&channels).unwrap();
                format!(r#"{{"type":"subscribe","id":{id},"channels":{channels}{history}{types}}}"#)
            }
            Saying::Unsubscribe { channels } => {
                let channels = names(*channels);
                client.left(id, &channels);
                let channels = serde_json::to_string(&channels).unwrap();
                format!(r#"{{"type":"unsubscribe","id":{id},"channels":{channels}}}"#)
            }
            Saying::Auth { narrow } => {
                client.refreshed(id, *narrow);
                format!(r#"{{"type":"auth","id":{id},"token":"{number} {narrow}"}}"#)
            }
            Saying::Publish => client.published(id),
            Saying::Goodbye | Saying::Flood => String::new(),
        };
        if text.is_empty() {
            client.unsent.extend(frame(8, &1_000_u16.to_be_bytes()));
        } else if client.window_bits().is_some() && id.is_multiple_of(2) {
            client.unsent.extend(frame(COMPRESSED | 1, &compressed(text.as_bytes())));
        } else {
            client.unsent.extend(frame(1, text.as_bytes()));
        }
        let flow = flow.min(client.unsent.len());
        if flow > 0 {
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
        let heard = client.hear(&taken, &self.tenants[client.tenant], has_ended);
        heard.map_err(|what| format!("client {number}: {what}"))?;
        if client.heard().closed.is_some() || has_ended {
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

    pub(super) fn answer(&mut self, request: usize, outcome: Outcome) {
        let count = self.world.requests.borrow().len();
        if count == 0 {
            return;
        }
        let request = self.world.requests.borrow_mut().remove(request % count);
        let failed = || LogError::Busy("it is away".into());
        let message = match request {
            Request::Enter { connection, token, .. } => {
                let mut words = token.split(' ');
                let number: usize = words.next().unwrap().parse().unwrap();
                let (refused, expires_s) =
                    (words.next() == Some("true"), words.next().unwrap().parse().unwrap());
                if self.shard.tables.has(connection) {
                    self.note_admission(number);
                }
                let url = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
                let result = match outcome {
                    Outcome::Good => self.authorized(number, refused, expires_s, url).map(Box::new),
                    _ => Err(Refusal::from(AuthError::Missing)),
                };
                ToShard::Entered(connection, result)
            }
            Request::Refresh { connection, frame, token, .. } => {
                let (number, narrow) = token.split_once(' ').unwrap();
                let mut identity = self.identity(number.parse().unwrap(), narrow == "true", 50_000);
                let result = match outcome {
                    Outcome::Good => Ok(identity),
                    Outcome::Other => {
                        identity.user = UserId::new("somebody-else").unwrap();
                        Ok(identity)
                    }
                    Outcome::Failed => Err(Refusal::from(AuthError::Missing)),
                };
                ToShard::Refreshed(connection, frame, result)
            }
            Request::Page { connection, ticket, reader, life, cursor, head } => {
                let tenant = self.tenants.iter().find(|own| own.name == reader.group).unwrap();
                // A page holds a few; the connection asks again for the rest.
                let upto = if outcome == Outcome::Other { head.0.min(cursor.0 + 3) } else { head.0 };
                let events = tenant.read(life as usize - 1, cursor.0, upto);
                let page = BacklogPage::of(events.iter().map(|event| tenant.entry(event)).collect(), head);
                let failed = (outcome == Outcome::Failed).then(failed);
                ToShard::Page(connection, ticket, failed.map_or(Ok(Arc::new(page)), Err))
            }
            Request::Publish { connection, frame, relayed, .. } => {
                stored(connection, frame, *relayed, outcome)
            }
            Request::History { connection, ticket, reader, selection, from, upto } => {
                let tenant = self.tenants.iter().find(|own| own.name == reader.group).unwrap();
                let page = history(tenant, &selection, from, upto, outcome == Outcome::Other);
                let failed = (outcome == Outcome::Failed).then(failed);
                ToShard::History(connection, ticket, failed.map_or(Ok(page), Err))
            }
            Request::Ask { connection, ticket, endpoint, questions } => {
                let granted = |number| {
                    let lasts = Duration::from_secs(30);
                    Verdict::Allowed(Granted { number: number + 1, lasts, left: lasts })
                };
                let said = questions.into_iter().map(|(question, number)| {
                    let verdict = match outcome {
                        Outcome::Good => granted(number),
                        Outcome::Other => Verdict::Refused,
                        Outcome::Failed => Verdict::Unavailable,
                    };
                    (question, verdict)
                });
                let verdicts = Verdicts::new(endpoint.generation(), said.collect());
                ToShard::Asked(connection, ticket, Box::new(verdicts))
            }
        };
        self.messages.push_back(message);
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
                ready.push(Ready { key, readable: pipe.readable, writable: pipe.writable });
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
