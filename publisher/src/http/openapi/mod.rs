//! `GET /openapi.json` and `GET /asyncapi.json`: what is the contract, for programs?
//!
//! The operations are described at their handlers; the shapes requests and answers have stand in [`shapes`], which texts a
//! field takes in [`grammar`] and [`header_grammar`], and how what utoipa makes of them becomes what validation takes, in [`refine`].

mod grammar;
mod header_grammar;
mod refine;
pub(super) mod shapes;

use super::App;
use super::problem::Code;
use crate::event::FaultCode;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use carillon_protocol::asyncapi;
use http::{HeaderValue, header};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use utoipa::OpenApi;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Carillon publisher",
        version = "1",
        contact(name = "Who runs this installation"),
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "The publisher, or the balancer before it, that this document came from.")),
    paths(
        super::forms::event,
        super::forms::batch,
        super::forms::cloudevent,
        super::forms::cloudevent_batch,
        super::forms::binary_cloudevent,
        super::list::list,
        super::list::event,
        super::deliveries::deliveries,
        super::why::why,
        super::dry_run::events,
        super::dry_run::notices,
        super::position::position,
        super::latest::latest,
        super::presence::channel,
        super::presence::user,
        super::rules::read::list,
        super::rules::read::one,
        super::rules::write::put,
        super::rules::write::delete,
        super::rules::test::test,
        super::types::read::list,
        super::types::read::one,
        super::types::write::put,
        super::types::write::delete,
        super::types::preview::preview,
        super::preferences::read::own,
        super::preferences::write::own,
        super::preferences::read::defaults,
        super::preferences::write::defaults,
        super::preferences::test::test,
        super::tenant_list::tenants,
        super::tenants::read,
        super::tenants::set,
        super::webhooks::read::list,
        super::webhooks::read::one,
        super::webhooks::write::put,
        super::webhooks::write::delete,
        super::webhooks::act::enable,
        super::webhooks::act::disable,
        super::webhooks::act::rotate,
        super::webhooks::act::replay,
        super::webhooks::trial::test,
        super::webhooks::deliveries::list,
        super::webhooks::deliveries::retry,
        super::inbox::list::list,
        super::inbox::list::summary,
        super::inbox::notices::publish,
        super::inbox::status::status,
        super::inbox::status::retract,
        super::inbox::follows::follows,
        super::inbox::follows::follow,
        super::inbox::follows::unfollow,
        super::inbox::marks::read,
        super::inbox::marks::unread,
        super::inbox::marks::archive,
        super::inbox::marks::unarchive,
        super::inbox::marks::delete,
        super::inbox::marks::restore,
        super::inbox::marks::ack,
        super::inbox::marks::snooze,
        super::inbox::marks::read_all,
        super::inbox::marks::seen_all,
        super::inbox::marks::archive_all,
        super::inbox::marks::clear,
        super::tickets::issue,
        super::connections::connections,
        super::disconnect::disconnect,
        super::audit::audit,
        super::keys::all,
        super::keys::create,
        super::keys::one,
        super::keys::change,
        super::keys::rotate,
        super::keys::revoke,
        super::revocations::revocations,
        super::revocations::lift,
        super::stats::stats,
        super::activity::list,
        super::analytics::analytics,
        super::console::session::read,
        super::console::session::begin,
        super::console::session::end,
        super::console::session::link,
        super::health::all,
        super::health::analytics,
        super::health::notifications,
        super::health::events,
        super::health::websocket,
    ),
    components(schemas(shapes::Priority, shapes::StoredEvent, shapes::FaultDocument)),
    tags((name = "events", description = "The tenant's log: an acknowledged event is committed, ordered and delivered."), (name = "notices", description = "What is put into inboxes."), (name = "inbox", description = "What stands in a person's inbox, and what they do with it."), (name = "presence", description = "Who is in a channel, over all gateways together."), (name = "rules", description = "Who may do what in which channels, beyond what a token says."), (name = "webhooks", description = "HTTP endpoints that get a tenant's events, signed by Standard Webhooks."), (name = "event types", description = "What is said about types of events: texts of notices, and what data must be like."), (name = "preferences", description = "What people want to get, and when it is quiet for them."), (name = "tickets", description = "Connecting where no header can be set."), (name = "connections", description = "Who is connected."), (name = "activity", description = "What people did, as their pages say."), (name = "analytics", description = "How many events there were, by what they say."), (name = "console", description = "Signing in to the console at `/console`."), (name = "health", description = "How the parts of the installation are, why, and by which numbers."), (name = "tenants", description = "What is set for a tenant beside its channel rules."))
)]
struct Contract;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut contract = Contract::openapi();
    contract.info.description = Some(description());
    let components = contract.components.get_or_insert_default();
    let bearer = |description: &str| {
        SecurityScheme::Http(
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build(),
        )
    };
    let api_key = "An API key, `crln_<id>_<secret>`, with the scope `publish` or `read`.";
    let token = "A user token (JWT). Publishing needs the capability `publish`.";
    let header = ApiKeyValue::with_description("X-Api-Key", api_key);
    let named = [
        ("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header))),
        ("apiKeyBearer", bearer(api_key)),
        ("userToken", bearer(token)),
    ];
    let insert = |(name, scheme): (&str, SecurityScheme)| (name.to_owned(), scheme.into());
    components.security_schemes.extend(named.map(insert));
    let nothing: [&str; 0] = [];
    let schemes = ["apiKey", "apiKeyBearer", "userToken"];
    contract.security = Some(schemes.map(|scheme| SecurityRequirement::new(scheme, nothing)).to_vec());
    let mut document = serde_json::to_value(&contract).unwrap_or_default();
    refine::refine(&mut document);
    document.to_string()
});

