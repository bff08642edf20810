//! `carillon disconnect`: how does an administrator put somebody out, see who is kept out, and let them in again?

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};

use super::target::http_base;
use super::{CommandError, print};
use crate::cli::DisconnectArgs;
use crate::client::rest::Rest;
use crate::client::socket::SocketError;
use crate::client::tail::printable;
use crate::info::StackInfo;
use crate::token::DEMO_TENANT;

/// Most revocations that are listed.
const MOST: usize = 1_000;
const PAGE: &str = "200";

/// At the installation that is named, or at the stack of the data folder with its own key.
pub(super) async fn run(stack: Option<StackInfo>, args: &DisconnectArgs) -> Result<(), CommandError> {
    let url = match (&args.url, &stack) {
        (Some(url), _) => http_base(url)?,
        (None, Some(stack)) => stack.lb.clone(),
        (None, None) => return Err(CommandError::Missing("--url")),
    };
    let given = args.token.as_ref().or(args.api_key.as_ref());
    let (credentials, tenant) = match (given, stack) {
        (Some(given), _) => (given.clone(), args.tenant.clone()),
        // The stack's key is for all tenants.
        (None, Some(stack)) => {
            (stack.api_key, Some(args.tenant.clone().unwrap_or_else(|| DEMO_TENANT.to_owned())))
        }
        (None, None) => return Err(CommandError::Missing("--token or --api-key")),
    };
    let rest = Rest::new(&url, &credentials, tenant.as_deref())?;
    let (answer, text) = if args.list {
        let answer = list(&rest).await?;
        let text = listed(&answer);
        (answer, text)
    } else if let Some(id) = &args.lift {
        rest.ask(Method::DELETE, &["v1", "revocations", id], &[]).await?;
        (json!({"lifted": id}), "may come in again\n".to_owned())
    } else {
        let [user, device, connection] = [&args.user, &args.device, &args.connection].map(Option::as_deref);
        let query = [("user", user), ("device", device), ("connection", connection)];
        let answer = rest.ask(Method::DELETE, &["v1", "connections"], &query).await?;
        let text = told(&answer, connection.is_some());
        (answer, text)
    };
    match args.json {
        true => print(&format!("{answer}\n")),
        false => print(&text),
    }
}

/// The revocations that hold, the first thousand; `next` if there are more.
async fn list(rest: &Rest) -> Result<Value, SocketError> {
    let mut all: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = [("limit", Some(PAGE)), ("after", after.as_deref())];
        let page = rest.ask(Method::GET, &["v1", "revocations"], &query).await?;
        all.extend(page["revocations"].as_array().into_iter().flatten().cloned());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() || all.len() >= MOST {
            return Ok(json!({"revocations": all, "next": after}));
        }
    }
}

fn told(answer: &Value, is_connection: bool) -> String {
    let closed = match answer["connections"].as_u64() {
        Some(1) => "1 connection was closed".to_owned(),
        Some(count) => format!("{count} connections were closed"),
        None => "how many connections were closed is not known while Redis is away".to_owned(),
    };
    let tokens = if is_connection { "its token stays good" } else { "tokens issued before are refused" };
    format!("{closed}; {tokens}\n")
}

fn listed(answer: &Value) -> String {
    let list = answer["revocations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = String::new();
    if list.is_empty() {
        text.push_str("nobody is kept out\n");
    }
    for one in list {
        let named = |name: &str| one[name].as_str().map(|text| format!("{name} {}", printable(text)));
        let whom: Vec<String> = ["user", "device", "connection"].into_iter().filter_map(named).collect();
        let [since, until, id] =
            ["revoked_at", "until", "id"].map(|name| one[name].as_str().unwrap_or_default());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  since {since}  until {until}  --lift {id}", whom.join(" "));
    }
    if answer["next"].is_string() {
        text.push_str("and more\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_who_is_kept_out_is_told_in_lines() {
        assert_eq!(
            told(&json!({"connections": 4}), false),
            "4 connections were closed; tokens issued before are refused\n"
        );
        assert!(told(&json!({"connections": 1}), true).starts_with("1 connection was closed; its token"));
        assert!(told(&json!({"connections": null}), false).contains("not known while Redis is away"));
        let answer = json!({"next": null, "revocations": [
            {"id": "bWls", "user": "mi\u{1b}la", "device": "phone", "connection": null, "revoked_at": "a", "until": "b"},
        ]});
        assert_eq!(listed(&answer), "user mi·la device phone  since a  until b  --lift bWls\n");
        assert_eq!(listed(&json!({"revocations": []})), "nobody is kept out\n");
    }
}
