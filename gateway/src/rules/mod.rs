//! Which rules has a tenant that this node serves?
//!
//! Rules hang on the tenant's stream: compiled once for a version, shared by all of the node, forgotten with the stream.
//!
//! | module | question it answers |
//! |---|---|
//! | [`book`] | who reads rules from the database and makes them ready to be asked? |

mod book;

pub(crate) use book::{Known, RuleBook};
