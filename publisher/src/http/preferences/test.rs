//! `GET /v1/preferences/test`: would this person get it, by which means, and why not?

use super::shapes::{MeansTest, PreferenceTest};
use super::{reader, settings, whose};
use crate::access::Caller;
use crate::event::rfc3339;
use crate::http::App;
use crate::http::openapi::shapes::ProblemDocument;
use crate::http::problem::{Code, Problem};
use crate::http::query::{self, Query};
use crate::preferences::Way;
use crate::types::locale;
use axum::Json;
use axum::extract::State;
use carillon_protocol::event::Priority;
use http::Uri;
use jiff::Timestamp;
use std::sync::Arc;

/// Try preferences.
///
/// Would this person get something of this type at this time, by which means, and why not? By the same rules that decide it. Whether
/// it is addressed to them is another question. One's own with a user token; with the scope or capability `admin` those of `user`.
#[utoipa::path(
    get,
    path = "/v1/preferences/test",
    operation_id = "testPreferences",
    tag = "preferences",
    params(
        ("tenant" = Option<String>, Query, description = "Required with credentials for several tenants."),
        ("user" = Option<String>, Query, description = "Whose; required with an API key."),
        ("type" = String, Query, description = "The type of event."),
        ("at" = Option<String>, Query, description = "When: an RFC 3339 time. Left out: now."),
        ("priority" = Option<String>, Query, description = "How urgent it is: `low`, `normal`, `high`, `urgent` or `critical`. Left out: as the type says, else `normal`."),
    ),
    responses(
        (status = 200, description = "For each means whether they get it, and why.", body = PreferenceTest),
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
) -> Result<Json<PreferenceTest>, Problem> {
    let mut query = Query::read(&uri, &["tenant", "user", "type", "at", "priority"])?;
    let (tenant, user) = whose(&app, &caller, &mut query)?;
    let Some(kind) = query.take("type") else {
        let problem = Problem::new(Code::InvalidParameter, "the parameter type is required");
        return Err(problem.at(vec![query::required("type")]));
    };
    let at = query.parsed("at", rfc3339::ALLOWED, |text| text.parse().ok())?.unwrap_or_else(Timestamp::now);
    let known = |text: &str| Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    let priority = query.parsed("priority", "one of low, normal, high, urgent and critical", known)?;
    let _turn = reader(&app, &tenant, &caller).turn().await?;
    let settings = settings(&app, &tenant, Some(&user)).await?;
    let types = app.types.of(&tenant).await?;
    let says = types.get(&kind).and_then(|found| found.definition());
    let priority = priority.or(says.and_then(|says| says.priority)).unwrap_or(Priority::Normal);
    let (hours, quiet) = (settings.hours(), settings.quiet(at));
    let until = quiet.until.map(|until| until.to_string());
    let by = |way| {
        let verdict = settings.verdict(way, &kind, says, priority, quiet);
        let mut why = verdict.because.text();
        if verdict.held {
            let end = until.as_deref().unwrap_or("nobody knows when");
            why = format!("it is quiet for them until {end}; else they would get it: {why}");
        } else if verdict.on && quiet.now && way != Way::Inbox {
            why = format!("it is quiet for them, and what is critical passes: {why}");
        }
        MeansTest { gets: verdict.on && !verdict.held, held: verdict.held, why }
    };
    let reads = says.zip(settings.locale()).and_then(|(says, wanted)| locale::pick(&says.locales, wanted));
    Ok(Json(PreferenceTest {
        user: user.to_string(),
        r#type: kind.clone(),
        priority: priority.as_str(),
        at: at.to_string(),
        locale: reads.map(|(tag, _)| tag.to_owned()),
        zone: hours.zone().to_owned(),
        wall_clock: hours.wall(at).to_string(),
        quiet: quiet.now,
        quiet_until: until.clone(),
        inbox: by(Way::Inbox),
        toast: by(Way::Toast),
        desktop: by(Way::Desktop),
        webhooks: by(Way::Webhooks),
    }))
}
