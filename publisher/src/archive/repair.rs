//! How does a day's manifest come back that cannot be read, or is gone?
//!
//! From the day's objects: each is read to its end, and what a manifest says of it is what came. An object says by itself whether it is whole:
//! its frame begins with the size of its lines and ends with their checksum. In which epoch the log was when it was copied, no object says.
//! Of one that is gone nothing may tell any more; what does is looked at (`lost`), and nothing is written while one is missing.

use super::fault::Fault;
use super::lost::Traces;
use super::manifest::{Entry, Manifest};
use super::place::Place;
use super::read_back::unpack;
use carillon_protocol::TenantId;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::ToSpan;
use jiff::civil::Date;
use std::collections::BTreeSet;
use std::io;

/// Objects that are read at a time.
const AT_A_TIME: usize = 8;

/// What somebody who repairs says of the day.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    /// It was finished, and its manifest is gone.
    pub missing: bool,
    /// Objects that are gone do not come back: the manifest is to be without them.
    pub without_lost: bool,
}

/// What became of it.
#[derive(Debug)]
pub enum Repaired {
    /// The manifest can be read: nothing is changed.
    Readable,
    /// There is no manifest, and nobody says that there was one.
    Unfinished,
    /// There is no object of the day: nothing is written.
    Empty,
    /// Objects of these tenants are gone: nothing is written.
    Lost(Vec<TenantId>),
    /// It is written again.
    Written(Manifest),
}

/// Writes a day's manifest again, if it cannot be read or, where that is asked for, is missing. An object that is not whole is a fault.
pub async fn repair(place: &Place, day: Date, said: Said) -> Result<Repaired, Fault> {
    match place.manifest(day).await {
        Ok(None) if said.missing => {}
        Ok(None) => return Ok(Repaired::Unfinished),
        Ok(Some(_)) => return Ok(Repaired::Readable),
        Err(Fault::Manifest { .. }) => {}
        Err(fault) => return Err(fault),
    }
    let owner = place.owner().await?.ok_or(Fault::Unmarked)?;
    let folders = place.tenants(day).await?;
    let tenants = with_objects(place, day, &folders).await?;
    if tenants.is_empty() {
        return Ok(Repaired::Empty);
    }
    let lost = traces(place, day, folders).await?.lost(&tenants);
    if !lost.is_empty() && !said.without_lost {
        return Ok(Repaired::Lost(lost));
    }
    let entries = stream::iter(tenants).map(|tenant| entry(place, day, tenant)).buffered(AT_A_TIME);
    let manifest = Manifest::new(&owner, day, entries.try_collect().await?);
    place.write_manifest(&manifest).await?;
    Ok(Repaired::Written(manifest))
}

/// Tenants whose object is there.
pub(super) async fn tenants(place: &Place, day: Date) -> Result<BTreeSet<TenantId>, Fault> {
    with_objects(place, day, &place.tenants(day).await?).await
}

async fn with_objects(place: &Place, day: Date, folders: &[TenantId]) -> Result<BTreeSet<TenantId>, Fault> {
    let sizes = place.sizes(day).await?;
    let is_there = |tenant: &&TenantId| sizes.contains_key(&Place::object(day, tenant).as_str().into());
    Ok(folders.iter().filter(is_there).cloned().collect())
}

/// What tells of the day's objects beside themselves. A day beside it that cannot be read tells nothing.
async fn traces(place: &Place, day: Date, folders: Vec<TenantId>) -> Result<Traces, Fault> {
    let beside = async |days: i64| match day.checked_add(days.days()) {
        Ok(day) => place.manifest(day).await.or_else(|fault| match fault {
            Fault::Manifest { .. } | Fault::Form { .. } => Ok(None),
            fault => Err(fault),
        }),
        Err(_) => Ok(None),
    };
    Ok(Traces {
        folders,
        text: place.manifest_text(day).await?,
        before: beside(-1).await?,
        after: beside(1).await?,
    })
}

/// What a manifest says of an object, as it says itself. One that is damaged or not there is a fault.
pub(super) async fn entry(place: &Place, day: Date, tenant: TenantId) -> Result<Entry, Fault> {
    let object = Place::object(day, &tenant);
    let unread = Entry {
        tenant,
        object: object.clone(),
        epoch: String::new(),
        events: 0,
        first_seq: 0,
        last_seq: 0,
        bytes: 0,
        sha256: String::new(),
        stored_bytes: 0,
        stored_sha256: String::new(),
    };
    let (came, _) = unpack(place, &unread, io::sink()).await?;
    let said = place.declared_bytes(&object).await?;
    let broken = |why: String| Fault::Broken { object: object.clone(), why };
    if said != Some(came.packed.bytes) {
        let said = said.map_or("nothing".to_owned(), |bytes| bytes.to_string());
        return Err(broken(format!("the size of its lines is {}, its frame says {said}", came.packed.bytes)));
    }
    let (Some(first_seq), Some(last_seq)) = (came.first_seq, came.last_seq) else {
        return Err(broken("its lines are no events".to_owned()));
    };
    Ok(Entry {
        events: came.lines,
        first_seq,
        last_seq,
        bytes: came.packed.bytes,
        sha256: came.packed.sha256,
        stored_bytes: came.packed.stored_bytes,
        stored_sha256: came.packed.stored_sha256,
        ..unread
    })
}
