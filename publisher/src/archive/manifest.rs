//! What does a day's manifest say, and in which form?
//!
//! JSON, the same bytes whoever writes it: so two publishers that both think it is their turn do no harm.

use super::Fault;
use carillon_protocol::TenantId;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form that this release writes, and the only one that it reads.
const FORM: &str = "carillon-archive-1";

/// What the archive has of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    form: String,
    /// Whose log it was.
    pub installation: String,
    /// Which day (UTC), by the time of the append.
    pub day: Date,
    /// Events of all tenants.
    pub events: u64,
    /// Tenants that had an event, by name.
    pub tenants: Vec<Entry>,
    /// Objects that were damaged when it was made of those that were there, and of which the log had nothing any more. By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// What the archive has of a tenant's day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose.
    pub tenant: TenantId,
    /// The object's name, below the archive's.
    pub object: String,
    /// The epoch of the tenant's log when it was copied.
    pub epoch: String,
    /// Events, and lines.
    pub events: u64,
    /// The first one's number.
    pub first_seq: u64,
    /// The last one's number.
    pub last_seq: u64,
    /// Bytes of all lines.
    pub bytes: u64,
    /// SHA-256 of all lines, in hex.
    pub sha256: String,
    /// Bytes of the object.
    pub stored_bytes: u64,
    /// SHA-256 of the object, in hex.
    pub stored_sha256: String,
}

impl Manifest {
    /// Of these entries.
    pub fn new(installation: &str, day: Date, mut tenants: Vec<Entry>) -> Self {
        tenants.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        let events = tenants.iter().map(|entry| entry.events).sum();
        let (form, installation) = (FORM.to_owned(), installation.to_owned());
        Self { form, installation, day, events, tenants, damaged: Vec::new() }
    }

    /// And these objects, which nobody has the lines of.
    pub(super) fn with_damaged(self, damaged: Vec<String>) -> Self {
        Self { damaged, ..self }
    }

    /// With these entries in place of those of the same tenants.
    pub(super) fn with(&self, entries: Vec<Entry>) -> Self {
        let mut tenants: BTreeMap<_, _> = self.tenants.iter().map(|entry| (&entry.tenant, entry)).collect();
        tenants.extend(entries.iter().map(|entry| (&entry.tenant, entry)));
        Self::new(&self.installation, self.day, tenants.into_values().cloned().collect())
            .with_damaged(self.damaged.clone())
    }

    /// Whether it was made of the objects that were there: it knows of no other, and not in which epoch these were copied.
    pub(super) fn is_rebuilt(&self) -> bool {
        self.tenants.iter().any(|entry| entry.epoch.is_empty())
    }

    /// The entry of a tenant.
    pub fn of(&self, tenant: &TenantId) -> Option<&Entry> {
        let at = self.tenants.binary_search_by(|entry| entry.tenant.cmp(tenant));
        at.ok().map(|at| &self.tenants[at])
    }

    /// As it is stored.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(std::io::Error::from)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads what stands there.
    pub(super) fn of_bytes(day: Date, bytes: &[u8]) -> Result<Self, Fault> {
        let broken = |why: String| Fault::Manifest { day, why };
        // Another release may write another form: that is whole, and nothing for this one to write again.
        if let Ok(Formed { form }) = serde_json::from_slice(bytes)
            && form != FORM
        {
            return Err(Fault::Form { day, form });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|fault| broken(fault.to_string()))?;
        if manifest.day != day {
            return Err(broken(format!("it is that of {}", manifest.day)));
        }
        if !manifest.tenants.is_sorted_by(|one, other| one.tenant < other.tenant) {
            return Err(broken("its tenants are not in their order".to_owned()));
        }
        Ok(manifest)
    }
}

/// What every form of a manifest has.
#[derive(Deserialize)]
struct Formed {
    form: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tenant: &str) -> Entry {
        Entry {
            tenant: TenantId::new(tenant).unwrap(),
            object: format!("day=2026-10-30/tenant={tenant}/events.ndjson.zst"),
            epoch: "e1".to_owned(),
            events: 2,
            first_seq: 7,
            last_seq: 8,
            bytes: 100,
            sha256: "ab".to_owned(),
            stored_bytes: 50,
            stored_sha256: "cd".to_owned(),
        }
    }

    #[test]
    fn a_manifest_is_the_same_bytes_whoever_writes_it_and_is_read_as_it_was() {
        let day = "2026-10-30".parse().unwrap();
        let manifest = Manifest::new("us", day, vec![entry("zebra"), entry("acme")]);
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(bytes, Manifest::new("us", day, vec![entry("acme"), entry("zebra")]).to_bytes().unwrap());
        assert_eq!(Manifest::of_bytes(day, &bytes).unwrap(), manifest);
        assert_eq!((manifest.events, manifest.of(&entry("zebra").tenant)), (4, Some(&entry("zebra"))));
        assert_eq!(manifest.of(&TenantId::new("other").unwrap()), None);
    }

    #[test]
    fn what_was_damaged_is_named_for_good_and_a_manifest_without_it_is_as_ever() {
        let day = "2026-10-30".parse().unwrap();
        let whole = Manifest::new("us", day, vec![entry("acme")]);
        assert!(!String::from_utf8(whole.to_bytes().unwrap()).unwrap().contains("damaged"));
        let named = whole.with_damaged(vec!["day=2026-10-30/tenant=ghost/events.ndjson.zst".to_owned()]);
        let read = Manifest::of_bytes(day, &named.to_bytes().unwrap()).unwrap();
        assert_eq!(read, named);
        assert_eq!(read.with(vec![entry("zebra")]).damaged, named.damaged);
    }

    #[test]
    fn a_manifest_of_another_release_is_not_damaged() {
        let day = "2026-10-30".parse().unwrap();
        for text in [
            r#"{"form": "carillon-archive-9"}"#,
            r#"{"form": "carillon-archive-9", "day": 7, "tenants": {}}"#,
        ] {
            let fault = Manifest::of_bytes(day, text.as_bytes()).unwrap_err();
            assert!(matches!(&fault, Fault::Form { form, .. } if form == "carillon-archive-9"), "{fault}");
        }
    }

    #[test]
    fn what_is_no_manifest_of_this_day_is_refused() {
        let day = "2026-10-30".parse().unwrap();
        let bytes = Manifest::new("us", day, vec![entry("acme"), entry("zebra")]).to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let refused = |text: &str, says: &str| {
            let fault = Manifest::of_bytes(day, text.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(says), "{fault}");
        };
        refused(&text[..text.len() / 2], "EOF");
        refused("{\"form\": \"carillon-archive-1\"", "EOF");
        refused("{\"form\": 1}", "not what was written");
        refused(
            &text.replace("\"day\": \"2026-10-30\"", "\"day\": \"2026-10-31\""),
            "it is that of 2026-10-31",
        );
        refused(&text.replacen("acme", "zzzz", 2), "not in their order");
    }
}
