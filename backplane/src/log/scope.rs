//! How does one transaction see exactly the tenants it names?
//!
//! The only place that sets `carillon.tenant`. The setting ends with its transaction, so the next user of a pooled
//! connection sees nothing until it names its own scope. All four messages leave in one flight: the futures of one
//! client are sent in the order they are first polled, and nothing is awaited between them, so a scope costs no
//! round trip and a cancelled caller cannot leave a transaction half sent.

use super::days::Days;
use super::error::LogError;
use super::pool::{Client, exchange};
use super::session::Session;
use carillon_protocol::TenantId;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

/// Lets the rest of the transaction see a tenant and nothing else.
pub(super) const SET_SCOPE: &str = "SELECT set_config('carillon.tenant', $1, true)";
const SET_SCOPE_AND_LOCK_WAIT: &str =
    "SELECT set_config('carillon.tenant', $1, true), set_config('lock_timeout', $2, true)";

/// And who asks, for the record of changes.
const SET_SCOPE_AND_ACTOR: &str =
    "SELECT set_config('carillon.tenant', $1, true), set_config('carillon.actor', $2, true)";

/// A plan for the statement's own parameters: partitions of other days are not even locked.
pub(super) const SET_SCOPE_AND_DAYS: &str = "SELECT set_config('carillon.tenant', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)";

/// Runs `sql` in a transaction of its own that sees `tenants` and nothing else.
pub(super) async fn scoped(
    client: Client,
    tenants: impl Iterator<Item = &TenantId>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    scoped_by_names(client, tenants.map(TenantId::as_str), sql, params).await
}

/// The same for names of tenants and `*`, whose settings are the installation's.
pub(super) async fn scoped_by_names<'a>(
    client: Client,
    names: impl Iterator<Item = &'a str>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    let scope = names.collect::<Vec<_>>().join(",");
    exchange(client, async |client| {
        let (set_scope, statement) =
            (client.prepare_cached(SET_SCOPE).await?, client.prepare_cached(sql).await?);
        transaction(client, &set_scope, &[&scope], &statement, params).await
    })
    .await
}

/// The same with a plan for these parameters: where some of them are null, and no index would do for all that may be asked.
pub(super) async fn scoped_planned<'a>(
    client: Client,
    names: impl Iterator<Item = &'a str>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    let scope = names.collect::<Vec<_>>().join(",");
    exchange(client, async |client| {
        let (set_scope, statement) =
            (client.prepare_cached(SET_SCOPE_AND_DAYS).await?, client.prepare_cached(sql).await?);
        transaction(client, &set_scope, &[&scope], &statement, params).await
    })
    .await
}

/// The same for a change that an administrator asks for, if that is known: it is recorded as theirs.
pub(super) async fn scoped_as<'a>(
    client: Client,
    names: impl Iterator<Item = &'a str>,
    actor: Option<&str>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    let scope = names.collect::<Vec<_>>().join(",");
    let actor = actor.unwrap_or_default();
    exchange(client, async |client| {
        let (set_scope, statement) =
            (client.prepare_cached(SET_SCOPE_AND_ACTOR).await?, client.prepare_cached(sql).await?);
        transaction(client, &set_scope, &[&scope, &actor], &statement, params).await
    })
    .await
}

/// The same for a statement about one tenant's events or index, whose parameters name these days.
pub(super) async fn scoped_in(
    client: Client,
    tenant: &TenantId,
    days: Days,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    scoped_with(client, if days.is_all() { SET_SCOPE } else { SET_SCOPE_AND_DAYS }, tenant, sql, params).await
}

/// The same, with what sets the scope.
pub(super) async fn scoped_with(
    client: Client,
    set_scope: &str,
    tenant: &TenantId,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    exchange(client, async |client| {
        let (set_scope, statement) =
            (client.prepare_cached(set_scope).await?, client.prepare_cached(sql).await?);
        transaction(client, &set_scope, &[&tenant.as_str()], &statement, params).await
    })
    .await
}

/// The same for a statement that waits for each lock no longer than `lock_wait`.
pub(super) async fn scoped_with_lock_wait(
    client: Client,
    tenants: impl Iterator<Item = &TenantId>,
    lock_wait: Duration,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    let scope = names(tenants);
    // Zero would mean: wait for ever.
    let lock_wait = lock_wait.as_millis().max(1).to_string();
    exchange(client, async |client| {
        let (set_scope, statement) =
            (client.prepare_cached(SET_SCOPE_AND_LOCK_WAIT).await?, client.prepare_cached(sql).await?);
        transaction(client, &set_scope, &[&scope, &lock_wait], &statement, params).await
    })
    .await
}

fn names<'a>(tenants: impl Iterator<Item = &'a TenantId>) -> String {
    tenants.map(TenantId::as_str).collect::<Vec<_>>().join(",")
}

async fn transaction(
    client: &Session,
    set_scope: &Statement,
    scope: &[&(dyn ToSql + Sync)],
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LogError> {
    let (begun, scoped, rows, committed) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        client.query(set_scope, scope),
        client.query(statement, params),
        client.batch_execute("COMMIT"),
    );
    begun?;
    scoped?;
    // A failed statement turned the COMMIT into a ROLLBACK; its error is the one to tell.
    let rows = rows?;
    committed?;
    Ok(rows)
}
