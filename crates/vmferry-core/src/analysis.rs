//! What an observation says about how a guest writes: the model's reading of
//! it, as a value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dirty_curve::CurvePoint;
use crate::fitted_curve::FittedCurve;
use crate::units::{Bytes, Millis};

/// How a guest writes, read from one observation. What the window does not
/// show is `None` or empty, with the reason beside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Analysis {
    /// The writable working set: the peek curve where its slope stops
    /// changing (`liu2011` 5.2).
    pub working_set_bytes: Option<Bytes>,
    /// Its standard error, from sampling pages.
    pub working_set_standard_error_bytes: Option<Bytes>,
    /// When the peek curve reached it, from the window's start.
    pub working_set_reached_ms: Option<Millis>,
    /// Why no working set was seen, a sentence.
    pub working_set_unknown: Option<String>,
    /// Whether the guest writes as much at the window's end as at its start.
    pub stationarity: Stationarity,
    /// Why that is unknown, a sentence.
    pub stationarity_unknown: Option<String>,
    /// Change per second of the unique bytes dirtied per second, both within
    /// half seconds: the slope of a straight line through them.
    pub trend_bytes_per_s2: Option<f64>,
    /// Length of the cycle in which the guest writes; `None` where it does
    /// not repeat itself, or fewer than three cycles were seen.
    pub period_ms: Option<Millis>,
    /// Autocorrelation at that period, 0..1.
    pub period_autocorrelation: Option<f64>,
    /// Unique bytes dirtied within each half second of the window, in order;
    /// empty where the guest was looked at too rarely.
    pub dirtied_per_half_second: Vec<Bytes>,
    /// Standard error of each of them, from sampling pages.
    pub dirtied_per_half_second_standard_error_bytes: Vec<Bytes>,
    /// The peek curve: unique bytes dirtied since the window's start, every
    /// 50 ms, in windows above a minute at 1200 instants.
    pub peek_curve: Vec<CurvePoint>,
    /// The dirty curve U(t) in a form that goes on beyond the window.
    pub fitted_curve: Option<FittedCurve>,
}

/// Whether a guest writes as much at a window's end as at its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stationarity {
    /// As far as the window shows.
    Stationary,
    /// The level changed: by more than chance and by more than a tenth.
    Drifting,
    /// The window does not show it.
    #[default]
    Unknown,
}

impl std::fmt::Display for Stationarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Stationary => "stationary",
            Self::Drifting => "drifting",
            Self::Unknown => "unknown",
        })
    }
}
