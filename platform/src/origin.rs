//! Which web pages may use a service?
//!
//! Browsers send cookies and stored credentials along with any page's handshake, and no same-origin rule holds for
//! WebSockets. The `Origin` header, which a page cannot forge, is the only defence (RFC 6455 section 10.2). For the rest
//! of HTTP the same list says which pages a browser lets read the answers (CORS).

use crate::env::{Absent, Kind, Var};
use http::{HeaderMap, header};
use std::collections::BTreeSet;

/// The pages that are allowed.
pub const ALLOWED: Var<Origins> = Var {
    name: "CARILLON_ALLOWED_ORIGINS",
    absent: Absent::Default("*"),
    kind: Origins,
    what: "web origins whose pages may connect and use the API; programs that send no Origin always may",
};

/// The pages that may connect. Clients that are no browsers send no `Origin` and are not asked for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginPolicy {
    /// Every page.
    Any,
    /// Pages of exactly these origins, in the normal form of [`OriginPolicy::parse`]. Empty: no page at all.
    Exact(BTreeSet<Box<str>>),
}

/// An entry of an allow-list that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` {fault}; an origin is scheme://host or scheme://host:port")]
pub struct BadOrigin {
    /// The entry as it was given.
    pub entry: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl OriginPolicy {
    /// Reads a comma list of origins, `scheme://host[:port]` (`null` for pages without one), or a single `*`.
    /// Scheme and host are compared without regard to case, a default port (80, 443) counts as none, and nothing
    /// matches but the exact origin: no subdomain, no other port. Blank text allows no page.
    ///
    /// # Errors
    /// [`BadOrigin`] names the first entry that is no origin.
    pub fn parse(list: &str) -> Result<Self, BadOrigin> {
        match list.trim() {
            "*" => return Ok(Self::Any),
            "" => return Ok(Self::Exact(BTreeSet::new())),
            _ => {}
        }
        let origin = |entry: &str| {
            let entry = entry.trim();
            normal(entry).map_err(|fault| BadOrigin { entry: entry.to_owned(), fault })
        };
        Ok(Self::Exact(list.split(',').map(origin).collect::<Result<_, _>>()?))
    }

    /// Whether a request may go on. A missing `Origin` may (not a browser), a repeated one may not.
    ///
    /// # Errors
    /// [`NotAllowed`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), NotAllowed> {
        let mut given = headers.get_all(header::ORIGIN).into_iter();
        let Some(origin) = given.next() else { return Ok(()) };
        let allowed = match self {
            _ if given.next().is_some() => false,
            Self::Any => true,
            Self::Exact(origins) => std::str::from_utf8(origin.as_bytes().trim_ascii())
                .is_ok_and(|origin| normal(origin).is_ok_and(|origin| origins.contains(&origin))),
        };
        if allowed { Ok(()) } else { Err(NotAllowed) }
    }
}

/// The page is not on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

/// A value of [`ALLOWED`].
#[derive(Debug, Clone, Copy)]
pub struct Origins;

impl Kind for Origins {
    type Value = OriginPolicy;

    fn parse(&self, text: &str) -> Result<OriginPolicy, String> {
        OriginPolicy::parse(text).map_err(|error| format!("has a bad entry: {error}"))
    }

    fn allowed(&self) -> String {
        "*, or origins such as https://app.example.com, separated by commas".to_owned()
    }
}

