//! What is left to do until a day's partition may go?
//!
//! Tenant by tenant: what is not copied is, what is copied is read back, and what a manifest says of it is kept in the database, so that
//! another publisher goes on where one died. When all of the day is there, the manifest is written and the day is said to be archived.
//! A step takes some minutes, or as long as one tenant needs. What is damaged or lost is copied again while the log still has it.

use super::copy::{TenantDay, copy, retry_for_a_while};
use super::fault::Fault;
use super::manifest::{Entry, Manifest};
use super::place::{ArchiveUrl, Place};
use super::{metrics, read_back, repair};
use carillon_backplane::log::{Log, ToArchive};
use carillon_protocol::TenantId;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// For so long a step copies, and for so long it reads back; the next one begins soon.
const STEP: Duration = Duration::from_secs(60);
/// Tenants that are copied at a time: most are small, and a bucket answers slowly.
const AT_A_TIME: usize = 4;
/// Tenants that are read back at a time.
const READ_AT_A_TIME: usize = 12;
/// Tenants that are asked for together.
const TENANTS: u32 = 500;
/// What was read back longer ago is read back again before a day is said to be archived. Longer than all of a large day takes: what was
/// read first must not be too old when the last is read. When a day is said to be archived, the next time begins with nothing read.
const TRUSTED: Duration = Duration::from_secs(24 * 3_600);

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Every day past retention is in the archive.
    Nothing,
    /// There is more to do for this day.
    More(Date),
    /// This day is in the archive now.
    Archived {
        /// Which.
        day: Date,
        /// Its events.
        events: u64,
        /// Tenants that had one.
        tenants: usize,
        /// Objects that are damaged, of which the log has nothing any more: its manifest names them.
        damaged: Vec<String>,
    },
}

/// Brings days into the archive.
pub struct Archiver {
    log: Log,
    url: ArchiveUrl,
    /// When this process read what back, of one day.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    day: Date,
    tenants: HashMap<TenantId, Instant>,
}

impl Archiver {
    /// An archiver of this log, in this place.
    pub fn new(log: Log, url: ArchiveUrl) -> Self {
        Self { log, url, seen: Mutex::default() }
    }

    /// Where it is, as the database knows it.
    pub fn place(&self) -> String {
        self.url.to_string()
    }

    /// Does some of what is to be done.
    pub async fn step(&self, next: &ToArchive) -> Result<Step, Fault> {
        let Some(day) = next.day else { return Ok(Step::Nothing) };
        let place = Place::open(&self.url)?;
        self.make_sure_that_it_is_ours(&place, next).await?;
        let said = match place.manifest(day).await {
            // The log has the day: each object is compared with it.
            Err(Fault::Manifest { .. }) => Said::Unreadable,
            manifest => manifest?.map_or(Said::Nothing, Said::Manifest),
        };
        let mut kept = self.kept(day).await?;
        let work = Work { archiver: self, place: &place, day, said: &said };
        let is_whole = work.every_tenant(&mut kept).await?
            && work.read_back_again(&kept).await?
            && work.is_there_still(&kept).await?;
        if !is_whole {
            return Ok(Step::More(day));
        }
        let (others, damaged) = match said {
            Said::Unreadable => work.whom_the_log_does_not_know(&kept).await?,
            Said::Nothing | Said::Manifest(_) => (Vec::new(), Vec::new()),
        };
        let mut entries = kept.into_values().collect::<Vec<_>>();
        let (events, tenants) = (entries.iter().map(|entry| entry.events).sum(), entries.len());
        match &said {
            Said::Nothing | Said::Unreadable => {
                entries.extend(others);
                let manifest = Manifest::new(&next.installation, day, entries);
                place.write_manifest(&manifest.with_damaged(damaged.clone())).await?;
            }
            // An object that was damaged was copied again, by a release whose zstd makes other bytes of the same lines.
            Said::Manifest(manifest) => {
                let renewed = manifest.with(entries);
                if renewed != *manifest {
                    place.write_manifest(&renewed).await?;
                }
            }
        }
        // A volume that went away since would let a step go on in the empty folder beneath.
        if place.owner().await?.as_deref() != Some(&*next.installation) {
            return Err(Fault::Unmarked);
        }
        self.log.store_day_verified(day, &self.place()).await?;
        self.seen(day).tenants.clear();
        metrics::archived();
        metrics::found_damaged(damaged.len());
        Ok(Step::Archived { day, events, tenants, damaged })
    }

    async fn make_sure_that_it_is_ours(&self, place: &Place, next: &ToArchive) -> Result<(), Fault> {
        let url = self.place();
        let is_known = next.marked.as_deref() == Some(&*url);
        match place.owner().await? {
            Some(owner) if owner != next.installation => {
                return Err(Fault::Foreign { found: owner, own: next.installation.clone() });
            }
            Some(_) if is_known => return Ok(()),
            Some(_) => {}
            None if is_known => return Err(Fault::Unmarked),
            None => place.mark(&next.installation).await?,
        }
        Ok(self.log.store_archive_mark(&url).await?)
    }

