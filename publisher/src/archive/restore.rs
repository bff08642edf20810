//! How do lines come back?
//!
//! As they went: one JSON object a line, a day after the other, within a day by tenant and number. Each object is compared with its
//! manifest while it is read, so a reader that goes on to the end knows that it was whole.

use super::fault::Fault;
use super::manifest::Entry;
use super::place::Place;
use super::read_back::{compare, read_back, unpack};
use carillon_protocol::TenantId;
use jiff::civil::Date;
use std::io::Write;

/// Which of the archive's days and tenants.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// From this day on.
    pub from: Option<Date>,
    /// To this day, and with it.
    pub to: Option<Date>,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
}

/// A day, as far as it was asked for.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which.
    pub day: Date,
    /// What is there; none: it is not finished.
    pub entries: Option<Vec<Entry>>,
    /// Objects that are damaged, and of which no manifest tells what they were.
    pub damaged: Vec<String>,
}

impl Lines {
    /// What of it is there, in the order of days, and of tenants.
    pub async fn list(&self, place: &Place) -> Result<Vec<Listed>, Fault> {
        let mut listed = Vec::new();
        for day in place.days().await? {
            if self.from.is_some_and(|from| day < from) || self.to.is_some_and(|to| day > to) {
                continue;
            }
            let Some(manifest) = place.manifest(day).await? else {
                listed.push(Listed { day, entries: None, damaged: Vec::new() });
                continue;
            };
            let is_ours = |entry: &Entry| self.tenant.as_ref().is_none_or(|tenant| entry.tenant == *tenant);
            let object = self.tenant.as_ref().map(|tenant| Place::object(day, tenant));
            let is_our_object = |name: &String| object.as_ref().is_none_or(|object| name == object);
            listed.push(Listed {
                day,
                entries: Some(manifest.tenants.into_iter().filter(is_ours).collect()),
                damaged: manifest.damaged.into_iter().filter(is_our_object).collect(),
            });
        }
        Ok(listed)
    }
}

/// Reads an entry's object and compares it.
pub async fn verify(place: &Place, entry: &Entry) -> Result<(), Fault> {
    read_back(place, entry).await
}

/// Writes an entry's lines. When it fails, some of them may have been written.
pub async fn restore<W: Write + Send + 'static>(place: &Place, entry: &Entry, to: W) -> Result<W, Fault> {
    let (came, to) = unpack(place, entry, to).await?;
    compare(entry, &came)?;
    Ok(to)
}
