//! Which rule decides in this tenant, and how?
//!
//! A tenant's own rule for a channel, if it has one; else the installation's default. Within one list the rule that says most
//! about the channel decides, alone.

use super::compiled::Compiled;
use super::limits::TenantLimits;
use super::rule::{Action, Grant, Rule};
use crate::ask::Endpoint;
use crate::auth::{Identity, Revoked};
use carillon_protocol::{Channel, SettingsVersion};
use std::sync::Arc;

/// The rules of one tenant.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    version: SettingsVersion,
    own: Arc<Compiled>,
    defaults: Arc<Compiled>,
    endpoint: Option<Arc<Endpoint>>,
    revoked: Arc<Revoked>,
    limits: TenantLimits,
    suspended: bool,
}

/// Whose rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The tenant's.
    Tenant,
    /// The installation's.
    Defaults,
}

/// The rule for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// It.
    pub rule: &'a Rule,
    /// Whose it is.
    pub source: Source,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// They may.
    Allowed(Because<'a>),
    /// The tenant's application says whether they may.
    Ask,
    /// They may not.
    Forbidden,
}

/// Why somebody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because<'a> {
    /// It is their own channel, their token opens it, or they administer.
    Token,
    /// The rule says `anyone`.
    Anyone,
    /// The rule says `self`, and they are.
    Myself,
    /// The rule names a role of theirs.
    Role(&'a str),
}

impl RuleSet {
    /// The rules of a tenant as they were at a version.
    pub fn new(version: SettingsVersion, own: Arc<Compiled>, defaults: Arc<Compiled>) -> Self {
        Self {
            version,
            own,
            defaults,
            endpoint: None,
            revoked: Arc::default(),
            limits: TenantLimits::default(),
            suspended: false,
        }
    }

    /// The same, with the application that is asked where a rule says `ask`.
    pub fn asking(self, endpoint: Option<Endpoint>) -> Self {
        Self { endpoint: endpoint.map(Arc::new), ..self }
    }

    /// The application that is asked, if one is set.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    /// The same, with those who were disconnected.
    pub fn revoking(self, revoked: Arc<Revoked>) -> Self {
        Self { revoked, ..self }
    }

    /// The same, with what the tenant may have and do.
    pub fn limited(self, limits: TenantLimits) -> Self {
        Self { limits, ..self }
    }

    /// How much the tenant may have and do.
    pub fn limits(&self) -> TenantLimits {
        self.limits
    }

    /// The same, of a tenant that may do nothing for now, or of one that may.
    pub fn suspended(self, suspended: bool) -> Self {
        Self { suspended, ..self }
    }

    /// Whether the tenant may do nothing for now.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Whose tokens are refused in this tenant.
    pub fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }

    /// Of which version they are.
    pub fn version(&self) -> SettingsVersion {
        self.version
    }

    /// The tenant's own rules.
    pub fn own(&self) -> &Arc<Compiled> {
        &self.own
    }

    /// The installation's.
    pub fn defaults(&self) -> &Arc<Compiled> {
        &self.defaults
    }

    /// Whether it is known that these let the same people do the same as others, by the same setting of the application: who was
    /// disconnected and what the tenant may have is not looked at.
    pub fn rules_as(&self, other: &Self) -> bool {
        let generation = |rules: &Self| rules.endpoint.as_ref().map(|endpoint| endpoint.generation());
        Arc::ptr_eq(&self.own, &other.own)
            && Arc::ptr_eq(&self.defaults, &other.defaults)
            && generation(self) == generation(other)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.defaults.is_empty()
    }

    /// Whether any rule lets anybody do this.
    pub fn is_granted(&self, action: Action) -> bool {
        self.own.is_granted(action) || self.defaults.is_granted(action)
    }

    /// The rule for a channel.
    pub fn find(&self, channel: &Channel) -> Option<Found<'_>> {
        let own = self.own.find(channel).map(|rule| Found { rule, source: Source::Tenant });
        own.or_else(|| self.defaults.find(channel).map(|rule| Found { rule, source: Source::Defaults }))
    }

    /// Whether somebody may do this in a channel, or whether the application says so ([`crate::ask::Asker`]). Their token opens channels for reading; rules say the rest.
    pub fn decide(&self, action: Action, identity: &Identity, channel: &Channel) -> Decision<'_> {
        let reads = matches!(action, Action::Subscribe | Action::History);
        if reads && identity.may_read(channel) {
            return Decision::Allowed(Because::Token);
        }
        match self.find(channel) {
            Some(found) => match found.decide(action, identity, channel) {
                // Whoever cannot be asked has not said yes.
                Decision::Ask if self.endpoint.is_none() => Decision::Forbidden,
                decision => decision,
            },
            None => Decision::Forbidden,
        }
    }
}

impl<'a> Found<'a> {
    /// What this rule says about somebody in a channel that it is for.
    pub fn decide(self, action: Action, identity: &Identity, channel: &Channel) -> Decision<'a> {
        let grant: &'a Grant = self.rule.grant(action);
        if grant.anyone {
            return Decision::Allowed(Because::Anyone);
        }
        if grant.myself && self.rule.pattern.user_in(channel) == Some(identity.user.as_str()) {
            return Decision::Allowed(Because::Myself);
        }
        match grant.role_of(identity) {
            Some(role) => Decision::Allowed(Because::Role(role)),
            None if grant.ask => Decision::Ask,
            None => Decision::Forbidden,
        }
    }
}
