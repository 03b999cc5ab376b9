//! What a predictor says of a move.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Forecast, Interval, Millis};
use vmferry_precopy::Replay;

use crate::forecast::SPEAKABLE_PROBABILITY;

/// What a predictor says of a move. What it does not speak of is `None`; a
/// formula without an interval of its own says p5 = p50 = p95.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Name of the model that says it; empty where nobody signed.
    #[serde(default)]
    pub model: String,
    /// Probability that the move converges by itself within its deadline,
    /// 0..1.
    pub converges_probability: Option<f64>,
    /// Total migration time, where it converges.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Bytes of the stream.
    pub transferred_bytes: Option<Interval<Bytes>>,
    /// Number of replays behind it; 0 of a formula.
    #[serde(default)]
    pub draws: u32,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// One number as an interval without width.
fn point<T: Copy>(value: T) -> Interval<T> {
    Interval {
        p5: value,
        p50: value,
        p95: value,
    }
}

/// One draw of a move that comes to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// From the command to the end, seconds.
    pub total_s: f64,
    /// STOP to RESUME, seconds.
    pub downtime_s: f64,
    /// Bytes of the stream.
    pub transferred: f64,
}

impl Ended {
    /// Of a replay; `None` where it did not converge.
    pub fn of(replay: &Replay) -> Option<Self> {
        Some(Self {
            total_s: replay.total_time.as_secs_f64(),
            downtime_s: replay.switchover?.downtime.as_secs_f64(),
            transferred: replay.transferred.0 as f64,
        })
    }
}

impl Predicted {
    /// What a formula says of a move that ends: times in seconds, the amount
    /// in bytes.
    pub fn of_formula(total_s: f64, downtime_s: f64, transferred: f64) -> Self {
        Self {
            model: String::new(),
            converges_probability: None,
            total_time_ms: Some(point(Millis(total_s * 1e3))),
            downtime_ms: Some(point(Millis(downtime_s * 1e3))),
            transferred_bytes: Some(point(Bytes(transferred.round().max(0.0) as u64))),
            draws: 0,
            notes: Vec::new(),
        }
    }

    /// What draws of a model say: the share that ends within the deadline, and
    /// percentiles over those; no quantities where fewer than 5 % do.
    pub fn of_draws(draws: &[Option<Ended>], deadline: Duration) -> Self {
        let deadline = deadline.as_secs_f64();
        let ended = draws.iter().flatten().filter(|e| e.total_s <= deadline);
        let ended: Vec<&Ended> = ended.collect();
        let share = ended.len() as f64 / draws.len().max(1) as f64;
        let interval = |of: fn(&Ended) -> f64| {
            let values: Vec<f64> = ended.iter().map(|e| of(e)).collect();
            let speakable = share >= SPEAKABLE_PROBABILITY;
            speakable.then(|| Interval::of_samples(&values)).flatten()
        };
        Self {
            model: String::new(),
            converges_probability: Some(share),
            total_time_ms: interval(|e| e.total_s * 1e3).map(|i| i.map(Millis)),
            downtime_ms: interval(|e| e.downtime_s * 1e3).map(|i| i.map(Millis)),
            transferred_bytes: interval(|e| e.transferred)
                .map(|i| i.map(|b| Bytes(b.round().max(0.0) as u64))),
            draws: u32::try_from(draws.len()).unwrap_or(u32::MAX),
            notes: Vec::new(),
        }
    }

    /// The same, signed.
    #[must_use]
    pub fn by(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// The same with a note more.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl From<Forecast> for Predicted {
    fn from(forecast: Forecast) -> Self {
        Self {
            model: forecast.model.name,
            converges_probability: Some(forecast.converges_probability),
            total_time_ms: forecast.total_time_ms,
            downtime_ms: forecast.downtime_ms,
            transferred_bytes: forecast.transferred_bytes,
            draws: forecast.model.samples,
            notes: forecast.model.notes,
        }
    }
}

impl Predicted {
    /// What the model of a forecast said by itself, before corrections.
    pub fn uncorrected(forecast: &Forecast) -> Self {
        let by_itself = forecast.uncorrected();
        Self {
            total_time_ms: by_itself.total_time_ms,
            downtime_ms: by_itself.downtime_ms,
            transferred_bytes: by_itself.transferred_bytes,
            ..Self::from(forecast.clone())
        }
    }
}
