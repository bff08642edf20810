//! Was this token issued before its person, or their device, was disconnected? (pure)
//!
//! Tokens of the same second cannot be told apart where an issuer writes `iat` in whole seconds, as most do: all of the second in
//! which somebody is disconnected count as issued before. `DELETE /v1/connections` is answered when that second is over, so whoever
//! waits for the answer before issuing the next token has one that works. A fraction in `iat` is compared as it is.

use super::Identity;
use carillon_protocol::{ConnectionName, DeviceId, UserId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const SECOND_US: u64 = 1_000_000;

/// When a token was issued, in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IssuedAt(u64);

impl IssuedAt {
    /// The token does not say; such a one counts as issued before everything.
    pub const UNKNOWN: Self = Self(0);

    /// As `iat` says: the time since 1970.
    pub fn new(since_1970: Duration) -> Self {
        Self(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX))
    }

    /// As it was stored.
    pub fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// To be stored.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// Whether that was before this moment, as far as its precision tells.
    fn is_before(self, moment_us: u64) -> bool {
        let is_whole = self.0.is_multiple_of(SECOND_US);
        self.0 < if is_whole { moment_us.div_ceil(SECOND_US) * SECOND_US } else { moment_us }
    }
}

/// Who or what is disconnected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A person, wherever they are connected.
    User(UserId),
    /// What calls itself this device; if a person is named, theirs.
    Device(DeviceId, Option<UserId>),
    /// One connection; no token.
    Connection(ConnectionName),
}

impl Target {
    /// What it is; says nothing of whose.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Device(_, None) => "device",
            Self::Device(_, Some(_)) => "device of a user",
            Self::Connection(_) => "connection",
        }
    }

    /// A name for it, unlike that of any other.
    pub fn name(&self) -> String {
        match self {
            Self::User(user) => format!("user {user}"),
            Self::Device(device, None) => format!("device {device}"),
            Self::Device(device, Some(user)) => format!("device {device} of {user}"),
            Self::Connection(name) => format!("connection {name}"),
        }
    }
}

/// That somebody was disconnected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Who.
    pub target: Target,
    /// When, in microseconds since 1970: tokens that were issued before are refused.
    pub at_us: u64,
    /// Until when that holds, in seconds since 1970.
    pub until: u64,
}

impl Revocation {
    /// As it is stored: an empty text means whoever or whichever it is. None where a name is none.
    pub fn stored(user: &str, device: &str, connection: &str, at_us: u64, until: u64) -> Option<Self> {
        let target = match (user, device, connection) {
            ("", "", connection) => Target::Connection(ConnectionName::new(connection).ok()?),
            (user, "", _) => Target::User(UserId::new(user).ok()?),
            ("", device, _) => Target::Device(DeviceId::new(device).ok()?, None),
            (user, device, _) => Target::Device(DeviceId::new(device).ok()?, Some(UserId::new(user).ok()?)),
        };
        Some(Self { target, at_us, until })
    }
}

/// How much earlier than what is known revocations are read again: a server that took over may number a little behind.
const OVERLAP_US: u64 = 60 * SECOND_US;
/// How long ago what is known may have been read to be gone on from, in seconds.
const CONTINUED: u64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    at_us: u64,
    until: u64,
}

impl Cut {
    fn is_over(self, now: u64) -> bool {
        now >= self.until
    }

    fn refuses(self, issued: IssuedAt, now: u64) -> bool {
        !self.is_over(now) && issued.is_before(self.at_us)
    }
}

/// Everybody who was disconnected in a tenant, ready to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    users: HashMap<UserId, Cut>,
    devices: HashMap<DeviceId, Vec<(Option<UserId>, Cut)>>,
    connections: HashMap<ConnectionName, u64>,
}

