//! How is each client frame carried out?

use super::connection::{Member, Stage};
use super::history::{HistoryJob, JOBS};
use super::mailbox::Errand;
use super::room::Room;
use super::worker::Worker;
use crate::entrance::{Refusal, some};
use carillon_platform::auth::Identity;
use carillon_protocol::Channel;
use carillon_protocol::client::{ClientFrame, FrameId, History, Request};
use carillon_protocol::limits::CHANNELS_PER_CONNECTION;
use carillon_protocol::server::ServerFrame;
use serde_json::value::RawValue;

impl Worker {
    pub(super) fn carry_out(&mut self, key: u32, frame: ClientFrame) {
        let ClientFrame { id, request } = frame;
        match request {
            Request::Auth { token } => self.refresh(key, id, token),
            Request::Subscribe { channels, history } => self.subscribe(key, id, channels, history),
            Request::Unsubscribe { channels } => self.unsubscribe(key, id, channels),
            Request::Ping { data } => self.pong(key, id, data),
        }
    }

    fn refresh(&mut self, key: u32, frame: Option<FrameId>, token: Box<str>) {
        let connection = &mut self.connections[key as usize];
        let Stage::Member(member) = &mut connection.stage else { return };
        if member.refreshing {
            let message = "a token is being checked; wait for its answer";
            return self.refuse(key, frame.as_deref(), "too_many_requests", message);
        }
        member.refreshing = true;
        let tenant = member.identity.tenant.clone();
        let connection = connection.id;
        self.run(Errand::Refresh { connection, frame, token, tenant });
    }

    /// The token of a refresh was checked.
    pub(super) fn refreshed(&mut self, key: u32, frame: Option<FrameId>, result: Result<Identity, Refusal>) {
        let now_unix = self.unix_micros() / 1_000_000;
        let Some(member) = self.member_mut(key) else { return };
        member.refreshing = false;
        let identity = match result {
            Ok(identity) if identity.user == member.identity.user => identity,
            Ok(_) => {
                return self.refuse(key, frame.as_deref(), "token_mismatch", "the token is another person's");
            }
            Err(refusal) => return self.refuse(key, frame.as_deref(), refusal.code, &refusal.message),
        };
        let expires_in = identity.expires_at.saturating_sub(now_unix);
        let (expires_ms, expiring_ms) = self.token_deadlines(identity.expires_at);
        let Some(member) = self.member_mut(key) else { return };
        member.expires_ms = expires_ms;
        member.expiring_ms = expiring_ms;
        // Channels joined under the old token stay only if the new one allows them.
        let before = std::mem::replace(&mut member.identity, identity);
        self.leave_forbidden(key, &before);
        let id = raw(&frame);
        self.answer(
            key,
            &ServerFrame::Ok { id, channels: None, seq: None, epoch: None, expires_in: Some(expires_in) },
        );
        self.reschedule(key);
    }

    fn leave_forbidden(&mut self, key: u32, before: &Identity) {
        let Some(member) = self.member(key) else { return };
        let room = &self.rooms[member.room as usize];
        let lost: Vec<Channel> = member
            .channels
            .iter()
            .map(|membership| room.name_of(membership.channel))
            .filter(|channel| !member.identity.may_subscribe(channel))
            .cloned()
            .collect();
        let gained: Vec<Channel> = member
            .identity
            .channels()
            .into_iter()
            .filter(|channel| !before.channels().contains(channel))
            .collect();
        self.leave_channels(key, &lost);
        self.join_channels(key, &gained);
    }

