//! What has somebody said about what they want to get?

use super::error::LogError;
use super::pool::Log;
use super::scope::{scoped, scoped_as};
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
const SET: &str = "SELECT known, version FROM carillon.set_preferences($1, $2, $3)";
const SET_DEFAULTS: &str = "SELECT known, moved FROM carillon.set_preference_defaults($1, $2)";

/// Preferences were set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PreferencesSet {
    /// The version of the person's inbox, if what stands in it may be otherwise now.
    pub inbox: Option<u64>,
    /// Whether what stands in the inboxes of the tenant's people may be otherwise now.
    pub inboxes: bool,
}

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

    /// Sets what a person says, or without one what their tenant says (JSON). None if there is no such tenant.
    pub async fn set_preferences(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        preferences: &str,
    ) -> Result<Option<PreferencesSet>, LogError> {
        let (name, scope, by) = (tenant.as_str(), std::iter::once(tenant.as_str()), self.actor.as_deref());
        let client = self.client(Work::Ask, "preferences").await?;
        let rows = match user {
            Some(user) => scoped_as(client, scope, by, SET, &[&name, &user.as_str(), &preferences]).await?,
            None => scoped_as(client, scope, by, SET_DEFAULTS, &[&name, &preferences]).await?,
        };
        let known = rows.first().filter(|row| row.get("known"));
        Ok(known.map(|row| match user {
            Some(_) => PreferencesSet {
                inbox: row.get::<_, Option<i64>>("version").map(|version| version as u64),
                inboxes: false,
            },
            None => PreferencesSet { inbox: None, inboxes: row.get("moved") },
        }))
    }
}
