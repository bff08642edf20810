//! How does a program ask an installation over REST?

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::socket::SocketError;
use crate::http::{content_type, problem, with_causes};

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends requests with a user token or an API key.
pub struct Rest {
    http: reqwest::Client,
    base: String,
    credentials: String,
    tenant: Option<String>,
}

impl Rest {
    /// To the installation at this URL; about a tenant, where the credentials are for several.
    pub fn new(base_url: &str, credentials: &str, tenant: Option<&str>) -> Result<Self, SocketError> {
        let http = crate::http::client(|client| client.timeout(PATIENCE)).map_err(lost)?;
        let base = base_url.trim_end_matches('/').to_owned();
        Ok(Self { http, base, credentials: credentials.into(), tenant: tenant.map(Into::into) })
    }

    /// The JSON that is answered, null where there is none. Anything but a success is [`SocketError::Refused`].
    pub async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, Option<&str>)],
    ) -> Result<Value, SocketError> {
        let url = self.address(path, query)?;
        let request = self.http.request(method, url).bearer_auth(&self.credentials);
        let answer = request.send().await.map_err(lost)?;
        let (status, kind) = (answer.status(), content_type(answer.headers()));
        let body = answer.bytes().await.map_err(lost)?;
        if status.is_success() {
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(body).map_err(|error| SocketError::Contract(error.to_string()));
        }
        let problem = problem(&kind, &body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or_default().to_owned();
        let (status, content_type) = (status.as_u16(), kind);
        Err(SocketError::Refused { status, code, problem, content_type, retry_after: None })
    }

    fn address(&self, path: &[&str], query: &[(&str, Option<&str>)]) -> Result<Url, SocketError> {
        let wrong = |why: String| SocketError::Url(format!("{}: {why}", self.base));
        let mut url = Url::parse(&self.base).map_err(|error| wrong(error.to_string()))?;
        url.path_segments_mut().map_err(|()| wrong("has no path".into()))?.pop_if_empty().extend(path);
        let tenant = ("tenant", self.tenant.as_deref());
        let given = query.iter().chain(std::iter::once(&tenant));
        let mut pairs = given.filter_map(|(name, value)| Some((*name, (*value)?))).peekable();
        if pairs.peek().is_some() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }
}

fn lost(error: reqwest::Error) -> SocketError {
    SocketError::Lost(with_causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_what_is_not_given_is_not_sent() {
        let rest = |tenant| Rest::new("http://x/events/", "k", tenant).unwrap();
        let url = |rest: Rest, path: &[&str], query: &[_]| rest.address(path, query).unwrap().to_string();
        assert_eq!(
            url(
                rest(Some("acme")),
                &["v1", "presence", "user:Smith, J/k"],
                &[("limit", Some("200")), ("after", None)]
            ),
            "http://x/events/v1/presence/user:Smith,%20J%2Fk?limit=200&tenant=acme"
        );
        assert_eq!(
            url(rest(None), &["v1", "connections"], &[("user", None)]),
            "http://x/events/v1/connections"
        );
    }
}
