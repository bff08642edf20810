//! Who comes in, into which tenant, and where in its log do they begin?
//!
//! The same for a token in the handshake and for one in the first frame. Whoever is refused gets a named reason, as an
//! HTTP status before the upgrade, as a close code after it.

mod refusal;
#[cfg(test)]
pub(crate) mod testkit;

pub(crate) use refusal::Refusal;

use crate::inbox::Inboxes;
use crate::limits::{Arriving, Limits};
use crate::resume::{Claimed, CursorChecks, Sight, resume};
use crate::services::{Service, Services};
use crate::shard::{PRESENCE_CHANNELS, Shards};
use crate::stream::Stream;
use crate::stream::feed::Streams;
use crate::tickets::{Admits, Tickets};
use crate::verdicts::{May, Verdicts};
use carillon_backplane::log::Log;
use carillon_platform::ask::{Asker, Question};
use carillon_platform::auth::{AuthError, Claims, Identity, Verifier, ticket};
use carillon_platform::rules::{Action, RuleSet};
use carillon_platform::share::{AddressGroup, Holder};
use carillon_protocol::client::{ClientFrame, ConnectParameters};
use carillon_protocol::limits::CHANNELS_PER_CONNECTION;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{
    Channel, ChannelPattern, CloseCode, DeviceId, Epoch, Seq, SettingsVersion, TenantId, TypeFilter,
};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// Somebody who may come in.
pub(crate) struct Authorized {
    pub(crate) identity: Identity,
    pub(crate) stream: Arc<Stream>,
    /// What they asked for beyond their own channels; all allowed.
    pub(crate) channels: Vec<Channel>,
    pub(crate) resume: Resume,
    /// By which rules these channels were allowed; none when the token allows all of them.
    pub(crate) rules: Option<SettingsVersion>,
    /// What the tenant's application said about them.
    pub(crate) verdicts: Verdicts,
    /// What they call the device they come from.
    pub(crate) device: Option<DeviceId>,
    /// Which types of events they want of all these channels and their own.
    pub(crate) types: Option<Arc<TypeFilter>>,
    /// What their token says about them to whoever sees who is there.
    pub(crate) meta: Option<Arc<str>>,
    /// Whether they are told who is in these channels.
    pub(crate) presence: bool,
    /// How much of their inbox is unread, if they asked for it: JSON.
    pub(crate) inbox: Option<Box<RawValue>>,
    /// Their place among the tenant's connections, until they are one of them; there if these have a limit.
    pub(crate) arriving: Option<Arriving>,
    /// All that they want: the answer to this frame.
    pub(crate) command: Option<Box<ClientFrame>>,
    /// The credentials, if they are good for several tenants.
    pub(crate) bearer: Option<Arc<Bearer>>,
    /// Whether a client of Socket.IO goes on where it was.
    pub(crate) recovered: Recovered,
}

/// What a client of Socket.IO has again that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Recovered {
    /// Nothing.
    #[default]
    Nothing,
    /// Its position, in the channels that it names itself.
    Position,
    /// Its position, in the channels that were kept.
    Rooms,
}

#[cfg(test)]
impl Authorized {
    /// Somebody who wants nothing beside these channels.
    pub(crate) fn plain(
        identity: Identity,
        stream: Arc<Stream>,
        channels: Vec<Channel>,
        resume: Resume,
    ) -> Self {
        Self {
            identity,
            stream,
            channels,
            resume,
            rules: None,
            verdicts: Verdicts::default(),
            device: None,
            types: None,
            meta: None,
            presence: false,
            inbox: None,
            command: None,
            arriving: None,
            bearer: None,
            recovered: Recovered::Nothing,
        }
    }
}

/// Where a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resume {
    /// At the head.
    Fresh,
    /// After this event, in this epoch of the log.
    From { epoch: Epoch, seq: Seq },
    /// At the head, because the given cursor cannot be honoured.
    Reset(ResetReason),
}

/// Somebody whose credentials are proven, not yet in any tenant.
#[derive(Debug, Clone)]
pub(crate) enum Bearer {
    /// With a user token.
    Person(Box<Claims>),
    /// With an API key.
    Service(Service),
    /// With a ticket, which is for one tenant.
    Ticket(Box<Identity>),
}

impl Bearer {
    fn meta(&self) -> Option<Arc<str>> {
        match self {
            Self::Person(claims) => claims.meta().map(Arc::from),
            // A ticket says who somebody is in one tenant, not what others see of them.
            Self::Service(_) | Self::Ticket(_) => None,
        }
    }

