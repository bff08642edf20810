//! `GET /v1/analytics`: how many events were there, by what they say, and how does that compare?

use super::openapi::shapes::ProblemDocument;
use super::problem::{Code, Problem};
use super::query::{self, Query};
use super::{App, list};
use crate::access::{Caller, Scope};
use crate::event::rfc3339;
use crate::health::Health;
use crate::subsystems::Behind;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use carillon_backplane::log::{CountedLatency, CountedTotal, Dimension, Hours, Log, LogError};
use carillon_protocol::TenantId;
use http::Uri;
use jiff::{SignedDuration, Timestamp, Unit};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Rows when the request does not say.
const DEFAULT_LIMIT: usize = 50;
/// Hours that are counted when the request does not say.
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_hours(24);
/// Longest range by what events say, and by days.
const MOST_DAYS: i64 = 400;
/// Longest range by hours.
const MOST_DAYS_BY_HOUR: i64 = 31;
/// Rows of times that a range can have.
const MOST_TIMES: u32 = 24 * MOST_DAYS_BY_HOUR as u32 + 2;
const PARAMETERS: [&str; 6] = ["tenant", "by", "from", "to", "compare", "limit"];
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const PROJECTOR: &str = "analytics";

/// By what events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Key(Dimension),
    Hour,
    Day,
}

impl By {
    const ALLOWED: &str = "type, source, actor, priority, hour or day";

    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "type" => Self::Key(Dimension::Type),
            "source" => Self::Key(Dimension::Source),
            "actor" => Self::Key(Dimension::Actor),
            "priority" => Self::Key(Dimension::Priority),
            "hour" => Self::Hour,
            "day" => Self::Day,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Key(dimension) => dimension.name(),
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn step(self) -> SignedDuration {
        if self == Self::Day { DAY } else { HOUR }
    }

    fn most_days(self) -> i64 {
        if self == Self::Hour { MOST_DAYS_BY_HOUR } else { MOST_DAYS }
    }
}

/// How many events there were.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsPage {
    /// By what they are counted.
    by: &'static str,
    /// From when on, by the time of the database at which they were appended.
    from: String,
    /// Before when.
    to: String,
    /// All of them.
    events: u64,
    /// Different actors of theirs.
    people: u64,
    /// Whether there were more actors than that: of an hour 5,000 are told apart.
    more_people: bool,
    /// How long it took until devices had handled these events; null: none has said that it has.
    latency: Option<HandledLatency>,
    /// The same of as long a time before; with `compare=previous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous: Option<PreviousTotal>,
    /// The keys with most events first; hours and days in their order, those without events too.
    rows: Vec<AnalyticsRow>,
    /// What is not counted yet.
    behind: Behind,
}

/// The time before.
#[derive(Serialize, ToSchema)]
pub(super) struct PreviousTotal {
    /// From when on.
    from: String,
    /// Before when.
    to: String,
    /// Events.
    events: u64,
    /// Different actors.
    people: u64,
    /// How long it took until devices had handled these events.
    latency: Option<HandledLatency>,
}

/// From the append in the database to the acknowledgement of a device; times within a tenth.
#[derive(Serialize, ToSchema)]
pub(super) struct HandledLatency {
    /// Half of them took at most so many milliseconds.
    p50_ms: f64,
    /// 99 of 100 did.
    p99_ms: f64,
    /// Acknowledgements.
    count: u64,
}

impl HandledLatency {
    fn of(counted: &CountedLatency) -> Option<Self> {
        let rounded = |part| counted.quantile_ms(part).map(|ms| (ms * 10.0).round() / 10.0);
        Some(Self { p50_ms: rounded(0.5)?, p99_ms: rounded(0.99)?, count: counted.count() })
    }
}

/// The events of a key.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsRow {
    /// The type, source, actor or priority; the beginning of the hour or day. Null: all that have no row of their own, for of an
    /// hour 5,000 keys are told apart.
    key: Option<String>,
    /// Events.
    count: u64,
    /// Different actors of the hour or day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    people: Option<u64>,
    /// Events of the same key in the time before, of the same place in it; with `compare=previous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous: Option<u64>,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/v1/analytics", get(analytics))
}

