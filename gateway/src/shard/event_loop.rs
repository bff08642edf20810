//! How does a shard run in a process?
//!
//! A thread for each, asleep in epoll until a socket, a message or a deadline wants something.

use super::context::ShardConfig;
use super::mailbox::{Inbox, Shards};
use super::messages::{PresenceNews, Ready, Request};
use super::shard::Shard;
use super::world::Kernel;
use crate::fate::SharedFate;
use crate::live::{LiveBus, Outgoing};
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

const WAKE: Token = Token(usize::MAX);
/// Sockets looked at in one turn.
const EVENTS: usize = 1_024;

/// Starts the shards. Whoever reads `requests` answers them; `presence` hears who comes and goes.
pub(crate) fn start(
    count: usize,
    config: &ShardConfig,
    requests: &UnboundedSender<Request>,
    bus: &LiveBus,
    presence: &UnboundedSender<(u16, Vec<PresenceNews>)>,
) -> io::Result<(Shards, Vec<JoinHandle<()>>)> {
    let polls = (0..count).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let wakers =
        polls.iter().map(|poll| Waker::new(poll.registry(), WAKE)).collect::<io::Result<Vec<_>>>()?;
    let (shards, inboxes) = Shards::new(wakers);
    let threads = (0u16..)
        .zip(polls.into_iter().zip(inboxes))
        .map(|(number, (mut poll, inbox))| {
            let outgoing = Outgoing::new(bus.clone(), shards.clone());
            let world =
                Kernel::new(poll.registry().try_clone()?, requests.clone(), outgoing, presence.clone());
            let shard = Shard::new(world, number, config.clone(), inbox.load.clone());
            std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
                let fate = SharedFate::of("shard");
                match run_event_loop(shard, &inbox, |events, timeout| poll.poll(events, timeout)) {
                    Ok(()) => fate.fulfilled(),
                    Err(error) => tracing::error!(shard = number, %error, "epoll failed"),
                }
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok((shards, threads))
}

/// Turn after turn, until the shard was told to stop or `wait` fails.
fn run_event_loop(
    mut shard: Shard<Kernel>,
    inbox: &Inbox,
    mut wait: impl FnMut(&mut Events, Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS);
    // The message that ended the rest before this turn, if one did.
    let mut first = None;
    loop {
        let timeout_ms = if first.is_some() { Some(0) } else { shard.poll_timeout_ms() };
        match wait(&mut events, timeout_ms.map(Duration::from_millis)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let ready = events.iter().filter(|event| event.token() != WAKE).map(|event| Ready {
            key: event.token().0 as u32,
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        });
        // Lowered before reading: whoever has a message after that wakes the shard again.
        inbox.woken.store(false, Ordering::SeqCst);
        if !shard.turn(ready, first.take().into_iter().chain(inbox.messages.try_iter())) {
            return Ok(());
        }
        if let Some(rest_us) = shard.rest_us() {
            first = inbox.messages.recv_timeout(Duration::from_micros(rest_us)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::live::Rates;
    use crate::records::Records;
    use crate::relay::Relays;
    use crate::shard::{FrameRate, StuckCursors};
    use carillon_platform::telemetry::Traces;
    use carillon_protocol::connection::Incarnation;
    use std::sync::Arc;

    fn shard() -> (Shard<Kernel>, Inbox, Poll) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), WAKE).unwrap();
        let (_, mut inboxes) = Shards::new([waker]);
        let (requests, _) = tokio::sync::mpsc::unbounded_channel();
        let config = ShardConfig {
            run: Arc::new(Incarnation { node: "gateway-1".into(), number: 7 }),
            heartbeat_ms: 25_000,
            stall_ms: 60_000,
            shards: 1,
            frame_rate: FrameRate { per_second: 50 },
            traces: Traces::default(),
            stuck: StuckCursors::default(),
            rates: Rates::default(),
            limits: Limits::default(),
            relays: Relays::default(),
            records: Records::default(),
        };
        let (presence, _) = tokio::sync::mpsc::unbounded_channel();
        let world =
            Kernel::new(poll.registry().try_clone().unwrap(), requests, Outgoing::nowhere(), presence);
        (Shard::new(world, 0, config, Arc::default()), inboxes.remove(0), poll)
    }

    #[test]
    fn a_shard_whose_poll_fails_says_so_instead_of_ending_in_silence() {
        let (shard, inbox, _poll) = shard();
        let mut answers = [io::ErrorKind::Interrupted, io::ErrorKind::InvalidInput].into_iter();
        let ended = run_event_loop(shard, &inbox, |_, _| Err(answers.next().unwrap().into()));
        assert_eq!(ended.err().map(|error| error.kind()), Some(io::ErrorKind::InvalidInput));
        assert_eq!(answers.next(), None, "an interrupted wait is no failure");
    }
}
