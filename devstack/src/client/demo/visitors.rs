//! How do the people of the story get into the system?
//!
//! Each is one WebSocket, as a page would be: it reads what comes, says on which page of the panel it is, types, says something, and says goodbye when it goes. The rules
//! that let them are set where the tenant has none for these channels.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::visits::{Act, PAGES, Somebody, Visits};
use crate::client::post::Post;
use crate::client::publish::Publisher;
use crate::client::socket::{Connect, Socket};
use crate::info::StackInfo;
use crate::token::{Claims, now};

/// Frames that wait for one connection.
const WAITING: usize = 8;
/// Pause before what did not succeed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Longest time everybody together takes to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
const HOUR_S: u64 = 3_600;

/// Everybody who is there.
pub(super) struct Visitors<'a> {
    info: &'a StackInfo,
    publisher: &'a Publisher,
    visits: Visits,
    here: HashMap<Somebody, Connection>,
}

/// One WebSocket and the task that reads it.
struct Connection {
    frames: mpsc::Sender<Value>,
    task: JoinHandle<()>,
}

impl<'a> Visitors<'a> {
    pub(super) fn new(info: &'a StackInfo, publisher: &'a Publisher, visits: Visits) -> Self {
        Self { info, publisher, visits, here: HashMap::new() }
    }

    /// Goes on for ever, one step at a time, so many a second. Whatever fails is tried again later: the story does not depend on it.
    pub(super) async fn run(&mut self, rate: f64) -> std::io::Result<()> {
        let pause = Duration::from_secs_f64(1.0 / rate);
        for tenant in self.visits.tenants() {
            while let Err(error) = self.set_rules(tenant).await {
                tell(tenant, &format!("has no rules for its people yet: {error}"))?;
                sleep(RETRY * 4).await;
            }
        }
        loop {
            sleep(pause).await;
            let gone: Vec<Somebody> = self
                .here
                .iter()
                .filter(|(_, connection)| connection.task.is_finished())
                .map(|(who, _)| *who)
                .collect();
            for who in gone {
                self.here.remove(&who);
                self.visits.lost(who);
            }
            let Some((who, act)) = self.visits.step() else { continue };
            if self.does(who, act).await {
                tell(who.tenant, &told(who, act))?;
            } else {
                self.here.remove(&who);
                self.visits.lost(who);
            }
        }
    }

    /// Whether it was done.
    async fn does(&mut self, who: Somebody, act: Act) -> bool {
        let typing = |state: &str| json!({"type": "typing", "channel": "tenant", "state": state});
        match act {
            Act::Comes => match self.connect(who).await {
                Some(connection) => self.here.insert(who, connection).is_none(),
                None => false,
            },
            Act::Moves(page) => self.send(who, json!({"type": "presence", "meta": on(page)})),
            Act::Types => self.send(who, typing("start")),
            Act::Says(text) => {
                let event = json!({"type": "note", "data": {"text": text}});
                self.send(who, typing("stop"))
                    && self.send(who, json!({"type": "publish", "channel": "tenant", "event": event}))
            }
            Act::Is(state) => {
                let data = json!({"staff": who.user, "state": state});
                let post = Post::new(who.tenant, "staff.status", data).source("panel").actor(who.user);
                self.publisher.publish(&post.channel("staff").tenant_wide().key(who.user), None).await.is_ok()
            }
            Act::Goes => {
                if let Some(connection) = self.here.remove(&who) {
                    connection.leave().await;
                }
                true
            }
        }
    }

    fn send(&self, who: Somebody, frame: Value) -> bool {
        self.here.get(&who).is_some_and(|connection| connection.frames.try_send(frame).is_ok())
    }

    async fn connect(&self, who: Somebody) -> Option<Connection> {
        let claims = Claims { meta: Some(on(PAGES[0])), ..Claims::new(who.tenant, who.user, now(), HOUR_S) };
        let token = claims.roles(["staff"]).sign(&self.info.jwt_secret).ok()?;
        let wanted = Connect::new(self.info.ws_url(), token);
        let (socket, _) = Socket::open(&wanted).await.ok()?;
        let (frames, waiting) = mpsc::channel(WAITING);
        Some(Connection { frames, task: tokio::spawn(attend(socket, waiting)) })
    }

    /// Everybody goes and says so.
    pub(super) async fn leave(self) {
        let all = self.here.into_values().map(Connection::leave);
        let _ = tokio::time::timeout(GOODBYE, futures_util::future::join_all(all)).await;
    }

    /// Lets everybody of a tenant be seen, type and say something, unless the tenant has rules of its own for these channels.
    async fn set_rules(&self, tenant: &str) -> Result<(), reqwest::Error> {
        let rules = [
            (
                "tenant",
                json!({"subscribe": ["anyone"], "presence": ["anyone"], "signal": ["anyone"], "publish": ["anyone"], "client_types": ["note"]}),
            ),
            ("staff", json!({"subscribe": ["anyone"]})),
        ];
        let http = reqwest::Client::builder().no_proxy().timeout(RETRY * 10).build()?;
        for (pattern, rule) in rules {
            let url = format!("{}/v1/channel-rules/{pattern}?tenant={tenant}", self.info.lb);
            let known = http.get(&url).bearer_auth(&self.info.api_key).send().await?;
            if known.status() == reqwest::StatusCode::NOT_FOUND {
                let set = http.put(&url).bearer_auth(&self.info.api_key).json(&rule).send().await?;
                set.error_for_status()?;
            } else {
                known.error_for_status()?;
            }
        }
        Ok(())
    }
}

impl Connection {
    /// The task says goodbye when nobody has a frame for it any more.
    async fn leave(self) {
        let Self { frames, task } = self;
        drop(frames);
        let _ = task.await;
    }
}

/// Sends what is to be sent and reads what comes, until there is nothing more to send or the connection ends.
async fn attend(mut socket: Socket, mut frames: mpsc::Receiver<Value>) {
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) if socket.send_json(&frame).await.is_ok() => {}
                Some(_) => return,
                None => return socket.close().await,
            },
            came = socket.next_frame(SECOND * 120) => match came {
                Ok(frame) if frame.is("goaway") => return socket.close().await,
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}

/// What the others see of somebody who is on this page.
fn on(page: &str) -> Value {
    json!({"app": "demo", "page": page})
}

fn told(who: Somebody, act: Act) -> String {
    let user = who.user;
    match act {
        Act::Comes => format!("{user} comes"),
        Act::Moves(page) => format!("{user} is on the page {page}"),
        Act::Types => format!("{user} types"),
        Act::Says(text) => format!("{user} says: {text}"),
        Act::Is(state) => format!("{user} is {state}"),
        Act::Goes => format!("{user} goes"),
    }
}

/// One line beside those of the events; a signal, so without a number.
pub(super) fn tell(tenant: &str, text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{tenant:<16} {:<7} {text}", "~")
}
