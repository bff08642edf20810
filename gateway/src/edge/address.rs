//! Whose request is it that a proxy passes on?
//!
//! `X-Forwarded-For` in all the forms that balancers write, or `Forwarded` (RFC 7239); both are believed from a trusted proxy alone.
//! Several lines of one header are one list (RFC 9110, 5.3): what the last proxy wrote is the end of the last line.

use carillon_platform::env::Cidr;
use http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr};

/// The client's address: the peer's, unless that is a trusted proxy; then the right-most address that proxies tell which
/// is not one. Where both headers stand and tell different clients, one of them was not written by our proxy: then
/// neither is believed.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|cidr| cidr.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let client = |hops: Vec<Option<IpAddr>>| {
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            let Some(hop) = hop else { break };
            client = hop;
            if !is_trusted(client) {
                break;
            }
        }
        client
    };
    let listed: Vec<_> = lines(headers, "x-forwarded-for")
        .flat_map(|line| line.split(','))
        .filter_map(entry(address))
        .collect();
    let forwarded: Vec<_> = lines(headers, "forwarded")
        .flat_map(|line| parts(line, ','))
        .filter_map(entry(forwarded_for))
        .collect();
    match (listed.is_empty(), forwarded.is_empty()) {
        (false, true) => client(listed),
        (true, false) => client(forwarded),
        (true, true) => peer,
        (false, false) => {
            let both = (client(listed), client(forwarded));
            if both.0 == both.1 { both.0 } else { peer }
        }
    }
}

/// A header's lines, in order. One that is no text counts as an entry that names nobody, so nothing before it is believed.
fn lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("unknown"))
}

/// What an entry of a list names; nothing for one that is empty, which counts for nothing (RFC 9110, 5.6.1).
fn entry(named: fn(&str) -> Option<IpAddr>) -> impl Fn(&str) -> Option<Option<IpAddr>> {
    move |text| (!text.trim().is_empty()).then(|| named(text))
}

/// The parts of a text between separators. One in a quoted string (RFC 9110, 5.6.4) is none: proxies quote what clients say
/// (`host="…"`), and a client could name an address there.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match char {
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => return char == separator && !quoted,
        }
        false
    })
}

/// The node that an entry of `Forwarded` names as its client; none if that is hidden or unknown, or named twice.
fn forwarded_for(entry: &str) -> Option<IpAddr> {
    let pairs = parts(entry, ';').filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    match (nodes.next(), nodes.next()) {
        (Some((_, node)), None) => address(node),
        _ => None,
    }
}

