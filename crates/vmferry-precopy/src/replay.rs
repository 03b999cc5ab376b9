//! What a replay found.

use std::time::Duration;

use vmferry_core::Bytes;

/// One pass: what is sent between two looks at the dirty log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// When it began, from the migration command.
    pub start: Duration,
    /// Memory that the look at its start found newly dirtied (all of it, for
    /// the first).
    pub dirtied: Bytes,
    /// Memory to send as it began, leftovers of the pass before included.
    pub remaining: Bytes,
    /// Bytes of the stream sent in it, headers included.
    pub sent: Bytes,
}

/// The end of a move that converged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Switchover {
    /// When it began, from the migration command.
    pub start: Duration,
    /// STOP at the source to RESUME at the destination.
    pub downtime: Duration,
    /// Downtime as the source's hypervisor reports it: without what the
    /// buffers still hold and the destination's start.
    pub qemu_downtime: Duration,
    /// Bytes sent with the guest stopped, devices included.
    pub sent: Bytes,
}

/// One replay of a migration.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The passes in order; bytes of the switchover are in none of them.
    pub passes: Vec<Pass>,
    /// The switchover; `None` when the deadline came first.
    pub switchover: Option<Switchover>,
    /// From the command to the end at the source (QEMU's `total-time`), or to
    /// the instant the replay was given up.
    pub total_time: Duration,
    /// Bytes of the stream, headers included (QEMU's `ram.transferred`).
    pub transferred: Bytes,
    /// Looks at the dirty log: the one at setup, each that ended a pass, and
    /// the last with the guest stopped (QEMU's `dirty-sync-count`).
    pub dirty_syncs: u64,
}

impl Replay {
    /// Whether the move ended by itself within `deadline`.
    pub fn converged_within(&self, deadline: Duration) -> bool {
        self.switchover.is_some() && self.total_time <= deadline
    }
}

/// Seconds as a [`Duration`]; never fails.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// Whole bytes, rounded.
pub(crate) fn bytes(amount: f64) -> Bytes {
    Bytes(amount.round().max(0.0) as u64)
}
