//! Benchmarks in a list.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{kept, log};
use crate::error::BenchError;
use crate::record::{BenchRecord, RunKey};

/// A benchmark in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BenchEntry {
    /// Its identifier.
    pub id: Uuid,
    /// The name of its plan.
    pub name: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When its last run ended; absent while runs are missing.
    pub ended_at: Option<Timestamp>,
    /// How far it is.
    pub state: BenchState,
    /// The subjects, in the order of the plan.
    pub subjects: Vec<String>,
    /// The workloads, in the order of the plan.
    pub workloads: Vec<String>,
    /// Runs of the plan.
    pub runs_planned: usize,
    /// Runs that ended, those that failed included.
    pub runs_done: usize,
    /// Runs that failed.
    pub runs_failed: usize,
    /// Where it is kept.
    pub path: PathBuf,
}

/// How far a benchmark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BenchState {
    /// All runs have been made.
    Ended,
    /// Somebody works on it.
    UnderWay,
    /// Runs are missing, and nobody works on it.
    Interrupted,
}

impl std::fmt::Display for BenchState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ended => "ended",
            Self::UnderWay => "under way",
            Self::Interrupted => "interrupted",
        })
    }
}

/// Of a line, what a list wants to know.
#[derive(Deserialize)]
struct Brief {
    key: Option<RunKey>,
    failure: Option<String>,
    at: Option<Timestamp>,
}

/// The benchmark in this directory.
pub(super) fn read(path: &Path) -> Result<BenchEntry, BenchError> {
    let BenchRecord {
        id,
        plan,
        started_at,
        ..
    } = log::header(path)?;
    let mut ended_at = None;
    let mut runs: Vec<(RunKey, bool)> = Vec::new();
    for line in log::read_as::<Brief>(path)?.0 {
        if let Some(key) = line.key {
            runs.retain(|(other, _)| *other != key);
            runs.push((key, line.failure.is_some()));
            ended_at = None;
        }
        ended_at = line.at.or(ended_at);
    }
    let state = match ended_at {
        Some(_) => BenchState::Ended,
        None if is_locked(path)? => BenchState::UnderWay,
        None => BenchState::Interrupted,
    };
    Ok(BenchEntry {
        id,
        started_at,
        ended_at,
        state,
        subjects: plan.subjects.iter().map(|one| one.name.clone()).collect(),
        workloads: plan.workloads.clone(),
        runs_planned: plan.runs().len(),
        runs_done: runs.len(),
        runs_failed: runs.iter().filter(|(_, failed)| *failed).count(),
        name: plan.name,
        path: path.to_owned(),
    })
}

/// Whether somebody works on it.
fn is_locked(path: &Path) -> Result<bool, BenchError> {
    match kept::lock_file(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(super::io_error(&path.join("lock"), source)),
    }
}
