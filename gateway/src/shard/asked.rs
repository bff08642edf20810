//! Which memberships hold by an application's verdict, until when, and what waits for one?
//!
//! Beside the sessions: one that has nothing to do with applications costs nothing here. A verdict is renewed before its time
//! is over, connections apart from one another so that those who came together are not asked about together.

use super::messages::{AskTicket, Joining};
use super::room::Member;
use crate::verdicts::Verdicts;
use carillon_platform::ask::Granted;
use carillon_protocol::{Channel, DeviceId};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Subscribes of a connection that may wait for verdicts at a time.
pub(super) const WAITING: usize = 32;
/// Times that one of them is asked about: what may be done with the first answer may have changed when it comes.
const ROUNDS: u8 = 3;
/// Longest time that a member stays beyond a verdict whose time is over, while the application gives none; never longer than
/// that verdict was given for.
const GRACE_MS: u64 = 300_000;
/// How long somebody stays of whom the application has never said anything: a rule that let them in leaves it to that now.
const UNSAID_MS: u64 = 5_000;
/// How long after a change of the settings the last member is asked about.
const SPREAD_MS: u64 = 1_500;
/// When an application that gave no verdict is asked again, and how much later at most.
const AGAIN_MS: (u64, u64) = (5_000, 1_000);
/// Memberships that are looked after in one turn.
const A_TURN: usize = 256;

/// What applications have said and are to say.
#[derive(Default)]
pub(super) struct Asked {
    /// What connections call the devices they come from.
    devices: HashMap<u32, DeviceId>,
    of: HashMap<Member, OfSession>,
    due: BTreeSet<(u64, Member, Channel)>,
    last_ticket: AskTicket,
}

#[derive(Default)]
struct OfSession {
    waiting: Vec<Waiting>,
    held: HashMap<Channel, Held>,
}

/// A `subscribe` that waits for verdicts.
pub(super) struct Waiting {
    /// 0: it has not waited yet.
    ticket: AskTicket,
    pub(super) joining: Joining,
    /// Channels of it that were left before it had its answer.
    pub(super) left: Vec<Channel>,
    /// What the application has said about it so far.
    pub(super) verdicts: Verdicts,
    /// When that was.
    said_ms: u64,
    /// How often it was asked about.
    rounds: u8,
}

impl Waiting {
    /// A `subscribe` that was not asked about.
    pub(super) fn new(joining: Joining) -> Self {
        Self { ticket: 0, joining, left: Vec::new(), verdicts: Verdicts::default(), said_ms: 0, rounds: 0 }
    }

    /// The application has said this about it.
    pub(super) fn hear(&mut self, verdicts: Verdicts, now_ms: u64) {
        let elapsed = Duration::from_millis(now_ms.saturating_sub(self.said_ms));
        self.verdicts = verdicts.after(std::mem::take(&mut self.verdicts), elapsed);
        self.said_ms = now_ms;
    }

    /// Whether the application is asked no more about it.
    pub(super) fn was_asked_enough(&self) -> bool {
        self.rounds >= ROUNDS
    }
}

/// A membership that holds by a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Which; 0 is none.
    pub(super) number: u64,
    /// By which setting of the application.
    pub(super) generation: u64,
    /// When it ends unless there is another one.
    ends_ms: u64,
    /// When it ends at the latest, if we are too busy to ask.
    latest_ms: u64,
    due_ms: u64,
    /// Whether another one is under way.
    asking: bool,
}

/// What is to be done about a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The application is asked; this verdict is known.
    Ask(u64),
    /// It has given none for too long.
    Over,
}

impl Asked {
    fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// What a connection calls the device it comes from.
    pub(super) fn set_device(&mut self, key: u32, device: Option<DeviceId>) {
        if let Some(device) = device {
            self.devices.insert(key, device);
        }
    }

    pub(super) fn device(&self, key: u32) -> Option<&DeviceId> {
        self.devices.get(&key)
    }

    pub(super) fn forget_device(&mut self, key: u32) {
        self.devices.remove(&key);
    }

