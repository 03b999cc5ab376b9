//! What a move will cost, before it is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::observation::ObservationSummary;
use crate::remedy::Remedy;
use crate::units::{Bytes, Millis, Ratio};

/// The forecast of one move. Intervals are over the samples that converge
/// within the deadline; `None` when fewer than 5 % do, and where the model does
/// not speak of that quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Probability that the move converges by itself within the deadline, 0..1.
    pub converges_probability: f64,
    /// The deadline that this probability is about.
    pub deadline_ms: Millis,
    /// Total migration time as the hypervisor reports it.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Downtime as QEMU itself reports it, which leaves out the destination's start.
    pub qemu_downtime_ms: Option<Interval<Millis>>,
    /// QEMU's `ram.transferred`.
    pub transferred_bytes: Option<Interval<Bytes>>,
    /// Bytes as the network interface counts them, frames included.
    pub wire_bytes: Option<Interval<Bytes>>,
    /// Share of the guest's work lost during the move, 0..1.
    pub slowdown: Option<Interval<Ratio>>,
    /// Number of pre-copy passes (QEMU's `dirty-sync-count`).
    pub passes: Option<Interval<f64>>,
    /// Least changes that make the move converge; empty when it does.
    pub remedies: Vec<Remedy>,
    /// What the forecast is based on.
    pub observation: ObservationSummary,
    /// How it was computed.
    pub model: ModelInfo,
}

/// How a forecast was computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelInfo {
    /// Name of the model, for example `pages`.
    pub name: String,
    /// Version of the model: records of different versions do not compare.
    pub version: u32,
    /// The hypervisor's rules that were replayed, for example `qemu`.
    pub rules: String,
    /// Number of replays behind the intervals; 0 of a formula.
    pub samples: u32,
    /// Link rate that was assumed, as the link counts it, bytes per second.
    pub wire_rate_bytes_per_s: f64,
    /// Downtime limit that was assumed.
    pub max_downtime_ms: Millis,
    /// Dirt during the move over dirt while observed that was assumed (median);
    /// 1 in records of versions that assumed nothing else.
    #[serde(default = "no_factor")]
    pub dirt_factor: f64,
    /// What the model says where earlier moves taught nothing; `None` where they
    /// taught nothing indeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<Uncorrected>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// What a model says by itself, with neither corrections nor what a route
/// taught, of the quantities that are corrected. Corrections are learned from
/// these: learned from corrected ones they would undo themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uncorrected {
    /// Total migration time.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// QEMU's `ram.transferred`.
    pub transferred_bytes: Option<Interval<Bytes>>,
    /// Dirt during the move over dirt while observed that was assumed (median).
    pub dirt_factor: f64,
}

impl Forecast {
    /// What the model said by itself.
    pub fn uncorrected(&self) -> Uncorrected {
        self.model.uncorrected.unwrap_or(Uncorrected {
            total_time_ms: self.total_time_ms,
            downtime_ms: self.downtime_ms,
            transferred_bytes: self.transferred_bytes,
            dirt_factor: self.model.dirt_factor,
        })
    }
}

const fn no_factor() -> f64 {
    1.0
}
