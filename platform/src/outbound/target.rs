//! May this URL be called, as far as it can be told from the URL? (pure)

use super::address::is_open;
use super::config::OutboundConfig;
use reqwest::Url;
use std::net::IpAddr;

/// Longest URL, in bytes.
pub const URL_BYTES: usize = 2_048;

/// A URL that may be called, if its host's addresses may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
}

/// Why a URL may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// It is no URL.
    #[error("is not a URL: {0}")]
    Malformed(String),
    /// It is longer than [`URL_BYTES`].
    #[error("has more than {URL_BYTES} bytes")]
    TooLong,
    /// Its scheme is another one.
    #[error("must begin with {0}")]
    Scheme(&'static str),
    /// It holds a user name or a password.
    #[error("holds a user name or password; receivers know us by the signature")]
    Credentials,
    /// It has a part that is not sent.
    #[error("has a #fragment, which is not sent")]
    Fragment,
    /// It names a port that is not allowed.
    #[error("names port {0}, which this installation does not allow (CARILLON_WEBHOOK_PORTS)")]
    Port(u16),
    /// Its host cannot be looked up.
    #[error(
        "has a host that cannot be looked up: a name has labels of 1 to 63 characters with dots between, 253 in all"
    )]
    Host,
    /// Its host is an address that is not allowed.
    #[error(
        "leads to {0}, which is no public address and is not opened by this installation (CARILLON_WEBHOOK_ALLOW)"
    )]
    Address(IpAddr),
}

impl Target {
    /// Reads a URL and judges what can be judged without looking its host up.
    pub fn read(text: &str, allowed: &OutboundConfig) -> Result<Self, TargetFault> {
        if text.len() > URL_BYTES {
            return Err(TargetFault::TooLong);
        }
        let url = Url::parse(text).map_err(|error| TargetFault::Malformed(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if allowed.http => {}
            _ if allowed.http => return Err(TargetFault::Scheme("https:// or http://")),
            _ => return Err(TargetFault::Scheme("https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetFault::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetFault::Fragment);
        }
        if let Some(port) = url.port()
            && !allowed.ports.allow(port)
            && !(port == 443 || (port == 80 && allowed.http))
        {
            return Err(TargetFault::Port(port));
        }
        let target = Self { url };
        match target.literal() {
            Some(address) if !is_open(address, &allowed.opened) => Err(TargetFault::Address(address)),
            None if !target.url.host_str().is_some_and(is_name) => Err(TargetFault::Host),
            _ => Ok(target),
        }
    }

    /// The URL as it is called.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The address that stands in the URL in place of a name, however it is spelled there.
    fn literal(&self) -> Option<IpAddr> {
        let host = self.url.host_str()?;
        // The URL standard writes every spelling of an IPv4 address as four numbers, and IPv6 in brackets.
        host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

fn is_name(host: &str) -> bool {
    host.len() <= 253 && host.split('.').all(|label| (1..=63).contains(&label.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::Ports;

    fn read(text: &str) -> Result<String, TargetFault> {
        Target::read(text, &OutboundConfig::default()).map(|target| target.url().to_string())
    }

    #[test]
    fn https_to_a_name_or_a_public_address_is_taken() {
        for (text, called) in [
            ("https://app.example/carillon?a=1", "https://app.example/carillon?a=1"),
            ("HTTPS://APP.example:443", "https://app.example/"),
            ("https://8.8.8.8/x", "https://8.8.8.8/x"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(called));
        }
    }

    #[test]
    fn whatever_else_is_refused_with_what_is_wrong() {
        let address = |text: &str| TargetFault::Address(text.parse().unwrap());
        for (text, fault) in [
            ("http://app.example/", TargetFault::Scheme("https://")),
            ("ftp://app.example/", TargetFault::Scheme("https://")),
            ("file:///etc/hosts", TargetFault::Scheme("https://")),
            ("https://anna:secret@app.example/", TargetFault::Credentials),
            ("https://anna@app.example/", TargetFault::Credentials),
            ("https://app.example/#part", TargetFault::Fragment),
            ("https://app.example:8443/", TargetFault::Port(8443)),
            ("https://app.example:80/", TargetFault::Port(80)),
            ("https://app.example./", TargetFault::Host),
            ("https://app..example/", TargetFault::Host),
            ("https://127.0.0.1/", address("127.0.0.1")),
            // Every spelling of it.
            ("https://2130706433/", address("127.0.0.1")),
            ("https://0x7f.1/", address("127.0.0.1")),
            ("https://0177.0.0.1/", address("127.0.0.1")),
            ("https://127.0.0.1./", address("127.0.0.1")),
            ("https://%31%32%37.0.0.1/", address("127.0.0.1")),
            ("https://\u{2460}27.0.0.1/", address("127.0.0.1")),
            ("https://[::1]/", address("::1")),
            ("https://[::ffff:10.0.0.1]/", address("::ffff:10.0.0.1")),
            ("https://169.254.169.254/latest", address("169.254.169.254")),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
        assert!(matches!(read("app.example"), Err(TargetFault::Malformed(_))));
        assert!(matches!(read("https://"), Err(TargetFault::Malformed(_))));
        assert_eq!(
            read(&format!("https://app.example/{}", "x".repeat(URL_BYTES))),
            Err(TargetFault::TooLong)
        );
    }

    #[test]
    fn an_installation_may_allow_http_ports_and_networks() {
        let opened = vec!["127.0.0.0/8".parse().unwrap()];
        let allowed = OutboundConfig { opened, http: true, ports: Ports::These(vec![8080]) };
        for text in ["http://127.0.0.1:8080/", "http://app.example/", "https://app.example:8080/"] {
            assert!(Target::read(text, &allowed).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1:8081/", "http://10.0.0.1/", "ftp://app.example/"] {
            assert!(Target::read(text, &allowed).is_err(), "{text}");
        }
    }
}
