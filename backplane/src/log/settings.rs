//! What is set for a tenant, and of which version is it?
//!
//! A gateway reads the versions with the heads ([`super::heads`]) and the settings when a version is another. Whoever writes
//! names the version that it has read: a write moves it in the same statement, or finds that somebody was quicker.

use super::error::LogError;
use super::pool::Log;
use super::revocations::{StoredRevocation, revoked};
use super::scope::{scoped_as, scoped_by_names};
use super::work::Work;
use carillon_protocol::{SettingsVersion, TenantId};
use tokio_postgres::Row;

/// Who has settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// One tenant.
    Tenant(TenantId),
    /// The installation: what holds where a tenant has set nothing.
    Installation,
}

/// A channel rule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRule {
    /// For which channels.
    pub pattern: String,
    /// What it says, as JSON.
    pub rule: String,
}

/// All that is set for one owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of this version.
    pub version: u64,
    /// The channel rules, by pattern.
    pub rules: Vec<StoredRule>,
    /// The application that is asked where a rule says `ask`.
    pub application: Option<StoredApplication>,
    /// How much the tenant may have and do, as JSON.
    pub limits: Option<String>,
    /// Whether the tenant may do nothing for now.
    pub suspended: bool,
    /// Who was disconnected, of what was asked for.
    pub revoked: Vec<StoredRevocation>,
}

/// A tenant's application as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredApplication {
    /// Where it is asked.
    pub url: String,
    /// What questions are signed with.
    pub secret: String,
    /// The secret before, and until when it signs, too: seconds since 1970.
    pub before: Option<(String, u64)>,
    /// Counts the changes of this; set by the write.
    pub generation: u64,
}

impl std::fmt::Debug for StoredApplication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secrets, and what may be one in the URL's query, are nobody's to read.
        f.debug_struct("StoredApplication").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A change of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange<'a> {
    /// It says this from now on, as JSON.
    Put(&'a str),
    /// It is gone.
    Delete,
}

/// One statement, so that the version belongs to the rules and to the revocations. Of these it has what came after a version that
/// the asker names for each tenant; who has none gets those that still hold.
const SETTINGS: &str = "
SELECT o.id, o.settings_version, r.patterns, r.rules, s.authorize_url, s.authorize_secret, s.authorize_secret_before,
       extract(epoch FROM s.authorize_before_until)::bigint AS authorize_before_until, s.authorize_generation,
       l.limits::text AS limits, coalesce(l.suspended, false) AS suspended, v.users, v.devices, v.connections, v.moments, v.ends
FROM (SELECT id, settings_version FROM carillon.tenants
      UNION ALL SELECT id, settings_version FROM carillon.installation) AS o
LEFT JOIN carillon.tenant_settings AS s ON s.tenant_id = o.id
LEFT JOIN carillon.tenant_limits AS l ON l.tenant_id = o.id
CROSS JOIN LATERAL (SELECT array_agg(pattern ORDER BY pattern) AS patterns, array_agg(rule::text ORDER BY pattern) AS rules
         FROM carillon.channel_rules WHERE tenant_id = o.id) AS r
LEFT JOIN unnest($1::text[], $2::bigint[]) AS known (tenant, version) ON known.tenant = o.id
CROSS JOIN LATERAL (SELECT array_agg(user_id) AS users, array_agg(device) AS devices, array_agg(connection) AS connections,
             array_agg((extract(epoch FROM revoked_at) * 1000000)::bigint) AS moments,
             array_agg(extract(epoch FROM until)::bigint) AS ends
         FROM carillon.revocations WHERE tenant_id = o.id AND version > coalesce(known.version, 0)
             AND (known.version > 0 OR until > now())) AS v";

/// A row is answered exactly if the version was still the one that was named.
const PUT: &str = "
WITH moved AS (
    UPDATE carillon.TABLE SET settings_version = carillon.next_version(settings_version)
    WHERE id = $1 AND settings_version = $2 RETURNING id)
INSERT INTO carillon.channel_rules (tenant_id, pattern, rule) SELECT id, $3, $4::text::jsonb FROM moved
ON CONFLICT (tenant_id, pattern) DO UPDATE SET rule = excluded.rule, changed_at = excluded.changed_at
RETURNING pattern";
const DELETE: &str = "
WITH moved AS (
    UPDATE carillon.TABLE SET settings_version = carillon.next_version(settings_version)
    WHERE id = $1 AND settings_version = $2 RETURNING id)
DELETE FROM carillon.channel_rules USING moved WHERE tenant_id = moved.id AND pattern = $3
RETURNING pattern";
const PUT_APPLICATION: &str = "
WITH moved AS (
    UPDATE carillon.tenants SET settings_version = carillon.next_version(settings_version)
    WHERE id = $1 AND settings_version = $2 RETURNING id, settings_version)
INSERT INTO carillon.tenant_settings AS s
    (tenant_id, authorize_url, authorize_secret, authorize_secret_before, authorize_before_until, authorize_generation)
SELECT id, $3, $4, $5, to_timestamp($6::bigint), settings_version FROM moved
ON CONFLICT (tenant_id) DO UPDATE SET authorize_url = excluded.authorize_url,
    authorize_secret = excluded.authorize_secret, authorize_secret_before = excluded.authorize_secret_before,
    authorize_before_until = excluded.authorize_before_until,
    authorize_generation = excluded.authorize_generation, changed_at = excluded.changed_at
