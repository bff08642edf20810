//! Which problems does `/v1/console/session` answer with?
//!
//! For `/openapi.json`; nothing builds these.

use crate::http::openapi::shapes::ProblemDocument;
use utoipa::IntoResponses;

/// What may go wrong with every request about the console.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum ConsoleProblems {
    #[response(status = 400, description = "`invalid_parameter`", content_type = "application/problem+json")]
    Malformed(ProblemDocument),
    #[response(status = 500, description = "`internal`", content_type = "application/problem+json")]
    Internal(ProblemDocument),
}

/// Who asks is not known. Of a request that brings no code.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum ConsoleUnauthenticated {
    #[response(
        status = 401,
        description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`",
        content_type = "application/problem+json"
    )]
    Unauthenticated(ProblemDocument),
}

/// Who asks may not look at the console.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum ConsoleForbidden {
    #[response(status = 403, description = "`missing_scope`", content_type = "application/problem+json")]
    Forbidden(ProblemDocument),
}

/// Who asks may not make a session or a link.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum ConsoleKeyNeeded {
    #[response(
        status = 403,
        description = "`missing_scope` (a user token, too), `session_forbidden` (a session of the console)",
        content_type = "application/problem+json"
    )]
    Forbidden(ProblemDocument),
}

/// The request waits for its turn, or the database does not take what it writes.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers for utoipa; nothing builds it")]
pub(in crate::http) enum ConsoleUnwritable {
    #[response(status = 429, description = "`too_many_requests`", content_type = "application/problem+json")]
    TooMany(ProblemDocument),
    #[response(
        status = 503,
        description = "`unavailable`, `overloaded`, `log_busy`, `database_full`, `database_read_only`, `database_standby`, `database_session`",
        content_type = "application/problem+json"
    )]
    Unavailable(ProblemDocument),
}
