//! Which windows come in which order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vmferry::core::{Millis, Ratio};
use vmferry::measure::{BACKGROUND_BUDGET, BURST_BUDGET, LONGEST_BURST};

/// Whether, and how hard, the guest is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Not at all.
    Alone,
    /// At length, within the budget of a `measure` or `watch`.
    Background,
    /// Shortly, within the budget of a `predict` or `migrate`.
    Burst,
}

impl Kind {
    /// Share of one core it may take; `None` without observation.
    pub(crate) fn budget(self) -> Option<Ratio> {
        match self {
            Self::Alone => None,
            Self::Background => Some(BACKGROUND_BUDGET),
            Self::Burst => Some(BURST_BUDGET),
        }
    }
}

/// Lengths and number of windows.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Schedule {
    /// How often each kind of observation is made.
    pub(crate) repeats: u32,
    /// For the guest to settle after its boot.
    settle_ms: Millis,
    alone_ms: Millis,
    background_ms: Millis,
    burst_ms: Millis,
}

impl Schedule {
    /// Long enough that a fall of 1 % shows.
    pub(crate) fn full() -> Self {
        Self {
            repeats: 3,
            settle_ms: Millis(15e3),
            alone_ms: Millis(40e3),
            background_ms: Millis(90e3),
            burst_ms: LONGEST_BURST.into(),
        }
    }

    /// Long enough to see that all of it works.
    pub(crate) fn quick() -> Self {
        Self {
            repeats: 1,
            settle_ms: Millis(2e3),
            alone_ms: Millis(5e3),
            background_ms: Millis(20e3),
            burst_ms: Millis(5e3),
        }
    }

    /// For the guest to settle after its boot.
    pub(crate) fn settle(&self) -> Duration {
        self.settle_ms.duration()
    }

    /// The window that is asked for. An observation takes up to half as long
    /// again, since it counts the zero pages first, and lists the rewritten ones.
    pub(crate) fn window(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Alone => self.alone_ms,
            Kind::Background => self.background_ms,
            Kind::Burst => self.burst_ms,
        }
        .duration()
    }

    /// All windows in order: every observation lies between two windows
    /// without one, so that a guest that drifts does not pass for one that is
    /// slowed.
    pub(crate) fn windows(&self) -> Vec<Kind> {
        let round = [Kind::Alone, Kind::Background, Kind::Alone, Kind::Burst];
        let rounds = (0..self.repeats).flat_map(|_| round);
        rounds.chain([Kind::Alone]).collect()
    }
}
