//! What is told of a tenant's connections and channels, and to whom? (pure)
//!
//! Events of these types are in the log of those tenants alone whose webhooks name one of them.

/// The types.
pub const TYPES: [&str; 4] =
    ["connection.opened", "connection.closed", "channel.occupied", "channel.vacated"];
/// The channel of these events: nobody is in it who was not given this role.
pub const CHANNEL: &str = "role:connections";

/// Whether this is one of the types.
pub fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// The channel that such an event is about: the one that its subject names or, of a connection, that of its person.
pub fn about(kind: &str, subject: &str) -> String {
    match kind.starts_with("connection.") {
        true => format!("user:{subject}"),
        false => subject.to_owned(),
    }
}
