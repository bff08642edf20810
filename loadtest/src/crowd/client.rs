//! How does one client live through many connections with one cursor?

use std::cell::RefCell;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::habit::{Dice, Doing};
use super::part::{Desk, Known, Stage, Surroundings};
use super::plan::{ClientPlan, Habit};
use crate::clock::monotonic_ns;
use crate::glance::{Glance, glance};
use crate::ledger::Ledger;
use crate::socket::{Arrived, Visit};
use crate::wire::{BYE, Inbox, Kind, close_code, pong};

/// Longest time for one handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After the last expected event: time for one too many to show.
const AFTERMATH: Duration = Duration::from_millis(500);

/// One client.
pub(super) struct Client {
    plan: ClientPlan,
    around: Surroundings,
    ledger: Option<Ledger>,
    dice: Dice,
    /// Attempts that failed since the last connection.
    attempt: u32,
    /// Attempts and connections that failed: the next goes to the next address.
    turns: usize,
    left: u64,
    /// Its connection was lost after the mark, and it is not live yet.
    cut: Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    Now,
    Healed,
}

/// A connection.
struct Link {
    stream: TcpStream,
    inbox: Inbox,
    /// When the client began to come back; none for its first connection and after it has caught up.
    since_ns: Option<u64>,
    /// Acknowledged when it was welcomed.
    target: u64,
    pong: Option<Vec<u8>>,
    closed: Option<u16>,
}

/// Why a connection is over.
enum End {
    /// The client left, to come back then.
    Left(Instant),
    /// Not the client's doing.
    Lost(String),
    /// The measurement is over.
    Done,
}

impl Client {
    pub(super) fn new(plan: ClientPlan, around: Surroundings) -> Self {
        let dice = Dice::new(monotonic_ns() ^ plan.number.rotate_left(32));
        Self { plan, around, ledger: None, dice, attempt: 0, turns: 0, left: 0, cut: Cut::Never }
    }

    /// Until the measurement is over.
    pub(super) async fn play(mut self) {
        while let Some(link) = self.connect().await {
            match self.stay(link).await {
                End::Left(back) => {
                    self.left += 1;
                    sleep_until(back).await;
                }
                End::Lost(why) => {
                    self.lost(&why);
                    self.pause().await;
                }
                End::Done => break,
            }
        }
        let head = self.around.known.head(self.plan.tenant);
        let mut desk = self.around.desk.borrow_mut();
        let group = desk.group(self.plan.habit);
        group.clients += 1;
        group.account.add(self.ledger.map(|ledger| ledger.account(head)).unwrap_or_default());
    }

    /// Tries until it works; none when the measurement is over first.
    async fn connect(&mut self) -> Option<Link> {
        let since_ns = monotonic_ns();
        loop {
            let addresses = &self.around.addresses;
            let visit = Visit {
                address: &addresses[(self.plan.home + self.turns) % addresses.len()],
                token: &self.plan.token,
                source: self.plan.source,
                receive_buffer: self.plan.habit.receive_buffer(),
                compress: false,
            };
            let opened = {
                // Only the first connections come in an orderly way. The semaphore is never closed.
                let first = self.ledger.is_none();
                let _permit = if first { self.around.handshakes.acquire().await.ok() } else { None };
                timeout(HANDSHAKE, visit.open(self.ledger.as_ref().map(Ledger::resume))).await
            };
            match opened.unwrap_or_else(|_| Err(format!("no welcome within {HANDSHAKE:?}"))) {
                Ok(arrived) => return Some(self.welcomed(arrived, since_ns)),
                Err(why) => {
                    let mut desk = self.around.desk.borrow_mut();
                    desk.group(self.plan.habit).failed_attempts += 1;
                    desk.tell(self.plan.number, &format!("no connection: {why}"), true);
                }
            }
            self.turns += 1;
            let stage = *self.around.stage.borrow();
            if matches!(stage, Stage::Finishing(deadline) if Instant::now() >= deadline) {
                return None;
            }
            self.pause().await;
        }
    }

