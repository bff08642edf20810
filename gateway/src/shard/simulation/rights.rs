//! What may a client hear, and a connection have, by its token and the rules? (the oracle of rights)

use super::client::{Client, Finding, PATTERNS};
use super::joined::matches;
use super::rules::{Reading, opened_by_token, token_opens};
use super::run::Run;
use super::seat::{Change, Heard};
use super::tenant::{Logged, Tenant};
use super::world::{Pipe, SimSocket};
use crate::authorize::testkit::person;
use crate::authorize::{Bearer, Refusal};
use crate::services::Service;
use crate::shard::messages::{Coming, ConnectionId, Newcomer, ToShard};
use crate::shard::room::Room;
use crate::shard::session::Session;
use carillon_platform::auth::Identity;
use carillon_protocol::{Channel, ChannelPattern, Seq, TenantId};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A connection that is behind: in which generation, where its room stands, and of which of its channels it may read the past.
pub(super) struct Behind {
    id: ConnectionId,
    tenant: TenantId,
    life: u32,
    room_cursor: Seq,
    past: BTreeMap<Channel, bool>,
}

impl Client {
    /// Channels it knows itself to be in, beside its own.
    pub(super) fn certain(&self) -> impl Iterator<Item = &str> {
        self.heard.certain.keys().map(String::as_str)
    }

    /// Whether its present token opens a channel.
    pub(super) fn token_opens(&self, channel: &str) -> bool {
        self.is_service() || token_opens(self.number, self.line.narrow, channel)
    }

    /// Whether the rules, some time since a version, were against it in a channel.
    pub(super) fn was_forbidden(&self, since: u64, reading: Reading, channel: &str, tenant: &Tenant) -> bool {
        let narrow = self.line.narrow || self.line.tokens.values().any(|narrow| *narrow);
        let by_token = self.is_service() || token_opens(self.number, narrow, channel);
        !by_token && tenant.forbade_since(since, reading, channel)
    }

    /// A request was refused, or something was taken away.
    pub(super) fn error(&mut self, frame: &Value, tenant: &Tenant) -> Finding {
        let id = frame["id"].as_u64();
        let channels: Vec<&str> =
            frame["channels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if id.is_some_and(|id| self.line.publishes.remove(&id)) {
            self.count(format!("not published: {}", frame["code"].as_str().unwrap_or_default()));
            let is_known = match self.is_service() {
                true => ["forbidden", "missing_scope"].as_slice(),
                false => &["unavailable", "rate_limited", "too_many_requests"],
            };
            let is_fair = is_known.iter().any(|code| frame["code"] == *code);
            return if is_fair { Ok(()) } else { Err(format!("not published: {frame}")) };
        }
        if frame["code"] == "unavailable" && id.is_some_and(|id| !self.heard.subscribes.contains_key(&id)) {
            return Err(format!("the answer to another: {frame}"));
        }
        if frame["code"] == "history_unavailable" {
            let known = id.and_then(|id| self.heard.histories.remove(&id));
            self.heard.replayed.remove(&id.unwrap_or_default());
            return known
                .map(drop)
                .ok_or_else(|| format!("history {id:?} is unavailable and was not asked for"));
        }
        if frame["code"] != "forbidden" || !self.heard.is_welcome {
            return Ok(());
        }
        if let Some(asked) = id.and_then(|id| self.heard.subscribes.remove(&id)) {
            self.count("refused by rule".into());
            let may_not = |channel: &&str| {
                self.was_forbidden(asked.version, Reading::Present, channel, tenant)
                    || asked.history.is_some()
                        && self.was_forbidden(asked.version, Reading::Past, channel, tenant)
            };
            let fair = !channels.is_empty() && channels.iter().all(may_not);
            return if fair { Ok(()) } else { Err(format!("{asked:?} was refused without a rule: {frame}")) };
        }
        self.count("taken out by rule".into());
        for channel in channels {
            if !self.heard.asked.contains_key(channel) {
                return Err(format!("taken out of {channel}, in which it never was"));
            }
            if !self.was_forbidden(self.heard.version, Reading::Present, channel, tenant) {
                return Err(format!("taken out of {channel} without a rule"));
            }
            self.heard.certain.remove(channel);
            self.heard.lost.insert(channel.into());
        }
        Ok(())
    }

