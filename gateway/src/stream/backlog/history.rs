//! Where does a piece of history begin, and which events are in it?
//!
//! A search of the log is a row of small statements, each with a permit of its own, so that others come in between. What a
//! few of them do not find is looked for when the connection asks on: no search outlives who wants it.

use super::shares::{Kind, Reader};
use super::{Backlog, Held};
use crate::metrics::metrics;
use carillon_backplane::log::{
    EventFilter, LATEST_ROWS, LogError, LoggedEvent, Order, PAGE_BYTES, PAGE_ROWS, Search,
};
use carillon_protocol::{Channel, Seq, TypeFilter};
use std::sync::Arc;

/// Statements for one question of a connection.
const STEPS: usize = 16;

/// What events take in memory.
fn weight(events: &[LoggedEvent]) -> usize {
    let one = |event: &LoggedEvent| size_of::<LoggedEvent>() + event.body.len() + 32 * event.channels.len();
    events.iter().map(one).sum()
}

/// Which events history is of.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// In one of these channels,
    pub(crate) channels: Arc<[Channel]>,
    /// and of these types; none: of any.
    pub(crate) types: Option<Arc<TypeFilter>>,
}

/// Where a piece of history begins, as far as it was looked for.
pub(crate) struct HistoryStart {
    /// The place before its first event.
    pub(crate) start: Seq,
    /// How many events were found.
    pub(crate) events: u64,
    /// Whether older ones were left out.
    pub(crate) more: bool,
    /// What is left to be looked at up to here, when it is not known yet where it begins.
    pub(crate) stopped: Option<Seq>,
}

impl Backlog {
    /// Where a piece of history begins: before the newest `count` events with `after < seq <= below`.
    /// `start` is where it begins as far as is known.
    pub(crate) async fn history_start(
        &self,
        reader: &Reader,
        selection: &Selection,
        range: (Seq, Seq),
        count: u64,
        start: Seq,
    ) -> Result<HistoryStart, LogError> {
        let mut search = self.begin(reader, selection, range, Order::Descending).await?;
        let mut found = HistoryStart { start, events: 0, more: false, stopped: None };
        for _ in 0..STEPS {
            // One more than asked for is itself the place before the first.
            let limit = (count + 1 - found.events) as usize;
            let _permit = self.shared.shares.permit(Kind::History, reader).await?;
            let seqs = self.log.search_seqs(&mut search, limit).await?;
            found.events += seqs.len() as u64;
            if let Some(oldest) = seqs.last() {
                found.more = found.events > count;
                found.start = if found.more { *oldest } else { oldest.previous() };
            }
            if found.more || search.is_done() {
                return Ok(found);
            }
        }
        found.stopped = Some(search.left().1);
        Ok(found)
    }

    /// A page of history: the first of the events with `after < seq <= upto`, how far they were looked
    /// for, and what they hold.
    pub(crate) async fn history(
        &self,
        reader: &Reader,
        selection: &Selection,
        after: Seq,
        upto: Seq,
    ) -> Result<(Vec<LoggedEvent>, Seq, Held), LogError> {
        let room = self.shared.shares.room(Kind::History, reader).await?;
        let mut search = self.begin(reader, selection, (after, upto), Order::Ascending).await?;
        let bytes = self.reserve().await;
        metrics().history_reads.increment(1);
        let mut events = Vec::new();
        for _ in 0..STEPS {
            let _permit = self.shared.shares.permit(Kind::History, reader).await?;
            events = self.log.search_on(&mut search, PAGE_ROWS, PAGE_BYTES).await?;
            if !events.is_empty() || search.is_done() {
                break;
            }
        }
        bytes.set(weight(&events).min(bytes.bytes()));
        Ok((events, search.left().0, Held { _bytes: bytes, _room: room }))
    }

    /// A page of the latest events of keys with `after < seq <= upto`, how far they were looked for, and what they hold.
    pub(crate) async fn latest(
        &self,
        reader: &Reader,
        selection: &Selection,
        after: Seq,
        upto: Seq,
    ) -> Result<(Vec<LoggedEvent>, Seq, Held), LogError> {
        let room = self.shared.shares.room(Kind::History, reader).await?;
        let bytes = self.reserve().await;
        let _permit = self.shared.shares.permit(Kind::History, reader).await?;
        metrics().history_reads.increment(1);
        let types = selection.types.as_ref().map_or(&[][..], |types| types.patterns());
        let most = (LATEST_ROWS, PAGE_BYTES);
        let page = self.log.latest(&reader.group, &selection.channels, types, (after, upto), most).await?;
        let page = page.filter(|page| page.head >= upto);
        // Whoever is asked may be behind the node: what it does not have yet may be the latest.
        let page = page.ok_or_else(|| LogError::Busy("the log has not come to this event yet".into()))?;
        bytes.set(weight(&page.events).min(bytes.bytes()));
        Ok((page.events, page.reached, Held { _bytes: bytes, _room: room }))
    }

    async fn begin(
        &self,
        reader: &Reader,
        selection: &Selection,
        range: (Seq, Seq),
        order: Order,
    ) -> Result<Search, LogError> {
        let _permit = self.shared.shares.permit(Kind::History, reader).await?;
        let mut filter = EventFilter::channels(&selection.channels);
        if let Some(types) = &selection.types {
            filter.types = types.patterns().to_vec();
        }
        self.log.search(&reader.group, filter, range, order).await
    }
}
