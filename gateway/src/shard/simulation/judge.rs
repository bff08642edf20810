//! What must be true after every step, when everything has come to rest, and at the end?

use super::client::{Finding, Speech};
use super::outside::names;
use super::run::Run;
use super::scenario::{CLIENTS, Outcome, Saying, Step, TENANTS};
use crate::shard::connection::{Connection, Stage};
use crate::shard::history::JOBS;
use crate::shard::messages::{Cause, ToShard};
use carillon_protocol::Channel;
use std::sync::atomic::Ordering;

/// Bytes of answers that one connection may have waiting (I6): what stops reading, one read's answers, and one frame.
const WAITING: usize = 16 * 1024 + 3 * 64 * 1024;
/// Turns within which everything must have come to rest.
const TURNS: usize = 3_000;

impl Run {
    /// What must be true between any two turns.
    pub(super) fn check(&self) -> Finding {
        let shard = &self.shard;
        let mut subscriptions = 0;
        for (_, connection) in &shard.tables.connections {
            if connection.outbox.len() > WAITING {
                return Err(format!("I6: {} bytes wait", connection.outbox.len()));
            }
            match &connection.stage {
                Stage::Gone(_) => return Err("a connection that is gone is still here".into()),
                Stage::Closing { sessions, .. } if !sessions.is_empty() => {
                    return Err("a closing connection is still in a room".into());
                }
                _ => {}
            }
            for session in connection.sessions() {
                let is_settled = connection.outbox.is_empty() && connection.writable;
                if session.is_live() && !is_settled {
                    return Err("I2: a live session has something waiting before its next event".into());
                }
                if session.past.len() > JOBS {
                    return Err("I10: too much history".into());
                }
                subscriptions += session.channels.len() as u64;
                self.check_rules(session)?;
            }
        }
        if subscriptions != shard.tables.subscriptions {
            return Err(format!("{subscriptions} subscriptions, counted {}", shard.tables.subscriptions));
        }
        self.check_seen()?;
        if self.world.watched.get() != shard.tables.connections.len() {
            return Err("sockets are watched that are not here".into());
        }
        Ok(())
    }

    /// What must be true of time after a turn: see [`super::tap`].
    pub(super) fn check_times(&self, now_ms: u64) -> Finding {
        let wakes_ms = self.shard.poll_timeout_ms().map_or(u64::MAX, |ms| now_ms + ms);
        for client in &self.clients {
            let Some(pipe) = &client.pipe else { continue };
            let mut pipe = pipe.borrow_mut();
            let news = pipe.news();
            let heard = pipe.tap.hear(&news, client.speech, client.number, now_ms);
            let open = pipe.key.and_then(|key| self.shard.tables.get(key)).is_some_and(Connection::is_open);
            pipe.tap.end_turn(!open, now_ms);
            let is_gone = pipe.is_reset || pipe.has_ended;
            let told = if is_gone || pipe.was_full { Ok(()) } else { pipe.tap.check(wakes_ms) };
            heard.and(told).map_err(|what| format!("client {}: {what}", client.number))?;
        }
        Ok(())
    }

    /// Everything that is under way arrives, everybody reads: then nobody has missed anything.
    pub(super) fn come_to_rest(&mut self) -> Finding {
        self.repair_all()?;
        for number in 0..CLIENTS {
            if let Some(pipe) = &self.clients[number].pipe {
                let mut pipe = pipe.borrow_mut();
                (pipe.room, pipe.most, pipe.breaks_in) = (usize::MAX / 2, usize::MAX, None);
                pipe.writable = true;
            }
            // The rest of what it had begun to send.
            self.say(number, 0, &Saying::Ping, usize::MAX);
        }
        self.until_quiet()?;
        let Self { clients, tenants, .. } = self;
        for client in clients.iter_mut().filter(|client| client.is_there()) {
            let judged = client.in_each(|client| client.is_in_order(&tenants[client.tenant]));
            judged.map_err(|what| format!("client {}, at rest: {what}", client.number))?;
        }
        // Whoever is in a channel gets what comes in it now.
        for tenant in 0..TENANTS {
            let before = self.tenants[tenant].head();
            for name in names(63) {
                self.tenants[tenant].publish(vec![Channel::new(name).unwrap()], 10, None);
            }
            self.tenants[tenant].announce(before);
        }
        self.repair_all()?;
        self.until_quiet()?;
        let Self { clients, tenants, .. } = self;
        for client in clients.iter_mut().filter(|client| client.is_there() && client.speech != Speech::Poll) {
            let judged = client.in_each(|client| {
                let tenant = &tenants[client.tenant];
                let epoch = client.cursor.as_ref().map(|(epoch, _)| epoch.clone());
                if epoch.as_deref() != Some(tenant.now().epoch.as_str()) {
                    return Err("I4: it was never told of the new epoch".into());
                }
                client.reaches(tenant.head(), tenant)
            });
            judged.map_err(|what| format!("client {}, at rest: {what}", client.number))?;
        }
        Ok(())
    }

