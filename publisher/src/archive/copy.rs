//! How does a tenant's day get into the archive?
//!
//! Its events are measured, since a frame says in its beginning how large it is, and read a page at a time; while one is compressed the
//! next one is read. What is in memory: two pages, and the pieces that are being uploaded.

use super::fault::Fault;
use super::line;
use super::manifest::Entry;
use super::pack::Packer;
use super::place::{Place, Writing};
use carillon_backplane::log::{ArchivedRow, DayMeasure, DayTenant, Log, LogError};
use carillon_protocol::Seq;
use jiff::civil::Date;
use std::time::Duration;
use tokio::time::Instant;

/// So many bytes of bodies are about what a page has.
const PAGE: u64 = 1024 * 1024;
/// A page ends after so many, if some are far larger than others.
const PAGE_END: u32 = 4 * 1024 * 1024;
/// Rows that a first statement looks at; how many the next ones do depends on how long it took.
const ROWS: u32 = 1_000;
const MOST_ROWS: u32 = 32_000;
const FEWEST_ROWS: u32 = 50;
/// A page that takes longer is followed by a smaller one, one that takes less than a third of it by a larger one: a statement has two
/// seconds.
const PAGE_TIME: Duration = Duration::from_millis(300);

/// For so long a question to the log that fails is asked again: a large copy, which begins anew when it fails, outlives a database that
/// restarts.
const RETRY_FOR: Duration = Duration::from_secs(20);
/// After so long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A tenant's day.
#[derive(Debug, Clone)]
pub(super) struct TenantDay {
    pub(super) day: Date,
    pub(super) of: DayTenant,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

/// Reads a tenant's day and writes it, if there is a place to write it to; what the manifest says of it.
pub(super) async fn copy(log: &Log, to: Option<&Place>, what: &TenantDay) -> Result<Entry, Fault> {
    let name = Place::object(what.day, &what.of.tenant);
    let mut writing = match to {
        Some(place) => Some(place.write(&name).await?),
        None => None,
    };
    match pack(log, writing.as_mut(), what, name).await {
        Ok(entry) => {
            if let Some(writing) = writing {
                writing.finish().await?;
            }
            Ok(entry)
        }
        Err(fault) => {
            if let Some(writing) = writing {
                writing.abort().await;
            }
            Err(fault)
        }
    }
}

async fn pack(
    log: &Log,
    mut to: Option<&mut Writing>,
    what: &TenantDay,
    object: String,
) -> Result<Entry, Fault> {
    // An error of the packer: there are more bytes than were measured, or fewer.
    let moving = |why: String| Fault::Moving { day: what.day, tenant: what.of.tenant.to_string(), why };
    let measure = measure(log, what).await?;
    let mut packer = Packer::new(line::bytes(&what.of.tenant, measure))?;
    let mut pages = Pages::new(log, what, measure);
    let (mut events, mut first, mut last) = (0, None, Seq::ZERO);
    let mut page = pages.next().await?;
    while let (Some(one), Some(other)) = (page.first(), page.last()) {
        first.get_or_insert(one.seq);
        last = other.seq;
        events += page.len() as u64;
        let tenant = what.of.tenant.clone();
        let packing = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::with_capacity(PAGE as usize * 3 / 2);
            page.iter().for_each(|row| line::write(&mut lines, &tenant, row));
            let ready = packer.add(&lines)?;
            Ok::<_, std::io::Error>((packer, ready))
        });
        let storing = async {
            let (packer, ready) = packing.await?.map_err(|fault| moving(fault.to_string()))?;
            if let Some(to) = to.as_deref_mut() {
                to.add(ready).await?;
            }
            Ok::<_, Fault>(packer)
        };
        let (next, stored) = tokio::join!(pages.next(), storing);
        (page, packer) = (next?, stored?);
    }
    if (events, first, last) != (measure.events, Some(what.first), what.last) {
        let Seq(first) = first.unwrap_or(Seq::ZERO);
        return Err(moving(format!(
            "{events} from {first} to {} were read, {} from {} to {} counted",
            last.0, measure.events, what.first.0, what.last.0
        )));
    }
    let finished = tokio::task::spawn_blocking(move || packer.finish()).await?;
    let (ready, packed) = finished.map_err(|fault| moving(fault.to_string()))?;
    if let Some(to) = to {
        to.add(ready).await?;
    }
    Ok(Entry {
        tenant: what.of.tenant.clone(),
        object,
        epoch: what.of.epoch.clone(),
        events,
        first_seq: what.first.0,
        last_seq: what.last.0,
        bytes: packed.bytes,
        sha256: packed.sha256,
        stored_bytes: packed.stored_bytes,
        stored_sha256: packed.stored_sha256,
    })
}

async fn measure(log: &Log, what: &TenantDay) -> Result<DayMeasure, Fault> {
    let (mut all, mut pace) = (DayMeasure::default(), Pace::default());
    loop {
        let (after, began) = (all.last.unwrap_or(before(what.first)), Instant::now());
        let (rows, more) =
            ask_for_fewer(pace.rows, |rows| log.measure_day(&what.of.tenant, what.day, after, rows)).await?;
        pace.rows = rows;
        all.events += more.events;
        all.traced += more.traced;
        all.bytes += more.bytes;
        all.last = more.last.or(all.last);
        if more.events < u64::from(pace.rows) {
            return Ok(all);
        }
        pace.took(began.elapsed());
    }
}

