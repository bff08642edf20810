//! How does what a client publishes get into the log?
//!
//! Through a publisher, the only writer, which asks the channel's rule again: the gateway says who publishes and proves that it
//! is a gateway, with a key that it makes for itself (docs/adr/0018). So many at a time as a connection, a tenant and the node
//! may have under way; each has its end within [`WITHIN`], in an answer or in `unavailable`, after which a repeat with the same id
//! finds out what became of it and publishes nothing twice.

use crate::shard::ConnectionId;
use carillon_backplane::api_key::Fresh;
use carillon_backplane::log::{Log, LogError};
use carillon_platform::auth::Identity;
use carillon_platform::env::ConfigError;
use carillon_platform::forward::{Answer, Forward, Url};
use carillon_platform::share::{Holder, Holding, HoldingLimits, Holdings, Refused as Full};
use carillon_platform::telemetry::Seldom;
use carillon_protocol::client::{ClientEvent, Publish};
use carillon_protocol::{Channel, ConnectionName, Epoch, EventId, Seq, TenantId};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The publisher's path for gateways.
const PATH: &str = "/v1/relayed-events";
/// Longest time for an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a key is used: half of what it is good for.
const KEY_USED: Duration = Duration::from_secs(12 * 3_600);
/// What may be under way at a time. Each is one frame, so at most 64 KiB.
const UNDER_WAY: HoldingLimits = HoldingLimits { total: 512, per_group: 256, per_member: 16 };
/// When to try again if nobody says more.
const AGAIN_MS: u64 = 1_000;

static UNREACHABLE: Seldom<()> = Seldom::new();
static NO_KEY: Seldom<()> = Seldom::new();

/// One that is under way.
pub(crate) type UnderWay = Holding<TenantId, ConnectionId>;

/// What may be under way on this node, and who has how much of it. Clones share it.
#[derive(Clone)]
pub(crate) struct Relays(Holdings<TenantId, ConnectionId>);

impl Default for Relays {
    fn default() -> Self {
        Self(Holdings::new(UNDER_WAY))
    }
}

impl Relays {
    /// One more of this connection.
    pub(crate) fn begin(&self, tenant: &TenantId, connection: ConnectionId) -> Result<UnderWay, Full> {
        self.0.try_take(Holder { group: tenant.clone(), member: connection }, 1)
    }
}

/// The turn of an event of a connection: it is over when this is dropped.
pub(crate) struct Turn {
    /// The end of the turn before it.
    before: Option<oneshot::Receiver<()>>,
    _ended: oneshot::Sender<()>,
}

/// Has what a connection publishes come into the log in the order in which it was sent.
#[derive(Default)]
pub(crate) struct Order(HashMap<ConnectionId, oneshot::Receiver<()>>);

impl Order {
    /// The turn of the next event of this connection.
    pub(crate) fn next(&mut self, connection: ConnectionId) -> Turn {
        if self.0.len() >= 2 * UNDER_WAY.total {
            self.0.retain(|_, done| done.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        }
        let (ended, ends) = oneshot::channel();
        Turn { before: self.0.insert(connection, ends), _ended: ended }
    }
}

/// What goes to a publisher.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) tenant: TenantId,
    pub(crate) channel: Channel,
    /// Which connection does not get it.
    except: Option<ConnectionName>,
    pub(crate) body: String,
}

impl Relayed {
    /// What this person publishes. An event without an id gets one: what comes twice shall be recognised.
    pub(crate) fn new(person: &Identity, publish: &Publish, except: Option<ConnectionName>) -> Self {
        let Publish { channel, event, .. } = publish;
        let id = event.id.clone().unwrap_or_else(fresh_id);
        let event = ClientEvent { id: Some(id), ..event.clone() }.to_json();
        // It ends with its brace.
        let event = format!("{},\"channel\":{}}}", &event[..event.len() - 1], quoted(channel.as_str()));
        let body = format!(
            r#"{{"tenant":{},"user":{},"roles":{},"event":{event}}}"#,
            quoted(person.tenant.as_str()),
            quoted(person.user.as_str()),
            serde_json::to_string(&*person.roles).unwrap_or_default(),
        );
        Self { tenant: person.tenant.clone(), channel: channel.clone(), except, body }
    }
}

