//! What has somebody said about what they want to get?

use super::error::LogError;
use super::pool::Log;
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::{TenantId, UserId};

/// What is stored about what a person gets, each as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPreferences {
    /// By themselves; none: nothing.
    pub person: Option<String>,
    /// By their tenant, for whoever has said nothing.
    pub tenant: Option<String>,
}

const OF: &str = "
SELECT (SELECT preferences FROM carillon.preferences WHERE tenant_id = $1 AND user_id = $2) AS person,
       (SELECT preferences FROM carillon.preference_defaults WHERE tenant_id = $1) AS tenant";
/// No row without a tenant.
const SET: &str = "
INSERT INTO carillon.preferences (tenant_id, user_id, preferences)
SELECT id, $2, $3 FROM carillon.tenants WHERE id = $1
ON CONFLICT (tenant_id, user_id) DO UPDATE SET preferences = excluded.preferences, changed_at = excluded.changed_at
RETURNING tenant_id";
const SET_DEFAULTS: &str = "
INSERT INTO carillon.preference_defaults (tenant_id, preferences)
SELECT id, $2 FROM carillon.tenants WHERE id = $1
ON CONFLICT (tenant_id) DO UPDATE SET preferences = excluded.preferences, changed_at = excluded.changed_at
RETURNING tenant_id";

impl Log {
    /// What is said about what a person gets; of nobody in particular, what their tenant says.
    pub async fn preferences(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
    ) -> Result<StoredPreferences, LogError> {
        // No person has this name.
        let user = user.map_or("", UserId::as_str);
        let client = self.client(Work::Ask, "preferences").await?;
        let rows = scoped(client, std::iter::once(tenant), OF, &[&tenant.as_str(), &user]).await?;
        let read = |row: &tokio_postgres::Row| StoredPreferences {
            person: row.get("person"),
            tenant: row.get("tenant"),
        };
        Ok(rows.first().map(read).unwrap_or_default())
    }

    /// Sets what a person says, or without one what their tenant says (JSON). False if there is no such tenant.
    pub async fn set_preferences(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        preferences: &str,
    ) -> Result<bool, LogError> {
        let (name, scope) = (tenant.as_str(), std::iter::once(tenant));
        let client = self.client(Work::Ask, "preferences").await?;
        let rows = match user {
            Some(user) => scoped(client, scope, SET, &[&name, &user.as_str(), &preferences]).await?,
            None => scoped(client, scope, SET_DEFAULTS, &[&name, &preferences]).await?,
        };
        Ok(!rows.is_empty())
    }
}
