//! `/v1/inbox`: what stands in a person's inbox, and what do they do with it?
//!
//! | module | question it answers |
//! |---|---|
//! | `list` | which entries are there, and how many are unread? |
//! | `marks` | what does a person do with one entry, and with all of them? |
//! | `follows` | which further channels are in it? |
//! | `stamp` | does somebody have this answer already? |
//! | `shapes` | how do requests and answers look? |
//! | `notices` | `POST /v1/notices` |
//! | `status` | what became of a notice, and how is it taken back? |

pub(super) mod follows;
pub(super) mod list;
pub(super) mod marks;
pub(super) mod notices;
pub(super) mod shapes;
mod stamp;
pub(super) mod status;

use super::problem::{Code, Problem};
use super::{App, no_entry, unknown_tenant};
use crate::access::{Caller, TenantFault};
use crate::batcher::Publisher;
use axum::Router;
use axum::routing::{get, post};
use carillon_backplane::log::{Counts, Inbox, MOST_COUNTED, Sight};
use carillon_platform::auth::{AuthError, Identity};
use carillon_platform::rules::{Action, Decision};
use carillon_platform::share::FairPermit;
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, Seq, TenantId, UserId};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Who a frame is of that no person has sent.
const SERVICE: &str = "service";
/// How often an answer is made again because the person did something meanwhile.
const TRIES: usize = 5;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/notices", post(notices::publish))
        .route("/v1/notices/{id}", get(status::status).delete(status::retract))
        .route("/v1/inbox/follows", get(follows::follows))
        .route("/v1/inbox/follows/{channel}", axum::routing::put(follows::follow).delete(follows::unfollow))
        .route("/v1/inbox", get(list::list))
        .route("/v1/inbox/summary", get(list::summary))
        .route("/v1/inbox/read-all", post(marks::read_all))
        .route("/v1/inbox/seen-all", post(marks::seen_all))
        .route("/v1/inbox/archive-all", post(marks::archive_all))
        .route("/v1/inbox/clear", post(marks::clear))
        .route("/v1/inbox/{seq}", axum::routing::delete(marks::delete).put(marks::restore))
        .route("/v1/inbox/{seq}/read", post(marks::read))
        .route("/v1/inbox/{seq}/unread", post(marks::unread))
        .route("/v1/inbox/{seq}/archive", post(marks::archive))
        .route("/v1/inbox/{seq}/unarchive", post(marks::unarchive))
        .route("/v1/inbox/{seq}/snooze", post(marks::snooze))
        .route("/v1/inbox/{seq}/ack", post(marks::ack))
}

/// Somebody at their inbox, in a turn of their own.
struct Mine {
    app: Arc<App>,
    identity: Identity,
    publisher: Publisher,
    _turn: FairPermit,
}

impl Mine {
    /// The person whose token this is, in the tenant that they name.
    async fn enter(app: &Arc<App>, caller: &Caller, asked: Option<&TenantId>) -> Result<Self, Problem> {
        let identity = person(app, caller, asked)?;
        let turn = app.reads.reader(identity.tenant.as_str(), &caller.name()).turn().await?;
        Ok(Self { app: app.clone(), identity, publisher: caller.publisher(), _turn: turn })
    }

    fn whose(&self) -> (&TenantId, &UserId) {
        (&self.identity.tenant, &self.identity.user)
    }

    /// Where their inbox stands, and which channels it is of. Whoever looks before anything was ever sent in the tenant is seen for the
    /// first time all the same, so there must be a log whose head they begin at. None: it was removed a moment ago.
    async fn open(&self) -> Result<Option<(Inbox, Sight)>, Problem> {
        let (tenant, user) = self.whose();
        let mut found = self.app.health.ask(self.app.log.inbox(tenant, user)).await?;
        if found.is_none() {
            if !self.app.tenants.ensure(tenant, &self.publisher).await? {
                return Err(unknown_tenant());
            }
            found = self.app.health.ask(self.app.log.inbox(tenant, user)).await?;
        }
        let Some(inbox) = found else { return Ok(None) };
        let rules = match inbox.follows.is_empty() {
            true => None,
            false => Some(self.app.rules.of(tenant).await?),
        };
        // Who follows a channel was let; what is asked of the application then is not asked again.
        let may_follow = |channel: &Channel| {
            let by_rule = |rules: &Arc<carillon_platform::rules::RuleSet>| {
                rules.decide(Action::History, &self.identity, channel) != Decision::Forbidden
            };
            self.identity.may_read(channel) || rules.as_ref().is_some_and(by_rule)
        };
        let sight = Sight::of(user, &self.identity.channels(), &inbox, may_follow);
        Ok(Some((inbox, sight)))
    }

