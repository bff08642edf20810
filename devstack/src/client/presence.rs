//! How does a program ask who is in a channel, or where somebody is?

use reqwest::Method;
use serde_json::Value;

use super::rest::Rest;
use super::socket::SocketError;

/// Entries of one page, and of all pages together at most.
const PAGE: usize = 200;
const MOST: usize = 1_000;

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Who is in this channel?
    Channel(&'a str),
    /// In which channels is this user?
    User(&'a str),
}

impl Subject<'_> {
    /// The member of an answer with the list.
    fn list(self) -> &'static str {
        match self {
            Self::Channel(_) => "members",
            Self::User(_) => "channels",
        }
    }
}

/// Asks `GET /v1/presence`, page by page, until it has all or the first thousand: one answer with all of them, and `next` if there
/// are more. `credentials` is a user token or an API key.
pub async fn ask(
    base_url: &str,
    credentials: &str,
    tenant: Option<&str>,
    subject: Subject<'_>,
) -> Result<Value, SocketError> {
    let rest = Rest::new(base_url, credentials, tenant)?;
    let limit = PAGE.to_string();
    let (path, user) = match subject {
        Subject::Channel(channel) => (vec!["v1", "presence", channel], None),
        Subject::User(user) => (vec!["v1", "presence"], Some(user)),
    };
    let mut whole: Option<Value> = None;
    loop {
        let after = whole.as_ref().and_then(|answer| answer["next"].as_str().map(str::to_owned));
        let query = [("user", user), ("limit", Some(&*limit)), ("after", after.as_deref())];
        let mut page = rest.ask(Method::GET, &path, &query).await?;
        if let Some(before) = &mut whole {
            let mut list = before[subject.list()].take();
            if let (Some(list), Some(more)) = (list.as_array_mut(), page[subject.list()].as_array_mut()) {
                list.append(more);
            }
            page[subject.list()] = list;
        }
        let count = page[subject.list()].as_array().map_or(0, Vec::len);
        if page["next"].is_null() || count >= MOST {
            return Ok(page);
        }
        whole = Some(page);
    }
}
