//! Which frames of a connection wait for what an application says, and which of its yeses are kept for later ones?
//!
//! Beside the sessions: one that sends nothing by a verdict costs nothing here. Frames go on in the order in which they came,
//! those that want the same of the same channel; what waits is bounded by number and by bytes.

use super::messages::AskTicket;
use super::room::Member;
use crate::verdicts::Verdicts;
use carillon_platform::ask::Granted;
use carillon_platform::rules::Action;
use carillon_protocol::Channel;
use carillon_protocol::client::{ClientFrame, Request};
use std::collections::{HashMap, VecDeque};

/// Frames of a connection, in one tenant, that may wait for verdicts at a time.
pub(super) const FRAMES: usize = 32;
/// Bytes that they have together at most.
pub(super) const BYTES: usize = 128 * 1024;
/// Yeses of a connection that are kept.
const KEPT: usize = 128;
/// Times that a frame is asked about: when the first answer comes, other rules may hold.
const ROUNDS: u8 = 3;
/// What a frame takes beside its event.
const FIXED_BYTES: usize = 256;
/// Tickets of frames, apart from those of subscribes.
const FIRST_TICKET: AskTicket = 1 << 62;

/// What applications have said and are to say about frames.
#[derive(Default)]
pub(super) struct Holding {
    of: HashMap<Member, OfSession>,
    count: AskTicket,
}

#[derive(Default)]
struct OfSession {
    waiting: VecDeque<Held>,
    kept: HashMap<(Action, Channel), Kept>,
}

/// A frame that waits.
pub(super) struct Held {
    ticket: AskTicket,
    pub(super) frame: ClientFrame,
    pub(super) wants: Wants,
    /// What the application has said; none until it has.
    pub(super) verdicts: Option<Verdicts>,
    rounds: u8,
    bytes: usize,
}

/// What a frame wants to do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) action: Action,
    pub(super) channels: Vec<Channel>,
}

/// A yes, by one setting of the application.
#[derive(Debug, Clone, Copy)]
struct Kept {
    generation: u64,
    until_ms: u64,
}

impl Wants {
    /// What a frame wants that a rule may leave to the application; none for those that want something else. Whoever types may
    /// always stop.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let (action, channels) = match request {
            Request::Publish(publish) => (Action::Publish, vec![publish.channel.clone()]),
            Request::Typing { channel, state: carillon_protocol::Typing::Start } => {
                (Action::Signal, vec![channel.clone()])
            }
            Request::Presence { channel: Some(channel), .. } => (Action::Presence, vec![channel.clone()]),
            Request::Subscribe { channels, presence: true, .. } => (Action::Presence, channels.clone()),
            Request::Subscribe { .. }
            | Request::Presence { .. }
            | Request::Typing { .. }
            | Request::Auth { .. }
            | Request::Attach { .. }
            | Request::Detach
            | Request::Unsubscribe { .. }
            | Request::Ack(_)
            | Request::Activity(_)
            | Request::Ping { .. } => return None,
        };
        Some(Self { action, channels })
    }

    fn shares(&self, other: &Self) -> bool {
        self.action == other.action && self.channels.iter().any(|channel| other.channels.contains(channel))
    }
}

impl Held {
    pub(super) fn new(frame: ClientFrame, wants: Wants) -> Self {
        let event = match &frame.request {
            Request::Publish(publish) => publish.event.to_json().len(),
            _ => 0,
        };
        let names: usize = wants.channels.iter().map(|channel| channel.as_str().len()).sum();
        Self { ticket: 0, frame, wants, verdicts: None, rounds: 0, bytes: FIXED_BYTES + event + names }
    }

    /// Whether it is asked about no more.
    pub(super) fn was_asked_enough(&self) -> bool {
        self.rounds >= ROUNDS
    }
}

impl Holding {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether an application has said yes to this, and it still holds.
    pub(super) fn is_kept(
        &self,
        member: Member,
        action: Action,
        channel: &Channel,
        generation: u64,
        now_ms: u64,
    ) -> bool {
        let Some(own) = self.of.get(&member).filter(|own| !own.kept.is_empty()) else { return false };
        own.kept
            .get(&(action, channel.clone()))
            .is_some_and(|kept| kept.generation == generation && now_ms < kept.until_ms)
    }

