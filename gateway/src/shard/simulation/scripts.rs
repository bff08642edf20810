//! Runs that are written down step by step: what seeds meet too seldom.

use super::client::Kinds;
use super::feed::Fate;
use super::outcome;
use super::rules::{OPEN, Rules};
use super::scenario::{Connecting, Outcome, Past, Saying, Step};

/// A person of the third tenant whose token opens no channel that can be joined: there the rules alone say what they may do.
const MEMBER: usize = 4;
const THEIR_TENANT: usize = 2;
/// A person of the first tenant whose token opens `x:0`.
const BY_TOKEN: usize = 1;
/// `x:0` and `x:2`: as a channel of a request, and as the only channel of an event.
const X0: (u8, u8) = (1, 3);
const X2: (u8, u8) = (1 << 2, 3 << 2);
/// Everybody may hear `x:2` and nobody read it back.
const NO_PAST_OF_X2: Rules = Rules { named: X2.0, subscribe: X2.0, history: 0, ..OPEN };
/// Everybody may hear everything, and read back what their token opens.
const NO_PAST: Rules = Rules { others_history: false, ..OPEN };

const TURN: Step = Step::Turn { backwards: false, messages: usize::MAX };

fn connect(client: usize, channels: u8) -> Step {
    let how = Connecting {
        resumes: true,
        refused: false,
        channels,
        greets: false,
        early: 0,
        with_request: 0,
        room: 1 << 20,
        breaks_in: None,
        is_gone: false,
        wait_ms: 0,
        expires_s: 100_000,
        types: None,
    };
    Step::Connect { client, how }
}

fn say(client: usize, what: Saying) -> Step {
    Step::Say { client, tenant: 0, what, flow: 1 << 20 }
}

fn read(client: usize) -> Step {
    Step::Read { client, bytes: 1 << 20 }
}

/// An event is committed and reaches the gateway.
fn event(tenant: usize, channels: u8) -> [Step; 2] {
    [
        Step::Publish { tenant, channels, size: 100, count: 1 },
        Step::Arrive { tenant, which: 0, fate: Fate::Arrives },
    ]
}

fn run(steps: &[Step]) -> Kinds {
    outcome(steps).unwrap_or_else(|fault| panic!("{fault}"))
}

fn heard(kinds: &Kinds, kind: &str) -> u64 {
    kinds.get(kind).copied().unwrap_or_default()
}

/// They are let in with a cursor by rules that open the past, and there are others when they come into the room.
#[test]
fn a_newcomer_reads_nothing_back_that_newer_rules_than_its_own_forbid() {
    let come_back_by = |rules: Option<Rules>| {
        let mut steps = vec![connect(MEMBER, X2.0), TURN, read(MEMBER)];
        steps.extend([Step::Leave { client: MEMBER, reset: false }, TURN]);
        steps.extend(event(THEIR_TENANT, X2.1));
        steps.push(connect(MEMBER, X2.0));
        steps.extend(rules.map(|rules| Step::Rules { tenant: THEIR_TENANT, rules }));
        steps.extend([TURN, read(MEMBER)]);
        run(&steps)
    };
    let (same, others) = (come_back_by(None), come_back_by(Some(NO_PAST_OF_X2)));
    // Every run ends with one more event for everybody who is still there.
    assert_eq!((heard(&same, "event"), heard(&same, "past forbidden")), (1 + 1, 0), "{same:?}");
    assert_eq!((heard(&others, "event"), heard(&others, "past forbidden")), (1, 1), "{others:?}");
    assert_eq!(heard(&others, "taken out by rule"), 0, "the present is still theirs: {others:?}");
}

/// They come back by rules that keep the past of a channel from them, and ask for the channel when others open it: by those they read
/// on in it from where they are. (Seed 16239635250913114466 took that for a fault.)
#[test]
fn a_channel_that_is_asked_for_by_someone_who_is_behind_is_read_by_the_rules_of_that_time() {
    let ask_by = |rules: Option<Rules>| {
        let mut steps = vec![connect(MEMBER, 0), TURN, read(MEMBER)];
        steps.extend([Step::Leave { client: MEMBER, reset: false }, TURN]);
        steps.extend(event(THEIR_TENANT, X2.1));
        steps.push(Step::Rules { tenant: THEIR_TENANT, rules: NO_PAST_OF_X2 });
        // Its socket takes nothing, so it stays behind.
        steps.extend([connect(MEMBER, 0), Step::Narrow { client: MEMBER, most: 0 }, TURN]);
        steps.extend(rules.map(|rules| Step::Rules { tenant: THEIR_TENANT, rules }));
        let subscribe = Saying::Subscribe { channels: X2.0, history: None, types: None };
        steps.extend([TURN, say(MEMBER, subscribe), TURN]);
        steps.extend([Step::Narrow { client: MEMBER, most: usize::MAX }, read(MEMBER), TURN, read(MEMBER)]);
        run(&steps)
    };
    let (closed, open) = (ask_by(None), ask_by(Some(OPEN)));
    assert_eq!((heard(&closed, "event"), heard(&closed, "past forbidden")), (1, 1), "{closed:?}");
    assert_eq!((heard(&open, "event"), heard(&open, "past forbidden")), (1 + 1, 0), "{open:?}");
}

/// The history of a channel is being read, they leave the channel, and a new token does not open its past any more.
#[test]
fn history_of_a_channel_that_was_left_ends_with_the_token_that_opened_it() {
    let with_token = |narrow| {
        let mut steps = vec![Step::Rules { tenant: 0, rules: NO_PAST }, connect(BY_TOKEN, 0), TURN];
        steps.extend(event(0, X0.1));
        let history = Saying::Subscribe { channels: X0.0, history: Some(Past::Last(2)), types: None };
        steps.extend([
            TURN,
            say(BY_TOKEN, history),
            TURN,
            say(BY_TOKEN, Saying::Unsubscribe { channels: X0.0 }),
        ]);
        steps.extend([TURN, say(BY_TOKEN, Saying::Auth { narrow, names: 7 }), TURN]);
        // The log has not answered yet: the second request is the look at the token.
        steps.extend([Step::Answer { request: 1, outcome: Outcome::Good }, TURN]);
        steps.extend([Step::Answer { request: 0, outcome: Outcome::Good }, TURN, read(BY_TOKEN)]);
        run(&steps)
    };
    let (same, narrow) = (with_token(false), with_token(true));
    assert_eq!((heard(&same, "history"), heard(&same, "replayed")), (1, 1), "{same:?}");
    assert_eq!((heard(&narrow, "history"), heard(&narrow, "replayed")), (0, 1), "{narrow:?}");
}
