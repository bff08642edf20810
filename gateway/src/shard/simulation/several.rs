//! Which tenant is a frame about, and in which is a client? (the oracle of several tenants)
//!
//! A frame names its tenant if, and only if, the connection is in several as it is written. What a client knows in one tenant is judged
//! by what it hears there alone: it takes the seat of that tenant while it does.

use super::client::{Client, Finding};
use super::scenario::Types;
use super::seat::{Change, Heard, Seat};
use super::tenant::Tenant;
use serde_json::{Value, json};

/// Frames that are about one tenant, whatever they answer.
const ABOUT_ONE: [&str; 6] = ["event", "heartbeat", "reset", "replayed", "pong", "signal"];
/// Ids of requests that leave all tenants for one begin here: whoever listens in on a connection knows them by that.
pub(super) const SWITCHES: u64 = 1_000_000;

impl Client {
    /// Takes the seat of a tenant.
    pub(super) fn sit(&mut self, tenant: usize) {
        if tenant == self.tenant {
            return;
        }
        let seat = self.seats.remove(&tenant).unwrap_or_default();
        let left = Seat { cursor: self.cursor.take(), heard: std::mem::replace(&mut self.heard, seat.heard) };
        self.cursor = seat.cursor;
        self.seats.insert(std::mem::replace(&mut self.tenant, tenant), left);
    }

    /// Does something in the seat of each tenant that it is in.
    pub(super) fn in_each(&mut self, mut what: impl FnMut(&mut Self) -> Finding) -> Finding {
        for tenant in self.line.tenants.clone() {
            self.sit(tenant);
            let found = what(self);
            self.sit(self.home);
            found?;
        }
        Ok(())
    }

    /// Judges a text frame.
    pub(super) fn hear_text(&mut self, text: &[u8], tenants: &[Tenant]) -> Finding {
        let frame = self.plain(text)?;
        let id = frame["id"].as_u64();
        if let Some(change) = id.and_then(|id| self.line.changes.remove(&id)) {
            return self.changed(&frame, change, tenants);
        }
        if frame["type"] == "detached" {
            self.count("detached".into());
            let about = self.named(&frame, tenants)?.ok_or("detached from nothing")?;
            return self.leaves(about);
        }
        let about = self.about(&frame, tenants)?;
        self.sit(about);
        let judged = self.hear_frame(&frame, &tenants[about]);
        self.sit(self.home);
        judged
    }

    fn named(&self, frame: &Value, tenants: &[Tenant]) -> Result<Option<usize>, String> {
        let Some(name) = frame["tenant"].as_str() else { return Ok(None) };
        let known = tenants.iter().position(|tenant| tenant.name.as_str() == name);
        known.map(Some).ok_or_else(|| format!("I5: a tenant of nobody: {frame}"))
    }

    /// Which tenant a frame is about.
    fn about(&mut self, frame: &Value, tenants: &[Tenant]) -> Result<usize, String> {
        let (named, own) = (self.named(frame, tenants)?, &self.line.tenants);
        let kind = frame["type"].as_str().unwrap_or_default();
        match (named, own.as_slice()) {
            (Some(named), []) if kind == "welcome" => Ok(named),
            (Some(named), all) if all.contains(&named) && all.len() > 1 => {
                self.count(format!("{kind} that names its tenant"));
                Ok(named)
            }
            // What becomes of an event that it has published is told also when it has left.
            (Some(_), _) if self.line.publishes.iter().any(|id| frame["id"] == *id) => Ok(self.home),
            (Some(_), all) => Err(format!("I5: it is in {all:?} and hears {frame}")),
            (None, [] | [_]) => Ok(own.first().copied().unwrap_or(self.home)),
            (None, all) if ABOUT_ONE.contains(&kind) => {
                Err(format!("it is in {all:?}, and which of them is this about: {frame}"))
            }
            (None, _) => Ok(self.home),
        }
    }

