//! Where does it stand who is connected where, and how do gateways tell each other?
//!
//! Each gateway has a hash for each tenant, `<prefix>:presence:{<tenant>}:<node>:<incarnation>`, that it alone writes: a field for
//! everybody in a channel, and `n`, the number of its last change. Beside them `<prefix>:presence:{<tenant>}` lists the gateways with
//! their numbers, so that one question tells what is new. A change is one transaction: the fields, both numbers, and the PUBLISH on
//! the tenant's Redis channel; all of them are in one slot of a cluster. What is not prolonged for [`LEASE_S`] is gone.
//!
//! Commands, for an ACL: `MULTI`, `EXEC`, `HSET`, `HDEL`, `HGET`, `HGETALL`, `HSCAN`, `DEL`, `EXPIRE` on keys `<prefix>:presence:*`,
//! and `PUBLISH`, on a cluster `SPUBLISH`, on channels `<prefix>:*`.

mod known;
mod read;

pub use read::{Page, PresenceReader, Somebody, Whereabouts};

use super::BusError;
use super::backoff::Backoff;
use super::config::{BusConfig, Timing};
use super::fred::{Dialer, Link, Purpose, Word};
use super::health::{DownCause, Failure};
use super::limits::LimitStore;
use super::name::Names;
use super::pulse::pulse;
use super::recovery::RecoveryStore;
use bytes::Bytes;
use carillon_protocol::presence::{Change, Entry, Origin, What, field, read_field};
use carillon_protocol::{Channel, TenantId, UserId};
use std::time::Instant;
use tokio::sync::watch;

/// Seconds that what a gateway says stays without being prolonged: as long as it takes to see that it is dead, and the usual grace.
pub const LEASE_S: u64 = 20;
/// Fields in one command or page.
const FIELDS: usize = 500;
/// The field with the number of the last change.
const NUMBER: &str = "n";

/// Redis as presence uses it, on a connection of its own.
#[derive(Clone)]
pub struct PresenceStore {
    names: Names,
    link: watch::Receiver<Option<Connected>>,
    /// Dropped last of all: the thread sees it.
    _stop: std::sync::Arc<watch::Sender<()>>,
}

/// A connection to Redis.
#[derive(Clone)]
struct Connected {
    link: Link,
    /// Since when it stands, if there was another before it.
    again: Option<Instant>,
}

/// Redis did not do what it was asked to; what became of it is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redis is away: {0}")]
pub struct StoreFault(pub(super) String);

/// Rights that are missing are somebody's mistake, and told when they are met first. That Redis is away others tell.
fn tell_refused(detail: &str) {
    static TOLD: std::sync::Once = std::sync::Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            detail,
            "redis refuses what is needed to know who is here: on keys <prefix>:presence:* gateways need MULTI, EXEC, HSET, HDEL, HGET, HGETALL, HSCAN, DEL and EXPIRE, publishers HGET, HGETALL and HSCAN; until then people of other gateways are not seen"
        );
    });
}

impl From<Failure> for StoreFault {
    fn from(failure: Failure) -> Self {
        if failure.cause == DownCause::Refused {
            tell_refused(&failure.detail);
        }
        Self(failure.detail)
    }
}

/// Somebody in a channel, with the number of the change that says so.
pub type Written = (Channel, UserId, u64, Entry);

