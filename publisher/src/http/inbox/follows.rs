//! `/v1/inbox/follows`: which further channels are in a person's inbox?
//!
//! Nobody follows by themselves: what somebody joins live is one thing, what they want to find later another.

use super::shapes::{FollowProblems, Follows, InboxMarked, InboxProblems, InboxSummary};
use super::{Mine, person};
use crate::access::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::query::{self, Query};
use crate::http::{App, list, unknown_tenant};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use carillon_backplane::log::{MOST_COUNTED, MOST_FOLLOWED};
use carillon_protocol::{Channel, TenantId};
use http::Uri;
use std::sync::Arc;

type Named = Result<Path<String>, PathRejection>;
type Answer = Result<Json<InboxMarked>, Problem>;

/// Which channels you follow.
///
/// Beside your own (`tenant`, `user:<sub>`, `role:<r>`), which need no following.
#[utoipa::path(
    get,
    path = "/v1/inbox/follows",
    operation_id = "listFollows",
    tag = "inbox",
    params(("tenant" = Option<String>, Query, description = "Required with credentials for several tenants.")),
    responses((status = 200, description = "The channels.", body = Follows), InboxProblems),
)]
pub(in crate::http) async fn follows(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Follows>, Problem> {
    let asked = Query::read(&uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
    let mine = Mine::enter(&app, &caller, asked.as_ref()).await?;
    let inbox = mine.open().await?;
    let channels = inbox.map_or_else(Vec::new, |(inbox, _)| inbox.follows);
    Ok(Json(Follows { channels: channels.into_iter().map(|(channel, _)| channel).collect() }))
}

/// Follow a channel.
///
/// Its notices are in your inbox from now on, for as long as you may read its past, which is needed for this, too.
#[utoipa::path(
    put,
    path = "/v1/inbox/follows/{channel}",
    operation_id = "followChannel",
    tag = "inbox",
    params(
        ("channel" = String, Path, description = "Which."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses((status = 200, description = "It is so.", body = InboxMarked), FollowProblems, InboxProblems),
)]
pub(in crate::http) async fn follow(
    State(app): State<Arc<App>>,
    caller: Caller,
    named: Named,
    uri: Uri,
) -> Answer {
    set(&app, &caller, named, &uri, true).await
}

/// Follow a channel no more.
///
/// What it brought is not in your inbox any more either.
#[utoipa::path(
    delete,
    path = "/v1/inbox/follows/{channel}",
    operation_id = "unfollowChannel",
    tag = "inbox",
    params(
        ("channel" = String, Path, description = "Which."),
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
    ),
    responses((status = 200, description = "It is so.", body = InboxMarked), FollowProblems, InboxProblems),
)]
pub(in crate::http) async fn unfollow(
    State(app): State<Arc<App>>,
    caller: Caller,
    named: Named,
    uri: Uri,
) -> Answer {
    set(&app, &caller, named, &uri, false).await
}

async fn set(app: &Arc<App>, caller: &Caller, named: Named, uri: &Uri, following: bool) -> Answer {
    let asked = Query::read(uri, &["tenant"])?.named("tenant", |text| TenantId::new(text))?;
    let channel = named.ok().and_then(|Path(text)| Channel::new(text).ok());
    let channel = channel.ok_or_else(|| query::invalid_because("channel", Channel::ALLOWED))?;
    let tenant = person(app, caller, asked.as_ref())?.tenant;
    if following {
        let entry = app.enter(caller, asked.as_ref())?;
        let reader = app.reads.reader(tenant.as_str(), &caller.name());
        list::allowed(app, &reader, &entry, &channel).await?;
        // What is followed counts from the head of a log, so there must be one.
        if !app.tenants.ensure(&tenant, &caller.publisher()).await? {
            return Err(unknown_tenant());
        }
    }
    let mine = Mine::enter(app, caller, Some(&tenant)).await?;
    app.health.check_writing()?;
    let Some((before, _)) = mine.open().await? else {
        return Ok(Json(InboxMarked { summary: InboxSummary::default(), up_to: None }));
    };
    // Their own channels are theirs without it.
    let is_own = mine.identity.channels().contains(&channel);
    if !is_own && !app.health.ask(app.log.follow_channel(mine.whose(), &channel, following)).await? {
        let detail = format!("you follow {MOST_FOLLOWED} channels, as many as one may; nothing was changed");
        return Err(Problem::new(Code::TooManyFollows, detail));
    }
    let (version, counts) = mine.counts(MOST_COUNTED).await?;
    if version != before.version {
        mine.tell(version, counts, |_| {});
    }
    Ok(Json(InboxMarked { summary: InboxSummary::of(version, counts), up_to: None }))
}