    fn welcomed(&mut self, arrived: Arrived, since_ns: u64) -> Link {
        let Arrived { stream, inbox, welcome, early } = arrived;
        self.attempt = 0;
        let mut desk = self.around.desk.borrow_mut();
        desk.group(self.plan.habit).connects += 1;
        let again = self.ledger.is_some();
        match &self.ledger {
            Some(ledger) if welcome.resumed != "reset" && welcome.seq != ledger.cursor() => {
                desk.group(self.plan.habit).faults += 1;
                let what = format!("welcomed at {} and not at {}", welcome.seq, ledger.cursor());
                desk.tell(self.plan.number, &what, false);
            }
            Some(_) => {}
            None => desk.welcomed.send_modify(|welcomed| *welcomed += 1),
        }
        let ledger = self.ledger.get_or_insert_with(|| Ledger::new(welcome.seq, welcome.epoch));
        let target = self.around.known.head(self.plan.tenant);
        let mut link =
            Link { stream, inbox, since_ns: again.then_some(since_ns), target, pong: None, closed: None };
        let now = monotonic_ns();
        let mut ear = Ear { plan: &self.plan, known: &self.around.known, desk: &mut desk, ledger, now };
        let live = link.since_ns.is_none();
        early
            .iter()
            .for_each(|(kind, payload)| ear.hear(*kind, payload, live, &mut link.pong, &mut link.closed));
        link
    }

    async fn stay(&mut self, mut link: Link) -> End {
        let mut paced = Instant::now();
        let mut leaving: Option<Instant> = None;
        loop {
            if let Some(pong) = link.pong.take()
                && let Err(error) = link.stream.write_all(&pong).await
            {
                return End::Lost(error.to_string());
            }
            if let Some(code) = link.closed {
                *self.around.desk.borrow_mut().group(self.plan.habit).closed.entry(code).or_default() += 1;
                // The server has said goodbye; whether it hears ours does not matter.
                let _ = link.stream.write_all(&BYE).await;
                return End::Lost(format!("closed with {code}"));
            }
            self.notice_caught_up(&mut link);
            let stage = *self.around.stage.borrow_and_update();
            if let Stage::Finishing(deadline) = stage {
                if leaving.is_none() && self.has_everything() {
                    leaving = Some((Instant::now() + AFTERMATH).min(deadline));
                }
                if Instant::now() >= leaving.unwrap_or(deadline) {
                    let _ = link.stream.write_all(&BYE).await;
                    return End::Done;
                }
            }
            let (wake, most) = match (self.plan.habit.doing(stage, self.left), stage) {
                (Doing::Read(Some(leave)), _) if Instant::now() >= leave.at => {
                    return End::Left(Instant::now() + leave.away);
                }
                (Doing::Read(Some(leave)), _) => (Some(leave.at), usize::MAX),
                (Doing::Read(None), Stage::Finishing(deadline)) => {
                    (Some(leaving.unwrap_or(deadline)), usize::MAX)
                }
                (Doing::Read(None), _) => (None, usize::MAX),
                (Doing::Stall, _) => (None, 0),
                (Doing::Trickle(_), _) if paced > Instant::now() => (Some(paced), 0),
                (Doing::Trickle(rate), _) => (None, (rate / 10).max(256) as usize),
            };
            let alarm = async { sleep_until(wake.unwrap_or_else(Instant::now)).await };
            tokio::select! {
                biased;
                changed = self.around.stage.changed() => if changed.is_err() { return End::Done },
                () = alarm, if wake.is_some() => {}
                heard = Hearing {
                    plan: &self.plan,
                    known: &self.around.known,
                    desk: &self.around.desk,
                    ledger: &mut self.ledger,
                    link: &mut link,
                    most,
                }.once(), if most > 0 => match heard {
                    Ok(bytes) => if let Doing::Trickle(rate) = self.plan.habit.doing(stage, self.left) {
                        paced = Instant::now() + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
                    },
                    Err(why) => return End::Lost(why),
                },
            }
        }
    }

    /// Once for each further connection: everything that was acknowledged at its welcome is there.
    fn notice_caught_up(&mut self, link: &mut Link) {
        let cursor = self.ledger.as_ref().map_or(0, Ledger::cursor);
        if link.since_ns.is_none() || cursor < link.target {
            return;
        }
        let (now, mut desk) = (monotonic_ns(), self.around.desk.borrow_mut());
        if let Some(since) = link.since_ns.take() {
            desk.replay.between(since, now);
        }
        if let (Cut::Now, Some(mark)) = (self.cut, self.around.known.mark_ns()) {
            desk.live_again.between(mark, now);
            self.cut = Cut::Healed;
        }
    }

