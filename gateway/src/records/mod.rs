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
//!
//! A further kind is a file with a [`Record`], a field of [`Records`] and a line in each of the writer's two functions.

mod device;
mod waiting;
mod writer;

pub(crate) use device::{DeviceKey, DeviceRecord};
pub(crate) use waiting::Kind;
pub(crate) use writer::RecordWriter;

/// All kinds, shared by the shards and the task that writes. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct Records {
    /// How far devices are.
    pub(crate) devices: Kind<DeviceRecord>,
}