    /// Has a `subscribe` wait for verdicts, once more if it has before. None if as many wait as may.
    pub(super) fn wait(&mut self, member: Member, waiting: Waiting) -> Option<AskTicket> {
        let own = self.of.entry(member).or_default();
        if own.waiting.len() >= WAITING {
            return None;
        }
        let ticket = match waiting.ticket {
            0 => {
                self.last_ticket += 1;
                self.last_ticket
            }
            ticket => ticket,
        };
        own.waiting.push(Waiting { ticket, rounds: waiting.rounds + 1, ..waiting });
        Some(ticket)
    }

    /// What waited for these verdicts.
    pub(super) fn answered(&mut self, member: Member, ticket: AskTicket) -> Option<Waiting> {
        let own = self.of.get_mut(&member)?;
        let at = own.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = own.waiting.remove(at);
        self.forget_if_empty(member);
        Some(waiting)
    }

    /// What is known of a membership.
    pub(super) fn held(&self, member: Member, channel: &Channel) -> Option<Held> {
        self.of.get(&member)?.held.get(channel).copied()
    }

    /// A membership holds by this verdict from now on; `spread` tells connections apart.
    pub(super) fn hold(
        &mut self,
        member: Member,
        channel: &Channel,
        granted: Granted,
        generation: u64,
        now_ms: u64,
        spread: u64,
    ) {
        let [left, lasts] = [granted.left, granted.lasts].map(|time: Duration| time.as_millis() as u64);
        let held = Held {
            number: granted.number,
            generation,
            ends_ms: now_ms + left + lasts.min(GRACE_MS),
            latest_ms: now_ms + left + GRACE_MS,
            // In the last fifth of its time.
            due_ms: now_ms + left * (800 + spread % 200) / 1_000,
            asking: false,
        };
        self.put(member, channel, held);
    }

    /// The application is to be asked soon: by another rule, another setting, or about somebody with other roles.
    pub(super) fn ask_soon(
        &mut self,
        member: Member,
        channel: &Channel,
        generation: u64,
        now_ms: u64,
        spread: u64,
    ) {
        let due_ms = now_ms + spread % SPREAD_MS;
        let held = match self.held(member, channel) {
            Some(held) => Held { generation, due_ms: due_ms.min(held.ends_ms), asking: false, ..held },
            None => {
                let (ends_ms, latest_ms) = (now_ms + UNSAID_MS, now_ms + GRACE_MS);
                Held { number: 0, generation, ends_ms, latest_ms, due_ms, asking: false }
            }
        };
        self.put(member, channel, held);
    }

    /// The application gave no verdict about a membership: it is asked again, until this one ends.
    pub(super) fn ask_again(&mut self, member: Member, channel: &Channel, now_ms: u64, spread: u64) {
        if let Some(held) = self.held(member, channel) {
            let due_ms = (now_ms + AGAIN_MS.0 + spread % AGAIN_MS.1).min(held.ends_ms);
            self.put(member, channel, Held { due_ms, asking: false, ..held });
        }
    }

    /// The application was not asked about a membership, because too much was to be asked: it is so later, and has its time to
    /// answer then.
    pub(super) fn ask_later(&mut self, member: Member, channel: &Channel, now_ms: u64, spread: u64) {
        if let Some(held) = self.held(member, channel) {
            let again_ms = now_ms + AGAIN_MS.0 + spread % AGAIN_MS.1;
            let ends_ms = held.ends_ms.max((again_ms + UNSAID_MS).min(held.latest_ms));
            self.put(member, channel, Held { ends_ms, due_ms: again_ms.min(ends_ms), asking: false, ..held });
        }
    }

