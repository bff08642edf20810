//! How does what retention drops get into the archive, and how does it come back?
//!
//! One object a tenant and day, `day=2026-10-30/tenant=acme/events.ndjson.zst`: one line an event, one zstd frame with its content's
//! size and a checksum (several readers stop without an error at the end of a first frame). When all of a day's objects were read back,
//! its manifest is written, `day=2026-10-30/manifest.json`; only then does the day's partition go. What stands there without a manifest
//! is unfinished: it is written again and never read.
//!
//! | module | question it answers |
//! |---|---|
//! | `place` | where is the archive, is it ours, and how is a piece of it read and written? |
//! | `line` | what does an event look like in it? |
//! | `pack` | how do lines become a frame, and what is said about both? |
//! | `copy` | how does a tenant's day get there? |
//! | `read_back` | is an object what the manifest says? |
//! | `manifest` | what does a manifest say, and in which form? |
//! | `day` | what is left to do until a day's partition may go? |
//! | `restore` | how do lines come back? |
//! | `repair` | how does a manifest come back that cannot be read? |
//! | `lost` | which objects of a day are gone, as far as something still tells of them? |
//! | `fault` | what keeps a day from being archived? |
//! | `metrics` | what is counted? |
//!
//! **Invariants.** One publisher does it at a time, by a lease (`maintenance/archive.rs`). Memory is bounded whatever a day holds. What a
//! manifest names is never replaced by anything with other lines.

mod copy;
mod day;
mod fault;
mod line;
mod lost;
mod manifest;
mod metrics;
mod pack;
mod place;
mod read_back;
mod repair;
mod restore;

pub use day::{Archiver, Step};
pub use fault::Fault;
pub use manifest::{Entry, Manifest};
pub use metrics::ALL as METRICS;
pub(crate) use metrics::{describe_all, failed, state};
pub use place::{ArchiveUrl, Place};
pub use repair::{Repaired, Said, repair};
pub use restore::{Lines, Listed, restore, verify};
