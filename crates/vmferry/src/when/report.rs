//! The document of `vmferry when`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{Bytes, Interval, Joules, LinkSpeed, Millis, Watts};
use vmferry_model::schedule::{
    Advice, BreakEven, MovesWithin, Preference, Saving, Sla, StartTime, TimeCost,
};

use crate::document::Versions;

/// `vmferry when -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhenReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The guest.
    pub guest: WhenGuest,
    /// The instant that was taken for now.
    pub now: Timestamp,
    /// Time zone whose clock tells the times of day.
    pub timezone: String,
    /// How far ahead start times were looked at.
    pub within_ms: Millis,
    /// Length of the parts of a day that are told apart.
    pub every_ms: Millis,
    /// The link as it was assumed.
    pub link: LinkSpeed,
    /// The limits that were assumed.
    pub limits: MoveLimits,
    /// What makes one start better than another.
    pub preference: Preference,
    /// What the answer is based on.
    pub data: WhenData,
    /// The best time to start; `None` where fewer than two start times are
    /// known, so that there is nothing to choose from.
    pub best: Option<BestStart>,
    /// Every start time, the first of them now.
    pub starts: Vec<StartTime>,
    /// The day in hours, or in longer parts where these were asked for; `None`
    /// where nothing is known.
    pub hours: Vec<Option<TimeCost>>,
    /// How many moves fit into the downtime promised, where that was asked.
    pub sla: Option<SlaAnswer>,
    /// Whether consolidating pays, where that was asked.
    pub consolidation: Option<ConsolidationAnswer>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// The guest as the recorded history knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhenGuest {
    /// What it was called on the command line.
    pub asked: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its UUID, where it has one.
    pub uuid: Option<String>,
    /// Memory a move sends in its first pass, where known.
    pub migrated_bytes: Option<Bytes>,
}

/// What an answer is based on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhenData {
    /// Traces that were used.
    pub traces: Vec<TraceUse>,
    /// Moves replayed over them.
    pub replays: u64,
    /// Real moves that were used.
    pub moves: u64,
    /// Days of which anything is known.
    pub days: u64,
    /// Parts of the day of which anything is known.
    pub known_parts: u64,
    /// Parts of the day.
    pub parts: u64,
}

/// A trace that was used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceUse {
    /// The file.
    pub file: String,
    /// When it was recorded.
    pub started_at: Timestamp,
    /// Its length, as far as it can be read.
    pub length_ms: Millis,
    /// Moves replayed over it.
    pub replays: u64,
    /// Whether it ends early: it is cut off there, or damaged.
    pub cut_off: bool,
}

/// The best time to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BestStart {
    /// The instant.
    pub at: Timestamp,
    /// The same by the local clock.
    pub local: String,
    /// What a move costs then.
    pub cost: TimeCost,
    /// Whether to wait for it.
    pub advice: Advice,
    /// What waiting saves; `None` where now is unknown.
    pub saving: Option<Saving>,
    /// Start times that are as good: their intervals overlap.
    pub as_good: Vec<Timestamp>,
}

/// How often the guest may move within a downtime promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlaAnswer {
    /// What is promised.
    #[serde(flatten)]
    pub sla: Sla,
    /// Whether the whole move counts as downtime, and not the pause alone.
    pub counts_degraded: bool,
    /// The hour in which most moves fit; `None` where in no hour moves are
    /// likely to converge.
    pub best: Option<SlaTime>,
    /// Every hour of which anything is known.
    pub hours: Vec<SlaTime>,
}

/// How many moves fit when they start in a part of the day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlaTime {
    /// When that part of the day begins by the local clock.
    pub from: String,
    /// Share of the moves that converge at all, 0..1.
    pub converges_probability: f64,
    /// What one move takes of the promise: one move's own percentiles, widened
    /// to where days tell its expectation to lie.
    pub each_ms: Interval<Millis>,
    /// Moves of median cost that fit; `None` where a move costs nothing.
    pub median_moves: Option<MovesWithin>,
    /// Moves that fit where each costs the upper end of that (p95).
    pub costly_moves: Option<MovesWithin>,
}

/// Whether it pays to empty a host and switch it off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConsolidationAnswer {
    /// Guests that leave the host, all like this one.
    pub guests: u32,
    /// Power saved while it is off.
    pub host_power_w: Watts,
    /// What it takes to switch it off and on again.
    pub boot_energy_j: Joules,
    /// Power that a move takes, where that was given; else its energy follows
    /// from the traffic by `liu2011`.
    pub move_power_w: Option<Watts>,
    /// For moves at the best time; `None` where that is unknown.
    pub at_best: Option<BreakEven>,
    /// For moves that start now; `None` where that is unknown.
    pub at_now: Option<BreakEven>,
}
