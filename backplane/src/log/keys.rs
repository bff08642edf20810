//! Who is the bearer of this API key?

use super::error::LogError;
use super::pool::{Log, exchange};
use super::scope::scoped_as;
use super::settings::Owner;
use super::work::Work;
use carillon_protocol::TenantId;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// An API key as stored: the secret itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part, between `crln_` and the second underscore.
    pub id: String,
    /// SHA-256 of the secret part.
    pub hash: [u8; 32],
    /// The tenant it is bound to; none: all tenants.
    pub tenant: Option<TenantId>,
    /// May publish.
    pub publish: bool,
    /// May read the log.
    pub read: bool,
    /// May administer.
    pub admin: bool,
    /// May publish for people, as rules let them: a gateway's own.
    pub relay: bool,
    /// When it ends, seconds since 1970.
    pub expires_at_secs: Option<u64>,
}

/// An API key as its administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The public part.
    pub id: String,
    /// What its administrators call it.
    pub name: Option<String>,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, within a minute or two.
    pub last_used_at: Option<Timestamp>,
    /// Which one it replaces.
    pub replaces: Option<String>,
    /// Which one replaces it.
    pub replaced_by: Option<String>,
}

const MAKE: &str = "SELECT carillon.create_api_key($1, $2, $3, $4, $5, $6, $7)";
const LIST: &str = "SELECT * FROM carillon.list_api_keys($1, $2, $3, $4)";
const CHANGE: &str = "SELECT carillon.change_api_key($1, $2, $3, $4)";
const ROTATE: &str = "SELECT carillon.rotate_api_key($1, $2, $3, $4, $5, $6)";
const END: &str = "SELECT carillon.revoke_api_key($1, $2)";
const USED: &str = "SELECT carillon.note_key_use($1)";
const SET_KEY: &str = "SELECT set_config('carillon.api_key', $1, true)";
const FIND: &str = "
SELECT id, hash, tenant_id, scopes, extract(epoch FROM expires_at)::bigint AS expires_at
FROM carillon.api_keys WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";
const MAINTAIN: &str = "SET LOCAL ROLE carillon_owner; SET LOCAL carillon.maintenance = 'on'";
const CREATE: &str = "
INSERT INTO carillon.api_keys (id, hash, tenant_id, scopes, expires_at)
VALUES ($1, $2, $3, $4, to_timestamp($5::bigint))";
const ENROL: &str = "SELECT carillon.enrol_gateway($1, $2)";
const REVOKE: &str = "UPDATE carillon.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";

const WHOSE: &str = "
SELECT tenant_id FROM carillon.api_keys WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    AND scopes <> '{relay}'";

/// What came of a change of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// It is so.
    Done,
    /// There is no key of that id that works.
    NoKey,
    /// There are as many that work as may be.
    TooMany,
    /// Whoever asks does so with a key that has ended.
    Ended,
}