    /// What was announced and lost, or is still on its way, is read from the log.
    fn repair_all(&mut self) -> Finding {
        for tenant in 0..TENANTS {
            let now = self.now();
            // A head that was read before is heard first.
            self.tenants[tenant].read_head(false, now)?;
            self.tenants[tenant].read_head(false, now)?;
            for _ in 0..TURNS {
                if self.tenants[tenant].fed() == self.tenants[tenant].head() {
                    break;
                }
                self.step(&Step::Wait { ms: 30 })?;
                let now = self.now();
                let told = self.tenants[tenant].repair(Outcome::Good, now)?;
                self.tell(tenant, told);
            }
            if self.tenants[tenant].fed() != self.tenants[tenant].head() {
                return Err("I4: what is missing is never asked for".into());
            }
        }
        Ok(())
    }

    fn until_quiet(&mut self) -> Finding {
        for _ in 0..TURNS {
            while !self.world.requests.borrow().is_empty() {
                self.answer(0, Outcome::Good);
            }
            self.turn(false, usize::MAX)?;
            for number in 0..CLIENTS {
                self.read(number, usize::MAX)?;
            }
            self.check()?;
            let is_quiet = self.world.requests.borrow().is_empty() && self.messages.is_empty();
            let pipes = self.clients.iter().filter_map(|client| client.pipe.as_ref()).chain(&self.orphans);
            let reported = pipes.into_iter().all(|pipe| {
                let pipe = pipe.borrow();
                pipe.key.is_none() || !(pipe.readable || pipe.writable) && pipe.to_client.is_empty()
            });
            if is_quiet && reported {
                match self.shard.poll_timeout_ms() {
                    // A log that failed is asked again, a room has rested: soon.
                    Some(ms @ 0..=600) => self.step(&Step::Wait { ms: ms.max(1) })?,
                    _ => return Ok(()),
                }
            }
        }
        Err("it does not come to rest".into())
    }

    /// Everybody is sent away, then the shard stops: each was told, and nothing is left of anybody.
    pub(super) fn end(&mut self) -> Finding {
        let told: Vec<usize> = (0..CLIENTS).filter(|number| self.clients[*number].pipe.is_some()).collect();
        self.messages.push_back(ToShard::SendAway(Cause::Drain, CLIENTS));
        self.until_quiet()?;
        for _ in 0..4 {
            self.step(&Step::Wait { ms: 2_600 })?;
            self.until_quiet()?;
        }
        for number in told {
            let client = &self.clients[number];
            let line = &client.line;
            if client.pipe.is_some() {
                return Err(format!("client {number}: I8: it is still here after it was sent away"));
            }
            if client.speech == Speech::WebSocket && !line.tenants.is_empty() && line.closed.is_none() {
                return Err(format!("client {number}: I8: it went without a code"));
            }
            if line.closed == Some(1012) && !line.told_to_go {
                return Err(format!("client {number}: I8: closed without having been told to go"));
            }
        }
        self.messages.push_back(ToShard::Stop);
        self.turn(false, usize::MAX)?;
        self.step(&Step::Wait { ms: 3_000 })?;
        if self.turn(false, usize::MAX)? {
            return Err("it does not stop".into());
        }
        let tables = &self.shard.tables;
        let left = (tables.connections.len(), tables.rooms.len(), tables.subscriptions);
        if !self.world.seen.borrow().is_empty() {
            return Err(format!("still seen when all are gone: {:?}", self.world.seen.borrow()));
        }
        if left != (0, 0, 0) || self.world.watched.get() != 0 || self.load.load(Ordering::Relaxed) != 0 {
            return Err(format!("left behind: connections, rooms, subscriptions {left:?}"));
        }
        if !self.admission.is_empty() || self.tenants.iter().any(|tenant| tenant.stream.usage()[0] != 0) {
            return Err("a place was not given back".into());
        }
        Ok(())
    }
}