RETURNING tenant_id";

impl Owner {
    /// Which tenant it is; none for the installation.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Installation => None,
        }
    }

    /// The name that stands in the tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Installation => INSTALLATION,
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenants",
            Self::Installation => "installation",
        }
    }
}

/// No tenant can be called so.
const INSTALLATION: &str = "*";

impl Log {
    /// The settings of the installation and of these tenants, in one query whatever their number. Unknown tenants are left out. With
    /// each tenant the version up to which its revocations are known, to have the later ones; with 0 all that hold.
    pub async fn settings(
        &self,
        tenants: &[(TenantId, u64)],
    ) -> Result<(Settings, Vec<(TenantId, Settings)>), LogError> {
        let names: Vec<&str> = tenants.iter().map(|(tenant, _)| tenant.as_str()).collect();
        let known: Vec<i64> = tenants.iter().map(|(_, version)| *version as i64).collect();
        let scope = names.iter().copied().chain([INSTALLATION]);
        let client = self.client(Work::Ask, "settings").await?;
        let rows = scoped_by_names(client, scope, SETTINGS, &[&names, &known]).await?;
        let (mut defaults, mut found) = (Settings::default(), Vec::with_capacity(tenants.len()));
        for row in &rows {
            match row.get::<_, &str>("id") {
                INSTALLATION => defaults = settings(row),
                name => {
                    let tenant =
                        TenantId::new(name).map_err(|error| LogError::Database(error.to_string()))?;
                    found.push((tenant, settings(row)));
                }
            }
        }
        Ok((defaults, found))
    }

    /// The settings of one owner; none if there is no such tenant.
    pub async fn settings_of(&self, owner: &Owner) -> Result<Option<Settings>, LogError> {
        match owner {
            Owner::Tenant(tenant) => {
                let (_, mut found) = self.settings(&[(tenant.clone(), 0)]).await?;
                Ok(found.pop().map(|(_, settings)| settings))
            }
            Owner::Installation => Ok(Some(self.settings(&[]).await?.0)),
        }
    }

    /// Changes one rule if the owner's settings are still of this version, and moves that. False when they are not, or when
    /// there is no such rule to delete: nothing was changed.
    pub async fn change_rule(
        &self,
        owner: &Owner,
        version: u64,
        pattern: &str,
        change: RuleChange<'_>,
    ) -> Result<bool, LogError> {
        let (name, version) = (owner.name(), version as i64);
        let client = self.client(Work::Ask, "rule").await?;
        let names = std::iter::once(name);
        let rows = match change {
            RuleChange::Put(rule) => {
                let sql = PUT.replace("TABLE", owner.table());
                scoped_as(client, names, self.actor.as_deref(), &sql, &[&name, &version, &pattern, &rule])
                    .await?
            }
            RuleChange::Delete => {
                let sql = DELETE.replace("TABLE", owner.table());
                scoped_as(client, names, self.actor.as_deref(), &sql, &[&name, &version, &pattern]).await?
            }
        };
        Ok(!rows.is_empty())
    }

    /// Sets the application that is asked, or none, if the tenant's settings are still of this version, and moves that. False when
    /// they are not: nothing was changed.
    pub async fn set_application(
        &self,
        tenant: &TenantId,
        version: u64,
        application: Option<&StoredApplication>,
    ) -> Result<bool, LogError> {
        let (name, version) = (tenant.as_str(), version as i64);
        let url = application.map(|set| set.url.as_str());
        let secret = application.map(|set| set.secret.as_str());
        let before = application.and_then(|set| set.before.as_ref());
        let (before, until) =
            (before.map(|(secret, _)| secret.as_str()), before.map(|(_, until)| *until as i64));
        let client = self.client(Work::Ask, "application").await?;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&name, &version, &url, &secret, &before, &until];
        let rows =
            scoped_as(client, std::iter::once(name), self.actor.as_deref(), PUT_APPLICATION, &params).await?;
        Ok(!rows.is_empty())
    }
}

fn settings(row: &Row) -> Settings {
    let texts = |name: &str| row.get::<_, Option<Vec<String>>>(name).unwrap_or_default();
    let rules = texts("patterns").into_iter().zip(texts("rules"));
    Settings {
        version: row.get::<_, i64>("settings_version") as u64,
        rules: rules.map(|(pattern, rule)| StoredRule { pattern, rule }).collect(),
        application: application(row),
        limits: row.get("limits"),
        suspended: row.get("suspended"),
        revoked: revoked(row),
    }
}

fn application(row: &Row) -> Option<StoredApplication> {
    let until = row.get::<_, Option<i64>>("authorize_before_until").map(|until| until as u64);
    Some(StoredApplication {
        url: row.get::<_, Option<String>>("authorize_url")?,
        secret: row.get::<_, Option<String>>("authorize_secret")?,
        before: row.get::<_, Option<String>>("authorize_secret_before").zip(until),
        generation: row.get::<_, Option<i64>>("authorize_generation")? as u64,
    })
}

/// The versions in a row of the watch.
pub(super) fn version(row: &Row) -> SettingsVersion {
    SettingsVersion {
        tenant: row.get::<_, i64>("settings_version") as u64,
        defaults: row.get::<_, Option<i64>>("defaults_version").unwrap_or_default() as u64,
    }
}
