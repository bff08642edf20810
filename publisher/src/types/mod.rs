//! What is said about types of events, and does this event keep to it?
//!
//! | module | question it answers |
//! |---|---|
//! | [`definition`] | what does a tenant say about one type? |
//! | [`audience`] | whom do notices of a type go to that name nobody? |
//! | `schema_check` | what may a tenant's JSON Schema say? |
//! | `schema` | which data breaks a type's schema, and where? |
//! | `template` | what does a template make of an event's variables, and if nothing, what is missing? |
//! | [`fill`] | what do a type's templates make of a notice that has no text of its own? |
//! | [`set`] | what do a tenant's types say about this event? |
//! | [`registry`] | which types has a tenant, and how do publishers hear of other ones? |
//!
//! All but the registry is pure: values in, texts or faults out.

pub mod audience;
pub mod definition;
pub mod fill;
pub mod registry;
mod schema;
mod schema_check;
pub mod set;
mod template;

pub use audience::TypeAudience;
pub use carillon_protocol::locale;
pub use definition::{Definition, Means, Texts};
pub use fill::{Rendered, Work};
pub use registry::Types;
pub use schema_check::SCHEMA_BYTES;
pub use set::{EventType, TypeSet, TypesOf, variables};
