//! What does a client ask for when it connects?

use super::opening::{Opening, object, opening};
use super::subscribe::types;
use super::{distinct, shortened};
use crate::channel::{Channel, ChannelPattern};
use crate::ident::{DeviceId, Epoch, InvalidName, LastEvent, Seq, TenantId};
use crate::limits;
use crate::types::TypeFilter;
use serde::Deserialize;
use std::borrow::Cow;

/// What a client asks for when it connects: in its URL, or in its first frame, which has room for more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectParameters {
    /// For tokens of several tenants.
    pub tenant: Option<TenantId>,
    /// The client installation's name.
    pub device: Option<DeviceId>,
    /// Further channels, all or none.
    pub channels: Vec<Channel>,
    /// Beginnings of channels (`contact:*`): for those that come with an API key.
    pub patterns: Vec<ChannelPattern>,
    /// The cursor to resume from.
    pub since: Option<Seq>,
    /// The epoch of that cursor.
    pub epoch: Option<Epoch>,
    /// The last event the client got.
    pub last: Option<LastEvent>,
    /// Which types of events the connection wants; none: all.
    pub types: Option<TypeFilter>,
    /// Whether the connection is told who is in these channels, now and from now on.
    pub presence: Option<bool>,
    /// Whether the welcome says how much of the person's inbox is unread.
    pub inbox: Option<bool>,
}

impl ConnectParameters {
    /// What these do not say, others may. A cursor is one thing: it comes whole from where `since` stands.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (since, epoch, last) = match self.since {
            Some(_) => (self.since, self.epoch, self.last),
            None => (other.since, other.epoch, other.last),
        };
        let names_none = self.channels.is_empty() && self.patterns.is_empty();
        let (channels, patterns) = match names_none {
            true => (other.channels, other.patterns),
            false => (self.channels, self.patterns),
        };
        Self {
            tenant: self.tenant.or(other.tenant),
            device: self.device.or(other.device),
            channels,
            patterns,
            since,
            epoch,
            last,
            types: self.types.or(other.types),
            presence: self.presence.or(other.presence),
            inbox: self.inbox.or(other.inbox),
        }
    }
}

/// The fields of a first frame alone.
#[derive(Deserialize, Default)]
struct ConnectFields<'a> {
    #[serde(borrow, default)]
    tenant: Option<Cow<'a, str>>,
    #[serde(default)]
    device: Option<Cow<'a, str>>,
    #[serde(default)]
    channels: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    since: Option<u64>,
    #[serde(default)]
    epoch: Option<Cow<'a, str>>,
    #[serde(default)]
    last: Option<Cow<'a, str>>,
    #[serde(default)]
    types: Option<Vec<Cow<'a, str>>>,
    #[serde(default)]
    presence: Option<bool>,
    #[serde(default)]
    inbox: Option<bool>,
}

/// What a first frame asks for beside its token, whose bearer is known by now. The fault in words.
pub fn connect_parameters(text: &str) -> Result<ConnectParameters, String> {
    let Opening { data, .. } = opening(text).map_err(|fault| fault.message)?;
    Ok(asked(text)?.or(object(data).map(asked).transpose()?.unwrap_or_default()))
}

/// What one object of a first frame asks for.
fn asked(object: &str) -> Result<ConnectParameters, String> {
    let fields: ConnectFields<'_> = serde_json::from_str(object).map_err(|error| error.to_string())?;
    let fault = |name: &str, error: InvalidName| format!("{name}: {error}");
    let (channels, patterns) = named(fields.channels.iter().flatten().map(Cow::as_ref))?;
    Ok(ConnectParameters {
        tenant: fields.tenant.map(|it| TenantId::new(&it).map_err(|e| fault("tenant", e))).transpose()?,
        device: fields.device.map(|it| DeviceId::new(&it).map_err(|e| fault("device", e))).transpose()?,
        channels,
        patterns,
        since: fields.since.map(Seq),
        epoch: fields.epoch.map(|it| Epoch::new(&it).map_err(|e| fault("epoch", e))).transpose()?,
        last: fields.last.map(|it| it.parse().map_err(|e| fault("last", e))).transpose()?,
        types: types(fields.types.as_deref())?,
        presence: fields.presence,
        inbox: fields.inbox,
    })
}

