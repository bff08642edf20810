//! Which events match a question, however long the log is?
//!
//! A search is a row of statements, each of which looks at a bounded part of the log: callers take a turn for each, and
//! may stop in between and go on later from where it stands. Nothing near a statement's time limit is ever asked.
//!
//! | module | question it answers |
//! |---|---|
//! | `filter` | what may be asked for? |
//! | `route` | which part of the log does a search look at next? |
//! | `statement` | what is the database asked for one part? |

mod filter;
mod route;
mod statement;

use super::error::LogError;
use super::pool::Log;
use super::read::{LoggedEvent, logged_event};
use super::scope::scoped;
use super::work::Work;
use carillon_protocol::{Epoch, EventId, Seq, TenantId};
pub use filter::{EventFilter, KindFilter};
pub use route::Order;
use route::{Candidate, Leg, Route, judge};
use statement::{Columns, Params};
use std::time::Instant;
use tokio_postgres::Row;

/// Candidates of the channel index that one statement looks at when they may not match what else was asked.
const CANDIDATES: usize = 1_000;

const BY_ID: &str = "
SELECT e.seq, e.channels, e.body, t.epoch FROM carillon.events e JOIN carillon.tenants t ON t.id = e.tenant_id
WHERE e.tenant_id = $1 AND e.id = $2 ORDER BY e.seq DESC LIMIT 1";

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    tenant: TenantId,
    filter: EventFilter,
    route: Route,
}

impl Search {
    /// Whether everything was looked at.
    pub fn is_done(&self) -> bool {
        self.route.next().is_none()
    }

    /// What was not looked at yet: `after < seq <= upto`.
    pub fn left(&self) -> (Seq, Seq) {
        self.route.left()
    }
}

impl Log {
    /// Begins a search among the events with `after < seq <= upto`.
    pub async fn search(
        &self,
        tenant: &TenantId,
        filter: EventFilter,
        (after, upto): (Seq, Seq),
        order: Order,
    ) -> Result<Search, LogError> {
        let scope = std::iter::once(tenant);
        let rows = scoped(
            self.client(Work::Search, "bounds").await?,
            scope,
            &statement::bounds(),
            &[&tenant.as_str()],
        )
        .await?;
        let row = rows.first().ok_or_else(|| statement::broken("number of rows"))?;
        let [indexed, oldest] = ["indexed", "oldest"].map(|name| Seq(row.get::<_, i64>(name) as u64));
        // There is nothing before the oldest event, so nobody walks there; without any event there is nothing at all.
        let after = if oldest == Seq::ZERO { upto } else { after.max(oldest.previous()) };
        let indexed = if filter.names_channels() { indexed } else { Seq::ZERO };
        let route = Route::new(order, after, upto, indexed, filter.q.is_some());
        Ok(Search { tenant: tenant.clone(), filter, route })
    }

    /// The events that the next statement of a search finds, in its order: at most `limit`, and no more once their
    /// bodies have `bytes`. None may be found although the search is not done.
    pub async fn search_on(
        &self,
        search: &mut Search,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<LoggedEvent>, LogError> {
        let rows = self.step(search, Columns::Events, limit, bytes).await?;
        rows.iter().filter(|row| row.get("matches")).map(logged_event).collect()
    }

    /// As [`Self::search_on`], for the numbers of the events only.
    pub async fn search_seqs(&self, search: &mut Search, limit: usize) -> Result<Vec<Seq>, LogError> {
        let rows = self.step(search, Columns::Seqs, limit, usize::MAX).await?;
        Ok(rows.iter().filter(|row| row.get("matches")).map(seq).collect())
    }

    async fn step(
        &self,
        search: &mut Search,
        columns: Columns,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, LogError> {
        let Some(leg) = search.route.next() else { return Ok(Vec::new()) };
        let (order, query) = match leg {
            Leg::Index { .. } => (search.route.order(), "index"),
            Leg::Walk { .. } => (search.route.order(), "walk"),
        };
        let more = matches!(leg, Leg::Index { .. }) && search.filter.asks_more_than_channels();
        let most = if more { limit.max(CANDIDATES) } else { limit };
        let params = Params::new(&search.tenant, &search.filter, leg, most, bytes);
        let client = self.client(Work::Search, query).await?;
        let began = Instant::now();
        let scope = std::iter::once(&search.tenant);
        let answer = scoped(client, scope, &statement::sql(leg, order, columns), &params.as_list()).await;
        // Bodies may be so large that even the first window takes too long.
        if matches!(answer, Err(LogError::TooSlow(_))) && search.route.smaller() {
            return Ok(Vec::new());
        }
        let mut rows = answer?;
        if matches!(leg, Leg::Walk { .. }) {
            search.route.walked(began.elapsed());
        }
        let candidates: Vec<Candidate> = rows.iter().map(candidate).collect();
        let (used, reached) = judge(leg, order, &candidates, most, limit);
        search.route.reached(reached);
        rows.truncate(used);
        Ok(rows)
    }

    /// One event by its id, with the log's life; the newest if an id was used again under another key.
    pub async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<(Epoch, LoggedEvent)>, LogError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &id.as_str()];
        let rows = scoped(self.client(Work::Search, "event").await?, std::iter::once(tenant), BY_ID, &params)
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let epoch =
            Epoch::new(row.get::<_, &str>("epoch")).map_err(|error| LogError::Database(error.to_string()))?;
        Ok(Some((epoch, logged_event(row)?)))
    }
}

fn seq(row: &Row) -> Seq {
    Seq(row.get::<_, i64>("seq") as u64)
}

fn candidate(row: &Row) -> Candidate {
    Candidate { seq: seq(row), matches: row.get("matches"), whole: row.get("whole") }
}
