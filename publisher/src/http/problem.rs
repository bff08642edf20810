//! How does an error look to a client?
//!
//! RFC 9457 problem details with a stable `code`; `errors` says where. Every error of this service is made here, so
//! the API description lists all of them.

use super::quota::{Quota, rate_headers};
use crate::batcher::NotAppended;
use crate::event::Fault;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{LogError, Unwritable};
use carillon_platform::telemetry::Seldom;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

macro_rules! problem_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $code:literal $title:literal,)+) => {
        /// The stable names of problems, as `code` carries them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code with its meaning.
            pub const ALL: &'static [(Code, &'static str)] = &[$((Code::$name, concat!($($doc),+)),)+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Self::$name => $status,)+ };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// The title, the same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

problem_codes! {
    /// The body is not JSON; the detail gives line and column.
    InvalidJson = 400 "invalid_json" "The body is not JSON",
    /// The body ended before its announced length, or is malformed on the wire.
    InvalidBody = 400 "invalid_body" "The body cannot be read",
    /// A request header has a value that is not allowed; `errors` names it.
    InvalidHeader = 400 "invalid_header" "A header is not valid",
    /// A query parameter is unknown, repeated or has a value that is not allowed; `errors` names it.
    InvalidParameter = 400 "invalid_parameter" "A query parameter is not valid",
    /// The cursor was not issued by this log, or the log was restored since.
    InvalidCursor = 400 "invalid_cursor" "The cursor is not valid",
    /// No API key and no user token was sent.
    CredentialsMissing = 401 "credentials_missing" "Credentials are missing",
    /// The API key does not exist, was revoked or has expired; or two different credentials were sent.
    CredentialsInvalid = 401 "credentials_invalid" "The credentials are not valid",
    /// The code of a link to the console does not exist, was used or has ended: get another link.
    CodeInvalid = 401 "code_invalid" "The code is not valid",
    /// The user token is malformed, wrongly signed or not for this service; the detail says which.
    TokenInvalid = 401 "token_invalid" "The user token is not valid",
    /// The user token was valid and has expired: fetch a new one.
    TokenExpired = 401 "token_expired" "The user token has expired",
    /// An administrator disconnected the person after the user token was issued: it takes a new one.
    TokenRevoked = 401 "token_revoked" "The user token was revoked",
    /// The API key lacks the scope, or the user token the capability.
    MissingScope = 403 "missing_scope" "The credentials do not allow this",
    /// A session of the console begins no other, makes no link, and neither makes nor changes an API key: send the API key itself.
    SessionForbidden = 403 "session_forbidden" "A session does not allow this",
    /// The credentials are not for this tenant.
    TenantForbidden = 403 "tenant_forbidden" "The credentials are not for this tenant",
    /// The tenant is not registered, and this installation makes none by itself.
    UnknownTenant = 403 "unknown_tenant" "The tenant is not known",
    /// Whoever runs the installation has suspended the tenant: nobody publishes or reads in it until that is lifted. Nothing was stored.
    TenantSuspended = 403 "tenant_suspended" "The tenant is suspended",
    /// Neither the user token nor a channel rule allows this: the channel, the type of the event, or what else `errors` names.
    Forbidden = 403 "forbidden" "Not for these credentials",
    /// Only an administrator publishes in another person's name.
    ActorForbidden = 403 "actor_forbidden" "Not in another person's name",
    /// There is nothing here, or nothing you may see.
    NotFound = 404 "not_found" "Not found",
    /// The path exists, but not for this method; `Allow` lists those it has.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed",
    /// The tenant has as many revocations as it may; nobody was disconnected.
    TooManyRevocations = 409 "too_many_revocations" "Too many revocations",
    /// The person follows as many channels as they may; nothing was changed.
    TooManyFollows = 409 "too_many_follows" "Too many channels are followed",
    /// The body did not arrive in time.
    RequestTimeout = 408 "request_timeout" "The request took too long to arrive",
    /// The body is larger than 1 MiB.
    BodyTooLarge = 413 "body_too_large" "The body is too large",
    /// The content type or content encoding is not one this path takes.
    UnsupportedMediaType = 415 "unsupported_media_type" "Unsupported media type",
    /// The JSON is not a valid event or array of events; `errors` lists every fault. Nothing was stored.
    Validation = 422 "validation" "The events are not valid",
    /// The channel rule is not valid, or could not be told from another; `errors` lists every fault. Nothing was changed.
    InvalidRule = 422 "invalid_rule" "The channel rule is not valid",
    /// The tenant's settings are not valid; `errors` lists every fault. Nothing was changed.
    InvalidSettings = 422 "invalid_settings" "The settings are not valid",
    /// What is said about the event type is not valid; `errors` lists every fault. Nothing was changed.
    InvalidEventType = 422 "invalid_event_type" "The event type is not valid",
    /// The preferences are not valid; `errors` lists every fault. Nothing was changed.
    InvalidPreferences = 422 "invalid_preferences" "The preferences are not valid",
    /// The templates of a type cannot be filled: `errors` names the variable that is missing. Nothing was stored.
    Template = 422 "template" "A template cannot be filled",
    /// The webhook, or what is to be done with it, is not valid; `errors` lists every fault. Nothing was changed.
    InvalidWebhook = 422 "invalid_webhook" "The webhook is not valid",
    /// What is to be done with an inbox is not clear, or its notice does not ask for it; `errors` names the fault. Nothing was changed.
    InvalidMark = 422 "invalid_mark" "The mark is not valid",
    /// The idempotency key (or event id) was used before for another request. Nothing was stored.
    IdempotencyMismatch = 422 "idempotency_mismatch" "The idempotency key was used for another request",
    /// URL and headers have more than 32 KiB together, or there are more than 100 headers.
    HeadTooLarge = 431 "head_too_large" "Request Header Fields Too Large",
    /// The person publishes more into the channel than its rule lets them a second, or the tenant more than its limit; nothing was stored. Try again after `Retry-After`.
    RateLimited = 429 "rate_limited" "Too many events a second",
    /// The tenant has sent as many notices today as its limit says; nothing was stored. Try again after `Retry-After`: a day ends at midnight UTC.
    TooManyNotices = 429 "too_many_notices" "Too many notices a day",
    /// Too many events of the tenant are waiting; nothing was stored. Try again after `Retry-After`.
    TenantShareFull = 429 "tenant_share_full" "Too many events of this tenant are waiting",
    /// Too many events of this API key or user are waiting; nothing was stored. Try again after `Retry-After`.
    CallerShareFull = 429 "caller_share_full" "Too many events of these credentials are waiting",
    /// Too many request bodies of the tenant or the credentials are on their way; nothing was stored. Try again after `Retry-After`.
    BodyShareFull = 429 "body_share_full" "Too many request bodies are on their way",
    /// The tenant, key or user reads as much of the log at a time as it may, or has left answers unread. Try again after `Retry-After`.
    TooManyRequests = 429 "too_many_requests" "Too many requests at a time",
    /// The person, or the API key in this tenant, has as many tickets that nobody has used as they may. Try again after `Retry-After`.
    TooManyTickets = 429 "too_many_tickets" "Too many tickets have not been used",
    /// Something went wrong that should not; the log of the server says what, under the request id.
    Internal = 500 "internal" "Internal error",
    /// Too much is waiting; nothing was stored. Try again after `Retry-After`.
    Overloaded = 503 "overloaded" "Overloaded",
    /// Somebody else has held the tenant's row in the database for long; nothing was stored. Try again after `Retry-After`.
    TenantBusy = 503 "tenant_busy" "The tenant's log is held by another transaction",
    /// The log cannot be reached. Whether the events were stored is not known: repeat with the same idempotency key.
    Unavailable = 503 "unavailable" "The log cannot be reached",
    /// A channel rule leaves it to the tenant's application, and that gave no verdict. Nothing was done.
    AskUnavailable = 503 "ask_unavailable" "The tenant's application gave no verdict",
    /// Redis, where it stands who is here, is away, and this publisher does not know it from before. Try again after `Retry-After`.
    PresenceUnavailable = 503 "presence_unavailable" "Who is here is not known",
    /// The log works and has no connection free for this kind of request, or a lock was not to be had. Nothing was done.
    LogBusy = 503 "log_busy" "The log is busy",
    /// The log took longer than two seconds and was told to stop. Nothing was done: ask for less (a shorter time, fewer events).
    TooSlow = 503 "too_slow" "The log takes too long over this",
    /// The log's disk is full. Nothing was stored.
    DatabaseFull = 503 "database_full" "The log's disk is full",
    /// The log's database is read-only at present. Nothing was stored.
    DatabaseReadOnly = 503 "database_read_only" "The log is read-only",
    /// The log's database is a standby: a failover is under way. Nothing was stored.
    DatabaseStandby = 503 "database_standby" "The log is a standby",
    /// The log has no partition for the present day. Nothing was stored.
    NoPartition = 503 "no_partition" "The log has no partition for now",
    /// Something between this service and the log drops what protects tenants, so nothing is asked through it.
    DatabaseSession = 503 "database_session" "The session with the log is refused",
}

