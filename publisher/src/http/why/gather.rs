//! What is known of the event and the person?

use super::facts;
use super::shapes::Why;
use crate::access::{Audience, Entry};
use crate::http::App;
use crate::http::list;
use crate::http::preferences;
use crate::http::problem::Problem;
use crate::why::met::{self, Met};
use crate::why::shown::Shown;
use crate::why::verdict::{self, Asked, Case};
use crate::why::{reach, sent, words};
use carillon_backplane::log::{Opened, PersonTrace, TracedEvent, TracedNotice, Untraced};
use carillon_platform::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_protocol::event::Priority;
use carillon_protocol::{DeviceId, EventId, UserId};
use jiff::Timestamp;

/// Devices and connections of a kind that are looked at.
pub(super) const MOST: usize = 50;

/// What is asked.
pub(super) struct Question {
    pub(super) event: EventId,
    pub(super) user: UserId,
    pub(super) device: Option<DeviceId>,
    /// Roles that the request names.
    pub(super) roles: Vec<String>,
    /// Who asks about themselves, and is no administrator.
    pub(super) identity: Option<Identity>,
    /// Whether they may know what others do.
    pub(super) sees_all: bool,
}

/// Reads everything and judges it.
pub(super) async fn answer(app: &App, entry: &Entry, question: Question) -> Result<Why, Problem> {
    let tenant = &entry.tenant;
    let opened = app.health.ask(app.log.open_tenant(tenant, false)).await?;
    let Some(opened) = opened else {
        return Ok(not_there(entry, question, None, Untraced::default()));
    };
    let found = app.log.trace_event(tenant, &question.event).await?;
    let known = match found {
        Some(event) if may_know(app, entry, &event, question.sees_all).await? => Some(event),
        _ => None,
    };
    let Some(event) = known else {
        let mut untraced = app.log.trace_missing(tenant, &question.event).await?;
        // Whether there is, or was, an event for others is not said.
        untraced.was = untraced.was.filter(|_| question.sees_all);
        // And by the time in an id one would find out how far the log reaches back.
        untraced.oldest = untraced.oldest.filter(|_| question.sees_all);
        return Ok(not_there(entry, question, Some(&opened), untraced));
    };
    about(app, entry, question, &opened, &event).await
}

async fn about(
    app: &App,
    entry: &Entry,
    question: Question,
    opened: &Opened,
    event: &TracedEvent,
) -> Result<Why, Problem> {
    let (tenant, user) = (&entry.tenant, &question.user);
    let device = question.device.as_ref().map(DeviceId::as_str);
    let notice = app.log.trace_notice((tenant, user), event.seq).await?;
    let person = app.log.trace_person((tenant, user), device, event.at, MOST).await?;
    let sent = match question.sees_all {
        true => sent::sent(event, &opened.epochs, app.log.trace_webhooks(tenant, event.seq).await?),
        // What a tenant's services do is none of its people's business.
        false => Vec::new(),
    };
    let (met, shown) = (
        met(app, entry, &question, (event, notice.as_ref()), &person).await?,
        shown(app, entry, user, (event, notice.as_ref())).await?,
    );
    let reach = reach::reach((event.seq, event.at, &event.channels), &opened.epochs, &person);
    let case = Case {
        asked: Asked { user, device, now: Timestamp::now(), sees_all: question.sees_all },
        id: &question.event,
        event,
        notice: notice.as_ref(),
        met: &met,
        person: &person,
        reach: &reach,
        shown: &shown,
        sent: &sent,
    };
    let verdict = case.verdict();
    Ok(Why {
        tenant: tenant.clone(),
        event: question.event.clone(),
        user: user.clone(),
        device: device.map(str::to_owned),
        verdict: verdict.as_str(),
        delivered: case.is_delivered(),
        answer: case.answer(verdict),
        seq: Some(event.seq),
        epoch: Some(opened.head.epoch.clone()),
        facts: facts::all(&case, &opened.head.epoch, question.sees_all),
    })
}

/// Whether whoever asks may know that there is this event: people who ask about themselves read what they may read of the log.
async fn may_know(app: &App, entry: &Entry, event: &TracedEvent, sees_all: bool) -> Result<bool, Problem> {
    if sees_all {
        return Ok(true);
    }
    match entry.sees(&event.channels) {
        Audience::ByRule(person) => {
            let rules = app.rules.of(&entry.tenant).await?;
            match list::reads_one(app, &rules, person, &event.channels).await {
                Ok(may) => Ok(may),
                Err(problem) if problem.code == crate::http::problem::Code::AskUnavailable => Ok(false),
                Err(problem) => Err(problem),
            }
        }
        _ => Ok(true),
    }
}

async fn met(
    app: &App,
    entry: &Entry,
    question: &Question,
    (event, notice): (&TracedEvent, Option<&TracedNotice>),
    person: &PersonTrace,
) -> Result<Vec<Met>, Problem> {
    let memberships = met::memberships(person);
    let rules = app.rules.of(&entry.tenant).await?;
    let identity = question.identity.clone().unwrap_or_else(|| {
        let mut roles: Vec<String> = met::roles(&memberships).map(str::to_owned).collect();
        roles.extend(question.roles.iter().cloned());
        let credentials = Credentials {
            user: question.user.clone(),
            patterns: Box::default(),
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: 0,
            service: None,
        };
        Identity { tenant: entry.tenant.clone(), roles: roles.into(), credentials: credentials.into() }
    });
    Ok(met::met((&event.channels, event.seq), (&identity, &rules), &memberships, notice))
}

async fn shown(
    app: &App,
    entry: &Entry,
    user: &UserId,
    (event, notice): (&TracedEvent, Option<&TracedNotice>),
) -> Result<Shown, Problem> {
    let settings = preferences::settings(app, &entry.tenant, Some(user)).await?;
    let types = app.types.of(&entry.tenant).await?;
    let says = types.get(&event.kind).and_then(|found| found.definition());
    let priority = notice.map(|notice| notice.priority.as_str()).or(event.priority.as_deref());
    let priority =
        priority.and_then(|text| Priority::ALL.into_iter().find(|priority| priority.as_str() == text));
    Ok(Shown::of(&settings, (&event.kind, says), priority, event.at))
}

/// The answer about an event that the log does not have.
fn not_there(entry: &Entry, question: Question, opened: Option<&Opened>, untraced: Untraced) -> Why {
    let verdict = verdict::of_missing(&question.event, &untraced);
    let answer = words::of_missing((&entry.tenant, &question.event), verdict, &untraced, question.sees_all);
    let answer = match question.sees_all {
        true => answer,
        false => format!("{answer} Or it is not for you."),
    };
    Why {
        tenant: entry.tenant.clone(),
        seq: untraced.was.map(|(seq, _)| seq),
        epoch: opened.map(|opened| opened.head.epoch.clone()),
        device: question.device.map(|device| device.as_str().to_owned()),
        verdict: verdict.as_str(),
        delivered: Some(false),
        facts: vec![facts::missing(&question.event, &answer, &untraced, question.sees_all)],
        answer,
        event: question.event,
        user: question.user,
    }
}