/// A UUIDv7, as a publisher makes one.
fn fresh_id() -> EventId {
    EventId::new(uuid::Uuid::now_v7().to_string()).expect("a UUID is 36 characters of a-f, 0-9 and -")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where an event is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) id: EventId,
    pub(crate) seq: Seq,
    pub(crate) epoch: Epoch,
}

/// Why an event is not in the log, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotPublished {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retry_ms: Option<u64>,
}

impl NotPublished {
    pub(crate) fn unavailable(message: &str) -> Self {
        Self { code: "unavailable", message: message.into(), retry_ms: Some(AGAIN_MS) }
    }
}

/// The way to a publisher.
pub(crate) struct Relay {
    /// None: this node was told of no publisher.
    forward: Option<Forward>,
    log: Log,
    key: Mutex<Option<(Instant, Arc<str>)>>,
    making: tokio::sync::Mutex<()>,
}

impl Relay {
    /// To the publisher at this URL, if there is one.
    pub(crate) fn new(publisher: Option<&Url>, log: Log) -> Result<Self, ConfigError> {
        let forward = publisher.map(|url| Forward::new(url, PATH, WITHIN)).transpose();
        let forward = forward.map_err(|error| {
            ConfigError::new("CARILLON_PUBLISHER_URL", error.to_string(), "the base URL of a publisher")
        })?;
        Ok(Self { forward, log, key: Mutex::default(), making: tokio::sync::Mutex::default() })
    }

    /// Has an event published, after the one that its connection sent before has its end.
    pub(crate) async fn publish(
        &self,
        relayed: &Relayed,
        turn: Option<Turn>,
    ) -> Result<Receipt, NotPublished> {
        let Some(forward) = &self.forward else {
            let message = "this gateway knows no publisher (CARILLON_PUBLISHER_URL)";
            return Err(NotPublished { retry_ms: None, ..NotPublished::unavailable(message) });
        };
        let (before, _turn) = turn.map(|Turn { before, _ended }| (before, _ended)).unzip();
        let work = async {
            if let Some(before) = before.flatten() {
                // However it ended.
                let _ = before.await;
            }
            self.ask(forward, relayed).await
        };
        let within = tokio::time::timeout(WITHIN, work).await;
        within.unwrap_or_else(|_| Err(unanswered()))
    }

    async fn ask(&self, forward: &Forward, relayed: &Relayed) -> Result<Receipt, NotPublished> {
        let name = relayed.except.as_ref().map(ConnectionName::as_str);
        let headers: Vec<(&str, &str)> =
            name.map(|name| ("x-carillon-connection", name)).into_iter().collect();
        for last in [false, true] {
            let key = self.key().await?;
            let answer = forward.post(&key, &headers, relayed.body.clone()).await.map_err(|error| {
                if let Some(times) = UNREACHABLE.due(()) {
                    tracing::warn!(%error, times, "the publisher does not answer");
                }
                unanswered()
            })?;
            // It may have ended, or somebody has revoked it.
            if answer.status == 401 && !last {
                self.forget(&key);
                continue;
            }
            return outcome(&answer);
        }
        Err(unanswered())
    }

    /// The key of this node, made if there is none that is good for a while.
    async fn key(&self) -> Result<Arc<str>, NotPublished> {
        if let Some(key) = self.known() {
            return Ok(key);
        }
        let _turn = self.making.lock().await;
        if let Some(key) = self.known() {
            return Ok(key);
        }
        self.make().await.map_err(|error| {
            if let Some(times) = NO_KEY.due(()) {
                tracing::warn!(%error, times, "no key to publish with could be stored");
            }
            NotPublished::unavailable(
                "the log takes nothing from this gateway now; try again with the same id",
            )
        })
    }

