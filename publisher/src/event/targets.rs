//! To which channels does an event go that names channels, people, roles or the whole tenant?

use super::fault::{Fault, FaultCode, Faults};
use carillon_protocol::{Channel, UserId, limits};
use std::collections::HashSet;

/// Whom a publisher named.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) channels: Vec<Channel>,
    pub(super) users: Vec<UserId>,
    pub(super) roles: Vec<Channel>,
    pub(super) tenant_wide: bool,
}

impl Targets {
    /// The channels: each once, in the order channels, users, roles, tenant.
    ///
    /// When reading them found faults (`faulty`), those are told and not also "no target".
    pub(super) fn into_channels(self, faulty: bool, at: &str, faults: &mut Faults) -> Vec<Channel> {
        let users = self.users.iter().map(Channel::user);
        let everyone = self.tenant_wide.then(Channel::tenant);
        let mut seen = HashSet::new();
        let mut channels: Vec<Channel> =
            self.channels.into_iter().chain(users).chain(self.roles).chain(everyone).collect();
        channels.retain(|channel| seen.insert(channel.clone()));
        if channels.is_empty() && !faulty {
            let detail = "name at least one target: channels, users, roles or tenant_wide";
            faults.add(Fault::at(at, FaultCode::TargetRequired, detail));
        }
        if channels.len() > limits::CHANNELS_PER_EVENT {
            let detail = format!(
                "channels, users, roles and tenant_wide together make {} channels; at most {} are allowed",
                channels.len(),
                limits::CHANNELS_PER_EVENT
            );
            faults.add(Fault::at(at, FaultCode::TooMany, detail));
        }
        channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_comes_once_and_in_order() {
        let targets = Targets {
            channels: ["contact:1", "user:7", "contact:1"].map(|name| Channel::new(name).unwrap()).to_vec(),
            users: ["7", "8"].map(|name| UserId::new(name).unwrap()).to_vec(),
            roles: vec![Channel::role("admin").unwrap()],
            tenant_wide: true,
        };
        let mut faults = Faults::default();
        let channels = targets.into_channels(false, "", &mut faults);
        let names: Vec<_> = channels.iter().map(Channel::as_str).collect();
        assert_eq!(names, ["contact:1", "user:7", "user:8", "role:admin", "tenant"]);
        assert!(faults.is_empty());
    }

    #[test]
    fn nobody_is_a_fault_and_so_are_too_many() {
        let mut faults = Faults::default();
        Targets::default().into_channels(false, "/2", &mut faults);
        let users = (0..101).map(|n| UserId::new(n.to_string()).unwrap()).collect();
        Targets { users, ..Targets::default() }.into_channels(false, "", &mut faults);
        let codes: Vec<_> = faults.into_vec().into_iter().map(|fault| fault.code).collect();
        assert_eq!(codes, [FaultCode::TargetRequired, FaultCode::TooMany]);
    }
}
