//! A client that remembers what it was told, and notices when that cannot be true: the oracle of the simulation.

use super::joined::matches;
use super::outside::{COMPRESSED, first_frame, frame, next_message};
use super::rules::Reading;
use super::run::chunked;
use super::scenario::{Past, Types};
use super::seat::{Heard, Line, Seat};
use super::tenant::{Logged, Tenant};
use super::world::Pipe;
use carillon_protocol::compact;
use carillon_protocol::{Channel, ConnectionName, Except, UserId};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    WebSocket,
    EventStream,
    Poll,
}

/// What a back end gets without asking.
pub(super) const PATTERNS: [&str; 2] = ["x:*", "role:*"];

/// Somebody outside, over several connections.
pub(super) struct Client {
    pub(super) number: usize,
    /// The tenant that it comes into when it connects.
    pub(super) home: usize,
    /// The one whose seat it has taken.
    pub(super) tenant: usize,
    pub(super) speech: Speech,
    pub(super) pipe: Option<Rc<RefCell<Pipe>>>,
    /// The last epoch and seq it heard of: what it comes back with.
    pub(super) cursor: Option<(String, u64)>,
    /// Frames it has not sent yet, whole or the rest of one.
    pub(super) unsent: Vec<u8>,
    pub(super) next_id: u64,
    pub(super) line: Line,
    /// What it heard in the tenant since it came into it.
    pub(super) heard: Heard,
    /// The seats that it has not taken, by tenant.
    pub(super) seats: BTreeMap<usize, Seat>,
    /// What it heard in all its life, by kind.
    pub(super) kinds: Kinds,
}

/// Nothing, or what is wrong.
pub(super) type Finding = Result<(), String>;

/// How often something was heard.
pub(super) type Kinds = BTreeMap<String, u64>;

impl Client {
    pub(super) fn new(number: usize, tenants: usize) -> Self {
        let speech = match number % 4 {
            2 => Speech::EventStream,
            3 => Speech::Poll,
            _ => Speech::WebSocket,
        };
        Self {
            number,
            home: number / 2 % tenants,
            tenant: number / 2 % tenants,
            speech,
            pipe: None,
            cursor: None,
            unsent: Vec::new(),
            next_id: 0,
            line: Line::default(),
            heard: Heard::default(),
            seats: BTreeMap::new(),
            kinds: Kinds::new(),
        }
    }

    pub(super) fn user(&self) -> String {
        format!("user-{}", self.number / 3)
    }

    /// Whether it is a back end with an API key: one of each way of listening is.
    pub(super) fn is_service(&self) -> bool {
        self.number % 8 >= 5
    }

    /// How large a window it keeps, in bits, if it agreed on compression: one does, and one in a small way.
    pub(super) fn window_bits(&self) -> Option<u8> {
        match self.number % 8 {
            1 => Some(15),
            4 => Some(12),
            _ => None,
        }
    }

    /// Whether it asked for the compact form: one of each way of listening did, and one that agreed on compression.
    pub(super) fn is_compact(&self) -> bool {
        self.number % 8 < 4
    }

    /// Whether events of this channel come without asking: to a back end by the patterns of its URL.
    pub(super) fn is_own(&self, channel: &Channel) -> bool {
        let name = channel.as_str();
        match self.is_service() {
            true => PATTERNS.iter().any(|pattern| name.starts_with(pattern.trim_end_matches('*'))),
            false => ["tenant", "role:r"].contains(&name) || name == format!("user:{}", self.user()),
        }
    }

    /// Whether it is connected and welcome.
    pub(super) fn is_there(&self) -> bool {
        self.pipe.is_some() && !self.line.tenants.is_empty() && self.line.closed.is_none()
    }

    pub(super) fn connection(&self) -> Option<ConnectionName> {
        self.line.connection.clone()
    }

    /// Whether an event need not come on this connection.
    fn is_excepted(&self, logged: &Logged) -> bool {
        let Some(Except { connection, of }) = &logged.except else { return false };
        let is_mine = |user: &UserId| !self.is_service() && user.as_str() == self.user();
        self.line.connection.as_ref() == Some(connection) && of.as_ref().is_none_or(is_mine)
    }

    /// A new connection begins.
    pub(super) fn begin(&mut self, pipe: Rc<RefCell<Pipe>>, refused: bool, types: Types, version: u64) {
        self.pipe = Some(pipe);
        self.unsent.clear();
        self.line = Line::default();
        self.seats.values_mut().for_each(|seat| seat.heard = Heard::default());
        self.heard = Heard { refused, types, version, ..Heard::default() };
    }

    pub(super) fn pinged(&mut self, id: u64) {
        self.heard.pings.push(id);
    }

