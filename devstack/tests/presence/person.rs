//! Somebody who is connected, watches a channel, and comes back elsewhere when the connection ends.

use carillon_devstack::client::frame::Frame;
use carillon_devstack::client::socket::{Connect, Socket};
use carillon_devstack::stack::Stack;
use carillon_devstack::wait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

use crate::wire::{PATIENCE, claims, token};

/// What somebody knows of a channel.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    /// Users with what they say about themselves; none before the first answer.
    pub(crate) members: Option<BTreeMap<String, Value>>,
    pub(crate) count: u64,
    /// Everything that was told after the first answer, in words.
    pub(crate) told: Vec<String>,
    pub(crate) frames: usize,
    /// Frames that are no presence.
    pub(crate) others: Vec<Value>,
}

enum Wish {
    Send(Value),
    Close,
    Sever,
}

pub(crate) struct Person {
    pub(crate) name: String,
    known: Arc<Mutex<Known>>,
    wishes: mpsc::UnboundedSender<Wish>,
    task: tokio::task::JoinHandle<()>,
}

/// Who is to be connected, where, and whether they come back.
pub(crate) struct Plan {
    tenant: String,
    user: String,
    channel: String,
    others: Vec<String>,
    urls: Vec<String>,
    returns: bool,
}

impl Plan {
    pub(crate) fn new(tenant: &str, user: &str) -> Self {
        Self {
            tenant: tenant.into(),
            user: user.into(),
            channel: "branch:1".into(),
            others: Vec::new(),
            urls: Vec::new(),
            returns: false,
        }
    }

    pub(crate) fn channel(mut self, channel: &str) -> Self {
        self.channel = channel.into();
        self
    }

    /// Is in this channel, too, and does not watch it.
    pub(crate) fn also(mut self, channel: &str) -> Self {
        self.others.push(channel.into());
        self
    }

    /// Comes back when the connection ends.
    pub(crate) fn returns(mut self) -> Self {
        self.returns = true;
        self
    }

    /// Connects, to this gateway first, and waits until it is known who is there.
    pub(crate) async fn at(mut self, stack: &Stack, gateway: usize) -> Person {
        let all = stack.gateways().len();
        self.urls = (0..all).map(|n| stack.gateway((gateway + n) % all).ws_url()).collect();
        let token = token(stack, &claims(&self.tenant, &self.user));
        let (wishes, wished) = mpsc::unbounded_channel();
        let known = Arc::<Mutex<Known>>::default();
        let name = self.user.clone();
        let task = tokio::spawn(run(self, token, known.clone(), wished));
        let person = Person { name, known, wishes, task };
        person.until("it is known who is there", |known| known.members.is_some()).await;
        person
    }
}

impl Person {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub(crate) fn send(&self, frame: Value) {
        let _ = self.wishes.send(Wish::Send(frame));
    }

    /// Says goodbye.
    pub(crate) async fn close(self) {
        let _ = self.wishes.send(Wish::Close);
        self.task.await.unwrap();
    }

    /// Is gone without a word.
    pub(crate) async fn sever(self) {
        let _ = self.wishes.send(Wish::Sever);
        self.task.await.unwrap();
    }

    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Known) -> bool) {
        self.within(PATIENCE, what, &mut is_so).await;
    }

    pub(crate) async fn within(&self, time: Duration, what: &str, is_so: &mut dyn FnMut(&Known) -> bool) {
        let is_so = Mutex::new(is_so);
        let seen = || async { is_so.lock().unwrap()(&self.known()).then_some(()) };
        if let Err(timeout) = wait::until(what.to_owned(), time, seen).await {
            panic!("{}: {timeout}; known is {:?}", self.name, self.known());
        }
    }

    /// Knows that these are there and nobody else.
    pub(crate) async fn sees(&self, users: &[&str]) {
        let wanted: Vec<&str> = users.to_vec();
        self.until(&format!("{wanted:?} are there"), |known| {
            known.count == wanted.len() as u64
                && known.members.as_ref().is_some_and(|members| {
                    members.len() == wanted.len() && wanted.iter().all(|user| members.contains_key(*user))
                })
        })
        .await;
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.known().told.clone()
    }
}

/// Connects again and again.
async fn run(plan: Plan, token: String, known: Arc<Mutex<Known>>, mut wishes: mpsc::UnboundedReceiver<Wish>) {
    for url in plan.urls.iter().cycle() {
        let mut wanted = Connect::new(url, &token).channels(plan.others.iter().cloned());
        // Whoever comes back tries the next gateway soon; whoever does not has this try alone, and the machine may be busy.
        wanted.patience = if plan.returns { Duration::from_secs(3) } else { PATIENCE };
        let opened = async {
            let (mut socket, _) = Socket::open(&wanted).await?;
            let ask = json!({"type": "subscribe", "id": "in", "channels": [plan.channel], "presence": true});
            socket.send_json(&ask).await?;
            Ok::<_, carillon_devstack::client::socket::SocketError>(socket)
        };
        let Ok(mut socket) = opened.await else {
            assert!(plan.returns, "{} cannot connect to {url}", plan.user);
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(Wish::Send(frame)) => drop(socket.send_json(&frame).await),
                    Some(Wish::Close) => return socket.close().await,
                    Some(Wish::Sever) => return socket.sever(),
                    None => return,
                },
                frame = socket.next_frame(Duration::from_secs(300)) => match frame {
                    Ok(frame) if frame.is("goaway") => break,
                    Ok(frame) => hear(&plan, &frame, &mut known.lock().unwrap()),
                    Err(_) => break,
                },
            }
        }
        if !plan.returns {
            return;
        }
    }
}

fn named(list: &Value) -> BTreeMap<String, Value> {
    let somebody = |one: &Value| (one["user"].as_str().unwrap().to_owned(), one["meta"].clone());
    list.as_array().map(|list| list.iter().map(somebody).collect()).unwrap_or_default()
}

fn hear(plan: &Plan, frame: &Frame, known: &mut Known) {
    let frame = &frame.0;
    if frame["type"] == "ok" && frame["id"] == "in" {
        let told = &frame["presence"][&plan.channel];
        let members = named(&told["members"]);
        if let Some(before) = &known.members
            && before.keys().ne(members.keys())
        {
            let (before, now): (Vec<_>, Vec<_>) =
                (before.keys().cloned().collect(), members.keys().cloned().collect());
            known.told.push(format!("came back and {before:?} were {now:?}"));
        }
        (known.members, known.count) = (Some(members), told["count"].as_u64().unwrap());
        return;
    }
    // Who floods a channel is not what is asked about here.
    if frame["type"] == "signal" {
        return;
    }
    if frame["type"] != "presence" {
        known.others.push(frame.clone());
        return;
    }
    assert_eq!(frame["channel"].as_str(), Some(&*plan.channel), "only what was asked for");
    known.frames += 1;
    known.count = frame["count"].as_u64().unwrap();
    if frame["sync"] == true {
        known.members = Some(named(&frame["members"]));
        return;
    }
    let Some(members) = known.members.as_mut() else { panic!("told before the answer: {frame}") };
    for verb in ["joined", "updated"] {
        for (user, meta) in named(&frame[verb]) {
            known.told.push(format!("{user} {verb}"));
            members.insert(user, meta);
        }
    }
    for user in frame["left"].as_array().into_iter().flatten() {
        let user = user.as_str().unwrap();
        known.told.push(format!("{user} left"));
        members.remove(user);
    }
}
