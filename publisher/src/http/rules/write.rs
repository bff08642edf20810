//! How is a rule set, and how does it go?

use super::read::{no_such_rule, rule};
use super::shapes::{ChannelRule, ChannelRuleBody, RulesQuery};
use super::{owner, pattern, reader};
use crate::access::Caller;
use crate::event::fault::LISTED_FAULTS;
use crate::event::{Fault, FaultCode};
use crate::http::body;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::{App, unknown_tenant};
use crate::rules::Changed;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use carillon_backplane::log::{RuleChange, Settings, StoredRule};
use carillon_platform::rules::{self, Pattern, RULES, RULES_BYTES, RuleFault, document::FaultKind};
use http::{StatusCode, Uri};
use std::sync::Arc;

/// Set a channel rule.
///
/// From now on it decides alone for the channels of its pattern, unless another rule says more about one: the pattern with more
/// literal characters counts; with as many, the one without a `*`. A pattern that could not be told from another so is refused.
/// Connected clients are measured by it at once: who may not subscribe any more is taken out of the channel. Needs the scope
/// or the capability `admin`.
#[utoipa::path(
    put,
    path = "/v1/channel-rules/{pattern}",
    operation_id = "putChannelRule",
    tag = "rules",
    params(("pattern" = String, Path, description = "For which channels, percent-encoded: literal text in which a segment may end with `{name}`, one segment or its rest, and the whole with one `*`. `{user}` is who `self` means."), RulesQuery),
    request_body(content = ChannelRuleBody, description = "At most 1 MiB, no content-encoding, no member twice in one object."),
    responses(
        (status = 200, description = "It holds.", body = ChannelRule),
        (status = 400, description = "`invalid_json`, `invalid_body`, `invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`, `unknown_tenant`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "`request_timeout`: the body took longer than 10 s", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_rule`: every fault with its JSON pointer; nothing changed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`body_share_full`, `too_many_requests`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn put(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<ChannelRule>, Problem> {
    let (parts, sent) = request.into_parts();
    let publisher = caller.publisher();
    let judged = || {
        let owner = owner(&app, &caller, &mut Query::read(&parts.uri, &["tenant"])?)?;
        body::is_json(&parts.headers)?;
        let holder = body::holder(&publisher, owner.tenant());
        Ok(((owner, pattern(path)?), holder))
    };
    let ((owner, pattern), said, _held) =
        body::document(&app.bodies, &parts, sent, judged(), invalid).await?;
    let document = rules::read(&pattern, &said)
        .map_err(|faults| invalid(faults.into_iter().take(LISTED_FAULTS).map(fault).collect()))?;
    if let Some(tenant) = owner.tenant()
        && !app.tenants.ensure(tenant, &publisher).await?
    {
        return Err(unknown_tenant());
    }
    let stored = serde_json::to_string(&document)
        .map_err(|_| Problem::new(Code::Internal, "the rule cannot be written"))?;
    let fits = |settings: &Settings| fits(&pattern, &stored, settings);
    let _turn = reader(&app, &owner, &caller).turn().await?;
    match app.rules.change(&caller.name(), &owner, pattern.as_str(), RuleChange::Put(&stored), fits).await? {
        Changed::Yes => {
            tracing::info!(
                tenant = owner.name(),
                pattern = pattern.as_str(),
                by = caller.name(),
                "channel rule set"
            );
            Ok(Json(rule(pattern.as_str().to_owned(), document)))
        }
        Changed::NoOwner => Err(unknown_tenant()),
    }
}

/// Delete a channel rule.
///
/// Its channels are from now on for whom another rule says, or their tokens alone.
#[utoipa::path(
    delete,
    path = "/v1/channel-rules/{pattern}",
    operation_id = "deleteChannelRule",
    tag = "rules",
    params(("pattern" = String, Path, description = "The rule's pattern, percent-encoded."), RulesQuery),
    responses(
        (status = 204, description = "It is gone."),
        (status = 400, description = "`invalid_parameter`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "`credentials_missing`, `credentials_invalid`, `token_invalid`, `token_expired`, `token_revoked`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`missing_scope`, `tenant_forbidden`, `tenant_suspended`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no rule of this pattern", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_requests`: this tenant, key or user reads as much at a time as it may", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `overloaded`, `log_busy`, `too_slow`, `database_full`, `database_read_only`, `database_standby`, `database_session`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let owner = owner(&app, &caller, &mut Query::read(&uri, &["tenant"])?)?;
    let pattern = pattern(path)?;
    let is_there = |settings: &Settings| {
        let known = settings.rules.iter().any(|stored| stored.pattern == pattern.as_str());
        known.then_some(()).ok_or_else(no_such_rule)
    };
    let _turn = reader(&app, &owner, &caller).turn().await?;
    match app.rules.change(&caller.name(), &owner, pattern.as_str(), RuleChange::Delete, is_there).await? {
        Changed::Yes => {
            tracing::info!(
                tenant = owner.name(),
                pattern = pattern.as_str(),
                by = caller.name(),
                "channel rule deleted"
            );
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::NoOwner => Err(no_such_rule()),
    }
}

/// Whether a rule of this pattern that says this may stand beside those that there are.
fn fits(pattern: &Pattern, says: &str, settings: &Settings) -> Result<(), Problem> {
    let others: Vec<&str> = settings
        .rules
        .iter()
        .map(|stored| stored.pattern.as_str())
        .filter(|other| *other != pattern.as_str())
        .collect();
    if others.len() >= RULES {
        let detail = format!("there are {RULES} rules already, and no more may be");
        return Err(at_pattern(FaultCode::TooMany, detail));
    }
    let (own, beside): (Vec<&StoredRule>, Vec<&StoredRule>) =
        settings.rules.iter().partition(|stored| stored.pattern == pattern.as_str());
    let bytes = |rules: &[&StoredRule]| {
        rules.iter().map(|stored| stored.pattern.len() + stored.rule.len()).sum::<usize>()
    };
    let needs = pattern.as_str().len() + says.len();
    // One that gets no larger may always be set.
    if bytes(&beside) + needs > RULES_BYTES && needs > bytes(&own) {
        let detail = format!("with this one the rules would have more than {RULES_BYTES} bytes together");
        return Err(at_pattern(FaultCode::TooMany, detail));
    }
    let tie = others.iter().find(|other| Pattern::new(other).is_ok_and(|other| other.ties_with(pattern)));
    match tie {
        None => Ok(()),
        Some(other) => {
            let detail = format!(
                "says as much as {other} about channels that both are for: which of them counts could not be told"
            );
            Err(at_pattern(FaultCode::Conflicting, detail))
        }
    }
}

fn at_pattern(code: FaultCode, detail: String) -> Problem {
    invalid(vec![Fault::in_parameter("pattern", code, detail)])
}

fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match &faults[..] {
        [only] => format!("the rule has a fault: {}", only.detail),
        several => format!("the rule has {} faults", several.len()),
    };
    Problem::new(Code::InvalidRule, detail).at(faults)
}

fn fault(found: RuleFault) -> Fault {
    let code = match found.kind {
        FaultKind::WrongType => FaultCode::WrongType,
        FaultKind::Invalid => FaultCode::Invalid,
        FaultKind::TooMany => FaultCode::TooMany,
        FaultKind::Unknown => FaultCode::UnknownField,
    };
    Fault::at(found.pointer, code, found.detail)
}