    /// Whether there is more than one tenant that these let somebody into.
    pub(crate) fn is_for_several(&self) -> bool {
        match self {
            Self::Person(claims) => claims.names_several_tenants(),
            Self::Service(service) => service.is_for_all_tenants(),
            Self::Ticket(_) => false,
        }
    }

    /// Whose it is what they send before it is known into which tenant they go: a share of that of the only tenant they may come
    /// into, else their own.
    pub(crate) fn holder(&self) -> Holder {
        let member = match self {
            Self::Person(claims) => format!("user {}", claims.user()),
            Self::Service(service) => format!("key {}", service.key()),
            Self::Ticket(identity) => format!("user {}", identity.user),
        };
        let only = if self.is_for_several() { None } else { self.enter(None).ok() };
        let group = only.map_or_else(|| member.clone(), |only| format!("tenant {}", only.tenant));
        Holder::new(group, member)
    }

    /// Who they are in a tenant.
    pub(crate) fn enter(&self, tenant: Option<&TenantId>) -> Result<Identity, AuthError> {
        match self {
            Self::Person(claims) => claims.enter(tenant),
            Self::Service(service) => service.enter(tenant),
            Self::Ticket(identity) => match tenant {
                Some(other) if *other != identity.tenant => Err(AuthError::TenantForbidden),
                _ => Ok((**identity).clone()),
            },
        }
    }
}

/// Checks tokens and opens streams.
#[derive(Clone)]
pub(crate) struct Authorizer {
    verifier: Arc<Verifier>,
    services: Arc<Services>,
    tickets: Arc<Tickets>,
    streams: Streams,
    checks: CursorChecks,
    asker: Asker,
    limits: Limits,
    inboxes: Inboxes,
}

impl Authorizer {
    pub(crate) fn new(verifier: Verifier, streams: Streams, log: Log, asker: Asker, limits: Limits) -> Self {
        let services = Arc::new(Services::new(log.clone()));
        let (verifier, tickets) = (Arc::new(verifier), Arc::new(Tickets::new(log.clone())));
        let inboxes = Inboxes::new(log.clone());
        Self { verifier, services, tickets, streams, checks: CursorChecks::new(log), asker, limits, inboxes }
    }

    /// Who asks the tenants' applications.
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Ends the connections of API keys that have ended, until the node stops.
    pub(crate) fn watch_keys(
        &self,
        shards: Shards,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        self.services.clone().watch(shards, stop)
    }

    /// Who has these credentials, if they are to be believed: a user token, an API key or a ticket, from this address.
    pub(crate) async fn verify(&self, credentials: &str, from: AddressGroup) -> Result<Bearer, Refusal> {
        if ticket::read(credentials).is_some() {
            return self.redeem(credentials, from).await;
        }
        if Services::is_key(credentials) {
            return self.services.prove(credentials, from).await.map(Bearer::Service);
        }
        let claims = self.verifier.verify(credentials, SystemTime::now()).await?;
        Ok(Bearer::Person(Box::new(claims)))
    }

    /// Whom this ticket lets in, from this address.
    pub(crate) async fn redeem(&self, ticket: &str, from: AddressGroup) -> Result<Bearer, Refusal> {
        match self.tickets.redeem(ticket, from).await? {
            Admits::Person(identity) => Ok(Bearer::Ticket(Box::new(identity))),
            Admits::Key(ticket) => self.services.by_ticket(ticket).await.map(Bearer::Service),
        }
    }

    /// Takes a place among the connections of their tenant for somebody who was let in, if these have a limit.
    pub(crate) async fn take_place(&self, mut authorized: Authorized) -> Result<Authorized, Refusal> {
        if let Some(limit) = authorized.stream.rules().limits().connections {
            let place = self.limits.enter(&authorized.stream, limit).await;
            authorized.arriving = Some(place.ok_or_else(Refusal::limited)?);
        }
        Ok(authorized)
    }

    /// Lets somebody in whose credentials are proven: with all they asked for, or not at all.
    pub(crate) async fn admit(
        &self,
        bearer: &Bearer,
        hello: ConnectParameters,
    ) -> Result<Authorized, Refusal> {
        let kept = || bearer.is_for_several().then(|| Arc::new(bearer.clone()));
        self.attach(bearer, hello).await.map(|admitted| Authorized { bearer: kept(), ..admitted })
    }