    /// Takes bytes and judges what they say.
    pub(super) fn hear(&mut self, bytes: &[u8], tenants: &[Tenant], has_ended: bool) -> Finding {
        self.line.buffer.extend_from_slice(bytes);
        if !self.line.has_head {
            let head = self.line.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(at) = head else { return Ok(()) };
            self.line.buffer.drain(..at + 4);
            self.line.has_head = true;
        }
        match self.speech {
            Speech::WebSocket => self.hear_frames(tenants),
            Speech::EventStream => self.hear_lines(tenants),
            Speech::Poll if has_ended => self.hear_answer(&tenants[self.tenant]),
            Speech::Poll => Ok(()),
        }
    }

    pub(super) fn count(&mut self, kind: String) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    fn hear_frames(&mut self, tenants: &[Tenant]) -> Finding {
        while let Some((first, payload, used)) = first_frame(&self.line.buffer) {
            self.line.buffer.drain(..used);
            if self.line.closed.is_some() {
                return Err("something follows a close frame".into());
            }
            if first & COMPRESSED != 0 {
                if self.window_bits().is_none_or(|bits| payload.len() > 1 << bits) {
                    return Err("a compressed frame that it cannot read".into());
                }
                self.count("compressed".into());
            }
            match first & 15 {
                1 => self.hear_text(&payload, tenants)?,
                8 => {
                    let code = payload.get(..2).map_or(1005, |two| u16::from_be_bytes([two[0], two[1]]));
                    if code == 4400 {
                        return Err("4400 for a client that keeps to the protocol".into());
                    }
                    self.line.closed = Some(code);
                    self.count(format!("close {code}"));
                }
                9 => {
                    self.count("ping".into());
                    self.answer_ping(&payload);
                }
                10 => {}
                other => return Err(format!("opcode {other}")),
            }
        }
        Ok(())
    }

    /// Half of them answer pings, as soon as they see them.
    fn answer_ping(&mut self, payload: &[u8]) {
        let Some(pipe) = self.pipe.as_ref().filter(|_| self.number.is_multiple_of(4)) else { return };
        let follows = !self.unsent.is_empty();
        self.unsent.extend(frame(10, payload));
        if !follows {
            let mut pipe = pipe.borrow_mut();
            pipe.to_shard.extend(self.unsent.drain(..));
            pipe.readable = true;
        }
    }

    fn hear_lines(&mut self, tenants: &[Tenant]) -> Finding {
        while let Some(message) = next_message(&mut self.line.buffer, chunked(self.number))? {
            if message.is_empty() {
                self.line.has_last_chunk = true;
                continue;
            }
            if self.line.has_last_chunk {
                return Err("something follows the last chunk".into());
            }
            let text = String::from_utf8(message).map_err(|error| error.to_string())?;
            let data = text.lines().find_map(|line| line.strip_prefix("data: "));
            self.hear_text(data.ok_or("a message without data")?.as_bytes(), tenants)?;
        }
        Ok(())
    }

    /// A frame, also one in the compact form.
    pub(super) fn plain(&mut self, text: &[u8]) -> Result<Value, String> {
        let plain = compact::plain(text, &mut self.line.names);
        if plain.is_some() && !self.is_compact() {
            return Err("a compact frame for one who has not asked for it".into());
        }
        if plain.is_some() {
            self.count("compact".into());
        }
        serde_json::from_slice(plain.as_deref().unwrap_or(text)).map_err(|error| format!("{error}"))
    }

    fn hear_answer(&mut self, tenant: &Tenant) -> Finding {
        let Ok(answer) = serde_json::from_slice::<Value>(&self.line.buffer) else { return Ok(()) };
        self.line.buffer.clear();
        self.count("answer".into());
        let epoch = answer["epoch"].as_str().ok_or("no epoch")?.to_owned();
        let seq = answer["seq"].as_u64().ok_or("no seq")?;
        self.line.closed = Some(0);
        if answer["reset"].is_string() {
            return self.reset(epoch, seq, answer["reset"].as_str().unwrap_or_default(), tenant);
        }
        if self.heard.refused {
            return Err("a refused cursor was not told so".into());
        }
        if self.cursor.is_none() {
            // Without a cursor the answer begins wherever the log was: nothing is known of what lies before.
            let first = &answer["events"][0];
            let first = first["seq"].as_u64().or(first["s"].as_u64()).map_or(seq, |first| first - 1);
            self.cursor = Some((epoch.clone(), first));
        }
        self.heard.is_welcome = true;
        self.goes_on_in(&epoch, tenant)?;
        for event in answer["events"].as_array().ok_or("no events")? {
            let event = self.plain(event.to_string().as_bytes())?;
            self.event(&event, tenant)?;
        }
        self.reaches(seq, tenant)
    }

