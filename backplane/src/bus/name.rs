//! Which Redis channel carries a tenant's announcements?
//!
//! `<prefix>:{<tenant>}:log`. The braces are Redis Cluster's hash tag: everything of a tenant is in one slot. Neither
//! the prefix nor a tenant name can contain a brace, so names cannot collide and reading them back is unambiguous.

use carillon_protocol::ident::{TenantId, UserId};
use carillon_protocol::presence::Origin;

/// The names of one installation.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: Box<str>,
    /// The channel on which one listener proves to itself that it is not deaf.
    probe: Box<str>,
}

/// What a Redis channel is to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Announcements of this tenant.
    Log(TenantId),
    /// Our own probe came back.
    Probe,
    /// Not ours.
    Foreign,
}

impl Names {
    /// `unique` makes the probe channel private to its listener.
    pub(super) fn new(prefix: &str, unique: &str) -> Self {
        Self { prefix: prefix.into(), probe: format!("{prefix}:{{{unique}}}:probe").into() }
    }

    pub(super) fn log(&self, tenant: &TenantId) -> String {
        format!("{}:{{{}}}:log", self.prefix, tenant)
    }

    /// The key of what a gateway says of who is in a tenant's channels.
    pub(super) fn presence(&self, tenant: &TenantId, origin: &Origin) -> String {
        format!("{}:presence:{{{}}}:{origin}", self.prefix, tenant)
    }

    /// The key of the list of gateways that say something of a tenant.
    pub(super) fn presence_heads(&self, tenant: &TenantId) -> String {
        format!("{}:presence:{{{}}}", self.prefix, tenant)
    }

    /// The key of what is used of a tenant's limit.
    pub(super) fn limit(&self, tenant: &TenantId, kind: &str) -> String {
        format!("{}:limits:{{{}}}:{kind}", self.prefix, tenant)
    }

    /// The key of what is kept of a person's clients of Socket.IO that come back.
    pub(super) fn recovery(&self, tenant: &TenantId, user: &UserId) -> String {
        format!("{}:socketio:{{{}}}:{user}", self.prefix, tenant)
    }

    pub(super) fn probe(&self) -> &str {
        &self.probe
    }

    pub(super) fn read(&self, channel: &str) -> Meaning {
        let tenant = channel
            .strip_prefix(&*self.prefix)
            .and_then(|rest| rest.strip_prefix(":{"))
            .and_then(|rest| rest.strip_suffix("}:log"));
        match tenant.map(TenantId::new) {
            Some(Ok(tenant)) => Meaning::Log(tenant),
            _ if channel == self.probe() => Meaning::Probe,
            _ => Meaning::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i5_a_name_is_read_back_as_the_tenant_it_was_made_for_and_as_no_other() {
        let names = Names::new("crln", "7");
        for tenant in ["a", "a-", "a_", "0", "log", "probe", "7"] {
            let tenant = TenantId::new(tenant).unwrap();
            assert_eq!(names.read(&names.log(&tenant)), Meaning::Log(tenant));
        }
        assert_eq!(names.read(names.probe()), Meaning::Probe);
        for foreign in [
            "",
            "crln",
            "crln:{a}",
            "crln:{a}:logs",
            "crln:{A}:log",
            "crln:{}:log",
            "crln:{a}:log:log",
            "xcrln:{a}:log",
            "crln2:{a}:log",
            "crln:{a}}:log",
            "crln:{a}:log}:log",
            "crln:{8}:probe",
        ] {
            assert_eq!(names.read(foreign), Meaning::Foreign, "{foreign}");
        }
    }
}
