//! The answer of `vmferry profile energy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_history::{History, HistoryError, history_path};
use vmferry_model::energy::Background;

use super::measurement::EnergyMeasurement;
use super::profile::{EnergyProfile, ProfiledSide};
use crate::Error;
use crate::document::Versions;

/// `vmferry profile energy -o json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// What meters said, where only they were asked.
    pub meters: Vec<MeterCheck>,
    /// Moves measured now, and kept in the history.
    pub measured: Vec<EnergyMeasurement>,
    /// What was left out, each a sentence with its reason.
    pub left_out: Vec<String>,
    /// Measured moves in the history.
    pub measurements: usize,
    /// Profiles: fitted now, or those that are kept.
    pub profiles: Vec<EnergyProfile>,
}

/// A meter that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeterCheck {
    /// Of which host.
    pub side: ProfiledSide,
    /// Name of the meter.
    pub meter: String,
    /// What the host draws.
    pub background: Background,
    /// Readings that did not come or made no sense.
    pub refused_readings: usize,
}

/// What is measured and profiled so far.
///
/// # Errors
/// When the history cannot be read.
pub async fn list() -> Result<EnergyReport, Error> {
    let history = match History::open_existing(&history_path()?).await {
        Ok(history) => history,
        Err(HistoryError::Missing { .. }) => return Ok(EnergyReport::default()),
        Err(error) => return Err(error.into()),
    };
    Ok(EnergyReport {
        measurements: EnergyMeasurement::all(&history).await?.len(),
        profiles: EnergyProfile::newest(EnergyProfile::all(&history).await?),
        ..EnergyReport::default()
    })
}
