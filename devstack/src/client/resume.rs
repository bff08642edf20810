//! How does a client keep its place in the log over any number of connections and gateways?
//!
//! The cursor is the newest seq of an event, a heartbeat or a reset; the last event goes with it, so that a log that has
//! another one there is found out. After any loss the client waits (exponential
//! back-off with full jitter, or what the gateway asked for), takes the next address and connects with its cursor.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::frame::{Cursor, Frame, Welcome};
use super::socket::{Connect, Socket, SocketError, TokenPlace};

/// The first pause after a loss is at most this long, each further one at most twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer, unless the gateway asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A gateway cannot make a client wait longer than this.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Makes a token for each connection and each refresh, so that a long follower does not end with its first token.
pub type TokenSource = Arc<dyn Fn() -> String + Send + Sync>;

/// What to follow, and through which gateways.
#[derive(Clone)]
pub struct Follow {
    /// WebSocket addresses, taken in turn.
    pub urls: Vec<String>,
    /// Gives the user token.
    pub token: TokenSource,
    /// Where the token travels.
    pub place: TokenPlace,
    /// Where to begin; none begins at the head.
    pub since: Option<Cursor>,
    /// The client installation's name.
    pub device: Option<String>,
    /// Channels beside the automatic ones.
    pub channels: Vec<String>,
    /// Whether it is told who is in them.
    pub presence: bool,
    /// Whether events come in the compact form.
    pub compact: bool,
    /// Another tenant than the token's own.
    pub tenant: Option<String>,
    /// Size of the kernel's receive buffer in bytes.
    pub receive_buffer: Option<u32>,
    /// Longest time for a connection, handshake and welcome.
    pub patience: Duration,
}

impl Follow {
    /// From the head, with one token for ever.
    pub fn new<S: Into<String>>(urls: impl IntoIterator<Item = S>, token: impl Into<String>) -> Self {
        let token = token.into();
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            token: Arc::new(move || token.clone()),
            place: TokenPlace::default(),
            since: None,
            device: None,
            channels: Vec::new(),
            presence: false,
            compact: false,
            tenant: None,
            receive_buffer: None,
            patience: Duration::from_secs(10),
        }
    }

    /// Also these channels.
    #[must_use]
    pub fn channels<S: Into<String>>(mut self, channels: impl IntoIterator<Item = S>) -> Self {
        self.channels = channels.into_iter().map(Into::into).collect();
        self
    }

    /// From this position on.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.since = Some(cursor);
        self
    }

    /// With a kernel receive buffer of about this many bytes.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }
}

/// What happened next.
#[derive(Debug)]
pub enum Happening {
    /// A connection was let in.
    Connected {
        /// What the gateway said.
        welcome: Box<Welcome>,
        /// Since the loss of the connection before; none for the first.
        after: Option<Duration>,
    },
    /// An `event` of the live stream.
    Event(Frame),
    /// Continuity was lost; the cursor stands where the gateway said.
    Reset(Frame),
    /// Any other frame.
    Other(Frame),
    /// The connection is gone; the next one is tried after `retry_in`.
    Lost {
        /// What ended it, for people.
        why: String,
        /// Pause before the next attempt.
        retry_in: Duration,
    },
    /// The contract says not to come back.
    Over(SocketError),
}

enum Phase {
    Waiting { until: Instant },
    Open { socket: Box<Socket>, silence: Duration },
    Over,
}

/// A client that resumes by itself.
pub struct Resuming {
    follow: Follow,
    phase: Phase,
    cursor: Option<Cursor>,
    /// The last event since the last reset, `<seq>:<id>`.
    last: Option<String>,
    turn: usize,
    failures: u32,
    lost_at: Option<Instant>,
    dice: Dice,
}

impl Resuming {
    /// Connects at the first [`next`](Self::next).
    pub fn new(follow: Follow) -> Self {
        let cursor = follow.since.clone();
        let phase = Phase::Waiting { until: Instant::now() };
        Self { follow, phase, cursor, last: None, turn: 0, failures: 0, lost_at: None, dice: Dice::fresh() }
    }

    /// Everything up to here was seen, or given up by a reset.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Whether a connection is open.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Cuts the connection without a farewell; the next [`next`](Self::next) reports the loss of nothing and reconnects.
    pub fn sever(&mut self) {
        if let Phase::Open { .. } = self.phase {
            let phase = std::mem::replace(&mut self.phase, Phase::Waiting { until: Instant::now() });
            if let Phase::Open { socket, .. } = phase {
                socket.sever();
            }
            self.lost_at = Some(Instant::now());
        }
    }

    /// Says goodbye and ends.
    pub async fn close(mut self) {
        if let Phase::Open { socket, .. } = std::mem::replace(&mut self.phase, Phase::Over) {
            socket.close().await;
        }
    }

