//! What do others tell a shard, and it them?
//!
//! A shard sleeps in epoll. Whoever has something for it puts it into its mailbox and rings once; what it wants from
//! the asynchronous side (a token checked, a page of the log) goes out as an [`Errand`] and comes back as a letter.

use super::connection::{ConnectionId, Ticket};
use super::history::HistoryPage;
use super::leaving::Cause;
use super::wire::Wire;
use crate::admission::Permit;
use crate::entrance::{Entrance, Hello, Refusal};
use crate::stream::backlog::{BacklogPage, Reader};
use crate::stream::{ShardSet, Stream};
use bytes::Bytes;
use carillon_backplane::log::LogError;
use carillon_platform::auth::Identity;
use carillon_protocol::{Channel, Seq, TenantId};
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// A letter to a shard. The mailbox is bounded by what can be under way: a letter for each connection and each of its
/// errands, and one piece of news for each stream.
pub(crate) enum ToShard {
    /// A socket that has left HTTP.
    Connect(Box<Newcomer>),
    /// A stream has new events, or a new life.
    News(Arc<Stream>),
    /// The token in a first frame was checked.
    Entered(ConnectionId, Result<Box<Entrance>, Refusal>),
    /// The token of a refresh was checked.
    Refreshed(ConnectionId, Option<Box<str>>, Result<Identity, Refusal>),
    /// A page of the log, for a connection behind its ring.
    Page(ConnectionId, Ticket, Result<Arc<BacklogPage>, LogError>),
    /// A page of history for a `subscribe`.
    History(ConnectionId, Ticket, Result<HistoryPage, LogError>),
    /// Send so many of its connections away.
    SendAway(Cause, usize),
    /// Close what is left and end.
    Stop,
}

/// A socket that has left HTTP.
pub(crate) struct Newcomer {
    pub(crate) socket: std::net::TcpStream,
    /// What the client sent right behind its request.
    pub(crate) early: Bytes,
    /// The head of the HTTP answer, to be written before anything else.
    pub(crate) head: Bytes,
    /// What it speaks from here on.
    pub(crate) wire: Wire,
    /// Its place among the node's connections, given back when dropped.
    pub(crate) permit: Permit,
    /// What the URL said.
    pub(crate) hello: Hello,
    /// Who it is, unless its first frame will tell.
    pub(crate) entrance: Option<Box<Entrance>>,
}

/// Something a shard wants done.
pub(crate) enum Errand {
    /// Check the token of a first frame and open its tenant's stream.
    Enter { connection: ConnectionId, token: Box<str>, hello: Hello },
    /// Check the token of a refresh; it must be for the same person in the same tenant.
    Refresh { connection: ConnectionId, frame: Option<Box<str>>, token: Box<str>, tenant: TenantId },
    /// Read the page after a cursor.
    Page { connection: ConnectionId, ticket: Ticket, reader: Reader, life: u32, cursor: Seq, head: Seq },
    /// Read a page of history.
    History {
        connection: ConnectionId,
        ticket: Ticket,
        reader: Reader,
        channels: Arc<[Channel]>,
        from: HistoryFrom,
        upto: Seq,
    },
}

/// Where a piece of history goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryFrom {
    /// Its first event is still looked for, backwards.
    Newest {
        /// So many more events belong to it,
        count: u64,
        /// but nothing up to here.
        after: Seq,
        /// Everything above this was looked at.
        below: Seq,
        /// The place before the oldest event found so far.
        start: Seq,
    },
    /// After this one.
    After(Seq),
}

struct Mailbox {
    letters: mpsc::Sender<ToShard>,
    /// Whether the shard was woken and has not looked yet.
    rung: Arc<AtomicBool>,
    waker: Arc<Waker>,
    /// Connections it has, or will have when its mail is read.
    load: Arc<AtomicUsize>,
}

/// All shards of this node, to write letters to.
#[derive(Clone)]
pub(crate) struct Shards(Arc<[Mailbox]>);

/// The reading end of a shard's mailbox.
pub(super) struct Mail {
    pub(super) letters: mpsc::Receiver<ToShard>,
    pub(super) rung: Arc<AtomicBool>,
    pub(super) load: Arc<AtomicUsize>,
}

