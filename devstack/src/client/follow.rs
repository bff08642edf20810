//! How does a test watch a tenant's stream over days of trouble, and remember all of it?
//!
//! A [`Follower`] is a [`Resuming`] client in a task of its own. It can be paused (it stops reading, as a stalled phone
//! does), cut off, awaited, and in the end it hands its [`Witness`] to the ledger.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::frame::{Cursor, Frame};
use super::ledger::{Mark, Received, Witness};
use super::post::digest;
use super::resume::{Follow, Happening, Resuming};

/// Where a follower stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Everything up to here was seen, or given up by a reset.
    pub cursor: Option<Cursor>,
    /// The gateway it is connected to.
    pub node: Option<String>,
    /// How many connections it had.
    pub connections: usize,
    /// How many events it got.
    pub events: usize,
    /// How many resets it was told.
    pub resets: usize,
    /// Why the connection before ended.
    pub last_loss: Option<String>,
    /// Why it will not come back.
    pub over: Option<String>,
}

impl Status {
    /// The cursor's seq, 0 before the first welcome.
    pub fn seq(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.seq)
    }
}

/// The follower did not get there in time, or never will.
#[derive(Debug, thiserror::Error)]
#[error("{follower} did not {what} within {patience:?}; it stands at {status:?}")]
pub struct NotReached {
    /// The follower's name.
    pub follower: String,
    /// What was awaited.
    pub what: String,
    /// How long.
    pub patience: Duration,
    /// Where it stands instead.
    pub status: Box<Status>,
}

enum Command {
    Pause,
    Go,
    Sever,
    Stop,
}

/// A client that resumes by itself and records what it sees. Dropping it cuts it off.
pub struct Follower {
    name: String,
    commands: mpsc::Sender<(Command, oneshot::Sender<()>)>,
    status: watch::Receiver<Status>,
    witness: Arc<Mutex<Witness>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow; `tenant` is where the token's user belongs.
    pub fn start(name: impl Into<String>, tenant: impl Into<String>, follow: Follow) -> Self {
        let name = name.into();
        let witness = Arc::new(Mutex::new(Witness::new(name.clone(), tenant)));
        let (commands, orders) = mpsc::channel(8);
        let (reports, status) = watch::channel(Status::default());
        let recorder = Recorder { resuming: Resuming::new(follow), witness: Arc::clone(&witness), reports };
        let task = tokio::spawn(recorder.run(orders));
        Self { name, commands, status, witness, task }
    }

