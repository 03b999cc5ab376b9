//! Recording a guest's pages at length: every look goes to a sink as it is made, so that nothing
//! grows with the length of the recording but what the sink keeps.
//!
//! Pages are seen as in [`crate::pages`]: hashed from outside. KVM's dirty bitmap and ring are not
//! used: QEMU owns them, and does not hand them out without a migration.
//!
//! A look that is late makes its interval longer, and its time stamps say so; nothing is invented
//! for the looks that were missed.

mod choice;
mod options;
mod recorder;

pub use choice::RecordedPages;
pub use options::{PageChoice, RecordOptions};
pub use recorder::{PageSink, RecordEnd, Recorded, record, record_memory};
