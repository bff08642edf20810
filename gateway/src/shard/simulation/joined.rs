//! Which channels is a client in, and which types of their events does it want, as far as it knows?

use super::client::{Client, Finding};
use super::rules::token_opens;
use super::scenario::{Past, TENANTS, Types};
use super::seat::Subscribe;
use carillon_protocol::Channel;
use serde_json::Value;

/// Whether somebody who wants these types wants this one.
pub(super) fn matches(types: &Types, kind: &str) -> bool {
    types.as_ref().is_none_or(|all| {
        all.iter().any(|pattern| match pattern.split_once('*') {
            Some((begins, _)) => kind.starts_with(begins),
            None => *pattern == kind,
        })
    })
}

impl Client {
    /// The types that it chose when it came.
    pub(super) fn chosen(&self) -> Types {
        self.heard.types.clone()
    }

    /// It asks for channels: by its URL, which counts as request 0, or by a `subscribe`.
    pub(super) fn asked_for(
        &mut self,
        id: u64,
        channels: &[String],
        types: &Types,
        history: Option<Past>,
        version: u64,
    ) {
        for channel in channels {
            self.heard.asked.entry(channel.clone()).or_default().push((id, types.clone()));
        }
        let asked = Subscribe { channels: channels.to_vec(), history, version, since: None };
        self.heard.subscribes.insert(id, asked);
    }

    pub(super) fn left(&mut self, id: u64, channels: &[String]) {
        for channel in channels {
            self.heard.certain.remove(channel);
            self.heard.left.insert(channel.clone(), id);
        }
    }

    /// A new token may take channels away.
    pub(super) fn refreshed(&mut self, id: u64, narrow: bool) {
        self.line.tokens.insert(id, narrow);
        self.in_all(|client| {
            let asked: Vec<String> = client.heard.asked.keys().cloned().collect();
            client.left(id, &asked);
        });
    }

    /// Does something in the seat of each tenant.
    fn in_all(&mut self, mut what: impl FnMut(&mut Self)) {
        for tenant in 0..TENANTS {
            self.sit(tenant);
            what(self);
            self.sit(self.home);
        }
    }

    /// Which types of a channel's events it wants for certain at this seq.
    pub(super) fn wanted(&self, channel: &Channel, seq: u64) -> Option<&Types> {
        let spans = self.heard.certain.get(channel.as_str())?;
        spans.iter().rev().find(|(from, _)| *from < seq).map(|(_, types)| types)
    }

    /// Whether events of this type come in this channel without asking.
    pub(super) fn wants_own(&self, channel: &Channel, kind: &str) -> bool {
        self.is_own(channel) && matches(&self.heard.types, kind)
    }

    /// It publishes something into the log, with this frame.
    pub(super) fn published(&mut self, id: u64, named: &str) -> String {
        self.line.publishes.insert(id);
        let event = format!(r#"{{"type":"a.x","id":"{}-{id}"}}"#, self.number);
        format!(r#"{{"type":"publish","id":{id},"channel":"log:1","event":{event}{named}}}"#)
    }

    /// A request was answered.
    pub(super) fn ok(&mut self, frame: &Value) -> Finding {
        let Some(id) = frame["id"].as_u64() else { return Ok(()) };
        if let Some(narrow) = self.line.tokens.remove(&id) {
            self.line.narrow = narrow;
            // Of the others those stay that rules allow.
            let (number, is_service) = (self.number, self.is_service());
            self.in_all(|client| {
                let stays = |channel: &String| is_service || token_opens(number, narrow, channel);
                client.heard.certain.retain(|channel, _| stays(channel));
            });
        }
        if frame.get("event").is_some() {
            self.count("published".into());
            let is_mine =
                self.line.publishes.remove(&id) && frame["event"] == format!("{}-{id}", self.number);
            return if is_mine { Ok(()) } else { Err(format!("I5: the answer to another: {frame}")) };
        }
        let Some(seq) = frame["seq"].as_u64() else { return Ok(()) };
        if let Some(asked) = self.heard.subscribes.remove(&id).filter(|asked| asked.history.is_some()) {
            let since = frame["epoch"].as_str().map(|epoch| (epoch.to_owned(), seq));
            self.heard.histories.insert(id, Subscribe { since, ..asked });
        }
        for channel in frame["channels"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.heard.lost.remove(channel);
            if self.heard.left.get(channel).is_none_or(|left| *left < id) {
                // Answers come in the order of their requests.
                let asked = self.heard.asked.get(channel).into_iter().flatten();
                let Some((_, types)) = asked.into_iter().find(|(asked, _)| *asked == id) else { continue };
                self.heard.certain.entry(channel.into()).or_default().push((seq, types.clone()));
            }
        }
        Ok(())
    }
}