impl Shards {
    /// A node without shards, for tests of what runs beside them.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Arc::from([]))
    }

    /// One mailbox for each waker.
    pub(super) fn new(wakers: impl IntoIterator<Item = Waker>) -> (Self, Vec<Mail>) {
        let (mailboxes, mails): (Vec<_>, Vec<_>) = wakers
            .into_iter()
            .map(|waker| {
                let (sender, letters) = mpsc::channel();
                let rung = Arc::new(AtomicBool::new(false));
                let load = Arc::new(AtomicUsize::new(0));
                let mailbox = Mailbox {
                    letters: sender,
                    rung: rung.clone(),
                    waker: Arc::new(waker),
                    load: load.clone(),
                };
                (mailbox, Mail { letters, rung, load })
            })
            .unzip();
        (Self(mailboxes.into()), mails)
    }

    /// Puts a letter into a shard's mailbox and wakes it. A shard that has ended reads nothing.
    pub(crate) fn send(&self, shard: usize, letter: ToShard) {
        let Some(mailbox) = self.0.get(shard) else { return };
        if mailbox.letters.send(letter).is_ok()
            && !mailbox.rung.swap(true, Ordering::SeqCst)
            && let Err(error) = mailbox.waker.wake()
        {
            tracing::error!(shard, %error, "a shard cannot be woken");
        }
    }

    /// Tells some shards that a stream has news.
    pub(crate) fn tell(&self, shards: ShardSet, stream: &Arc<Stream>) {
        let mut left = shards;
        while left != 0 {
            let shard = left.trailing_zeros() as usize;
            left &= left - 1;
            self.send(shard, ToShard::News(stream.clone()));
        }
    }

    /// Gives a newcomer to the shard with the fewest connections.
    pub(crate) fn connect(&self, newcomer: Box<Newcomer>) {
        let least = self.0.iter().enumerate().min_by_key(|(_, mailbox)| mailbox.load.load(Ordering::Relaxed));
        if let Some((shard, mailbox)) = least {
            mailbox.load.fetch_add(1, Ordering::Relaxed);
            self.send(shard, ToShard::Connect(newcomer));
        }
    }

    /// Has `count` connections sent away, of each shard in proportion to what it has.
    pub(crate) fn send_away(&self, cause: Cause, count: usize) {
        let loads: Vec<usize> = self.0.iter().map(|mailbox| mailbox.load.load(Ordering::Relaxed)).collect();
        for (shard, share) in shares(&loads, count).into_iter().enumerate().filter(|(_, share)| *share > 0) {
            self.send(shard, ToShard::SendAway(cause, share));
        }
    }

    /// Sends the same letter to every shard.
    pub(crate) fn send_all(&self, letter: impl Fn() -> ToShard) {
        (0..self.0.len()).for_each(|shard| self.send(shard, letter()));
    }

    /// Connections on this node.
    pub(crate) fn load(&self) -> usize {
        self.0.iter().map(|mailbox| mailbox.load.load(Ordering::Relaxed)).sum()
    }
}

/// Divides `count` in proportion to `loads`; what does not divide comes from whoever keeps most.
fn shares(loads: &[usize], count: usize) -> Vec<usize> {
    let all: usize = loads.iter().sum();
    let mut left = count.min(all);
    let mut shares: Vec<usize> = loads.iter().map(|load| left * load / all.max(1)).collect();
    left -= shares.iter().sum::<usize>();
    for _ in 0..left {
        let most = (0..loads.len()).max_by_key(|shard| loads[*shard] - shares[*shard]);
        if let Some(shard) = most {
            shares[shard] += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_each_shard_gives_in_proportion_and_one_at_a_time_evens_them_out() {
        assert_eq!(shares(&[600, 300, 100], 10), [6, 3, 1]);
        assert_eq!(shares(&[3, 1], 10), [3, 1], "no more than there are");
        assert_eq!(shares(&[0, 0], 5), [0, 0]);
        assert_eq!(shares(&[500, 501], 1), [0, 1]);
        let mut loads = [700, 500];
        for _ in 0..400 {
            shares(&loads, 1).iter().zip(&mut loads).for_each(|(share, load)| *load -= share);
        }
        assert_eq!(loads, [400, 400]);
    }
}
