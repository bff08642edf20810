//! How many sockets may this process open?
//!
//! containerd 2 starts containers with a soft limit of 1024 descriptors, and a Rust program keeps it
//! (containerd/containerd#8924). So the limit is raised to the hard one at start, and a service that was asked to
//! hold more connections than that does not start at all.

use crate::env::ConfigError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of open descriptors to the hard one; returns the limit that holds from now on
/// (`u64::MAX`: none).
pub fn raise() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Refuses when `wanted` descriptors do not fit under `limit`; the error names the variable that asked for them.
pub fn require(variable: &'static str, wanted: u64, limit: u64) -> Result<(), ConfigError> {
    if wanted <= limit {
        return Ok(());
    }
    Err(ConfigError::new(
        variable,
        format!("needs {wanted} open descriptors, the process may have {limit}"),
        "less, or a higher hard limit (ulimit -Hn, LimitNOFILE of systemd, ulimits of compose)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one_after_raising() {
        let limit = raise().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(limit, now.maximum.unwrap_or(u64::MAX));
        assert_eq!(raise().unwrap(), limit, "raising twice changes nothing");
    }

    #[test]
    fn more_than_the_limit_is_refused_by_name() {
        assert!(require("CARILLON_MAX_CONNECTIONS", 1024, 1024).is_ok());
        let error = require("CARILLON_MAX_CONNECTIONS", 1025, 1024).err().unwrap();
        assert!(
            error.to_string().starts_with("CARILLON_MAX_CONNECTIONS needs 1025 open descriptors"),
            "{error}"
        );
    }
}
