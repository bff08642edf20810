//! How does a listener come back by itself, and remember what it saw for the ledger?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use carillon_devstack::client::frame::{Cursor, Frame};
use carillon_devstack::client::ledger::{Mark, Received, Witness};
use carillon_devstack::client::listen::Listen;
use carillon_devstack::client::post::digest;
use carillon_devstack::client::socket::SocketError;
use tokio::task::JoinHandle;

/// Longest silence of a gateway that is there.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause after a loss.
const PAUSE: Duration = Duration::from_millis(50);
/// How long each poll waits.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Stream,
    Poll,
}

/// Where a listener stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) cursor: Option<Cursor>,
    /// Streams opened, or polls answered.
    pub(crate) answers: usize,
    /// Connections that broke or were refused.
    pub(crate) losses: usize,
    witness: Witness,
}

/// Listens in a task of its own until it is dropped.
pub(crate) struct Listener {
    pub(crate) by: By,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn start(name: &str, tenant: &str, by: By, listen: Listen) -> Self {
        let seen = Arc::new(Mutex::new(Seen { witness: Witness::new(name, tenant), ..Seen::default() }));
        let record = Record(Arc::clone(&seen));
        let task = match by {
            By::Stream => tokio::spawn(record.stream(listen)),
            By::Poll => tokio::spawn(record.poll(listen)),
        };
        Self { by, seen, task }
    }

    pub(crate) fn seen(&self) -> Seen {
        assert!(!self.task.is_finished(), "a listener goes on for ever");
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn witness(&self) -> Witness {
        self.seen().witness
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seen().cursor.map_or(0, |cursor| cursor.seq)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Record(Arc<Mutex<Seen>>);

impl Record {
    /// As a browser does: it keeps the id of the last message that had one, and comes back with it.
    async fn stream(self, mut listen: Listen) {
        loop {
            let error = match listen.stream().await {
                Ok(mut stream) => loop {
                    match stream.next(SILENCE).await {
                        Ok(message) => {
                            if let Some(id) = message.id {
                                let (epoch, seq) = id.rsplit_once(':').unwrap();
                                self.with(|seen| {
                                    seen.cursor = Some(Cursor::new(seq.parse().unwrap(), epoch))
                                });
                                listen.last_event_id = Some(id);
                            }
                            self.note(&message.frame);
                        }
                        Err(error) => break error,
                    }
                },
                Err(error) => error,
            };
            self.lost(error).await;
        }
    }

    async fn poll(self, mut listen: Listen) {
        loop {
            let polled = match listen.poll(listen.since.is_some().then_some(WAIT)).await {
                Ok(polled) => polled,
                Err(error) => {
                    self.lost(error).await;
                    continue;
                }
            };
            let (epoch, seq) = (polled.cursor.epoch.clone().unwrap(), polled.cursor.seq);
            if listen.since.is_none() {
                let channels = ["tenant".to_owned()].into();
                self.mark(Mark::Welcome { epoch: epoch.clone(), seq, channels, reset_follows: false });
            }
            if polled.reset.is_some() {
                self.mark(Mark::Reset { epoch, seq });
            }
            polled.events.iter().for_each(|event| self.note(event));
            self.with(|seen| {
                seen.cursor = Some(polled.cursor.clone());
                seen.answers += 1;
            });
            listen.since = Some(polled.cursor);
        }
    }

    fn note(&self, frame: &Frame) {
        let (epoch, seq) = (frame.epoch().unwrap_or_default().to_owned(), frame.seq().unwrap_or_default());
        match frame.kind() {
            "welcome" => {
                let channels = frame.channels().into_iter().collect();
                let reset_follows = frame.text("resumed") == Some("reset");
                self.with(|seen| seen.answers += 1);
                self.mark(Mark::Welcome { epoch, seq, channels, reset_follows });
            }
            "reset" => self.mark(Mark::Reset { epoch, seq }),
            "event" => {
                let event = frame.event();
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                let digest = digest(event["type"].as_str().unwrap_or_default(), &event["data"]);
                self.mark(Mark::Event(Received { seq, id, digest, at: Instant::now() }));
            }
            _ => {}
        }
    }

    fn mark(&self, mark: Mark) {
        self.with(|seen| assert!(seen.witness.note(mark), "more than a witness keeps"));
    }

    async fn lost(&self, error: SocketError) {
        assert!(!error.is_terminal(), "nothing that happens here may send a listener away for good: {error}");
        self.with(|seen| seen.losses += 1);
        tokio::time::sleep(PAUSE).await;
    }

    fn with<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
