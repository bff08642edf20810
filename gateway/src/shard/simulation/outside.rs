//! What does the world outside say and answer?

use super::latest;
use super::scenario::Outcome;
use super::tenant::{Logged, Tenant};
use super::world::SimSocket;
use crate::relay::{NotPublished, Receipt, Relayed};
use crate::shard::messages::{ConnectionId, HistoryFrom, HistoryPage, Published, ToShard};
use crate::stream::backlog::Selection;
use carillon_backplane::log::LoggedEvent;
use carillon_protocol::client::FrameId;
use carillon_protocol::{Channel, Epoch, EventId, Seq};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// In the first byte of a frame.
pub(super) const COMPRESSED: u8 = 0x40;
/// What a flush ends with, and a message leaves out.
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// What a publisher makes of what a client publishes.
pub(super) fn stored(
    connection: ConnectionId,
    frame: Option<FrameId>,
    relayed: Relayed,
    outcome: Outcome,
) -> ToShard<SimSocket> {
    let body: serde_json::Value = serde_json::from_str(&relayed.body).unwrap();
    let id = EventId::new(body["event"]["id"].as_str().unwrap()).unwrap();
    let result = match outcome {
        Outcome::Good => Ok(Receipt { id, seq: Seq(1), epoch: Epoch::new("e1").unwrap() }),
        _ => Err(NotPublished::unavailable("no answer")),
    };
    ToShard::Published(
        connection,
        Box::new(Published { tenant: relayed.tenant, frame, channel: relayed.channel, result }),
    )
}

/// A page of history, as the async bridge would read it.
pub(super) fn history(
    tenant: &Tenant,
    selection: &Selection,
    from: HistoryFrom,
    upto: Seq,
    short: bool,
) -> HistoryPage {
    let is_of_type =
        |event: &&Logged| selection.types.as_ref().is_none_or(|types| types.matches(&event.kind()));
    let is_in = |event: &&Logged| {
        event.channels.iter().any(|channel| selection.channels.contains(channel)) && is_of_type(event)
    };
    let within = |event: &&Logged| event.seq > tenant.dropped && event.seq <= upto.0;
    let all: Vec<&Logged> = tenant.now().events.iter().filter(within).filter(is_in).collect();
    let (start, more) = match from {
        HistoryFrom::After(seq) => (seq.0, false),
        HistoryFrom::Newest { start, .. } if from.asks_for_none(upto) => (start.0, false),
        HistoryFrom::Latest(after) => return latest::page(tenant, selection, after, upto, short),
        HistoryFrom::Newest { count, after, below, start } => {
            let older: Vec<&&Logged> = all.iter().filter(|event| event.seq <= below.0).collect();
            let skipped = older.len().saturating_sub(count as usize);
            if let (true, Some(stopped)) = (short && older.len() > 1 && count > 0, older.last()) {
                // It came one event further back, and is asked to go on from there.
                let (below, start) = (Seq(stopped.seq - 1), Seq(stopped.seq - 1));
                let next = HistoryFrom::Newest { count: count - 1, after, below, start };
                return HistoryPage {
                    events: Vec::new(),
                    complete: false,
                    more: false,
                    from,
                    next,
                    _held: None,
                };
            }
            let first = older.get(skipped).filter(|_| count > 0).map_or(start.0, |event| event.seq - 1);
            (first.max(after.0), skipped > 0)
        }
    };
    let mut events: Vec<&Logged> = all.into_iter().filter(|event| event.seq > start).collect();
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
        more,
        from: HistoryFrom::After(Seq(start)),
        next: HistoryFrom::After(reached),
        _held: None,
    }
}

/// The channels of a client's request.
pub(super) fn names(mask: u8) -> Vec<String> {
    (0..6)
        .filter(|bit| mask >> bit & 1 == 1)
        .map(|bit| format!("x:{bit}"))
        .chain((mask >= 64).then(|| "x:all".into()))
        .take(7)
        .collect()
}

/// The channels of an event: some of those that clients may join, or their own.
pub(super) fn event_channels(mask: u8) -> Vec<Channel> {
    let own = ["tenant", "user:user-0", "role:r", "user:user-1"][mask as usize % 4];
    let joined =
        (0..6).filter(|bit| mask >> (bit % 8) & 3 == 3).map(|bit| Channel::new(format!("x:{bit}")).unwrap());
    if mask >= 160 {
        return vec![Channel::new(own).unwrap()];
    }
    let own = (!mask.is_multiple_of(3)).then(|| Channel::new(own).unwrap());
    let mut all: Vec<Channel> = joined.chain(own).collect();
    if all.is_empty() {
        all.push(Channel::new("x:0").unwrap());
    }
    all
}

/// A client's frame, masked with nothing.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend((long as u16).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}

/// The first frame of a buffer: its first byte, its payload as it was before it was compressed, and its length with head.
pub(super) fn first_frame(buffer: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (&first, &second) = (buffer.first()?, buffer.get(1)?);
    let (length, head) = match second & 127 {
        126 => (u64::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = head + length as usize;
    let payload = buffer.get(head..end)?;
    Some((first, if first & COMPRESSED == 0 { payload.to_vec() } else { inflated(payload) }, end))
}

/// A client's message as a whole, compressed by itself (RFC 7692 section 7.2.1).
pub(super) fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    Compress::new(Compression::fast(), false).compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    out.truncate(out.len() - FLUSHED.len());
    out
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 * 1024);
    let whole = [payload, &FLUSHED].concat();
    Decompress::new(false).decompress_vec(&whole, &mut out, FlushDecompress::Sync).unwrap();
    out
}

/// Takes the first message of an event stream out of a buffer: empty is the last chunk of an answer in chunks.
pub(super) fn next_message(buffer: &mut Vec<u8>, chunked: bool) -> Result<Option<Vec<u8>>, String> {
    let find = |bytes: &[u8]| buffer.windows(2).position(|two| two == bytes);
    if !chunked {
        return Ok(find(b"\n\n").map(|at| buffer.drain(..at + 2).collect()));
    }
    let Some(at) = find(b"\r\n") else { return Ok(None) };
    let length =
        std::str::from_utf8(&buffer[..at]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
    let end = at + 2 + length.ok_or_else(|| format!("no chunk: {:?}", &buffer[..at]))?;
    if buffer.len() < end + 2 {
        return Ok(None);
    }
    if buffer[end..end + 2] != *b"\r\n" {
        return Err("a chunk of another length".into());
    }
    let message = buffer[at + 2..end].to_vec();
    buffer.drain(..end + 2);
    Ok(Some(message))
}