/// An address as proxies write it: bare, in brackets, in quotes, and with a port behind it, which changes nothing.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim();
    let address = match (text.strip_prefix('['), text.split_once(':')) {
        (Some(rest), _) => {
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (port.is_empty() || port.starts_with(':')).then_some(address.into())
        }
        // One colon: a port. More: an IPv6 address without one.
        (None, Some((address, port))) if !port.contains(':') => address.parse().ok(),
        (None, _) => text.parse().ok(),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_platform::env::{Cidrs, Kind};

    fn of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted = Cidrs.parse("10.0.0.0/8,fd00::/8").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_tells_the_clients_address() {
        let chain = [("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.9")];
        assert_eq!(of("9.9.9.9", &chain), "9.9.9.9");
        assert_eq!(of("10.0.0.1", &chain), "1.2.3.4");
        assert_eq!(of("::ffff:10.0.0.1", &chain), "1.2.3.4");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("9.9.9.9", &[("forwarded", "for=1.2.3.4")]), "9.9.9.9");
    }

    #[test]
    fn an_address_is_read_in_every_form_that_balancers_write() {
        for (text, address) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:4321", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4321", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
            (" 203.0.113.7 ", "203.0.113.7"),
        ] {
            let before = format!("6.6.6.6,{text}");
            assert_eq!(of("10.0.0.1", &[("x-forwarded-for", &before)]), address, "{text}");
            assert_eq!(
                of("10.0.0.1", &[("x-forwarded-for", &format!("{before}, 10.0.0.9:80"))]),
                address,
                "{text}"
            );
            let node = format!("for=6.6.6.6, For=\"{text}\";proto=https;by=10.0.0.9");
            assert_eq!(of("10.0.0.1", &[("forwarded", &node)]), address, "{text}");
        }
        assert_eq!(
            of("10.0.0.1", &[("forwarded", "for=203.0.113.7"), ("forwarded", "for=10.0.0.2")]),
            "203.0.113.7"
        );
    }

    #[test]
    fn several_lines_are_one_list() {
        for (name, each) in [("x-forwarded-for", ""), ("forwarded", "for=")] {
            let of = |lines: &[&str]| {
                let lines: Vec<_> = lines.iter().map(|line| line.replace('@', each)).collect();
                of("10.0.0.1", &lines.iter().map(|line| (name, line.as_str())).collect::<Vec<_>>())
            };
            assert_eq!(of(&["@1.2.3.4", "@10.0.0.9"]), "1.2.3.4", "{name}");
            assert_eq!(of(&["@6.6.6.6", "@1.2.3.4"]), "1.2.3.4", "{name}");
            assert_eq!(of(&["@6.6.6.6, @1.2.3.4", "@10.0.0.9, @10.0.0.8", "@10.0.0.7"]), "1.2.3.4", "{name}");
            assert_eq!(of(&["@6.6.6.6", "@10.0.0.9, @1.2.3.4", "@10.0.0.8"]), "1.2.3.4", "{name}");
            assert_eq!(of(&["@10.0.0.9", "@10.0.0.8"]), "10.0.0.9", "{name}");
            assert_eq!(of(&["@1.2.3.4", "", "@10.0.0.9"]), "1.2.3.4", "{name}");
            assert_eq!(of(&["@6.6.6.6", "@unknown", "@10.0.0.9"]), "10.0.0.9", "{name}");
        }
        let mut headers = HeaderMap::new();
        for line in [&b"6.6.6.6"[..], b"\xff", b"10.0.0.9"] {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(line).unwrap());
        }
        let trusted = Cidrs.parse("10.0.0.0/8").unwrap();
        assert_eq!(client_address("10.0.0.1".parse().unwrap(), &headers, &trusted).to_string(), "10.0.0.9");
    }

    /// A proxy that writes what host was asked for writes what a client says.
    #[test]
    fn nothing_in_a_quoted_string_is_an_address() {
        for quoted in [
            r#"host="x,for=6.6.6.6;y""#,
            r#"host="x\",for=6.6.6.6;y""#,
            r#"host="x;for=6.6.6.6""#,
            r#"host="\\""#,
        ] {
            assert_eq!(
                of("10.0.0.1", &[("forwarded", &format!("for=1.2.3.4;{quoted}"))]),
                "1.2.3.4",
                "{quoted}"
            );
            assert_eq!(
                of("10.0.0.1", &[("forwarded", &format!("{quoted};for=1.2.3.4, for=10.0.0.9"))]),
                "1.2.3.4",
                "{quoted}"
            );
        }
        for broken in [
            r#"host="x,for=6.6.6.6"#,
            r#"for=1.2.3.4;host=x;for=6.6.6.6"#,
            r#"host=x;for=6.6.6.6;for=1.2.3.4"#,
        ] {
            let named = of("10.0.0.1", &[("forwarded", broken)]);
            assert_eq!(named, "10.0.0.1", "{broken}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        for text in ["unknown", "_hidden", "", "a:1", "[::1", "[::1]x", "1.2.3", "1.2.3.4.5", "\"", "[]"] {
            let chain = format!("6.6.6.6, {text}, 10.0.0.9");
            let wanted = if text.is_empty() { "6.6.6.6" } else { "10.0.0.9" };
            assert_eq!(of("10.0.0.1", &[("x-forwarded-for", &chain)]), wanted, "{text:?}");
        }
        assert_eq!(of("10.0.0.1", &[("forwarded", "for=6.6.6.6, proto=http, for=10.0.0.9")]), "10.0.0.9");
        assert_eq!(of("10.0.0.1", &[("forwarded", "for=6.6.6.6, for=unknown")]), "10.0.0.1");
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        let both = |forwarded| of("10.0.0.1", &[("x-forwarded-for", "1.2.3.4:9"), ("forwarded", forwarded)]);
        assert_eq!(both("for=1.2.3.4;proto=https"), "1.2.3.4");
        assert_eq!(both("for=6.6.6.6"), "10.0.0.1");
    }
}
