//! What can be configured, and what holds when nothing is?

use crate::archive::ArchiveUrl;
use crate::outbox::Listening;
use carillon_platform::config::{Common, DATABASE_URL, NODE, SHARED, default_node, listen, ops_listen};
use carillon_platform::env::{
    Absent, Checked, ConfigError, Count, Declared, Env, Millis, ON_OFF, OneOf, Secret, Socket, Var,
};
use carillon_platform::origin::{self, OriginPolicy};
use carillon_platform::outbound::OutboundConfig;
use carillon_platform::telemetry::LogConfig;
use std::net::SocketAddr;
use std::time::Duration;

const LISTEN: Var<Socket> = listen("0.0.0.0:8081");
const OPS_LISTEN: Var<Socket> = ops_listen("0.0.0.0:9081");

const RETENTION_DAYS: Var<Count> = Var {
    name: "CARILLON_RETENTION_DAYS",
    absent: Absent::Default("30"),
    kind: Count { min: 1, max: 3_650 },
    what: "days an event stays in the log; older ones are dropped with their day's partition",
};

const ARCHIVE_URL: Var<Checked> = Var {
    name: "CARILLON_ARCHIVE_URL",
    absent: Absent::Optional("no archive: what is past retention is dropped"),
    kind: Checked { allowed: ArchiveUrl::ALLOWED, valid: |text| ArchiveUrl::read(text).is_some() },
    what: "where a day's events are copied before their partition is dropped: a directory that is there, or a bucket; its credentials are those of the AWS SDKs' variables. The same for every publisher",
};

const LATEST_DAYS: Var<Count> = Var {
    name: "CARILLON_LATEST_DAYS",
    absent: Absent::Optional("as many as CARILLON_RETENTION_DAYS"),
    kind: Count { min: 1, max: 3_650 },
    what: "days after which the key of a latest value goes that no event has touched; at most CARILLON_RETENTION_DAYS, since what a key points at is in the log",
};

const ACTIVITY_DAYS: Var<Count> = Var {
    name: "CARILLON_ACTIVITY_DAYS",
    absent: Absent::Default("30"),
    kind: Count { min: 1, max: 365 },
    what: "days for which it is kept what people did (activity frames)",
};

const ANALYTICS_DAYS: Var<Count> = Var {
    name: "CARILLON_ANALYTICS_DAYS",
    absent: Absent::Default("400"),
    kind: Count { min: 1, max: 3_650 },
    what: "days for which it is kept how many events an hour had; longer than the events themselves",
};

const NOTICE_DAYS: Var<Count> = Var {
    name: "CARILLON_NOTICE_DAYS",
    absent: Absent::Default("365"),
    kind: Count { min: 1, max: 3_650 },
    what: "days for which a notice stays in inboxes; it may outlive its event in the log",
};

const REVOCATION_DAYS: Var<Count> = Var {
    name: "CARILLON_REVOCATION_DAYS",
    absent: Absent::Default("90"),
    kind: Count { min: 1, max: 3_650 },
    what: "days for which it holds that somebody was disconnected: a token issued before that lives longer works again after them",
};

const DEVICE_DAYS: Var<Count> = Var {
    name: "CARILLON_DEVICE_DAYS",
    absent: Absent::Default("90"),
    kind: Count { min: 1, max: 3_650 },
    what: "days after which a device is forgotten that was not connected: it belongs to no event's audience any more",
};

const SESSION_DAYS: Var<Count> = Var {
    name: "CARILLON_SESSION_DAYS",
    absent: Absent::Default("30"),
    kind: Count { min: 1, max: 3_650 },
    what: "days for which it is kept who was connected; older ones are dropped with their day's partition",
};

const PROJECTORS: Var<OneOf<bool>> = Var {
    name: "CARILLON_PROJECTORS",
    absent: Absent::Default("on"),
    kind: ON_OFF,
    what: "whether serve also runs what reads the logs in the background (projectors, webhooks); off where processes of their own do (carillon-publisher work)",
};

