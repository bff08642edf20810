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
    /// each kind of service has one of its own. For stacks whose Postgres asks for no passwords.
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
        self.choose("app_publisher")
    }

    pub(super) fn gateway(self) -> &'static str {
        self.choose("app_gateway")
    }

    fn choose(self, documented: &'static str) -> &'static str {
        match self {
            Self::Superuser => SUPERUSER,
            Self::Documented => documented,
        }
    }

    /// Before the first migration: the superuser makes the login that migrates.
    pub(super) async fn prepare(self, port: u16) -> Result<(), StackError> {
        if self == Self::Superuser {
            return Ok(());
        }
        let login = self.migrator();
        let text =
            format!("CREATE ROLE {login} LOGIN CREATEROLE; ALTER DATABASE {DATABASE} OWNER TO {login}");
        sql::run(&Postgres::url(port, None), &text).await.map(drop)
    }

    /// After the first migration: the login that migrated makes those of the services.
    pub(super) async fn admit_services(self, port: u16) -> Result<(), StackError> {
        if self == Self::Superuser {
            return Ok(());
        }
        let services = [(self.publisher(), "carillon_publisher"), (self.gateway(), "carillon_gateway")];
        let text =
            services.map(|(login, role)| format!("CREATE ROLE {login} LOGIN; GRANT {role} TO {login};"));
        sql::run(&Postgres::url_of(self.migrator(), port, None), &text.concat()).await.map(drop)
    }
}