/// One error answer.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What about this request, for people.
    pub detail: String,
    /// Where in the request.
    pub errors: Vec<Fault>,
    /// What is left of the limit that it met.
    limited: Option<Quota>,
}

impl Problem {
    /// A problem of this code, with what there is to say about this request.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), limited: None }
    }

    /// With what is left of the tenant's limit, for the headers.
    #[must_use]
    pub(super) fn limited(mut self, quota: impl Into<Quota>) -> Self {
        self.limited = Some(quota.into());
        self
    }

    /// With the places of its faults.
    #[must_use]
    pub fn at(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// The log's line about it, without anything of the request but its id.
    pub(super) fn log(&self, request_id: &str) {
        let (status, code) = (self.code.status(), self.code.as_str());
        let number = status.as_u16();
        match status {
            _ if self.code == Code::Internal => {
                tracing::error!(request_id, "answered with an internal error")
            }
            // For want of room, or because the log is away: they say nothing about the request and come by the thousand. Of
            // each code one a second, with how many there were since the line before.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                static TOLD: Seldom<&str> = Seldom::every(Duration::from_secs(1));
                if let Some(times) = TOLD.due(code) {
                    tracing::info!(request_id, status = number, code, times, "refused");
                }
            }
            _ => tracing::info!(request_id, status = number, code, "refused"),
        }
    }

    /// The body for the request of this id.
    pub fn body(&self, request_id: &str) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [Fault],
        }
        let body = Body {
            r#type: format!("urn:carillon:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl From<Unwritable> for Code {
    fn from(why: Unwritable) -> Self {
        match why {
            Unwritable::Full => Self::DatabaseFull,
            Unwritable::ReadOnly => Self::DatabaseReadOnly,
            Unwritable::Standby => Self::DatabaseStandby,
            Unwritable::NoPartition => Self::NoPartition,
        }
    }
}