    async fn make(&self) -> Result<Arc<str>, LogError> {
        let fresh = Fresh::make().map_err(|error| LogError::Config(error.to_string()))?;
        self.log.enrol_gateway(&fresh.id, &fresh.hash).await?;
        tracing::info!(key = fresh.id, "this gateway publishes for its clients with a key of its own");
        let key: Arc<str> = fresh.text.into();
        *self.lock() = Some((Instant::now(), key.clone()));
        Ok(key)
    }

    fn known(&self) -> Option<Arc<str>> {
        self.lock().as_ref().filter(|(made, _)| made.elapsed() < KEY_USED).map(|(_, key)| key.clone())
    }

    fn forget(&self, key: &Arc<str>) {
        self.lock().take_if(|(_, known)| known == key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<str>)>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered() -> NotPublished {
    NotPublished::unavailable(
        "the publisher did not answer in time; repeat with the same id to learn what became of it",
    )
}

/// What a publisher's answer says.
fn outcome(answer: &Answer) -> Result<Receipt, NotPublished> {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: String,
    }
    if answer.status == 201
        && let Ok(receipt) = serde_json::from_slice(&answer.body)
    {
        return Ok(receipt);
    }
    let Ok(Problem { code, detail }) = serde_json::from_slice(&answer.body) else { return Err(unanswered()) };
    // Where there is no rule at all the publisher says that a capability is missing.
    let code = if code == "missing_scope" { "forbidden" } else { code.as_str() };
    let Some(code) = PASSED_ON.into_iter().find(|known| *known == code) else { return Err(unanswered()) };
    let may_pass = matches!(answer.status, 429 | 503);
    let retry_ms =
        may_pass.then(|| answer.retry_after_s.map_or(AGAIN_MS, |seconds| seconds.saturating_mul(1_000)));
    Err(NotPublished { code, message: detail, retry_ms })
}

/// The publisher's codes that say something about the event, the person or the log.
const PASSED_ON: [&str; 20] = [
    "forbidden",
    "rate_limited",
    "validation",
    "template",
    "idempotency_mismatch",
    "unknown_tenant",
    "tenant_suspended",
    "tenant_share_full",
    "caller_share_full",
    "body_share_full",
    "overloaded",
    "tenant_busy",
    "log_busy",
    "unavailable",
    "too_slow",
    "database_full",
    "database_read_only",
    "database_standby",
    "no_partition",
    "database_session",
];

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_platform::auth::{Caps, Credentials, IssuedAt};
    use carillon_protocol::UserId;
    use carillon_protocol::client::{Request, parse};

    fn answer(status: u16, retry_after_s: Option<u64>, body: &str) -> Answer {
        Answer { status, retry_after_s, body: body.to_owned().into() }
    }

