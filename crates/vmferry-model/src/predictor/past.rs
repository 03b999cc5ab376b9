//! An earlier move: what was known before it, and what it did cost.

use vmferry_core::{ByteRate, Bytes, Millis, Outcome, OutcomeStatus, PAGE_SIZE};

use super::case::Case;
use super::predicted::Predicted;

/// An earlier move.
#[derive(Clone, Debug)]
pub struct Past<'a> {
    /// What was known before it.
    pub case: Case<'a>,
    /// What a model said before it, without corrections; `None` where nothing
    /// was recorded.
    pub said: Option<Predicted>,
    /// What it did cost.
    pub measured: Measured,
}

/// What a move did cost; a quantity is `None` where nobody measured it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Whether it converged by itself; `None` where its end tells nothing of
    /// that (it failed, or was cancelled early). Quantities of a move that did
    /// not converge are *censored*: its time is a lower bound.
    pub converged: Option<bool>,
    /// Total migration time.
    pub total_time: Option<Millis>,
    /// STOP at the source to RESUME at the destination.
    pub downtime: Option<Millis>,
    /// Bytes of the stream.
    pub transferred: Option<Bytes>,
    /// Mean dirty rate over its passes, weighed by their length (`liu2011`
    /// eq. 11), bytes per second.
    pub mean_dirty_rate: Option<ByteRate>,
}

impl Measured {
    /// Of a recorded outcome, for a move that should have converged within
    /// `deadline`.
    pub fn of_outcome(outcome: &Outcome, deadline: Millis) -> Self {
        let ran_ms = outcome
            .ended_at
            .duration_since(outcome.started_at)
            .as_secs_f64()
            * 1e3;
        let converged = match outcome.status {
            OutcomeStatus::Completed => outcome.total_time_ms.map(|total| total.0 <= deadline.0),
            OutcomeStatus::Cancelled if ran_ms >= deadline.0 => Some(false),
            OutcomeStatus::Cancelled | OutcomeStatus::Failed | OutcomeStatus::Unknown => None,
        };
        Self {
            converged,
            total_time: outcome.total_time_ms,
            downtime: outcome.downtime_ms,
            transferred: outcome.transferred_bytes,
            mean_dirty_rate: mean_dirty_rate(outcome),
        }
    }

    /// Whether it ended by itself, so that its quantities are what it cost.
    pub fn is_complete(&self) -> bool {
        self.converged == Some(true)
    }
}

/// `liu2011` eq. 11 over the passes that were seen: sum(D_i T_i) / sum(T_i).
fn mean_dirty_rate(outcome: &Outcome) -> Option<ByteRate> {
    let (mut dirtied, mut time) = (0.0, 0.0);
    for pair in outcome.pass_list.windows(2) {
        let length = pair[1].at_ms.0 - pair[0].at_ms.0;
        // QEMU tells the rate of a pass at the look that ends it.
        let Some(pages) = pair[1].dirty_pages_per_s.filter(|_| length > 0.0) else {
            continue;
        };
        dirtied += (pages * PAGE_SIZE.0) as f64 * length;
        time += length;
    }
    (time > 0.0).then(|| ByteRate(dirtied / time))
}
