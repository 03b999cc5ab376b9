//! One move and when it began.

use jiff::Timestamp;

use crate::predictor::{Ended, Measured};

/// Where a [`TimedMove`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Replayed over a recorded page history.
    Replayed,
    /// A real move, as the history of moves has it.
    Recorded,
}

/// One move, replayed or real, and when it began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedMove {
    /// When it began.
    pub at: Timestamp,
    /// What it cost; `None` where it did not converge within its deadline.
    pub ended: Option<Ended>,
    /// Where it comes from.
    pub origin: Origin,
}

impl TimedMove {
    /// A real move; `None` where its end tells nothing of what it costs: it
    /// failed, was cancelled early, or was not measured.
    pub fn recorded(at: Timestamp, measured: &Measured) -> Option<Self> {
        let ended = match measured.converged? {
            false => None,
            true => Some(Ended {
                total_s: measured.total_time?.0 / 1e3,
                downtime_s: measured.downtime?.0 / 1e3,
                transferred: measured.transferred?.0 as f64,
            }),
        };
        Some(Self {
            at,
            ended,
            origin: Origin::Recorded,
        })
    }
}
