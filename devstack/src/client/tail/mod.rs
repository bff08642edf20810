//! What does `carillon tail` do?
//!
//! Events go to stdout, one line each, and between them signals and, with `--presence`, who comes and goes; what happens to the connection goes to stderr.

mod line;

pub use line::{brief, printable};

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::{Instant, sleep_until};

use self::line::{Style, comings};
use super::frame::{Cursor, Frame, Welcome};
use super::resume::{Follow, Happening, Resuming, TokenSource};
use super::socket::SocketError;
use crate::cli::TailArgs;
use crate::environment::refuses_colour;
use crate::token::{Claims, DEMO_TENANT, DEMO_USER, TokenError, now};

/// How long a token of `tail` lives; it is refreshed in time.
const TOKEN_SECONDS: u64 = 3600;
/// After a reconnection the backlog counts as through when nothing came for this long …
const QUIET: Duration = Duration::from_millis(300);
/// … or at the latest after this time, since a busy tenant is never quiet.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Why `carillon tail` ended.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The gateway said not to come back.
    #[error("the gateway will not serve us: {0}")]
    Over(#[from] SocketError),
    /// Nothing can be written to stdout.
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

/// Where `tail` listens, and as whom.
#[derive(Debug, Clone)]
pub struct Source {
    /// WebSocket addresses, taken in turn.
    pub urls: Vec<String>,
    /// As whom.
    pub listener: Listener,
}

/// As whom `tail` listens.
#[derive(Clone)]
pub enum Listener {
    /// Whoever this token names, until it expires.
    Token(String),
    /// The user of the arguments, with fresh tokens signed with this secret.
    Secret(String),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

/// `carillon tail`: shows events until Ctrl-C, until `--count` events were shown, or until nobody reads its output.
pub async fn run(args: &TailArgs, source: Source) -> Result<(), TailError> {
    let mut follow = Follow::new(source.urls, "").channels(args.channels.iter().cloned());
    match source.listener {
        Listener::Token(token) => {
            follow.token = Arc::new(move || token.clone());
            follow.tenant.clone_from(&args.tenant);
        }
        Listener::Secret(secret) => follow.token = minted(args, secret)?,
    }
    follow.presence = args.presence;
    follow.since = args.since.map(|seq| Cursor { seq, epoch: None });

    let style = if args.json {
        Style::Json
    } else {
        let colours = std::io::stdout().is_terminal() && !refuses_colour();
        Style::Line { colours, zone: TimeZone::system(), width: width() }
    };
    let mut view = View { style, events: std::io::stdout(), notes: std::io::stderr(), left: args.count };
    tokio::select! {
        outcome = view.show(Resuming::new(follow)) => match outcome {
            // `carillon tail | head`: the reader has what it wanted.
            Err(TailError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        },
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Columns of the terminal; as many as a page of text has where there is none.
fn width() -> usize {
    const PAGE: usize = 100;
    terminal_size::terminal_size_of(std::io::stdout()).map_or(PAGE, |(width, _)| width.0.into())
}

/// A fresh token for each connection and each refresh.
fn minted(args: &TailArgs, secret: String) -> Result<TokenSource, TokenError> {
    let tenant = args.tenant.as_deref().unwrap_or(DEMO_TENANT);
    let user = args.user.as_deref().unwrap_or(DEMO_USER);
    let claims = Claims::new(tenant, user, now(), TOKEN_SECONDS)
        .roles(args.roles.iter().cloned())
        .channels(args.channels.iter().cloned());
    // Signed once now, so that a secret that cannot sign is an error and not a refused connection.
    let first = claims.sign(&secret)?;
    Ok(Arc::new(move || {
        let fresh = Claims { iat: now(), exp: now() + TOKEN_SECONDS, ..claims.clone() };
        fresh.sign(&secret).unwrap_or_else(|_| first.clone())
    }))
}

/// Where the lines go and how many are still wanted.
struct View<E, N> {
    style: Style,
    events: E,
    notes: N,
    left: Option<u64>,
}

/// A connection that was made again, and how much came over it so far.
struct CatchingUp {
    node: String,
    after: Duration,
    events: u64,
    quiet: Instant,
    latest: Instant,
}

impl<E: Write, N: Write> View<E, N> {
    async fn show(&mut self, mut resuming: Resuming) -> Result<(), TailError> {
        let mut catching: Option<CatchingUp> = None;
        while self.left != Some(0) {
            let happening = match &catching {
                None => resuming.next().await,
                Some(back) => tokio::select! {
                    happening = resuming.next() => happening,
                    () = sleep_until(back.quiet.min(back.latest)) => {
                        self.note_back(back);
                        catching = None;
                        continue;
                    }
                },
            };
            match happening {
                Happening::Connected { welcome, after: None } => self.note_first(&welcome),
                Happening::Connected { welcome, after: Some(after) } => {
                    let (quiet, latest) = (Instant::now() + QUIET, Instant::now() + CATCH_UP);
                    catching = Some(CatchingUp { node: welcome.node, after, events: 0, quiet, latest });
                }
                Happening::Event(frame) => {
                    self.event(&frame)?;
                    if let Some(back) = &mut catching {
                        back.events += 1;
                        back.quiet = Instant::now() + QUIET;
                    }
                }
                Happening::Reset(frame) => self.note(&format!(
                    "continuity is lost ({}); going on from #{}",
                    frame.text("reason").unwrap_or("no reason given"),
                    frame.seq().unwrap_or_default()
                )),
                Happening::Other(frame) if frame.is("signal") => self.signal(&frame)?,
                Happening::Other(frame) if frame.is("presence") => self.presence(&frame)?,
                Happening::Other(frame) if frame.is("error") => self.note(&format!(
                    "the gateway says {}: {}",
                    frame.code().unwrap_or("error"),
                    frame.text("message").unwrap_or_default()
                )),
                Happening::Other(_) => {}
                Happening::Lost { why, .. } => {
                    if let Some(back) = catching.take() {
                        self.note_back(&back);
                    }
                    self.note(&format!("disconnected: {why}"));
                }
                Happening::Over(error) => return Err(error.into()),
            }
        }
        resuming.close().await;
        Ok(())
    }

    fn event(&mut self, frame: &Frame) -> Result<(), TailError> {
        let line = self.style.line(frame);
        writeln!(self.events, "{line}").and_then(|()| self.events.flush()).map_err(TailError::Output)?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(())
    }

    /// Signals are no events: they do not count.
    fn signal(&mut self, frame: &Frame) -> Result<(), TailError> {
        let line = self.style.line(frame);
        writeln!(self.events, "{line}").and_then(|()| self.events.flush()).map_err(TailError::Output)
    }

    /// As JSON the frame as it came; else a line for everybody it is about.
    fn presence(&mut self, frame: &Frame) -> Result<(), TailError> {
        if matches!(self.style, Style::Json) {
            return self.signal(frame);
        }
        comings(frame).iter().try_for_each(|line| self.signal(line))
    }

    fn note_first(&mut self, welcome: &Welcome) {
        let Welcome { node, user, tenant, seq, channels, .. } = welcome;
        self.note(&format!(
            "connected to {node} as {user} of {tenant}, after #{seq}, in {}",
            channels.join(" ")
        ));
    }

    fn note_back(&mut self, back: &CatchingUp) {
        let events = if back.events == 1 { "event" } else { "events" };
        let seconds = back.after.as_secs_f64();
        self.note(&format!(
            "reconnected to {} after {seconds:.1} s, {} {events} caught up",
            back.node, back.events
        ));
    }

    fn note(&mut self, text: &str) {
        // Without a place for notes the events still matter.
        let _ = writeln!(self.notes, "· {}", line::printable(text));
    }
}