/// Asks about so many rows, and again for a while if the log does not answer, about half of them after a question that took too long;
/// with how many the answer is about.
async fn ask_for_fewer<Answer, T>(most: u32, ask: impl Fn(u32) -> Answer) -> Result<(u32, T), LogError>
where
    Answer: Future<Output = Result<T, LogError>>,
{
    let (ends, mut rows) = (Instant::now() + RETRY_FOR, most);
    loop {
        match ask(rows).await {
            Err(error) if Instant::now() < ends => {
                if matches!(error, LogError::TooSlow(_)) {
                    rows = (rows / 2).max(FEWEST_ROWS.min(most));
                }
                tokio::time::sleep(RETRY_AFTER).await;
            }
            answer => return answer.map(|answer| (rows, answer)),
        }
    }
}

/// Asks the log, and again for a while if it does not answer.
pub(super) async fn retry_for_a_while<Answer, T>(ask: impl Fn() -> Answer) -> Result<T, LogError>
where
    Answer: Future<Output = Result<T, LogError>>,
{
    ask_for_fewer(1, |_| ask()).await.map(|(_, answer)| answer)
}

fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// A day's pages, one after the other.
struct Pages<'a> {
    log: &'a Log,
    what: &'a TenantDay,
    after: Seq,
    pace: Pace,
    /// Rows of a page of the usual size.
    most: u32,
}

impl<'a> Pages<'a> {
    fn new(log: &'a Log, what: &'a TenantDay, measure: DayMeasure) -> Self {
        let each = measure.bytes.checked_div(measure.events).unwrap_or(0).max(1);
        let most = (PAGE / each).clamp(1, u64::from(MOST_ROWS)) as u32;
        Self { log, what, after: before(what.first), pace: Pace::default(), most }
    }

    /// The next one; empty at the end.
    async fn next(&mut self) -> Result<Vec<ArchivedRow>, Fault> {
        let began = Instant::now();
        let rows = self.pace.rows.min(self.most);
        let what = self.what;
        let after = self.after;
        let (answered, page) =
            ask_for_fewer(rows, |rows| self.log.read_day(&what.of.tenant, what.day, after, (rows, PAGE_END)))
                .await?;
        if answered < rows {
            self.pace.rows = answered;
        }
        self.after = page.last().map_or(self.after, |row| row.seq);
        self.pace.took(began.elapsed());
        Ok(page)
    }
}

/// How many rows a statement looks at: many where they lie together, few where each is a page of the disk.
#[derive(Debug, Clone, Copy)]
struct Pace {
    rows: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: ROWS }
    }
}

impl Pace {
    fn took(&mut self, time: Duration) {
        if time > PAGE_TIME {
            self.rows = (self.rows / 2).max(FEWEST_ROWS);
        } else if time < PAGE_TIME / 3 {
            self.rows = (self.rows * 2).min(MOST_ROWS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_away_for_a_while_is_asked_again_and_one_that_stays_away_is_told() {
        let asked = AtomicU32::new(0);
        let away_for = |times: u32| {
            let now = asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(if now < times {
                Err(LogError::Database("it restarts".to_owned()))
            } else {
                Ok(now)
            })
        };
        assert_eq!(retry_for_a_while(|| away_for(10)).await.unwrap(), 10);
        asked.store(0, Ordering::Relaxed);
        let began = Instant::now();
        assert!(retry_for_a_while(|| away_for(1_000)).await.is_err());
        assert_eq!(began.elapsed(), RETRY_FOR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_takes_too_long_is_asked_about_fewer_rows() {
        let asked = AtomicU32::new(0);
        let slow_above = |limit: u32| {
            let asked = &asked;
            move |rows: u32| {
                asked.fetch_add(1, Ordering::Relaxed);
                std::future::ready(if rows > limit {
                    Err(LogError::TooSlow("two seconds".to_owned()))
                } else {
                    Ok(())
                })
            }
        };
        assert_eq!(ask_for_fewer(32_000, slow_above(5_000)).await.unwrap(), (4_000, ()));
        assert_eq!(asked.load(Ordering::Relaxed), 4);
        assert_eq!(ask_for_fewer(70, slow_above(60)).await.unwrap(), (FEWEST_ROWS, ()));
        assert!(ask_for_fewer(7, slow_above(6)).await.is_err(), "a page of large events has no fewer");
        let down = |rows: u32| std::future::ready(Err::<(), _>(LogError::Down(rows.to_string())));
        let error = ask_for_fewer(900, down).await.unwrap_err();
        assert_eq!(error, LogError::Down("900".to_owned()), "that it is away says nothing about rows");
    }

    #[test]
    fn a_slow_disk_gets_smaller_questions_and_a_fast_one_larger() {
        let mut pace = Pace::default();
        pace.took(Duration::from_millis(1));
        assert_eq!(pace.rows, 2 * ROWS);
        pace.took(PAGE_TIME / 2);
        assert_eq!(pace.rows, 2 * ROWS, "neither");
        (0..20).for_each(|_| pace.took(Duration::from_secs(1)));
        assert_eq!(pace.rows, FEWEST_ROWS);
        (0..20).for_each(|_| pace.took(Duration::ZERO));
        assert_eq!(pace.rows, MOST_ROWS);
    }
}
