//! How does the schema get there?
//!
//! Numbered SQL files, forward only, embedded in the binary. One migrator at a time (an advisory lock); running it
//! again changes nothing; while services run it waits for no lock longer than two seconds and tries a few times, so
//! that it never makes the log's users queue up behind it. Whether the database can carry the schema is asked before
//! anything is written ([`ground`]).

mod ground;

use super::error::LogError;
use super::pool::{Role, driver};
use std::time::Duration;
use tokio_postgres::Client;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrateReport {
    /// The migrations applied now, oldest first; empty when the schema was up to date.
    pub applied: Vec<String>,
}

/// Any number known to all migrators: "carillon" in ASCII.
const LOCK: i64 = 0x63_61_72_69_6c_6c_6f_6e;
const ATTEMPTS: u32 = 5;

/// Makes the roles unless they exist (they belong to the whole server, and somebody else may have made them),
/// and lets the login act as the owner; as the services' roles, too, where it may allow itself to. Since Postgres 16 who
/// makes a role is a member of it, and may give it away, and still may not act as it.
const PREPARE: &str = "
DO $$
DECLARE
    role text;
    acts text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH role IN ARRAY ARRAY['carillon_owner', 'carillon_publisher', 'carillon_gateway', 'carillon_app'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the login may not make the role %: CREATE ROLE % NOLOGIN NOINHERIT', role, role
                    USING ERRCODE = 'insufficient_privilege';
        END;
        IF role <> 'carillon_app' AND NOT pg_has_role(current_user, role, acts) THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', role, current_user);
            EXCEPTION WHEN insufficient_privilege THEN
                IF role = 'carillon_owner' THEN
                    RAISE EXCEPTION 'the login may not act as carillon_owner, a role that somebody else made: GRANT carillon_owner TO %',
                        quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
                END IF;
            END;
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'carillon') THEN
        CREATE SCHEMA carillon AUTHORIZATION carillon_owner;
    END IF;
END $$";

const SESSION: &str =
    "SET lock_timeout = '2s'; SET statement_timeout = '5min'; SET client_min_messages = warning";
const AS_OWNER: &str = "SET ROLE carillon_owner; SET search_path = carillon";

/// Brings the schema up to date. The login needs to be a superuser, or the owner of the database with CREATEROLE, or
/// (when the roles exist) one that may act as carillon_owner.
pub async fn migrate(url: &str) -> Result<MigrateReport, LogError> {
    let (mut config, tls) = driver(url, Role::Owner)?;
    let mark = ground::mark(&mut config);
    let (mut client, connection) = config.connect(tls).await.map_err(ground::refused)?;
    let driver = tokio::spawn(connection);
    let result = match ground::check(&client, &mark).await {
        Ok(()) => locked(&mut client).await,
        Err(error) => Err(error),
    };
    drop(client);
    // The connection ends with its client; what it has to say was said to the client.
    let _ = driver.await;
    result
}

async fn locked(client: &mut Client) -> Result<MigrateReport, LogError> {
    client.batch_execute("SET lock_timeout = '60s'").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    client.batch_execute(SESSION).await?;
    client.batch_execute(PREPARE).await?;
    client.batch_execute(AS_OWNER).await?;
    for attempt in 1.. {
        match embedded::migrations::runner().set_grouped(false).run_async(client).await {
            Ok(report) => {
                let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
                return Ok(MigrateReport { applied });
            }
            Err(error) if attempt < ATTEMPTS && error.to_string().contains("lock timeout") => {
                tracing::warn!(attempt, "a lock was not to be had within two seconds, migrating again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(LogError::Database(describe(&error))),
        }
    }
    unreachable!("the last attempt returns")
}

/// The error with its causes: the driver's own text says only "db error".
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
