//! How does a program ask who is in a channel, or where somebody is?

use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use super::socket::SocketError;
use crate::http::{content_type, problem, with_causes};

/// Longest time for one page.
const PATIENCE: Duration = Duration::from_secs(20);
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
    let http = crate::http::client(|client| client.timeout(PATIENCE)).map_err(lost)?;
    let mut whole: Option<Value> = None;
    loop {
        let after = whole.as_ref().and_then(|answer| answer["next"].as_str().map(str::to_owned));
        let url = address(base_url, tenant, subject, after.as_deref())?;
        let answer = http.get(url).bearer_auth(credentials).send().await.map_err(lost)?;
        let (status, kind) = (answer.status().as_u16(), content_type(answer.headers()));
        let body = answer.bytes().await.map_err(lost)?;
        if status != 200 {
            let problem = problem(&kind, &body).unwrap_or_default();
            let code = problem["code"].as_str().unwrap_or_default().to_owned();
            return Err(SocketError::Refused {
                status,
                code,
                problem,
                content_type: kind,
                retry_after: None,
            });
        }
        let mut page: Value =
            serde_json::from_slice(&body).map_err(|error| SocketError::Contract(error.to_string()))?;
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

fn address(
    base_url: &str,
    tenant: Option<&str>,
    subject: Subject<'_>,
    after: Option<&str>,
) -> Result<Url, SocketError> {
    let wrong = |why: String| SocketError::Url(format!("{base_url}: {why}"));
    let base = format!("{}/v1/presence", base_url.trim_end_matches('/'));
    let mut url = Url::parse(&base).map_err(|error| wrong(error.to_string()))?;
    if let Subject::Channel(channel) = subject {
        url.path_segments_mut().map_err(|()| wrong("has no path".into()))?.push(channel);
    }
    {
        let mut query = url.query_pairs_mut();
        if let Subject::User(user) = subject {
            query.append_pair("user", user);
        }
        query.append_pair("limit", &PAGE.to_string());
        for (name, value) in [("tenant", tenant), ("after", after)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }
    Ok(url)
}

fn lost(error: reqwest::Error) -> SocketError {
    SocketError::Lost(with_causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_channels_and_people_are_encoded() {
        let url = |subject, after| address("http://x/", Some("acme"), subject, after).unwrap().to_string();
        assert_eq!(
            url(Subject::Channel("user:Smith, J"), None),
            "http://x/v1/presence/user:Smith,%20J?limit=200&tenant=acme"
        );
        assert_eq!(
            url(Subject::User("a&b"), Some("n")),
            "http://x/v1/presence?user=a%26b&limit=200&tenant=acme&after=n"
        );
    }
}