    /// What is copied of a day, by tenant.
    async fn kept(&self, day: Date) -> Result<BTreeMap<TenantId, Entry>, Fault> {
        let mut kept = BTreeMap::new();
        let mut after = String::new();
        loop {
            let some = self.log.kept_archived(day, &after, TENANTS).await?;
            let ends = some.len() < TENANTS as usize;
            for (tenant, entry) in some {
                // What another release has kept in another form is copied anew.
                if let Ok(entry) = serde_json::from_str::<Entry>(&entry) {
                    kept.insert(entry.tenant.clone(), entry);
                }
                after = tenant;
            }
            if ends {
                return Ok(kept);
            }
        }
    }

    fn seen(&self, day: Date) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.day != day {
            *seen = Seen { day, tenants: HashMap::new() };
        }
        seen
    }

    fn was_seen(&self, day: Date, tenant: &TenantId) -> bool {
        self.seen(day).tenants.get(tenant).is_some_and(|at| at.elapsed() < TRUSTED)
    }
}

/// The time for a part of a step. It begins with the first thing that is done: however long it took to find that, one is done in each step.
struct Budget {
    lasts: Duration,
    ends: OnceLock<Instant>,
}

impl Budget {
    fn new(lasts: Duration) -> Self {
        Self { lasts, ends: OnceLock::new() }
    }

    /// Whether one more thing is done.
    fn has_some_left(&self) -> bool {
        let is_first = self.ends.get().is_none();
        *self.ends.get_or_init(|| Instant::now() + self.lasts) > Instant::now() || is_first
    }

    fn is_over(&self) -> bool {
        self.ends.get().is_some_and(|ends| *ends <= Instant::now())
    }
}

/// What the archive says of a day.
enum Said {
    /// No manifest is there: nothing that is there counts.
    Nothing,
    /// This.
    Manifest(Manifest),
    /// A manifest is there that cannot be read.
    Unreadable,
}

/// One step's work on a day.
struct Work<'a> {
    archiver: &'a Archiver,
    place: &'a Place,
    day: Date,
    said: &'a Said,
}