/// The normal form of a serialised origin: lower case, without a default port. Else what is wrong with it.
fn normal(origin: &str) -> Result<Box<str>, &'static str> {
    if origin == "null" {
        return Ok(origin.into());
    }
    if origin.is_empty() {
        return Err("is empty");
    }
    if origin.contains('*') {
        return Err("has a wildcard, which only stands alone, for every origin");
    }
    let (scheme, authority) = origin.split_once("://").ok_or("has no scheme")?;
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_ok {
        return Err("has a malformed scheme");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("has a path, a query or a fragment");
    }
    if authority.contains('@') {
        return Err("has a user name");
    }
    // The colons within the brackets of an IPv6 address are not the one before the port.
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].find(':') {
        Some(at) => (&authority[..bracket + at], Some(&authority[bracket + at + 1..])),
        None => (authority, None),
    };
    if !is_host(host) {
        return Err("has a malformed host (names in other alphabets are written in punycode)");
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') => {
            Some(digits.parse::<u16>().map_err(|_| "has a malformed port")?)
        }
        Some(_) => return Err("has a malformed port"),
    };
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    Ok(match (scheme.as_str(), port) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    }
    .into())
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &OriginPolicy, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        policy.check(&headers).is_ok()
    }

    #[test]
    fn only_listed_origins_pass_and_only_exactly() {
        let policy =
            OriginPolicy::parse("https://App.example.com, http://localhost:3000,http://[::1]:8080").unwrap();
        for good in ["https://app.example.com", "HTTPS://APP.Example.com", "https://app.example.com:443"] {
            assert!(allows(&policy, &[good]), "{good}");
        }
        assert!(allows(&policy, &["http://localhost:3000"]));
        assert!(allows(&policy, &["http://[::1]:8080"]));
        assert!(allows(&policy, &[]), "not a browser");
        for bad in [
            "https://evil.com",
            "https://app.example.com.evil.com",
            "https://evilapp.example.com",
            "https://x.app.example.com",
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com/",
            "https://app.example.com@evil.com",
            "http://localhost",
            "null",
            "",
            "*",
        ] {
            assert!(!allows(&policy, &[bad]), "{bad}");
        }
        assert!(!allows(&policy, &["https://app.example.com", "https://app.example.com"]), "two headers");
        assert!(!allows(&policy, &["https://app.example.com, https://evil.com"]), "a list");
    }

    #[test]
    fn any_none_and_null_are_said_explicitly() {
        let any = OriginPolicy::parse(" * ").unwrap();
        assert!(allows(&any, &["https://evil.com"]) && allows(&any, &["null"]) && allows(&any, &[]));
        assert!(!allows(&any, &["https://a.com", "https://b.com"]), "two headers are malformed anyway");
        let nobody = OriginPolicy::parse(" ").unwrap();
        assert!(!allows(&nobody, &["https://app.example.com"]) && allows(&nobody, &[]));
        assert!(allows(&OriginPolicy::parse("null").unwrap(), &["null"]));
        let app = OriginPolicy::parse("capacitor://localhost").unwrap();
        assert!(allows(&app, &["capacitor://localhost"]));
    }

    #[test]
    fn a_bad_entry_is_named_with_its_fault() {
        for (list, entry, fault) in [
            ("https://a.com,https://b.com/app", "https://b.com/app", "path"),
            ("https://a.com/", "https://a.com/", "path"),
            ("https://*.a.com", "https://*.a.com", "wildcard"),
            ("https://a.com,*", "*", "wildcard"),
            ("https://a.com,,https://b.com", "", "empty"),
            ("a.com", "a.com", "no scheme"),
            ("://a.com", "://a.com", "scheme"),
            ("https://", "https://", "host"),
            ("https://u@a.com", "https://u@a.com", "user"),
            ("https://a.com:", "https://a.com:", "port"),
            ("https://a.com:0", "https://a.com:0", "port"),
            ("https://a.com:65536", "https://a.com:65536", "port"),
            ("https://a.com:44x", "https://a.com:44x", "port"),
            ("https://škola.cz", "https://škola.cz", "punycode"),
            ("http://[::1", "http://[::1", "host"),
            ("http://::1", "http://::1", "host"),
        ] {
            let refused = OriginPolicy::parse(list).unwrap_err();
            assert_eq!(refused.entry, entry, "{list}");
            assert!(refused.fault.contains(fault), "{list}: {refused}");
        }
    }
}