    /// What happens next. Cancelling it loses no frame; a half-made connection is made again.
    ///
    /// After [`Happening::Over`] it never returns.
    pub async fn next(&mut self) -> Happening {
        match &mut self.phase {
            Phase::Over => std::future::pending().await,
            Phase::Waiting { until } => {
                sleep_until(*until).await;
                self.connect().await
            }
            Phase::Open { socket, silence } => {
                let outcome = socket.next_frame(*silence).await;
                match outcome {
                    Ok(frame) => self.took(frame).await,
                    Err(SocketError::Timeout) => self.lost("nothing heard for two heartbeats".into(), None),
                    Err(error) => self.failed(error),
                }
            }
        }
    }

    async fn connect(&mut self) -> Happening {
        let url =
            self.follow.urls.get(self.turn % self.follow.urls.len().max(1)).cloned().unwrap_or_default();
        let wanted = Connect {
            url,
            token: (self.follow.token)(),
            place: self.follow.place,
            since: self.cursor.clone(),
            last: self.last.clone(),
            device: self.follow.device.clone(),
            channels: self.follow.channels.clone(),
            types: Vec::new(),
            presence: self.follow.presence,
            compact: self.follow.compact,
            tenant: self.follow.tenant.clone(),
            origin: None,
            receive_buffer: self.follow.receive_buffer,
            patience: self.follow.patience,
        };
        let outcome = Socket::open(&wanted).await;
        // Only now, so that a cancelled attempt takes the same address again.
        self.turn += 1;
        match outcome {
            Err(error) => self.failed(error),
            Ok((socket, welcome)) => {
                self.failures = 0;
                // A reset frame follows a `reset` welcome and moves the cursor; a replay begins where we are, perhaps in
                // another epoch.
                if welcome.resumed != "reset" || self.cursor.as_ref().is_some_and(|c| c.epoch.is_none()) {
                    self.cursor = Some(Cursor::new(welcome.seq, welcome.epoch.clone()));
                }
                let silence = Duration::from_millis(welcome.heartbeat_ms.clamp(10, 600_000) * 2);
                self.phase = Phase::Open { socket: Box::new(socket), silence };
                let after = self.lost_at.take().map(|at| at.elapsed());
                Happening::Connected { welcome: Box::new(welcome), after }
            }
        }
    }

    async fn took(&mut self, frame: Frame) -> Happening {
        match frame.kind() {
            "event" if !frame.is_history() => {
                self.advance(&frame);
                if let (Some(seq), Some(id)) = (frame.seq(), frame.event()["id"].as_str()) {
                    self.last = Some(format!("{seq}:{id}"));
                }
                Happening::Event(frame)
            }
            "heartbeat" => {
                self.advance(&frame);
                if let (Some(cursor), Some(epoch)) = (&mut self.cursor, frame.epoch()) {
                    cursor.epoch = Some(epoch.to_owned());
                }
                Happening::Other(frame)
            }
            "reset" => {
                self.cursor =
                    Some(Cursor { seq: frame.seq().unwrap_or(0), epoch: frame.epoch().map(str::to_owned) });
                self.last = None;
                Happening::Reset(frame)
            }
            "goaway" => {
                let pause = Duration::from_millis(frame.number("reconnect_ms").unwrap_or(0));
                if let Phase::Open { socket, .. } = std::mem::replace(&mut self.phase, Phase::Over) {
                    tokio::spawn(socket.close());
                }
                self.lost("the gateway asked to reconnect".into(), Some(pause.min(LONGEST_ASKED)))
            }
            "expiring" => {
                let token = (self.follow.token)();
                if let Phase::Open { socket, .. } = &mut self.phase
                    && let Err(error) = socket.send_json(&json!({"type": "auth", "token": token})).await
                {
                    return self.failed(error);
                }
                Happening::Other(frame)
            }
            _ => Happening::Other(frame),
        }
    }

    fn advance(&mut self, frame: &Frame) {
        if let (Some(cursor), Some(seq)) = (&mut self.cursor, frame.seq()) {
            cursor.seq = cursor.seq.max(seq);
        }
    }

    fn failed(&mut self, error: SocketError) -> Happening {
        if error.is_terminal() {
            self.phase = Phase::Over;
            return Happening::Over(error);
        }
        let asked = match &error {
            SocketError::Refused { retry_after, .. } => retry_after.map(|asked| asked.min(LONGEST_ASKED)),
            _ => None,
        };
        self.lost(error.to_string(), asked)
    }

    fn lost(&mut self, why: String, asked: Option<Duration>) -> Happening {
        let jitter = self.dice.up_to(pause_limit(self.failures));
        let retry_in = asked.unwrap_or_default() + jitter;
        self.failures = self.failures.saturating_add(1);
        self.lost_at.get_or_insert_with(Instant::now);
        self.phase = Phase::Waiting { until: Instant::now() + retry_in };
        Happening::Lost { why, retry_in }
    }
}

/// The longest pause after this many failures in a row.
fn pause_limit(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let pauses: Vec<u128> = (0..8).map(|n| pause_limit(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause_limit(u32::MAX), LONGEST_PAUSE);
    }
}