    /// Judges a frame about the tenant whose seat it has taken.
    pub(super) fn hear_frame(&mut self, frame: &Value, tenant: &Tenant) -> Finding {
        let seq = frame["seq"].as_u64();
        let kind = frame["type"].as_str().ok_or("no type")?;
        let is_late = frame["id"].as_u64().is_some_and(|id| self.line.publishes.contains(&id));
        // What is about the connection comes also when it has left the tenant that it began in.
        let is_of_all = !self.line.tenants.is_empty() && ["goaway", "expiring"].contains(&kind);
        if !self.heard.is_welcome && !is_late && !is_of_all && !["welcome", "error"].contains(&kind) {
            return Err(format!("{kind} before the welcome"));
        }
        self.count(match frame.get("replay") {
            Some(_) => "history".into(),
            None => kind.into(),
        });
        match kind {
            "welcome" => self.welcome(frame, tenant),
            "event" if frame["replay"].is_null() && frame.get("replay").is_none() => {
                self.event(frame, tenant)
            }
            "event" => self.replay(frame, tenant),
            "heartbeat" => {
                self.reaches(seq.ok_or("no seq")?, tenant)?;
                frame["epoch"].as_str().map_or(Ok(()), |epoch| self.goes_on_in(epoch, tenant))
            }
            "pong" => {
                let id = frame["id"].as_u64().ok_or("no id")?;
                if self.heard.pings.first() != Some(&id) {
                    return Err(format!("pong {id}, but {:?} were sent", self.heard.pings));
                }
                self.heard.pings.remove(0);
                self.reaches(seq.ok_or("no seq")?, tenant)
            }
            "reset" => {
                let epoch = frame["epoch"].as_str().ok_or("no epoch")?.to_owned();
                self.reset(epoch, seq.ok_or("no seq")?, frame["reason"].as_str().unwrap_or_default(), tenant)
            }
            "ok" => self.ok(frame),
            "goaway" => {
                self.line.told_to_go = true;
                Ok(())
            }
            "replayed" => {
                let id = frame["id"].as_u64().ok_or("no id")?;
                let asked = self.heard.histories.remove(&id);
                let asked = asked
                    .ok_or_else(|| format!("history {id} ends that was not asked for, or ends again"))?;
                let sent = self.heard.replayed.remove(&id).unwrap_or_default();
                let told = frame["count"].as_u64();
                if told != Some(sent.len() as u64) {
                    return Err(format!("I4: {} of {told:?} replayed", sent.len()));
                }
                match (asked.history, frame["more"].as_bool()) {
                    (Some(Past::Latest), Some(false)) => self.has_latest(id, &asked, &sent, tenant),
                    _ => Ok(()),
                }
            }
            "error" => self.error(frame, tenant),
            "expiring" => Ok(()),
            other => Err(format!("unknown frame {other}")),
        }
    }

    fn welcome(&mut self, frame: &Value, tenant: &Tenant) -> Finding {
        if self.heard.is_welcome {
            return Err("a second welcome".into());
        }
        if frame["tenant"] != tenant.name.as_str() {
            return Err("I5: the welcome of another tenant".into());
        }
        let epoch = frame["epoch"].as_str().ok_or("no epoch")?;
        let seq = frame["seq"].as_u64().ok_or("no seq")?;
        let connection = frame["connection"].as_str().ok_or("no connection")?;
        self.line.connection = Some(ConnectionName::new(connection).map_err(|error| error.to_string())?);
        self.heard.is_welcome = true;
        if !self.line.tenants.contains(&self.tenant) {
            self.line.tenants.push(self.tenant);
        }
        for channel in frame["channels"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let is_named = self.heard.asked.contains_key(channel);
            if is_named && !self.heard.left.contains_key(channel) {
                let types = self.heard.types.clone();
                self.heard.certain.insert(channel.into(), vec![(seq, types)]);
            }
        }
        match (frame["resumed"].as_str(), &self.cursor) {
            (Some("reset"), Some(_)) => self.heard.refused = true,
            // Nothing was missed, or it is about to come.
            (Some("live" | "replay"), Some((own, since)))
                if *since == seq && (own == epoch || tenant.honoured_in(epoch, own, *since)) =>
            {
                if self.heard.refused {
                    return Err("a refused cursor was honoured".into());
                }
                self.cursor = Some((epoch.into(), seq));
            }
            (Some("live"), None) => self.cursor = Some((epoch.into(), seq)),
            (how, cursor) => {
                return Err(format!("I4: came with {cursor:?}, welcome {how:?} at {epoch}:{seq}"));
            }
        }
        Ok(())
    }

