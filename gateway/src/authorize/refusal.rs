//! Why is a connection refused?
//!
//! Each reason with its name, its HTTP status before the upgrade, and its close code after it.

use crate::stream::feed::OpenError;
use carillon_platform::auth::{AuthError, Refusal as Kind};
use carillon_protocol::{Channel, CloseCode};

/// Why somebody may not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Stable name.
    pub(crate) code: &'static str,
    /// For people; holds no secret.
    pub(crate) message: String,
    /// Before the upgrade.
    pub(crate) status: u16,
    /// After it.
    pub(crate) close: CloseCode,
    /// Channels that may not be joined.
    pub(crate) channels: Vec<Channel>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, status: u16, close: CloseCode) -> Self {
        Self { code, message: message.into(), status, close, channels: Vec::new() }
    }

    /// The log works, and others are in the way.
    pub(crate) fn busy() -> Self {
        let message = "the tenant's log has too much to do; come back soon";
        Self::new("log_busy", message, 503, CloseCode::OverCapacity)
    }

    /// The tenant has as many connections as it may.
    pub(super) fn limited() -> Self {
        let message = "the tenant has as many connections as it may; come back later";
        Self::new("too_many_connections", message, 429, CloseCode::TooMany)
    }

    /// Somebody disconnected the token's bearer after it was issued.
    pub(crate) fn revoked() -> Self {
        let error = AuthError::Revoked;
        Self::new(error.code(), error.to_string(), error.refusal().status(), CloseCode::Disconnected)
    }

    /// Nobody is let into the tenant for now.
    pub(crate) fn suspended() -> Self {
        let message = "the tenant is suspended; whoever runs this installation can lift that";
        Self::new("tenant_suspended", message, 403, CloseCode::Forbidden)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new("unavailable", message, 503, CloseCode::OverCapacity)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let kind = error.refusal();
        let close = match kind {
            Kind::Unauthenticated => CloseCode::Unauthenticated,
            Kind::Forbidden => CloseCode::Forbidden,
            Kind::Unavailable => CloseCode::OverCapacity,
        };
        Self::new(error.code(), error.to_string(), kind.status(), close)
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::UnknownTenant => {
                Self::new("unknown_tenant", error.to_string(), 403, CloseCode::Forbidden)
            }
            OpenError::Busy(_) => Self::busy(),
            OpenError::Unavailable(_) => {
                Self::unavailable("the tenant's log cannot be read now; come back soon")
            }
        }
    }
}
