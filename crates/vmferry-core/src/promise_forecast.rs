//! Whether a promise can be kept, before the guest moves.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::promise::{Preset, Promise, Throttle};
use crate::units::{ByteRate, Millis, Ratio};

/// What becomes of a promise: trials of the controller that would steer the
/// move. Intervals are over the trials in which the guest moved; `None` where
/// it moved in none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PromiseForecast {
    /// The promise.
    pub promise: Promise,
    /// Who steers: never `auto`.
    pub throttle: Throttle,
    /// Number of trials; they end once the verdict cannot change any more.
    pub trials: u32,
    /// Share of the trials that kept the whole promise, 0..1.
    pub kept_probability: f64,
    /// Whether that is enough to begin the move.
    pub accepted: bool,
    /// How most of the trials that kept it ended, or most of all where none did.
    pub by: MovedBy,
    /// Total migration time.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Share of the guest's work lost during the move, 0..1.
    pub slowdown: Option<Interval<Ratio>>,
    /// Median of the least share of its CPU that the guest is held to; `None`
    /// where most trials do not throttle it.
    pub least_cpu_share: Option<Ratio>,
    /// Median time for which it is throttled; `None` likewise.
    pub throttled_ms: Option<Millis>,
    /// Why most of the other trials did not keep it; `None` where all did.
    pub reason: Option<String>,
    /// Least single changes with which the promise would be kept; empty where it
    /// is accepted as it is.
    pub relaxations: Vec<Relaxation>,
}

/// How a move under a promise ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MovedBy {
    /// Pre-copy converges and the guest keeps its speed.
    Itself,
    /// Pre-copy converges because the guest is slowed down.
    Throttled,
    /// The guest moves first, the rest of its memory follows.
    PostCopy,
    /// It does not move: the controller gives up, or time does.
    GivenUp,
}

/// One change to a promise, or to the link, and what it leads to. Every one was
/// verified by trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Relaxation {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Probability that the promise is kept with it, 0..1.
    pub kept_probability: f64,
    /// Median total time with it.
    pub total_time_ms: Option<Millis>,
    /// Median downtime with it.
    pub downtime_ms: Option<Millis>,
    /// Median share of the guest's work lost with it, 0..1.
    pub slowdown: Option<Ratio>,
}

/// What to promise instead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A longer pause.
    MaxDowntime {
        /// Least that suffices.
        max_downtime_ms: Millis,
    },
    /// A later deadline.
    Deadline {
        /// Earliest that suffices.
        deadline_ms: Millis,
    },
    /// More of the guest's work.
    MaxSlowdown {
        /// Least share that suffices, 0..1.
        max_slowdown: Ratio,
    },
    /// More of the link.
    MaxBandwidth {
        /// Least that suffices, bytes of stream per second.
        #[serde(rename = "max_bandwidth_bytes_per_s")]
        max_bandwidth: ByteRate,
    },
    /// A faster link.
    Link {
        /// Least that suffices, as the link counts it.
        #[serde(rename = "bandwidth_bytes_per_s")]
        bandwidth: ByteRate,
    },
    /// A policy that gives more of the guest's work.
    Policy {
        /// The mildest that suffices.
        policy: Preset,
    },
    /// Another way to steer.
    Throttle {
        /// Which.
        throttle: Throttle,
    },
    /// Post-copy.
    AllowPostcopy,
}

impl Change {
    /// The promise with this change; a link is no promise.
    #[must_use]
    pub fn applied(&self, promise: &Promise) -> Promise {
        let mut changed = *promise;
        match *self {
            Self::MaxDowntime { max_downtime_ms } => {
                changed.max_downtime_ms = Some(max_downtime_ms);
            }
            Self::Deadline { deadline_ms } => changed.deadline_ms = Some(deadline_ms),
            Self::MaxSlowdown { max_slowdown } => changed.max_slowdown = Some(max_slowdown),
            Self::MaxBandwidth { max_bandwidth } => changed.max_bandwidth = Some(max_bandwidth),
            Self::Policy { policy } => changed.policy = policy,
            Self::Throttle { throttle } => changed.throttle = throttle,
            Self::AllowPostcopy => changed.allow_postcopy = true,
            Self::Link { .. } => {}
        }
        changed
    }
}

impl fmt::Display for Change {
    /// As it is written on the command line, where it can be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxDowntime { max_downtime_ms } => {
                write!(f, "--max-downtime {:.0}ms", max_downtime_ms.0)
            }
            Self::Deadline { deadline_ms } => write!(f, "--deadline {:.0}s", deadline_ms.0 / 1e3),
            Self::MaxSlowdown { max_slowdown } => {
                write!(f, "--max-slowdown {:.0}%", max_slowdown.percent())
            }
            Self::MaxBandwidth { max_bandwidth } => {
                write!(f, "--max-bandwidth {:.0}Mbit/s", max_bandwidth.mbit_per_s())
            }
            Self::Link { bandwidth } => write!(f, "a link of {bandwidth}"),
            Self::Policy { policy } => write!(f, "--policy {policy}"),
            Self::Throttle { throttle } => write!(f, "--throttle {throttle}"),
            Self::AllowPostcopy => f.write_str("--allow-postcopy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_written_as_flags_and_do_what_they_say() {
        let changes = [
            Change::MaxDowntime {
                max_downtime_ms: Millis(850.0),
            },
            Change::Deadline {
                deadline_ms: Millis(45_000.0),
            },
            Change::MaxSlowdown {
                max_slowdown: Ratio(0.15),
            },
            Change::MaxBandwidth {
                max_bandwidth: ByteRate::from_mbit_per_s(320.0),
            },
            Change::Policy {
                policy: Preset::Urgent,
            },
            Change::Throttle {
                throttle: Throttle::Auto,
            },
            Change::AllowPostcopy,
        ];
        let written: Vec<String> = changes.iter().map(Change::to_string).collect();
        insta::assert_snapshot!(written.join(" "), @"--max-downtime 850ms --deadline 45s --max-slowdown 15% --max-bandwidth 320Mbit/s --policy urgent --throttle auto --allow-postcopy");
        let promise = changes.iter().fold(Promise::default(), |promise, change| {
            change.applied(&promise)
        });
        assert_eq!(promise.max_downtime_ms, Some(Millis(850.0)));
        assert_eq!(promise.max_slowdown, Some(Ratio(0.15)));
        assert!(promise.allow_postcopy);
        assert_eq!(promise.policy, Preset::Urgent);
    }
}
