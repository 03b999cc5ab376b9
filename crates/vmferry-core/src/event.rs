//! One stream of events, many readers: progress bar, JSON lines, record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, PassRecord};
use crate::phase::MigrationStatus;
use crate::units::{ByteRate, Bytes, Millis, Ratio};

/// What happens during a move. `at_ms` counts from the migration command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum MoveEvent {
    /// A pre-flight check ended.
    Check {
        /// What was checked.
        name: String,
        /// What was found.
        detail: String,
        /// Whether the move may go on.
        passed: bool,
    },
    /// The migration command was given.
    Started {
        /// Identifier of the move, as in the history.
        move_id: uuid::Uuid,
    },
    /// The hypervisor reported another status.
    Phase {
        /// When.
        at_ms: Millis,
        /// The status.
        status: MigrationStatus,
    },
    /// A pass began.
    Pass {
        /// The pass.
        #[serde(flatten)]
        pass: PassRecord,
    },
    /// How far it is.
    Progress {
        /// When.
        at_ms: Millis,
        /// The hypervisor's status.
        status: MigrationStatus,
        /// Sent so far.
        transferred_bytes: Option<Bytes>,
        /// What remains as the hypervisor knows it.
        remaining_bytes: Option<Bytes>,
        /// All that a first pass sends.
        total_bytes: Option<Bytes>,
        /// Passes so far.
        passes: Option<u64>,
    },
    /// A new forecast of the rest of the move.
    Reforecast {
        /// When.
        at_ms: Millis,
        /// Pass it was made at.
        pass: u64,
        /// Probability of converging within what is left of the deadline.
        converges_probability: f64,
        /// Median time from the start to the end; `None` if it does not converge.
        total_time_ms: Option<Millis>,
        /// Median downtime.
        downtime_ms: Option<Millis>,
    },
    /// What the guest, its stream and its pause are held to was changed.
    Steered {
        /// When.
        at_ms: Millis,
        /// Share of the CPU time it uses that the guest gets, as read back;
        /// 1 for all of it.
        cpu_share: Ratio,
        /// `max-bandwidth`; `None` where it is the hypervisor's own.
        #[serde(rename = "max_bandwidth_bytes_per_s")]
        max_bandwidth: Option<ByteRate>,
        /// `downtime-limit`; `None` where it is the hypervisor's own.
        downtime_limit_ms: Option<Millis>,
        /// The end that is planned for, from the command; `None` where no plan
        /// keeps the promises, or whoever steers does not plan.
        ends_at_ms: Option<Millis>,
        /// The guest's work lost to caps so far, in time at full speed.
        lost_ms: Millis,
    },
    /// Something the operator should know.
    Warning {
        /// What, and what to do about it.
        message: String,
    },
    /// The move ended.
    Ended {
        /// What was measured.
        outcome: Box<Outcome>,
    },
}
