//! What may this caller do, and in which tenant?

use crate::batcher::Publisher;
use carillon_backplane::log::ApiKey;
use carillon_platform::auth::{AuthError, Claims, Identity};
use carillon_protocol::{Channel, TenantId, UserId};

/// What an API key can be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Publish events, whatever the channels' rules say.
    Publish,
    /// Read the log.
    Read,
    /// Publish for people, as the channels' rules let them: a gateway does.
    Relay,
}

/// Somebody whose credentials are proven.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A service.
    Key(ApiKey),
    /// A person.
    User(Claims),
    /// A person whom a gateway vouches for, in the tenant that they are connected to. They have what rules give them, no more.
    Relayed(Identity),
}

/// A caller within one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The tenant.
    pub tenant: TenantId,
    /// The person, when it is one.
    pub user: Option<UserId>,
    /// Whether they may administer.
    pub admin: bool,
    /// Who reads, when it is a person and no administrator; else the reader sees all of the tenant's events.
    person: Option<Identity>,
    /// Who publishes by the channels' rules alone: a person without the capability.
    by_rule: Option<Identity>,
    /// Who asks who is here, when it is a person: rules decide, for administrators, too.
    seen_by_rule: Option<Identity>,
    publish: bool,
    read: bool,
}

/// Why a caller has no entry to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantFault {
    /// The credentials are for several tenants, and none was named.
    Required,
    /// The credentials are not for the tenant that was named.
    Forbidden,
    /// In this tenant the token is refused: its bearer was disconnected after it was issued.
    Revoked,
}

impl Caller {
    /// Whether they may do this in some tenant: told before a body is read. [`Entry::may`] has the last word.
    pub fn may(&self, scope: Scope) -> bool {
        match (self, scope) {
            (Caller::Key(key), Scope::Publish) => key.publish,
            (Caller::Key(key), Scope::Read) => key.read,
            (Caller::Key(key), Scope::Relay) => key.relay && key.tenant.is_none(),
            // Rules may let them, in channels that only the body names.
            (Caller::User(_) | Caller::Relayed(_), Scope::Publish) => true,
            (Caller::User(claims), Scope::Read) => {
                claims.enter(None).map_or(true, |identity| person(&identity).may(scope))
            }
            (Caller::User(_), Scope::Relay) | (Caller::Relayed(_), Scope::Read | Scope::Relay) => false,
        }
    }

    /// Whether they administer the installation, and not one tenant.
    pub fn is_of_installation(&self) -> bool {
        matches!(self, Caller::Key(key) if key.tenant.is_none() && key.admin)
    }

    /// As whom they take part of the intake.
    pub fn publisher(&self) -> Publisher {
        let several_tenants = match self {
            Caller::Key(key) => key.tenant.is_none(),
            Caller::User(claims) => matches!(claims.enter(None), Err(AuthError::TenantRequired)),
            Caller::Relayed(_) => false,
        };
        Publisher { name: self.name().into(), several_tenants }
    }

    /// A name for the caller's shares in a tenant; no key has that of a user.
    pub fn name(&self) -> String {
        match self {
            Caller::Key(key) => format!("key:{}", key.id),
            Caller::User(claims) => format!("user:{}", claims.user()),
            Caller::Relayed(identity) => format!("user:{}", identity.user),
        }
    }

    /// The caller in the tenant that was asked for, or else in the only one the credentials are for.
    pub fn enter(&self, asked: Option<&TenantId>) -> Result<Entry, TenantFault> {
        match self {
            Caller::Key(key) => enter_with_key(key, asked),
            Caller::User(claims) => match claims.enter(asked) {
                Ok(identity) => Ok(person(&identity)),
                Err(AuthError::TenantRequired) => Err(TenantFault::Required),
                Err(AuthError::Revoked) => Err(TenantFault::Revoked),
                Err(_) => Err(TenantFault::Forbidden),
            },
            Caller::Relayed(identity) if identity.tenant.is_operator() => Err(TenantFault::Forbidden),
            Caller::Relayed(identity) if asked.is_none_or(|asked| *asked == identity.tenant) => {
                Ok(person(identity))
            }
            Caller::Relayed(_) => Err(TenantFault::Forbidden),
        }
    }
}

impl Entry {
    /// Whether they may do this here.
    pub fn may(&self, scope: Scope) -> bool {
        match scope {
            Scope::Publish => self.publish,
            Scope::Read => self.read,
            // Said for the key as a whole, before any tenant is named.
            Scope::Relay => false,
        }
    }

