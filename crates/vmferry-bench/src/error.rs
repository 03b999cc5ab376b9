//! What keeps a benchmark from being begun, gone on with or kept.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use uuid::Uuid;

use crate::platform::Fault;

/// Why a benchmark cannot be made, or not be kept.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A plan makes no sense.
    #[error("{place}: {problem}")]
    Plan {
        /// The plan's file with the line where that is known, or its name.
        place: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The machine, a subject or a workload is not ready.
    #[error(
        "{what}: {}; nothing was measured: mend that, or leave it out of the plan",
        words(fault.as_ref())
    )]
    NotReady {
        /// What was to be made ready.
        what: String,
        /// Why not.
        fault: Fault,
    },
    /// There is no directory to keep benchmarks in.
    #[error(
        "cannot tell where benchmarks are kept: HOME is not set; set VMFERRY_BENCH=/path/to/a/directory"
    )]
    NoPlace,
    /// A file of a benchmark cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no room left for another run.
    #[error(
        "the disk of {} is full; every run that ended is kept: make room, then go on with `vmferry bench resume {id}`",
        path.display()
    )]
    DiskFull {
        /// The benchmark's directory.
        path: PathBuf,
        /// Which benchmark.
        id: Uuid,
    },
    /// A file of a benchmark is not what it should be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A file is no report of a benchmark, or is too new.
    #[error("{}: {problem}", path.display())]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A run's figures cannot be written so that they can be read again.
    #[error(
        "the record of {run} cannot be kept ({problem}); this is a fault of vmferry, please report it"
    )]
    Unkeepable {
        /// Which run.
        run: String,
        /// Why.
        problem: String,
    },
    /// No benchmark, or several, go by that name.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else works on it.
    #[error("benchmark {id} is under way in another vmferry; wait for it, or end that one")]
    UnderWay {
        /// Which benchmark.
        id: Uuid,
    },
    /// It was begun elsewhere or otherwise.
    #[error(
        "benchmark {id} cannot go on here, its runs would not compare: {}; begin a new one with `vmferry bench run`",
        differences.join("; ")
    )]
    Differs {
        /// Which benchmark.
        id: Uuid,
        /// What is not as it was.
        differences: Vec<String>,
    },
    /// Every run has been made.
    #[error("benchmark {id} has ended, with all its runs; `vmferry bench run` begins a new one")]
    Ended {
        /// Which benchmark.
        id: Uuid,
    },
    /// The operator ended it before anything was kept.
    #[error("the benchmark was ended before its first run; nothing is left")]
    CancelledEarly,
    /// The operator ended it.
    #[error(
        "the benchmark was ended; {done} of {of} runs are kept in {}: go on with `vmferry bench resume {id}`",
        path.display()
    )]
    Cancelled {
        /// Which benchmark.
        id: Uuid,
        /// Its directory.
        path: PathBuf,
        /// Runs that ended.
        done: usize,
        /// Runs of the plan.
        of: usize,
    },
    /// A run could not be cleaned up after, and the next would not be measured on a clean machine.
    #[error(
        "{what}; every run that ended is kept: clean up, then go on with `vmferry bench resume {id}`"
    )]
    LeftOver {
        /// What is left, and where.
        what: String,
        /// Which benchmark.
        id: Uuid,
    },
}

/// An error with its causes, in one line.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}
