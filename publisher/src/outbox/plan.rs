//! What becomes of each event that was claimed?
//!
//! Pure. Within a tenant the order stays: what may not go now holds back what stands behind it.

use super::draft;
use crate::types::{TypesOf, Work};
use carillon_backplane::log::{Append, OutboxPlan, Outboxed, Parking};
use carillon_protocol::{EventId, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The events of a claim as they could be appended.
pub(super) struct Drafted {
    /// By tenant, in the order of their numbers.
    pub(super) tenants: BTreeMap<TenantId, Vec<(i64, Append)>>,
    /// Those that cannot be.
    pub(super) parked: Vec<Parking>,
}

/// Reads what was claimed. Of two events with one id in a tenant the second waits for the next time: the append would not see that it
/// is a repeat. `bad` are events that the database refused. When the templates of a tenant have done its part of what they may in a move, its
/// rest waits for the next one.
pub(super) fn read(
    claimed: Vec<Outboxed>,
    bad: &HashMap<i64, String>,
    types: &TypesOf,
    fresh_id: impl Fn() -> EventId,
) -> Drafted {
    let mut drafted = Drafted { tenants: BTreeMap::new(), parked: Vec::new() };
    let (mut ids, mut waiting) = (HashSet::new(), HashSet::new());
    let tenants = claimed.iter().map(|row| &row.tenant).collect::<HashSet<_>>().len();
    let mut works = HashMap::new();
    for row in claimed {
        let (id, tenant) = (row.id, row.tenant.clone());
        let work = works.entry(tenant.clone()).or_insert_with(|| Work::of_one(tenants));
        if work.is_spent() {
            waiting.insert(tenant.clone());
        }
        if waiting.contains(&tenant) {
            continue;
        }
        if let Some(detail) = bad.get(&id) {
            drafted.parked.push(Parking { id, reason: "refused", detail: detail.clone() });
            continue;
        }
        match draft::append(row, types, work, &fresh_id) {
            Err(parking) => drafted.parked.push(parking),
            Ok(append) => {
                let key = append.key.as_ref().map(|key| key.name.clone());
                if key.is_some_and(|key| !ids.insert((append.tenant.clone(), key))) {
                    waiting.insert(tenant);
                } else {
                    drafted.tenants.entry(append.tenant.clone()).or_default().push((id, append));
                }
            }
        }
    }
    drafted
}

impl Drafted {
    /// Nothing of this tenant can be appended.
    pub(super) fn park(&mut self, tenant: &TenantId, reason: &'static str, detail: &str) {
        for (id, _) in self.tenants.remove(tenant).unwrap_or_default() {
            self.parked.push(Parking { id, reason, detail: detail.to_owned() });
        }
    }

    /// Only this event goes now.
    pub(super) fn only(&mut self, event: i64) {
        self.tenants.retain(|_, events| {
            events.retain(|(id, _)| *id == event);
            !events.is_empty()
        });
    }

    /// Only so many of this tenant go now.
    pub(super) fn keep(&mut self, tenant: &TenantId, events: usize) {
        if let Some(of_tenant) = self.tenants.get_mut(tenant) {
            of_tenant.truncate(events);
        }
    }

    /// The plan.
    pub(super) fn plan(self) -> OutboxPlan {
        let appends = self.tenants.into_values().flatten().enumerate();
        let numbered = |(number, (id, append)): (usize, (i64, Append))| {
            (id, Append { request: number as u32, ..append })
        };
        OutboxPlan { appends: appends.map(numbered).collect(), parked: self.parked }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::tests::row;
    use super::*;
    use crate::types::TypeSet;
    use crate::types::set::OwnTypes;
    use carillon_backplane::log::{StoredType, StoredTypes};
    use serde_json::json;
    use std::sync::Arc;

    fn fresh() -> EventId {
        EventId::new("fresh").unwrap()
    }

    fn ids(plan: &OutboxPlan) -> Vec<i64> {
        plan.appends.iter().map(|(id, _)| *id).collect()
    }

    #[test]
    fn a_repeat_waits_and_with_it_what_stands_behind_it_in_its_tenant() {
        let rows = vec![
            row(1, "acme", Some("e")),
            row(2, "acme", Some("f")),
            row(3, "acme", Some("e")),
            row(4, "acme", None),
            row(5, "other", Some("e")),
        ];
        let plan = read(rows, &HashMap::new(), &TypesOf::default(), fresh).plan();
        assert_eq!(ids(&plan), [1, 2, 5]);
        assert!(plan.parked.is_empty());
        let requests: Vec<u32> = plan.appends.iter().map(|(_, append)| append.request).collect();
        assert_eq!(requests, [0, 1, 2], "each is stored by itself");
    }

    #[test]
    fn templates_of_one_tenant_hold_back_nobody_else() {
        let definition = json!({"title": "{% for n in range(900) %}{% endfor %}paid"}).to_string();
        let stored =
            StoredTypes { version: 1, types: vec![StoredType { kind: "order.paid".into(), definition }] };
        let set = TypeSet::new(Some(Arc::new(OwnTypes::stored(&stored))), None);
        let mut types = TypesOf::default();
        types.add(TenantId::new("acme").unwrap(), set);
        let notice = |id| Outboxed { notify: Some("{}".into()), ..row(id, "acme", None) };
        let rows = || (1..=400).map(notice).chain([row(500, "other", None)]).collect();
        let plan = read(rows(), &HashMap::new(), &types, fresh).plan();
        let went = ids(&plan);
        assert!(went.len() > 2 && went.len() < 300, "a part of its own: {}", went.len());
        assert_eq!((went[0], went.last()), (1, Some(&500)));
        assert!(plan.parked.is_empty(), "{:?}", plan.parked.first());
    }

    #[test]
    fn what_the_database_refused_and_what_has_no_tenant_is_parked() {
        let rows =
            vec![row(1, "acme", None), row(2, "acme", None), row(3, "gone", None), row(4, "gone", None)];
        let mut drafted = read(rows, &HashMap::from([(1, "why".to_owned())]), &TypesOf::default(), fresh);
        drafted.park(&TenantId::new("gone").unwrap(), "unknown_tenant", "there is none");
        let plan = drafted.plan();
        assert_eq!(ids(&plan), [2]);
        let parked: Vec<_> = plan.parked.iter().map(|parking| (parking.id, parking.reason)).collect();
        assert_eq!(parked, [(1, "refused"), (3, "unknown_tenant"), (4, "unknown_tenant")]);
    }

    #[test]
    fn a_tenant_over_its_rate_keeps_its_oldest_events() {
        let rows = (1..=4).map(|id| row(id, "acme", None)).chain([row(9, "other", None)]).collect();
        let mut drafted = read(rows, &HashMap::new(), &TypesOf::default(), fresh);
        drafted.keep(&TenantId::new("acme").unwrap(), 2);
        assert_eq!(ids(&drafted.plan()), [1, 2, 9]);
    }
}
