//! Is this session what we asked for, and is it still?
//!
//! What a session may see and how long it may take is set by start-up options: the service's own role, which row level
//! security binds, an isolation, and six limits. Whatever stands between us and Postgres may drop them in silence, and then the
//! session acts as the login, which often is the owner of everything; or it may lead to a server that was a primary once.
//! So a session is checked when it is made, and again at the next use when its last check is [`BELIEVED`] old. One that
//! fails is closed, and says why. When one turns out to lead nowhere, or to a server that nobody can write to any more,
//! all that were made before are closed: whatever happened to it happened to them. A gateway, which only reads, may use a
//! server that is read-only, and makes its sessions anew with every check: a primary that was fenced keeps the sessions it
//! has, and by now the address may lead to another.

use super::error::{LogError, Unwritable, told};
use super::pool::Role;
use super::strain::Strain;
use super::work::Work;
use deadpool::managed::{Manager as Pooled, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Manager};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

/// How long a check is believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// How old a session gets: an address that has moved is followed within this time, whatever else happens.
const AGE: Duration = Duration::from_secs(600);

/// The start-up options of a service's session beside its role, as Postgres shows them. A statement ends before the
/// exchange it is part of does, and a wait for a lock before its statement, so that each is told from the other. A
/// generic plan is always the right one here (every statement goes by an index that begins with the tenant), and
/// planning over many partitions for each execution would cost more than most executions do. Such a plan may be older
/// than the rows of a partition: one made while today's was empty would read all of it, again and again, so no plan may
/// choose that.
pub(super) const LIMITS: [(&str, &str); 6] = [
    ("statement_timeout", "2s"),
    ("lock_timeout", "1500ms"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

/// The isolation every statement here is written for, whatever is set for the database: under a stricter one a publisher
/// would be refused for what another did.
pub(super) const READ_COMMITTED: &str = "default_transaction_isolation=read\\ committed";

/// What to do where a pooler takes no start-up options.
pub(super) const WITHOUT_OPTIONS: &str = "a pooler stands between here and Postgres: let it ignore the options \
    (ignore_startup_parameters = extra_float_digits, options), in session mode, and have Postgres set them at login, for \
    a login of this service alone (docs/OPERATIONS.md, \"Database\")";

const CHECK: &str = "
SELECT session_user::text AS login, current_user::text AS role,
    coalesce((SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user), true) AS unbound,
    current_setting('row_security') AS row_security,
    current_setting('default_transaction_isolation') AS isolation,
    pg_catalog.pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
    ARRAY[current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout'), current_setting('plan_cache_mode'),
        current_setting('enable_seqscan'), current_setting('jit')] AS limits";

/// Which generation of sessions is used, shared by all of a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation(Arc<AtomicU64>);

impl Generation {
    /// No session that was made before is used again.
    pub(super) fn end(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Makes, checks and closes the sessions of one kind of work.
pub(super) struct Sessions {
    pub(super) manager: Manager,
    pub(super) role: Role,
    pub(super) work: Work,
    pub(super) generation: Generation,
    pub(super) strain: Strain,
}

/// A session that passed its check.
pub(super) struct Session {
    client: ClientWrapper,
    checked_at: Instant,
    generation: u64,
    /// What it is used for.
    pub(super) work: Work,
}

impl Pooled for Sessions {
    type Type = Session;
    type Error = LogError;

    async fn create(&self) -> Result<Session, LogError> {
        let generation = self.generation.now();
        let client = self.manager.create().await.map_err(|error| refused(error, self.role))?;
        check(&client, self.role).await?;
        Ok(Session { client, checked_at: Instant::now(), generation, work: self.work })
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<LogError> {
        if session.client.is_closed() {
            return Err(RecycleError::message("it was closed"));
        }
        if session.generation != self.generation.now() || metrics.age() > AGE {
            return Err(RecycleError::message("it is old"));
        }
        if session.checked_at.elapsed() >= BELIEVED {
            let server = check(&session.client, self.role).await.inspect_err(|error| {
                tracing::warn!(%error, work = self.work.name(), "a session with the log is closed");
            })?;
            if server == Server::ReadOnly {
                return Err(RecycleError::message("its server is read-only"));
            }
            session.checked_at = Instant::now();
        }
        Ok(())
    }

    fn detach(&self, session: &mut Session) {
        self.manager.detach(&mut session.client);
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

/// Why there is no session.
fn refused(error: tokio_postgres::Error, role: Role) -> LogError {
    if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        let role = role.name();
        return LogError::Session(format!(
            "the login of DATABASE_URL may not act as {role}, or not use the database: GRANT {role} TO that login ({})",
            told(&error)
        ));
    }
    error.into()
}

/// What a session that may be used leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// A primary that can be written to.
    Writable,
    /// One that cannot: good for reading.
    ReadOnly,
}

/// One round trip on a session that was checked before. Migrations and API keys are the login's own business.
async fn check(client: &ClientWrapper, role: Role) -> Result<Server, LogError> {
    if role == Role::Owner {
        return Ok(Server::Writable);
    }
    let statement = client.prepare_cached(CHECK).await?;
    let row = client.query_one(&statement, &[]).await?;
    Found::of(&row).and_then(|found| found.verdict(role))
}

/// What a session says of itself.
#[derive(Debug, Clone)]
struct Found {
    login: String,
    role: String,
    unbound: bool,
    row_security: String,
    isolation: String,
    standby: bool,
    read_only: bool,
    limits: Vec<String>,
}

impl Found {
    fn of(row: &Row) -> Result<Self, LogError> {
        let read = || -> Result<Self, tokio_postgres::Error> {
            Ok(Self {
                login: row.try_get("login")?,
                role: row.try_get("role")?,
                unbound: row.try_get("unbound")?,
                row_security: row.try_get("row_security")?,
                isolation: row.try_get("isolation")?,
                standby: row.try_get("standby")?,
                read_only: row.try_get("read_only")?,
                limits: row.try_get("limits")?,
            })
        };
        read().map_err(|error| LogError::Session(told(&error)))
    }

    /// Whether a service may use the session. What protects tenants is looked at first.
    fn verdict(&self, role: Role) -> Result<Server, LogError> {
        let wanted = [("role", role.name())].into_iter().chain(LIMITS);
        let given = std::iter::once(&self.role).chain(&self.limits);
        let missing: Vec<(&str, &str, &str)> = wanted
            .zip(given)
            .filter(|((_, wanted), given)| *given != wanted)
            .map(|((name, wanted), given)| (name, wanted, given.as_str()))
            .collect();
        if !missing.is_empty() {
            return Err(LogError::Session(dropped(&self.login, &missing)));
        }
        if self.unbound {
            return Err(LogError::Session(format!(
                "the role {} is a superuser or has BYPASSRLS, so row level security does not bind it: \
                 ALTER ROLE {} NOSUPERUSER NOBYPASSRLS",
                self.role, self.role
            )));
        }
        for (name, given, wanted) in [
            ("row_security", &self.row_security, "on"),
            ("default_transaction_isolation", &self.isolation, "read committed"),
        ] {
            if given != wanted {
                return Err(LogError::Session(format!(
                    "{name} is {given} and must be {wanted}: ALTER ROLE {:?} SET {name} = '{wanted}'",
                    self.login
                )));
            }
        }
        if self.standby {
            return Err(LogError::Unwritable(Unwritable::Standby, "pg_is_in_recovery() is true".into()));
        }
        match (self.read_only, role) {
            (false, _) => Ok(Server::Writable),
            (true, Role::Publisher) => {
                Err(LogError::Unwritable(Unwritable::ReadOnly, "transaction_read_only is on".into()))
            }
            (true, _) => Ok(Server::ReadOnly),
        }
    }
}

/// Which options did not arrive, and what to write where.
fn dropped(login: &str, missing: &[(&str, &str, &str)]) -> String {
    let names: Vec<String> =
        missing.iter().map(|(name, wanted, given)| format!("{name} is {given}, not {wanted}")).collect();
    let lines: Vec<String> = missing
        .iter()
        .map(|(name, wanted, _)| format!("ALTER ROLE {login:?} SET {name} = '{wanted}';"))
        .collect();
    format!(
        "start-up options were dropped between here and Postgres ({}). Connect to Postgres itself or through a pooler in \
         session mode that keeps them; or have Postgres set them at login, for a login of this service alone: {}",
        names.join(", "),
        lines.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Found {
        Found {
            login: "app".into(),
            role: "carillon_publisher".into(),
            unbound: false,
            row_security: "on".into(),
            isolation: "read committed".into(),
            standby: false,
            read_only: false,
            limits: LIMITS.map(|(_, value)| value.to_owned()).to_vec(),
        }
    }

    fn said(found: &Found, role: Role) -> String {
        found.verdict(role).expect_err("is refused").to_string()
    }

    #[test]
    fn a_session_as_it_was_asked_for_is_used() {
        assert_eq!(good().verdict(Role::Publisher), Ok(Server::Writable));
        let gateway = Found { role: "carillon_gateway".into(), read_only: true, ..good() };
        assert_eq!(gateway.verdict(Role::Gateway), Ok(Server::ReadOnly), "a gateway reads");
    }

    #[test]
    fn a_session_that_acts_as_its_login_is_refused_and_says_what_to_write() {
        let limits = ["0", "0", "0", "auto", "on", "on"].map(str::to_owned).to_vec();
        let found = Found { role: "app".into(), limits, ..good() };
        let why = said(&found, Role::Publisher);
        for line in [
            "role is app, not carillon_publisher",
            r#"ALTER ROLE "app" SET role = 'carillon_publisher';"#,
            r#"ALTER ROLE "app" SET statement_timeout = '2s';"#,
            r#"ALTER ROLE "app" SET lock_timeout = '1500ms';"#,
            r#"ALTER ROLE "app" SET idle_in_transaction_session_timeout = '10s';"#,
            r#"ALTER ROLE "app" SET plan_cache_mode = 'force_generic_plan';"#,
            r#"ALTER ROLE "app" SET enable_seqscan = 'off';"#,
            r#"ALTER ROLE "app" SET jit = 'off';"#,
        ] {
            assert!(why.contains(line), "{line} is not in: {why}");
        }
        assert!(matches!(found.verdict(Role::Publisher), Err(LogError::Session(_))));
    }

    #[test]
    fn what_protects_tenants_is_looked_at_before_what_is_for_now() {
        for broken in [
            Found { unbound: true, standby: true, ..good() },
            Found { row_security: "off".into(), standby: true, ..good() },
            Found { isolation: "repeatable read".into(), standby: true, ..good() },
            Found { role: "carillon_gateway".into(), standby: true, ..good() },
        ] {
            assert!(matches!(broken.verdict(Role::Publisher), Err(LogError::Session(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_standby_serves_nobody_and_a_read_only_server_no_publisher() {
        let standby = Found { standby: true, read_only: true, ..good() };
        assert!(said(&standby, Role::Publisher).contains("standby"));
        let gateway = Found { role: "carillon_gateway".into(), ..standby };
        assert!(said(&gateway, Role::Gateway).contains("standby"));
        assert!(said(&Found { read_only: true, ..good() }, Role::Publisher).contains("read-only"));
    }
}
