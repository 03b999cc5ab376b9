//! One measured move.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry_core::Bytes;
use vmferry_history::{History, Profile, ProfileFilter, Store as _, history_path};
use vmferry_model::energy::MoveEnergy;

use crate::Error;

/// Kind of these documents in the history.
const KIND: &str = "energy-measurement";

/// What one move cost, as the history keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyMeasurement {
    /// The move in the history; `None` of one that others made.
    pub move_id: Option<Uuid>,
    /// The guest.
    pub guest: String,
    /// Name of the source host.
    pub source_host: String,
    /// Name of the destination host, where it is known.
    pub destination_host: Option<String>,
    /// When the migration began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it sent (QEMU's `ram.transferred`).
    pub transferred_bytes: Bytes,
    /// What it cost the source, where that was metered.
    pub source: Option<HostEnergy>,
    /// What it cost the destination, where that was metered.
    pub destination: Option<HostEnergy>,
}

/// What a move cost one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostEnergy {
    /// Name of the meter.
    pub meter: String,
    /// Readings that did not come or made no sense.
    pub refused_readings: usize,
    /// The energy, and what it was told by.
    #[serde(flatten)]
    pub energy: MoveEnergy,
}

impl EnergyMeasurement {
    /// Whether the other one is of the same move by the same meters.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let meter = |host: &Option<HostEnergy>| host.as_ref().map(|host| host.meter.clone());
        self.move_id.is_some()
            && self.move_id == other.move_id
            && meter(&self.source) == meter(&other.source)
            && meter(&self.destination) == meter(&other.destination)
    }

    /// Adds it to the history.
    pub(super) async fn keep(&self) -> Result<(), Error> {
        let history = History::open(&history_path()?).await?;
        let profile = Profile::new(
            KIND,
            Some(&self.source_host),
            self.destination_host.as_deref(),
            self.ended_at,
            self,
        )?;
        history.keep_profile(&profile).await?;
        Ok(history.close().await?)
    }

    /// What meters told of a move; empty where nobody metered it.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn of_move(history: &History, move_id: Uuid) -> Result<Vec<Self>, Error> {
        let mut all = Self::all(history).await?;
        all.retain(|measured| measured.move_id == Some(move_id));
        Ok(all)
    }

    /// All that are kept, the oldest first.
    pub(super) async fn all(history: &History) -> Result<Vec<Self>, Error> {
        let filter = ProfileFilter {
            kind: Some(KIND.to_owned()),
            ..ProfileFilter::default()
        };
        let kept = history.profiles(&filter).await?;
        let read = kept.iter().rev().map(Profile::read);
        Ok(read.collect::<Result<_, _>>()?)
    }
}