impl Revoked {
    /// The same with these, each in place of an older one of the same target, and without those that are over at `now` (seconds
    /// since 1970).
    pub fn with(&self, changed: impl IntoIterator<Item = Revocation>, now: u64) -> Self {
        let mut all = self.clone();
        for Revocation { target, at_us, until } in changed {
            let cut = Cut { at_us, until };
            match target {
                Target::User(user) => drop(all.users.insert(user, cut)),
                Target::Device(device, user) => {
                    let of = all.devices.entry(device).or_default();
                    of.retain(|(other, _)| *other != user);
                    of.push((user, cut));
                }
                Target::Connection(name) => drop(all.connections.insert(name, until)),
            }
        }
        all.users.retain(|_, cut| !cut.is_over(now));
        all.devices.retain(|_, of| {
            of.retain(|(_, cut)| !cut.is_over(now));
            !of.is_empty()
        });
        all.connections.retain(|_, until| now < *until);
        all
    }

    /// From which settings version on the revocations of a tenant are read, where those up to `version` are known: versions are times
    /// in microseconds. 0: all of them, for what is known was read (`read_at`, in seconds since 1970) too long ago.
    pub fn read_from(version: u64, read_at: u64, now: u64) -> u64 {
        let is_recent = read_at.saturating_add(CONTINUED) >= now;
        if is_recent { version.saturating_sub(OVERLAP_US) } else { 0 }
    }

    /// What is known after another reading: the same object where nothing has changed, so that this is seen at once.
    pub fn followed(
        before: Option<&Arc<Self>>,
        read_from: u64,
        read: impl IntoIterator<Item = Revocation>,
        now: u64,
    ) -> Arc<Self> {
        let base = before.filter(|_| read_from > 0).cloned().unwrap_or_default();
        let read: Vec<Revocation> = read.into_iter().collect();
        // Nothing is copied where nothing new was read and nothing is over.
        if let Some(before) = before
            && read_from > 0
            && read.iter().all(|one| before.has(one) || (now >= one.until && !before.knows(&one.target)))
            && !before.has_any_over(now)
        {
            return before.clone();
        }
        let after = base.with(read, now);
        match before {
            Some(before) if **before == after => before.clone(),
            _ => Arc::new(after),
        }
    }

    fn has(&self, Revocation { target, at_us, until }: &Revocation) -> bool {
        let cut = Cut { at_us: *at_us, until: *until };
        match target {
            Target::User(user) => self.users.get(user) == Some(&cut),
            Target::Device(device, user) => {
                let mut of = self.devices.get(device).into_iter().flatten();
                of.any(|(other, known)| other == user && *known == cut)
            }
            Target::Connection(name) => self.connections.get(name) == Some(until),
        }
    }

    fn knows(&self, target: &Target) -> bool {
        match target {
            Target::User(user) => self.users.contains_key(user),
            Target::Device(device, user) => {
                self.devices.get(device).into_iter().flatten().any(|(other, _)| other == user)
            }
            Target::Connection(name) => self.connections.contains_key(name),
        }
    }

    fn has_any_over(&self, now: u64) -> bool {
        self.users.values().any(|cut| cut.is_over(now))
            || self.devices.values().flatten().any(|(_, cut)| cut.is_over(now))
            || self.connections.values().any(|until| now >= *until)
    }

