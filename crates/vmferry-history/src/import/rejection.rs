//! Rows that are not taken, and why.

use std::fmt;

use thiserror::Error;

/// Text as one line without control characters, each of which is written as
/// its escape: what stands in a file must not steer a terminal.
pub fn printable(text: &str) -> String {
    // Also what turns the direction of text around.
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if steers(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
            out
        })
}

/// Longest text of a cell that is repeated.
const LONGEST: usize = 60;

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Error)]
pub struct RejectedRow {
    /// Line of the file, from 1; the header is line 1.
    pub line: u64,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// What stands there, cut after 60 characters, control characters escaped.
    pub value: Option<String>,
    /// What is wrong with it.
    pub reason: Rejection,
}

impl RejectedRow {
    /// A cell that is to blame.
    pub(super) fn of_cell(line: u64, column: &str, value: &str, reason: Rejection) -> Self {
        let start: String = value.chars().take(LONGEST).collect();
        let mut shown = printable(&start);
        if start.len() < value.len() {
            shown.push_str("...");
        }
        Self {
            line,
            column: Some(printable(column)),
            value: Some(shown),
            reason,
        }
    }
}

impl fmt::Display for RejectedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if let Some(column) = &self.column {
            write!(f, "column `{column}`: ")?;
        }
        if let Some(value) = self.value.as_deref().filter(|value| !value.is_empty()) {
            write!(f, "`{value}` ")?;
        }
        write!(f, "{}", self.reason)
    }
}

/// Why a row was not taken.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The cell is empty, or says that nothing is known.
    #[error("is missing")]
    Missing,
    /// The cell is no UTF-8 text.
    #[error("is no UTF-8 text; save the file as UTF-8")]
    NotText,
    /// The cell holds no number.
    #[error("is not a number; write digits, and a point for decimals")]
    NotANumber,
    /// The number is negative.
    #[error("is negative")]
    Negative,
    /// The number is outside what is believed.
    #[error("is not within {believed}; is the unit of `{field}` right?")]
    Absurd {
        /// The field with the unit that the column map gives.
        field: &'static str,
        /// Least and greatest value that is believed.
        believed: &'static str,
    },
    /// The technique is unknown.
    #[error("is no technique; write one of {known}")]
    UnknownTechnique {
        /// The techniques.
        known: String,
    },
    /// The time cannot be read.
    #[error("is no time; write it as 2026-01-31T12:00:00Z")]
    NotATime,
    /// The cell says neither yes nor no.
    #[error("says neither yes nor no; write true or false")]
    NotYesOrNo,
    /// The pause is longer than the migration.
    #[error(
        "is a downtime longer than the total time of {total_time_ms} ms; are both units right?"
    )]
    DowntimeAboveTotal {
        /// The total time.
        total_time_ms: f64,
    },
    /// So little was sent that pages would be missing.
    #[error(
        "is less than a byte for each page of {memory_bytes} bytes of memory; are both units right?"
    )]
    SentTooLittle {
        /// The guest's memory.
        memory_bytes: u64,
    },
    /// More was sent than the link carries.
    #[error(
        "is {times:.0} times what the bandwidth carries within the total time; are the units of all three right?"
    )]
    SentTooMuch {
        /// Bytes sent over bytes that the bandwidth carries.
        times: f64,
    },
    /// The link idled nearly all the time.
    #[error(
        "is so little that the bandwidth carries {times:.0} times as much within the total time; are the units of all three right?"
    )]
    LinkIdle {
        /// Bytes that the bandwidth carries over bytes sent.
        times: f64,
    },
    /// All memory is dirtied too often a second.
    #[error(
        "is {times:.0} times the whole memory every second; are both units right, and is it of pages that differ?"
    )]
    DirtyTooFast {
        /// Bytes dirtied a second over bytes of memory.
        times: f64,
    },
    /// The memory cannot have been sent.
    #[error(
        "is so short that sending the memory over the bandwidth takes {times:.0} times as long; are the units of all three right?"
    )]
    TooSoon {
        /// Time to send all memory over the total time.
        times: f64,
    },
    /// A migration that had to end took far longer than sending all memory.
    #[error(
        "is {times:.0} times what sending the memory over the bandwidth takes, at a dirty rate that cannot hold it up; are the units of all of them right? (map converged=COLUMN if it was cut off)"
    )]
    TooLate {
        /// The total time over the time to send all memory.
        times: f64,
    },
    /// An earlier row says the same in every mapped column.
    #[error(
        "says the same as line {line} in every mapped column; map run=COLUMN if they are two runs"
    )]
    Duplicate {
        /// The earlier row.
        line: u64,
    },
    /// The row has too few or too many columns.
    #[error("has {found} columns where the header has {expected}")]
    ColumnCount {
        /// Columns of the row.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
}
