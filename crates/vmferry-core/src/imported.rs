//! A migration that somebody else made and measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::technique::Technique;
use crate::units::{ByteRate, Bytes, Millis};

/// One migration of other people's data: what was known before it, and what
/// it cost. What the data do not say is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedMigration {
    /// Name of the run, where it has one.
    pub run: Option<String>,
    /// Which guest it was.
    pub guest: Option<String>,
    /// What the guest did.
    pub workload: Option<String>,
    /// When it began.
    pub started_at: Option<jiff::Timestamp>,
    /// How memory was moved.
    pub technique: Technique,
    /// The guest's memory; above 0.
    pub memory_bytes: Bytes,
    /// Memory dirtied per second before the move; of which window, the data
    /// know.
    #[serde(rename = "dirty_rate_bytes_per_s")]
    pub dirty_rate: ByteRate,
    /// Rate that the migration stream could have; above 0.
    #[serde(rename = "bandwidth_bytes_per_s")]
    pub bandwidth: ByteRate,
    /// The downtime limit that was set.
    pub downtime_limit_ms: Option<Millis>,
    /// Whether it came to its end by itself. `Some(false)` is a migration
    /// that was cut off: it would have taken longer than
    /// [`Self::total_time_ms`].
    pub converged: Option<bool>,
    /// Total migration time; above 0.
    pub total_time_ms: Millis,
    /// Downtime; at most the total time.
    pub downtime_ms: Option<Millis>,
    /// Bytes sent; above 0.
    pub transferred_bytes: Option<Bytes>,
}
