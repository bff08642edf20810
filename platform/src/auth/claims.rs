//! What does a token whose signature is proven say?

use super::error::AuthError;
use super::identity::{Caps, Credentials, Identity};
use super::in_tenant::InTenant;
use super::revoked::IssuedAt;
use carillon_protocol::limits::META_BYTES;
use carillon_protocol::{Channel, ChannelPattern, TenantId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Latest time a claim may name: the end of the year 9999. Later is an error of whoever made the token.
const LATEST: u64 = 253_402_300_799;
/// What a time is, for errors.
const SECONDS: &str = "a number of seconds since 1970";
/// Most roles in one tenant: each is a channel the connection is in.
const ROLES: usize = 256;

/// What the configuration asks of a token beyond its signature.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) audiences: Vec<String>,
    pub(super) issuers: Vec<String>,
    /// How far an issuer's clock may be ahead of ours. It never prolongs a token: `exp` is exact.
    pub(super) clock_skew: Duration,
}

/// What a valid token says about its bearer, not yet in any tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    credentials: Arc<Credentials>,
    tenant: Option<TenantId>,
    roles: Arc<[String]>,
    /// By name.
    tenants: Box<[Arc<InTenant>]>,
    /// Tenants in which the token is refused.
    revoked: Vec<TenantId>,
    meta: Option<Box<str>>,
}

/// The payload as it arrives. `serde` refuses a claim that is there twice, so no two readers can disagree.
#[derive(Deserialize)]
struct Payload {
    sub: Option<Value>,
    tenant: Option<Value>,
    roles: Option<Value>,
    tenants: Option<Value>,
    channels: Option<Value>,
    caps: Option<Value>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    aud: Option<Value>,
    iss: Option<Value>,
    meta: Option<Value>,
}

impl Claims {
    /// Reads a payload and checks it against the time (since 1970) and the rules. What it says of each of its `tenants` is kept as
    /// `shared` has it.
    pub(super) fn read(
        payload: &[u8],
        now: Duration,
        rules: &Rules,
        mut shared: impl FnMut(InTenant) -> Arc<InTenant>,
    ) -> Result<Self, AuthError> {
        let raw: Payload = serde_json::from_slice(payload).map_err(|_| {
            AuthError::Malformed("has a payload that is not a JSON object with each claim once")
        })?;
        let expires_at = time("exp", raw.exp)?.ok_or_else(|| wrong("exp", "is missing"))?.as_secs();
        if let Some(ago) = now.as_secs().checked_sub(expires_at) {
            return Err(AuthError::Expired { ago });
        }
        let issued = time("iat", raw.iat)?;
        for (claim, value) in [("nbf", time("nbf", raw.nbf)?), ("iat", issued)] {
            let ahead = value.unwrap_or_default().saturating_sub(now);
            if ahead > rules.clock_skew {
                let (ahead, allowed) = (ahead.as_secs_f64().ceil() as u64, rules.clock_skew);
                return Err(AuthError::NotYetValid { claim, ahead, allowed });
            }
        }
        check_audience(raw.aud, &rules.audiences)?;
        check_issuer(raw.iss, &rules.issuers)?;

        let user: String = typed("sub", raw.sub, "a text")?.ok_or_else(|| wrong("sub", "is missing"))?;
        let user = UserId::new(user).map_err(|_| wrong("sub", must_be(UserId::ALLOWED)))?;
        let tenant: Option<String> = typed("tenant", raw.tenant, "a text")?;
        let tenant = tenant.map(|name| tenant_id("tenant", &name)).transpose()?;
        let listed: Option<BTreeMap<String, Vec<String>>> =
            typed("tenants", raw.tenants, "an object of lists of roles")?;
        let mut tenants = Vec::new();
        for (name, list) in listed.unwrap_or_default() {
            let (tenant, roles) = (tenant_id("tenants", &name)?, roles("tenants", list)?.into());
            tenants.push(InTenant { tenant, roles });
        }
        let patterns =
            texts("channels", raw.channels)?.iter().map(ChannelPattern::new).collect::<Result<_, _>>();
        let caps = texts("caps", raw.caps)?;
        let has = |cap: &str| caps.iter().any(|given| given == cap);
        Ok(Self {
            tenant,
            roles: roles("roles", texts("roles", raw.roles)?)?.into(),
            tenants: tenants.into_iter().map(&mut shared).collect(),
            credentials: Credentials {
                user,
                patterns: patterns.map_err(|_| wrong("channels", must_be(ChannelPattern::ALLOWED)))?,
                // A cap we do not know gives nothing: a newer issuer does not lock its users out.
                caps: Caps { publish: has("publish"), admin: has("admin") },
                issued_at: issued.map_or(IssuedAt::UNKNOWN, IssuedAt::new),
                expires_at,
                service: None,
            }
            .into(),
            revoked: Vec::new(),
            meta: meta(raw.meta)?,
        })
    }

    /// What the bearer says about themselves where they are seen: JSON.
    pub fn meta(&self) -> Option<&str> {
        self.meta.as_deref()
    }

    /// Who the token is for.
    pub fn user(&self) -> &UserId {
        &self.credentials.user
    }

    /// When the token ends, in seconds since 1970.
    pub fn expires_at(&self) -> u64 {
        self.credentials.expires_at
    }

