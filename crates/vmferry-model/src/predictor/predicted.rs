//! What a predictor says of a move.

use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Forecast, Interval, Millis};
use vmferry_precopy::Replay;

/// What a predictor says of a move. What it does not speak of is `None`; a
/// formula without an interval of its own says p5 = p50 = p95.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Probability that the move converges by itself within its deadline,
    /// 0..1.
    pub converges_probability: Option<f64>,
    /// Total migration time, where it converges.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Bytes of the stream.
    pub transferred_bytes: Option<Interval<Bytes>>,
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

impl Predicted {
    /// What a formula says of a move that ends: times in seconds, the amount
    /// in bytes.
    pub fn of_formula(total_s: f64, downtime_s: f64, transferred: f64) -> Self {
        Self {
            converges_probability: None,
            total_time_ms: Some(point(Millis(total_s * 1e3))),
            downtime_ms: Some(point(Millis(downtime_s * 1e3))),
            transferred_bytes: Some(point(Bytes(transferred.round().max(0.0) as u64))),
            notes: Vec::new(),
        }
    }

    /// What replays say: the share that converges within the deadline, and
    /// percentiles over those; no quantities where fewer than 5 % do.
    pub fn of_replays(replays: &[Replay], deadline: std::time::Duration) -> Self {
        let converged = replays.iter().filter(|r| r.converged_within(deadline));
        let converged: Vec<&Replay> = converged.collect();
        let share = converged.len() as f64 / replays.len().max(1) as f64;
        let interval = |of: &dyn Fn(&Replay) -> f64| {
            let values: Vec<f64> = converged.iter().map(|r| of(r)).collect();
            (share >= 0.05)
                .then(|| Interval::of_samples(&values))
                .flatten()
        };
        let downtime = |r: &Replay| r.switchover.map_or(f64::NAN, |s| s.downtime.as_secs_f64());
        Self {
            converges_probability: Some(share),
            total_time_ms: interval(&|r| r.total_time.as_secs_f64() * 1e3).map(|i| i.map(Millis)),
            downtime_ms: interval(&|r| downtime(r) * 1e3).map(|i| i.map(Millis)),
            transferred_bytes: interval(&|r| r.transferred.0 as f64)
                .map(|i| i.map(|b| Bytes(b.round() as u64))),
            notes: Vec::new(),
        }
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
            converges_probability: Some(forecast.converges_probability),
            total_time_ms: forecast.total_time_ms,
            downtime_ms: forecast.downtime_ms,
            transferred_bytes: forecast.transferred_bytes,
            notes: forecast.model.notes,
        }
    }
}