/// Count events.
///
/// How many events there were in some hours, by what they say or over time. Counted behind the log, some seconds later
/// (`behind` says what is missing), each event once, and kept longer than the events. Needs an API key with the scope `read`,
/// or a user token with the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/analytics",
    operation_id = "getAnalytics",
    tag = "analytics",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("by" = Option<String>, Query, description = "`type` (the default), `source`, `actor`, `priority`, `hour`, `day`."),
        ("from" = Option<String>, Query, description = "From the hour (the UTC day, by `day`) of this RFC 3339 time on; a day before `to` when left out."),
        ("to" = Option<String>, Query, description = "To the end of the hour (the UTC day) of this RFC 3339 time; now when left out."),
        ("compare" = Option<String>, Query, description = "`previous`: beside as long a time before."),
        ("limit" = Option<u32>, Query, description = "Keys that are listed; no matter for `hour` and `day`.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "The counts.", body = AnalyticsPage),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn analytics(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::read(&uri, &PARAMETERS)?;
    let asked = query.named("tenant", |text| TenantId::new(text))?;
    let entry = app.enter(&caller, asked.as_ref())?;
    let may = match &caller {
        Caller::Key(_) => entry.may(Scope::Read),
        _ => entry.admin,
    };
    if !may {
        let detail = "to read analytics needs an API key with the scope read, or a user token with the capability admin";
        return Err(Problem::new(Code::MissingScope, detail));
    }
    let by = query.parsed("by", By::ALLOWED, By::read)?.unwrap_or(By::Key(Dimension::Type));
    let range = Range {
        from: query.parsed("from", rfc3339::ALLOWED, moment)?,
        to: query.parsed("to", rfc3339::ALLOWED, moment)?,
    };
    let hours = range.hours(by, Timestamp::now())?;
    let compares = query.parsed("compare", "previous", |text| (text == "previous").then_some(()))?.is_some();
    let limit = list::limit(&mut query)?.unwrap_or(DEFAULT_LIMIT);
    let reader = app.reads.reader(entry.tenant.as_str(), &caller.name());
    let _turn = reader.turn().await?;
    let counts =
        Counts { log: &app.log, health: &app.health, tenant: &entry.tenant, by, limit: limit as u32 };
    Ok(Json(counts.page(hours, compares).await?).into_response())
}