    /// Whether nobody was.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.devices.is_empty() && self.connections.is_empty()
    }

    /// Because of whom somebody, on what they call this device, has a token that is refused at `now` (seconds since 1970), if so.
    pub fn refusing(&self, identity: &Identity, device: Option<&DeviceId>, now: u64) -> Option<Target> {
        if !self.refuses(identity, device, now) {
            return None;
        }
        if self.users.get(&identity.user).is_some_and(|cut| cut.refuses(identity.issued_at, now)) {
            return Some(Target::User(identity.user.clone()));
        }
        let device = device?;
        let mut of = self.devices.get(device).into_iter().flatten();
        let (user, _) = of.find(|(user, cut)| {
            user.as_ref().is_none_or(|user| *user == identity.user) && cut.refuses(identity.issued_at, now)
        })?;
        Some(Target::Device(device.clone(), user.clone()))
    }

    /// Whether somebody, on what they call this device, has a token that is refused at `now` (seconds since 1970). An API key has
    /// none.
    pub fn refuses(&self, identity: &Identity, device: Option<&DeviceId>, now: u64) -> bool {
        if self.is_empty() || identity.service.is_some() {
            return false;
        }
        let issued = identity.issued_at;
        let by_user = self.users.get(&identity.user);
        let of_device = device.and_then(|device| self.devices.get(device)).into_iter().flatten();
        let by_device = of_device
            .filter(|(user, _)| user.as_ref().is_none_or(|user| *user == identity.user))
            .map(|(_, cut)| cut);
        by_user.into_iter().chain(by_device).any(|cut| cut.refuses(issued, now))
    }

    /// The connections that were disconnected by name.
    pub fn connections(&self) -> impl Iterator<Item = &ConnectionName> {
        self.connections.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Caps, Credentials};
    use carillon_protocol::TenantId;

    const AT_US: u64 = 1_000_300_000;
    const NOW: u64 = 1_001;

    fn person(user: &str, issued_us: u64) -> Identity {
        Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: Arc::default(),
            credentials: Credentials {
                user: UserId::new(user).unwrap(),
                patterns: Box::default(),
                caps: Caps::default(),
                issued_at: IssuedAt::from_micros(issued_us),
                expires_at: u64::MAX,
                service: None,
            }
            .into(),
        }
    }

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn after(target: Target) -> Revoked {
        Revoked::default().with([Revocation { target, at_us: AT_US, until: 2_000 }], NOW)
    }

    #[test]
    fn tokens_of_whole_seconds_end_with_their_second_and_fractions_are_compared() {
        let revoked = after(Target::User(user("mila")));
        let refused = |issued_us| revoked.refuses(&person("mila", issued_us), None, NOW);
        for before in [0, 999_000_000, 1_000_000_000, 1_000_299_999] {
            assert!(refused(before), "{before}");
        }
        for since in [1_000_300_001, 1_000_999_999, 1_001_000_000, 1_002_500_000] {
            assert!(!refused(since), "{since}");
        }
        let sharp = Revocation { target: Target::User(user("mila")), at_us: 1_000_000_000, until: 2_000 };
        let sharp = Revoked::default().with([sharp], NOW);
        assert!(!sharp.refuses(&person("mila", 1_000_000_000), None, NOW), "not before its own moment");
    }

    #[test]
    fn a_token_that_does_not_say_when_is_refused_until_it_is_over() {
        let revoked = after(Target::User(user("mila")));
        let unknown = person("mila", IssuedAt::UNKNOWN.as_micros());
        assert!(revoked.refuses(&unknown, None, 1_999) && !revoked.refuses(&unknown, None, 2_000));
    }

    #[test]
    fn nobody_else_and_no_other_device_is_meant() {
        let one = after(Target::User(user("mila")));
        assert!(!one.refuses(&person("jan", 0), None, NOW));
        let phone = device("phone");
        let hers = after(Target::Device(phone.clone(), Some(user("mila"))));
        assert!(hers.refuses(&person("mila", 0), Some(&phone), NOW));
        let why = hers.refusing(&person("mila", 0), Some(&phone), NOW).unwrap();
        assert_eq!(
            (why.name().as_str(), hers.refusing(&person("mila", 0), None, NOW)),
            ("device phone of mila", None)
        );
        assert!(!hers.refuses(&person("mila", 0), Some(&device("laptop")), NOW));
        assert!(!hers.refuses(&person("mila", 0), None, NOW));
        assert!(!hers.refuses(&person("jan", 0), Some(&phone), NOW));
        let whosever = after(Target::Device(phone.clone(), None));
        assert!(whosever.refuses(&person("jan", 0), Some(&phone), NOW));
        let service =
            Identity::of_service(Arc::new("mila".into()), person("mila", 0).tenant, None, false).unwrap();
        let named = after(Target::User(user("key:mila")));
        assert!(!named.refuses(&service, None, NOW), "an API key is nobody");
        assert!(named.refuses(&person("key:mila", 0), None, NOW));
    }

    #[test]
    fn a_later_one_takes_the_place_of_an_earlier_one_and_what_is_over_goes() {
        let again = Revocation { target: Target::User(user("mila")), at_us: 1_100_000_000, until: 2_100 };
        let both = after(Target::User(user("mila"))).with([again.clone()], NOW);
        assert!(both.refuses(&person("mila", 1_050_000_000), None, NOW));
        assert_eq!(both, Revoked::default().with([again], NOW));
        let name = ConnectionName::new("gateway-1-0000000a-0-4-7").unwrap();
        let all = both.with(
            [
                Revocation { target: Target::Connection(name.clone()), at_us: 1, until: 1_500 },
                Revocation { target: Target::Device(device("phone"), None), at_us: 1, until: 1_500 },
            ],
            NOW,
        );
        assert_eq!(all.connections().collect::<Vec<_>>(), [&name]);
        assert_eq!(all.with([], 1_500), both);
        assert!(all.with([], 2_100).is_empty());
    }

    #[test]
    fn what_is_known_is_gone_on_from_while_it_is_recent_and_read_whole_after_that() {
        let at = |seconds: u64| seconds * SECOND_US;
        assert_eq!(Revoked::read_from(at(10_000), 10_000, 10_001), at(9_940));
        assert_eq!(Revoked::read_from(at(10_000), 10_000, 10_600), at(9_940));
        assert_eq!(Revoked::read_from(at(10_000), 10_000, 10_601), 0);
        let quiet = Revoked::read_from(at(10_000), 90_000, 90_001);
        assert_eq!(quiet, at(9_940), "however long nothing has changed");
        assert_eq!(Revoked::read_from(0, 10_000, 10_000), 0);
        let known = Arc::new(after(Target::User(user("mila"))));
        let jan = Revocation { target: Target::User(user("jan")), at_us: AT_US, until: 2_000 };
        let more = Revoked::followed(Some(&known), 1, [jan.clone()], NOW);
        assert!(more.refuses(&person("mila", 0), None, NOW) && more.refuses(&person("jan", 0), None, NOW));
        assert!(Arc::ptr_eq(&Revoked::followed(Some(&more), 1, [jan.clone()], NOW), &more), "read again");
        let whole = Revoked::followed(Some(&known), 0, [jan], NOW);
        assert!(!whole.refuses(&person("mila", 0), None, NOW), "the whole reading is what there is");
        assert!(Arc::ptr_eq(&Revoked::followed(Some(&known), 1, [], NOW), &known));
        assert!(Revoked::followed(Some(&known), 1, [], 2_000).is_empty(), "what is over goes");
        let lifted = Revocation { target: Target::User(user("mila")), at_us: AT_US, until: NOW - 500 };
        assert!(Revoked::followed(Some(&known), 1, [lifted.clone()], NOW).is_empty(), "what was lifted goes");
        let other = Arc::new(after(Target::User(user("jan"))));
        assert!(
            Arc::ptr_eq(&Revoked::followed(Some(&other), 1, [lifted], NOW), &other),
            "of what is not known"
        );
    }

    #[test]
    fn what_is_stored_is_read() {
        let read = |user, device, connection| Revocation::stored(user, device, connection, 1, 2);
        let target = |user, device, connection| read(user, device, connection).unwrap().target;
        assert_eq!(target("mila", "", ""), Target::User(user("mila")));
        assert_eq!(target("mila", "p", ""), Target::Device(device("p"), Some(user("mila"))));
        assert_eq!(target("", "p", ""), Target::Device(device("p"), None));
        let name = "gateway-1-0000000a-0-4-7";
        assert_eq!(target("", "", name), Target::Connection(ConnectionName::new(name).unwrap()));
        assert_eq!(read("", "", ""), None);
    }
}
