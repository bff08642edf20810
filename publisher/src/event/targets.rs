//! To which channels does an event go that names channels, people, roles or the whole tenant?

use super::fault::{Fault, FaultCode, Faults, element};
use carillon_protocol::{Channel, UserId, limits};
use std::collections::HashSet;

/// Where in an event its targets stand, for whoever may not publish to some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// A field that names people, roles or everyone, if there is one.
    pub beyond: Option<&'static str>,
    /// The field that names channels; each is an element of it unless it is a text.
    field: &'static str,
    /// Which element each channel was, where repeats were left out. Empty: a text.
    elements: Vec<u16>,
    /// The field that has them all; none: they stand in the event itself.
    whole: Option<&'static str>,
}

/// Who may go without a target until the event's type is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nobody: an event names at least one.
    Target,
    /// A notice, whose type may have an audience; its targets stand in this field, if they do not stand in the event itself.
    TargetOrType(Option<&'static str>),
}

impl Needs {
    /// Those of an event with or without a notice.
    pub(super) fn of_event(is_notice: bool) -> Self {
        if is_notice { Self::TargetOrType(None) } else { Self::Target }
    }
}

impl Named {
    /// The pointer, within its event, to where a target is missing.
    pub fn of_notice(&self) -> String {
        self.whole.map_or(String::new(), |field| format!("/{field}"))
    }

    /// What to do about that.
    pub fn missing(&self) -> &'static str {
        match self.whole {
            Some(_) => "name at least one of tenant, roles, channels and users",
            None => "name at least one target: channels, users, roles or tenant_wide",
        }
    }

    /// The pointer, within its event, to the channel of this index.
    pub fn channel(&self, index: usize) -> String {
        let field = format!("/{}", self.field);
        self.elements.get(index).map_or(field.clone(), |at| element(&field, usize::from(*at)))
    }
}

/// Whom a publisher named.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) channels: Vec<Channel>,
    /// The field they stand in, if it is a text and no list.
    pub(super) text: Option<&'static str>,
    pub(super) users: Vec<UserId>,
    pub(super) roles: Vec<Channel>,
    pub(super) tenant_wide: bool,
}

impl Targets {
    /// The channels: each once, in the order channels, users, roles, tenant.
    ///
    /// When reading them found faults (`faulty`), those are told and not also "no target".
    pub(super) fn into_channels(
        self,
        (faulty, needs): (bool, Needs),
        at: &str,
        faults: &mut Faults,
    ) -> (Vec<Channel>, Named) {
        let mut named = self.named();
        if let Needs::TargetOrType(field) = needs {
            named.whole = field;
        }
        let users = self.users.iter().map(Channel::user);
        let everyone = self.tenant_wide.then(Channel::tenant);
        let mut seen = HashSet::new();
        let mut channels: Vec<Channel> =
            self.channels.into_iter().chain(users).chain(self.roles).chain(everyone).collect();
        channels.retain(|channel| seen.insert(channel.clone()));
        if channels.is_empty() && !faulty && needs == Needs::Target {
            faults.add(Fault::at(at, FaultCode::TargetRequired, named.missing()));
        }
        if channels.len() > limits::CHANNELS_PER_EVENT {
            let detail = format!(
                "channels, users, roles and tenant_wide together make {} channels; at most {} are allowed",
                channels.len(),
                limits::CHANNELS_PER_EVENT
            );
            faults.add(Fault::at(at, FaultCode::TooMany, detail));
        }
        (channels, named)
    }

    fn named(&self) -> Named {
        let named = [(!self.users.is_empty(), "users"), (!self.roles.is_empty(), "roles")];
        let wide = (self.tenant_wide, "tenant_wide");
        let beyond = named.into_iter().chain([wide]).find_map(|(is_named, field)| is_named.then_some(field));
        let mut seen = HashSet::new();
        let mut elements = Vec::new();
        if self.text.is_none() {
            let first = (0..).zip(&self.channels).filter(|(_, channel)| seen.insert(*channel));
            elements.extend(first.map(|(index, _)| index));
        }
        Named { beyond, field: self.text.unwrap_or("channels"), elements, whole: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_comes_once_and_in_order() {
        let targets = Targets {
            text: None,
            channels: ["contact:1", "contact:1", "user:7"].map(|name| Channel::new(name).unwrap()).to_vec(),
            users: ["7", "8"].map(|name| UserId::new(name).unwrap()).to_vec(),
            roles: vec![Channel::role("admin").unwrap()],
            tenant_wide: true,
        };
        let mut faults = Faults::default();
        let (channels, named) = targets.into_channels((false, Needs::Target), "", &mut faults);
        assert_eq!((named.channel(0), named.channel(1)), ("/channels/0".into(), "/channels/2".into()));
        assert_eq!(named.beyond, Some("users"));
        let names: Vec<_> = channels.iter().map(Channel::as_str).collect();
        assert_eq!(names, ["contact:1", "user:7", "user:8", "role:admin", "tenant"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn nobody_is_a_fault_and_so_are_too_many() {
        let mut faults = Faults::default();
        Targets::default().into_channels((false, Needs::Target), "/2", &mut faults);
        Targets::default().into_channels((false, Needs::TargetOrType(None)), "/3", &mut faults);
        let users = (0..101).map(|n| UserId::new(n.to_string()).unwrap()).collect();
        Targets { users, ..Targets::default() }.into_channels(
            (false, Needs::of_event(true)),
            "",
            &mut faults,
        );
        let codes: Vec<_> = faults.into_vec().into_iter().map(|fault| fault.code).collect();
        assert_eq!(codes, [FaultCode::TargetRequired, FaultCode::TooMany]);
    }
}