    /// At rest: it is in no channel that is forbidden to it, and all history that it asked for has ended.
    pub(super) fn is_in_order(&mut self, tenant: &Tenant) -> Finding {
        let rules = tenant.rules_at(tenant.version());
        let may = |channel: &str| self.token_opens(channel) || rules.allow(Reading::Present, channel);
        if let Some(channel) = self.certain().find(|channel| !may(channel)) {
            return Err(format!("it was never taken out of {channel}"));
        }
        if let Some(id) = self.line.publishes.first() {
            return Err(format!("what it published with {id} has no answer"));
        }
        match self.heard.histories.first_key_value() {
            Some((id, asked)) => Err(format!("history {id} never ended: {asked:?}")),
            None => Ok(()),
        }
    }

    /// An event of history.
    pub(super) fn replay(&mut self, frame: &Value, tenant: &Tenant) -> Finding {
        let seq = frame["seq"].as_u64().ok_or("no seq")?;
        let id = frame["replay"].as_u64().ok_or("history without an id")?;
        let asked = self.heard.histories.get(&id);
        let asked = asked.ok_or_else(|| format!("history {id} has {seq} and is not under way"))?;
        if let Some(lost) = asked.channels.iter().find(|channel| self.heard.lost.contains(*channel)) {
            return Err(format!("history {id} goes on with {seq} and is of {lost}, which was taken away"));
        }
        let asked = asked.channels.clone();
        let sent = self.heard.replayed.entry(id).or_default();
        if let Some(last) = sent.last().filter(|last| seq <= **last) {
            return Err(format!("I3: history {id} has {seq} after {last}"));
        }
        sent.push(seq);
        let all = tenant.generations.iter().filter_map(|generation| generation.events.get(seq as usize - 1));
        let mut same =
            all.filter(|logged| serde_json::from_str(&logged.body).ok().as_ref() == Some(&frame["event"]));
        let logged = same.next_back().ok_or_else(|| format!("I5: history has an unknown {seq}"))?;
        let of_id = |channel: &Channel| {
            let requests = self.heard.asked.get(channel.as_str()).into_iter().flatten();
            requests.into_iter().any(|(asked, types)| *asked == id && matches(types, &logged.kind()))
        };
        if !logged.channels.iter().any(of_id) {
            return Err(format!("history {id} is of {asked:?}, and {seq} of {:?}", logged.channels));
        }
        Ok(())
    }

    /// What was missed is past when somebody comes back: it comes only from channels whose past they may read, by the rules then or,
    /// if they asked for the channel later, since then.
    pub(super) fn is_not_past(&self, seq: u64, epoch: &str, logged: &Logged, tenant: &Tenant) -> Finding {
        if let Some(((_, upto), version)) = self.heard.entered.as_ref().filter(|(room, _)| room.0 == *epoch)
            && seq <= *upto
        {
            let rules = tenant.rules_at(*version);
            let asked_later = |name: &str| {
                self.heard.asked.get(name).into_iter().flatten().any(|(request, _)| *request != 0)
            };
            let may = |channel: &Channel| {
                let name = channel.as_str();
                self.is_own(channel)
                    || self.token_opens(name)
                    || rules.allow(Reading::Past, name)
                    || asked_later(name) && tenant.allowed_since(*version, Reading::Past, name)
            };
            if !logged.channels.iter().any(may) {
                return Err(format!("event {seq} of {:?} was past when it came", logged.channels));
            }
        }
        Ok(())
    }
}

impl Run {
    /// What a client shows, for its first token, a narrow one, or one that names only some of the tenants (bits).
    pub(super) fn bearer(&self, number: usize, narrow: bool, names: u8, expires_s: u64) -> Bearer {
        let client = &self.clients[number];
        let now_s = self.world.unix_us.get() / 1_000_000;
        if client.is_service() {
            return Bearer::Service(Service::for_all(Arc::new(number.to_string()), now_s + expires_s));
        }
        self.person(&client.user(), number, narrow, names, expires_s)
    }

