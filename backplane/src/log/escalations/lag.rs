//! How many steps of escalations are due, and for how long?

use crate::log::error::LogError;
use crate::log::pool::Log;
use crate::log::scope::scoped;
use crate::log::work::Work;
use carillon_protocol::TenantId;
use tokio_postgres::types::ToSql;

/// Steps that are counted when it is asked how many are due.
const COUNTED: u32 = 201;
/// Of one tenant; of one that is suspended none is due.
const LATE: &str = "
SELECT count(*) AS due, coalesce(max(extract(epoch FROM clock_timestamp() - d.due_at)), 0)::double precision AS seconds
FROM (SELECT e.due_at FROM carillon.escalations e WHERE e.tenant_id = $1 AND e.due_at <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM carillon.tenant_limits l WHERE l.tenant_id = $1 AND l.suspended)
    ORDER BY e.due_at LIMIT $2) AS d";

/// Steps that are due, of one tenant or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EscalationLag {
    /// How many; of more than 200: 201.
    pub due: u32,
    /// For how many seconds the one is due that is due longest; 0 when none is.
    pub seconds: f64,
}

impl Log {
    /// How many steps of this tenant, or of all, are due, and for how long.
    pub async fn escalation_lag(&self, tenant: Option<&TenantId>) -> Result<EscalationLag, LogError> {
        let Some(tenant) = tenant else {
            let due = self.escalations_due(&[], COUNTED).await?;
            let seconds = due.first().map_or(0.0, |first| first.waited.as_secs_f64());
            return Ok(EscalationLag { due: due.len() as u32, seconds });
        };
        let client = self.client(Work::Upkeep, "lag").await?;
        let params: [&(dyn ToSql + Sync); 2] = [&tenant.as_str(), &i64::from(COUNTED)];
        let rows = scoped(client, std::iter::once(tenant), LATE, &params).await?;
        Ok(rows.first().map_or(EscalationLag::default(), |row| EscalationLag {
            due: row.get::<_, i64>("due") as u32,
            seconds: row.get("seconds"),
        }))
    }
}
