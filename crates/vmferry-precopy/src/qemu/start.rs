//! Where a replay begins: at the command, or in the middle of a move.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes};

use crate::tuning::Settings;

/// State of a migration at the instant a replay takes over.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// The command was just given.
    #[default]
    Command,
    /// The move is under way.
    Underway(Underway),
}

/// A migration under way, just after a look at the dirty log or within its
/// first pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Underway {
    /// Time since the command.
    pub elapsed: Duration,
    /// Looks at the dirty log so far (`dirty-sync-count`).
    pub dirty_syncs: u64,
    /// Bytes of stream so far (`ram.transferred`).
    pub transferred: Bytes,
    /// Share of each unit's pages that are yet to be sent, 0..1.
    pub pending: Vec<f64>,
    /// Instant of the last look at the dirty log, from the command: what was
    /// written since is found by the next.
    pub last_sync: Duration,
    /// Unit at which the scan stands.
    pub cursor: usize,
    /// Whether each unit was never sent before, so that its zero pages are
    /// still worth a header only.
    pub never_sent: bool,
    /// Rate seen in the last window, bytes of stream per second.
    pub measured_rate: ByteRate,
}

/// A migration under way of which only amounts are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AmountUnderway {
    /// Time since the command.
    pub elapsed: Duration,
    /// Memory yet to be sent now.
    pub remaining: Bytes,
    /// Whether this is the first pass, whose zero pages are worth a header
    /// only.
    pub never_sent: bool,
    /// How long the guest has run since the last look at the dirty log, by its
    /// own clock: half the time under a cap of half of what it uses.
    pub guest_since_sync: Duration,
    /// How long it ran in the pass before, by its own clock; `None` within the
    /// first.
    pub guest_last_pass: Option<Duration>,
}

/// What holds from now on: the sender's rate and the guest's speed, first and
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// From now on.
    pub first: Settings,
    /// For so many passes, the one now running included; at least 1.
    pub passes: u32,
    /// From then on.
    pub after: Settings,
}
