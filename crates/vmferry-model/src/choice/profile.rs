//! What is known of a guest that may move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Forecast, Joules, Millis};

use super::demand::Cores;
use super::terms::Term;
use super::weights::Weights;

/// What one move costs: the medians of its forecast, or what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveCost {
    /// STOP at the source to RESUME at the destination.
    #[serde(rename = "downtime_ms")]
    pub downtime: Millis,
    /// Total migration time.
    #[serde(rename = "total_time_ms")]
    pub total_time: Millis,
    /// Bytes of the stream.
    #[serde(rename = "transferred_bytes")]
    pub transferred: Bytes,
    /// Energy of both hosts; `None` without an energy profile of the pair.
    #[serde(rename = "energy_j")]
    pub energy: Option<Joules>,
}

impl MoveCost {
    /// The medians of a forecast, with the energy of the same move where it is
    /// known; `None` where the forecast does not speak of all three.
    pub fn forecast(forecast: &Forecast, energy: Option<Joules>) -> Option<Self> {
        Some(Self {
            downtime: forecast.downtime_ms?.p50,
            total_time: forecast.total_time_ms?.p50,
            transferred: forecast.transferred_bytes?.p50,
            energy,
        })
    }

    /// One quantity as a number: milliseconds, bytes or joules.
    pub fn of(&self, term: Term) -> Option<f64> {
        match term {
            Term::Downtime => Some(self.downtime.0),
            Term::Time => Some(self.total_time.0),
            Term::Traffic => Some(self.transferred.0 as f64),
            Term::Energy => self.energy.map(|energy| energy.0),
        }
    }

    /// Whether every quantity is a number, and none is negative.
    pub(super) fn makes_sense(&self) -> bool {
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        Term::ALL
            .into_iter()
            .filter_map(|term| self.of(term))
            .all(sound)
    }
}

/// The dearest moves that would still be worth it: what staying costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worth {
    /// Downtime of all guests together.
    pub downtime_ms: Option<Millis>,
    /// Time of all moves, one after another.
    pub total_time_ms: Option<Millis>,
    /// Bytes of all streams.
    pub transferred_bytes: Option<Bytes>,
    /// Energy of all moves.
    pub energy_j: Option<Joules>,
}

impl Worth {
    /// The first quantity that has a weight and is left open.
    pub fn lacks(&self, weights: &Weights) -> Option<Term> {
        let open = |term: &Term| weights.of(*term) > 0.0 && self.of(*term).is_none();
        Term::ALL.into_iter().find(open)
    }

    /// One quantity as a number: milliseconds, bytes or joules.
    pub(super) fn of(&self, term: Term) -> Option<f64> {
        match term {
            Term::Downtime => self.downtime_ms.map(|ms| ms.0),
            Term::Time => self.total_time_ms.map(|ms| ms.0),
            Term::Traffic => self.transferred_bytes.map(|bytes| bytes.0 as f64),
            Term::Energy => self.energy_j.map(|joules| joules.0),
        }
    }
}

/// A guest that may move.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What to call it; no two alike.
    pub name: String,
    /// Memory its host gets back.
    pub memory: Option<Bytes>,
    /// Processor time its host gets back.
    pub cpu: Option<Cores>,
    /// Probability that its move converges within its limits, 0..1.
    pub converges_probability: f64,
    /// What the move costs if it does; `None` where no forecast says it.
    pub cost: Option<MoveCost>,
}
