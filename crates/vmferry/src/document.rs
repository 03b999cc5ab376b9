//! The JSON documents of the command line. Their schemas are checked in under
//! `schemas/`, and tests hold both together.

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    Analysis, Forecast, GuestInfo, GuestUri, HostInfo, LinkSpeed, Millis, MoveEvent, MoveRecord,
    Observation, Outcome, Place, Plan, Ratio, SCHEMA_VERSION,
};
use vmferry_history::MoveSummary;
use vmferry_migrate::Check;

use crate::TOOL_VERSION;

/// Versions, at the head of every document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// Version of the document.
    pub schema_version: u32,
    /// Version of vmferry that wrote it.
    pub tool_version: String,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
        }
    }
}

/// How a guest was, or was to be, observed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObservingOptions {
    /// Window asked for.
    pub window_ms: Millis,
    /// Most of one core that observing may take, 0..1.
    pub budget: Ratio,
    /// Pages to sample.
    pub pages: u32,
}

/// `vmferry measure -o json`: also what `--profile` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasureReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The options used.
    pub options: ObservingOptions,
    /// How the guest writes, as far as the window shows; `None` in documents of
    /// earlier versions.
    #[serde(default)]
    pub analysis: Option<Analysis>,
    /// What was seen.
    #[serde(flatten)]
    pub observation: Observation,
}

/// `vmferry predict -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The guest.
    pub guest: GuestInfo,
    /// The host it runs on.
    pub host: HostInfo,
    /// The link as it was assumed.
    pub link: LinkSpeed,
    /// The limits that were assumed.
    pub limits: MoveLimits,
    /// The forecast.
    #[serde(flatten)]
    pub forecast: Forecast,
}

/// `vmferry migrate -o json`: the forecast's fields, then `outcome` with the
/// same names measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrateReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Identifier of the move in the history.
    pub move_id: Uuid,
    /// What was asked for.
    pub plan: Plan,
    /// The guest.
    pub guest: GuestInfo,
    /// The source host.
    pub source_host: HostInfo,
    /// The destination host.
    pub destination_host: HostInfo,
    /// The link as the forecast assumed it; `None` without a forecast.
    pub link: Option<LinkSpeed>,
    /// The pre-flight checks.
    pub checks: Vec<Check>,
    /// The forecast, frozen before the move.
    #[serde(flatten)]
    pub forecast: Option<Forecast>,
    /// What was measured; `None` for a dry run.
    pub outcome: Option<Outcome>,
    /// Where the guest is.
    pub place: Place,
}

/// `vmferry recover -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoverReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Every interrupted move that was found.
    pub moves: Vec<RecoveredMove>,
}

/// One interrupted move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveredMove {
    /// Identifier.
    pub move_id: Uuid,
    /// The guest, where its record could be read.
    pub guest: Option<GuestUri>,
    /// Whether it is still supervised; then nothing was done.
    pub supervised: bool,
    /// Changes undone now.
    pub undone: usize,
    /// What could not be undone, and why; empty when all is well.
    pub failed: Vec<String>,
    /// Where the guest is, where that was asked.
    pub place: Option<Place>,
}

/// `vmferry history list -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveList {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The moves, latest first.
    pub moves: Vec<MoveSummary>,
}

impl MoveList {
    /// A list of moves.
    pub fn new(moves: Vec<MoveSummary>) -> Self {
        Self {
            versions: Versions::default(),
            moves,
        }
    }
}

/// Name and schema of every document.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("measure", schema_for!(MeasureReport)),
        ("predict", schema_for!(PredictReport)),
        ("migrate", schema_for!(MigrateReport)),
        ("event", schema_for!(MoveEvent)),
        ("record", schema_for!(MoveRecord)),
        ("recover", schema_for!(RecoverReport)),
    ]
}
