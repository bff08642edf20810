//! What do others tell a shard, and it them?
//!
//! A shard sleeps in epoll. Whoever has something for it puts it into its mailbox and rings once; what it wants from
//! the asynchronous side (a token checked, a page of the log) goes out as an [`Errand`] and comes back as a letter.

use super::connection::{ConnectionId, Ticket};
use super::history::HistoryPage;
use super::wire::Wire;
use crate::admission::Permit;
use crate::entrance::{Entrance, Hello, Refusal};
use crate::stream::backlog::BacklogPage;
use crate::stream::{ShardSet, Stream};
use bytes::Bytes;
use carillon_backplane::log::LogError;
use carillon_platform::auth::Identity;
use carillon_protocol::{Channel, Seq, TenantId};
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

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
    /// Have everyone leave within this time.
    Drain(Duration),
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
    Page { connection: ConnectionId, ticket: Ticket, tenant: TenantId, life: u32, cursor: Seq, head: Seq },
    /// Read a page of history.
    History {
        connection: ConnectionId,
        ticket: Ticket,
        tenant: TenantId,
        channels: Arc<[Channel]>,
        from: HistoryFrom,
        upto: Seq,
    },
}

/// Where a page of history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistoryFrom {
    /// Not known yet: the newest `count`, but nothing up to `after`.
    Newest { count: u64, after: Seq },
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

    /// Sends the same letter to every shard.
    pub(crate) fn send_all(&self, letter: impl Fn() -> ToShard) {
        (0..self.0.len()).for_each(|shard| self.send(shard, letter()));
    }

    /// Connections on this node.
    pub(crate) fn load(&self) -> usize {
        self.0.iter().map(|mailbox| mailbox.load.load(Ordering::Relaxed)).sum()
    }
}
