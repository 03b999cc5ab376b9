//! What a move did cost.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Millis, Ratio};

/// How a move ended and what was measured; names as in
/// [`Forecast`](crate::forecast::Forecast).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// Where the guest is, asked at both ends.
    pub place: Place,
    /// Whether the guest went on at the destination before all of its memory was there.
    #[serde(default)]
    pub post_copy: bool,
    /// Why it failed, in the hypervisor's words and ours.
    pub error: Option<String>,
    /// When the migration command was given.
    pub started_at: jiff::Timestamp,
    /// When the end was seen.
    pub ended_at: jiff::Timestamp,
    /// QEMU's `total-time`.
    pub total_time_ms: Option<Millis>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Millis>,
    /// Which clocks `downtime_ms` was read from.
    pub downtime_clock: Option<DowntimeClock>,
    /// QEMU's own `downtime`.
    pub qemu_downtime_ms: Option<Millis>,
    /// QEMU's `ram.transferred`.
    pub transferred_bytes: Option<Bytes>,
    /// Bytes sent on the interface of the route, frames included.
    pub wire_bytes: Option<Bytes>,
    /// Share of the guest's CPU work lost during the move against the same
    /// guest before it (`jin2011` eq. 6-7 with the use of virtual CPUs as
    /// work); `None` for an idle guest or where the threads cannot be seen.
    pub slowdown: Option<Ratio>,
    /// Number of passes (QEMU's `dirty-sync-count`).
    pub passes: Option<u64>,
    /// Every pass seen.
    pub pass_list: Vec<PassRecord>,
}

impl Outcome {
    /// An outcome of which nothing was measured: the move did not start, or
    /// nobody saw its end.
    pub fn unseen(
        status: OutcomeStatus,
        place: Place,
        error: String,
        started_at: jiff::Timestamp,
        ended_at: jiff::Timestamp,
    ) -> Self {
        Self {
            status,
            place,
            post_copy: false,
            error: Some(error),
            started_at,
            ended_at,
            total_time_ms: None,
            downtime_ms: None,
            downtime_clock: None,
            qemu_downtime_ms: None,
            transferred_bytes: None,
            wire_bytes: None,
            slowdown: None,
            passes: None,
            pass_list: Vec::new(),
        }
    }
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeStatus {
    /// The guest moved.
    Completed,
    /// The hypervisor gave up.
    Failed,
    /// The operator gave up.
    Cancelled,
    /// Nobody saw the end.
    Unknown,
}

/// Where the guest runs; checked by asking both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It runs at the source, and not at the destination.
    RunningAtSource,
    /// It runs at the destination, and not at the source.
    RunningAtDestination,
    /// The ends could not be asked, or their answers do not agree.
    Uncertain,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunningAtSource => "the guest runs at the source",
            Self::RunningAtDestination => "the guest runs at the destination",
            Self::Uncertain => "the guest's place is uncertain",
        })
    }
}

/// Which clocks a downtime was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DowntimeClock {
    /// The hypervisors' event stamps; both ends on this machine, one clock.
    HypervisorEvents,
    /// The instants at which the events arrived here: includes the difference
    /// of the two connections' delays.
    Arrival,
}

/// One pre-copy pass as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PassRecord {
    /// Number of the pass, from 1.
    pub pass: u64,
    /// When its dirty-bitmap synchronisation was seen, from the start.
    pub at_ms: Millis,
    /// What remained then, newly dirtied pages included.
    pub remaining_bytes: Option<Bytes>,
    /// Sent so far.
    pub transferred_bytes: Option<Bytes>,
    /// QEMU's `dirty-pages-rate`, pages per second.
    pub dirty_pages_per_s: Option<u64>,
    /// QEMU's `expected-downtime`.
    pub expected_downtime_ms: Option<Millis>,
}
