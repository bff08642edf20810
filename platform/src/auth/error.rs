//! Why is a user token refused?

use std::time::Duration;

/// Why a user token is refused. No text of it holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none.
    #[error("a user token is needed")]
    Missing,
    /// It does not have the form of a signed JWT.
    #[error("the token {0}")]
    Malformed(&'static str),
    /// No key we know has signed it.
    #[error("the token was not signed with a key this service knows")]
    Signature,
    /// No key we know is for its algorithm; the predicate says why.
    #[error("the token's algorithm {0}")]
    Algorithm(String),
    /// Its `exp` is past.
    #[error("the token has expired ({ago} s ago by this service's clock)")]
    Expired {
        /// How long ago, in seconds.
        ago: u64,
    },
    /// Its `nbf` or `iat` is to come.
    #[error("the token's {claim} is {ahead} s ahead of this service's clock; {allowed:?} is allowed")]
    NotYetValid {
        /// The claim.
        claim: &'static str,
        /// How far it lies in the future, in seconds, rounded up.
        ahead: u64,
        /// How far it may.
        allowed: Duration,
    },
    /// It is meant for someone else.
    #[error("the token's aud names none of the accepted audiences")]
    Audience,
    /// Someone else made it.
    #[error("the token's iss is none of the accepted issuers")]
    Issuer,
    /// A claim is missing or wrong.
    #[error("the token's claim {claim} {fault}")]
    Claims {
        /// The claim.
        claim: &'static str,
        /// What is wrong with it, as a predicate.
        fault: String,
    },
    /// The token is for several tenants and none was named.
    #[error("the token is valid for several tenants or none: name the tenant")]
    TenantRequired,
    /// The token is not for the tenant that was named.
    #[error("the token is not valid for this tenant")]
    TenantForbidden,
    /// An administrator disconnected its bearer after it was issued.
    #[error("the token was issued before an administrator disconnected its bearer: it takes a new one")]
    Revoked,
    /// The identity provider's keys were never fetched.
    #[error("the keys to check tokens with cannot be fetched at the moment")]
    KeysUnavailable,
}

/// What kind of refusal an [`AuthError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Who it is, is not proven: HTTP 401, close code 4401.
    Unauthenticated,
    /// Who it is, is known; this is not theirs: HTTP 403, close code 4403.
    Forbidden,
    /// It cannot be told at the moment: HTTP 503, come back later.
    Unavailable,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Unauthenticated => 401,
            Refusal::Forbidden => 403,
            Refusal::Unavailable => 503,
        }
    }
}

impl AuthError {
    /// The stable word for it in problem documents, `error` frames and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            AuthError::Missing => "token_missing",
            AuthError::Malformed(_) => "token_malformed",
            AuthError::Signature | AuthError::Algorithm(_) => "token_signature",
            AuthError::Expired { .. } => "token_expired",
            AuthError::NotYetValid { .. } => "token_not_yet_valid",
            AuthError::Audience => "token_audience",
            AuthError::Issuer => "token_issuer",
            AuthError::Claims { .. } => "token_claims",
            AuthError::TenantRequired => "tenant_required",
            AuthError::TenantForbidden => "tenant_forbidden",
            AuthError::Revoked => "token_revoked",
            AuthError::KeysUnavailable => "keys_unavailable",
        }
    }

    /// What kind of refusal it is.
    pub fn refusal(&self) -> Refusal {
        match self {
            AuthError::TenantRequired | AuthError::TenantForbidden => Refusal::Forbidden,
            AuthError::KeysUnavailable => Refusal::Unavailable,
            _ => Refusal::Unauthenticated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_token_is_401_a_wrong_tenant_403_and_missing_keys_503() {
        assert_eq!(AuthError::Expired { ago: 1 }.refusal().status(), 401);
        assert_eq!(AuthError::TenantForbidden.refusal().status(), 403);
        assert_eq!(AuthError::TenantRequired.refusal().status(), 403);
        assert_eq!(AuthError::KeysUnavailable.refusal().status(), 503);
    }
}