    /// The follower's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What it saw so far.
    pub fn witness(&self) -> Witness {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops reading; the connection stays open.
    pub async fn pause(&self) {
        self.order(Command::Pause).await;
    }

    /// Reads on.
    pub async fn go(&self) {
        self.order(Command::Go).await;
    }

    /// Cuts the connection without a farewell; it reconnects and resumes (when paused: after [`go`](Self::go)).
    pub async fn sever(&self) {
        self.order(Command::Sever).await;
    }

    /// Says goodbye and hands over what it saw; it counts as having left at its cursor.
    pub async fn leave(self) -> Witness {
        self.order(Command::Stop).await;
        let mut witness = self.witness();
        witness.left_at = Some(self.status().seq());
        witness
    }

    /// Waits for a condition; `what` completes the sentence "the follower did not …".
    pub async fn until(
        &self,
        what: impl Into<String>,
        patience: Duration,
        reached: impl Fn(&Status) -> bool,
    ) -> Result<Status, NotReached> {
        let mut status = self.status.clone();
        let outcome = timeout(patience, status.wait_for(|now| reached(now) || now.over.is_some())).await;
        if let Ok(Ok(now)) = &outcome
            && reached(now)
        {
            return Ok((*now).clone());
        }
        drop(outcome);
        let status = Box::new(self.status());
        Err(NotReached { follower: self.name.clone(), what: what.into(), patience, status })
    }

    /// Waits until it is connected.
    pub async fn connected(&self, patience: Duration) -> Result<Status, NotReached> {
        self.until("connect", patience, |status| status.node.is_some()).await
    }

    /// Waits until its cursor has reached `seq`.
    pub async fn reached(&self, seq: u64, patience: Duration) -> Result<Status, NotReached> {
        self.until(format!("reach seq {seq}"), patience, |status| status.seq() >= seq).await
    }

    async fn order(&self, command: Command) {
        let (done, carried_out) = oneshot::channel();
        if self.commands.send((command, done)).await.is_ok() {
            // The task drops the sender only when it has ended, which is as good as carried out.
            let _ = carried_out.await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Recorder {
    resuming: Resuming,
    witness: Arc<Mutex<Witness>>,
    reports: watch::Sender<Status>,
}

impl Recorder {
    async fn run(mut self, mut orders: mpsc::Receiver<(Command, oneshot::Sender<()>)>) {
        let mut paused = false;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => {
                    let Some((command, done)) = order else { return };
                    match command {
                        Command::Pause => paused = true,
                        Command::Go => paused = false,
                        Command::Sever => {
                            self.resuming.sever();
                            self.reports.send_modify(|status| {
                                status.node = None;
                                status.last_loss = Some("cut by the test".into());
                            });
                        }
                        Command::Stop => {
                            self.resuming.close().await;
                            let _ = done.send(());
                            return;
                        }
                    }
                    let _ = done.send(());
                }
                happening = self.resuming.next(), if !paused => self.record(happening),
            }
        }
    }

    fn record(&mut self, happening: Happening) {
        let mark = match &happening {
            Happening::Connected { welcome, .. } => Some(Mark::Welcome {
                epoch: welcome.epoch.clone(),
                seq: welcome.seq,
                channels: welcome.channels.iter().cloned().collect(),
                reset_follows: welcome.resumed == "reset",
            }),
            Happening::Event(frame) => Some(Mark::Event(received(frame))),
            Happening::Reset(frame) => Some(Mark::Reset {
                epoch: frame.epoch().unwrap_or_default().to_owned(),
                seq: frame.seq().unwrap_or_default(),
            }),
            Happening::Other(frame) if frame.is("heartbeat") && frame.epoch().is_some() => {
                Some(Mark::Renewed {
                    epoch: frame.epoch().unwrap_or_default().to_owned(),
                    seq: frame.seq().unwrap_or_default(),
                })
            }
            Happening::Other(_) | Happening::Lost { .. } | Happening::Over(_) => None,
        };
        let kept = {
            let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
            match &happening {
                Happening::Connected { .. } => witness.connected.push(Instant::now().into_std()),
                Happening::Lost { why, .. } => witness.losses.push(why.clone()),
                Happening::Over(error) => witness.over = Some(error.to_string()),
                Happening::Event(_) | Happening::Reset(_) | Happening::Other(_) => {}
            }
            mark.is_none_or(|mark| witness.note(mark))
        };
        let cursor = self.resuming.cursor().cloned();
        self.reports.send_modify(|status| {
            status.cursor = cursor;
            match happening {
                Happening::Connected { welcome, .. } => {
                    status.node = Some(welcome.node);
                    status.connections += 1;
                }
                Happening::Event(_) => status.events += 1,
                Happening::Reset(_) => status.resets += 1,
                Happening::Lost { why, .. } => {
                    status.node = None;
                    status.last_loss = Some(why);
                }
                Happening::Over(error) => {
                    status.node = None;
                    status.over = Some(error.to_string());
                }
                Happening::Other(_) => {}
            }
            if !kept {
                status.over = Some("saw more than a witness can keep".into());
            }
        });
    }
}

fn received(frame: &Frame) -> Received {
    let event = frame.event();
    Received {
        seq: frame.seq().unwrap_or_default(),
        id: event["id"].as_str().unwrap_or_default().to_owned(),
        digest: digest(event["type"].as_str().unwrap_or_default(), &event["data"]),
        at: Instant::now().into_std(),
    }
}
