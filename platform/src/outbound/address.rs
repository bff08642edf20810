//! May a tenant's URL lead to this address? (pure)
//!
//! By the registries of special-purpose addresses (RFC 6890 and its successors), which the standard library's predicates know
//! only in part. An IPv6 address that carries an IPv4 address is judged by that. What an installation opens it opens by network.

use crate::env::Cidr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are no place on the public network, and what they are.
const CLOSED_V4: [([u8; 4], u8, &str); 17] = [
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "a private network"),
    ([100, 64, 0, 0], 10, "a provider's shared network"),
    ([127, 0, 0, 0], 8, "loopback"),
    // Where clouds answer with credentials.
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "a private network"),
    ([192, 0, 0, 0], 24, "set aside for protocols"),
    ([192, 0, 2, 0], 24, "for documentation"),
    ([192, 88, 99, 0], 24, "a 6to4 relay"),
    ([192, 168, 0, 0], 16, "a private network"),
    ([198, 18, 0, 0], 15, "for benchmarks"),
    ([198, 51, 100, 0], 24, "for documentation"),
    ([203, 0, 113, 0], 24, "for documentation"),
    // Looks public, and leads to the host of a virtual machine.
    ([168, 63, 129, 16], 32, "a cloud's own service"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([255, 255, 255, 255], 32, "broadcast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// Networks of IPv6 within the global unicast addresses that are no place on the public network.
const CLOSED_V6: [([u16; 2], u8, &str); 3] = [
    // Teredo, ORCHID and benchmarks among them.
    ([0x2001, 0], 23, "set aside for protocols"),
    ([0x2001, 0xdb8], 32, "for documentation"),
    ([0x3fff, 0], 20, "for documentation"),
];

/// What this address is, if it is no place on the public network.
pub fn closed(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => closed_v4(v4),
        IpAddr::V6(v6) => closed_v6(v6),
    }
}

/// Whether a tenant's URL may lead there: to the public network, and to what the installation has opened.
pub fn is_open(address: IpAddr, opened: &[Cidr]) -> bool {
    closed(address).is_none() || opened.iter().any(|network| network.contains(address))
}

fn closed_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |network: [u8; 4], prefix: u8| {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        address.to_bits() & mask == u32::from_be_bytes(network)
    };
    CLOSED_V4.iter().find(|(network, prefix, _)| within(*network, *prefix)).map(|(_, _, what)| *what)
}

