//! Which objects of a day are gone, as far as something still tells of them?
//!
//! A folder may have stayed, and a manifest that cannot be read may name them still. So may the days beside it: a tenant's numbers have no gaps, so one whose last number
//! of the day before and first of the day after are apart had events between them. Pure.

use super::manifest::Manifest;
use carillon_protocol::TenantId;
use std::collections::BTreeSet;

/// What tells of a day but its own objects.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Whose folders are there.
    pub(super) folders: Vec<TenantId>,
    /// What stands where the manifest was.
    pub(super) text: Option<String>,
    /// The manifest of the day before.
    pub(super) before: Option<Manifest>,
    /// And of the one after.
    pub(super) after: Option<Manifest>,
}

impl Traces {
    /// Tenants that had an object that day, as far as these tell, and have none now.
    pub(super) fn lost(&self, there: &BTreeSet<TenantId>) -> Vec<TenantId> {
        let named = self.text.iter().flat_map(|text| named(text)).chain(self.folders.iter().cloned());
        let lost: BTreeSet<TenantId> =
            named.chain(self.between()).filter(|one| !there.contains(one)).collect();
        lost.into_iter().collect()
    }

    /// Tenants with numbers between the day before and the one after. Only within an epoch: another may begin with any number.
    fn between(&self) -> impl Iterator<Item = TenantId> {
        let (before, after) = (self.before.as_ref(), self.after.as_ref());
        let pairs = before.zip(after).into_iter().flat_map(|(before, after)| {
            before.tenants.iter().filter_map(|one| Some((one, after.of(&one.tenant)?)))
        });
        pairs
            .filter(|(one, next)| {
                !one.epoch.is_empty() && one.epoch == next.epoch && next.first_seq > one.last_seq + 1
            })
            .map(|(one, _)| one.tenant.clone())
    }
}

/// The tenants of the objects that a text names, whatever else is wrong with it.
fn named(text: &str) -> impl Iterator<Item = TenantId> {
    let after = text.split("/tenant=").skip(1);
    after.filter_map(|rest| TenantId::new(rest.split_once("/events.")?.0).ok())
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Entry;
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn manifest(tenants: &[(&str, &str, u64, u64)]) -> Manifest {
        let entry = |&(name, epoch, first_seq, last_seq): &(&str, &str, u64, u64)| Entry {
            tenant: tenant(name),
            object: format!("day=2026-10-30/tenant={name}/events.ndjson.zst"),
            epoch: epoch.to_owned(),
            events: last_seq + 1 - first_seq,
            first_seq,
            last_seq,
            bytes: 1,
            sha256: String::new(),
            stored_bytes: 1,
            stored_sha256: String::new(),
        };
        Manifest::new("us", "2026-10-30".parse().unwrap(), tenants.iter().map(entry).collect())
    }

    #[test]
    fn what_a_damaged_manifest_names_and_is_not_there_is_lost() {
        let whole = manifest(&[("acme", "e", 1, 2), ("other", "e", 1, 2), ("zulu", "e", 1, 2)]).to_bytes();
        let text = String::from_utf8(whole.unwrap()).unwrap();
        let cut = &text[..text.rfind("zulu").unwrap()];
        let traces = |text: &str| Traces { text: Some(text.to_owned()), ..Traces::default() };
        let there = BTreeSet::from([tenant("acme")]);
        assert_eq!(traces(&text).lost(&there), [tenant("other"), tenant("zulu")]);
        assert_eq!(traces(cut).lost(&there), [tenant("other")], "what is cut off tells of nothing");
        assert!(traces("{").lost(&there).is_empty());
        assert!(Traces::default().lost(&there).is_empty());
    }

    #[test]
    fn a_gap_between_the_days_beside_it_tells_of_an_object() {
        let traces = Traces {
            folders: vec![tenant("folder")],
            text: None,
            before: Some(manifest(&[
                ("gap", "e", 1, 9),
                ("idle", "e", 1, 9),
                ("moved", "e", 1, 9),
                ("one", "e", 1, 9),
            ])),
            after: Some(manifest(&[
                ("gap", "e", 12, 20),
                ("idle", "e", 10, 20),
                ("moved", "f", 50, 60),
                ("new", "e", 5, 6),
            ])),
        };
        assert_eq!(traces.lost(&BTreeSet::new()), [tenant("folder"), tenant("gap")]);
        assert!(traces.lost(&BTreeSet::from([tenant("folder"), tenant("gap")])).is_empty(), "they are there");
        assert_eq!(Traces { after: None, ..traces }.lost(&BTreeSet::new()), [tenant("folder")]);
    }
}
