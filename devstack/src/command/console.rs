//! `carillon console`: where is the console, with a link that signs in?

use std::time::Duration;

use super::{CommandError, print, say};
use crate::info::StackInfo;

/// Longest wait for the publisher.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(info: &StackInfo) -> Result<(), CommandError> {
    let link = link(info).await;
    if link.is_none() {
        say("the publisher gave no code that signs in; sign in with the API key");
    }
    print(&format!("{}\n", link.unwrap_or_else(|| plain(info))))
}

/// The console without a code.
pub(super) fn plain(info: &StackInfo) -> String {
    format!("{}/console", info.lb)
}

/// A link that works once, for a quarter of an hour; none if no publisher gives one.
pub(super) async fn link(info: &StackInfo) -> Option<String> {
    let http = crate::http::client(|client| client.timeout(PATIENCE)).ok()?;
    let asked = http.post(format!("{}/v1/console/links", info.publisher)).bearer_auth(&info.api_key);
    let answer: serde_json::Value = asked.send().await.ok()?.error_for_status().ok()?.json().await.ok()?;
    Some(format!("{}{}", info.lb, answer["path"].as_str()?))
}
