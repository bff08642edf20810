//! What may an answer say, and what does it mean? (pure)

use crate::outbound::Answer;
use http::StatusCode;
use serde::Deserialize;
use std::time::Duration;

/// How long a yes is kept when the answer does not say.
pub const KEPT: Duration = Duration::from_secs(60);
/// How long a no is kept.
pub const REFUSAL_KEPT: Duration = Duration::from_secs(5);
/// Seconds that an answer may say.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=3_600;

/// What the application says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Allowed(Granted),
    /// They may not.
    Refused,
    /// It did not say. They may not now, and whoever was allowed before is asked about again.
    Unavailable,
    /// It was not asked: too many other questions were before this one. They may not now; that is none of its silence.
    Busy,
}

/// A yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Tells it from earlier ones.
    pub number: u64,
    /// How long it was given for.
    pub lasts: Duration,
    /// How much of that is left.
    pub left: Duration,
}

/// What one answer says, for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) allowed: bool,
    pub(super) lasts: Duration,
}

#[derive(Deserialize)]
struct Body {
    allow: bool,
    #[serde(default)]
    ttl: Option<u64>,
}

/// Reads an answer. What is no clear answer is an error with the reason: never a yes, nor a no.
pub(super) fn read(answer: &Answer) -> Result<Said, &'static str> {
    if answer.status != StatusCode::OK {
        return Err("the status is not 200");
    }
    let wrong =
        "the body is not a JSON object with allow: true or false and perhaps ttl: seconds, a whole number";
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| wrong)?;
    match body {
        Body { allow: false, .. } => Ok(Said { allowed: false, lasts: REFUSAL_KEPT }),
        Body { allow: true, ttl: None } => Ok(Said { allowed: true, lasts: KEPT }),
        Body { allow: true, ttl: Some(ttl) } if SECONDS.contains(&ttl) => {
            Ok(Said { allowed: true, lasts: Duration::from_secs(ttl) })
        }
        Body { allow: true, ttl: Some(_) } => Err("ttl is not from 1 to 3600"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Result<Said, &'static str> {
        read(&Answer { status: StatusCode::from_u16(status).unwrap(), body: body.into() })
    }

    #[test]
    fn a_clear_answer_is_read() {
        let yes = |seconds| Ok(Said { allowed: true, lasts: Duration::from_secs(seconds) });
        assert_eq!(of(200, r#"{"allow": true}"#), yes(60));
        assert_eq!(of(200, r#"{"allow": true, "ttl": null}"#), yes(60));
        assert_eq!(of(200, r#"{"allow": true, "ttl": 1, "why": "head"}"#), yes(1));
        assert_eq!(of(200, r#"{"ttl": 3600, "allow": true}"#), yes(3_600));
        assert_eq!(
            of(200, r#"{"allow": false, "ttl": 9999}"#),
            Ok(Said { allowed: false, lasts: REFUSAL_KEPT })
        );
    }

    #[test]
    fn whatever_else_is_no_answer() {
        for body in [
            "",
            "true",
            "null",
            "{}",
            "[]",
            "yes",
            r#"{"allow": "yes"}"#,
            r#"{"allow": 1}"#,
            r#"{"allow": null}"#,
            r#"{"allow": true"#,
            r#"{"allow": true} trailing"#,
            r#"{"allow": true, "allow": false}"#,
            r#"{"allow": false, "allow": true}"#,
            r#"{"allow": true, "ttl": 0}"#,
            r#"{"allow": true, "ttl": 3601}"#,
            r#"{"allow": true, "ttl": 1.5}"#,
            r#"{"allow": true, "ttl": "60"}"#,
            r#"{"allow": true, "ttl": -1}"#,
            r#"{"Allow": true}"#,
            r#"{"data": {"allow": true}}"#,
            "<html>allow: true</html>",
        ] {
            assert!(of(200, body).is_err(), "{body}");
        }
        for status in [201, 204, 301, 302, 307, 401, 403, 404, 500, 503] {
            assert!(of(status, r#"{"allow": true}"#).is_err(), "{status}");
        }
    }
}