/// The prose of the document, with every code there is.
fn description() -> String {
    let mut text = String::from(
        "Publish events and read a tenant's log; events as they happen are described in `/asyncapi.json`. Errors are `application/problem+json` (RFC 9457) with a stable `code`; \
         a 503 carries `Retry-After`. Every answer carries `X-Request-Id`.\n\n\
         ## Problem codes\n\n| status | code | meaning |\n|---|---|---|\n",
    );
    for (code, meaning) in Code::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | `{}` | {} |", code.status().as_u16(), code.as_str(), meaning.trim());
    }
    text.push_str("\n## Fault codes (`errors[].code`)\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in FaultCode::ALL {
        let _ = writeln!(text, "| `{}` | {} |", code.as_str(), meaning.trim());
    }
    text
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(async || json(&DOCUMENT)))
        .route("/asyncapi.json", get(async || json(asyncapi::DOCUMENT)))
}

fn json(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Every response names its problems: codes of that status and no others, and of all operations together every code.
    #[test]
    fn a_response_names_the_problems_that_have_its_status() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let mut told = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    if !response["content"]["application/problem+json"].is_object() {
                        continue;
                    }
                    let words = response["description"].as_str().unwrap().split('`').skip(1).step_by(2);
                    let codes: Vec<_> = words
                        .filter_map(|word| Code::ALL.iter().find(|(code, _)| code.as_str() == word))
                        .map(|(code, _)| *code)
                        .collect();
                    assert!(!codes.is_empty(), "{method} {path} {status} names no problem");
                    for code in codes {
                        assert_eq!(code.status().as_str(), status, "{method} {path} {}", code.as_str());
                        told.insert(code.as_str());
                    }
                }
            }
        }
        // No operation has this one: it is about methods that are none.
        told.insert(Code::MethodNotAllowed.as_str());
        let all: BTreeSet<&str> = Code::ALL.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(told, all);
    }

    #[test]
    fn rules_are_tried_in_one_tenant_and_set_for_all() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        for (path, expected) in [("test", grammar::tenant()), ("{pattern}", grammar::tenant_or_all())] {
            let parameters = &document["paths"][format!("/v1/channel-rules/{path}")]["get"]["parameters"];
            let tenant =
                parameters.as_array().unwrap().iter().find(|parameter| parameter["name"] == "tenant");
            assert_eq!(tenant.unwrap()["schema"]["pattern"], expected, "{path}");
        }
    }

    /// The contract in words has the same codes with the same statuses, and each status but 405 is an operation's.
    #[test]
    fn the_contract_in_words_names_the_same_problems() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md")).unwrap();
        let section = page.split("\n### ").find(|text| text.starts_with("Codes of REST\n")).unwrap();
        let table = section.split("\n\n").find(|text| text.starts_with("| status | code |")).unwrap();
        let mut named = BTreeSet::new();
        for row in table.lines().skip(2) {
            let cells: Vec<&str> = row.split('|').collect();
            let statuses: Vec<&str> = cells[1].split('·').map(str::trim).collect();
            // A row of several statuses has as many parts, one for each; headers stand in them, too.
            let parts: Vec<&str> =
                if statuses.len() > 1 { cells[2].split('·').collect() } else { vec![cells[2]] };
            assert_eq!(statuses.len(), parts.len(), "{row}");
            for (status, part) in statuses.iter().zip(parts) {
                let words = part.split('`').skip(1).step_by(2);
                let codes = words.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
                named.extend(codes.map(|code| ((*status).to_owned(), code.to_owned())));
            }
        }
        let all =
            Code::ALL.iter().map(|(code, _)| (code.status().as_str().to_owned(), code.as_str().to_owned()));
        assert_eq!(named, all.collect());
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                // Linters ask for one.
                let description = operation["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{method} {path} has no description");
                // Whatever it asks for, its head may be too large and its credentials none.
                for status in ["400", "401", "403", "431", "500", "503"] {
                    assert!(operation["responses"].get(status).is_some(), "{method} {path} has no {status}");
                }
            }
        }
    }
}
