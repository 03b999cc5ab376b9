//! Everything that can keep a move from being made or from being described.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use vmferry_core::{GuestUri, Place};
use vmferry_hypervisor::HypervisorError;

use crate::cpu_cap::CpuCapError;
use crate::preflight::Check;

/// Why a move was not made, or not to its end.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// No directory for the undo journal.
    #[error("no place for the undo journal: set VMFERRY_STATE, XDG_STATE_HOME or HOME")]
    NoStateDir,
    /// The state directory cannot be used.
    #[error("{path}: {source}; no guest is moved without its undo journal: make room there or point VMFERRY_STATE elsewhere", path = path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another vmferry is moving this guest.
    #[error("another vmferry is moving {guest}; follow it with `vmferry watch {guest}`")]
    Busy {
        /// The guest's URI.
        guest: String,
    },
    /// One end cannot be reached, or refused a command.
    #[error("{end}: {source}")]
    End {
        /// `source` or `destination`.
        end: End,
        /// The hypervisor's answer.
        source: HypervisorError,
    },
    /// A pre-flight check failed; nothing was changed.
    #[error(transparent)]
    Preflight(Box<PreflightFailure>),
    /// The hypervisor refused to start.
    #[error("the migration of {guest} did not start: {source}; {place}")]
    NotStarted {
        /// The guest.
        guest: Box<GuestUri>,
        /// Where it is.
        place: Place,
        /// The hypervisor's answer.
        source: HypervisorError,
    },
    /// An end cannot do the post-copy that the plan allows; nothing was sent.
    #[error("the {end} cannot do post-copy: {source}; move without --allow-postcopy")]
    NoPostCopy {
        /// `source` or `destination`.
        end: End,
        /// The hypervisor's answer.
        source: HypervisorError,
    },
    /// The guard could not be started.
    #[error("the guard process did not start: {source}; no guest is moved without it")]
    Guard {
        /// Why.
        source: io::Error,
    },
    /// The CPU of a guest could not be capped.
    #[error(transparent)]
    CpuCap(#[from] CpuCapError),
    /// A parameter reads back as something else.
    #[error("the source's {name} was set to {wanted}, and reads back as {got}")]
    NotTaken {
        /// The parameter.
        name: String,
        /// What it was set to.
        wanted: String,
        /// What it reads back as.
        got: String,
    },
    /// No migration to watch.
    #[error(
        "no migration of {guest} is under way; start one with `vmferry migrate {guest} --to ...`"
    )]
    NothingToWatch {
        /// The guest.
        guest: Box<GuestUri>,
    },
}

/// A move that cannot be made, found before anything was changed.
#[derive(Clone, Debug, Error)]
#[error("{guest} cannot move to {destination}: {}", failed_checks(checks))]
pub struct PreflightFailure {
    /// The guest.
    pub guest: GuestUri,
    /// The other end.
    pub destination: GuestUri,
    /// Every check, passed ones too.
    pub checks: Vec<Check>,
}

/// One end of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Where the guest runs before.
    Source,
    /// Where it should run after.
    Destination,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

fn failed_checks(checks: &[Check]) -> String {
    let failed: Vec<_> = checks
        .iter()
        .filter(|c| !c.passed)
        .map(|c| c.detail.as_str())
        .collect();
    failed.join("; ")
}

impl MigrateError {
    /// An error of one end, from the hypervisor's.
    pub(crate) fn at(end: End) -> impl FnOnce(HypervisorError) -> Self {
        move |source| Self::End { end, source }
    }
}
