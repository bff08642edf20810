//! In which form does a connection get its events?

use super::namespaces::Namespace;

/// Under which names a connection gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Each under its type: `(data, meta)`.
    Type,
    /// All under [`ENVELOPE`](super::outgoing::ENVELOPE): the whole object.
    Envelope,
}

/// Whether events carry where their reader is, as the offset that clients send when they come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// They do not: a client that does not recover takes it for one argument more.
    None,
    /// The position in the log. Which channels it is in, a client says itself when it comes back.
    Position,
    /// The position, and that the channels stand in the session's value.
    Rooms,
}

/// How a connection gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Under which names.
    pub naming: Naming,
    /// With which offset.
    pub offset: Offset,
    /// In which namespace.
    pub namespace: Namespace,
}

impl Form {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// Of a client that has said nothing about it.
    pub const PLAIN: Self = Self { naming: Naming::Type, offset: Offset::None, namespace: Namespace::MAIN };

    /// Its number in its namespace, below [`COUNT`](Self::COUNT).
    pub fn number(self) -> usize {
        let naming = match self.naming {
            Naming::Type => 0,
            Naming::Envelope => 3,
        };
        let offset = match self.offset {
            Offset::None => 0,
            Offset::Position => 1,
            Offset::Rooms => 2,
        };
        naming + offset
    }
}
