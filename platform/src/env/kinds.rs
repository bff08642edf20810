//! Which kinds of values are there, and how is each written?

use super::{Cidr, Kind, Secret};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest part of a wrong value that an error repeats, in characters.
const SHOWN_CHARS: usize = 64;

/// A wrong value as errors show it: quoted, control characters escaped, cut when long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A text that a rule accepts; the words say the rule.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// The rule in words.
    pub allowed: &'static str,
    /// The rule.
    pub valid: fn(&str) -> bool,
}

/// A text of one line.
pub const TEXT: Checked = Checked {
    allowed: "1-1024 bytes of text without control characters",
    valid: |text| text.len() <= 1024 && !text.chars().any(char::is_control),
};

impl Kind for Checked {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        if (self.valid)(text) { Ok(text.to_owned()) } else { Err(format!("is {}", shown(text))) }
    }

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy)]
pub struct Socket;

impl Kind for Socket {
    type Value = SocketAddr;

    fn parse(&self, text: &str) -> Result<SocketAddr, String> {
        text.parse().map_err(|_| format!("is {}, not an address with a port", shown(text)))
    }

    fn allowed(&self) -> String {
        "ip:port, for example 0.0.0.0:8080 or [::]:8080 (IPv6 and IPv4)".to_owned()
    }
}

/// An address, without a port.
#[derive(Debug, Clone, Copy)]
pub struct Ip;

impl Kind for Ip {
    type Value = IpAddr;

    fn parse(&self, text: &str) -> Result<IpAddr, String> {
        let address: IpAddr = text.parse().map_err(|_| format!("is {}, not an address", shown(text)))?;
        if address.is_unspecified() { Err("stands for every address".to_owned()) } else { Ok(address) }
    }

    fn allowed(&self) -> String {
        "an IP address, for example 10.0.0.7 or fd00::7".to_owned()
    }
}

fn whole_number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| format!("is {}, not a whole number", shown(text)))
}

fn within(value: u64, text: &str, min: u64, max: u64) -> Result<u64, String> {
    if value < min {
        Err(format!("is {}, too small", shown(text)))
    } else if value > max {
        Err(format!("is {}, too large", shown(text)))
    } else {
        Ok(value)
    }
}

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Millis {
    /// Shortest, inclusive.
    pub min: u64,
    /// Longest, inclusive.
    pub max: u64,
}

impl Kind for Millis {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        within(whole_number(text)?, text, self.min, self.max).map(Duration::from_millis)
    }

    fn allowed(&self) -> String {
        format!("milliseconds, {} to {}", self.min, self.max)
    }
}

/// A number of things.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    /// Fewest, inclusive.
    pub min: u32,
    /// Most, inclusive.
    pub max: u32,
}

impl Kind for Count {
    type Value = u32;

    fn parse(&self, text: &str) -> Result<u32, String> {
        let number = within(whole_number(text)?, text, self.min.into(), self.max.into())?;
        u32::try_from(number).map_err(|_| format!("is {}, too large", shown(text)))
    }

    fn allowed(&self) -> String {
        format!("a whole number, {} to {}", self.min, self.max)
    }
}

/// A size in bytes: a number alone, or with `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// Smallest, inclusive.
    pub min: u64,
    /// Largest, inclusive.
    pub max: u64,
}

const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl Kind for Bytes {
    type Value = usize;

    fn parse(&self, text: &str) -> Result<usize, String> {
        let unit = UNITS.iter().find_map(|(name, factor)| Some((text.strip_suffix(name)?, *factor)));
        let (digits, factor) = unit.unwrap_or((text, 1));
        let number = whole_number(digits).map_err(|_| format!("is {}, not a size", shown(text)))?;
        let too_large = || format!("is {}, too large", shown(text));
        let bytes = number.checked_mul(factor).ok_or_else(too_large)?;
        usize::try_from(within(bytes, text, self.min, self.max)?).map_err(|_| too_large())
    }

    fn allowed(&self) -> String {
        format!("bytes, or with KiB, MiB or GiB, {} to {}", in_units(self.min), in_units(self.max))
    }
}

fn in_units(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{} {name}", bytes / factor))
}

/// One of a few words, each with its meaning.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

/// A switch.
pub const ON_OFF: OneOf<bool> = OneOf(&[("on", true), ("off", false)]);

impl<T: Copy + Sync> Kind for OneOf<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| format!("is {}", shown(text)))
    }

    fn allowed(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => words.concat(),
        }
    }
}