impl PresenceStore {
    /// Starts a thread that keeps a connection. Returns at once, whether Redis is there or not.
    ///
    /// # Errors
    /// [`BusError::Config`] for a configuration that can never work, [`BusError::Thread`] without a thread.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        let (links, link) = watch::channel(None);
        let (stop, stopped) = watch::channel(());
        let keeper = Keeper { dialer: Dialer::new(config)?, timing: config.timing, links };
        super::spawn_thread("bus-presence", keeper.run(stopped))?;
        Ok(Self { names: Names::new(&config.prefix, ""), link, _stop: stop.into() })
    }

    /// Limits of tenants, on the same connection.
    pub fn limits(&self) -> LimitStore {
        LimitStore::new(self.clone())
    }

    /// What is kept of clients of Socket.IO that come back, on the same connection.
    pub fn recovery(&self) -> RecoveryStore {
        RecoveryStore::new(self.clone())
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Resolves with every new connection and with the end of one.
    pub async fn changed(&mut self) {
        // The sender lives as long as the thread, and that as long as we.
        let _ = self.link.changed().await;
        self.link.mark_unchanged();
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn link(&self) -> Result<Link, StoreFault> {
        let link = self.link.borrow().as_ref().map(|connected| connected.link.clone());
        link.ok_or_else(|| StoreFault("there is no connection".into()))
    }

    /// Writes a change and tells it, both or neither. `payload` is its envelope. Whether there was what it changes: if not, what is
    /// there is not the whole, and everything is to be written anew.
    ///
    /// # Errors
    /// When it may not have been written.
    pub async fn write(
        &self,
        tenant: &TenantId,
        me: &Origin,
        change: &Change,
        payload: Bytes,
    ) -> Result<bool, StoreFault> {
        let key = self.names.presence(tenant, me);
        let number = vec![Word::from(&*key), NUMBER.into(), change.n.to_string().into()];
        let (mut set, mut gone) = (vec![Word::from(&*key)], vec![Word::from(&*key)]);
        for item in &change.items {
            let field = field(&item.channel, &item.user);
            match &item.what {
                What::Here(entry) => set.extend([Word::from(field), entry.to_json(change.n).into()]),
                What::Gone { .. } => gone.push(field.into()),
            }
        }
        let mut commands = vec![("HSET", number)];
        commands.extend((gone.len() > 1).then_some(("HDEL", gone)));
        commands.extend((set.len() > 1).then_some(("HSET", set)));
        commands.extend(self.end_of_change(tenant, me, change.n, payload));
        let answers = self.link()?.transaction(&key, commands).await?;
        // HSET answers how many fields are new.
        Ok(answers.first() == Some(&Some(0)))
    }

    /// Writes everything anew and has it read by the others. Until that is done the number is missing, and nobody takes a part
    /// for the whole. Whether all of it is there: somebody who took this gateway for dead may have taken a part away meanwhile.
    ///
    /// # Errors
    /// When it may not have been written.
    pub async fn write_anew(
        &self,
        tenant: &TenantId,
        me: &Origin,
        n: u64,
        people: &[(Channel, UserId, Entry)],
        payload: Bytes,
    ) -> Result<bool, StoreFault> {
        self.begin_anew(tenant, me, n, people).await?;
        self.end_anew(tenant, me, n, people, payload).await
    }

    /// Everybody, without the number.
    async fn begin_anew(
        &self,
        tenant: &TenantId,
        me: &Origin,
        n: u64,
        people: &[(Channel, UserId, Entry)],
    ) -> Result<(), StoreFault> {
        let (key, link) = (self.names.presence(tenant, me), self.link()?);
        let mut commands = vec![("DEL", vec![Word::from(&*key)])];
        for people in people.chunks(FIELDS) {
            commands.push(set_people(&key, n, people));
            commands.extend(self.prolong(tenant, me));
            link.transaction(&key, std::mem::take(&mut commands)).await?;
        }
        if !commands.is_empty() {
            link.transaction(&key, commands).await?;
        }
        Ok(())
    }

    /// The number. The first of the people are written again: were they not there, others may be missing, too.
    async fn end_anew(
        &self,
        tenant: &TenantId,
        me: &Origin,
        n: u64,
        people: &[(Channel, UserId, Entry)],
        payload: Bytes,
    ) -> Result<bool, StoreFault> {
        let key = self.names.presence(tenant, me);
        let first = people.get(..1).map(|first| set_people(&key, n, first));
        let has_first = first.is_some();
        let mut commands = Vec::from_iter(first);
        commands.push(("HSET", vec![Word::from(&*key), NUMBER.into(), n.to_string().into()]));
        commands.extend(self.end_of_change(tenant, me, n, payload));
        let answers = self.link()?.transaction(&key, commands).await?;
        // HSET answers how many fields are new.
        Ok(!has_first || answers.first() == Some(&Some(0)))
    }

    /// The number among the others, the leases, and the word to all.
    fn end_of_change(
        &self,
        tenant: &TenantId,
        me: &Origin,
        n: u64,
        payload: Bytes,
    ) -> Vec<(&'static str, Vec<Word>)> {
        let publish = if self.link.borrow().as_ref().is_some_and(|connected| connected.link.is_sharded()) {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let heads = self.names.presence_heads(tenant);
        let mut all = vec![("HSET", vec![Word::from(heads), me.to_string().into(), n.to_string().into()])];
        all.extend(self.prolong(tenant, me));
        all.push((publish, vec![Word::from(self.names.log(tenant)), payload.into()]));
        all
    }

    fn prolong(&self, tenant: &TenantId, me: &Origin) -> [(&'static str, Vec<Word>); 2] {
        [self.names.presence(tenant, me), self.names.presence_heads(tenant)]
            .map(|key| ("EXPIRE", vec![Word::from(key), LEASE_S.to_string().into()]))
    }

    /// The gateways that say something of a tenant, with the numbers of their last changes. Prolongs what is there of ours.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn heads(
        &self,
        tenant: &TenantId,
        me: Option<&Origin>,
    ) -> Result<Vec<(Origin, u64)>, StoreFault> {
        let link = self.link()?;
        if let Some(me) = me {
            link.transaction(&self.names.presence(tenant, me), self.prolong(tenant, me).into()).await?;
        }
        let heads = link.hash(&self.names.presence_heads(tenant)).await?;
        let read = |(origin, n): (String, String)| Some((origin.parse().ok()?, n.parse().ok()?));
        Ok(heads.into_iter().filter_map(read).collect())
    }

    /// What a gateway says of a tenant: the number of its last change, read first, and everybody, page by page. None while it is not
    /// there or not whole.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn read(
        &self,
        tenant: &TenantId,
        of: &Origin,
    ) -> Result<Option<(u64, Vec<Written>)>, StoreFault> {
        let (key, link) = (self.names.presence(tenant, of), self.link()?);
        let n = link.field(&key, NUMBER).await?;
        let Some(n) = n.and_then(|n| n.parse().ok()) else { return Ok(None) };
        let (mut cursor, mut people) = ("0".to_owned(), Vec::new());
        loop {
            let (next, fields) = link.page(&key, &cursor, FIELDS, None).await?;
            people.extend(fields.iter().filter_map(|(field, json)| read_written(field, json)));
            if next == "0" {
                return Ok(Some((n, people)));
            }
            cursor = next;
        }
    }

    /// Since when the connection stands, if there was another before it.
    fn connected_again(&self) -> Option<Instant> {
        self.link.borrow().as_ref().and_then(|connected| connected.again)
    }

    /// Takes away what is left of a gateway that is gone.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn forget(&self, tenant: &TenantId, origin: &Origin) -> Result<(), StoreFault> {
        let (key, heads) = (self.names.presence(tenant, origin), self.names.presence_heads(tenant));
        let commands = vec![
            ("DEL", vec![Word::from(&*key)]),
            ("HDEL", vec![Word::from(heads), origin.to_string().into()]),
        ];
        self.link()?.transaction(&key, commands).await?;
        Ok(())
    }
}