impl Log {
    /// The key of that id, unless it was revoked or has expired.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKey>, LogError> {
        let rows = exchange(self.client(Work::Ask, "key").await?, async |client| {
            let (set, find) = (client.prepare_cached(SET_KEY).await?, client.prepare_cached(FIND).await?);
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&id];
            let (begun, named, rows, committed) = tokio::join!(
                biased;
                client.batch_execute("BEGIN"),
                client.query(&set, &params),
                client.query(&find, &params),
                client.batch_execute("COMMIT"),
            );
            begun?;
            named?;
            let rows = rows?;
            committed?;
            Ok(rows)
        })
        .await?;
        rows.first().map(api_key).transpose()
    }

    /// Stores a new key. Needs a login that may act as carillon_owner.
    pub async fn create_api_key(&self, key: &ApiKey) -> Result<(), LogError> {
        let scopes: Vec<&str> =
            [(key.publish, "publish"), (key.read, "read"), (key.admin, "admin"), (key.relay, "relay")]
                .into_iter()
                .filter_map(|(granted, scope)| granted.then_some(scope))
                .collect();
        let tenant = key.tenant.as_ref().map(TenantId::as_str);
        let expires = key.expires_at_secs.map(|secs| secs as i64);
        let mut client = self.client(Work::Ask, "key").await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(MAINTAIN).await?;
        transaction.execute(CREATE, &[&key.id, &key.hash.as_slice(), &tenant, &scopes, &expires]).await?;
        Ok(transaction.commit().await?)
    }

    /// Stores a gateway's own key, good for a day. Nothing else is stored that way, so a gateway's login makes no other key.
    pub async fn enrol_gateway(&self, id: &str, hash: &[u8; 32]) -> Result<(), LogError> {
        exchange(self.client(Work::Ask, "key").await?, async |client| {
            let enrol = client.prepare_cached(ENROL).await?;
            client.query(&enrol, &[&id, &hash.as_slice()]).await?;
            Ok(())
        })
        .await
    }

    /// Makes a key of a tenant, or of all, if there are not `most` that work.
    pub async fn make_api_key(
        &self,
        (id, hash): (&str, &[u8; 32]),
        tenant: Option<&TenantId>,
        (name, scopes, expires_at): (Option<&str>, &[&str], Option<Timestamp>),
        most: u32,
    ) -> Result<KeyChange, LogError> {
        let (of, most, hash) = (tenant.map(TenantId::as_str), most as i32, hash.as_slice());
        self.about_key(
            tenant,
            MAKE,
            &[&id, &hash, &of, &scopes, &name, &expires_at, &most],
            KeyChange::TooMany,
        )
        .await
    }

    /// The keys of a tenant, or those for all: at most `most` after one by id, or the one of an id.
    pub async fn api_keys(
        &self,
        tenant: Option<&TenantId>,
        after: &str,
        only: Option<&str>,
        most: usize,
    ) -> Result<Vec<KeyEntry>, LogError> {
        let (of, most) = (tenant.map(TenantId::as_str), most as i32);
        let rows = exchange(self.client(Work::Ask, "keys").await?, async |client| {
            let list = client.prepare_cached(LIST).await?;
            Ok(client.query(&list, &[&of, &after, &only, &most]).await?)
        })
        .await?;
        let entry = |row: &Row| KeyEntry {
            id: row.get("id"),
            name: row.get("name"),
            scopes: row.get("scopes"),
            created_at: row.get("created_at"),
            expires_at: row.get("expires_at"),
            revoked_at: row.get("revoked_at"),
            last_used_at: row.get("last_used_at"),
            replaces: row.get("replaces"),
            replaced_by: row.get("replaced_by"),
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// Gives a key another name and another end. One that was replaced ends no later than it would have.
    pub async fn change_api_key(
        &self,
        tenant: Option<&TenantId>,
        id: &str,
        name: Option<&str>,
        expires_at: Option<Timestamp>,
    ) -> Result<KeyChange, LogError> {
        let of = tenant.map(TenantId::as_str);
        self.about_key(tenant, CHANGE, &[&id, &of, &name, &expires_at], KeyChange::NoKey).await
    }

    /// Makes a key that may do what another may, which goes on for `overlap` seconds, if there are not `most` that work.
    pub async fn rotate_api_key(
        &self,
        tenant: Option<&TenantId>,
        id: &str,
        (fresh, hash): (&str, &[u8; 32]),
        overlap: u32,
        most: u32,
    ) -> Result<KeyChange, LogError> {
        let (of, hash, overlap) = (tenant.map(TenantId::as_str), hash.as_slice(), i64::from(overlap));
        let most = most as i32;
        self.about_key(tenant, ROTATE, &[&id, &of, &fresh, &hash, &overlap, &most], KeyChange::TooMany).await
    }

    /// Ends a key of a tenant, or one for all.
    pub async fn end_api_key(&self, tenant: Option<&TenantId>, id: &str) -> Result<KeyChange, LogError> {
        let of = tenant.map(TenantId::as_str);
        self.about_key(tenant, END, &[&id, &of], KeyChange::NoKey).await
    }

    /// A key was proven just now.
    pub async fn note_key_use(&self, id: &str) -> Result<(), LogError> {
        exchange(self.client(Work::Upkeep, "key use").await?, async |client| {
            let note = client.prepare_cached(USED).await?;
            client.query(&note, &[&id]).await?;
            Ok(())
        })
        .await
    }

    async fn about_key(
        &self,
        tenant: Option<&TenantId>,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        refused: KeyChange,
    ) -> Result<KeyChange, LogError> {
        let client = self.client(Work::Ask, "key").await?;
        let scope = tenant.map(TenantId::as_str).into_iter();
        let rows = scoped_as(client, scope, self.actor.as_deref(), sql, params).await?;
        Ok(match rows.first().map(|row| row.get(0)) {
            None => KeyChange::NoKey,
            Some(None) => KeyChange::Ended,
            Some(Some(true)) => KeyChange::Done,
            Some(Some(false)) => refused,
        })
    }

    /// Whose a key is that works: a tenant's, or for all. None: there is no such key. Needs a login that may act as carillon_owner.
    pub async fn owner_of_api_key(&self, id: &str) -> Result<Option<Owner>, LogError> {
        let mut client = self.client(Work::Ask, "key").await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(MAINTAIN).await?;
        let rows = transaction.query(WHOSE, &[&id]).await?;
        transaction.commit().await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let tenant = row.get::<_, Option<&str>>("tenant_id").map(TenantId::new).transpose();
        let tenant = tenant.map_err(|error| LogError::Database(error.to_string()))?;
        Ok(Some(tenant.map_or(Owner::Installation, Owner::Tenant)))
    }

    /// Ends a key; false when there is none of that id that still works.
    pub async fn revoke_api_key(&self, id: &str) -> Result<bool, LogError> {
        let mut client = self.client(Work::Ask, "key").await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(MAINTAIN).await?;
        let revoked = transaction.execute(REVOKE, &[&id]).await?;
        transaction.commit().await?;
        Ok(revoked > 0)
    }
}

pub(super) fn api_key(row: &Row) -> Result<ApiKey, LogError> {
    let broken = |what: &str| LogError::Database(format!("stored API key has a bad {what}"));
    let scopes: Vec<&str> = row.get("scopes");
    let tenant: Option<&str> = row.get("tenant_id");
    Ok(ApiKey {
        id: row.get("id"),
        hash: row.get::<_, &[u8]>("hash").try_into().map_err(|_| broken("hash"))?,
        tenant: tenant.map(TenantId::new).transpose().map_err(|_| broken("tenant"))?,
        publish: scopes.contains(&"publish"),
        read: scopes.contains(&"read"),
        admin: scopes.contains(&"admin"),
        relay: scopes.contains(&"relay"),
        expires_at_secs: row.get::<_, Option<i64>>("expires_at").map(|secs| secs as u64),
    })
}