/// What a client names when it connects: channels, and beginnings of channels with a `*`, each once. The fault in words if
/// one is neither, or there are too many.
pub fn named<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Result<(Vec<Channel>, Vec<ChannelPattern>), String> {
    let (with_star, without): (Vec<&str>, Vec<&str>) = names.partition(|name| name.ends_with('*'));
    let mut patterns: Vec<ChannelPattern> = Vec::new();
    for name in with_star {
        let pattern = ChannelPattern::new(name).map_err(|e| format!("pattern {:?}: {e}", shortened(name)))?;
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
        if patterns.len() > limits::PATTERNS_PER_CONNECTION {
            return Err(format!("at most {} patterns", limits::PATTERNS_PER_CONNECTION));
        }
    }
    Ok((distinct(without.into_iter())?, patterns))
}

#[cfg(test)]
mod tests {
    use super::super::{Request, first_token, parse};
    use super::*;

    fn request(text: &str) -> Request {
        parse(text).unwrap().request
    }

    #[test]
    fn a_first_frame_says_what_a_url_says() {
        let connect = |text: &str| {
            assert_eq!(first_token(text).as_deref(), Ok("t"), "whatever else stands there");
            assert_eq!(request(text), Request::Auth { token: "t".into() });
            connect_parameters(text)
        };
        let wanted = ConnectParameters {
            tenant: Some(TenantId::new("acme").unwrap()),
            device: Some(DeviceId::new("phone").unwrap()),
            channels: vec![Channel::new("a").unwrap(), Channel::new("b").unwrap()],
            patterns: vec![ChannelPattern::new("c:*").unwrap()],
            since: Some(Seq(4)),
            epoch: Some(Epoch::new("e1").unwrap()),
            last: Some("4:id".parse().unwrap()),
            types: Some(TypeFilter::new(["order.*"]).unwrap()),
            presence: Some(true),
            inbox: Some(true),
        };
        let fields = r#""tenant":"acme","device":"phone","channels":["a","c:*","b","a","c:*"],"since":4,"epoch":"e1","last":"4:id","types":["order.*"],"presence":true,"inbox":true"#;
        assert_eq!(connect(&format!(r#"{{"type":"auth","token":"t",{fields}}}"#)), Ok(wanted.clone()));
        assert_eq!(
            connect(&format!(r#"{{"type":"auth","data":{{"token":"t",{fields}}}}}"#)),
            Ok(wanted.clone())
        );
        for bad in [
            r#""since":-1"#,
            r#""since":"4""#,
            r#""channels":"a""#,
            r#""channels":["a b"]"#,
            r#""channels":["a*b*"]"#,
            r#""epoch":"a b""#,
            r#""last":"4""#,
            r#""device":{}"#,
            r#""presence":"1""#,
            r#""inbox":1"#,
            r#""types":[]"#,
            r#""types":["a b"]"#,
        ] {
            assert!(connect(&format!(r#"{{"type":"auth","token":"t",{bad}}}"#)).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=limits::CHANNELS_PER_CONNECTION).map(|n| format!("\"c:{n}\"")).collect();
        let many = format!(r#"{{"type":"auth","token":"t","channels":[{}]}}"#, many.join(","));
        assert_eq!(connect(&many), Err("at most 1000 channels".into()));
        let many: Vec<String> = (0..33).map(|n| format!("c{n}:*")).collect();
        assert_eq!(named(many.iter().map(String::as_str)), Err("at most 32 patterns".into()));
        // A cursor is one thing; what a frame does not say its URL may.
        let frame =
            ConnectParameters { since: Some(Seq(9)), channels: Vec::new(), ..ConnectParameters::default() };
        let both = frame.or(wanted.clone());
        assert_eq!((both.since, both.epoch, both.last), (Some(Seq(9)), None, None));
        assert_eq!(
            (both.channels, both.patterns, both.tenant, both.device, both.types),
            (wanted.channels, wanted.patterns, wanted.tenant, wanted.device, wanted.types)
        );
    }
}
