//! What is an event between the request and the log, and what are its bytes and its fingerprint?

use super::notify::Notify;
use super::rfc3339::Moment;
use super::targets::Named;
use carillon_protocol::event::{LATEST_KEY, Latest, NewEvent, Priority};
use carillon_protocol::notice::{DATA_BYTES, NOTIFY};
use carillon_protocol::{Channel, ConnectionName, EventId, LatestKey, Notice, TenantId, UserId, limits};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// One event as its publisher wrote it, every field checked, nothing made up yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose log, when the event says so.
    pub tenant: Option<TenantId>,
    /// Its name, when the publisher chose one.
    pub id: Option<EventId>,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// What it is the latest value of.
    pub key: Option<LatestKey>,
    /// What it says in people's inboxes; its text may be left to a type until the event's tenant is known.
    pub notice: Option<Notify>,
    /// Where it goes; empty for a notice alone, until its type's audience stands in.
    pub channels: Vec<Channel>,
    /// Where in the request these stand.
    pub named: Named,
    /// The connection that does not get it as it happens. Not part of what is compared: a repeat may come from another.
    pub except: Option<ConnectionName>,
    /// When it happened, when the publisher said so.
    pub time: Option<Moment>,
    /// Further attributes, sorted by name: the name and its compact JSON.
    pub extras: Vec<(String, String)>,
    /// The application's own data.
    pub data: Option<Data>,
}

/// The application's data, compact JSON in both cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The member `data`: any JSON.
    Json(String),
    /// The member `data_base64`: a JSON string.
    Base64(String),
    /// `null`, said with a key: the key has no value any more.
    Null,
}

/// The event's CloudEvents JSON has this many bytes, more than [`limits::EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event's CloudEvents JSON has {0} bytes; at most {limit} are allowed", limit = limits::EVENT_BYTES)]
pub struct TooLarge(pub usize);

impl Draft {
    /// A digest of everything the publisher decided and nothing the server adds: two requests with the same
    /// idempotency key are the same request when their fingerprints agree.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut put = |name: &str, value: &str| {
            for part in [name, value] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        };
        put("type", &self.kind);
        put("source", &self.source);
        if let Some(id) = &self.id {
            put("id", id.as_str());
        }
        if let Some(subject) = &self.subject {
            put("subject", subject);
        }
        if let Some(actor) = &self.actor {
            put("actor", actor.as_str());
        }
        if let Some(priority) = self.priority {
            put("priority", priority.as_str());
        }
        if let Some(key) = &self.key {
            put(LATEST_KEY, key.as_str());
        }
        if let Some(Notify { notice, fill }) = &self.notice {
            put(NOTIFY, &notice.json());
            if let Some(fill) = fill {
                put("template", fill.template.as_deref().unwrap_or_default());
                put("vars", &fill.vars.as_ref().map_or(String::new(), Value::to_string));
            }
        }
        if let Some(time) = self.time {
            put("time", &time.to_string());
        }
        for (name, json) in &self.extras {
            put(name, json);
        }
        for channel in &self.channels {
            put("channel", channel.as_str());
        }
        match &self.data {
            Some(Data::Json(json)) => put("data", json),
            Some(Data::Base64(json)) => put("data_base64", json),
            Some(Data::Null) => put("data", "null"),
            None => {}
        }
        digest.finalize().into()
    }

    /// The event as the log stores it. `now` and `fresh_id` are used where the publisher chose nothing.
    pub fn seal(
        self,
        now: Timestamp,
        fresh_id: impl FnOnce() -> EventId,
        traceparent: Option<String>,
    ) -> Result<NewEvent, TooLarge> {
        let time = self.time.unwrap_or_else(|| now.into()).to_string();
        let id = self.id.clone().unwrap_or_else(fresh_id);
        let body = self.body(&id, &time, traceparent.as_deref());
        if body.len() > limits::EVENT_BYTES {
            return Err(TooLarge(body.len()));
        }
        let deletes = self.data == Some(Data::Null);
        let notice = self.notice.map(|notify| Box::new(with_data(notify.notice, self.data)));
        Ok(NewEvent {
            id,
            kind: self.kind,
            source: self.source,
            subject: self.subject,
            actor: self.actor,
            priority: self.priority,
            channels: self.channels,
            time,
            body,
            traceparent,
            latest: self.key.map(|key| Latest { key, deletes }),
            notice,
        })
    }

    /// The compact CloudEvents JSON: the publisher's data byte for byte, only white space is gone. The trace goes along
    /// as CloudEvents' distributed tracing extension says, unless the event brings its own.
    fn body(&self, id: &EventId, time: &str, traceparent: Option<&str>) -> String {
        let data = self.data.as_ref().map_or(0, |data| match data {
            Data::Json(json) | Data::Base64(json) => json.len(),
            Data::Null => 4,
        });
        let mut out = String::with_capacity(data + 256);
        out.push_str("{\"specversion\":\"1.0\"");
        let mut put = |name: &str, json: &str| {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            out.push_str(json);
        };
        put("id", &quoted(id.as_str()));
        put("source", &quoted(&self.source));
        put("type", &quoted(&self.kind));
        put("time", &quoted(time));
        if let Some(subject) = &self.subject {
            put("subject", &quoted(subject));
        }
        if let Some(actor) = &self.actor {
            put("actor", &quoted(actor.as_str()));
        }
        if let Some(priority) = self.priority {
            put("priority", &quoted(priority.as_str()));
        }
        if let Some(key) = &self.key {
            put(LATEST_KEY, &quoted(key.as_str()));
        }
        if let Some(notify) = &self.notice {
            put(NOTIFY, &quoted(&notify.notice.json()));
        }
        for (name, json) in &self.extras {
            put(name, json);
        }
        if let Some(traceparent) = traceparent
            && !self.extras.iter().any(|(name, _)| name == "traceparent")
        {
            put("traceparent", &quoted(traceparent));
        }
        match &self.data {
            Some(Data::Json(json)) => put("data", json),
            Some(Data::Base64(json)) => put("data_base64", json),
            Some(Data::Null) => put("data", "null"),
            None => {}
        }
        out.push('}');
        out
    }
}