    /// The bearer in one tenant: the named one, else the default (the claim `tenant`, or the only one in
    /// `tenants`). [`AuthError::TenantRequired`] without a default, [`AuthError::TenantForbidden`] for a tenant
    /// the token does not name, and for the one in which the installation tells of itself.
    ///
    /// `roles` are the roles in the claim `tenant`; in a tenant of `tenants` they are those listed there; in one
    /// that both name, both.
    pub fn enter(&self, tenant: Option<&TenantId>) -> Result<Identity, AuthError> {
        let tenant = tenant.cloned().or_else(|| self.default_tenant()).ok_or(AuthError::TenantRequired)?;
        let is_default = self.tenant.as_ref() == Some(&tenant);
        let listed = self.listed(&tenant);
        if (!is_default && listed.is_none()) || tenant.is_operator() {
            return Err(AuthError::TenantForbidden);
        }
        if self.revoked.contains(&tenant) {
            return Err(AuthError::Revoked);
        }
        let roles = match (listed, is_default) {
            (Some(listed), false) => listed.roles.clone(),
            (Some(listed), true) => {
                let more = listed.roles.iter().filter(|role| !self.roles.contains(role));
                self.roles.iter().chain(more).cloned().collect()
            }
            (None, _) => self.roles.clone(),
        };
        Ok(Identity { tenant, roles, credentials: self.credentials.clone() })
    }

    /// The tenants that the token is for.
    pub fn tenants(&self) -> impl Iterator<Item = TenantId> {
        let also = self.tenant.iter().filter(|tenant| self.listed(tenant).is_none()).cloned();
        self.tenants.iter().map(|listed| listed.tenant.clone()).chain(also)
    }

    /// What the claim `tenants` says of one.
    fn listed(&self, tenant: &TenantId) -> Option<&InTenant> {
        self.tenants.iter().map(|listed| &**listed).find(|listed| listed.tenant == *tenant)
    }

    /// In this tenant the token is refused from now on: its bearer was disconnected after it was issued.
    pub fn revoke_in(&mut self, tenant: TenantId) {
        self.revoked.push(tenant);
    }

    /// Whether it is refused in each tenant that it is for.
    pub fn is_revoked_everywhere(&self) -> bool {
        !self.revoked.is_empty() && self.tenants().all(|tenant| self.revoked.contains(&tenant))
    }

    /// Whether there is more than one tenant that the bearer may come into.
    pub fn names_several_tenants(&self) -> bool {
        self.tenants().nth(1).is_some()
    }

    fn default_tenant(&self) -> Option<TenantId> {
        let mut listed = self.tenants().take(2);
        self.tenant.clone().or_else(|| listed.next().filter(|_| listed.next().is_none()))
    }
}

fn meta(value: Option<Value>) -> Result<Option<Box<str>>, AuthError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let json = value.to_string();
    if json.len() > META_BYTES {
        return Err(wrong("meta", format!("has more than {META_BYTES} bytes")));
    }
    Ok(Some(json.into()))
}

fn wrong(claim: &'static str, fault: impl Into<String>) -> AuthError {
    AuthError::Claims { claim, fault: fault.into() }
}

fn must_be(allowed: &str) -> String {
    format!("must be {allowed}")
}

/// A claim of the wanted type; `null` is as good as absent.
fn typed<T: DeserializeOwned>(
    claim: &'static str,
    value: Option<Value>,
    wanted: &str,
) -> Result<Option<T>, AuthError> {
    serde_json::from_value(value.unwrap_or(Value::Null)).map_err(|_| wrong(claim, must_be(wanted)))
}

fn texts(claim: &'static str, value: Option<Value>) -> Result<Vec<String>, AuthError> {
    Ok(typed::<Vec<String>>(claim, value, "a list of texts")?.unwrap_or_default())
}

/// A time in seconds since 1970, with or without a fraction (RFC 7519 §2: PHP, Go and Python write them). Texts and times
/// past the year 9999 are refused rather than guessed at.
fn time(claim: &'static str, value: Option<Value>) -> Result<Option<Duration>, AuthError> {
    let Some(number) = typed::<serde_json::Number>(claim, value, SECONDS)? else { return Ok(None) };
    let time = match number.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => {
            let seconds = number.as_f64().ok_or_else(|| wrong(claim, must_be(SECONDS)))?;
            if seconds < 0.0 {
                return Err(wrong(claim, must_be(SECONDS)));
            }
            Duration::try_from_secs_f64(seconds).ok()
        }
    };
    time.filter(|time| time.as_secs() <= LATEST)
        .map(Some)
        .ok_or_else(|| wrong(claim, "lies past the year 9999"))
}

fn tenant_id(claim: &'static str, name: &str) -> Result<TenantId, AuthError> {
    TenantId::new(name).map_err(|_| wrong(claim, must_be(TenantId::ALLOWED)))
}

fn roles(claim: &'static str, names: Vec<String>) -> Result<Vec<String>, AuthError> {
    let mut roles: Vec<String> = Vec::with_capacity(names.len().min(ROLES));
    for name in names {
        if Channel::role(&name).is_err() {
            return Err(wrong(claim, format!("holds a role that is not {}", UserId::ALLOWED)));
        }
        if !roles.contains(&name) {
            roles.push(name);
        }
        if roles.len() > ROLES {
            return Err(wrong(claim, format!("holds more than {ROLES} roles")));
        }
    }
    Ok(roles)
}

fn check_audience(aud: Option<Value>, accepted: &[String]) -> Result<(), AuthError> {
    if accepted.is_empty() {
        return Ok(());
    }
    let named = |value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|one| one == text));
    let found = match &aud {
        Some(Value::Array(list)) => list.iter().any(named),
        Some(one) => named(one),
        None => false,
    };
    if found { Ok(()) } else { Err(AuthError::Audience) }
}

fn check_issuer(iss: Option<Value>, accepted: &[String]) -> Result<(), AuthError> {
    let found =
        iss.as_ref().and_then(Value::as_str).is_some_and(|text| accepted.iter().any(|one| one == text));
    if accepted.is_empty() || found { Ok(()) } else { Err(AuthError::Issuer) }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
