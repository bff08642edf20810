//! How does the answer look?

use carillon_protocol::{Epoch, EventId, Seq, TenantId, UserId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Why an event reached a person, or why not.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Why {
    /// Whose log.
    #[schema(value_type = String)]
    pub(super) tenant: TenantId,
    /// The event that was asked about.
    #[schema(value_type = String)]
    pub(super) event: EventId,
    /// The person that was asked about.
    #[schema(value_type = String)]
    pub(super) user: UserId,
    /// The device that was asked about; null: any.
    pub(super) device: Option<String>,
    /// What stood in its way first, or how far it has got: a word of the contract's table.
    pub(super) verdict: &'static str,
    /// Whether it has reached them: a device has it, or they have looked at its notice. Null: nothing says.
    pub(super) delivered: Option<bool>,
    /// The same in words.
    pub(super) answer: String,
    /// The event's number; null: the log does not have it.
    #[schema(value_type = Option<u64>)]
    pub(super) seq: Option<Seq>,
    /// The epoch in which it counts; null: there is no log.
    #[schema(value_type = Option<String>)]
    pub(super) epoch: Option<Epoch>,
    /// What the answer is made of, in the order of the event's way.
    pub(super) facts: Vec<Fact>,
}

/// Something that is known.
#[derive(Serialize, ToSchema)]
pub(super) struct Fact {
    /// What it is about: `log`, `notice`, `channel`, `except`, `device`, `devices`, `sessions`, `activity`, `preferences`, `escalation` or `webhook`.
    pub(super) code: &'static str,
    /// Whether the event went on there.
    pub(super) is: Is,
    /// In words.
    pub(super) words: String,
    /// In numbers and names, by `code`.
    #[schema(value_type = Object)]
    pub(super) data: Value,
}

/// Whether the event went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Is {
    /// It went on.
    Yes,
    /// It did not.
    No,
    /// Nothing says.
    Unknown,
}

impl From<bool> for Is {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}
