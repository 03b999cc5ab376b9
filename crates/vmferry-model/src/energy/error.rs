//! Why an energy cannot be told.

use std::time::Duration;

use thiserror::Error;
use vmferry_core::{Bytes, Joules, Watts};

use super::fit::LEAST_POINTS;

/// Why an energy cannot be told.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum EnergyError {
    /// A sample that no host can have drawn.
    #[error(
        "a power of {} W, {} s after the first, makes no sense; check the meter",
        power.0, at.as_secs_f64()
    )]
    Nonsense {
        /// The power.
        power: Watts,
        /// The end of its span.
        at: Duration,
    },
    /// Samples overlap or are not in order.
    #[error("the power samples {} s after the first are not in order; sort the log by time", at.as_secs_f64())]
    Disorder {
        /// Where.
        at: Duration,
    },
    /// The meter was silent for too long.
    #[error(
        "the meter said nothing for {:.1} s, {:.1} s after its first reading, and at most {:.1} s can be bridged; see why it stalls, and measure another move",
        silent.as_secs_f64(), at.as_secs_f64(), most.as_secs_f64()
    )]
    Gap {
        /// Where the silence began.
        at: Duration,
        /// How long it was.
        silent: Duration,
        /// What can be bridged.
        most: Duration,
    },
    /// The meter said the same before the move and throughout it.
    #[error(
        "the meter said {:.1} W {samples} times in a row, before the move and throughout it: it stands still, or is too coarse for a move so short; see that it works, and measure a larger move",
        power.0
    )]
    Frozen {
        /// What it said.
        power: Watts,
        /// How often.
        samples: usize,
    },
    /// There is too little from before the move.
    #[error(
        "only {found} power samples over {:.1} s from before the move, where {samples} over {:.0} s are needed to tell the background; begin to meter earlier",
        span.as_secs_f64(), needed.as_secs_f64()
    )]
    ShortBackground {
        /// Samples that there are.
        found: usize,
        /// What they span.
        span: Duration,
        /// Samples that are needed.
        samples: usize,
        /// What they have to span.
        needed: Duration,
    },
    /// The host was not quiet before the move.
    #[error(
        "the power before the move was not stable: it scatters by {:.1} W around {:.1} W, and at most {:.1} W is taken for stable; measure while the host's load is steady",
        deviation.0, power.0, most.0
    )]
    Scattered {
        /// Standard deviation.
        deviation: Watts,
        /// Mean.
        power: Watts,
        /// Most that counts as stable.
        most: Watts,
    },
    /// The host's load was changing before the move.
    #[error(
        "the power before the move was not stable: it went from {:.1} to {:.1} W, and at most {:.1} W of change is taken for stable; measure while the host's load is steady",
        first.0, last.0, most.0
    )]
    Drifting {
        /// Where its trend began.
        first: Watts,
        /// Where its trend ended.
        last: Watts,
        /// Most that counts as stable.
        most: Watts,
    },
    /// The samples do not cover the move.
    #[error(
        "the power samples end {:.1} s before the move does; meter beyond its end", missing.as_secs_f64()
    )]
    EndsEarly {
        /// What is missing.
        missing: Duration,
    },
    /// A line takes more measurements.
    #[error(
        "{found} measured moves, and a line with intervals takes at least {LEAST_POINTS}; measure more moves of guests of different sizes"
    )]
    TooFew {
        /// Measurements that there are.
        found: usize,
    },
    /// All moves sent as much.
    #[error(
        "all measured moves sent about as much ({least} to {most}), which tells no line; measure guests of other sizes, the largest at least half as large again as the smallest"
    )]
    VolumesAlike {
        /// Least traffic.
        least: Bytes,
        /// Most traffic.
        most: Bytes,
    },
    /// A measurement makes no sense.
    #[error("a move of {volume} that took {} J makes no sense; remove that measurement", energy.0)]
    BadPoint {
        /// Its traffic.
        volume: Bytes,
        /// Its energy.
        energy: Joules,
    },
}
