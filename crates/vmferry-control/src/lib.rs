//! Policies without I/O: inputs and a time go in, events and actions come
//! out. The same code follows a live QEMU, a recorded trace and a replay.
//!
//! | module | what it decides |
//! |---|---|
//! | [`phase`] | which status may follow which |
//! | [`recovery`] | how a post-copy whose stream broke is put together again |
//! | [`supervise`] | what to tell and what to do while one guest moves |
//! | [`throttle`] | what guest, stream and pause are held to while it moves |

mod error;
pub mod phase;
pub mod recovery;
pub mod supervise;
pub mod throttle;
pub mod warning;

pub use error::ControlError;
pub use phase::{Transition, may_follow};
pub use recovery::{Recovery, Step};
pub use supervise::{EndKind, GuestEvent, Input, MigrationSample, Output, Side, Supervisor};
pub use warning::Warning;
