//! How does a page of the log get to its reader without being in memory as a whole?
//!
//! It is read in pieces of [`PIECE`] bytes, the next one when the socket has taken the one before. Only where it ends
//! has to be known when its events come in the other order than they are shown: then their numbers are looked for first,
//! and the events between them are read like any page. The first piece is read before the answer begins, so whatever
//! goes wrong until then is an error with a code; afterwards the connection ends in the middle of the answer.

use super::problem::Problem;
use super::reads::{Held, PIECE, Reader};
use super::turn::Turn;
use super::{cursor, list, place, position};
use crate::health::Health;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use carillon_backplane::log::{EventFilter, Log, LoggedEvent, Order, Search};
use carillon_protocol::{Epoch, Seq, TenantId};
use futures_util::stream;
use http::{HeaderValue, header};
use std::time::{Duration, Instant};

/// How long a request looks for events before it answers with those it has. The statement under way is awaited, and
/// what fills a piece does not count: then there is something to read.
const LOOKS_FOR: Duration = Duration::from_millis(800);

/// What every step of a page needs.
pub(super) struct Source {
    pub(super) log: Log,
    pub(super) health: Health,
    pub(super) reader: Reader,
    pub(super) tenant: TenantId,
    pub(super) epoch: Epoch,
}

/// Which part of the log was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    older_than: Option<Seq>,
    newer_than: Option<Seq>,
    /// Where the log ends.
    head: Seq,
    /// Most events.
    limit: usize,
    /// How they are shown.
    order: Order,
}

impl Asked {
    /// Newest first.
    pub(super) fn back(older_than: Option<Seq>, newer_than: Option<Seq>, head: Seq, limit: usize) -> Self {
        Self { older_than, newer_than, head, limit, order: Order::Descending }
    }

    /// Oldest first, from an event on.
    pub(super) fn forward(after: Seq, head: Seq, limit: usize) -> Self {
        Self { older_than: None, newer_than: Some(after), head, limit, order: Order::Ascending }
    }

    /// How many events are looked for. Newest first one more tells whether there are more; forward there always may be.
    fn wanted(&self) -> usize {
        self.limit + usize::from(self.order == Order::Descending)
    }
}

/// A page that is being read.
struct Page {
    source: Source,
    asked: Asked,
    search: Search,
    /// Known beforehand when the page was looked for in the other direction.
    turn: Option<Turn>,
    /// What was found so far; one more than the limit tells that there is more.
    found: Vec<Seq>,
    looked_for: Duration,
    held: Held,
    text: Vec<u8>,
    ended: bool,
}

/// Answers the page that was asked for.
pub(super) async fn answer(source: Source, filter: EventFilter, asked: Asked) -> Result<Response, Problem> {
    let mut page = Page::find(source, filter, asked).await?;
    while !page.ended && page.text.len() < PIECE {
        page.read_on().await?;
    }
    let position = page.reaches_head().then(|| position::header(&page.source.epoch, asked.head));
    let json = HeaderValue::from_static("application/json");
    let first = page.held.piece(std::mem::take(&mut page.text));
    let body = match page.ended {
        true => Body::from(first),
        false => Body::from_stream(stream::try_unfold((Some(first), page), |(first, mut page)| async move {
            if let Some(first) = first {
                return Ok(Some((first, (None, page))));
            }
            while !page.ended && page.text.len() < PIECE {
                page.read_on().await.map_err(Broken)?;
            }
            let piece = std::mem::take(&mut page.text);
            Ok::<_, Broken>((!piece.is_empty()).then(|| (page.held.piece(piece), (None, page))))
        })),
    };
    Ok((position, [(header::CONTENT_TYPE, json)], body).into_response())
}

/// Why an answer ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the page could not be read to its end: {}", .0.detail)]
struct Broken(Problem);

impl Page {
    async fn find(source: Source, filter: EventFilter, asked: Asked) -> Result<Self, Problem> {
        let Asked { older_than, newer_than, head, limit, order } = asked;
        let upto = older_than.map_or(head, Seq::previous).min(head);
        let mut range = (newer_than.unwrap_or(Seq::ZERO), upto);
        let mut turn = None;
        if newer_than.is_some() && order == Order::Descending {
            let found = source.seek(&filter, range, limit).await?;
            turn = Some(found.0);
            range = found.1;
        }
        let held = source.reader.hold()?;
        let search = source.search(filter, range, order).await?;
        if order == Order::Ascending {
            place::unbroken(range.0, search.left().0)?;
        }
        let text = br#"{"events":["#.to_vec();
        let (found, looked_for) = (Vec::new(), Duration::ZERO);
        Ok(Self { source, asked, search, turn, found, looked_for, held, text, ended: false })
    }

