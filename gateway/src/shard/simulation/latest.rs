//! Does a client hold the latest event of every key, as they were where its channels became live?

use super::client::{Client, Finding};
use super::joined::matches;
use super::scenario::{Past, Types};
use super::seat::Subscribe;
use super::tenant::{Logged, Tenant};
use crate::shard::messages::{HistoryFrom, HistoryPage};
use crate::stream::backlog::Selection;
use carillon_backplane::log::LoggedEvent;
use carillon_protocol::{Channel, Seq};
use std::collections::BTreeMap;

/// A page of the latest events of keys, as the async bridge would read it.
pub(super) fn page(
    tenant: &Tenant,
    selection: &Selection,
    after: Seq,
    upto: Seq,
    short: bool,
) -> HistoryPage {
    let is_wanted = |event: &&Logged| {
        let is_of_type = selection.types.as_ref().is_none_or(|types| types.matches(&event.kind()));
        (after.0 + 1..=upto.0).contains(&event.seq) && is_of_type
    };
    // A key that was changed since is not among them: its event comes live.
    let mut events: Vec<&Logged> =
        latest(tenant, &selection.channels, u64::MAX).into_iter().filter(is_wanted).collect();
    let complete = !short || events.len() <= 2;
    events.truncate(if complete { usize::MAX } else { 2 });
    let reached = if complete { upto } else { events.last().map_or(upto, |event| Seq(event.seq)) };
    let logged = |event: &&Logged| LoggedEvent {
        seq: Seq(event.seq),
        channels: event.channels.clone(),
        body: event.body.clone(),
    };
    HistoryPage {
        events: events.iter().map(logged).collect(),
        complete,
        more: false,
        from: HistoryFrom::Latest(after),
        next: HistoryFrom::Latest(reached),
        _held: None,
    }
}

/// The events up to a seq that are the latest of a key in one of these channels, in their order.
fn latest<'t>(tenant: &'t Tenant, channels: &[Channel], upto: u64) -> Vec<&'t Logged> {
    let mut of_key: BTreeMap<(&Channel, u64), &Logged> = BTreeMap::new();
    for event in tenant.now().events.iter().filter(|event| event.seq <= upto) {
        let Some(key) = event.key() else { continue };
        for channel in event.channels.iter().filter(|channel| channels.contains(channel)) {
            of_key.insert((channel, key), event);
        }
    }
    let there = of_key.into_values().filter(|event| event.seq > tenant.dropped);
    there.map(|event| (event.seq, event)).collect::<BTreeMap<u64, &Logged>>().into_values().collect()
}

impl Client {
    /// Whether nothing may come live before the latest events that it asked for.
    pub(super) fn waits_for_latest(&self) -> bool {
        self.heard.histories.values().any(|asked| asked.history == Some(Past::Latest))
    }

    /// All that were sent were the latest of a key where the channels became live, and none is missing that still is.
    pub(super) fn has_latest(
        &mut self,
        id: u64,
        asked: &Subscribe,
        sent: &[u64],
        tenant: &Tenant,
    ) -> Finding {
        self.count("latest events of keys".into());
        let Some((_, upto)) =
            asked.since.as_ref().filter(|(epoch, _)| *epoch == *tenant.now().epoch.as_str())
        else {
            // The log is another since; a reset follows.
            return Ok(());
        };
        let channels: Vec<Channel> =
            asked.channels.iter().filter_map(|name| Channel::new(name).ok()).collect();
        let of_request = |channel: &String| self.heard.asked.get(channel).into_iter().flatten();
        let requests = asked.channels.iter().flat_map(of_request);
        let types: Types =
            requests.into_iter().find(|(asked, _)| *asked == id).and_then(|(_, types)| types.clone());
        let is_wanted = |event: &&Logged| event.seq <= *upto && matches(&types, &event.kind());
        let still = latest(tenant, &channels, u64::MAX).into_iter().filter(is_wanted);
        if let Some(missing) = still.map(|event| event.seq).find(|seq| !sent.contains(seq)) {
            return Err(format!(
                "I4: of the latest of {:?} up to {upto} {missing} is missing: {sent:?}",
                asked.channels
            ));
        }
        let then: Vec<u64> = latest(tenant, &channels, *upto).iter().map(|event| event.seq).collect();
        match sent.iter().find(|seq| **seq > tenant.dropped && !then.contains(seq)) {
            Some(wrong) => Err(format!("{wrong} was the latest of no key of {:?} at {upto}", asked.channels)),
            None => Ok(()),
        }
    }
}
