//! The least change that makes a move converge.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{ByteRate, Millis, Ratio};

/// One change, with what it leads to. Every remedy was verified by a replay
/// with that change applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Remedy {
    /// The change.
    #[serde(flatten)]
    pub kind: RemedyKind,
    /// Probability that the move converges within its deadline with it.
    pub converges_probability: f64,
    /// Median total time with it.
    pub total_time_ms: Option<Millis>,
    /// Median downtime with it.
    pub downtime_ms: Option<Millis>,
}

/// What to change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RemedyKind {
    /// A faster link (as the link counts it), or a higher `max-bandwidth`.
    Bandwidth {
        /// Least rate that suffices.
        #[serde(rename = "bandwidth_bytes_per_s")]
        bandwidth: ByteRate,
    },
    /// A longer pause (`--max-downtime`).
    MaxDowntime {
        /// Least limit that suffices.
        #[serde(rename = "max_downtime_ms")]
        limit: Millis,
    },
    /// A slower guest (for example by a CPU cap).
    Slowdown {
        /// Least share of the guest's speed to take away, 0..1.
        slowdown: Ratio,
    },
    /// Post-copy after the first pass (QEMU's `postcopy-ram`): the guest moves
    /// first and its memory follows. If the link breaks then, the guest is
    /// lost.
    PostCopy {
        /// Median share of the time between RESUME and the end that the guest
        /// waits for pages it writes to, 0..1. Waits for pages it only reads
        /// come on top.
        stall: Ratio,
    },
}
