//! As whom do migrations and services of a stack log in to its database?

use super::error::StackError;
use super::sql;
use crate::environment;
use crate::postgres::{DATABASE, Postgres, SUPERUSER};

/// Whose rights migrations and services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// The superuser's, for all of them.
    Superuser,
    /// Those docs/OPERATIONS.md names, none of a superuser: one that owns the database and may create roles migrates, and
    /// each kind of service has one of its own. All with the superuser's password, where there is one.
    Documented,
}

impl Logins {
    /// The superuser's, unless `CARILLON_POSTGRES_LOGINS` says `documented`.
    pub(super) fn of_environment() -> Self {
        if environment::documented_logins() { Self::Documented } else { Self::Superuser }
    }

    pub(super) fn migrator(self) -> &'static str {
        self.choose("migrator")
    }

    pub(super) fn publisher(self) -> &'static str {
        self.choose("stack_publisher")
    }

    pub(super) fn gateway(self) -> &'static str {
        self.choose("stack_gateway")
    }

    fn choose(self, documented: &'static str) -> &'static str {
        match self {
            Self::Superuser => SUPERUSER,
            Self::Documented => documented,
        }
    }

    /// Before the first migration: the superuser makes the login that migrates.
    pub(super) async fn prepare(self, port: u16, password: Option<&str>) -> Result<(), StackError> {
        if self == Self::Superuser {
            return Ok(());
        }
        let (login, clause) = (self.migrator(), clause(password));
        let text = format!(
            "CREATE ROLE {login} LOGIN CREATEROLE {clause}; ALTER DATABASE {DATABASE} OWNER TO {login}"
        );
        sql::run(&Postgres::url(port, password), &text).await.map(drop)
    }

    /// After the first migration: the login that migrated makes those of the services.
    pub(super) async fn admit_services(self, port: u16, password: Option<&str>) -> Result<(), StackError> {
        if self == Self::Superuser {
            return Ok(());
        }
        let services = [(self.publisher(), "carillon_publisher"), (self.gateway(), "carillon_gateway")];
        let clause = clause(password);
        let text = services
            .map(|(login, role)| format!("CREATE ROLE {login} LOGIN {clause}; GRANT {role} TO {login};"));
        sql::run(&Postgres::url_of(self.migrator(), port, password), &text.concat()).await.map(drop)
    }
}

fn clause(password: Option<&str>) -> String {
    password.map(|password| format!("PASSWORD '{}'", password.replace('\'', "''"))).unwrap_or_default()
}
