//! `carillon who CHANNEL` and `carillon who --user USER`: who is in a channel, and where is somebody?

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::target::http_base;
use super::{CommandError, print};
use crate::cli::WhoArgs;
use crate::client::presence::{Subject, ask};
use crate::client::tail::{brief, printable};
use crate::info::StackInfo;
use crate::token::DEMO_TENANT;

/// Characters of a line.
const WIDTH: usize = 100;
/// Characters of the longest name that has a column.
const NAME: usize = 24;

/// Asks the installation, or the stack of the data folder with its own key.
pub(super) async fn run(
    stack: Option<StackInfo>,
    args: &WhoArgs,
    subject: Subject<'_>,
) -> Result<(), CommandError> {
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
    let answer = ask(&url, &credentials, tenant.as_deref(), subject).await?;
    match args.json {
        true => print(&format!("{answer}\n")),
        false => print(&render(&answer, subject, &TimeZone::system())),
    }
}

/// Some lines of at most [`WIDTH`] characters.
fn render(answer: &Value, subject: Subject<'_>, zone: &TimeZone) -> String {
    let (head, list, name) = match subject {
        Subject::Channel(channel) => {
            let count = answer["count"].as_u64().unwrap_or_default();
            let people = if count == 1 { "person" } else { "people" };
            (format!("{count} {people} in {}", printable(channel)), &answer["members"], "user")
        }
        Subject::User(user) => {
            let is_in = if answer["present"] == true { "is in" } else { "is in no channel that you see" };
            (format!("{} {is_in}", printable(user)), &answer["channels"], "channel")
        }
    };
    let stale = if answer["stale"] == true { ", as it was before Redis went away" } else { "" };
    let mut text = format!("{head}{stale}\n");
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let width = list.iter().filter_map(|one| one[name].as_str()).map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default().min(NAME);
    for one in list {
        let name = printable(one[name].as_str().unwrap_or_default()).into_owned();
        let since = one["since"].as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let since = since.map(|time| time.to_zoned(zone.clone()).strftime("%F %T").to_string());
        let mut line = format!("  {name:width$}  since {}", since.unwrap_or_default());
        if !one["meta"].is_null() {
            let room = WIDTH.saturating_sub(line.chars().count() + 2);
            // Writing to a String cannot fail.
            let _ = write!(line, "  {}", brief(&one["meta"], room));
        }
        text.extend(line.chars().take(WIDTH));
        text.push('\n');
    }
    if answer["next"].is_string() {
        text.push_str("  and more\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_are_told_one_a_line_within_a_hundred_columns() {
        let answer = json!({"channel": "branch:1", "count": 3, "stale": true, "next": "x", "members": [
            {"user": "mila", "since": 1_795_955_237_899_u64, "meta": {"desk": 4, "text": "x".repeat(500)}},
            {"user": "an\u{1b}a", "since": 1_795_955_240_113_u64},
            {"user": "u".repeat(128), "since": 1_795_955_240_113_u64, "meta": "away"},
        ]});
        let text = render(&answer, Subject::Channel("branch:1"), &TimeZone::UTC);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "3 people in branch:1, as it was before Redis went away");
        assert!(lines[1].starts_with("  mila"), "{text}");
        assert!(lines[1].contains("since 2026-11-29 ") && lines[1].contains("desk=4"), "{text}");
        assert!(lines[2].starts_with("  an·a ") && lines[4] == "  and more", "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
        let nowhere = json!({"user": "mila", "present": false, "channels": []});
        let text = render(&nowhere, Subject::User("mila"), &TimeZone::UTC);
        assert_eq!(text, "mila is in no channel that you see\n");
    }
}
