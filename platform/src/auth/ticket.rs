//! What is a ticket, and whom does it let in?
//!
//! A browser cannot set headers on a WebSocket, and a token in a URL stays in the logs of what is between. A ticket may stand there:
//! it works once, for seconds. What is stored of it is a hash and whom it lets in, as the token said.

use super::identity::{Caps, Credentials, Identity};
use super::revoked::IssuedAt;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_protocol::{ChannelPattern, TenantId, UserId};
use serde::{Deserialize, Serialize};

/// What a ticket begins with.
const PREFIX: &str = "crlt_";
/// Random bytes in one.
const BYTES: usize = 32;

/// Finds a ticket where it is stored.
pub type TicketHash = [u8; 32];

/// A fresh ticket, and what it is found by.
pub fn fresh() -> (String, TicketHash) {
    let mut bytes = [0; BYTES];
    // Fails only where the system has no randomness at all; then nothing else is safe either.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's randomness");
    (format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)), hash(&bytes))
}

/// What a ticket is found by; none if this cannot be one.
pub fn read(text: &str) -> Option<TicketHash> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (bytes.len() == BYTES).then(|| hash(&bytes))
}

fn hash(bytes: &[u8]) -> TicketHash {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Whom a ticket lets in, as it is stored.
#[derive(Serialize, Deserialize)]
struct Bearer {
    tenant: TenantId,
    user: UserId,
    roles: Vec<String>,
    channels: Vec<ChannelPattern>,
    publish: bool,
    admin: bool,
    /// In microseconds since 1970; 0: the token did not say, or a release before this one wrote it.
    #[serde(default)]
    issued_at: u64,
    expires_at: u64,
}

/// Which API key a ticket lets in, as it is stored.
#[derive(Serialize, Deserialize)]
struct OfKey {
    key: String,
    tenant: TenantId,
    /// When the credentials end that it was issued for, in seconds since 1970: a session of the console ends before its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// The bearer of an API key whom a ticket lets in.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyTicket {
    /// The key's id.
    pub key: String,
    /// The tenant that the ticket is for.
    pub tenant: TenantId,
    /// When the credentials end that it was issued for, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// A person in a tenant, to be stored with a ticket; none if it is a service.
pub fn stored(identity: &Identity) -> Option<String> {
    let Identity { tenant, roles, credentials } = identity;
    let Credentials { user, patterns, caps, issued_at, expires_at, service } = &**credentials;
    let bearer = Bearer {
        tenant: tenant.clone(),
        user: user.clone(),
        roles: roles.to_vec(),
        channels: patterns.to_vec(),
        publish: caps.publish,
        admin: caps.admin,
        issued_at: issued_at.as_micros(),
        expires_at: *expires_at,
    };
    service.is_none().then(|| serde_json::to_string(&bearer).ok()).flatten()
}

/// What is stored with a ticket of an API key: its id, the tenant that it is for, and when the credentials end.
pub fn stored_key(key: &str, tenant: &TenantId, expires_at: Option<u64>) -> Option<String> {
    serde_json::to_string(&OfKey { key: key.to_owned(), tenant: tenant.clone(), expires_at }).ok()
}

/// What was stored with a ticket, if it is an API key's.
pub fn key(stored: &str) -> Option<KeyTicket> {
    serde_json::from_str(stored).ok().map(|OfKey { key, tenant, expires_at }| KeyTicket {
        key,
        tenant,
        expires_at,
    })
}

/// Whom a ticket lets in, from what was stored with it.
pub fn bearer(stored: &str) -> Option<Identity> {
    let Bearer { tenant, user, roles, channels, publish, admin, issued_at, expires_at } =
        serde_json::from_str(stored).ok()?;
    let (roles, patterns, caps) = (roles.into(), channels.into(), Caps { publish, admin });
    let issued_at = IssuedAt::from_micros(issued_at);
    let credentials = Credentials { user, patterns, caps, issued_at, expires_at, service: None }.into();
    Some(Identity { tenant, roles, credentials })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_found_by_its_hash_and_nothing_else_is_one() {
        let ((one, found), (other, _)) = (fresh(), fresh());
        assert_eq!(read(&one), Some(found));
        assert_ne!(read(&other), Some(found));
        for bad in ["", "crlt_", "crlt_AAAA", &one[1..], &format!("{one}A"), "crln_a_b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn whom_it_lets_in_is_read_as_it_was_stored() {
        let identity = Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: ["head: north".to_owned()].into(),
            credentials: Credentials {
                user: UserId::new("mila k").unwrap(),
                patterns: [ChannelPattern::new("contact:*").unwrap()].into(),
                caps: Caps { publish: true, admin: false },
                issued_at: IssuedAt::from_micros(1_700_000_000_250_000),
                expires_at: 4_000_000_000,
                service: None,
            }
            .into(),
        };
        assert_eq!(bearer(&stored(&identity).unwrap()), Some(identity.clone()));
        let service =
            Identity::of_service(std::sync::Arc::new("k1".into()), identity.tenant.clone(), None, false)
                .unwrap();
        assert_eq!(stored(&service), None);
        assert_eq!(bearer("{}"), None);
        for expires_at in [None, Some(7)] {
            let of_key = stored_key("k1", &identity.tenant, expires_at).unwrap();
            let read = KeyTicket { key: "k1".to_owned(), tenant: identity.tenant.clone(), expires_at };
            assert_eq!((bearer(&of_key), key(&of_key)), (None, Some(read)));
        }
        assert_eq!(key(&stored(&identity).unwrap()), None);
    }
}