    /// Keeps a yes. What there are too many of is forgotten, and asked again.
    pub(super) fn keep(
        &mut self,
        member: Member,
        action: Action,
        channel: &Channel,
        granted: Granted,
        generation: u64,
        now_ms: u64,
    ) {
        let own = self.of.entry(member).or_default();
        if own.kept.len() >= KEPT {
            own.kept.retain(|_, kept| kept.until_ms > now_ms);
            if own.kept.len() >= KEPT {
                own.kept.clear();
            }
        }
        let until_ms = now_ms + granted.left.as_millis() as u64;
        own.kept.insert((action, channel.clone()), Kept { generation, until_ms });
    }

    /// Whether an earlier frame that waits wants the same.
    pub(super) fn is_behind_another(&self, member: Member, wants: &Wants) -> bool {
        self.of.get(&member).is_some_and(|own| own.waiting.iter().any(|held| held.wants.shares(wants)))
    }

    /// Has a frame wait, once more if it has before: then in its place. None if as much waits as may.
    pub(super) fn wait(&mut self, member: Member, held: Held, place: Option<usize>) -> Option<AskTicket> {
        let own = self.of.entry(member).or_default();
        let bytes: usize = own.waiting.iter().map(|held| held.bytes).sum();
        if own.waiting.len() >= FRAMES || bytes + held.bytes > BYTES {
            return None;
        }
        self.count += 1;
        let ticket = FIRST_TICKET + self.count;
        let held = Held { ticket, verdicts: None, rounds: held.rounds + 1, ..held };
        own.waiting.insert(place.unwrap_or(own.waiting.len()).min(own.waiting.len()), held);
        Some(ticket)
    }

    /// The application has said this. False if nothing waits for it.
    pub(super) fn hear(&mut self, member: Member, ticket: AskTicket, verdicts: Verdicts) -> Option<Verdicts> {
        let held = self
            .of
            .get_mut(&member)
            .and_then(|own| own.waiting.iter_mut().find(|held| held.ticket == ticket));
        match held {
            Some(held) => {
                held.verdicts = Some(verdicts);
                None
            }
            None => Some(verdicts),
        }
    }

    /// The next frame that may go on, and its place among those that wait: everything that it wants was said, and nothing before it
    /// wants the same.
    pub(super) fn next_ready(&mut self, member: Member) -> Option<(usize, Held)> {
        let own = self.of.get_mut(&member)?;
        let is_ready = |at: &usize| {
            let Some(held) = own.waiting.get(*at).filter(|held| held.verdicts.is_some()) else {
                return false;
            };
            own.waiting.iter().take(*at).all(|before| !before.wants.shares(&held.wants))
        };
        let at = (0..own.waiting.len()).find(is_ready)?;
        let held = own.waiting.remove(at)?;
        self.forget_if_empty(member);
        Some((at, held))
    }

    /// The connection's roles are others: what was said was about somebody else.
    pub(super) fn forget_kept(&mut self, member: Member) {
        if let Some(own) = self.of.get_mut(&member) {
            own.kept.clear();
        }
        self.forget_if_empty(member);
    }

    /// The frames of a session that wait: it leaves its tenant, and they are carried out no more.
    pub(super) fn take_waiting(&mut self, member: Member) -> VecDeque<Held> {
        self.of.get_mut(&member).map(|own| std::mem::take(&mut own.waiting)).unwrap_or_default()
    }

    /// A session is gone.
    pub(super) fn gone(&mut self, member: Member) {
        if !self.is_empty() {
            self.of.remove(&member);
        }
    }

