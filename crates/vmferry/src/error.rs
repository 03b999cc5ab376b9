//! Every failure, with the exit code it has on the command line.

use std::path::PathBuf;

use thiserror::Error;
use vmferry_bench::BenchError;
use vmferry_bench::side::JudgeError;
use vmferry_control::ControlError;
use vmferry_core::{ExitCode, GuestUri};
use vmferry_history::HistoryError;
use vmferry_history::trace::TraceError;
use vmferry_hypervisor::HypervisorError;
use vmferry_measure::MeasureError;
use vmferry_measure::power::PowerError;
use vmferry_migrate::MigrateError;
use vmferry_model::ModelError;
use vmferry_model::choice::ChoiceError;
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
    /// A host cannot be asked for its guests, or has none.
    #[error("{host}: {problem}")]
    Host {
        /// The host.
        host: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Nothing can be ranked or chosen.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
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
    /// A promise contradicts itself, or nothing can be said of it.
    #[error(transparent)]
    Promise(#[from] ControlError),
    /// A dirty limit was asked for where there is none.
    #[error(
        "{guest}: --throttle dirty-limit needs KVM with the dirty ring ({said}): start QEMU with -accel kvm,dirty-ring-size=4096, or use --throttle curve"
    )]
    NoDirtyRing {
        /// The source.
        guest: GuestUri,
        /// The hypervisor's words.
        said: String,
    },
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
    /// Profiling could not go on.
    #[error("{0}")]
    Profiling(String),
    /// The operator ended profiling before it was done.
    #[error("profiling was ended; what was measured so far is in {state}: run the same command again to go on", state = state.display())]
    ProfilingCancelled {
        /// The file of the half-done profile.
        state: PathBuf,
    },
    /// Too few profiling migrations converged.
    #[error("no law can be fitted: at neither end did moves under three different caps converge; what was measured is in {state}; give them more time (--limit) or profile higher caps", state = state.display())]
    TooFewCaps {
        /// The file of the half-done profile.
        state: PathBuf,
    },
    /// No profile tells what a CPU cap does.
    #[error(
        "no profile says how CPU limits migrations from {host}: {why}; profile the hosts with `vmferry profile cpu`"
    )]
    NoCpuProfile {
        /// The host, or end.
        host: String,
        /// Why none holds.
        why: String,
    },
    /// A benchmark cannot be made or kept.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A benchmark that cannot be judged as asked.
    #[error(transparent)]
    Judge(#[from] JudgeError),
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
            Self::Usage(_) | Self::Profile { .. } | Self::Choice(_) => ExitCode::Usage,
            Self::Power(error) if error.is_bad_input() => ExitCode::Usage,
            Self::Host { .. } | Self::Hypervisor(_) | Self::NoDirtyRing { .. } | Self::Power(_) => {
                ExitCode::Hypervisor
            }
            Self::Promise(ControlError::Model(_)) => ExitCode::TooLittleData,
            Self::Promise(_) => ExitCode::Usage,
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
            | Self::TooFewMoves { .. }
            | Self::TooFewCaps { .. }
            | Self::NoCpuProfile { .. } => ExitCode::TooLittleData,
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
                | MigrateError::NoPostCopy { .. }
                | MigrateError::CpuCap(_)
                | MigrateError::NotTaken { .. }
                | MigrateError::State { .. }
                | MigrateError::NoStateDir => ExitCode::FailedSafe,
            },
            Self::History(error) if error.is_bad_input() => ExitCode::Usage,
            Self::Bench(error) => crate::benchmarking::exit_code(error),
            Self::Judge(_) => ExitCode::Usage,
            Self::Profiling(_) => ExitCode::Hypervisor,
            Self::ProfilingCancelled { .. } => ExitCode::Cancelled,
            Self::Trace(TraceError::Empty { .. }) => ExitCode::TooLittleData,
            Self::Trace(error) if error.is_bad_trace() => ExitCode::Usage,
            Self::Trace(_) => ExitCode::Internal,
            Self::History(_) | Self::Testbed(_) | Self::Io { .. } | Self::Internal(_) => {
                ExitCode::Internal
            }
        }
    }
}
