//! What an operator should know of a move that goes on all the same.

use std::fmt;

use vmferry_core::{MigrationStatus, MoveEvent};

/// Something unusual that the supervisor saw; none stops a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A status that none of QEMU's rules leads to.
    UnexpectedTransition {
        /// The status before.
        from: MigrationStatus,
        /// The status that was reported.
        to: MigrationStatus,
    },
    /// A cancel was asked for after the guest had left the source.
    CancelRefused {
        /// The status at that time.
        status: MigrationStatus,
    },
    /// The move was complete before the cancel took effect.
    CancelTooLate,
    /// Somebody else cancelled the move.
    CancelledElsewhere,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedTransition { from, to } => write!(
                f,
                "the hypervisor went from `{from}` to `{to}`, which this version of vmferry does \
                 not expect; the move goes on, check the guest afterwards"
            ),
            Self::CancelRefused { status } => write!(
                f,
                "not cancelled: in `{status}` the guest runs at the destination already and a \
                 cancel would lose it; wait for the end"
            ),
            Self::CancelTooLate => f.write_str("the cancel came too late: the guest has moved"),
            Self::CancelledElsewhere => f.write_str(
                "the move was cancelled, but not by this vmferry: see who else commands the \
                 hypervisor",
            ),
        }
    }
}

impl From<Warning> for MoveEvent {
    fn from(warning: Warning) -> Self {
        Self::Warning {
            message: warning.to_string(),
        }
    }
}
