//! What went to a client, and when, whatever it reads of it?
//!
//! The oracle of time: a client must be told its cursor once a heartbeat, and is not given up before it was asked.

use super::client::Speech;
use super::outside::{first_frame, next_message};
use super::run::{HEARTBEAT_MS, chunked};
use super::several::SWITCHES;
use crate::shard::wheel::SLOT_MS;
use carillon_protocol::compact;
use serde_json::Value;
use std::collections::BTreeMap;

/// Frames that tell the cursor.
const CURSORS: [&str; 5] = ["welcome", "event", "heartbeat", "reset", "pong"];

/// Listens in on one connection.
#[derive(Debug, Default)]
pub(super) struct Tap {
    buffer: Vec<u8>,
    has_head: bool,
    /// When the client was last told its cursor in each tenant that it is in.
    told_ms: BTreeMap<String, u64>,
    /// When it was last asked for a sign of life and has not given one since.
    pinged_ms: Option<u64>,
    /// It gave one in this turn.
    has_answered: bool,
    /// When its socket took again after it had not.
    freed_ms: u64,
    /// Nothing follows.
    is_over: bool,
    /// What it was told for the compact form.
    names: BTreeMap<u8, String>,
}

impl Tap {
    /// The socket takes again.
    pub(super) fn freed(&mut self, now_ms: u64) {
        self.freed_ms = now_ms;
    }

    /// The shard has read something.
    pub(super) fn answered(&mut self) {
        self.has_answered = true;
    }

    /// Takes what was written in this turn.
    pub(super) fn hear(
        &mut self,
        bytes: &[u8],
        speech: Speech,
        number: usize,
        now_ms: u64,
    ) -> Result<(), String> {
        self.buffer.extend_from_slice(bytes);
        if !self.has_head {
            let head = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(at) = head else { return Ok(()) };
            self.buffer.drain(..at + 4);
            self.has_head = true;
        }
        match speech {
            Speech::WebSocket => self.hear_frames(now_ms),
            Speech::EventStream => self.hear_messages(chunked(number), now_ms),
            Speech::Poll => Ok(()),
        }
    }

    /// The end of a turn. What is closed then was given up before anything that is read now; and what was asked in this turn
    /// was asked after it was read.
    pub(super) fn end_turn(&mut self, is_closed: bool, now_ms: u64) {
        let has_answered = std::mem::take(&mut self.has_answered);
        if has_answered && !is_closed && self.pinged_ms != Some(now_ms) {
            self.pinged_ms = None;
        }
    }

    fn hear_frames(&mut self, now_ms: u64) -> Result<(), String> {
        while let Some((first, payload, used)) = first_frame(&self.buffer) {
            self.buffer.drain(..used);
            match first & 15 {
                1 => self.hear_json(&payload, now_ms)?,
                9 => self.pinged_ms = Some(now_ms),
                8 => {
                    self.is_over = true;
                    let is_silent = payload.starts_with(&4408_u16.to_be_bytes());
                    let is_fair = self.pinged_ms.is_some_and(|at| now_ms >= at + HEARTBEAT_MS * 3 / 2);
                    if is_silent && !is_fair {
                        return Err(format!("4408 at {now_ms}, asked at {:?}", self.pinged_ms));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn hear_messages(&mut self, chunked: bool, now_ms: u64) -> Result<(), String> {
        while let Some(message) = next_message(&mut self.buffer, chunked)?.filter(|it| !it.is_empty()) {
            let text = String::from_utf8(message).map_err(|error| error.to_string())?;
            let data = text.lines().find_map(|line| line.strip_prefix("data: "));
            self.hear_json(data.ok_or("a message without data")?.as_bytes(), now_ms)?;
            // An event stream's farewell is an error.
            self.is_over |= data.is_some_and(|data| data.starts_with(r#"{"type":"error""#));
        }
        Ok(())
    }

    fn hear_json(&mut self, json: &[u8], now_ms: u64) -> Result<(), String> {
        let plain = compact::plain(json, &mut self.names);
        let json = plain.as_deref().unwrap_or(json);
        let frame: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let is_history = frame.get("replay").is_some();
        let tenant = frame["tenant"].as_str();
        if frame["type"] == "welcome" && frame["id"].as_u64().is_some_and(|id| id >= SWITCHES) {
            self.told_ms.clear();
        }
        // What an `ok` names and says nothing else of was left.
        let said = ["seq", "channels", "event", "degraded"];
        let leaves = frame["type"] == "ok" && said.iter().all(|field| frame.get(field).is_none());
        if let Some(left) = tenant.filter(|_| leaves || frame["type"] == "detached") {
            self.told_ms.remove(left);
        } else if !is_history && CURSORS.iter().any(|kind| frame["type"] == *kind) {
            match (tenant, self.told_ms.values_mut().next()) {
                (None, Some(only)) => *only = now_ms,
                (tenant, _) => drop(self.told_ms.insert(tenant.unwrap_or_default().into(), now_ms)),
            }
        }
        Ok(())
    }

    /// Nobody whose socket takes may be left without its cursor for longer than a heartbeat: the shard must have something
    /// to do by then. Both times are noticed a slot of the wheel late.
    pub(super) fn check(&self, wakes_ms: u64) -> Result<(), String> {
        let first = self.told_ms.values().min().copied();
        let Some(told_ms) = first.filter(|_| !self.is_over) else { return Ok(()) };
        let latest_ms = self.freed_ms.max(told_ms + HEARTBEAT_MS) + 2 * SLOT_MS;
        if wakes_ms > latest_ms {
            return Err(format!("told its cursor at {told_ms}, and nothing happens before {wakes_ms}"));
        }
        Ok(())
    }
}
