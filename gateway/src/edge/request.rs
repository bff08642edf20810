//! What does the URL say, where is the token, and who is the client?

use super::problem::Problem;
use crate::entrance::Hello;
use axum::extract::Query;
use carillon_platform::auth::{AuthError, bearer};
use carillon_platform::env::Cidr;
use carillon_protocol::limits::CHANNELS_PER_CONNECTION;
use carillon_protocol::{Channel, DeviceId, Epoch, Seq, TenantId};
use http::{HeaderMap, StatusCode, Uri, header};
use std::net::IpAddr;
use std::time::Duration;

/// Longest a poll may ask to wait; proxies give up on answers that take longer.
const LONGEST_WAIT: Duration = Duration::from_secs(50);

/// The query of a URL. Parameters it does not know are left alone: proxies and clients add their own.
#[derive(Debug, Default)]
pub(super) struct UrlQuery {
    pub(super) hello: Hello,
    pub(super) token: Option<Box<str>>,
    /// How long a poll waits for events.
    pub(super) wait: Option<Duration>,
}

impl UrlQuery {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let bad = |name: &str, why: String| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{name}: {why}"))
        };
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| bad("query", "is not a form-encoded list of names and values".into()))?;
        let mut query = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in pairs {
            let hello = &mut query.hello;
            match name.as_str() {
                "tenant" => {
                    hello.tenant = Some(TenantId::new(&value).map_err(|e| bad(&name, e.to_string()))?)
                }
                "device" => {
                    hello.device = Some(DeviceId::new(&value).map_err(|e| bad(&name, e.to_string()))?)
                }
                "epoch" => hello.epoch = Some(Epoch::new(&value).map_err(|e| bad(&name, e.to_string()))?),
                "since" => {
                    let since = value.parse().map_err(|_| bad(&name, "must be a whole number".into()))?;
                    hello.since = Some(Seq(since));
                }
                "channels" => hello.channels = channels(&value).map_err(|why| bad(&name, why))?,
                "wait" => query.wait = Some(wait(&value).map_err(|why| bad(&name, why))?),
                "token" => query.token = Some(value.into()),
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(bad(&name, "is given twice".into()));
            }
            seen.push(name);
        }
        Ok(query)
    }
}

fn wait(seconds: &str) -> Result<Duration, String> {
    let seconds: Option<u64> = seconds.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT.as_secs());
    let why = || format!("must be a whole number of seconds, at most {}", LONGEST_WAIT.as_secs());
    seconds.map(Duration::from_secs).ok_or_else(why)
}

fn channels(list: &str) -> Result<Vec<Channel>, String> {
    let mut channels = Vec::new();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let channel = Channel::new(name).map_err(|error| error.to_string())?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
        if channels.len() > CHANNELS_PER_CONNECTION {
            return Err(format!("names more than {CHANNELS_PER_CONNECTION} channels"));
        }
    }
    Ok(channels)
}

/// The token, from the first place that has one: header, subprotocol, URL. None: the first frame must bring it.
pub(super) fn token(
    headers: &HeaderMap,
    subprotocol: Option<Box<str>>,
    url: Option<Box<str>>,
    url_allowed: bool,
) -> Result<Option<Box<str>>, AuthError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| AuthError::Malformed("is not text"))?;
        return Ok(Some(bearer(text)?.into()));
    }
    match (subprotocol, url) {
        (Some(token), _) => Ok(Some(token)),
        (None, Some(_)) if !url_allowed => {
            Err(AuthError::Malformed("may not stand in the URL of this installation"))
        }
        (None, url) => Ok(url),
    }
}

/// The client's address: the peer's, unless that is a trusted proxy; then the right-most address in X-Forwarded-For
/// that is not one.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|cidr| cidr.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_platform::env::{Cidrs, Kind};

    fn query(text: &str) -> Result<UrlQuery, Problem> {
        UrlQuery::of(&format!("/v1/ws?{text}").parse().unwrap())
    }

    #[test]
    fn the_url_says_where_to_begin() {
        let query =
            query("since=41&epoch=e1&channels=contact%3A1,lead:2,contact:1&tenant=acme&_=9&token=t").unwrap();
        assert_eq!(query.hello.since, Some(Seq(41)));
        assert_eq!(query.hello.channels.len(), 2);
        assert_eq!(query.token.as_deref(), Some("t"));
    }

    #[test]
    fn each_bad_parameter_is_named() {
        for (bad, name) in [
            ("since=-1", "since"),
            ("since=x", "since"),
            ("since=99999999999999999999", "since"),
            ("epoch=a%20b", "epoch"),
            ("tenant=A", "tenant"),
            ("device=a/b", "device"),
            ("channels=a%20b", "channels"),
            ("wait=51", "wait"),
            ("wait=-1", "wait"),
            ("since=1&since=2", "since"),
        ] {
            let problem = query(bad).unwrap_err();
            assert!(
                problem.code == "invalid_query" && format!("{problem:?}").contains(name),
                "{bad}: {problem:?}"
            );
        }
    }

    #[test]
    fn only_a_trusted_proxy_tells_the_clients_address() {
        let trusted = Cidrs.parse("10.0.0.0/8").unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.9".parse().unwrap());
        let from = |peer: &str| client_address(peer.parse().unwrap(), &headers, &trusted).to_string();
        assert_eq!(from("9.9.9.9"), "9.9.9.9");
        assert_eq!(from("10.0.0.1"), "1.2.3.4");
        assert_eq!(from("::ffff:10.0.0.1"), "1.2.3.4");
    }
}