    fn forget_if_empty(&mut self, member: Member) {
        if self.of.get(&member).is_some_and(|own| own.waiting.is_empty() && own.kept.is_empty()) {
            self.of.remove(&member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::RoomKey;
    use super::*;
    use carillon_protocol::client::parse;
    use std::time::Duration;

    fn of(key: u32) -> Member {
        Member { key, room: RoomKey(0) }
    }

    fn frame(text: &str) -> Held {
        let frame = parse(text).unwrap();
        let wants = Wants::of(&frame.request).unwrap();
        Held::new(frame, wants)
    }

    fn publish(channel: &str, n: usize) -> Held {
        frame(&format!(r#"{{"type":"publish","id":{n},"channel":"{channel}","event":{{"type":"x"}}}}"#))
    }

    fn ready(holding: &mut Holding) -> Vec<String> {
        std::iter::from_fn(|| holding.next_ready(of(1)))
            .map(|(_, held)| held.frame.id.unwrap().into_string())
            .collect()
    }

    #[test]
    fn frames_that_want_the_same_go_on_in_their_order_and_others_do_not_wait_for_them() {
        let mut holding = Holding::default();
        let tickets: Vec<AskTicket> = [("a", 1), ("b", 2), ("a", 3)]
            .into_iter()
            .map(|(channel, n)| holding.wait(of(1), publish(channel, n), None).unwrap())
            .collect();
        let said = |holding: &mut Holding, n: usize| {
            assert!(holding.hear(of(1), tickets[n], Verdicts::default()).is_none());
        };
        said(&mut holding, 2);
        assert!(ready(&mut holding).is_empty(), "the first one of that channel comes first");
        said(&mut holding, 1);
        assert_eq!(ready(&mut holding), ["2"]);
        said(&mut holding, 0);
        assert_eq!(ready(&mut holding), ["1", "3"]);
        assert!(holding.is_empty(), "nothing is left");
        assert!(holding.hear(of(1), tickets[0], Verdicts::default()).is_some(), "it is nobody's");
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes() {
        let mut holding = Holding::default();
        for n in 0..FRAMES {
            assert!(holding.wait(of(1), publish("a", n), None).is_some());
        }
        assert!(
            holding.wait(of(1), publish("a", 99), None).is_none()
                && holding.wait(of(2), publish("a", 1), None).is_some()
        );
        let large = || {
            let data = "x".repeat(60_000);
            frame(&format!(r#"{{"type":"publish","channel":"a","event":{{"type":"x","data":"{data}"}}}}"#))
        };
        assert!(holding.wait(of(3), large(), None).is_some() && holding.wait(of(3), large(), None).is_some());
        assert!(holding.wait(of(3), large(), None).is_none(), "two of them fill it");
        (1..=3).for_each(|key| holding.gone(of(key)));
        assert!(holding.is_empty());
    }

    #[test]
    fn a_yes_is_kept_for_its_time_and_for_its_setting() {
        let mut holding = Holding::default();
        let channel = Channel::new("a").unwrap();
        let lasts = Duration::from_secs(60);
        let granted = Granted { number: 1, lasts, left: lasts };
        holding.keep(of(1), Action::Publish, &channel, granted, 7, 1_000);
        let kept = |holding: &Holding, action, generation, now_ms| {
            holding.is_kept(of(1), action, &channel, generation, now_ms)
        };
        assert!(kept(&holding, Action::Publish, 7, 60_999) && !kept(&holding, Action::Publish, 7, 61_000));
        assert!(!kept(&holding, Action::Publish, 8, 2_000) && !kept(&holding, Action::Signal, 7, 2_000));
        holding.forget_kept(of(1));
        assert!(!kept(&holding, Action::Publish, 7, 2_000) && holding.is_empty());
        for n in 0..1_000 {
            let other = Channel::new(format!("c:{n}")).unwrap();
            holding.keep(of(1), Action::Publish, &other, granted, 7, 1_000);
        }
        assert!(holding.of[&of(1)].kept.len() <= KEPT);
    }

    #[test]
    fn what_a_frame_wants_is_known() {
        let wants = |text: &str| Wants::of(&parse(text).unwrap().request).map(|wants| wants.action);
        for (text, action) in [
            (r#"{"type":"publish","channel":"a","event":{"type":"x"}}"#, Some(Action::Publish)),
            (r#"{"type":"typing","channel":"a","state":"start"}"#, Some(Action::Signal)),
            (r#"{"type":"typing","channel":"a","state":"stop"}"#, None),
            (r#"{"type":"presence","channel":"a"}"#, Some(Action::Presence)),
            (r#"{"type":"subscribe","channel":"a","presence":true}"#, Some(Action::Presence)),
            (r#"{"type":"subscribe","channel":"a"}"#, None),
            (r#"{"type":"ping"}"#, None),
        ] {
            assert_eq!(wants(text), action, "{text}");
        }
    }
}
