//! What does somebody say about themselves to those who see them?

use super::messages::PresenceNews;
use super::session::At;
use super::tables::Tables;
use super::world::Socket;
use crate::presence::Event;
use carillon_protocol::Channel;
use carillon_protocol::client::Meta;
use std::sync::Arc;

impl<S: Socket> Tables<S> {
    /// Sets what somebody says about themselves: in a channel, or in all they are seen in and those they join later. Whether
    /// they are seen there.
    pub(super) fn set_meta(
        &mut self,
        key: u32,
        session: usize,
        channel: Option<&Channel>,
        meta: &Meta,
    ) -> bool {
        let meta: Option<Arc<str>> = meta.as_deref().map(Arc::from);
        let Some(member) = self.session(At { key, session }).map(|session| session.member(key)) else {
            return false;
        };
        if channel.is_none() {
            match &meta {
                Some(meta) => drop(self.meta.insert(member, meta.clone())),
                None => drop(self.meta.remove(&member)),
            }
        }
        let Some(session) = self.get(key).and_then(|connection| connection.sessions().get(session)) else {
            return false;
        };
        let Some(room) = self.rooms.get(session.room) else { return false };
        let Some(present) = &room.present else { return false };
        let own = session.channels.channels();
        let is_meant = |name: &&Channel| channel.is_none_or(|channel| *name == channel);
        let (tenant, user) = (session.tenant().clone(), session.user().clone());
        let names = own.into_iter().filter_map(|own| room.name_of(own)).filter(is_meant);
        let news: Vec<PresenceNews> = names
            .filter(|name| present.is_seen(name, key))
            .map(|channel| {
                let (channel, user, meta) = (channel.clone(), user.clone(), meta.clone());
                (tenant.clone(), Event::Meta { channel, user, meta })
            })
            .collect();
        let is_seen = !news.is_empty();
        self.presence.extend(news);
        is_seen
    }
}