    /// What is due now, some of it: one that is to be asked about is due again when it ends.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<(Member, Channel, Due)> {
        let mut all = Vec::new();
        while all.len() < A_TURN {
            let Some((due_ms, member, channel)) = self.due.first().cloned() else { break };
            if due_ms > now_ms {
                break;
            }
            let Some(held) = self.held(member, &channel) else {
                self.due.pop_first();
                continue;
            };
            if now_ms >= held.ends_ms || held.asking {
                self.forget(member, &channel);
                all.push((member, channel, Due::Over));
            } else {
                self.put(member, &channel, Held { due_ms: held.ends_ms, asking: true, ..held });
                all.push((member, channel, Due::Ask(held.number)));
            }
        }
        all
    }

    /// When something is due.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, ..)| *due_ms)
    }

    /// A membership has ended, or holds by itself now.
    pub(super) fn forget(&mut self, member: Member, channel: &Channel) {
        let held = self.of.get_mut(&member).and_then(|own| own.held.remove(channel));
        if let Some(held) = held {
            self.due.remove(&(held.due_ms, member, channel.clone()));
            self.forget_if_empty(member);
        }
    }

    /// Memberships have ended.
    pub(super) fn left(&mut self, member: Member, channels: &[Channel]) {
        if !self.is_empty() {
            channels.iter().for_each(|channel| self.forget(member, channel));
        }
    }

    /// A client wants to be in channels no more: it leaves them also when a `subscribe` that waits now has joined them.
    pub(super) fn unwanted(&mut self, member: Member, channels: &[Channel]) {
        for waiting in self.of.get_mut(&member).into_iter().flat_map(|own| &mut own.waiting) {
            waiting
                .left
                .extend(channels.iter().filter(|left| waiting.joining.channels.contains(left)).cloned());
        }
    }

    /// A `subscribe` has joined channels: an `unsubscribe` from before it came leaves them no more.
    pub(super) fn wanted(&mut self, member: Member, joined: &Waiting, channels: &[Channel]) {
        let stays = |channel: &Channel| channels.contains(channel) && !joined.left.contains(channel);
        let is_older = |other: &&mut Waiting| joined.ticket == 0 || other.ticket < joined.ticket;
        for older in self.of.get_mut(&member).into_iter().flat_map(|own| &mut own.waiting).filter(is_older) {
            older.left.retain(|channel| !stays(channel));
        }
    }

    /// The subscribes of a session that wait: it leaves its tenant, and they are carried out no more.
    pub(super) fn take_waiting(&mut self, member: Member) -> Vec<Waiting> {
        self.of.get_mut(&member).map(|own| std::mem::take(&mut own.waiting)).unwrap_or_default()
    }

    /// A session is gone.
    pub(super) fn gone(&mut self, member: Member) {
        if self.is_empty() {
            return;
        }
        for (channel, held) in self.of.remove(&member).into_iter().flat_map(|own| own.held) {
            self.due.remove(&(held.due_ms, member, channel));
        }
    }

    fn put(&mut self, member: Member, channel: &Channel, held: Held) {
        let before = self.of.entry(member).or_default().held.insert(channel.clone(), held);
        if let Some(before) = before {
            self.due.remove(&(before.due_ms, member, channel.clone()));
        }
        self.due.insert((held.due_ms, member, channel.clone()));
    }

    fn forget_if_empty(&mut self, member: Member) {
        let is_empty = |own: &OfSession| own.waiting.is_empty() && own.held.is_empty();
        if self.of.get(&member).is_some_and(is_empty) {
            self.of.remove(&member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::RoomKey;
    use super::*;

    fn of(key: u32) -> Member {
        Member { key, room: RoomKey(0) }
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    fn granted(number: u64, seconds: u64) -> Granted {
        let lasts = Duration::from_secs(seconds);
        Granted { number, lasts, left: lasts }
    }

    #[test]
    fn a_verdict_is_renewed_in_the_last_fifth_of_its_time_and_ends_at_twice_that() {
        let (mut asked, order) = (Asked::default(), channel("order:1"));
        for spread in 0..1_000 {
            asked.hold(of(1), &order, granted(7, 60), 1, 1_000, spread);
            let due = asked.next_ms().unwrap();
            assert!((49_000..61_000).contains(&due), "{due}");
        }
        let due = asked.next_ms().unwrap();
        assert!(asked.take_due(due - 1).is_empty());
        assert_eq!(asked.take_due(due), [(of(1), order.clone(), Due::Ask(7))]);
        assert_eq!(asked.next_ms(), Some(121_000), "without an answer it ends");
        asked.ask_again(of(1), &order, 100_000, 500);
        assert_eq!(asked.take_due(105_500), [(of(1), order.clone(), Due::Ask(7))]);
        asked.ask_again(of(1), &order, 119_000, 0);
        assert_eq!(asked.take_due(121_000), [(of(1), order.clone(), Due::Over)]);
        assert!(asked.is_empty() && asked.due.is_empty());
        asked.hold(of(1), &order, granted(8, 3_600), 1, 0, 0);
        asked.take_due(3_600_000);
        assert_eq!(asked.next_ms(), Some(3_900_000), "five minutes at most");
        asked.gone(of(1));
        assert!(asked.is_empty() && asked.due.is_empty());
    }

    #[test]
    fn whoever_is_asked_about_for_the_first_time_is_so_within_two_seconds_and_stays_five() {
        let (mut asked, order) = (Asked::default(), channel("order:1"));
        asked.ask_soon(of(1), &order, 1, 10_000, 9_999);
        assert!(asked.next_ms().unwrap() < 12_000);
        assert_eq!(asked.take_due(12_000), [(of(1), order.clone(), Due::Ask(0))]);
        assert_eq!(asked.take_due(15_000), [(of(1), order.clone(), Due::Over)]);
        // Whoever has a verdict keeps it for its time.
        asked.hold(of(1), &order, granted(7, 60), 1, 0, 0);
        asked.ask_soon(of(1), &order, 2, 10_000, 0);
        assert_eq!(asked.take_due(10_000), [(of(1), order.clone(), Due::Ask(7))]);
        assert_eq!(asked.next_ms(), Some(120_000));
        asked.left(of(1), &[order]);
        assert!(asked.is_empty() && asked.due.is_empty());
    }

    #[test]
    fn a_queue_of_ours_that_is_full_is_no_silence_of_the_application() {
        let (mut asked, order) = (Asked::default(), channel("order:1"));
        asked.ask_soon(of(1), &order, 1, 0, 1_000);
        assert_eq!(asked.take_due(1_000), [(of(1), order.clone(), Due::Ask(0))]);
        let mut now_ms = 4_000;
        let mut rounds = 0;
        let over = loop {
            asked.ask_later(of(1), &order, now_ms, 500);
            now_ms = asked.next_ms().unwrap();
            match asked.take_due(now_ms)[..] {
                [(_, _, Due::Ask(0))] => rounds += 1,
                [(_, _, Due::Over)] => break now_ms,
                ref other => panic!("{other:?}"),
            }
        };
        assert_eq!((over, rounds), (GRACE_MS, 53), "every 5.5 s, and not for ever");
        // Silence is.
        asked.ask_soon(of(1), &order, 1, 0, 1_000);
        asked.take_due(1_000);
        asked.ask_again(of(1), &order, 4_000, 500);
        assert_eq!(asked.take_due(5_000), [(of(1), order, Due::Over)]);
    }

    #[test]
    fn a_subscribe_that_waits_knows_what_was_left_meanwhile() {
        let mut asked = Asked::default();
        let joining = |name: &str| {
            let channels = vec![channel(name)];
            Waiting::new(Joining { id: None, channels, history: None, types: None, presence: false })
        };
        let ticket = asked.wait(of(1), joining("a")).unwrap();
        asked.unwanted(of(1), &[channel("a"), channel("b")]);
        let waiting = asked.answered(of(1), ticket).unwrap();
        assert_eq!(waiting.left, [channel("a")]);
        assert!(asked.answered(of(1), ticket).is_none() && asked.is_empty());
        // And it still knows when it has to wait once more; one that came later wants it again.
        assert_eq!(asked.wait(of(1), waiting), Some(ticket));
        let later = asked.wait(of(1), joining("a")).unwrap();
        let later = asked.answered(of(1), later).unwrap();
        let waiting = asked.answered(of(1), ticket).unwrap();
        assert_eq!((&later.left[..], &waiting.left[..]), (&[][..], &[channel("a")][..]));
        asked.wait(of(1), waiting);
        asked.wanted(of(1), &later, &later.joining.channels);
        assert!(asked.answered(of(1), ticket).unwrap().left.is_empty());
        assert!((0..WAITING).all(|_| asked.wait(of(1), joining("a")).is_some()));
        assert!(asked.wait(of(1), joining("a")).is_none(), "so many at a time");
        assert!(asked.wait(of(2), joining("a")).is_some());
    }

    #[test]
    fn many_that_are_due_are_looked_after_in_several_turns() {
        let mut asked = Asked::default();
        for key in 0..1_000 {
            asked.hold(of(key), &channel("a"), granted(1, 1), 1, 0, u64::from(key));
        }
        let mut turns = Vec::new();
        while asked.next_ms().is_some_and(|due| due <= 1_000) {
            turns.push(asked.take_due(1_000).len());
        }
        assert_eq!(turns, [256, 256, 256, 232]);
    }
}