fn closed_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if let Some(carried) = carried(segments) {
        return closed_v4(carried);
    }
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("a private network"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        [first, ..] if first & 0xe000 != 0x2000 => Some("not global unicast"),
        [first, second, ..] => {
            let top = u32::from(first) << 16 | u32::from(second);
            let within = |network: [u16; 2], prefix: u8| {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                top & mask == u32::from(network[0]) << 16 | u32::from(network[1])
            };
            CLOSED_V6.iter().find(|(network, prefix, _)| within(*network, *prefix)).map(|(_, _, what)| *what)
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped (`::ffff:a.b.c.d`), by the well-known prefix of NAT64
/// (`64:ff9b::a.b.c.d`), by 6to4 (`2002:abcd::`), by ISATAP (`…:5efe:a.b.c.d`).
fn carried(segments: [u16; 8]) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn what(text: &str) -> Option<&'static str> {
        closed(text.parse().unwrap())
    }

    #[test]
    fn each_family_of_special_addresses_is_closed() {
        for (address, expected) in [
            ("0.0.0.0", "this network"),
            ("0.1.2.3", "this network"),
            ("10.0.0.1", "a private network"),
            ("10.255.255.255", "a private network"),
            ("100.64.0.1", "a provider's shared network"),
            ("100.100.100.200", "a provider's shared network"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "a private network"),
            ("172.31.255.255", "a private network"),
            ("192.0.0.192", "set aside for protocols"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.1.1", "a private network"),
            ("198.18.0.1", "for benchmarks"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.7", "for documentation"),
            ("203.0.113.7", "for documentation"),
            ("168.63.129.16", "a cloud's own service"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fc00::1", "a private network"),
            ("fd00:ec2::254", "a private network"),
            ("fe80::1", "link-local"),
            ("fec0::1", "not global unicast"),
            ("ff02::1", "multicast"),
            ("2001::1", "set aside for protocols"),
            ("2001:2::1", "set aside for protocols"),
            ("2001:20::1", "set aside for protocols"),
            ("2001:db8::1", "for documentation"),
            ("3fff::1", "for documentation"),
            ("100::1", "not global unicast"),
            ("5f00::1", "not global unicast"),
            ("64:ff9b:1::1", "not global unicast"),
            ("::7f00:1", "not global unicast"),
            ("::ffff:0:7f00:1", "not global unicast"),
        ] {
            assert_eq!(what(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn an_address_that_carries_another_is_judged_by_that() {
        for inner in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0"] {
            let v4: Ipv4Addr = inner.parse().unwrap();
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from(a) << 8 | u16::from(b), u16::from(c) << 8 | u16::from(d));
            for form in [
                format!("::ffff:{inner}"),
                format!("64:ff9b::{inner}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2a00:1:2:3:0:5efe:{high:x}:{low:x}"),
                format!("2a00:1:2:3:200:5efe:{high:x}:{low:x}"),
            ] {
                assert_eq!(what(&form), closed_v4(v4), "{form}");
                assert!(what(&form).is_some(), "{form}");
            }
        }
        for open in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
            assert_eq!(what(open), None, "{open}");
        }
    }

    #[test]
    fn the_public_network_is_open_up_to_its_edges() {
        for open in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:db7::1",
            "3ffe::1",
        ] {
            assert_eq!(what(open), None, "{open}");
        }
    }

    #[test]
    fn an_installation_opens_networks_by_name_and_nothing_beside_them() {
        let opened: Vec<Cidr> = ["127.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()).into();
        let open = |text: &str| is_open(text.parse().unwrap(), &opened);
        assert!(open("127.0.0.1") && open("::ffff:127.0.0.1") && open("fd00::1") && open("8.8.8.8"));
        assert!(!open("10.0.0.1") && !open("::1") && !open("fc00::1") && !open("64:ff9b::127.0.0.1"));
    }

    /// Written anew, as the registry of special-purpose IPv4 addresses lists them.
    fn is_special(v4: Ipv4Addr) -> bool {
        let [a, b, c, d] = v4.octets();
        v4.is_private()
            || v4.is_loopback()
            || v4.is_link_local()
            || v4.is_multicast()
            || v4.is_documentation()
            || matches!((a, b), (0, _) | (100, 64..=127) | (198, 18..=19))
            || matches!((a, b, c), (192, 0, 0) | (192, 88, 99))
            || (a, b, c, d) == (168, 63, 129, 16)
            || a >= 240
    }

    /// Addresses of which many are near the edge of a special network.
    fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
        let near = (0..CLOSED_V4.len(), -2i64..=2, any::<bool>()).prop_map(|(at, by, end)| {
            let (network, prefix, _) = CLOSED_V4[at];
            let size = 1i64 << (32 - prefix);
            let edge = i64::from(u32::from_be_bytes(network)) + if end { size } else { 0 };
            Ipv4Addr::from_bits((edge + by).rem_euclid(1 << 32) as u32)
        });
        prop_oneof![near, any::<u32>().prop_map(Ipv4Addr::from_bits)]
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_closed_exactly_if_it_is_special(v4 in any_v4()) {
            prop_assert_eq!(closed(v4.into()).is_some(), is_special(v4), "{}", v4);
        }

        #[test]
        fn every_form_that_carries_an_ipv4_address_is_as_open_as_that(v4 in any_v4(), rest in any::<u16>()) {
            let bits = v4.to_bits();
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            for form in [
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x2002, high, low, rest, 0, 0, 0, rest],
                [0x2a00, rest, rest, rest, 0, 0x5efe, high, low],
            ] {
                let v6 = Ipv6Addr::from(form);
                prop_assert_eq!(closed(v6.into()).is_some(), is_special(v4), "{} carries {}", v6, v4);
            }
        }

        #[test]
        fn no_ipv6_address_is_open_that_is_not_global_unicast(bits in any::<u128>()) {
            let v6 = Ipv6Addr::from_bits(bits);
            let is_global = bits >> 125 == 1;
            let carries = carried(v6.segments()).is_some();
            prop_assert!(is_global || carries || closed(v6.into()).is_some(), "{}", v6);
        }
    }
}
