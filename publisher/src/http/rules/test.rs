//! What would somebody be allowed, and by which rule?

use super::shapes::{ChannelRuleTest, ChannelVerdict, RulesQuery};
use super::{owner, reader};
use crate::access::Caller;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::{self, Query};
use axum::Json;
use axum::extract::State;
use carillon_backplane::log::Owner;
use carillon_platform::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_platform::rules::{Action, Because, Decision, RuleSet, Source};
use carillon_protocol::{Channel, UserId};
use http::Uri;
use std::sync::Arc;

/// Try the channel rules.
///
/// Which rule decides about a channel, and what it would allow somebody with these roles whose token has no `channels`. A rule is
/// in force for those who ask here a second after it was set, at most. Needs the scope or the capability `admin`.
#[utoipa::path(
    get,
    path = "/v1/channel-rules/test",
    operation_id = "testChannelRules",
    tag = "rules",
    params(
        ("user" = String, Query, description = "Somebody's id."),
        ("roles" = Option<String>, Query, description = "Their roles, with commas between them."),
        ("channel" = String, Query, description = "The channel."),
        RulesQuery,
    ),
    responses(
        (status = 200, description = "What they would be allowed, and why.", body = ChannelRuleTest),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn test(
    State(app): State<Arc<App>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<ChannelRuleTest>, Problem> {
    let mut query = Query::read(&uri, &["tenant", "user", "roles", "channel"])?;
    let owner = owner(&app, &caller, &mut query)?;
    let reader = reader(&app, &owner, &caller);
    let Owner::Tenant(tenant) = owner else {
        return Err(query::invalid("tenant", "a tenant: rules are tried in one"));
    };
    let missing = |name: &'static str| {
        move || {
            Problem::new(Code::InvalidParameter, format!("the parameter {name} is required"))
                .at(vec![query::required(name)])
        }
    };
    let user = query.named("user", |text| UserId::new(text))?.ok_or_else(missing("user"))?;
    let channel = query.named("channel", |text| Channel::new(text))?.ok_or_else(missing("channel"))?;
    let roles: Vec<String> = query
        .take("roles")
        .iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|role| !role.is_empty())
        .map(str::to_owned)
        .collect();
    if roles.iter().any(|role| Channel::role(role).is_err()) {
        return Err(query::invalid("roles", "names of roles with commas between them"));
    }
    let rules = {
        let _turn = reader.turn().await?;
        app.rules.of(&tenant).await?
    };
    let (roles, patterns) = (roles.into(), Box::default());
    let identity = Identity {
        tenant,
        roles,
        credentials: Credentials {
            user,
            patterns,
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: 0,
            service: None,
        }
        .into(),
    };
    Ok(Json(tried(&rules, &identity, &channel)))
}

fn tried(rules: &RuleSet, identity: &Identity, channel: &Channel) -> ChannelRuleTest {
    let found = rules.find(channel);
    let [subscribe, publish, signal, presence, history] =
        Action::ALL.map(|action| match rules.decide(action, identity, channel) {
            Decision::Allowed(Because::Token) => verdict("allowed", "it is their own channel"),
            Decision::Allowed(Because::Anyone) => verdict("allowed", "the rule says anyone"),
            Decision::Allowed(Because::Myself) => {
                verdict("allowed", "the rule says self, and they stand at {user}")
            }
            Decision::Allowed(Because::Role(role)) => {
                verdict("allowed", &format!("the rule says role:{role}"))
            }
            Decision::Ask => verdict("ask", "the rule says ask: the tenant's application would be asked"),
            Decision::Forbidden
                if rules.endpoint().is_none() && found.is_some_and(|found| found.rule.grant(action).ask) =>
            {
                verdict("forbidden", "the rule says ask, and the tenant has no authorize_url where to ask")
            }
            Decision::Forbidden if found.is_some_and(|found| found.rule.unreadable) => {
                verdict("forbidden", "this release cannot read the rule, so it gives nobody anything")
            }
            Decision::Forbidden if found.is_some() => {
                verdict("forbidden", "the rule names neither them nor a role of theirs")
            }
            Decision::Forbidden => verdict("forbidden", "there is no rule for this channel"),
        });
    ChannelRuleTest {
        channel: channel.as_str().to_owned(),
        pattern: found.map(|found| found.rule.pattern.as_str().to_owned()),
        source: found.map(|found| match found.source {
            Source::Tenant => "tenant",
            Source::Defaults => "defaults",
        }),
        subscribe,
        publish,
        signal,
        presence,
        history,
    }
}

fn verdict(verdict: &'static str, why: &str) -> ChannelVerdict {
    ChannelVerdict { verdict, why: why.to_owned() }
}