    /// The token of a person that opens what a client's does.
    pub(super) fn person(
        &self,
        user: &str,
        number: usize,
        narrow: bool,
        names: u8,
        expires_s: u64,
    ) -> Bearer {
        let named = self.tenants.iter().enumerate().filter(|(tenant, _)| names >> tenant & 1 == 1);
        let roles: Vec<(&str, &[&str])> =
            named.map(|(_, own)| (own.name.as_str(), ["r"].as_slice())).collect();
        let now_s = self.world.unix_us.get() / 1_000_000;
        person(user, &roles, opened_by_token(number, narrow), now_s, expires_s)
    }

    /// Who a client is in a tenant.
    pub(super) fn identity(&self, bearer: &Bearer, tenant: usize) -> Result<Identity, Refusal> {
        let mut identity = bearer.enter(Some(&self.tenants[tenant].name))?;
        if identity.service.is_none() {
            return Ok(identity);
        }
        let patterns = PATTERNS.iter().map(|pattern| ChannelPattern::new(pattern).unwrap()).collect();
        Arc::make_mut(&mut identity.credentials).patterns = patterns;
        Ok(identity)
    }

    /// What a client comes into a tenant with, as far as it is not known yet whether it may.
    pub(super) fn coming(&mut self, number: usize, request: Option<u64>) -> Option<&mut Heard> {
        let client = &mut self.clients[number];
        match request {
            None => Some(&mut client.heard),
            Some(request) => match client.line.changes.get_mut(&request)? {
                Change::Attach { seat, .. } => Some(&mut seat.heard),
                _ => None,
            },
        }
    }

    /// Notes where the stream of somebody stands who is let in now: when they connect, or by an `attach`.
    pub(super) fn note_admission(&mut self, number: usize, tenant: usize, request: Option<u64>) {
        let (_, head) = self.tenants[tenant].stream.position();
        if let Some(heard) = self.coming(number, request) {
            heard.admitted_at = head.0;
        }
    }

    /// Whose connection the shard has at a place.
    pub(super) fn whose(&self, key: u32) -> Option<usize> {
        let is_it = |pipe: &Rc<RefCell<Pipe>>| pipe.borrow().key == Some(key);
        self.clients.iter().position(|client| client.pipe.as_ref().is_some_and(is_it))
    }

    /// Notes where the room of somebody stands who is welcomed now, and by which rules.
    pub(super) fn note_welcome(&mut self, message: &ToShard<SimSocket>) {
        let is_new = |pipe: &Rc<RefCell<Pipe>>, newcomer: &Newcomer<SimSocket>| {
            matches!(newcomer.coming, Coming::Admitted(_)) && Rc::ptr_eq(pipe, &newcomer.socket.0)
        };
        let found = match message {
            ToShard::Connect(newcomer) => {
                let own = |client: &Client| client.pipe.as_ref().is_some_and(|pipe| is_new(pipe, newcomer));
                self.clients.iter().position(own).map(|number| (number, self.clients[number].home, None))
            }
            ToShard::Entered(id, Ok(_)) if self.shard.tables.has(*id) => {
                self.whose(id.key).map(|number| (number, self.clients[number].home, None))
            }
            ToShard::Attached(id, attached) if attached.result.is_ok() && self.shard.tables.has(*id) => {
                let tenant = self.tenants.iter().position(|own| own.name == attached.attaching.tenant);
                let request = attached.attaching.frame.as_deref().and_then(|id| id.parse().ok());
                self.whose(id.key).zip(tenant).map(|(number, tenant)| (number, tenant, request))
            }
            _ => None,
        };
        let Some((number, tenant, request)) = found else { return };
        let (stream, version) = (&self.tenants[tenant].stream, self.tenants[tenant].version());
        let tables = &self.shard.tables;
        let room = tables.rooms.of(stream).and_then(|room| tables.rooms.get(room));
        let (life, cursor) = match room {
            Some(room) => (room.life.clone(), room.cursor),
            None => stream.position(),
        };
        if let Some(heard) = self.coming(number, request) {
            heard.entered = Some(((life.epoch.to_string(), cursor.0.min(heard.admitted_at)), version));
        }
    }

