//! How does a day's manifest come back that cannot be read, or is gone?
//!
//! From the day's objects: each is read to its end, and what a manifest says of it is what came. An object says by itself whether it is whole:
//! its frame begins with the size of its lines and ends with their checksum. In which epoch the log was when it was copied, no object says.

use super::fault::Fault;
use super::manifest::{Entry, Manifest};
use super::place::Place;
use super::read_back::unpack;
use carillon_protocol::TenantId;
use jiff::civil::Date;
use std::io;

/// The manifest of a day, as its objects say; nothing is written. An object that is not whole is a fault.
pub(super) async fn manifest(place: &Place, installation: &str, day: Date) -> Result<Manifest, Fault> {
    let mut entries = Vec::new();
    for tenant in place.tenants(day).await? {
        entries.push(entry(place, day, tenant).await?);
    }
    Ok(Manifest::new(installation, day, entries))
}

/// Writes a day's manifest again, if it cannot be read or, where that is asked for, is missing. None: there is nothing to repair.
pub async fn repair(place: &Place, day: Date, missing: bool) -> Result<Option<Manifest>, Fault> {
    match place.manifest(day).await {
        Ok(None) if missing => {}
        Ok(_) => return Ok(None),
        Err(Fault::Manifest { .. }) => {}
        Err(fault) => return Err(fault),
    }
    let owner = place.owner().await?.ok_or(Fault::Unmarked)?;
    let manifest = manifest(place, &owner, day).await?;
    place.write_manifest(&manifest).await?;
    Ok(Some(manifest))
}

async fn entry(place: &Place, day: Date, tenant: TenantId) -> Result<Entry, Fault> {
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