    /// Lets somebody who is in one tenant into another, likewise.
    pub(crate) async fn attach(
        &self,
        bearer: &Bearer,
        mut hello: ConnectParameters,
    ) -> Result<Authorized, Refusal> {
        let mut identity = bearer.enter(hello.tenant.as_ref())?;
        if identity.service.is_some() {
            if hello.channels.is_empty() && hello.patterns.is_empty() {
                (hello.channels, hello.patterns) = everything();
            }
            Arc::make_mut(&mut identity.credentials).patterns = hello.patterns.into();
        } else if !hello.patterns.is_empty() {
            let message = "channels: a pattern needs an API key; a user token names each channel";
            return Err(Refusal::new("invalid_query", message, 400, CloseCode::ProtocolError));
        }
        let own = identity.channels();
        let more = hello.channels.iter().filter(|channel| !own.contains(channel)).count();
        if own.len() + more > CHANNELS_PER_CONNECTION {
            let message =
                format!("a connection may be in {CHANNELS_PER_CONNECTION} channels, its own included");
            return Err(Refusal::new("too_many_channels", message, 400, CloseCode::ProtocolError));
        }
        let stream = self.streams.open(&identity.tenant).await?;
        if stream.rules().is_suspended() {
            return Err(Refusal::suspended());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if stream.rules().revoked().refuses(&identity, hello.device.as_ref(), now) {
            return Err(Refusal::revoked());
        }
        let by_rule: Vec<Channel> =
            hello.channels.iter().filter(|channel| !identity.may_read(channel)).cloned().collect();
        let rules = (!by_rule.is_empty()).then(|| stream.rules());
        let presence = hello.presence.unwrap_or(false);
        let device = hello.device.as_ref();
        let mut shown = Verdicts::default();
        if presence {
            shown = self.shown(&stream.rules(), &identity, &hello.channels, device).await?;
        }
        let mut verdicts = Verdicts::default();
        if let Some(rules) = &rules {
            verdicts = self.permitted(rules, Action::Subscribe, &identity, &by_rule, device).await?;
        }
        let cursor = Claimed { since: hello.since, epoch: hello.epoch, last: hello.last };
        let known = stream.rules();
        let sight = Sight { identity: &identity, rules: &known, joined: &by_rule };
        let resume = match resume(&self.streams, &self.checks, &stream, cursor, sight).await? {
            // What was missed is the past of these channels; who has missed nothing goes on.
            Resume::From { epoch, seq } if !is_at_head(&stream, &epoch, seq) => {
                let past = match &rules {
                    Some(rules) => self.permitted(rules, Action::History, &identity, &by_rule, device).await,
                    None => Ok(Verdicts::default()),
                };
                after_the_past(past, Resume::From { epoch, seq })?
            }
            resume => resume,
        };
        let inbox = match hello.inbox {
            Some(true) => self.inboxes.summary(&identity, &stream.rules()).await,
            _ => None,
        };
        let rules = rules.map(|rules| rules.version());
        // One setting's only; what another one said is asked again.
        let verdicts = match (shown.is_empty(), verdicts.is_empty()) {
            (true, _) => verdicts,
            (_, true) => shown,
            _ => shown.after(verdicts, Duration::ZERO),
        };
        let types = hello.types.map(Arc::new);
        let (channels, device, meta) = (hello.channels, hello.device, bearer.meta());
        let (command, bearer) = (None, None);
        Ok(Authorized {
            identity,
            stream,
            channels,
            resume,
            rules,
            verdicts,
            device,
            types,
            meta,
            presence,
            inbox,
            command,
            arriving: None,
            bearer,
            recovered: Recovered::Nothing,
        })
    }

    /// Refuses who wants to be told who is in channels without a rule that shows it; what the application says of those that are
    /// left to it.
    async fn shown(
        &self,
        rules: &RuleSet,
        identity: &Identity,
        channels: &[Channel],
        device: Option<&DeviceId>,
    ) -> Result<Verdicts, Refusal> {
        let bad = |code, message: String| Refusal::new(code, message, 400, CloseCode::ProtocolError);
        if channels.is_empty() {
            let message = "presence: name the channels in which you want to see who is there";
            return Err(bad("invalid_query", message.into()));
        }
        if channels.len() > PRESENCE_CHANNELS {
            let message = format!("presence: a connection sees who is in {PRESENCE_CHANNELS} channels");
            return Err(bad("too_many_channels", message));
        }
        self.permitted(rules, Action::Presence, identity, channels, device).await
    }

    /// Whether the rules let somebody do this in all of these channels, which the token does not open, and what the tenant's
    /// application says where they leave it to that.
    async fn permitted(
        &self,
        rules: &RuleSet,
        action: Action,
        identity: &Identity,
        channels: &[Channel],
        device: Option<&DeviceId>,
    ) -> Result<Verdicts, Refusal> {
        let of = |wanted: May, verdicts: &Verdicts| -> Vec<Channel> {
            let is = |channel: &&Channel| verdicts.may(rules, action, identity, channel) == wanted;
            channels.iter().filter(is).cloned().collect()
        };
        let nothing_said = Verdicts::default();
        forbidden(of(May::No, &nothing_said))?;
        let (left_to_it, Some(endpoint)) = (of(May::Ask, &nothing_said), rules.endpoint()) else {
            return Ok(nothing_said);
        };
        let question = |channel: &Channel| (Question::new(identity, channel, action, device), 0);
        let said = self.asker.ask_all(endpoint, left_to_it.iter().map(question).collect()).await;
        let verdicts = Verdicts::new(endpoint.generation(), said);
        forbidden(of(May::No, &verdicts))?;
        let silent = of(May::Unavailable, &verdicts);
        if silent.is_empty() {
            return Ok(verdicts);
        }
        let message = format!("the application gave no verdict on {}; come back soon", some(&silent));
        Err(Refusal { channels: silent, ..Refusal::unavailable(message) })
    }
}

/// Where somebody begins who would go on like this, when this is what is said of the past of their channels.
fn after_the_past(said: Result<Verdicts, Refusal>, resume: Resume) -> Result<Resume, Refusal> {
    match said {
        Ok(_) => Ok(resume),
        // Whoever comes back soon still gets what was missed.
        Err(refusal) if refusal.code == "unavailable" => Err(refusal),
        Err(_) => Ok(Resume::Reset(ResetReason::HistoryForbidden)),
    }
}

/// Whether somebody with this cursor has missed nothing.
fn is_at_head(stream: &Stream, epoch: &Epoch, seq: Seq) -> bool {
    let (life, head) = stream.position();
    life.epoch == *epoch && seq >= head
}

/// The refusal of those who may not have some channels, if there are any.
fn forbidden(channels: Vec<Channel>) -> Result<(), Refusal> {
    if channels.is_empty() {
        return Ok(());
    }
    let message = format!("neither the token nor a rule allows {}", some(&channels));
    let refusal = Refusal::new("forbidden", message, 403, CloseCode::Forbidden);
    Err(Refusal { channels, ..refusal })
}

/// What names every channel of a tenant: the reserved ones need patterns that name them.
fn everything() -> (Vec<Channel>, Vec<ChannelPattern>) {
    let patterns = ["*", "user:*", "role:*"].iter().filter_map(|text| ChannelPattern::new(text).ok());
    (vec![Channel::tenant()], patterns.collect())
}

/// The first of some channels, in words; the whole list stands beside it.
pub(crate) fn some(channels: &[Channel]) -> String {
    const NAMED: usize = 3;
    let names: Vec<&str> = channels.iter().take(NAMED).map(Channel::as_str).collect();
    let rest = channels.len().saturating_sub(NAMED);
    if rest == 0 { names.join(", ") } else { format!("{} and {rest} more", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_no_to_the_past_costs_a_backlog() {
        let from = Resume::From { epoch: Epoch::new("e1").unwrap(), seq: Seq(7) };
        assert_eq!(after_the_past(Ok(Verdicts::default()), from.clone()), Ok(from.clone()));
        let no = forbidden(vec![Channel::tenant()]).unwrap_err();
        let reset = Resume::Reset(ResetReason::HistoryForbidden);
        assert_eq!(after_the_past(Err(no), from.clone()), Ok(reset));
        let silent = Refusal::unavailable("no verdict");
        assert_eq!(after_the_past(Err(silent.clone()), from), Err(silent));
    }

    #[test]
    fn everything_is_every_channel_there_can_be() {
        let (channels, patterns) = everything();
        for name in
            ["tenant", "user:mila", "user:Mila Kova\u{10d}", "role:head", "contact:1", "order", "users"]
        {
            let channel = Channel::new(name).unwrap();
            let allowed =
                channels.contains(&channel) || patterns.iter().any(|pattern| pattern.allows(&channel));
            assert!(allowed, "{name}");
        }
        assert_eq!(patterns.len(), 3);
    }
}
