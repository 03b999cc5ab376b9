//! Recorded page history in a file: which pages of a guest were dirtied in every interval.
//!
//! A trace is a preamble (magic, format version, tool version), then frames that each stand alone:
//! a header, the recorded pages, intervals, an end. A trace that is cut off is read up to the cut;
//! a damaged one up to the damage. The format is described byte by byte in `docs/trace-format.md`.
//!
//! ```
//! # fn example(trace: &std::path::Path) -> Result<(), vmferry_history::trace::TraceError> {
//! use vmferry_history::trace::TraceReader;
//!
//! let mut reader = TraceReader::open(trace)?;
//! println!("{} pages of {}", reader.pages().len(), reader.header().guest.label());
//! while let Some(frame) = reader.next_frame()? {
//!     for interval in frame.intervals() {
//!         println!("{} us: {} pages", interval.end_us, interval.dirty.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod end;
mod error;
pub mod export;
mod frame;
mod header;
mod interval;
mod page_history;
mod page_set;
mod parts;
mod preamble;
mod reader;
mod summary;
mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use end::{EndReason, TraceEnd, TraceFooter};
pub use error::TraceError;
pub use header::{PageSource, TraceBlock, TraceHeader};
pub use interval::{DirtyPages, Frame, Interval};
pub use page_history::HistoryBounds;
pub use page_set::{PageRun, PageSet};
pub use parts::{PartBounds, TracePart};
pub use preamble::{FORMAT_VERSION, OLDEST_FORMAT_VERSION};
pub use reader::TraceReader;
pub use summary::{TraceSummary, summarise};
pub use writer::TraceWriter;

/// Most pages of one trace: the whole of a guest of 1 TiB. Larger guests are recorded as a subset.
pub const MAX_PAGES: u64 = 1 << 28;

/// Most runs of neighbouring pages, which is what a subset consists of: bounds the list of pages to
/// one frame.
pub const MAX_RUNS: u64 = 1 << 20;