    /// Whether there is nothing more to look for.
    fn is_complete(&self) -> bool {
        let long_enough = self.turn.is_none() && self.looked_for >= LOOKS_FOR;
        self.found.len() >= self.asked.wanted() || self.search.is_done() || long_enough
    }

    /// Whether who has read to this page misses nothing when it connects where the log ends now. Newest first only the
    /// first page begins there: what came between it and a later one is on neither. Forward it is the page that ends
    /// there; one whose end is not known yet has no position.
    fn reaches_head(&self) -> bool {
        match self.asked.order {
            Order::Descending => self.asked.older_than.is_none() && self.asked.newer_than.is_none(),
            Order::Ascending => self.ended && self.search.is_done(),
        }
    }

    /// Reads the next events into `text`, or ends it.
    async fn read_on(&mut self) -> Result<(), Problem> {
        if self.is_complete() {
            self.ended = true;
            return self.end();
        }
        let limit = self.asked.limit;
        let _turn = self.source.reader.turn().await?;
        self.source.health.check()?;
        let began = Instant::now();
        let wanted = self.asked.wanted() - self.found.len();
        let events = self.source.log.search_on(&mut self.search, wanted, PIECE).await?;
        if events.iter().map(|event| event.body.len()).sum::<usize>() < PIECE {
            self.looked_for += began.elapsed();
        }
        for event in events {
            self.found.push(event.seq);
            if self.found.len() <= limit {
                self.write(event)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, event: LoggedEvent) -> Result<(), Problem> {
        if self.found.len() > 1 {
            self.text.push(b',');
        }
        list::write(&mut self.text, &list::row(event, &self.source.epoch)?)
    }

    /// Where the pages beside this one begin.
    fn end(&mut self) -> Result<(), Problem> {
        let Asked { older_than, newer_than, limit, order, .. } = self.asked;
        let unfinished = (!self.search.is_done()).then(|| self.search.left().1.next());
        let turn = match self.turn.take() {
            Some(turn) => turn,
            // Everything up to where the search stands was looked at.
            None if order == Order::Ascending => Turn { next: Some(self.search.left().0), previous: None },
            None => Turn::of(older_than, newer_than, limit, &self.found, unfinished),
        };
        let encode = |seq: Seq| cursor::encode(&self.source.tenant, &self.source.epoch, seq);
        self.text.extend(br#"],"next":"#);
        list::write(&mut self.text, &turn.next.map(encode))?;
        self.text.extend(br#","previous":"#);
        list::write(&mut self.text, &turn.previous.map(encode))?;
        self.text.push(b'}');
        Ok(())
    }
}

impl Source {
    async fn search(&self, filter: EventFilter, range: (Seq, Seq), order: Order) -> Result<Search, Problem> {
        let _turn = self.reader.turn().await?;
        self.health.check()?;
        Ok(self.log.search(&self.tenant, filter, range, order).await?)
    }

    /// Finds the part of the log that is a page whose events come oldest first.
    async fn seek(
        &self,
        filter: &EventFilter,
        range: (Seq, Seq),
        limit: usize,
    ) -> Result<(Turn, (Seq, Seq)), Problem> {
        let mut search = self.search(filter.clone(), range, Order::Ascending).await?;
        let (began, mut found) = (Instant::now(), Vec::new());
        while found.len() <= limit && !search.is_done() && began.elapsed() < LOOKS_FOR {
            let _turn = self.reader.turn().await?;
            let wanted = limit + 1 - found.len();
            found.extend(self.log.search_seqs(&mut search, wanted).await?);
        }
        let unfinished = (!search.is_done()).then(|| search.left().0);
        let turn = Turn::of(None, Some(range.0), limit, &found, unfinished);
        found.truncate(limit);
        let shown = found.first().zip(found.last()).map(|(first, last)| (first.previous(), *last));
        Ok((turn, shown.unwrap_or((range.0, range.0))))
    }
}