/// Several values of one kind, separated by commas; blanks around an item do not count. At most 256.
#[derive(Debug, Clone, Copy)]
pub struct List<K>(pub K);

const LIST_ITEMS: usize = 256;

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;
    const SECRET: bool = K::SECRET;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text.split(',').nth(LIST_ITEMS).is_some() {
            return Err(format!("has more than {LIST_ITEMS} items"));
        }
        let item = |(n, item): (usize, &str)| match item.trim() {
            "" => Err(format!("has an empty item at place {}", n + 1)),
            item => self.0.parse(item).map_err(|fault| format!("at place {} {fault}", n + 1)),
        };
        text.split(',').enumerate().map(item).collect()
    }

    fn allowed(&self) -> String {
        format!("a comma-separated list, each item: {}", self.0.allowed())
    }
}

/// A list of networks.
#[derive(Debug, Clone, Copy)]
pub struct Cidrs;

impl Kind for Cidrs {
    type Value = Vec<Cidr>;

    fn parse(&self, text: &str) -> Result<Vec<Cidr>, String> {
        if text.split(',').nth(LIST_ITEMS).is_some() {
            return Err(format!("has more than {LIST_ITEMS} items"));
        }
        text.split(',')
            .map(|item| item.trim().parse().map_err(|fault| format!("is wrong: {fault}")))
            .collect()
    }

    fn allowed(&self) -> String {
        "a comma-separated list of addresses and networks, for example 10.0.0.0/8, fd00::/8".to_owned()
    }
}

/// A file's path. Whether the file is there is found out by who reads it.
#[derive(Debug, Clone, Copy)]
pub struct Path;

impl Kind for Path {
    type Value = PathBuf;

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        if text.contains('\0') { Err("holds a zero byte".to_owned()) } else { Ok(PathBuf::from(text)) }
    }

    fn allowed(&self) -> String {
        "the path of a readable file".to_owned()
    }
}

/// A URL that holds no password.
#[derive(Debug, Clone, Copy)]
pub struct Url(pub &'static [&'static str]);

impl Kind for Url {
    type Value = reqwest::Url;

    fn parse(&self, text: &str) -> Result<reqwest::Url, String> {
        let url = parse_url(text, self.0)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name or password, which would be shown".to_owned());
        }
        Ok(url)
    }

    fn allowed(&self) -> String {
        format!("a URL that begins with {}", beginnings(self.0))
    }
}

fn parse_url(text: &str, schemes: &[&str]) -> Result<reqwest::Url, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if schemes.contains(&url.scheme()) { Ok(url) } else { Err("has another beginning".to_owned()) }
}

fn beginnings(schemes: &[&str]) -> String {
    schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ")
}

/// A URL that may hold a password and is therefore secret as a whole.
#[derive(Debug, Clone, Copy)]
pub struct SecretUrl(pub &'static [&'static str]);

impl Kind for SecretUrl {
    type Value = Secret;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<Secret, String> {
        parse_url(text, self.0).map(|_| Secret::new(text))
    }

    fn allowed(&self) -> String {
        format!("a URL that begins with {}", beginnings(self.0))
    }
}

/// The same, of one server or several: `postgres://login@one:5432,other:5432/name`.
#[derive(Debug, Clone, Copy)]
pub struct SecretUrlOfServers(pub &'static [&'static str]);

impl Kind for SecretUrlOfServers {
    type Value = Secret;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<Secret, String> {
        let (scheme, after) = text.split_once("://").ok_or("is not a URL: it has no ://")?;
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (login, servers) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        for server in servers.split(',') {
            parse_url(&format!("{scheme}://{login}{server}{rest}"), self.0)?;
        }
        Ok(Secret::new(text))
    }

    fn allowed(&self) -> String {
        format!("a URL that begins with {}, of one server or several", beginnings(self.0))
    }
}

/// A key or password.
#[derive(Debug, Clone, Copy)]
pub struct SecretText {
    /// Fewest bytes.
    pub min: usize,
}

impl Kind for SecretText {
    type Value = Secret;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<Secret, String> {
        if text.len() < self.min {
            return Err(format!("has only {} bytes", text.len()));
        }
        Ok(Secret::new(text))
    }

    fn allowed(&self) -> String {
        format!("a secret of at least {} bytes", self.min)
    }
}

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod tests;
