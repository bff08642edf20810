//! What do gateways hear about a committed batch?
//!
//! One envelope for each tenant, of consecutive events only: a gateway believes that `first` and the events' order
//! give every seq. An envelope stays below a size Redis and the gateways' buffers take without notice.

use bytes::Bytes;
use carillon_backplane::log::{Append, Appended};
use carillon_protocol::envelope::{Batch, EnvelopeEvent};
use carillon_protocol::{Seq, Tag, TenantId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes an envelope to the gateways: must neither block nor fail the caller, for the log has the events anyway.
pub type Announce = Arc<dyn Fn(Batch) + Send + Sync>;

/// Largest envelope, in bytes; one event alone is far smaller.
pub const ENVELOPE_BYTES: usize = 1024 * 1024;

/// The envelopes of what was stored now; events stored earlier were announced then.
pub fn envelopes(appends: Vec<Append>, results: &[Appended]) -> Vec<Batch> {
    let mut tenants: BTreeMap<TenantId, Vec<(Seq, EnvelopeEvent, &Appended)>> = BTreeMap::new();
    for (append, result) in appends.into_iter().zip(results) {
        if let Appended::Stored { seq, .. } = result {
            let Append { tenant, event, except, .. } = append;
            let event = EnvelopeEvent { channels: event.channels, body: Bytes::from(event.body), except };
            tenants.entry(tenant).or_default().push((*seq, event, result));
        }
    }
    let mut envelopes: Vec<Batch> = Vec::with_capacity(tenants.len());
    for (tenant, mut stored) in tenants {
        stored.sort_unstable_by_key(|(seq, ..)| *seq);
        let mut size = 0;
        for (seq, event, result) in stored {
            let Appended::Stored { epoch, at_micros, before, .. } = result else { continue };
            let weight = weight(&event);
            match envelopes.last_mut() {
                Some(open)
                    if open.tenant == tenant
                        && open.last().next() == seq
                        && size + weight <= ENVELOPE_BYTES =>
                {
                    open.events.push(event);
                    size += weight;
                }
                full => {
                    // The event before is in the log's tag, or in the envelope that is full.
                    let open = full.filter(|open| open.tenant == tenant && open.last().next() == seq);
                    let before = open.and_then(|open| Tag::of(&open.events.last()?.body)).or(*before);
                    let (tenant, epoch, at_micros) = (tenant.clone(), epoch.clone(), *at_micros);
                    envelopes.push(Batch {
                        tenant,
                        epoch,
                        first: seq,
                        before,
                        at_micros,
                        events: vec![event],
                    });
                    size = weight + 256;
                }
            }
        }
    }
    envelopes
}

/// The bytes an event takes in an envelope: its body, its channels, and their lengths.
fn weight(event: &EnvelopeEvent) -> usize {
    let channels: usize = event.channels.iter().map(|channel| channel.as_str().len() + 1).sum();
    let except = event.except.as_ref().map_or(0, |except| {
        except.connection.as_str().len() + except.of.as_ref().map_or(0, |user| user.as_str().len()) + 4
    });
    event.body.len() + channels + 5 + except
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::event::NewEvent;
    use carillon_protocol::{Channel, Epoch, EventId, envelope};

    fn append(tenant: &str, bytes: usize) -> Append {
        let event = NewEvent {
            id: EventId::new("e").unwrap(),
            kind: "t".into(),
            source: "s".into(),
            subject: None,
            actor: None,
            priority: None,
            channels: vec![Channel::tenant()],
            time: "1970-01-01T00:00:00Z".into(),
            body: "x".repeat(bytes),
            traceparent: None,
            latest: None,
            notice: None,
        };
        Append { tenant: TenantId::new(tenant).unwrap(), request: 0, event, key: None, except: None }
    }

    fn stored(seq: u64) -> Appended {
        Appended::Stored {
            seq: Seq(seq),
            epoch: Epoch::new("e1").unwrap(),
            at_micros: 7,
            before: Tag::from_number(seq),
        }
    }

    fn shape(envelopes: &[Batch]) -> Vec<(String, u64, usize)> {
        envelopes.iter().map(|b| (b.tenant.to_string(), b.first.0, b.events.len())).collect()
    }

    #[test]
    fn one_envelope_for_each_tenant_with_what_was_stored_now() {
        let replayed = Appended::Replayed {
            id: EventId::new("e").unwrap(),
            seq: Seq(3),
            epoch: Epoch::new("e1").unwrap(),
        };
        let appends = ["b", "a", "b", "a", "c"].map(|tenant| append(tenant, 10)).to_vec();
        let results = [stored(8), stored(1), stored(9), replayed, Appended::Conflict];
        assert_eq!(shape(&envelopes(appends, &results)), [("a".into(), 1, 1), ("b".into(), 8, 2)]);
    }

    #[test]
    fn a_hole_or_the_size_begins_another_envelope() {
        let appends = vec![append("a", 10); 3];
        let holed = envelopes(appends, &[stored(1), stored(3), stored(4)]);
        assert_eq!(shape(&holed), [("a".into(), 1, 1), ("a".into(), 3, 2)]);
        let large = vec![append("a", 60_000); 40];
        let results: Vec<_> = (1..=40).map(stored).collect();
        let split = envelopes(large, &results);
        assert_eq!(split.iter().map(|b| b.events.len()).sum::<usize>(), 40);
        assert_eq!(split[0].before, Tag::from_number(1));
        assert_eq!(split[1].before, Tag::of(&split[0].events.last().unwrap().body));
        assert!(split.len() > 2 && split.iter().all(|b| envelope::encode(b).len() <= ENVELOPE_BYTES));
    }
}
