//! What a controller is told.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};
use vmferry_precopy::tuning::{Round, Settings};

/// Where a move stands, in the order of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Memory is sent while the guest runs.
    PreCopy,
    /// The guest is stopped for the switchover.
    Stopped,
    /// The guest runs at the destination and fetches what it lacks.
    PostCopy,
    /// The move is over, however it ended.
    Over,
}

/// A look at a move: from `query-migrate`, a record or a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Time since the command.
    pub now: Duration,
    /// Where the move stands.
    pub stage: Stage,
    /// The pass now running (`dirty-sync-count`), 1 for the first.
    pub pass: u64,
    /// Time since it began.
    pub in_pass: Duration,
    /// Memory yet to be sent, as far as the hypervisor knows.
    pub remaining: Bytes,
    /// Bytes of stream so far.
    pub transferred: Bytes,
    /// The pass before; `None` within the first. Amounts are as QEMU tells
    /// them: what was sent in bytes of stream, what was dirtied as newly found
    /// by the look at its end.
    pub last_round: Option<Round>,
    /// What held since the look before, read back: the share of the CPU it
    /// uses that the guest got, and `max-bandwidth`.
    pub in_force: Settings,
}

/// A cap for the next pass is set this long before it begins: a guest that
/// writes gigabytes a second spoils a pass before a look can see that it began.
const LEAD: Duration = Duration::from_millis(200);

impl Look {
    /// Whether the pass now running is about to end, at a rate of the stream
    /// and under a downtime limit: QEMU ends it when what remains fits.
    pub(super) fn pass_is_ending(&self, rate: ByteRate, limit: Duration) -> bool {
        let leaves = rate * limit;
        self.remaining.saturating_sub(leaves) / rate < LEAD
    }
}
