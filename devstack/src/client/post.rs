//! What does a publisher send, where does it go, and how is it recognised at the other end?

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use serde_json::Value;

/// One event in the plain form of `POST /v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Post {
    /// Whose log.
    pub tenant: String,
    /// The event's name; the gateway's clients see it and it is the default idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The application's data.
    pub data: Value,
    /// CloudEvents `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// CloudEvents `subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// low, normal, high, urgent, critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Of which key it is the latest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it says in people's inboxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Value>,
    /// Channels it goes to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Users it goes to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Roles it goes to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whether it goes to everyone of the tenant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tenant_wide: bool,
}

impl Post {
    /// An event of this type, so far for nobody.
    pub fn new(tenant: impl Into<String>, kind: impl Into<String>, data: Value) -> Self {
        Self {
            tenant: tenant.into(),
            id: None,
            kind: kind.into(),
            data,
            source: None,
            subject: None,
            actor: None,
            priority: None,
            key: None,
            notify: None,
            channels: Vec::new(),
            users: Vec::new(),
            roles: Vec::new(),
            tenant_wide: false,
        }
    }

    /// A notice with this title and text.
    #[must_use]
    pub fn notify(mut self, title: impl Into<String>, body: impl Into<String>) -> Self {
        self.notify = Some(serde_json::json!({"title": title.into(), "body": body.into()}));
        self
    }

    /// Of this group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        if let Some(notify) = &mut self.notify {
            notify["group"] = Value::from(group.into());
        }
        self
    }

    /// With this name.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// From this source.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// About this thing.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Done by this person.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<String>) -> Self {
        self.priority = Some(priority.into());
        self
    }

    /// The latest value of this key in its channels.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Also to this channel.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// Also to this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.users.push(user.into());
        self
    }

    /// Also to everyone with this role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// To everyone of the tenant.
    #[must_use]
    pub fn tenant_wide(mut self) -> Self {
        self.tenant_wide = true;
        self
    }

    /// Every channel the event reaches, as the contract names them.
    pub fn addressed(&self) -> BTreeSet<String> {
        let users = self.users.iter().map(|user| format!("user:{user}"));
        let roles = self.roles.iter().map(|role| format!("role:{role}"));
        let everyone = self.tenant_wide.then(|| "tenant".to_owned());
        self.channels.iter().cloned().chain(users).chain(roles).chain(everyone).collect()
    }

    /// What the event says, as a number to compare with [`digest`] of what arrived.
    pub fn digest(&self) -> u64 {
        digest(&self.kind, &self.data)
    }
}

/// A fingerprint of an event's type and data. Differences in white space and key order do not show.
pub fn digest(kind: &str, data: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    data.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_plain_form_leaves_out_what_was_not_said() {
        let post = Post::new("acme", "order.paid", json!({"total": 3})).channel("order:7").user("42");
        assert_eq!(
            serde_json::to_string(&post).unwrap(),
            r#"{"tenant":"acme","type":"order.paid","data":{"total":3},"channels":["order:7"],"users":["42"]}"#
        );
    }

    #[test]
    fn targets_become_channels_once() {
        let post =
            Post::new("acme", "t", json!({})).user("42").channel("user:42").role("admin").tenant_wide();
        assert_eq!(Vec::from_iter(post.addressed()), ["role:admin", "tenant", "user:42"]);
    }

    #[test]
    fn the_digest_sees_data_and_type_but_not_their_spelling() {
        let spelled: Value = serde_json::from_str(r#"{ "b": 1, "a": [true] }"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":[true],"b":1}"#).unwrap();
        assert_eq!(digest("t", &spelled), digest("t", &other));
        assert_ne!(digest("t", &spelled), digest("u", &other));
        assert_ne!(digest("t", &json!(1)), digest("t", &json!(2)));
    }
}