    /// Tells the person's devices that their inbox has moved.
    fn tell<'a>(&self, version: u64, counts: Counts, how: impl FnOnce(&mut Moved<'a>)) {
        let (tenant, user) = self.whose();
        let mut moved = Moved::default();
        how(&mut moved);
        let Moved { read_to, seen_to, archived_to, cleared_to, changed, stale } = moved;
        let Counts { unread, unseen, more } = counts;
        let (version, unread, unseen) = (Some(version), Some(unread), Some(unseen));
        let frame = ServerFrame::Inbox {
            version,
            unread,
            unseen,
            more,
            read_to,
            seen_to,
            archived_to,
            cleared_to,
            changed,
            retracted: None,
            stale,
        };
        self.app.inbox_news.tell(tenant, Channel::user(user), user, &frame);
    }

    /// How much is unread, with the version that it is of.
    async fn counts(&self, most: usize) -> Result<(u64, Counts), Problem> {
        for _ in 0..TRIES {
            let Some((inbox, sight)) = self.open().await? else { break };
            let counted = self.app.log.inbox_counts(self.whose(), &inbox, &sight, most).await?;
            if let Some((counts, _)) = counted {
                return Ok((inbox.version, counts));
            }
        }
        Err(restless())
    }
}

/// What devices hear of a person's inbox, beside its version and counts.
#[derive(Default)]
struct Moved<'a> {
    read_to: Option<Seq>,
    seen_to: Option<Seq>,
    archived_to: Option<Seq>,
    cleared_to: Option<Seq>,
    changed: Option<&'a RawValue>,
    stale: bool,
}

/// Tells the person's devices that other types stand in their inbox now.
pub(super) async fn tell_own(app: &Arc<App>, caller: &Caller, tenant: &TenantId) -> Result<(), Problem> {
    let mine = Mine::enter(app, caller, Some(tenant)).await?;
    let (version, counts) = mine.counts(MOST_COUNTED).await?;
    mine.tell(version, counts, |frame| frame.stale = true);
    Ok(())
}

/// The same where nobody knows what is in their inbox, for that depends on their roles; without a version, everybody in the tenant.
pub(super) fn tell_stale(app: &App, tenant: &TenantId, user: Option<(&UserId, u64)>) {
    let Some(service) = UserId::new(SERVICE).ok() else { return };
    let channel = user.map_or_else(Channel::tenant, |(user, _)| Channel::user(user));
    let frame = ServerFrame::Inbox {
        version: user.map(|(_, version)| version),
        unread: None,
        unseen: None,
        more: false,
        read_to: None,
        seen_to: None,
        archived_to: None,
        cleared_to: None,
        changed: None,
        retracted: None,
        stale: true,
    };
    app.inbox_news.tell(tenant, channel, &service, &frame);
}

/// The person whose token it is.
fn person(app: &App, caller: &Caller, tenant: Option<&TenantId>) -> Result<Identity, Problem> {
    let Caller::User(claims) = caller else {
        let detail = "an inbox is a person's: send their user token";
        return Err(Problem::new(Code::MissingScope, detail));
    };
    let identity = claims.enter(tenant).map_err(|error| match error {
        AuthError::TenantRequired => no_entry(TenantFault::Required),
        AuthError::Revoked => no_entry(TenantFault::Revoked),
        _ => no_entry(TenantFault::Forbidden),
    })?;
    app.is_open(caller, &identity.tenant)?;
    Ok(identity)
}

fn restless() -> Problem {
    Problem::new(Code::LogBusy, "the inbox changes while it is read; try again")
}
