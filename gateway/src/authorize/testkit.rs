//! Credentials for tests: what a signed token makes of its bearer.

use super::Bearer;
use carillon_platform::auth::{AuthConfig, Caps, ClaimsForMint, Verifier, mint};
use carillon_platform::env::Secret;
use carillon_protocol::{ChannelPattern, TenantId, UserId};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

/// A person with these roles in each of these tenants, whose token is good for `ttl_s` from `now_s` (seconds since 1970) on.
pub(crate) fn person(
    user: &str,
    tenants: &[(&str, &[&str])],
    channels: &[&str],
    now_s: u64,
    ttl_s: u64,
) -> Bearer {
    static SECRET: LazyLock<Secret> = LazyLock::new(|| Secret::new("a secret of thirty-two characters"));
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let config = AuthConfig {
            secrets: vec![SECRET.clone()],
            public_key_file: None,
            jwks_url: None,
            audiences: Vec::new(),
            issuers: Vec::new(),
            clock_skew: Duration::ZERO,
        };
        Verifier::new(config).unwrap()
    });
    let roles = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect();
    let claims = ClaimsForMint {
        user: UserId::new(user).unwrap(),
        tenant: None,
        roles: Vec::new(),
        tenants: tenants.iter().map(|(name, own)| (TenantId::new(*name).unwrap(), roles(own))).collect(),
        channels: channels.iter().map(|channel| ChannelPattern::new(*channel).unwrap()).collect(),
        caps: Caps::default(),
        audience: None,
        issuer: None,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_s);
    let token = mint(&SECRET, &claims, now, Duration::from_secs(ttl_s));
    let verified = pin!(VERIFIER.verify(&token, now)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(claims) = verified else { panic!("a shared secret needs no waiting") };
    Bearer::Person(Box::new(claims.unwrap()))
}
