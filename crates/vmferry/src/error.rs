//! Every failure, with the exit code it has on the command line.

use std::path::PathBuf;

use thiserror::Error;
use vmferry_core::ExitCode;
use vmferry_history::HistoryError;
use vmferry_history::trace::TraceError;
use vmferry_hypervisor::HypervisorError;
use vmferry_measure::MeasureError;
use vmferry_measure::power::PowerError;
use vmferry_migrate::MigrateError;
use vmferry_model::ModelError;
use vmferry_model::energy::EnergyError;
use vmferry_model::leaderboard::LeaderboardError;
use vmferry_model::predictor::{CannotForecast, TooLittleData};
use vmferry_model::sweep::SweepError;
use vmferry_testbed::TestbedError;

/// What kept vmferry from doing what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// Something was asked for in a wrong way.
    #[error("{0}")]
    Usage(String),
    /// A profile file cannot be used.
    #[error("{path}: {problem}; make a new one with `vmferry measure GUEST -o json`", path = path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A hypervisor cannot be reached or refused.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// An observation failed.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A power meter cannot be read.
    #[error(transparent)]
    Power(#[from] PowerError),
    /// What was metered tells no energy.
    #[error(transparent)]
    Energy(#[from] EnergyError),
    /// There was no move to meter.
    #[error("{0}")]
    NothingMeasured(String),
    /// No forecast was possible.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// No simulation was possible.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// A model has no forecast of this guest.
    #[error(transparent)]
    Forecast(#[from] CannotForecast),
    /// A model has to learn first, and there is too little to learn from.
    #[error(transparent)]
    TooLittleToLearn(#[from] TooLittleData),
    /// A move failed, or could not be started.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Models cannot be compared on the migrations that were chosen.
    #[error(transparent)]
    Leaderboard(#[from] LeaderboardError),
    /// Too few migrations to compare models on were found or chosen.
    #[error(
        "too few migrations to compare models on: of those chosen the history {path} holds {live} made here and {imported} imported, and it takes two; move guests with `vmferry migrate`, or import others with `vmferry history import FILE.csv --map ...`",
        path = path.display()
    )]
    TooFewMoves {
        /// The history.
        path: PathBuf,
        /// Moves of vmferry that were chosen and can be judged.
        live: usize,
        /// Imported migrations that were chosen.
        imported: usize,
    },
    /// A trace cannot be recorded, read or exported.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The testbed failed.
    #[error(transparent)]
    Testbed(#[from] TestbedError),
    /// An answer could not be written.
    #[error("{what}: {source}")]
    Io {
        /// The file or stream.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A fault of vmferry itself.
    #[error("{0}; this is a fault of vmferry, please report it")]
    Internal(String),
}

impl Error {
    /// The exit code of this failure.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Profile { .. } => ExitCode::Usage,
            Self::Power(error) if error.is_bad_input() => ExitCode::Usage,
            Self::Hypervisor(_) | Self::Power(_) => ExitCode::Hypervisor,
            Self::Measure(error) => match error {
                MeasureError::BadOption { .. } | MeasureError::Resolve { .. } => ExitCode::Usage,
                MeasureError::Kernel { .. } | MeasureError::Thread { .. } => ExitCode::Internal,
                MeasureError::Cancelled { .. } => ExitCode::Cancelled,
                _ => ExitCode::Hypervisor,
            },
            Self::Model(_)
            | Self::Energy(_)
            | Self::NothingMeasured(_)
            | Self::Forecast(_)
            | Self::TooLittleToLearn(_)
            | Self::Sweep(SweepError::Forecast(_))
            | Self::Leaderboard(_)
            | Self::TooFewMoves { .. } => ExitCode::TooLittleData,
            Self::Sweep(SweepError::Thread) => ExitCode::Internal,
            Self::Sweep(_) => ExitCode::Usage,
            Self::Migrate(error) => match error {
                MigrateError::End { .. } | MigrateError::NothingToWatch { .. } => {
                    ExitCode::Hypervisor
                }
                MigrateError::Preflight(_) | MigrateError::Busy { .. } => ExitCode::FailedSafe,
                MigrateError::NotStarted { place, .. } => match place {
                    vmferry_core::Place::RunningAtSource => ExitCode::FailedSafe,
                    _ => ExitCode::Uncertain,
                },
                MigrateError::Guard { .. }
                | MigrateError::CpuCap(_)
                | MigrateError::State { .. }
                | MigrateError::NoStateDir => ExitCode::FailedSafe,
            },
            Self::History(error) if error.is_bad_input() => ExitCode::Usage,
            Self::Trace(TraceError::Empty { .. }) => ExitCode::TooLittleData,
            Self::Trace(error) if error.is_bad_trace() => ExitCode::Usage,
            Self::Trace(_) => ExitCode::Internal,
            Self::History(_) | Self::Testbed(_) | Self::Io { .. } | Self::Internal(_) => {
                ExitCode::Internal
            }
        }
    }
}
