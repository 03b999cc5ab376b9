//! How right a forecast was.

use vmferry_core::{Bytes, Forecast, Interval, Millis, Outcome, OutcomeStatus};

/// One quantity, forecast against measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantityAccuracy {
    /// Median forecast, in the quantity's own unit (ms, bytes, a share).
    pub forecast: f64,
    /// What was measured.
    pub measured: f64,
    /// (forecast - measured) / measured: positive when too much was forecast;
    /// infinite where nothing was measured but something forecast.
    pub relative_error: f64,
    /// Whether the measured value lies within p5..p95.
    pub covered: bool,
}

impl QuantityAccuracy {
    fn of(forecast: Option<Interval<f64>>, measured: Option<f64>) -> Option<Self> {
        let (interval, measured) = (forecast?, measured?);
        let difference = interval.p50 - measured;
        Some(Self {
            forecast: interval.p50,
            measured,
            relative_error: if difference == 0.0 {
                0.0
            } else {
                difference / measured
            },
            covered: interval.covers(&measured),
        })
    }
}

/// A forecast beside its outcome. A quantity is `None` where it was not
/// forecast or not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accuracy {
    /// Total migration time, ms.
    pub total_time: Option<QuantityAccuracy>,
    /// STOP at the source to RESUME at the destination, ms.
    pub downtime: Option<QuantityAccuracy>,
    /// QEMU's own downtime, ms.
    pub qemu_downtime: Option<QuantityAccuracy>,
    /// Bytes of stream.
    pub transferred: Option<QuantityAccuracy>,
    /// Bytes on the interface.
    pub wire: Option<QuantityAccuracy>,
    /// Share of the guest's work lost. Its relative error says little where
    /// the share is small.
    pub slowdown: Option<QuantityAccuracy>,
    /// Number of passes.
    pub passes: Option<QuantityAccuracy>,
    /// Whether the verdict on convergence was right: a probability of at least
    /// one half against a move completed within the deadline. `None` where
    /// the move tells nothing: it failed, or was cancelled before the deadline.
    pub verdict: Option<bool>,
}

impl Accuracy {
    /// Compares a forecast with the outcome of the move it was made for.
    /// Quantities are compared for completed moves only.
    pub fn of(forecast: &Forecast, outcome: &Outcome) -> Self {
        let said = forecast.converges_probability >= 0.5;
        if outcome.status != OutcomeStatus::Completed {
            let ran = outcome.ended_at.duration_since(outcome.started_at);
            let past = ran.as_secs_f64() * 1e3 >= forecast.deadline_ms.0;
            let cut_off = outcome.status == OutcomeStatus::Cancelled && past;
            return Self {
                verdict: cut_off.then_some(!said),
                ..Self::default()
            };
        }
        let ms = |i: Interval<Millis>| i.map(|m| m.0);
        let bytes = |i: Interval<Bytes>| i.map(|b| b.0 as f64);
        Self {
            total_time: QuantityAccuracy::of(
                forecast.total_time_ms.map(ms),
                outcome.total_time_ms.map(|m| m.0),
            ),
            downtime: QuantityAccuracy::of(
                forecast.downtime_ms.map(ms),
                outcome.downtime_ms.map(|m| m.0),
            ),
            qemu_downtime: QuantityAccuracy::of(
                forecast.qemu_downtime_ms.map(ms),
                outcome.qemu_downtime_ms.map(|m| m.0),
            ),
            transferred: QuantityAccuracy::of(
                forecast.transferred_bytes.map(bytes),
                outcome.transferred_bytes.map(|b| b.0 as f64),
            ),
            wire: QuantityAccuracy::of(
                forecast.wire_bytes.map(bytes),
                outcome.wire_bytes.map(|b| b.0 as f64),
            ),
            slowdown: QuantityAccuracy::of(
                forecast.slowdown.map(|i| i.map(|r| r.0)),
                outcome.slowdown.map(|r| r.0),
            ),
            passes: QuantityAccuracy::of(forecast.passes, outcome.passes.map(|p| p as f64)),
            verdict: outcome
                .total_time_ms
                .map(|total| said == (total.0 <= forecast.deadline_ms.0)),
        }
    }
}