fn moment(text: &str) -> Option<Timestamp> {
    rfc3339::parse(text)?.to_string().parse().ok()
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Range {
    /// The whole hours, or days, that it touches. Pure.
    fn hours(self, by: By, now: Timestamp) -> Result<Hours, Problem> {
        let out = |_| query::invalid_because("to", "it is beyond every time that can be stored");
        let to = self.to.unwrap_or(now);
        let from = match self.from {
            Some(from) => from,
            None => to.checked_sub(DEFAULT_RANGE).map_err(out)?,
        };
        if from >= to {
            return Err(query::invalid_because("from", "it must be before to"));
        }
        let step = by.step();
        let hours = Hours { from: floor(from, step), to: ceil(to, step).map_err(out)? };
        let most = by.most_days();
        if hours.from.duration_until(hours.to) > DAY * most as i32 {
            let why = format!("it is more than {most} days before to, the most by {}", by.name());
            return Err(query::invalid_because("from", &why));
        }
        Ok(hours)
    }
}

/// The last beginning of an hour or a day of UTC that is not after it.
fn floor(at: Timestamp, step: SignedDuration) -> Timestamp {
    let over = at.as_second().rem_euclid(step.as_secs());
    Timestamp::from_second(at.as_second() - over).unwrap_or(Timestamp::MIN)
}

fn ceil(at: Timestamp, step: SignedDuration) -> Result<Timestamp, jiff::Error> {
    let floor = floor(at, step);
    if floor == at { Ok(at) } else { floor.checked_add(step) }
}

/// The same time, just before it.
fn before(hours: Hours) -> Hours {
    let from = hours.from.checked_sub(hours.from.duration_until(hours.to)).unwrap_or(Timestamp::MIN);
    Hours { from, to: hours.from }
}

fn shown(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

struct Counts<'a> {
    log: &'a Log,
    health: &'a Health,
    tenant: &'a TenantId,
    by: By,
    limit: u32,
}

impl Counts<'_> {
    async fn page(&self, hours: Hours, compares: bool) -> Result<AnalyticsPage, Problem> {
        // Before the counts: what is counted meanwhile is in them, and nobody is told that all is counted when it is not.
        let lag = self.ask(self.log.projector_lag(PROJECTOR, Some(self.tenant))).await?;
        let total = self.ask(self.log.counted(self.tenant, hours)).await?;
        let earlier = compares.then(|| before(hours));
        let previous = match earlier {
            Some(earlier) => {
                let total = self.ask(self.log.counted(self.tenant, earlier)).await?;
                Some((earlier, total, self.latency(earlier).await?))
            }
            None => None,
        };
        let rows = match self.by {
            By::Key(dimension) => self.keys(dimension, hours, earlier).await?,
            By::Hour | By::Day => self.times(hours, earlier).await?,
        };
        Ok(AnalyticsPage {
            by: self.by.name(),
            from: shown(hours.from),
            to: shown(hours.to),
            events: total.events,
            people: total.people,
            more_people: total.more_people,
            latency: self.latency(hours).await?,
            previous: previous.map(|(hours, total, latency)| PreviousTotal {
                from: shown(hours.from),
                to: shown(hours.to),
                events: total.events,
                people: total.people,
                latency,
            }),
            rows,
            behind: Behind { events: lag.events, seconds: lag.seconds },
        })
    }

    async fn latency(&self, hours: Hours) -> Result<Option<HandledLatency>, Problem> {
        Ok(HandledLatency::of(&self.ask(self.log.counted_latency(self.tenant, hours)).await?))
    }

    async fn keys(
        &self,
        dimension: Dimension,
        hours: Hours,
        earlier: Option<Hours>,
    ) -> Result<Vec<AnalyticsRow>, Problem> {
        let counted = self.ask(self.log.counted_by(self.tenant, hours, dimension, self.limit)).await?;
        let mut previous: HashMap<Option<String>, u64> = HashMap::new();
        if let Some(earlier) = earlier {
            let keys: Vec<&str> = counted.iter().map(|row| row.key.as_deref().unwrap_or("")).collect();
            let found = self.ask(self.log.counted_of(self.tenant, earlier, dimension, &keys)).await?;
            previous.extend(found.into_iter().map(|row| (row.key, row.events)));
        }
        Ok(counted
            .into_iter()
            .map(|row| AnalyticsRow {
                previous: earlier.map(|_| previous.get(&row.key).copied().unwrap_or(0)),
                key: row.key,
                count: row.events,
                people: None,
            })
            .collect())
    }

    /// Every hour or day of the range, also without events.
    async fn times(&self, hours: Hours, earlier: Option<Hours>) -> Result<Vec<AnalyticsRow>, Problem> {
        let counted = self.over_time(hours).await?;
        let previous = match earlier {
            Some(earlier) => Some((earlier, self.over_time(earlier).await?)),
            None => None,
        };
        let mut rows = Vec::new();
        let mut at = hours.from;
        while at < hours.to {
            let total = counted.get(&at).copied().unwrap_or_default();
            let before = previous.as_ref().map(|(earlier, counted)| {
                let same = earlier.from.checked_add(hours.from.duration_until(at));
                same.ok().and_then(|same| counted.get(&same)).map_or(0, |total| total.events)
            });
            rows.push(AnalyticsRow {
                key: Some(shown(at)),
                count: total.events,
                people: Some(total.people),
                previous: before,
            });
            let Ok(next) = at.checked_add(self.by.step()) else { break };
            at = next;
        }
        Ok(rows)
    }

    async fn over_time(&self, hours: Hours) -> Result<HashMap<Timestamp, CountedTotal>, Problem> {
        let by_day = self.by == By::Day;
        let rows = self.ask(self.log.counted_over_time(self.tenant, hours, by_day, MOST_TIMES)).await?;
        Ok(rows.into_iter().map(|row| (row.at, row.total)).collect())
    }

    async fn ask<T>(&self, asked: impl Future<Output = Result<T, LogError>>) -> Result<T, Problem> {
        Ok(self.health.ask(asked).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn range(from: Option<&str>, to: Option<&str>, by: By) -> Result<(String, String), String> {
        let range = Range { from: from.map(at), to: to.map(at) };
        let hours = range.hours(by, at("2026-11-29T18:40:12Z")).map_err(|problem| problem.detail)?;
        Ok((shown(hours.from), shown(hours.to)))
    }

    fn between(from: &str, to: &str) -> Result<(String, String), String> {
        Ok((from.to_owned(), to.to_owned()))
    }

    #[test]
    fn a_range_is_made_of_the_whole_hours_or_days_that_it_touches() {
        let by_type = By::Key(Dimension::Type);
        assert_eq!(range(None, None, by_type), between("2026-11-28T18:00:00Z", "2026-11-29T19:00:00Z"));
        assert_eq!(range(None, None, By::Day), between("2026-11-28T00:00:00Z", "2026-11-30T00:00:00Z"));
        let exact = (Some("2026-02-28T10:00:00Z"), Some("2026-03-01T10:00:00Z"));
        assert_eq!(range(exact.0, exact.1, By::Hour), between(exact.0.unwrap(), exact.1.unwrap()));
        // An offset of half an hour: hours are those of UTC.
        let kolkata = Some("2026-11-29T10:00:00+05:30");
        assert_eq!(range(kolkata, None, by_type), between("2026-11-29T04:00:00Z", "2026-11-29T19:00:00Z"));
    }

    #[test]
    fn a_range_that_is_empty_backwards_or_too_long_is_named() {
        let same = Some("2026-11-29T10:00:00Z");
        assert!(range(same, same, By::Hour).unwrap_err().contains("before to"));
        assert!(range(Some("2027-01-01T00:00:00Z"), None, By::Hour).unwrap_err().contains("before to"));
        assert!(range(Some("2026-10-01T00:00:00Z"), None, By::Hour).unwrap_err().contains("31 days"));
        assert!(range(Some("2026-10-01T00:00:00Z"), None, By::Day).is_ok());
        assert!(range(Some("2020-01-01T00:00:00Z"), None, By::Day).unwrap_err().contains("400 days"));
    }
}
