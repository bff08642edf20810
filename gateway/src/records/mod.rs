//! What does a node store about its clients beside the log, and how does it reach Postgres?
//!
//! Shards put records in; one task writes what waits, once a second, each kind in one statement. Nobody waits for it: while Postgres is away
//! records gather, those about the same thing as one, up to a bound of their kind; what does not fit is let go and counted.
//!
//! | module | question it answers |
//! |---|---|
//! | `waiting` | which records of a kind wait to be written? |
//! | `writer` | when are they written? |
//! | `device` | what is stored of a device? |
//! | `session` | what is stored of a connection? |
//! | `activity` | what is stored of what people do? |
//!
//! A further kind is a file with a [`Record`](waiting::Record), a field of [`Records`] and a line in each of the writer's two functions.

mod activity;
mod device;
mod session;
mod waiting;
mod writer;

pub(crate) use activity::ActivityRecord;
pub(crate) use device::{DeviceKey, DeviceRecord};
pub(crate) use session::{Keeping, SessionRecord};
pub(crate) use waiting::Kind;
pub(crate) use writer::RecordWriter;

use std::sync::Arc;

/// All kinds, shared by the shards and the task that writes. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Records {
    /// How far devices are.
    pub(crate) devices: Kind<DeviceRecord>,
    /// Who is connected, and why whoever was left.
    pub(crate) sessions: Kind<SessionRecord>,
    /// How the latter are stored; none: they are not.
    pub(crate) keeping: Option<Arc<Keeping>>,
    /// What people do.
    pub(crate) activity: Kind<ActivityRecord>,
}