const OUTBOX: Var<OneOf<Listening>> = Var {
    name: "CARILLON_OUTBOX",
    absent: Absent::Default("notify"),
    kind: OneOf(&[("notify", Listening::Notify), ("poll", Listening::Poll), ("off", Listening::Off)]),
    what: "how this publisher learns of events that applications publish in their own transactions (`carillon.publish`): by NOTIFY and every 250 ms, every 250 ms alone (a pooler in transaction mode passes no notifications on), or not at all",
};

const DRAIN_DELAY_MS: Var<Millis> = Var {
    name: "CARILLON_DRAIN_DELAY_MS",
    absent: Absent::Default("2000"),
    kind: Millis { min: 0, max: 600_000 },
    what: "how long a stopping process is known to be unready and still takes requests; longer than balancers need to notice",
};

const DRAIN_MS: Var<Millis> = Var {
    name: "CARILLON_DRAIN_MS",
    absent: Absent::Default("10000"),
    kind: Millis { min: 0, max: 600_000 },
    what: "longest time a stopping process waits for what is under way",
};

/// Every variable of this service, in the order of the reference.
pub fn variables() -> Vec<&'static dyn Declared> {
    let own: [&'static dyn Declared; 16] = [
        &LISTEN,
        &OPS_LISTEN,
        &origin::ALLOWED,
        &RETENTION_DAYS,
        &ARCHIVE_URL,
        &LATEST_DAYS,
        &REVOCATION_DAYS,
        &DEVICE_DAYS,
        &SESSION_DAYS,
        &ACTIVITY_DAYS,
        &ANALYTICS_DAYS,
        &PROJECTORS,
        &OUTBOX,
        &NOTICE_DAYS,
        &DRAIN_DELAY_MS,
        &DRAIN_MS,
    ];
    own.into_iter().chain(SHARED.iter().copied()).collect()
}

/// Everything `serve` needs to know. Reading it has no effects.
#[derive(Debug, Clone)]
pub struct Config {
    /// What both services share.
    pub common: Common,
    /// Web pages that may use the API.
    pub origins: OriginPolicy,
    /// Days an event stays in the log.
    pub retention_days: u32,
    /// Where they are copied before they go.
    pub archive: Option<ArchiveUrl>,
    /// Days a key is remembered that nothing touches.
    pub latest_days: u32,
    /// Days for which it holds that somebody was disconnected.
    pub revocation_days: u32,
    /// Days a device is remembered that nobody sees.
    pub device_days: u32,
    /// Days for which it is kept who was connected.
    pub session_days: u32,
    /// Days for which it is kept what people did.
    pub activity_days: u32,
    /// Days for which it is kept how many events an hour had.
    pub analytics_days: u32,
    /// Whether this process also reads the logs in the background.
    pub projectors: bool,
    /// How it learns of the outbox.
    pub outbox: Listening,
    /// Days for which a notice stays in inboxes.
    pub notice_days: u32,
    /// From unready to refusing connections.
    pub drain_delay: Duration,
    /// Longest time the stop then waits for what is under way.
    pub drain: Duration,
}

impl Config {
    /// Reads and checks all of it; the first fault ends it.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        let retention_days = env.get(&RETENTION_DAYS)?;
        let latest_days = env.optional(&LATEST_DAYS)?.unwrap_or(retention_days);
        if latest_days > retention_days {
            let fault =
                format!("is {latest_days}, more than CARILLON_RETENTION_DAYS, which is {retention_days}");
            return Err(LATEST_DAYS.error(fault));
        }
        Ok(Self {
            common: Common::read(env, &LISTEN, &OPS_LISTEN)?,
            origins: env.get(&origin::ALLOWED)?,
            retention_days,
            archive: archive_url(env)?,
            latest_days,
            revocation_days: env.get(&REVOCATION_DAYS)?,
            device_days: env.get(&DEVICE_DAYS)?,
            session_days: env.get(&SESSION_DAYS)?,
            activity_days: env.get(&ACTIVITY_DAYS)?,
            analytics_days: env.get(&ANALYTICS_DAYS)?,
            projectors: env.get(&PROJECTORS)?,
            outbox: env.get(&OUTBOX)?,
            notice_days: env.get(&NOTICE_DAYS)?,
            drain_delay: env.get(&DRAIN_DELAY_MS)?,
            drain: env.get(&DRAIN_MS)?,
        })
    }
}

