//! Where is the system under test, and who are we there?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};

use crate::cli::TargetArgs;
use crate::failure::Failure;

/// How long the tokens of a measurement live, in seconds.
const TOKEN_SECONDS: u64 = 4 * 3600;

/// The part of `carillon up --json` a load test needs.
#[derive(Debug, Default, Deserialize)]
struct Stack {
    #[serde(default)]
    gateways: Vec<String>,
    publisher: Option<String>,
    redis_url: Option<String>,
    jwt_secret: Option<String>,
    api_key: Option<String>,
    #[serde(default)]
    pids: BTreeMap<String, u32>,
}

/// Addresses, keys and processes.
#[derive(Debug)]
pub(crate) struct Target {
    gateways: Vec<Address>,
    publisher: Option<String>,
    redis: Option<String>,
    jwt_secret: Option<EncodingKey>,
    api_key: Option<String>,
    /// Every process to measure.
    pub(crate) pids: Vec<(String, u32)>,
    /// Loopback addresses to connect from.
    pub(crate) sources: u8,
}

/// A plain-text address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port`.
    pub(crate) authority: String,
    /// Path, never empty.
    pub(crate) path: String,
}

impl Target {
    /// From a stack file and options.
    pub(crate) fn new(args: &TargetArgs) -> Result<Self, Failure> {
        let stack = match &args.stack {
            None => Stack::default(),
            Some(path) => {
                let fault = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
                serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?
            }
        };
        let given = |urls: &[String]| urls.iter().map(|url| address(url, "/v1/ws")).collect();
        let gateways: Result<Vec<Address>, Failure> =
            if args.gateways.is_empty() { given(&stack.gateways) } else { given(&args.gateways) };
        let pids = if args.pids.is_empty() { stack.pids.into_iter().collect() } else { args.pids.clone() };
        let secret = args.jwt_secret.clone().or(stack.jwt_secret);
        Ok(Self {
            gateways: gateways?,
            publisher: args.publisher.clone().or(stack.publisher),
            redis: stack.redis_url,
            jwt_secret: secret.map(|secret| EncodingKey::from_secret(secret.as_bytes())),
            api_key: args.api_key.clone().or(stack.api_key),
            pids,
            sources: args.sources,
        })
    }

    /// The gateways; at least one.
    pub(crate) fn gateways(&self) -> Result<&[Address], Failure> {
        match self.gateways.as_slice() {
            [] => Err(Failure::Usage("no gateway: give --stack or --gateway".into())),
            some => Ok(some),
        }
    }

    /// The publisher's events resource and the API key.
    pub(crate) fn publisher(&self) -> Result<(Address, String), Failure> {
        let url = self.publisher.as_deref();
        let url = url.ok_or_else(|| Failure::Usage("no publisher: give --stack or --publisher".into()))?;
        let key = self.api_key.clone();
        let key = key.ok_or_else(|| Failure::Usage("no API key: give --stack or --api-key".into()))?;
        Ok((address(url, "/v1/events")?, key))
    }

    /// The (first) Redis.
    pub(crate) fn redis(&self) -> Result<SocketAddr, Failure> {
        let url = self.redis.as_deref().ok_or_else(|| Failure::Usage("no Redis: give --stack".into()))?;
        let authority = url.trim_start_matches("redis://").split(['/', '?']).next().unwrap_or_default();
        authority
            .parse()
            .map_err(|_| Failure::Usage(format!("{url} is no address of a Redis on this machine")))
    }

    /// The processes that deliver: those called `gateway…` or `server`.
    pub(crate) fn delivering(&self) -> impl Iterator<Item = &(String, u32)> {
        self.pids.iter().filter(|(name, _)| is_delivering(name))
    }

    /// A token for one user of one tenant.
    pub(crate) fn token(&self, tenant: &str, user: &str) -> Result<String, Failure> {
        self.token_with_roles(tenant, user, &[])
    }

    /// A token for one user of one tenant who has these roles.
    pub(crate) fn token_with_roles(
        &self,
        tenant: &str,
        user: &str,
        roles: &[&str],
    ) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Claims<'a> {
            sub: &'a str,
            tenant: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            roles: &'a [&'a str],
            iat: u64,
            exp: u64,
        }
        let secret = self.jwt_secret.as_ref();
        let secret =
            secret.ok_or_else(|| Failure::Usage("no secret: give --stack or --jwt-secret".into()))?;
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = Claims { sub: user, tenant, roles, iat, exp: iat + TOKEN_SECONDS };
        jsonwebtoken::encode(&Header::default(), &claims, secret)
            .map_err(|error| Failure::Usage(format!("no token can be signed: {error}")))
    }
}

/// Whether a process of this name delivers events to sockets.
pub(crate) fn is_delivering(name: &str) -> bool {
    name.starts_with("gateway") || name == "server"
}

/// Takes `ws://` and `http://` addresses apart; one without a path gets `default_path`.
fn address(url: &str, default_path: &str) -> Result<Address, Failure> {
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| Failure::Usage(format!("{url} must begin with ws:// or http://")))?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.is_empty() || path.contains(['?', '#']) {
        return Err(Failure::Usage(format!("{url} must be scheme://host:port/path")));
    }
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let path = if path.is_empty() || path == "/" { default_path } else { path };
    Ok(Address { authority, path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let is = |url: &str| address(url, "/v1/ws").map(|a| (a.authority, a.path));
        assert_eq!(is("http://127.0.0.1:8080").unwrap(), ("127.0.0.1:8080".into(), "/v1/ws".into()));
        assert_eq!(is("ws://host/ws").unwrap(), ("host:80".into(), "/ws".into()));
        for bad in ["wss://host/", "host:80", "ws:///v1/ws", "ws://host/ws?token=x"] {
            assert!(is(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_override_the_stack_file() {
        let path = std::env::temp_dir().join(format!("carillon-loadtest-{}.json", std::process::id()));
        let stack = r#"{"lb":"http://l:1","gateways":["http://a:1","http://b:2"],"publisher":"http://p:3",
            "jwt_secret":"s","api_key":"k","pids":{"gateway-1":7,"redis":8}}"#;
        std::fs::write(&path, stack).unwrap();
        let mut args = TargetArgs {
            stack: Some(path.clone()),
            gateways: Vec::new(),
            publisher: None,
            jwt_secret: None,
            api_key: None,
            pids: Vec::new(),
            sources: 1,
        };
        let target = Target::new(&args).unwrap();
        assert_eq!(target.gateways().unwrap()[1].authority, "b:2");
        assert_eq!(target.delivering().count(), 1);
        assert_eq!(target.publisher().unwrap().0.path, "/v1/events");
        assert_eq!(target.token("acme", "1").unwrap().split('.').count(), 3);
        args.gateways = vec!["ws://c:9/ws".into()];
        args.api_key = Some("other".into());
        let target = Target::new(&args).unwrap();
        assert_eq!(target.gateways().unwrap().len(), 1);
        assert_eq!(target.publisher().unwrap().1, "other");
        std::fs::remove_file(path).unwrap();
    }
}