/// A notice without data of its own has its event's, if that is small.
fn with_data(notice: Notice, data: Option<Data>) -> Notice {
    let of_event = match data {
        Some(Data::Json(json)) if json.len() <= DATA_BYTES => Some(json),
        _ => None,
    };
    Notice { data: notice.data.or(of_event), ..notice }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The fingerprint of a whole array under one idempotency key: another array is another request even where the
/// two have events in common.
pub fn array_fingerprint<'a>(drafts: impl IntoIterator<Item = &'a Draft>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for draft in drafts {
        digest.update(draft.tenant.as_ref().map_or("", TenantId::as_str));
        digest.update([0]);
        digest.update(draft.fingerprint());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            tenant: None,
            id: None,
            kind: "order.paid".into(),
            source: "api".into(),
            subject: None,
            actor: None,
            priority: None,
            key: None,
            notice: None,
            channels: vec![Channel::tenant()],
            named: Named::default(),
            except: None,
            time: None,
            extras: Vec::new(),
            data: None,
        }
    }

    fn seal(draft: Draft, at: i64) -> NewEvent {
        let id = || EventId::new("fresh").unwrap();
        draft.seal(Timestamp::from_second(at).unwrap(), id, None).unwrap()
    }

    #[test]
    fn the_body_is_a_compact_cloud_event() {
        let full = Draft {
            subject: Some("o\"1".into()),
            actor: Some(UserId::new("Mila Kovač").unwrap()),
            priority: Some(Priority::High),
            key: LatestKey::new("k\"1").ok(),
            extras: vec![("region".into(), "\"eu\"".into())],
            data: Some(Data::Json("{\"price\":1.10}".into())),
            ..draft()
        };
        assert_eq!(
            seal(full, 0).body,
            r#"{"specversion":"1.0","id":"fresh","source":"api","type":"order.paid","time":"1970-01-01T00:00:00Z","subject":"o\"1","actor":"Mila Kovač","priority":"high","latestkey":"k\"1","region":"eu","data":{"price":1.10}}"#
        );
        assert!(!seal(draft(), 0).body.contains("data"), "no data, no member");
        let gone = Draft { key: LatestKey::new("a").ok(), data: Some(Data::Null), ..draft() };
        let gone = seal(gone, 0);
        assert!(gone.body.ends_with(r#","latestkey":"a","data":null}"#), "{}", gone.body);
        assert!(gone.latest.is_some_and(|latest| latest.deletes));
    }

    #[test]
    fn the_fingerprint_knows_nothing_the_server_adds() {
        let first = draft().fingerprint();
        assert_eq!(first, draft().fingerprint());
        let chosen = Draft { time: Some(Timestamp::UNIX_EPOCH.into()), ..draft() };
        assert_ne!(first, chosen.fingerprint());
        let moved = Draft { channels: vec![Channel::new("a").unwrap()], ..draft() };
        assert_ne!(first, moved.fingerprint());
        let connection = ConnectionName::new("gateway-1-0000000a-0-4-7").ok();
        assert_eq!(
            first,
            Draft { except: connection, ..draft() }.fingerprint(),
            "a repeat may come from another"
        );
        let keyed = Draft { key: LatestKey::new("a").ok(), ..draft() };
        assert_ne!(first, keyed.fingerprint());
        let deletes = Draft { data: Some(Data::Null), ..keyed.clone() };
        assert_ne!(keyed.fingerprint(), deletes.fingerprint());
        let shifted = Draft { kind: "order".into(), source: ".paidapi".into(), ..draft() };
        assert_ne!(first, shifted.fingerprint(), "lengths keep the fields apart");
    }

    #[test]
    fn an_event_is_at_most_64_kib() {
        let bytes = |n: usize| Draft { data: Some(Data::Json(format!("\"{}\"", "x".repeat(n)))), ..draft() };
        let overhead = seal(bytes(0), 0).body.len();
        let fit = limits::EVENT_BYTES - overhead;
        assert_eq!(seal(bytes(fit), 0).body.len(), limits::EVENT_BYTES);
        let id = || EventId::new("fresh").unwrap();
        let refused = bytes(fit + 1).seal(Timestamp::UNIX_EPOCH, id, None).unwrap_err();
        assert_eq!(refused, TooLarge(limits::EVENT_BYTES + 1));
    }
}