/// Everything `work` needs to know: the database, and where tenants' URLs may lead.
#[derive(Debug, Clone)]
pub struct WorkConfig {
    /// This process's name.
    pub node: String,
    /// The address of probes and metrics.
    pub ops_listen: SocketAddr,
    /// Where the log is.
    pub database_url: Secret,
    /// What is logged, and how.
    pub log: LogConfig,
    /// What tenants' URLs may be and lead to.
    pub outbound: OutboundConfig,
}

impl WorkConfig {
    /// Reads and checks all of it; the first fault ends it.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            node: env.optional(&NODE)?.unwrap_or_else(default_node),
            ops_listen: env.get(&OPS_LISTEN)?,
            database_url: env.get(&DATABASE_URL)?,
            log: LogConfig::read(env)?,
            outbound: OutboundConfig::read(env)?,
        })
    }
}

/// The database alone, for the subcommands that need nothing else.
pub fn database_url(env: &Env) -> Result<String, ConfigError> {
    env.get(&DATABASE_URL).map(|url| url.expose().to_owned())
}

/// The database, if one is named: a place can be looked at without.
pub fn database_url_if_set(env: &Env) -> Result<Option<String>, ConfigError> {
    let may_be_absent = Var { absent: Absent::Optional("no database is asked"), ..DATABASE_URL };
    Ok(env.optional(&may_be_absent)?.map(|url| url.expose().to_owned()))
}

/// Where the archive is, if there is one, for the subcommands about it.
pub fn archive_url(env: &Env) -> Result<Option<ArchiveUrl>, ConfigError> {
    Ok(env.optional(&ARCHIVE_URL)?.as_deref().and_then(ArchiveUrl::read))
}

/// The ops address alone, for `healthcheck`.
pub fn ops_address(env: &Env) -> Result<std::net::SocketAddr, ConfigError> {
    env.get(&OPS_LISTEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_every_variable_is_listed() {
        let env = Env::of([
            ("DATABASE_URL", "postgres://localhost/carillon"),
            ("REDIS_URL", "redis://localhost"),
            ("CARILLON_JWT_SECRET", "0123456789abcdef"),
        ]);
        let config = Config::read(&env).unwrap();
        assert_eq!((config.retention_days, config.drain), (30, Duration::from_secs(10)));
        assert_eq!(config.latest_days, 30);
        assert_eq!(config.drain_delay, Duration::from_secs(2));
        let names: Vec<&str> = variables().iter().map(|var| var.name()).collect();
        assert!(names.contains(&"CARILLON_RETENTION_DAYS") && names.contains(&"CARILLON_TENANTS"));
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_key_lives_no_longer_than_the_event_it_points_at() {
        let read = |retention: &str, latest: &str| {
            let env = Env::of([
                ("DATABASE_URL", "postgres://localhost/carillon"),
                ("REDIS_URL", "redis://localhost"),
                ("CARILLON_JWT_SECRET", "0123456789abcdef"),
                ("CARILLON_RETENTION_DAYS", retention),
                ("CARILLON_LATEST_DAYS", latest),
            ]);
            Config::read(&env).map(|config| config.latest_days)
        };
        assert_eq!(read("7", "3").unwrap(), 3);
        assert_eq!(read("7", "7").unwrap(), 7);
        let error = read("7", "8").unwrap_err();
        assert!(
            error.variable == "CARILLON_LATEST_DAYS" && error.to_string().contains("CARILLON_RETENTION_DAYS")
        );
    }

    #[test]
    fn a_process_that_only_works_needs_the_database_alone() {
        let config = WorkConfig::read(&Env::of([("DATABASE_URL", "postgres://localhost/carillon")])).unwrap();
        assert_eq!(config.ops_listen.port(), 9081);
        assert_eq!(
            WorkConfig::read(&Env::of([("CARILLON_NODE", "a")])).unwrap_err().variable,
            "DATABASE_URL"
        );
    }

    #[test]
    fn a_wrong_retention_names_its_variable() {
        let error = Env::of([("CARILLON_RETENTION_DAYS", "0")]).get(&RETENTION_DAYS).unwrap_err();
        assert_eq!(error.variable, "CARILLON_RETENTION_DAYS");
    }
}
