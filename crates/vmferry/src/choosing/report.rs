//! `vmferry choose -o json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, GuestUri, Interval, Joules, LinkSpeed, Millis, Ratio, StreamUri,
};
use vmferry_model::choice::{Cores, Demand, MoveCost, Proof, Term, Terms, Verdict, Weights, Worth};

use super::HostUri;
use super::found::Skipped;
use crate::document::{MigrateReport, ObservingOptions, Versions};

/// `vmferry choose -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChooseReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The host whose guests were looked at.
    pub from: HostUri,
    /// The hosts they may move to.
    pub to: Vec<DestinationReport>,
    /// What the host is to be rid of.
    pub demand: Demand,
    /// The weights that counted.
    pub weights: Weights,
    /// What every quantity was divided by: its largest value over the guests that
    /// may move. `None` where no guest may.
    pub largest: Option<MoveCost>,
    /// The dearest moves that would still be worth it; `None` where the demand is
    /// to be met at any cost.
    pub worth: Option<Worth>,
    /// The model that forecast.
    pub model: String,
    /// The limits of every move.
    pub limits: MoveLimits,
    /// How the guests were observed; the budget is that of all together.
    pub options: ObservingOptions,
    /// Share of one core that observing all of them took.
    pub observing_core_share: Ratio,
    /// The guests: those that may move by their cost, then the others.
    pub guests: Vec<GuestReport>,
    /// Monitors behind which there was nothing to move.
    pub skipped: Vec<Skipped>,
    /// The answer.
    pub choice: ChoiceReport,
    /// The moves that were made (`--execute`), in order.
    pub moves: Vec<MigrateReport>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// A host that guests may move to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DestinationReport {
    /// The host.
    pub host: HostUri,
    /// Where its hypervisors listen, one after another.
    pub via: StreamUri,
    /// Hypervisors that wait there.
    pub waiting: u32,
    /// The link as the forecasts assume it; `None` where no guest fits there.
    pub link: Option<LinkSpeed>,
}

/// A guest as an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestReport {
    /// Its name, or its monitor where that is not its alone.
    pub name: String,
    /// Its monitor.
    pub monitor: GuestUri,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Memory its host would get back.
    pub memory_bytes: Option<Bytes>,
    /// Processor time its host would get back; `None` where its threads cannot be
    /// seen.
    pub cpu_cores: Option<Cores>,
    /// Unique bytes it dirties within a second, per second.
    pub dirty_rate_1s_bytes_per_s: Option<f64>,
    /// The hypervisor it would move to.
    pub to: Option<GuestUri>,
    /// Most its migration may send.
    #[serde(rename = "max_bandwidth_bytes_per_s")]
    pub max_bandwidth: Option<ByteRate>,
    /// Probability that its move converges within the limits, 0..1.
    pub converges_probability: Option<f64>,
    /// Forecast total migration time.
    pub total_time_ms: Option<Interval<Millis>>,
    /// Forecast downtime.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Forecast bytes of the stream.
    pub transferred_bytes: Option<Interval<Bytes>>,
    /// Forecast energy; `None` without an energy profile.
    pub energy_j: Option<Interval<Joules>>,
    /// The meters that told that profile, the source's first.
    #[serde(default)]
    pub energy_meters: Vec<String>,
    /// What it costs, 0..1; `None` where it may not move.
    pub cost: Option<f64>,
    /// The parts of that cost.
    pub parts: Option<Terms>,
    /// Whether it is to move.
    pub chosen: bool,
    /// Why it may not move.
    pub excluded: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChoiceReport {
    /// Whether to move, or why not.
    pub verdict: Verdict,
    /// The guests to move, in order, with what that costs and frees; empty where
    /// nothing is to be moved.
    pub option: OptionReport,
    /// How good the answer is.
    pub proof: Proof,
    /// What comes next: the cheapest other set found, or the set that was not
    /// worth its cost.
    pub runner_up: Option<OptionReport>,
    /// The smallest change of a weight that would bring another option level.
    pub weight_change: Option<WeightChangeReport>,
    /// The smallest change of the runner-up's forecast that would.
    pub forecast_change: Option<ForecastChangeReport>,
}

/// A set of guests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptionReport {
    /// Their names, the cheapest first.
    pub guests: Vec<String>,
    /// What they cost together.
    pub cost: f64,
    /// The parts of that cost.
    pub parts: Terms,
    /// What they free, in the unit of the demand.
    pub frees: f64,
}

/// The smallest change of a weight, the others in proportion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeightChangeReport {
    /// Whose weight.
    pub term: Term,
    /// The weight now.
    pub from: f64,
    /// The weight at which both options cost the same.
    pub to: f64,
    /// The guests of the option that would be level.
    pub then: Vec<String>,
}

/// The smallest change of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastChangeReport {
    /// Which quantity.
    pub term: Term,
    /// What it is: milliseconds, bytes or joules.
    pub from: f64,
    /// What it would have to be.
    pub to: f64,
}
