//! What profiling a host pair gives: one point a migration.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Bytes, Millis, Ratio};

/// What a profiling guest uses intensively (`dom0cpu` section 4).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Intensive {
    /// Its virtual CPU.
    Cpu,
    /// Reading memory.
    MemoryRead,
    /// Writing memory.
    MemoryWrite,
    /// Its disk.
    Disk,
    /// Its network.
    Network,
}

impl Intensive {
    /// All of them, in the paper's order.
    pub const ALL: [Self; 5] = [
        Self::Cpu,
        Self::MemoryRead,
        Self::MemoryWrite,
        Self::Disk,
        Self::Network,
    ];

    /// Its name on the command line and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::MemoryRead => "memory-read",
            Self::MemoryWrite => "memory-write",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Intensive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Shares of one CPU that the migration's threads get, above 0, at most 1;
/// `None` leaves them uncapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Caps {
    /// The threads that send, at the source.
    #[serde(rename = "source_cap")]
    pub source: Option<Ratio>,
    /// The thread that loads, at the destination.
    #[serde(rename = "destination_cap")]
    pub destination: Option<Ratio>,
}

impl Caps {
    /// A cap at the source alone.
    pub fn at_source(share: Ratio) -> Self {
        Self {
            source: Some(share),
            destination: None,
        }
    }

    /// A cap at the destination alone.
    pub fn at_destination(share: Ratio) -> Self {
        Self {
            source: None,
            destination: Some(share),
        }
    }

    /// Caps at both ends.
    pub fn at_both(source: Ratio, destination: Ratio) -> Self {
        Self {
            source: Some(source),
            destination: Some(destination),
        }
    }
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |cap: Option<Ratio>| {
            cap.map_or_else(
                || "uncapped".to_owned(),
                |cap| format!("{:.0} %", cap.percent()),
            )
        };
        write!(
            f,
            "source {}, destination {}",
            end(self.source),
            end(self.destination)
        )
    }
}

/// One profiling migration that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapPoint {
    /// What the guest used.
    pub guest: Intensive,
    /// How intensively: 1 is as much as it can.
    pub intensity: Ratio,
    /// Caps on the migration's threads.
    #[serde(flatten)]
    pub caps: Caps,
    /// From the command until the source's threads were found, and capped;
    /// `None` where they never were.
    pub capped_after_ms: Option<Millis>,
    /// QEMU's `total-time`; `None` where the move did not converge in time.
    pub total_time_ms: Option<Millis>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Millis>,
    /// QEMU's `ram.transferred`.
    pub transferred_bytes: Option<Bytes>,
    /// Share of one CPU that the sending threads used while they were metered.
    pub source_use: Option<Ratio>,
    /// The same of the loading thread, until the guest stopped.
    pub destination_use: Option<Ratio>,
}

impl CapPoint {
    /// Rate at which the stream advanced on average; `None` where nothing is
    /// known.
    pub fn stream_rate(&self) -> Option<ByteRate> {
        let time = self.total_time_ms?.duration();
        let bytes = self.transferred_bytes?;
        (!time.is_zero() && bytes > Bytes(0)).then(|| bytes / time)
    }
}

/// Migrations of guests alike that were begun at once and ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParallelPoint {
    /// How many.
    pub guests: u32,
    /// QEMU's `total-time` of each.
    pub total_times_ms: Vec<Millis>,
    /// From the first command to the last end.
    pub makespan_ms: Millis,
    /// QEMU's `ram.transferred` of all.
    pub transferred_bytes: Bytes,
    /// Processor time of all threads that send; `None` where it was not metered.
    #[serde(default)]
    pub source_cpu_ms: Option<Millis>,
    /// The same of the threads that load, each until its guest stopped.
    #[serde(default)]
    pub destination_cpu_ms: Option<Millis>,
}
