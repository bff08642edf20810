//! Which events match a question, however long the log is?
//!
//! A search is a row of statements, each of which looks at a bounded part of the log: callers take a turn for each, and
//! may stop in between and go on later from where it stands. Nothing near a statement's time limit is ever asked.
//!
//! | module | question it answers |
//! |---|---|
//! | `filter` | what may be asked for? |
//! | `parts` | in which days does the next part of a search lie? |
//! | `route` | which part of the log does a search look at next? |
//! | `statement` | what is the database asked for one part? |

mod filter;
mod parts;
mod route;
mod statement;

use super::days::Days;
use super::error::LogError;
use super::places::Calendar;
use super::pool::Log;
use super::read::{LoggedEvent, logged_event};
use super::scope::{scoped, scoped_in};
use super::work::Work;
use carillon_protocol::{Epoch, EventId, Seq, TenantId};
pub use filter::EventFilter;
pub(super) use filter::type_params;
use parts::Stretches;
pub use route::Order;
use route::{Candidate, Leg, Route, Verdict, judge};
use statement::{Columns, Params};
use std::sync::Arc;
use std::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Candidates of the channel index that one statement looks at when they may not match what else was asked.
const CANDIDATES: usize = 1_000;

const BY_ID: &str = "
SELECT e.seq, e.channels, e.body, t.epoch FROM carillon.events e JOIN carillon.tenants t ON t.id = e.tenant_id
WHERE e.tenant_id = $1 AND e.id = $2 AND e.at >= $3 AND e.at < $4 ORDER BY e.seq DESC LIMIT 1";

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    tenant: TenantId,
    filter: EventFilter,
    route: Route,
    calendar: Arc<Calendar>,
    /// Which days of the index are left.
    index: Option<Stretches>,
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
        let calendar = self.calendar(Work::Search, "bounds").await?;
        let (client, scope) = (self.client(Work::Search, "bounds").await?, std::iter::once(tenant));
        let rows = scoped(client, scope, &statement::indexed(), &[&tenant.as_str()]).await?;
        let row = rows.first().ok_or_else(|| statement::broken("number of rows"))?;
        let indexed = Seq(row.get::<_, i64>("indexed") as u64);
        let oldest = self.oldest_for(Work::Search, tenant).await?;
        // There is nothing before the oldest event, so nobody walks there; without any event there is nothing at all.
        let after = oldest.map_or(upto, |oldest| after.max(oldest.previous()));
        let indexed = if filter.names_channels() { indexed } else { Seq::ZERO };
        let route = Route::new(order, (after, upto), indexed, filter.channels_named(), filter.q.is_some());
        Ok(Search { tenant: tenant.clone(), filter, route, calendar, index: None })
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
        match search.route.next() {
            None => Ok(Vec::new()),
            Some(leg @ Leg::Walk { .. }) => self.walk(search, leg, columns, (limit, bytes)).await,
            Some(Leg::Index { .. }) => self.look_up(search, columns, (limit, bytes)).await,
        }
    }

    /// Looks at each event of a window, as far as it lies in one stretch of days.
    async fn walk(
        &self,
        search: &mut Search,
        leg: Leg,
        columns: Columns,
        (limit, bytes): (usize, usize),
    ) -> Result<Vec<Row>, LogError> {
        let order = search.route.order();
        let Some((leg, days)) = self.part(search, leg).await? else {
            search.route.reached(judge(leg, order, &[], (limit, limit), true).reached);
            return Ok(Vec::new());
        };
        let began = Instant::now();
        let answer = self.ask(search, (leg, days), columns, (limit, bytes)).await;
        // Bodies may be so large that even the first window takes too long.
        if matches!(answer, Err(LogError::TooSlow(_))) && search.route.smaller() {
            return Ok(Vec::new());
        }
        let mut rows = answer?;
        search.route.walked(began.elapsed());
        let verdict = judge(leg, order, &candidates(&rows), (limit, limit), true);
        search.route.reached(verdict.reached);
        rows.truncate(verdict.used);
        Ok(rows)
    }

    /// Looks candidates up in the index, one stretch of its days after the other until there are some.
    async fn look_up(
        &self,
        search: &mut Search,
        columns: Columns,
        (limit, bytes): (usize, usize),
    ) -> Result<Vec<Row>, LogError> {
        let order = search.route.order();
        let most = if search.filter.asks_more_than_channels() { limit.max(CANDIDATES) } else { limit };
        while let Some(leg @ Leg::Index { after, upto }) = search.route.next() {
            let stretches = match search.index {
                Some(stretches) => stretches,
                None => self.index_stretches(search, after, upto).await?,
            };
            let days = search.calendar.days(stretches.next);
            let answer = self.ask(search, (leg, days), columns, (most, bytes)).await;
            if matches!(answer, Err(LogError::TooSlow(_))) && search.route.smaller() {
                search.index = None;
                return Ok(Vec::new());
            }
            let mut rows = answer?;
            if rows.iter().any(|row| row.get("early")) {
                search.route.distrust_index();
                return Ok(Vec::new());
            }
            let candidates = candidates(&rows);
            let Verdict { used, reached, exhausted } =
                judge(leg, order, &candidates, (most, limit), stretches.is_last());
            search.route.reached(reached);
            // Of a window that got further the rest is another leg.
            let same_leg = !search.route.has_index_windows() || (rows.is_empty() && !stretches.is_last());
            search.index = same_leg.then(|| if exhausted { stretches.after() } else { stretches });
            if rows.is_empty() && !stretches.is_last() {
                continue;
            }
            search.route.looked_up(rows.len(), most);
            if !rows.is_empty() {
                rows.truncate(used);
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    async fn ask(
        &self,
        search: &Search,
        (leg, days): (Leg, Days),
        columns: Columns,
        (most, bytes): (usize, usize),
    ) -> Result<Vec<Row>, LogError> {
        let query = match leg {
            Leg::Index { .. } => "index",
            Leg::Walk { .. } => "walk",
        };
        let params = Params::new(&search.tenant, &search.filter, (leg, days), most, bytes);
        let sql = statement::sql(leg, search.route.order(), columns);
        let client = self.client(Work::Search, query).await?;
        scoped_in(client, &search.tenant, days, &sql, &params.as_list()).await
    }

    /// One event by its id, with the log's life; the newest if an id was used again under another key.
    pub async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<(Epoch, LoggedEvent)>, LogError> {
        for days in self.calendar(Work::Search, "event").await?.all() {
            let [from, to] = days.bounds();
            let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &id.as_str(), &from, &to];
            let client = self.client(Work::Search, "event").await?;
            let rows = scoped_in(client, tenant, days, BY_ID, &params).await?;
            if let Some(row) = rows.first() {
                let epoch = Epoch::new(row.get::<_, &str>("epoch"))
                    .map_err(|error| LogError::Database(error.to_string()))?;
                return Ok(Some((epoch, logged_event(row)?)));
            }
        }
        Ok(None)
    }
}

fn seq(row: &Row) -> Seq {
    Seq(row.get::<_, i64>("seq") as u64)
}

fn candidates(rows: &[Row]) -> Vec<Candidate> {
    let candidate =
        |row: &Row| Candidate { seq: seq(row), matches: row.get("matches"), whole: row.get("whole") };
    rows.iter().map(candidate).collect()
}