    fn has_everything(&self) -> bool {
        let head = self.around.known.head(self.plan.tenant);
        self.ledger.as_ref().is_some_and(|ledger| ledger.cursor() >= head)
    }

    fn lost(&mut self, why: &str) {
        self.turns += 1;
        if self.cut == Cut::Never && self.around.known.mark_ns().is_some() {
            self.cut = Cut::Now;
        }
        let mut desk = self.around.desk.borrow_mut();
        desk.group(self.plan.habit).lost += 1;
        desk.tell(self.plan.number, &format!("connection lost: {why}"), true);
    }

    /// Waits as the policy says.
    async fn pause(&mut self) {
        let bound = self.around.comeback.bound_ms(self.attempt);
        self.attempt += 1;
        sleep(self.dice.up_to_ms(bound)).await;
    }
}

/// What one read needs.
struct Hearing<'a> {
    plan: &'a ClientPlan,
    known: &'a Known,
    desk: &'a RefCell<Desk>,
    ledger: &'a mut Option<Ledger>,
    link: &'a mut Link,
    /// Bytes.
    most: usize,
}

impl Hearing<'_> {
    /// Reads once, into the shared buffer, and checks what came before anybody else reads. Says how many bytes came.
    async fn once(self) -> Result<usize, String> {
        let Self { plan, known, desk, ledger, link, most } = self;
        let Some(ledger) = ledger else { return Err("nobody was welcomed".into()) };
        std::future::poll_fn(|context| {
            let desk = &mut *desk.borrow_mut();
            // Taken out, so that the rest of the desk can be written to meanwhile.
            let mut scratch = std::mem::take(&mut desk.scratch);
            let room = most.min(scratch.len());
            let mut buffer = ReadBuf::new(&mut scratch[..room]);
            let read = Pin::new(&mut link.stream).poll_read(context, &mut buffer);
            let heard = read.map(|read| {
                read.map_err(|error| error.to_string())?;
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    return Err("the connection ended without a close frame".into());
                }
                let live = link.since_ns.is_none();
                let mut ear = Ear { plan, known, desk, ledger, now: monotonic_ns() };
                let (pong, closed) = (&mut link.pong, &mut link.closed);
                let fed = link.inbox.feed(bytes, |kind, payload| ear.hear(kind, payload, live, pong, closed));
                fed.map(|()| bytes.len()).map_err(|fault| fault.to_string())
            });
            desk.scratch = scratch;
            heard
        })
        .await
    }
}

/// Takes frames in.
struct Ear<'a> {
    plan: &'a ClientPlan,
    known: &'a Known,
    desk: &'a mut Desk,
    ledger: &'a mut Ledger,
    now: u64,
}

impl Ear<'_> {
    /// `live`: the client had caught up before this came, so that the time on the way is the server's.
    fn hear(
        &mut self,
        kind: Kind,
        payload: &[u8],
        live: bool,
        ping: &mut Option<Vec<u8>>,
        closed: &mut Option<u16>,
    ) {
        match kind {
            Kind::Text | Kind::Compressed => self.text(payload, live),
            Kind::Ping => *ping = Some(pong(payload)),
            Kind::Pong => {}
            Kind::Close => *closed = Some(close_code(payload)),
        }
    }

    fn text(&mut self, text: &[u8], live: bool) {
        match glance(text) {
            Glance::Event { seq, stamp: Some(stamp) } => {
                if let Err(why) = self.ledger.event(seq) {
                    self.fault(&why);
                }
                if live && matches!(self.plan.habit, Habit::Steady | Habit::Jitter { .. }) {
                    self.desk.arrived(self.known, stamp, self.now);
                }
            }
            Glance::Event { seq, stamp: None } => self.fault(&format!("seq {seq} is not from this run")),
            Glance::Reset { seq, epoch, reason } => {
                self.ledger.reset(seq, epoch);
                self.fault(&format!("reset to {seq}: {reason}"));
            }
            Glance::Quiet => {}
            Glance::Other(what) => self.fault(&format!("an unexpected frame: {what}")),
        }
    }

    fn fault(&mut self, what: &str) {
        self.desk.group(self.plan.habit).faults += 1;
        self.desk.tell(self.plan.number, what, false);
    }
}
