//! What is asked, and how is it written?

use crate::auth::Identity;
use crate::rules::Action;
use carillon_protocol::{Channel, DeviceId, TenantId, UserId};
use serde::Serialize;
use std::sync::Arc;

/// May this person do this in this channel? Whoever asks the same is answered by the same verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// In which tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// With which roles there, as the token has them.
    pub roles: Arc<[String]>,
    /// In which channel.
    pub channel: Channel,
    /// What.
    pub action: Action,
    /// What they call the device they come from.
    pub device: Option<DeviceId>,
}

#[derive(Serialize)]
struct Written<'a> {
    tenant: &'a TenantId,
    user: &'a UserId,
    roles: &'a [String],
    channel: &'a Channel,
    action: &'static str,
    device: Option<&'a str>,
}

impl Question {
    /// Whether this person may do this there.
    pub fn new(identity: &Identity, channel: &Channel, action: Action, device: Option<&DeviceId>) -> Self {
        Self {
            tenant: identity.tenant.clone(),
            user: identity.user.clone(),
            roles: identity.roles.clone(),
            channel: channel.clone(),
            action,
            device: device.cloned(),
        }
    }

    /// As the application reads it: a JSON object.
    pub(super) fn body(&self) -> Vec<u8> {
        let Self { tenant, user, roles, channel, action, device } = self;
        let device = device.as_ref().map(DeviceId::as_str);
        let written = Written { tenant, user, roles, channel, action: action.name(), device };
        // Texts alone: nothing of it can fail to be written.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_the_contract_says() {
        let question = Question {
            tenant: TenantId::new("acme").unwrap(),
            user: UserId::new("mila").unwrap(),
            roles: ["head".to_owned()].into(),
            channel: Channel::new("order:7").unwrap(),
            action: Action::Subscribe,
            device: None,
        };
        let text = String::from_utf8(question.body()).unwrap();
        let expected = r#"{"tenant":"acme","user":"mila","roles":["head"],"channel":"order:7","action":"subscribe","device":null}"#;
        assert_eq!(text, expected);
    }
}