impl Code {
    /// Seconds after which the same request may succeed: soon, when others are in the way; later, when it is the request
    /// itself that takes too long, or a person has to do something.
    fn retry_after(self) -> &'static str {
        match self {
            Self::TooSlow => "10",
            Self::DatabaseFull | Self::DatabaseReadOnly | Self::NoPartition | Self::DatabaseSession => "5",
            _ => "1",
        }
    }

    /// The header that tells a client what to do next: wait (503, 429), or authenticate (401).
    fn next_step(self) -> Option<(HeaderName, HeaderValue)> {
        let invalid = "Bearer realm=\"carillon\", error=\"invalid_token\"";
        match (self, self.status()) {
            (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                Some((header::RETRY_AFTER, HeaderValue::from_static(self.retry_after())))
            }
            (Self::CredentialsMissing, _) => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"carillon\"")))
            }
            (_, StatusCode::UNAUTHORIZED) => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(invalid)))
            }
            _ => None,
        }
    }
}

/// The outermost layer writes the body, for it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some((name, value)) = self.code.next_step() {
            response.headers_mut().insert(name, value);
        }
        if let Some(quota) = &self.limited {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(quota.seconds()));
            response.headers_mut().extend(rate_headers(quota));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        static TOLD: Seldom<Discriminant<LogError>> = Seldom::new();
        let times = match &error {
            // The answer says only that the log has the reason.
            LogError::Database(_) => Some(1),
            _ => TOLD.due(discriminant(&error)),
        };
        if let Some(times) = times {
            tell(&error, times);
        }
        match error {
            LogError::Down(_) | LogError::NotMigrated(_) | LogError::Config(_) => {
                Problem::new(Code::Unavailable, "the log did not answer in time; try again")
            }
            LogError::Busy(_) | LogError::Locked(_) | LogError::Exhausted(_) => {
                Problem::new(Code::LogBusy, "the log has too much of this kind to do; try again")
            }
            LogError::TooSlow(_) => {
                Problem::new(Code::TooSlow, "the log took more than two seconds over it; ask for less")
            }
            LogError::Unwritable(why, _) => Problem::new(why.into(), why.to_string()),
            LogError::Session(_) => session_refused(),
            LogError::Database(_) => {
                Problem::new(Code::Internal, "the database refused the request; the server's log says why")
            }
        }
    }
}