/// Sets the fields of people.
fn set_people(key: &str, n: u64, people: &[(Channel, UserId, Entry)]) -> (&'static str, Vec<Word>) {
    let fields = people
        .iter()
        .flat_map(|(channel, user, entry)| [Word::from(field(channel, user)), entry.to_json(n).into()]);
    ("HSET", [Word::from(key)].into_iter().chain(fields).collect())
}

fn read_written(field: &str, json: &str) -> Option<Written> {
    let ((channel, user), (n, entry)) = (read_field(field)?, Entry::from_json(json)?);
    Some((channel, user, n, entry))
}

/// Keeps a connection.
struct Keeper {
    dialer: Dialer,
    timing: Timing,
    links: watch::Sender<Option<Connected>>,
}

impl Keeper {
    /// Until the owner's end of `stop` is gone.
    async fn run(self, mut stop: watch::Receiver<()>) {
        tokio::select! {
            () = self.keep() => {}
            _ = stop.changed() => {}
        }
    }

    async fn keep(&self) {
        let mut backoff = Backoff::new(self.timing.backoff_min, self.timing.backoff_max);
        let (mut is_told, mut is_first) = (false, true);
        loop {
            let failure = match self.dialer.dial(Purpose::Publish).await {
                Err(failure) => failure,
                Ok((link, mut end)) => {
                    backoff.reset();
                    let again = (!std::mem::replace(&mut is_first, false)).then(Instant::now);
                    self.links.send_replace(Some(Connected { link: link.clone(), again }));
                    let failure = tokio::select! {
                        failure = end.wait() => failure,
                        failure = pulse(&link, &self.timing, || 0) => failure,
                    };
                    self.links.send_replace(None);
                    failure
                }
            };
            // That Redis is away others tell.
            let (cause, detail) = (failure.cause, failure.detail.as_str());
            if cause == DownCause::Refused && !std::mem::replace(&mut is_told, true) {
                tracing::warn!(detail, "redis refuses the connection for presence");
            }
            tracing::debug!(?cause, detail, "presence has no redis");
            tokio::time::sleep(backoff.next()).await;
        }
    }
}
