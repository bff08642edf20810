//! Who is someone within a tenant, and which channels are theirs?

use super::revoked::IssuedAt;
use carillon_protocol::ident::InvalidName;
use carillon_protocol::{Channel, ChannelPattern, TenantId, UserId};
use std::ops::Deref;
use std::sync::Arc;

/// What someone may do beyond receiving.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Publish events.
    pub publish: bool,
    /// Administer.
    pub admin: bool,
}

/// The id of an API key, one for all that listens with it: so it is known which keys are in use.
pub type ServiceKey = Arc<String>;

/// Someone within one tenant, proven by a token or an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: TenantId,
    /// Their roles in this tenant, each once.
    pub roles: Arc<[String]>,
    /// What is the same in every tenant that they come into. Its fields are read as those of the identity.
    pub credentials: Arc<Credentials>,
}

/// What a token, a ticket or an API key says of its bearer, in whatever tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The person.
    pub user: UserId,
    /// Which channels beyond their own they may subscribe to. A service may subscribe to all of the tenant's, and these are what
    /// it gets.
    pub patterns: Box<[ChannelPattern]>,
    /// What else they may do.
    pub caps: Caps,
    /// When the token was issued.
    pub issued_at: IssuedAt,
    /// When this ends, in seconds since 1970: from this second on the identity is not valid.
    pub expires_at: u64,
    /// The API key, when it is a service and no person.
    pub service: Option<ServiceKey>,
}

impl Deref for Identity {
    type Target = Credentials;

    fn deref(&self) -> &Credentials {
        &self.credentials
    }
}

/// When what has no end ends: the end of the year 9999.
const NEVER: u64 = 253_402_300_799;

impl Identity {
    /// A service within a tenant; `expires_at` in seconds since 1970, if its key has an end; `publish`, whether its key may.
    pub fn of_service(
        key: ServiceKey,
        tenant: TenantId,
        expires_at: Option<u64>,
        publish: bool,
    ) -> Result<Self, InvalidName> {
        Ok(Self {
            tenant,
            roles: Arc::default(),
            credentials: Credentials {
                user: UserId::new(format!("key:{key}"))?,
                patterns: Box::default(),
                caps: Caps { publish, admin: false },
                issued_at: IssuedAt::UNKNOWN,
                expires_at: expires_at.unwrap_or(NEVER),
                service: Some(key),
            }
            .into(),
        })
    }

    /// The channels everyone is in without asking: the tenant's, one's own, one for each role. A service has none.
    pub fn channels(&self) -> Vec<Channel> {
        if self.service.is_some() {
            return Vec::new();
        }
        // Roles were checked when the token was read; a text that cannot be a role has no channel.
        let roles = self.roles.iter().filter_map(|role| Channel::role(role).ok());
        [Channel::tenant(), Channel::user(&self.user)].into_iter().chain(roles).collect()
    }

    /// Whether they may read a channel: live, its history, and in the log over REST. Their own always, others when a
    /// pattern of the token allows it, an administrator or a service every one.
    pub fn may_read(&self, channel: &Channel) -> bool {
        self.caps.admin
            || self.service.is_some()
            || self.is_own(channel)
            || self.patterns.iter().any(|pattern| pattern.allows(channel))
    }

    fn is_own(&self, channel: &Channel) -> bool {
        let name = channel.as_str();
        match name.split_once(':') {
            Some(("user", user)) => user == self.user.as_str(),
            Some(("role", role)) => self.roles.iter().any(|own| own == role),
            _ => name == "tenant",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mila() -> Identity {
        Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: ["reception".to_owned(), "head: north".to_owned()].into(),
            credentials: Credentials {
                user: UserId::new("mila").unwrap(),
                patterns: [ChannelPattern::new("contact:*").unwrap()].into(),
                caps: Caps::default(),
                issued_at: IssuedAt::UNKNOWN,
                expires_at: 0,
                service: None,
            }
            .into(),
        }
    }

    #[test]
    fn everyone_is_in_the_tenants_their_own_and_their_roles_channels() {
        let names: Vec<String> = mila().channels().into_iter().map(String::from).collect();
        assert_eq!(names, ["tenant", "user:mila", "role:reception", "role:head: north"]);
        assert!(mila().channels().iter().all(|channel| mila().may_read(channel)));
    }

    #[test]
    fn other_channels_need_a_pattern() {
        let may = |name: &str| mila().may_read(&Channel::new(name).unwrap());
        assert!(may("contact:7"));
        for foreign in ["user:milan", "user:Mila", "role:admin", "tenant:x", "order:7", "contact"] {
            assert!(!may(foreign), "{foreign}");
        }
        let service = Identity::of_service(Arc::new("k1".into()), mila().tenant, None, false).unwrap();
        assert!(service.channels().is_empty() && service.may_read(&Channel::new("user:milan").unwrap()));
        let mut admin = mila();
        Arc::make_mut(&mut admin.credentials).caps.admin = true;
        assert!(admin.may_read(&Channel::new("user:milan").unwrap()));
    }
}
