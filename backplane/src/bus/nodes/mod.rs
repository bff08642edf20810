//! How do gateways know of each other?
//!
//! Each writes a card about itself into one Redis hash every [`BEAT`] and reads all cards. Nobody trusts another
//! machine's clock: a node is present while its beat goes up, measured by the reader's own clock. A card whose beat
//! stands still is removed by whoever notices. Without Redis the fleet is unknown, and nothing is decided by it.
//!
//! A process that is no gateway reads the cards, too ([`NodesWatch`]).
//!
//! Commands, for an ACL: `HSET`, `HGETALL` and `HDEL` on the key `<prefix>:nodes`; of who only reads, `HGETALL`.

mod card;
mod minute;
mod registry;
mod roll;

pub use card::{NodeCard, NodeState};
pub use minute::{BUCKETS, Minute, bucket};
pub use registry::{NodesWatch, Registry};
pub use roll::Fleet;

use super::BusError;
use super::backoff::Backoff;
use super::config::{BusConfig, Timing};
use super::fred::{Dialer, Link, Purpose};
use super::health::{DownCause, Failure};
use roll::{Clash, Roll};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often a node tells how it is.
pub const BEAT: Duration = Duration::from_secs(2);
/// Longest time [`Nodes::leave`] takes.
const LEAVE: Duration = Duration::from_millis(500);

/// This node's place among the others. Dropping it ends the beats; [`Nodes::leave`] also takes the card away.
pub struct Nodes {
    fleet: watch::Receiver<Option<Fleet>>,
    stop: watch::Sender<()>,
}

impl Nodes {
    /// Starts the beats, on a thread of their own. `card` is asked at every beat, with its number.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn join(
        config: &BusConfig,
        card: impl FnMut(u64) -> NodeCard + Send + 'static,
    ) -> Result<Self, BusError> {
        let (seen, fleet) = watch::channel(None);
        let (stop, stopped) = watch::channel(());
        let member = Member {
            dialer: Dialer::new(config)?,
            timing: config.timing,
            key: format!("{}:nodes", config.prefix),
            instance: uuid::Uuid::new_v4().simple().to_string(),
            card: Box::new(card),
            seen,
            clash: Clash::default(),
            is_refused: false,
        };
        super::spawn_thread("bus-nodes", member.run(stopped))?;
        Ok(Self { fleet, stop })
    }

    /// Who is there now; none while it is not known.
    pub fn fleet(&self) -> watch::Receiver<Option<Fleet>> {
        self.fleet.clone()
    }

    /// Takes the card away, so that the others need not wait until it is stale. Half a second at the longest.
    pub async fn leave(self) {
        let Self { mut fleet, stop } = self;
        drop(stop);
        // The thread drops its end when it is done.
        let ended = async { while fleet.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(LEAVE * 2, ended).await;
    }
}

struct Member {
    dialer: Dialer,
    timing: Timing,
    key: String,
    /// Unlike the node's name no other process has it.
    instance: String,
    card: Box<dyn FnMut(u64) -> NodeCard + Send>,
    seen: watch::Sender<Option<Fleet>>,
    clash: Clash,
    /// Whether Redis refuses the commands, and that was told.
    is_refused: bool,
}

impl Member {
    /// Beats until the owner's end of `stop` is gone.
    async fn run(mut self, mut stop: watch::Receiver<()>) {
        let mut backoff = Backoff::new(self.timing.backoff_min, self.timing.backoff_max);
        let mut roll = Roll::new(Instant::now());
        let mut beat = 0;
        loop {
            let session = self.session(&mut roll, &mut beat, &mut backoff, &mut stop);
            let Err(failure) = session.await else { return };
            self.tell_failure(&failure);
            self.seen.send_replace(None);
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Beats on one connection. Ends well only when told to stop.
    async fn session(
        &mut self,
        roll: &mut Roll,
        beat: &mut u64,
        backoff: &mut Backoff,
        stop: &mut watch::Receiver<()>,
    ) -> Result<(), Failure> {
        let (link, mut end) = self.dialer.dial(Purpose::Publish).await?;
        loop {
            *beat += 1;
            tokio::select! {
                failure = end.wait() => return Err(failure),
                result = self.call(&link, roll, *beat) => result?,
            }
            backoff.reset();
            self.is_refused = false;
            tokio::select! {
                failure = end.wait() => return Err(failure),
                () = tokio::time::sleep(BEAT) => {}
                _ = stop.changed() => {
                    // Best effort: a card left behind is stale soon.
                    let _ = tokio::time::timeout(LEAVE, link.forget(&self.key, vec![self.instance.clone()])).await;
                    return Ok(());
                }
            }
        }
    }

    /// Missing rights are somebody's mistake, and told when they are met first. That Redis is away others tell.
    fn tell_failure(&mut self, failure: &Failure) {
        let (key, detail) = (self.key.as_str(), failure.detail.as_str());
        if failure.cause != DownCause::Refused {
            tracing::debug!(cause = ?failure.cause, detail, "the node registry is out of reach");
        } else if !std::mem::replace(&mut self.is_refused, true) {
            tracing::warn!(
                key,
                detail,
                "redis refuses the hash of the nodes: gateways need HSET, HGETALL and HDEL on it; until then nothing is rebalanced"
            );
        }
    }

    /// Logs a clash when it begins.
    fn tell(&mut self, clash: Clash) {
        let (key, before) = (self.key.as_str(), std::mem::replace(&mut self.clash, clash));
        if clash.name && !before.name {
            tracing::warn!(
                key,
                "another running gateway has this one's CARILLON_NODE: logs, metrics and evacuations cannot tell them apart"
            );
        }
        if clash.database && !before.database {
            tracing::warn!(
                key,
                "another running gateway reads another database: two installations on one Redis need two CARILLON_REDIS_PREFIX"
            );
        }
    }

    /// Writes our card, reads everybody's.
    async fn call(&mut self, link: &Link, roll: &mut Roll, beat: u64) -> Result<(), Failure> {
        let card = (self.card)(beat).to_json();
        let cards = link.exchange(&self.key, &self.instance, card).await?;
        let present = cards
            .into_iter()
            // A card of another version may not be readable; its node is then not counted.
            .filter_map(|(instance, json)| Some((instance, NodeCard::from_json(&json)?)));
        let (fleet, stale) = roll.call(Instant::now(), present);
        self.tell(roll.clash(&self.instance));
        self.seen.send_replace(Some(fleet));
        if !stale.is_empty() {
            link.forget(&self.key, stale).await?;
        }
        Ok(())
    }
}