impl Work<'_> {
    /// Copies what is not kept. False: the time is over.
    async fn every_tenant(&self, kept: &mut BTreeMap<TenantId, Entry>) -> Result<bool, Fault> {
        let (mut after, time) = (String::new(), Budget::new(STEP));
        loop {
            let log = &self.archiver.log;
            let tenants = log.tenants_to_archive(self.day, &after, TENANTS).await?;
            let Some(last) = tenants.last() else { return Ok(true) };
            after = last.tenant.to_string();
            let ended = tenants.len() < TENANTS as usize;
            let missing = tenants.into_iter().filter_map(|of| {
                let (first, last) = of.span?;
                let is_kept = kept.contains_key(&of.tenant);
                (!is_kept).then_some(TenantDay { day: self.day, of, first, last })
            });
            let missing: Vec<TenantDay> = missing.collect();
            let mut copying = stream::iter(missing)
                .take_while(|_| std::future::ready(time.has_some_left()))
                .map(|what| async move { self.bring(&what).await })
                .buffer_unordered(AT_A_TIME);
            while let Some(entry) = copying.try_next().await? {
                kept.insert(entry.tenant.clone(), entry);
            }
            if time.is_over() {
                return Ok(false);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    /// Brings a tenant's day into the archive: copies it, or, where it is said to be there, makes sure that it is the same.
    async fn bring(&self, what: &TenantDay) -> Result<Entry, Fault> {
        let log = &self.archiver.log;
        let entry = match self.said {
            Said::Nothing => copy(log, Some(self.place), what).await?,
            Said::Manifest(manifest) => match manifest.of(&what.of.tenant) {
                Some(entry) => self.as_it_is_named(what, entry).await?,
                // It was made without what was lost then.
                None if manifest.is_rebuilt() => self.as_it_stands_there(what).await?,
                None => return Err(self.conflict(&what.of.tenant, "the manifest does not name it")),
            },
            Said::Unreadable => self.as_it_stands_there(what).await?,
        };
        self.read_back(&entry).await?;
        let text = serde_json::to_string(&entry).map_err(std::io::Error::from)?;
        retry_for_a_while(|| log.keep_archived(self.day, &entry.tenant, Some(&text))).await?;
        metrics::copied(&entry);
        Ok(entry)
    }

    /// What a manifest names, if the log has the very lines: they take the place of what is damaged or lost.
    async fn as_it_is_named(&self, what: &TenantDay, entry: &Entry) -> Result<Entry, Fault> {
        let log = &self.archiver.log;
        let here = self.same(what, entry).await?;
        // A manifest that was made of its objects does not know it.
        let epoch = if entry.epoch.is_empty() { here.epoch } else { entry.epoch.clone() };
        match read_back::read_back(self.place, entry).await {
            Err(Fault::Broken { .. }) => Ok(Entry { epoch, ..copy(log, Some(self.place), what).await? }),
            read => read.map(|()| Entry { epoch, ..entry.clone() }),
        }
    }

    /// What no manifest tells of: an object that is whole and has the log's lines stays, one that is damaged or lost is copied.
    async fn as_it_stands_there(&self, what: &TenantDay) -> Result<Entry, Fault> {
        match repair::entry(self.place, self.day, what.of.tenant.clone()).await {
            Err(Fault::Broken { .. }) => copy(&self.archiver.log, Some(self.place), what).await,
            Ok(found) => Ok(Entry { epoch: self.same(what, &found).await?.epoch, ..found }),
            Err(fault) => Err(fault),
        }
    }

    /// What the log has, whose lines are to be those of an entry.
    async fn same(&self, what: &TenantDay, entry: &Entry) -> Result<Entry, Fault> {
        let here = copy(&self.archiver.log, None, what).await?;
        match here.sha256 == entry.sha256 && here.events == entry.events {
            true => Ok(here),
            false => Err(self.conflict(&what.of.tenant, "its lines are others")),
        }
    }

    /// Objects of tenants that the log has no event of: a manifest that cannot be read may have named them. Those that are damaged, by their
    /// names: they stay where they are, and nobody has their lines.
    async fn whom_the_log_does_not_know(
        &self,
        kept: &BTreeMap<TenantId, Entry>,
    ) -> Result<(Vec<Entry>, Vec<String>), Fault> {
        let (mut others, mut damaged) = (Vec::new(), Vec::new());
        for tenant in repair::tenants(self.place, self.day).await? {
            if kept.contains_key(&tenant) {
                continue;
            }
            match repair::entry(self.place, self.day, tenant).await {
                Err(Fault::Broken { object, why }) => {
                    tracing::error!(day = %self.day, object, why, "an object that the log has nothing of is damaged, and so is the manifest");
                    damaged.push(object);
                }
                entry => others.push(entry?),
            }
        }
        Ok((others, damaged))
    }

    /// Reads back what this process has not read back since the day was said to be archived last. False: the time is over.
    async fn read_back_again(&self, kept: &BTreeMap<TenantId, Entry>) -> Result<bool, Fault> {
        let time = Budget::new(STEP);
        let stale = kept.values().filter(|entry| !self.archiver.was_seen(self.day, &entry.tenant));
        let mut reading = stream::iter(stale.cloned().collect::<Vec<_>>())
            .take_while(|_| std::future::ready(time.has_some_left()))
            .map(|entry| async move { self.again(&entry).await })
            .buffer_unordered(READ_AT_A_TIME);
        while reading.try_next().await?.is_some() {}
        Ok(kept.keys().all(|tenant| self.archiver.was_seen(self.day, tenant)))
    }

    /// Whether all objects are there, whole by their size: the first of a large day were read back hours ago. What is not is copied anew
    /// the next time.
    async fn is_there_still(&self, kept: &BTreeMap<TenantId, Entry>) -> Result<bool, Fault> {
        let sizes = self.place.sizes(self.day).await?;
        let mut is_whole = true;
        for entry in kept.values().filter(|entry| !read_back::is_there(&sizes, entry)) {
            retry_for_a_while(|| self.archiver.log.keep_archived(self.day, &entry.tenant, None)).await?;
            self.archiver.seen(self.day).tenants.remove(&entry.tenant);
            is_whole = false;
        }
        Ok(is_whole)
    }

    /// Reads back what was read back long ago, or by another process. What is broken since is copied anew the next time.
    async fn again(&self, entry: &Entry) -> Result<(), Fault> {
        let read = self.read_back(entry).await;
        if let Err(Fault::Broken { .. }) = &read {
            self.archiver.log.keep_archived(self.day, &entry.tenant, None).await?;
        }
        read
    }

    async fn read_back(&self, entry: &Entry) -> Result<(), Fault> {
        read_back::read_back(self.place, entry).await?;
        self.archiver.seen(self.day).tenants.insert(entry.tenant.clone(), Instant::now());
        Ok(())
    }

    fn conflict(&self, tenant: &TenantId, why: &str) -> Fault {
        Fault::Conflict { day: self.day, tenant: tenant.to_string(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_does_one_thing_at_least_however_little_time_it_has() {
        let time = Budget::new(Duration::ZERO);
        assert!(!time.is_over(), "nothing was done");
        assert!(time.has_some_left(), "the first");
        assert!(!time.has_some_left() && time.is_over());
        let time = Budget::new(Duration::from_secs(60));
        assert!(time.has_some_left() && time.has_some_left() && !time.is_over());
    }
}