    #[test]
    fn a_publishers_code_is_passed_on_by_name_and_anything_else_is_unavailable() {
        let receipt = outcome(&answer(201, None, r#"{"id":"a","seq":7,"epoch":"e1"}"#)).unwrap();
        assert_eq!((receipt.id.as_str(), receipt.seq), ("a", Seq(7)));
        let refused = |status, after, code: &str| {
            let refused = outcome(&answer(status, after, &format!(r#"{{"code":"{code}","detail":"why"}}"#)));
            refused.map_err(|why| (why.code, why.retry_ms)).unwrap_err()
        };
        assert_eq!(refused(403, None, "forbidden"), ("forbidden", None));
        assert_eq!(refused(403, None, "missing_scope"), ("forbidden", None));
        assert_eq!(refused(429, Some(1), "rate_limited"), ("rate_limited", Some(1_000)));
        assert_eq!(refused(503, Some(5), "database_full"), ("database_full", Some(5_000)));
        assert_eq!(refused(422, None, "idempotency_mismatch"), ("idempotency_mismatch", None));
        assert_eq!(refused(401, None, "credentials_invalid"), ("unavailable", Some(1_000)));
        for strange in [answer(502, None, "<html>"), answer(201, None, "{}"), answer(200, None, "")] {
            assert_eq!(outcome(&strange).unwrap_err().code, "unavailable");
        }
    }

    /// A place in the shard's table is taken again at once by whoever comes next.
    #[test]
    fn what_a_connection_that_is_gone_has_under_way_is_not_the_next_ones() {
        let (relays, tenant) = (Relays::default(), TenantId::new("acme").unwrap());
        let connection = |number| ConnectionId { shard: 0, key: 3, number };
        let gone: Vec<_> =
            (0..UNDER_WAY.per_member).map(|_| relays.begin(&tenant, connection(1)).unwrap()).collect();
        assert!(relays.begin(&tenant, connection(1)).is_err());
        assert!(relays.begin(&tenant, connection(2)).is_ok());
        drop(gone);
        assert!(relays.begin(&tenant, connection(1)).is_ok());
    }

    #[test]
    fn what_goes_to_a_publisher_names_the_person_and_always_an_id() {
        let person = Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: ["sales".to_owned()].into(),
            credentials: Credentials {
                user: UserId::new("Mi\"la").unwrap(),
                patterns: [].into(),
                caps: Caps { publish: true, admin: true },
                issued_at: IssuedAt::UNKNOWN,
                expires_at: 0,
                service: None,
            }
            .into(),
        };
        let relayed = |event: &str| {
            let text = format!(r#"{{"type":"publish","channel":"order:7","event":{event}}}"#);
            let Request::Publish(publish) = parse(&text).unwrap().request else { panic!("another frame") };
            let relayed = Relayed::new(&person, &publish, None);
            let body = serde_json::from_str::<serde_json::Value>(&relayed.body).unwrap();
            (body["event"]["id"].as_str().unwrap().to_owned(), body)
        };
        let (id, body) = relayed(r#"{"type":"note","id":"n-1","data":{"a":[1]}}"#);
        let event =
            serde_json::json!({"type": "note", "id": "n-1", "data": {"a": [1]}, "channel": "order:7"});
        let wanted =
            serde_json::json!({"tenant": "acme", "user": "Mi\"la", "roles": ["sales"], "event": event});
        assert_eq!((id.as_str(), body), ("n-1", wanted));
        let (first, body) = relayed(r#"{"type":"note"}"#);
        assert_eq!(body["event"]["id"], first.as_str());
        assert_ne!(relayed(r#"{"type":"note"}"#).0, first);
    }

    #[test]
    fn i10_so_many_are_under_way_of_a_connection_a_tenant_and_a_node() {
        let relays = Relays::default();
        let tenant = |name: &str| TenantId::new(name).unwrap();
        let connection = |number| ConnectionId { shard: 0, key: 0, number };
        let begin = |name: &str, number| relays.begin(&tenant(name), connection(number));
        let one: Vec<UnderWay> = (0..16).map(|_| begin("a", 1).unwrap()).collect();
        assert_eq!(begin("a", 1).err(), Some(Full::Member));
        let of_a: Vec<UnderWay> = (0..240).map(|n| begin("a", 2 + n / 16).unwrap()).collect();
        assert_eq!(begin("a", 99).err(), Some(Full::Group));
        // Nobody has more than is free, so that whoever comes with little finds room.
        let of_b: Vec<UnderWay> = (0..128).map(|n| begin("b", n / 16).unwrap()).collect();
        assert_eq!(begin("b", 99).err(), Some(Full::Group));
        let others: Vec<UnderWay> = (0..128).map(|n| begin(&format!("t{n}"), 0).unwrap()).collect();
        assert_eq!(begin("c", 0).err(), Some(Full::Total));
        drop((one, of_a, of_b, others));
        assert!(begin("c", 0).is_ok());
    }
}
