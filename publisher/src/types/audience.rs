//! Whom do notices of a type go to that name nobody?
//!
//! The same as in a notice's `audience`: everyone, roles, channels and people, at most as many as an event may go to.

use crate::event::{Fault, FaultCode, Faults};
use crate::members::Members;
use carillon_protocol::{Channel, UserId, limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;

/// The names of its members.
pub const KNOWN: &str = "tenant, roles, channels and users";

/// Whom they go to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeAudience {
    /// Everyone in the tenant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tenant: bool,
    /// People with these roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whoever is in these channels or follows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// These people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
}

impl TypeAudience {
    /// Reads it from a request.
    pub(super) fn read(mut members: Members, at: &str, faults: &mut Faults) -> Self {
        let before = faults.len();
        let mut names = |name: &str, check: &dyn Fn(&str) -> Option<String>| {
            let Some(value) = members.take(name) else { return Vec::new() };
            let place = members.pointer(name);
            let Value::Array(all) = value else {
                faults.add(Fault::at(place, FaultCode::WrongType, "must be an array of texts"));
                return Vec::new();
            };
            let mut read = Vec::new();
            for (index, one) in all.into_iter().enumerate() {
                let place = format!("{place}/{index}");
                match one {
                    Value::String(text) => match check(&text) {
                        None => read.push(text),
                        Some(fault) => faults.add(Fault::at(place, FaultCode::Invalid, fault)),
                    },
                    _ => faults.add(Fault::at(place, FaultCode::WrongType, "must be a text")),
                }
            }
            read
        };
        let audience = Self {
            roles: names("roles", &|text| Channel::role(text).err().map(|fault| fault.to_string())),
            channels: names("channels", &|text| Channel::new(text).err().map(|fault| fault.to_string())),
            users: names("users", &|text| UserId::new(text).err().map(|fault| fault.to_string())),
            tenant: members.flag("tenant", faults).unwrap_or(false),
        };
        members.end(KNOWN, faults);
        let most = limits::CHANNELS_PER_EVENT;
        match audience.to_channels().len() {
            0 if faults.len() == before => {
                let detail = format!("must name somebody: {KNOWN}");
                faults.add(Fault::at(at, FaultCode::Required, detail));
            }
            some if some > most => {
                let detail = format!("makes {some} channels; at most {most} are allowed");
                faults.add(Fault::at(at, FaultCode::TooMany, detail));
            }
            _ => {}
        }
        audience
    }

    /// The channels that it makes, each once, in the order of a request's: channels, users, roles, tenant.
    pub fn to_channels(&self) -> Vec<Channel> {
        let channels = self.channels.iter().filter_map(|name| Channel::new(name).ok());
        let users =
            self.users.iter().filter_map(|name| UserId::new(name).ok()).map(|user| Channel::user(&user));
        let roles = self.roles.iter().filter_map(|name| Channel::role(name).ok());
        let mut seen = HashSet::new();
        let all = channels.chain(users).chain(roles).chain(self.tenant.then(Channel::tenant));
        all.filter(|channel| seen.insert(channel.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<TypeAudience, Vec<(String, FaultCode)>> {
        let mut faults = Faults::default();
        let members = Members::of(value, "/audience", KNOWN, &mut faults).unwrap();
        let audience = TypeAudience::read(members, "/audience", &mut faults);
        let place = |fault: Fault| match fault.place {
            crate::event::Place::Pointer(pointer) => (pointer, fault.code),
            other => panic!("{other:?}"),
        };
        let faults: Vec<_> = faults.into_vec().into_iter().map(place).collect();
        if faults.is_empty() { Ok(audience) } else { Err(faults) }
    }

    #[test]
    fn an_audience_is_the_channels_that_it_names_each_once() {
        let whole = json!({"tenant": true, "roles": ["clerk"], "channels": ["order:7", "user:mila"], "users": ["mila"]});
        let audience = read(whole.clone()).unwrap();
        let channels = audience.to_channels();
        let names: Vec<&str> = channels.iter().map(Channel::as_str).collect();
        assert_eq!(names, ["order:7", "user:mila", "role:clerk", "tenant"]);
        assert_eq!(serde_json::to_value(&audience).unwrap(), whole);
        assert_eq!(serde_json::from_value::<TypeAudience>(whole).unwrap(), audience);
    }

    #[test]
    fn what_is_wrong_with_one_is_named() {
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        for (value, place, code) in [
            (json!({}), "/audience", FaultCode::Required),
            (json!({"tenant": false}), "/audience", FaultCode::Required),
            (json!({"users": many}), "/audience", FaultCode::TooMany),
            (json!({"users": "mila"}), "/audience/users", FaultCode::WrongType),
            (json!({"users": ["mila", 7]}), "/audience/users/1", FaultCode::WrongType),
            (json!({"channels": ["a b"]}), "/audience/channels/0", FaultCode::Invalid),
            (json!({"everyone": true, "tenant": true}), "/audience/everyone", FaultCode::UnknownField),
        ] {
            assert_eq!(read(value.clone()), Err(vec![(place.to_owned(), code)]), "{value}");
        }
    }
}
