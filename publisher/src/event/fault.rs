//! What exactly is wrong with a request, and where?
//!
//! Every fault of a request is collected before the answer, so a publisher mends all of them at once.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write;

/// Most faults one answer lists; a request with more of them ends its list with [`FaultCode::More`].
pub const LISTED_FAULTS: usize = 100;

/// Which part of the request a fault is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A JSON pointer (RFC 6901) into the request body; `""` is the whole body.
    Pointer(String),
    /// The name of a query parameter.
    Parameter(String),
    /// The name of a request header.
    Header(Cow<'static, str>),
}

macro_rules! fault_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// The stable names of faults, as `errors[].code` carries them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FaultCode { $($(#[doc = $doc])+ $name,)+ }

        impl FaultCode {
            /// Every code with its meaning, for the API description.
            pub const ALL: &'static [(FaultCode, &'static str)] =
                &[$((FaultCode::$name, concat!($($doc),+)),)+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

fault_codes! {
    /// A field that must be given is missing or null.
    Required = "required",
    /// The field is not part of the contract.
    UnknownField = "unknown_field",
    /// The JSON type is not the one the field has.
    WrongType = "wrong_type",
    /// The value is outside of what the field allows.
    Invalid = "invalid",
    /// The text is longer than the field allows.
    TooLong = "too_long",
    /// More elements than allowed.
    TooMany = "too_many",
    /// The array holds no event.
    Empty = "empty",
    /// The event's CloudEvents JSON is larger than 64 KiB.
    TooLarge = "too_large",
    /// Arrays and objects are nested deeper than 64 levels.
    TooDeep = "too_deep",
    /// An object names the same member twice.
    DuplicateKey = "duplicate_key",
    /// Two events of the array have the same `id`.
    DuplicateId = "duplicate_id",
    /// Two fields exclude each other.
    Conflicting = "conflicting",
    /// The event names nobody: none of `channels`, `users`, `roles` and `tenant_wide`.
    TargetRequired = "target_required",
    /// The credential is for several tenants and the request names none.
    TenantRequired = "tenant_required",
    /// The credential is not for this tenant.
    TenantForbidden = "tenant_forbidden",
    /// The tenant is not registered.
    UnknownTenant = "unknown_tenant",
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended",
    /// Only an administrator publishes in another person's name.
    ActorForbidden = "actor_forbidden",
    /// Neither the credentials nor a channel rule allow it.
    Forbidden = "forbidden",
    /// What clients publish in this channel does not go into the log: it is published on a WebSocket.
    NotDurable = "not_durable",
    /// Known, and not available in this release or this installation.
    NotAvailable = "not_available",
    /// The idempotency key was used before for another request.
    IdempotencyMismatch = "idempotency_mismatch",
    /// The event's data breaks the schema of its type.
    Schema = "schema",
    /// A template is none, or cannot be filled.
    Template = "template",
    /// The query parameter is not known.
    UnknownParameter = "unknown_parameter",
    /// The query parameter is given more than once.
    RepeatedParameter = "repeated_parameter",
    /// The cursor is not one this log has issued.
    InvalidCursor = "invalid_cursor",
    /// There are more faults than the answer lists.
    More = "more",
}

impl Serialize for FaultCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One fault: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What, for programs.
    pub code: FaultCode,
    /// What, for people. Never repeats a value of the request.
    pub detail: String,
}

impl Fault {
    /// A fault in the request body.
    pub fn at(pointer: impl Into<String>, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer.into()), code, detail: detail.into() }
    }

    /// A fault in a query parameter.
    pub fn in_parameter(name: impl Into<String>, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), code, detail: detail.into() }
    }

    /// A fault in a header.
    pub fn in_header(name: &'static str, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { place: Place::Header(name.into()), code, detail: detail.into() }
    }
}

/// The faults found so far; bounded, so that a hostile request cannot make a large answer.
#[derive(Debug, Default)]
pub struct Faults {
    listed: Vec<Fault>,
    more: bool,
}

impl Faults {
    /// Adds a fault, or only remembers that there are more than an answer lists.
    pub fn add(&mut self, fault: Fault) {
        if self.listed.len() < LISTED_FAULTS {
            self.listed.push(fault);
        } else {
            self.more = true;
        }
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Faults) {
        self.more |= other.more;
        other.listed.into_iter().for_each(|fault| self.add(fault));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// How many are listed.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// The list as the answer carries it.
    pub fn into_vec(mut self) -> Vec<Fault> {
        if self.more {
            self.listed.push(Fault::at("", FaultCode::More, "further faults are not listed"));
        }
        self.listed
    }
}

/// A JSON pointer to the member `name` of what `parent` points to.
pub fn member(parent: &str, name: &str) -> String {
    let mut pointer = String::with_capacity(parent.len() + name.len() + 1);
    pointer.push_str(parent);
    pointer.push('/');
    for c in name.chars().take(256) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

/// A JSON pointer to the element `index` of what `parent` points to.
pub fn element(parent: &str, index: usize) -> String {
    let mut pointer = parent.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(pointer, "/{index}");
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_what_rfc_6901_says() {
        assert_eq!(member("/3", "a/b~c"), "/3/a~1b~0c");
        assert_eq!(element("/users", 4), "/users/4");
    }

    #[test]
    fn the_list_is_bounded_and_says_so() {
        let mut faults = Faults::default();
        for index in 0..LISTED_FAULTS + 5 {
            faults.add(Fault::at(element("", index), FaultCode::Required, "x"));
        }
        let listed = faults.into_vec();
        assert_eq!(listed.len(), LISTED_FAULTS + 1);
        assert_eq!(listed[LISTED_FAULTS].code, FaultCode::More);
    }

    #[test]
    fn a_fault_says_where_in_one_member() {
        let json = |fault: Fault| serde_json::to_string(&fault).unwrap();
        assert_eq!(
            json(Fault::at("/type", FaultCode::Required, "is required")),
            r#"{"pointer":"/type","code":"required","detail":"is required"}"#
        );
        assert_eq!(
            json(Fault::in_parameter("limit", FaultCode::Invalid, "no")),
            r#"{"parameter":"limit","code":"invalid","detail":"no"}"#
        );
    }
}
