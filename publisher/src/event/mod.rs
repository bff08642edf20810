//! What did the publisher ask to publish, and is all of it right?
//!
//! Pure: bytes in, drafts or faults out; no clock, no I/O. [`request`] reads a body, [`count`] looks how much it holds, [`plain`] and [`cloudevent`]
//! know the two forms an event may have, [`notify`] what either says to inboxes, [`escalate`] who is told when nobody takes note of that, [`notice`] the form that is nothing else, [`binary`] makes the second of headers and a body, [`fields`] reads one field and names its fault, [`targets`] turns people
//! and roles into channels, and a [`draft::Draft`] becomes the bytes that go to the log.

pub mod binary;
mod cloudevent;
pub mod count;
pub mod draft;
mod escalate;
pub mod fault;
mod fields;
mod hint;
mod notice;
pub mod notify;
mod plain;
pub mod request;
pub mod rfc3339;
mod strict;
mod targets;

pub use draft::Draft;
pub use fault::{Fault, FaultCode, Faults, Place};
pub use notify::{Fill, Notify};
