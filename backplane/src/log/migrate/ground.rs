//! Can this database carry the schema, and is it Postgres itself that we speak with?
//!
//! Asked before anything is written. A migration sets a role and limits for its session, so it must have one of its own: a
//! pooler in transaction mode would leave them on a connection that services use next. A start-up option that nobody else
//! has shows whether the session is ours: poolers drop such options, or refuse them.

use crate::log::error::{LogError, Unwritable};
use crate::log::session::READ_COMMITTED;
use tokio_postgres::{Client, Config};
use uuid::Uuid;

/// Oldest Postgres the schema is for, as `server_version_num` has it.
const OLDEST: i32 = 150_000;
const BEHIND_A_POOLER: &str = "a pooler stands between here and Postgres, on whose connections a migration would leave its \
     settings: give migrate a DATABASE_URL that leads to Postgres itself";

const ASK: &str = "
SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS release,
    pg_catalog.pg_encoding_to_char(encoding)::text AS encoding, datname::text AS name,
    pg_catalog.pg_is_in_recovery() AS standby, coalesce(current_setting('carillon.mark', true), '') AS mark
FROM pg_catalog.pg_database WHERE datname = current_database()";

/// Marks the session to come; answers how.
pub(super) fn mark(config: &mut Config) -> String {
    let mark = Uuid::new_v4().simple().to_string();
    let given = config.get_options().unwrap_or_default();
    let options = format!("{given} -c carillon.mark={mark} -c {READ_COMMITTED}");
    config.options(options.trim());
    mark
}

/// Why there is no session.
pub(super) fn refused(error: tokio_postgres::Error) -> LogError {
    match LogError::from(error) {
        LogError::Session(_) => LogError::Session(BEHIND_A_POOLER.into()),
        other => other,
    }
}

/// An error unless the schema can be brought to this database in this session.
pub(super) async fn check(client: &Client, mark: &str) -> Result<(), LogError> {
    let row = client.query_one(ASK, &[]).await?;
    let ground = Ground {
        version: row.try_get("version")?,
        release: row.try_get("release")?,
        encoding: row.try_get("encoding")?,
        name: row.try_get("name")?,
        standby: row.try_get("standby")?,
        ours: row.try_get::<_, &str>("mark")? == mark,
    };
    ground.verdict()
}

/// What the server says of itself.
#[derive(Debug, Clone)]
struct Ground {
    version: i32,
    release: String,
    encoding: String,
    name: String,
    standby: bool,
    ours: bool,
}

impl Ground {
    fn verdict(&self) -> Result<(), LogError> {
        if !self.ours {
            return Err(LogError::Session(BEHIND_A_POOLER.into()));
        }
        if self.version < OLDEST {
            return Err(LogError::Config(format!(
                "this is Postgres {}, and Carillon needs {} or newer; nothing was written",
                self.release,
                OLDEST / 10_000
            )));
        }
        if self.encoding != "UTF8" {
            return Err(LogError::Config(format!(
                "the database {name} is encoded in {}, and events are UTF-8; nothing was written: \
                 CREATE DATABASE another_name ENCODING 'UTF8' TEMPLATE template0",
                self.encoding,
                name = self.name
            )));
        }
        if self.standby {
            return Err(LogError::Unwritable(Unwritable::Standby, "migrations need the primary".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Ground {
        let (release, encoding, name) = ("15.18".into(), "UTF8".into(), "app".into());
        Ground { version: 150_018, release, encoding, name, standby: false, ours: true }
    }

    #[test]
    fn a_database_that_cannot_carry_the_schema_is_told_so_in_one_sentence() {
        assert_eq!(good().verdict(), Ok(()));
        for (ground, words) in [
            (Ground { version: 130_023, release: "13.23".into(), ..good() }, "this is Postgres 13.23"),
            (Ground { encoding: "LATIN1".into(), ..good() }, "the database app is encoded in LATIN1"),
            (Ground { standby: true, ..good() }, "standby"),
            (Ground { ours: false, ..good() }, "Postgres itself"),
        ] {
            let said = ground.verdict().unwrap_err().to_string();
            assert!(said.contains(words) && said.lines().count() == 1, "{said}");
        }
    }
}
