//! What does the environment say: where the stack is, and how much load it gets?

use std::env;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A run, settled.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The balancer that serves everything, without a slash at the end.
    pub(crate) url: String,
    /// The shared secret that signs user tokens (HS256).
    pub(crate) secret: String,
    /// Publishing and listening users together.
    pub(crate) users: usize,
    /// Seconds over which the users start.
    pub(crate) start: usize,
    /// Seconds of load, after all users have started.
    pub(crate) seconds: usize,
    /// A publishing user's pause between two transactions, at most; at least half of it.
    pub(crate) pause: Duration,
    /// Where goose writes its report.
    pub(crate) report: String,
    /// Folder of the reports; it has to exist.
    pub(crate) out: PathBuf,
    /// Makes the tenants of this run tenants nobody else writes to.
    pub(crate) run: String,
    /// A fault of our own making: every fifth event goes where nobody listens.
    pub(crate) elsewhere: bool,
}

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It has to be there.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// It is something else.
    #[error("{name} is \"{value}\"; allowed: {allowed}")]
    Wrong { name: &'static str, value: String, allowed: &'static str },
}

impl Settings {
    /// `FULL=1` takes the long form of every number; a variable of the number's name outweighs both.
    pub(crate) fn from_environment() -> Result<Self, Fault> {
        let full = env::var("FULL").is_ok_and(|value| value == "1");
        let out = PathBuf::from(env::var("OUT").unwrap_or_else(|_| "target/loadtest".into()));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            url: required("CARILLON_URL")?.trim_end_matches('/').to_owned(),
            secret: required("CARILLON_JWT_SECRET")?,
            users: number("USERS", if full { 400 } else { 60 })?,
            start: number("START", if full { 20 } else { 3 })?,
            seconds: number("SECONDS", if full { 180 } else { 12 })?,
            pause: Duration::from_millis(number("PAUSE", if full { 500 } else { 400 })? as u64),
            report: out.join("goose.json").display().to_string(),
            out,
            run: format!("{:x}", since.as_millis()),
            elsewhere: match env::var("TWIN").as_deref() {
                Err(_) | Ok("") => false,
                Ok("elsewhere") => true,
                Ok(other) => {
                    let value = other.to_owned();
                    return Err(Fault::Wrong { name: "TWIN", value, allowed: "elsewhere" });
                }
            },
        })
    }
}

fn required(name: &'static str) -> Result<String, Fault> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(Fault::Missing(name))
}

fn number(name: &'static str, default: usize) -> Result<usize, Fault> {
    let Ok(value) = env::var(name) else { return Ok(default) };
    let parsed = value.parse().ok().filter(|number| *number > 0);
    parsed.ok_or(Fault::Wrong { name, value, allowed: "a whole number above 0" })
}
