//! How does a message reach a shard?
//!
//! A shard sleeps in epoll. Whoever has something for it puts it into its mailbox and wakes it, once.

use super::messages::{Cause, Coming, Newcomer, ToShard};
use super::wire::Wire;
use crate::live::Passing;
use crate::stream::{ShardSet, Stream};
use mio::Waker;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

struct Mailbox {
    messages: mpsc::Sender<ToShard>,
    /// Whether the shard was woken and has not looked yet.
    woken: Arc<AtomicBool>,
    waker: Arc<Waker>,
    /// Connections it has, or will have when its messages are read.
    load: Arc<AtomicUsize>,
}

/// All shards of this node, to write messages to.
#[derive(Clone)]
pub(crate) struct Shards(Arc<[Mailbox]>);

/// The reading end of a shard's mailbox.
pub(super) struct Inbox {
    pub(super) messages: mpsc::Receiver<ToShard>,
    pub(super) woken: Arc<AtomicBool>,
    pub(super) load: Arc<AtomicUsize>,
}

impl Shards {
    /// A node without shards, for tests of what runs beside them.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Arc::from([]))
    }

    /// One mailbox for each waker.
    pub(super) fn new(wakers: impl IntoIterator<Item = Waker>) -> (Self, Vec<Inbox>) {
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = wakers
            .into_iter()
            .map(|waker| {
                let (sender, messages) = mpsc::channel();
                let woken = Arc::new(AtomicBool::new(false));
                let load = Arc::new(AtomicUsize::new(0));
                let mailbox = Mailbox {
                    messages: sender,
                    woken: woken.clone(),
                    waker: Arc::new(waker),
                    load: load.clone(),
                };
                (mailbox, Inbox { messages, woken, load })
            })
            .unzip();
        (Self(mailboxes.into()), inboxes)
    }

    /// Puts a message into a shard's mailbox and wakes it. A shard that has ended reads nothing.
    pub(crate) fn send(&self, shard: usize, message: ToShard) {
        let Some(mailbox) = self.0.get(shard) else { return };
        if mailbox.messages.send(message).is_ok()
            && !mailbox.woken.swap(true, Ordering::SeqCst)
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

    /// Gives some shards a signal for a stream's tenant.
    pub(crate) fn tell_live(&self, shards: ShardSet, stream: &Arc<Stream>, passing: &Arc<Passing>) {
        for shard in (0..64).filter(|shard| shards & (1 << shard) != 0) {
            self.send(shard, ToShard::Live(stream.clone(), passing.clone()));
        }
    }

    /// Tells some shards that the rules of a stream's tenant are others now.
    pub(crate) fn tell_rules(&self, shards: ShardSet, stream: &Arc<Stream>) {
        for shard in (0..64).filter(|shard| shards & (1 << shard) != 0) {
            self.send(shard, ToShard::Rules(stream.clone()));
        }
    }

    /// Gives a newcomer to the shard with the fewest connections.
    pub(crate) fn connect(&self, newcomer: Box<Newcomer>) {
        let least = self.0.iter().enumerate().min_by_key(|(_, mailbox)| mailbox.load.load(Ordering::Relaxed));
        if let Some((shard, mailbox)) = of_person(&newcomer, &self.0).or(least) {
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

    /// Sends the same message to every shard.
    pub(crate) fn send_all(&self, message: impl Fn() -> ToShard) {
        (0..self.0.len()).for_each(|shard| self.send(shard, message()));
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
        let most = loads.iter().zip(&mut shares).max_by_key(|(load, share)| *load - **share);
        if let Some((_, share)) = most {
            *share += 1;
        }
    }
    shares
}

/// The shard of whoever sends a command: always the same, so that somebody who stops typing is known to have begun.
fn of_person<'m>(newcomer: &Newcomer, mailboxes: &'m [Mailbox]) -> Option<(usize, &'m Mailbox)> {
    let (Wire::Command, Coming::Admitted(authorized)) = (newcomer.wire, &newcomer.coming) else {
        return None;
    };
    let (tenant, user) = (&authorized.identity.tenant, &authorized.identity.user);
    let mut hasher = DefaultHasher::new();
    (tenant, user).hash(&mut hasher);
    let shard = hasher.finish() as usize % mailboxes.len().max(1);
    Some((shard, mailboxes.get(shard)?))
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