    /// A request that changes in which tenants it is was answered.
    fn changed(&mut self, frame: &Value, change: Change, tenants: &[Tenant]) -> Finding {
        let kind = frame["type"].as_str().unwrap_or_default();
        match (change, kind) {
            (Change::Attach { tenant, alone, seat }, "welcome") => {
                self.count(if alone { "switched" } else { "attached" }.into());
                if alone {
                    for left in self.line.tenants.clone() {
                        self.leaves(left)?;
                    }
                } else if self.line.tenants.contains(&tenant) {
                    return Err(format!("a second welcome: {frame}"));
                }
                self.sit(tenant);
                (self.cursor, self.heard) = (seat.cursor, seat.heard);
                let judged = self.hear_frame(frame, &tenants[tenant]);
                self.sit(self.home);
                judged
            }
            (Change::Attach { tenant, .. } | Change::Detach { tenant }, "error") => {
                self.count(format!("not changed: {}", frame["code"].as_str().unwrap_or_default()));
                let is_it = self.named(frame, tenants)? == Some(tenant);
                if is_it { Ok(()) } else { Err(format!("the answer names no tenant: {frame}")) }
            }
            (Change::Detach { tenant }, "ok") => {
                self.count("left".into());
                if self.named(frame, tenants)? != Some(tenant) {
                    return Err(format!("the answer to another: {frame}"));
                }
                self.leaves(tenant)
            }
            (Change::Token, "ok") => {
                self.count("ok".into());
                self.ok(frame)
            }
            (Change::Token, "error") => {
                self.count("error".into());
                Ok(())
            }
            _ => Err(format!("no answer to a change: {frame}")),
        }
    }

    /// It is in a tenant no more. All that was under way there has ended.
    fn leaves(&mut self, tenant: usize) -> Finding {
        if !self.line.tenants.contains(&tenant) {
            return Err(format!("it leaves {tenant}, in which it is not"));
        }
        self.line.tenants.retain(|own| *own != tenant);
        self.sit(tenant);
        self.heard.is_welcome = false;
        let open = self.heard.histories.first_key_value().map(|(id, _)| *id);
        self.sit(self.home);
        open.map_or(Ok(()), |id| Err(format!("it has left {tenant}, and history {id} has not ended")))
    }

    /// Tenants that it is in and is about to stay in, as far as it knows.
    pub(super) fn stays_in(&self) -> Vec<usize> {
        let is_left = |tenant: usize| {
            let is_it =
                |change: &Change| matches!(change, Change::Detach { tenant: left } if *left == tenant);
            self.line.changes.values().any(is_it)
        };
        self.line.tenants.iter().copied().filter(|tenant| !is_left(*tenant)).collect()
    }

    /// Whether it waits to be told in which tenants it is before it says anything more.
    pub(super) fn waits_for_tenants(&self) -> bool {
        let is_whole =
            |change: &Change| !matches!(change, Change::Detach { .. } | Change::Attach { alone: false, .. });
        self.line.changes.values().any(is_whole)
    }

    /// It asks to come into a tenant, with its cursor there or without, and with channels and types. Answers the frame.
    pub(super) fn attaches(
        &mut self,
        id: u64,
        (into, alone): (usize, bool),
        resumes: bool,
        (channels, types): (&[String], &Types),
        tenant: &Tenant,
    ) -> String {
        let before = self.tenant;
        self.sit(into);
        let cursor = self.cursor.clone().filter(|_| resumes);
        let heard = Heard { types: types.clone(), version: tenant.version(), ..Heard::default() };
        let now = std::mem::replace(&mut self.heard, heard);
        self.asked_for(0, channels, types, None, tenant.version());
        let heard = std::mem::replace(&mut self.heard, now);
        self.sit(before);
        let mut frame =
            json!({"type": if alone { "switch" } else { "attach" }, "id": id, "tenant": tenant.name});
        if let Some((epoch, seq)) = &cursor {
            (frame["epoch"], frame["since"]) = (json!(epoch), json!(seq));
        }
        if !channels.is_empty() {
            frame["channels"] = json!(channels);
        }
        if let Some(types) = types {
            frame["types"] = json!(types);
        }
        let seat = Box::new(Seat { cursor, heard });
        self.line.changes.insert(id, Change::Attach { tenant: into, alone, seat });
        frame.to_string()
    }
}