    fn subscribe(&mut self, key: u32, id: Option<FrameId>, channels: Vec<Channel>, history: Option<History>) {
        let Some(member) = self.member(key) else { return };
        let forbidden: Vec<Channel> =
            channels.iter().filter(|channel| !member.identity.may_subscribe(channel)).cloned().collect();
        if !forbidden.is_empty() {
            let message = format!("the token does not allow {}; nothing was subscribed", some(&forbidden));
            let (id, channels) = (raw(&id), Some(&forbidden[..]));
            let error = ServerFrame::Error { id, code: "forbidden", message: &message, channels };
            return self.answer(key, &error);
        }
        let room = &self.rooms[member.room as usize];
        let new = channels.iter().filter(|channel| !is_in(member, room, channel)).count();
        if member.channels.len() + new > CHANNELS_PER_CONNECTION {
            let message = format!("a connection may be in {CHANNELS_PER_CONNECTION} channels");
            return self.refuse(key, id.as_deref(), "too_many_channels", &message);
        }
        if history.is_some() && member.history.len() >= JOBS {
            let message = format!("{JOBS} pieces of history are being sent; wait for one to be replayed");
            return self.refuse(key, id.as_deref(), "too_many_requests", &message);
        }
        let (epoch, epochs, oldest) = (room.life.epoch.clone(), room.life.epochs.clone(), room.life.oldest);
        let seq = self.cursor(key);
        self.join_channels(key, &channels);
        let ok = ServerFrame::Ok {
            id: raw(&id),
            channels: Some(&channels),
            seq: Some(seq),
            epoch: Some(&epoch),
            expires_in: None,
        };
        self.answer(key, &ok);
        if let (Some(history), Some(member)) = (history, self.member_mut(key)) {
            member.history.push_back(HistoryJob::new(id, &channels, history, seq, &epochs, oldest));
            self.catch_up(key);
        }
    }

    fn unsubscribe(&mut self, key: u32, id: Option<FrameId>, channels: Vec<Channel>) {
        self.leave_channels(key, &channels);
        let id = raw(&id);
        let ok = ServerFrame::Ok { id, channels: Some(&channels), seq: None, epoch: None, expires_in: None };
        self.answer(key, &ok);
    }

    fn pong(&mut self, key: u32, id: Option<FrameId>, data: Option<Box<str>>) {
        let (seq, time) = (self.cursor(key), self.unix_micros() / 1_000);
        self.answer(key, &ServerFrame::Pong { id: raw(&id), seq, time, data: raw(&data) });
    }

    /// Adds a member to channels; those it is in already stay.
    pub(super) fn join_channels(&mut self, key: u32, channels: &[Channel]) {
        let Some(connection) = self.connections.get_mut(key as usize) else { return };
        let Stage::Member(member) = &mut connection.stage else { return };
        let room = &mut self.rooms[member.room as usize];
        for channel in channels {
            if !is_in(member, room, channel) {
                member.channels.push(room.join(channel, key));
                self.subscriptions += 1;
            }
        }
    }

    /// Takes a member out of channels; those it is not in are ignored.
    pub(super) fn leave_channels(&mut self, key: u32, channels: &[Channel]) {
        for channel in channels {
            let Some(member) = self.member(key) else { return };
            let Some(number) = self.rooms[member.room as usize].key_of(channel) else { continue };
            let Some(at) = member.channels.iter().position(|own| own.channel == number) else { continue };
            let room = member.room;
            let Some(member) = self.member_mut(key) else { return };
            let membership = member.channels.swap_remove(at);
            self.leave_channel(room, membership);
        }
    }

    /// Takes a membership out of a room's index and tells whoever moved to its place.
    pub(super) fn leave_channel(&mut self, room: u32, membership: super::room::Membership) {
        self.subscriptions -= 1;
        let Some(moved) = self.rooms[room as usize].leave(membership) else { return };
        let Some(member) = self.member_mut(moved) else { return };
        let own = member.channels.iter_mut().find(|own| own.channel == membership.channel);
        debug_assert!(own.is_some(), "whoever is in a channel's list knows it");
        if let Some(own) = own {
            own.place = membership.place;
        }
    }
}

fn is_in(member: &Member, room: &Room, channel: &Channel) -> bool {
    room.key_of(channel).is_some_and(|number| member.channels.iter().any(|own| own.channel == number))
}

fn raw(json: &Option<Box<str>>) -> Option<&RawValue> {
    json.as_deref().and_then(|json| serde_json::from_str(json).ok())
}