/// Why requests are refused, for the operator.
fn tell(error: &LogError, times: u64) {
    match error {
        LogError::Down(_) | LogError::NotMigrated(_) | LogError::Config(_) => {
            tracing::warn!(%error, times, "the log did not answer");
        }
        LogError::Busy(_) | LogError::Locked(_) => tracing::warn!(%error, times, "the log is busy"),
        LogError::Exhausted(_) => tracing::error!(%error, times, "the database refused for lack of memory"),
        LogError::TooSlow(_) => tracing::warn!(%error, times, "a question to the log took too long"),
        LogError::Unwritable(..) => tracing::warn!(%error, times, "the log takes no events"),
        LogError::Session(_) => {
            tracing::error!(%error, times, "the log is not asked in a session that does not protect tenants");
        }
        LogError::Database(_) => tracing::error!(%error, "the database refused a statement"),
    }
}

impl From<NotAppended> for Problem {
    fn from(fault: NotAppended) -> Self {
        match fault {
            NotAppended::Overloaded => Problem::new(
                Code::Overloaded,
                "too many events are waiting; nothing of this request was stored",
            ),
            NotAppended::TenantShare => Problem::new(
                Code::TenantShareFull,
                "the tenant has as many events waiting as it may; nothing of this request was stored",
            ),
            NotAppended::CallerShare => Problem::new(
                Code::CallerShareFull,
                "this key or user has as many events waiting as it may; nothing of this request was stored",
            ),
            NotAppended::TenantBusy => Problem::new(
                Code::TenantBusy,
                "another transaction holds the tenant's row in the database; nothing of this request was stored",
            ),
            NotAppended::Unavailable => Problem::new(
                Code::Unavailable,
                "the log did not answer in time; repeat with the same idempotency key to learn whether the events were stored",
            ),
            NotAppended::Busy => {
                Problem::new(Code::LogBusy, "the log could not take the events in time; nothing was stored")
            }
            NotAppended::TooSlow => {
                Problem::new(Code::TooSlow, "the log took too long over the events; nothing was stored")
            }
            NotAppended::Unwritable(why) => Problem::new(why.into(), format!("{why}; nothing was stored")),
            NotAppended::Session => session_refused(),
            NotAppended::Failed => {
                Problem::new(Code::Internal, "the database refused the request; the server's log says why")
            }
        }
    }
}

fn session_refused() -> Problem {
    Problem::new(Code::DatabaseSession, "the session with the log is not as it must be; nothing was done")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FaultCode;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::new(Code::Validation, "1 fault").at(vec![Fault::at(
            "/type",
            FaultCode::Required,
            "is required",
        )]);
        assert_eq!(
            problem.body("r-1"),
            r#"{"type":"urn:carillon:problem:validation","title":"The events are not valid","status":422,"detail":"1 fault","code":"validation","request_id":"r-1","errors":[{"pointer":"/type","code":"required","detail":"is required"}]}"#
        );
    }

    #[test]
    fn what_a_client_needs_next_is_in_the_headers() {
        let header = |code, name| Problem::new(code, "").into_response().headers().contains_key(name);
        for busy in [Code::Overloaded, Code::Unavailable, Code::TenantBusy, Code::TenantShareFull] {
            assert!(header(busy, "retry-after"));
        }
        let after = |code| Problem::new(code, "").into_response().headers()["retry-after"].clone();
        assert_eq!(
            (after(Code::LogBusy), after(Code::TooSlow)),
            ("1".parse().unwrap(), "10".parse().unwrap())
        );
        assert!(header(Code::CredentialsMissing, "www-authenticate"));
        assert!(!header(Code::MissingScope, "www-authenticate"));
    }

    #[test]
    fn codes_are_unique_and_have_error_statuses() {
        let words: std::collections::HashSet<_> = Code::ALL.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|(code, _)| code.status().as_u16() >= 400));
    }
}