    /// Continuity was not lost, though the log is in another epoch.
    fn goes_on_in(&mut self, epoch: &str, tenant: &Tenant) -> Finding {
        let (own, seq) = self.cursor.clone().ok_or("an epoch without a position")?;
        if own != epoch && !tenant.honoured_in(epoch, &own, seq) {
            return Err(format!("I4: {own}:{seq} goes on in {epoch} as if nothing were lost"));
        }
        self.cursor = Some((epoch.into(), seq));
        Ok(())
    }

    fn event(&mut self, frame: &Value, tenant: &Tenant) -> Finding {
        let seq = frame["seq"].as_u64().ok_or("no seq")?;
        let (epoch, cursor) = self.cursor.clone().ok_or("an event without a position")?;
        if self.heard.refused {
            return Err(format!("event {seq} before the reset"));
        }
        if self.waits_for_latest() {
            return Err(format!("event {seq} before the latest events of keys"));
        }
        if seq <= cursor {
            return Err(format!("I3: {seq} after {cursor}"));
        }
        let known = tenant.of_epoch(&epoch).and_then(|generation| generation.events.get(seq as usize - 1));
        let logged = known.ok_or_else(|| format!("I2: event {seq} is not in {epoch}"))?;
        self.is_for_me(frame, logged)?;
        self.is_not_past(seq, &epoch, logged, tenant)?;
        self.reaches(seq - 1, tenant)?;
        self.cursor = Some((epoch, seq));
        Ok(())
    }

    fn is_for_me(&self, frame: &Value, logged: &Logged) -> Finding {
        let body: Value = serde_json::from_str(&logged.body).map_err(|error| error.to_string())?;
        if frame["event"] != body {
            return Err(format!(
                "I5, I3: event {} has other contents: {}",
                logged.seq, frame["event"]["made"]
            ));
        }
        let kind = logged.kind();
        let may = |channel: &Channel| {
            let asked = self.heard.asked.get(channel.as_str());
            // What was answered is exact; what was asked and not answered, or left, may be so or not.
            let joined = match self.wanted(channel, logged.seq) {
                Some(types) => matches(types, &kind),
                None => asked.is_some_and(|all| all.iter().any(|(_, types)| matches(types, &kind))),
            };
            joined && !self.heard.lost.contains(channel.as_str()) || self.wants_own(channel, &kind)
        };
        if logged.channels.iter().any(may) {
            Ok(())
        } else {
            Err(format!("event {} ({kind}) is for others", logged.seq))
        }
    }

    fn reset(&mut self, epoch: String, seq: u64, reason: &str, tenant: &Tenant) -> Finding {
        if reason == "history_forbidden" {
            self.count("past forbidden".into());
        }
        if let (Some((own, since)), false) = (&self.cursor, self.heard.refused) {
            let fair =
                match reason {
                    "too_old" => *since < tenant.dropped,
                    "history_forbidden" => self.heard.asked.keys().any(|channel| {
                        self.was_forbidden(self.heard.version, Reading::Past, channel, tenant)
                    }),
                    _ => *own != epoch,
                };
            if !fair {
                return Err(format!("I4: reset at {own}:{since} without a loss"));
            }
        }
        (self.heard.refused, self.heard.is_welcome) = (false, true);
        // What it joined it is in from here on.
        for spans in self.heard.certain.values_mut() {
            spans.drain(..spans.len() - 1);
            spans.iter_mut().for_each(|(from, _)| *from = seq);
        }
        self.cursor = Some((epoch, seq));
        Ok(())
    }

    /// Everything up to here was told: nothing that is for this client lies between.
    pub(super) fn reaches(&mut self, seq: u64, tenant: &Tenant) -> Finding {
        let (epoch, cursor) = self.cursor.clone().ok_or("a seq without a position")?;
        if seq < cursor {
            return Err(format!("I2: at {seq} after {cursor}"));
        }
        let generation = tenant.of_epoch(&epoch).ok_or("I5: an epoch of nobody")?;
        let mut excepted = 0;
        let between = generation.events.get(cursor as usize..seq as usize);
        for logged in between.ok_or_else(|| format!("I2: {seq} is not in {epoch} yet"))? {
            let kind = logged.kind();
            let is_due = |channel: &Channel| {
                let wanted = self.wanted(channel, logged.seq);
                wanted.is_some_and(|types| matches(types, &kind)) || self.wants_own(channel, &kind)
            };
            if logged.channels.iter().any(is_due) {
                if self.is_excepted(logged) {
                    excepted += 1;
                    continue;
                }
                return Err(format!("I4: event {} of {epoch} never came, now at {seq}", logged.seq));
            }
        }
        for _ in 0..excepted {
            self.count("nothing of an event that it is excepted from".into());
        }
        self.cursor = Some((epoch, seq));
        Ok(())
    }
}
