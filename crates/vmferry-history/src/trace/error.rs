//! Why a trace cannot be written, read or used, and what to do about it.

use std::io;

use thiserror::Error;
use vmferry_core::Bytes;

/// Why a trace cannot be written, read or used. `trace` names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is a file already, and nobody said that it may go.
    #[error("{trace} exists; give another file, or --force to overwrite it")]
    Exists {
        /// The file.
        trace: String,
    },
    /// It cannot be opened or created.
    #[error("{trace} cannot be opened: {source}; check its path and permissions")]
    Open {
        /// The file.
        trace: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("{trace} cannot be read from byte {at_byte} on: {source}; check its disk")]
    Read {
        /// The file.
        trace: String,
        /// Where.
        at_byte: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// No space is left.
    #[error(
        "{trace} cannot be written: the disk is full; what was recorded until {recorded_ms} ms can \
         be read; free space there, or record to another disk"
    )]
    Full {
        /// The file.
        trace: String,
        /// How much of the recording is in the file.
        recorded_ms: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot be written.
    #[error(
        "{trace} cannot be written: {source}; what was recorded until {recorded_ms} ms can be read"
    )]
    Write {
        /// The file.
        trace: String,
        /// How much of the recording is in the file.
        recorded_ms: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{trace} is no trace: it does not begin like one; `vmferry record` makes one")]
    NotATrace {
        /// The file.
        trace: String,
    },
    /// A newer vmferry wrote it.
    #[error(
        "{trace} is too new: trace format {found} (written by vmferry {tool}), this vmferry {} \
         reads up to {known}; use a newer vmferry",
        env!("CARGO_PKG_VERSION")
    )]
    TooNew {
        /// The file.
        trace: String,
        /// Its format.
        found: u32,
        /// Newest format that is known here.
        known: u32,
        /// Version of vmferry that wrote it.
        tool: String,
    },
    /// A vmferry wrote it that is no longer understood.
    #[error(
        "{trace} is too old: trace format {found} (written by vmferry {tool}), this vmferry {} \
         reads from {known} on; read it with that vmferry, or record again",
        env!("CARGO_PKG_VERSION")
    )]
    TooOld {
        /// The file.
        trace: String,
        /// Its format.
        found: u32,
        /// Oldest format that is known here.
        known: u32,
        /// Version of vmferry that wrote it.
        tool: String,
    },
    /// It ends before it says what was recorded.
    #[error(
        "{trace} is cut off at byte {at_byte}, before its first interval: nothing can be read; \
         record again"
    )]
    CutInHeader {
        /// The file.
        trace: String,
        /// Its length.
        at_byte: u64,
    },
    /// Its bytes are not those that were written.
    #[error(
        "{trace} is damaged at byte {at_byte}: {problem}; the {whole_frames} frames before it can \
         be used, what follows cannot: copy the file again, or record again"
    )]
    Damaged {
        /// The file.
        trace: String,
        /// Start of the frame that is damaged.
        at_byte: u64,
        /// What is wrong with it.
        problem: &'static str,
        /// Frames of intervals before it.
        whole_frames: u64,
    },
    /// Time does not grow.
    #[error(
        "{trace}: the clock jumps back from {before_us} us to {after_us} us (frame at byte \
         {at_byte}); only what lies before can be used: record again"
    )]
    ClockBack {
        /// The file.
        trace: String,
        /// Start of the frame.
        at_byte: u64,
        /// End of the interval before, from the start of the recording.
        before_us: u64,
        /// What follows it.
        after_us: u64,
    },
    /// More pages than a trace holds.
    #[error(
        "{trace}: {pages} pages are more than one trace holds: a whole guest of {} pages, or a \
         subset of {}; record fewer (--pages N)",
        super::MAX_PAGES,
        super::MAX_RUNS
    )]
    TooManyPages {
        /// The file.
        trace: String,
        /// How many.
        pages: u64,
    },
    /// It was recorded of another guest.
    #[error("{trace} was recorded of another guest: {difference}; record this one")]
    OtherGuest {
        /// The file.
        trace: String,
        /// In what they differ.
        difference: String,
    },
    /// Too little was recorded for what was asked.
    #[error(
        "{trace}: {length_ms} ms were recorded, none of it within what was asked for; ask for \
         another part, or record longer"
    )]
    Empty {
        /// The file.
        trace: String,
        /// What was recorded.
        length_ms: u64,
    },
    /// What was asked for does not fit in the memory that may be used.
    #[error(
        "{trace}: that part takes more than {most} of memory; ask for fewer pages or a shorter part"
    )]
    TooLarge {
        /// The file.
        trace: String,
        /// The bound.
        most: Bytes,
    },
    /// The export could not be written.
    #[error("{file} cannot be written: {source}; check the output's disk or reader")]
    Export {
        /// The file or stream.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// An export in a form that this build does not know.
    #[error(
        "{file}: this vmferry was built without Parquet; build it with `cargo build --release -p \
         vmferry-cli --features parquet`, or export to a .csv file"
    )]
    NoParquet {
        /// The file that was asked for.
        file: String,
    },
}

impl TraceError {
    /// What the system said while a trace was written that holds `recorded_us` so far.
    pub(super) fn of_write(trace: &str, recorded_us: u64, source: io::Error) -> Self {
        let (trace, recorded_ms) = (trace.to_owned(), recorded_us / 1000);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                trace,
                recorded_ms,
                source,
            },
            _ => Self::Write {
                trace,
                recorded_ms,
                source,
            },
        }
    }

    /// Whether the trace itself is at fault, against the disk it lies on.
    pub fn is_bad_trace(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. } | Self::Full { .. } | Self::Write { .. } | Self::Export { .. }
        )
    }
}