    /// Nobody is in a channel, or has its past read, whom the rules do not let.
    pub(super) fn check_rules(&self, session: &Session) -> Finding {
        let Some(room) = self.shard.tables.rooms.get(session.room) else { return Ok(()) };
        let Some(tenant) = self.tenants.iter().find(|tenant| tenant.name == *session.tenant()) else {
            return Ok(());
        };
        let version = room.rules.version().tenant;
        let is_told = |message: &ToShard<SimSocket>| matches!(message, ToShard::Rules(stream) if Arc::ptr_eq(stream, &tenant.stream));
        if version != tenant.version() && !self.messages.iter().any(is_told) {
            return Err(format!("rules {version} are in force where there are {}", tenant.version()));
        }
        let rules = tenant.rules_at(version);
        let may = |reading: Reading, channel: &Channel| {
            session.identity().may_read(channel) || rules.allow(reading, channel.as_str())
        };
        let mut names = session.channels.channels().into_iter().filter_map(|channel| room.name_of(channel));
        if let Some(channel) = names.find(|channel| !channel.is_reserved() && !may(Reading::Present, channel))
        {
            return Err(format!("it is in {channel}, which the rules forbid"));
        }
        let mut past = session.past.jobs().flat_map(|job| job.channels());
        match past.find(|channel| !channel.is_reserved() && !may(Reading::Past, channel)) {
            Some(channel) => Err(format!("the past of {channel} is being read, which the rules forbid")),
            None => Ok(()),
        }
    }

    /// The connections that are behind.
    pub(super) fn those_behind(&self) -> Vec<Behind> {
        let of = |session: &Session| {
            let room = self.shard.tables.rooms.get(session.room)?;
            (!session.is_live()).then(|| (room.life.number, room.cursor, self.past_of(session, room)))
        };
        let connections = self.shard.tables.connections.iter();
        let sessions = connections
            .flat_map(|(_, connection)| connection.sessions().iter().map(|session| (connection.id, session)));
        let all = sessions.filter_map(|(id, session)| {
            let (life, room_cursor, past) = of(session)?;
            Some(Behind { id, tenant: session.tenant().clone(), life, room_cursor, past })
        });
        all.collect()
    }

    /// Of which of a session's channels it may read the past.
    fn past_of(&self, session: &Session, room: &Room) -> BTreeMap<Channel, bool> {
        let tenant = self.tenants.iter().find(|tenant| tenant.name == *session.tenant());
        let Some(tenant) = tenant else { return BTreeMap::new() };
        let rules = tenant.rules_at(room.rules.version().tenant);
        let names = session.channels.channels().into_iter().filter_map(|channel| room.name_of(channel));
        let may = |channel: &Channel| {
            session.identity().may_read(channel) || rules.allow(Reading::Past, channel.as_str())
        };
        names.map(|channel| (channel.clone(), may(channel))).collect()
    }

    /// Nobody reads on, from where they were behind, in a channel that they joined in this turn, or lost the past of, and may not
    /// read back.
    pub(super) fn check_behind(&self, before: &[Behind]) -> Finding {
        let tables = &self.shard.tables;
        for Behind { id, tenant, life, room_cursor, past } in
            before.iter().filter(|behind| tables.has(behind.id))
        {
            let session = tables.find(id.key, Some(tenant)).and_then(|at| tables.session(at));
            let Some((session, room)) = session.and_then(|it| Some((it, tables.rooms.get(it.room)?))) else {
                continue;
            };
            if room.life.number != *life || session.cursor(room.cursor) >= *room_cursor {
                continue;
            }
            let now = self.past_of(session, room);
            let hit = now.iter().find(|(channel, may)| !**may && past.get(*channel) != Some(&false));
            if let Some((channel, _)) = hit {
                return Err(format!(
                    "it reads on to {room_cursor} in {channel}, and may not read back there"
                ));
            }
        }
        Ok(())
    }
}