    /// Whether they may know who is there, and what others do: an API key that reads or administers, or an administrator.
    pub fn sees_all(&self) -> bool {
        self.admin || (self.user.is_none() && self.read)
    }

    /// Who asks, when it is a person: an administrator, too.
    pub fn person(&self) -> Option<&Identity> {
        self.seen_by_rule.as_ref()
    }

    /// Who publishes here by the channels' rules alone, if somebody does.
    pub fn by_rule(&self) -> Option<&Identity> {
        self.by_rule.as_ref()
    }

    /// The channels in one of which an event of a list must be, beside that list's own filters; none: any. As on a WebSocket,
    /// a person who names no channel gets their own; of a channel that their token does not open a rule decides.
    pub fn audience(&self, channel: Option<&Channel>) -> Audience<'_> {
        match (&self.person, channel) {
            (None, _) => Audience::All,
            (Some(person), None) => Audience::Own(person.channels()),
            (Some(person), Some(channel)) if person.may_read(channel) => Audience::All,
            (Some(person), Some(_)) => Audience::ByRule(person),
        }
    }

    /// Whether an event in these channels is for them, or who it is of whom a rule decides.
    pub fn sees(&self, channels: &[Channel]) -> Audience<'_> {
        match &self.person {
            Some(person) if !channels.iter().any(|channel| person.may_read(channel)) => {
                Audience::ByRule(person)
            }
            _ => Audience::All,
        }
    }
}

/// Which events somebody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience<'a> {
    /// All that were asked for.
    All,
    /// Those of their own channels.
    Own(Vec<Channel>),
    /// Those that a rule lets this person read.
    ByRule(&'a Identity),
}

fn enter_with_key(key: &ApiKey, asked: Option<&TenantId>) -> Result<Entry, TenantFault> {
    let tenant = match (&key.tenant, asked) {
        (Some(bound), Some(asked)) if bound != asked => return Err(TenantFault::Forbidden),
        (Some(bound), _) if bound.is_operator() => return Err(TenantFault::Forbidden),
        (Some(bound), _) => bound,
        (None, Some(asked)) => asked,
        (None, None) => return Err(TenantFault::Required),
    };
    let (publish, read) = (key.publish, key.read);
    let by_rule = None;
    let (tenant, admin, seen_by_rule) = (tenant.clone(), key.admin, None);
    Ok(Entry { tenant, user: None, admin, person: None, by_rule, seen_by_rule, publish, read })
}

/// A person reads what was sent to them; an administrator reads all of it.
fn person(identity: &Identity) -> Entry {
    Entry {
        tenant: identity.tenant.clone(),
        user: Some(identity.user.clone()),
        admin: identity.caps.admin,
        person: (!identity.caps.admin).then(|| identity.clone()),
        by_rule: (!identity.caps.publish).then(|| identity.clone()),
        seen_by_rule: Some(identity.clone()),
        publish: identity.caps.publish,
        read: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn key(bound: Option<&str>) -> Caller {
        Caller::Key(ApiKey {
            id: "k".into(),
            hash: [0; 32],
            tenant: bound.map(tenant),
            publish: true,
            read: false,
            admin: false,
            relay: false,
            expires_at_secs: None,
        })
    }

    #[test]
    fn a_bound_key_enters_its_own_tenant_only() {
        let bound = key(Some("a"));
        assert_eq!(bound.enter(None).unwrap().tenant, tenant("a"));
        assert_eq!(bound.enter(Some(&tenant("a"))).unwrap().tenant, tenant("a"));
        assert_eq!(bound.enter(Some(&tenant("b"))), Err(TenantFault::Forbidden));
        // In the tenant in which the installation tells of itself there are keys for all tenants alone.
        let operator = tenant(TenantId::OPERATOR);
        assert_eq!(key(Some(TenantId::OPERATOR)).enter(None), Err(TenantFault::Forbidden));
        assert_eq!(key(None).enter(Some(&operator)).unwrap().tenant, operator);
    }

    #[test]
    fn a_key_for_all_tenants_needs_one_to_be_named() {
        let all = key(None);
        assert_eq!(all.enter(None), Err(TenantFault::Required));
        let entry = all.enter(Some(&tenant("b"))).unwrap();
        assert!(entry.may(Scope::Publish) && !entry.may(Scope::Read));
        assert_eq!(entry.audience(None), Audience::All);
    }
}
