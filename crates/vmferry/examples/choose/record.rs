//! What was chosen and what came of it, in files.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vmferry::choosing::report::ChooseReport;
use vmferry::core::{Bytes, Millis};
use vmferry::model::choice::MoveCost;

use crate::Fault;
use crate::policy::Policy;

/// One real move.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Moved {
    pub(crate) guest: String,
    pub(crate) total_time_ms: Millis,
    pub(crate) downtime_ms: Millis,
    pub(crate) transferred_bytes: Bytes,
    pub(crate) passes: Option<u64>,
    /// Whether it converged only after its downtime limit was raised.
    pub(crate) raised: bool,
}

impl Moved {
    /// What it cost.
    pub(crate) fn cost(&self) -> MoveCost {
        MoveCost {
            downtime: self.downtime_ms,
            total_time: self.total_time_ms,
            transferred: self.transferred_bytes,
            energy: None,
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<11} {} in all, {} of downtime, {} sent{}",
            self.guest,
            self.total_time_ms,
            self.downtime_ms,
            self.transferred_bytes,
            if self.raised {
                ", by a raised limit"
            } else {
                ""
            }
        )
    }
}

/// One trial of every policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// What `choose` said.
    pub(crate) choice: ChooseReport,
    /// What every policy chose, moved.
    pub(crate) trials: Vec<(Policy, Moved)>,
}

/// All that was recorded.
pub(crate) struct Records {
    pub(crate) references: Vec<Moved>,
    pub(crate) rounds: Vec<Round>,
}

pub(crate) fn reference_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("reference-{number:02}.json"))
}

pub(crate) fn round_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("round-{number:02}.json"))
}

pub(crate) fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), Fault> {
    // Whole or not at all: what is there is not made again.
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, serde_json::to_vec(record)?)?;
    Ok(std::fs::rename(&fresh, path)?)
}

impl Records {
    pub(crate) fn read(directory: &Path) -> Result<Self, Fault> {
        let references: Vec<Vec<Moved>> = numbered(directory, reference_path)?;
        let rounds: Vec<Round> = numbered(directory, round_path)?;
        if rounds.is_empty() {
            return Err(format!("no round is recorded in {}", directory.display()).into());
        }
        Ok(Self {
            references: references.into_iter().flatten().collect(),
            rounds,
        })
    }

    /// Every move that was made.
    pub(crate) fn moves(&self) -> impl Iterator<Item = &Moved> {
        let trials = self.rounds.iter().flat_map(|round| &round.trials);
        self.references.iter().chain(trials.map(|(_, moved)| moved))
    }
}

fn numbered<T: DeserializeOwned>(
    directory: &Path,
    path: fn(&Path, usize) -> PathBuf,
) -> Result<Vec<T>, Fault> {
    let mut all = Vec::new();
    for number in 0.. {
        match std::fs::read(path(directory, number)) {
            Ok(text) => all.push(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}
