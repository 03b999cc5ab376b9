//! The document of `vmferry simulate`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, GuestInfo, Millis, ObservationSummary};
use vmferry_model::sweep::{Axis, Boundary, Model, Point, Rules};

use super::Versions;

/// `vmferry simulate -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SimulateReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The file that was read.
    pub file: String,
    /// What it is.
    pub source: SourceKind,
    /// The guest.
    pub guest: GuestInfo,
    /// What was seen of it.
    pub observation: ObservationSummary,
    /// The model that was used.
    pub model: Model,
    /// The rule sets, in the order asked for.
    pub rules: Vec<Rules>,
    /// What was swept beside the rules: the horizontal axis first.
    pub swept: Vec<Axis>,
    /// Draws behind every point.
    pub samples: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// Time within which a move should converge.
    pub deadline_ms: Millis,
    /// Most that the stream may use; `None` is unlimited.
    pub max_bandwidth_bytes_per_s: Option<ByteRate>,
    /// Every point: by rules, memory, dirt, downtime limit and bandwidth, the
    /// last changing fastest.
    pub points: Vec<Point>,
    /// Where convergence begins along a swept bandwidth or downtime limit.
    pub boundaries: Vec<Boundary>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// What a simulation was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// An observation: `vmferry measure -o json`.
    Profile,
    /// A trace: `vmferry record`.
    Trace,
}
