//! How do people come into one channel whose rule lets them?

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::time::{Instant, sleep, timeout};

use super::member::{Member, Scratch};
use crate::cli::TargetArgs;
use crate::clock::run_name;
use crate::failure::Failure;
use crate::fanout::CpuPerDelivery;
use crate::http::Poster;
use crate::procfs::CpuMark;
use crate::socket::Visit;
use crate::target::{Target, is_delivering};

/// The channel everybody is in.
pub(super) const CHANNEL: &str = "room:1";
/// Handshakes under way at the same time.
const HANDSHAKES: usize = 64;
/// Longest time for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Between the last welcome and the first frame: what handshakes left to do is not part of the measurement.
const SETTLE: Duration = Duration::from_millis(500);

/// A tenant of this run's own, whose channel has a rule.
pub(super) struct Room {
    target: Target,
    pub(super) tenant: String,
    scratch: Scratch,
    /// Whether people name a device.
    devices: bool,
    /// Who may administrate, at the publisher.
    admin: Poster,
}

impl Room {
    /// Sets the rule of the channel.
    pub(super) async fn new(args: &TargetArgs, rule: &str) -> Result<Self, Failure> {
        let target = Target::new(args)?;
        let (address, key) = target.publisher()?;
        let tenant = format!("people-{}", run_name());
        let mut admin = Poster::new(address, key);
        let path = format!("/v1/channel-rules/{CHANNEL}?tenant={tenant}");
        let answer = admin.request(Method::PUT, &path, Bytes::copy_from_slice(rule.as_bytes())).await;
        match answer.map_err(Failure::Usage)? {
            (200, _) => Ok(Self { target, tenant, scratch: Scratch::new(), devices: false, admin }),
            (status, body) => {
                let told = String::from_utf8_lossy(&body).into_owned();
                Err(Failure::Usage(format!("the rule was refused with {status}: {told}")))
            }
        }
    }

    /// A channel whose rule somebody else has set.
    pub(super) fn of(args: &TargetArgs, tenant: String) -> Result<Self, Failure> {
        let target = Target::new(args)?;
        let (address, key) = target.publisher()?;
        let admin = Poster::new(address, key);
        Ok(Self { target, tenant, scratch: Scratch::new(), devices: false, admin })
    }

    /// Everybody names a device.
    pub(super) fn with_devices(self) -> Self {
        Self { devices: true, ..self }
    }

    /// The token of somebody, by number.
    pub(super) fn token(&self, number: u32) -> Result<String, Failure> {
        self.target.token(&self.tenant, &format!("user-{number}"))
    }

    /// Posts as somebody, or with the API key.
    pub(super) fn poster(&self, number: Option<u32>) -> Result<Poster, Failure> {
        let (address, key) = self.target.publisher()?;
        Ok(Poster::new(address, number.map(|number| self.token(number)).transpose()?.unwrap_or(key)))
    }

    /// What an administrator is answered to a `GET`, and how long it took.
    pub(super) async fn get(&mut self, path: &str) -> Result<(u16, Bytes, Duration), Failure> {
        let begun = Instant::now();
        let (status, body) =
            self.admin.request(Method::GET, path, Bytes::new()).await.map_err(Failure::Usage)?;
        Ok((status, body, begun.elapsed()))
    }

    /// Somebody comes and subscribes.
    pub(super) async fn arrive(&self, number: u32, subscribe: &str) -> Result<Rc<Member>, Failure> {
        let gateways = self.target.gateways()?;
        let mut address = gateways[number as usize % gateways.len()].clone();
        if self.devices {
            address.path.push_str("?device=phone");
        }
        let source = (self.target.sources > 1).then(|| 1 + (number % u32::from(self.target.sources)) as u8);
        let token = self.token(number)?;
        let visit = Visit { address: &address, token: &token, source, receive_buffer: None, compress: false };
        let entering = async {
            let member = Member::arrive(visit, &self.scratch).await?;
            member.ask(subscribe).await?;
            Ok(member)
        };
        let late = |_| Err(format!("no answer within {ANSWER:?}"));
        timeout(ANSWER, entering).await.unwrap_or_else(late).map_err(|why| Failure::Connect {
            number: number as usize,
            address: address.authority.clone(),
            why,
        })
    }

    /// So many people, as fast as they come in.
    pub(super) async fn fill(self: &Rc<Self>, people: u32) -> Result<Vec<Rc<Member>>, Failure> {
        let subscribe = format!(r#"{{"type":"subscribe","id":1,"channels":["{CHANNEL}"]}}"#);
        // The rule may be younger than what the gateway knows; once one person is in, it knows.
        let mut members = vec![self.first(&subscribe).await?];
        members.extend(self.come(1..people).await?);
        sleep(SETTLE).await;
        Ok(members)
    }

    /// Those with these numbers, as fast as they come in. Their rule is known.
    pub(super) async fn come(self: &Rc<Self>, numbers: Range<u32>) -> Result<Vec<Rc<Member>>, Failure> {
        let subscribe = format!(r#"{{"type":"subscribe","id":1,"channels":["{CHANNEL}"]}}"#);
        let (numbers, mut members): (Vec<u32>, _) = (numbers.collect(), Vec::new());
        for some in numbers.chunks(HANDSHAKES) {
            let coming = some.iter().map(|&number| {
                let (room, subscribe) = (Rc::clone(self), subscribe.clone());
                tokio::task::spawn_local(async move { room.arrive(number, &subscribe).await })
            });
            for arrived in coming.collect::<Vec<_>>() {
                let arrived = arrived.await.map_err(|_| Failure::Usage("a client panicked".into()))?;
                members.push(arrived?);
            }
        }
        Ok(members)
    }

    /// The first person, who waits for the rule.
    pub(super) async fn first(&self, subscribe: &str) -> Result<Rc<Member>, Failure> {
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.arrive(0, subscribe).await {
                Err(Failure::Connect { why, .. })
                    if why.contains("forbidden") && Instant::now() < deadline =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    /// Begins to count the gateways' CPU time.
    pub(super) fn mark(&self) -> Result<CpuMark, Failure> {
        if self.target.delivering().next().is_none() {
            return Err(Failure::Usage("nothing to measure: give --stack or --pid".into()));
        }
        CpuMark::now(&self.target.pids)
    }

    /// What they used since, for each of so many frames.
    pub(super) fn each(&self, mark: &CpuMark, frames: u64) -> Result<CpuPerDelivery, Failure> {
        let used = mark.used()?;
        Ok(CpuPerDelivery::new(used.iter().filter(|used| is_delivering(&used.process)), frames))
    }
}

/// Waits until so many have come in all; says how many did when time is up.
pub(super) async fn counted(
    members: &[Rc<Member>],
    expected: u64,
    patience: Duration,
    of: impl Fn(&Member) -> u64,
) -> u64 {
    let deadline = Instant::now() + patience;
    loop {
        let now = members.iter().map(|member| of(member)).sum();
        if now >= expected || Instant::now() > deadline {
            return now;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The first faults of these, in words, and how many there were.
pub(super) fn faults(members: &[Rc<Member>]) -> (u64, Vec<String>) {
    let all = members.iter().enumerate().filter_map(|(number, member)| {
        let fault = member.heard.fault.borrow();
        fault.as_ref().map(|fault| format!("person {number}: {fault}"))
    });
    let all: Vec<String> = all.collect();
    (all.len() as u64, all.into_iter().take(10).collect())
}
