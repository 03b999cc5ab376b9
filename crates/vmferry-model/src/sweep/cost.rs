//! What a move costs at one point.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Interval, Millis};
use vmferry_precopy::Replay;
use vmferry_precopy::postcopy::PostCopy;

use crate::predictor::{Ended, Predicted};

/// What a move costs. Intervals are over the draws that end within the
/// deadline; `None` where fewer than one in twenty does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Probability that the move ends within the deadline, 0..1.
    pub converges_probability: f64,
    /// Total migration time.
    pub total_time_ms: Option<Interval<Millis>>,
    /// STOP at the source to RESUME at the destination.
    pub downtime_ms: Option<Interval<Millis>>,
    /// Bytes of the stream.
    pub transferred_bytes: Option<Interval<Bytes>>,
    /// Looks at the dirty log, as QEMU counts them; `None` also where the model
    /// has none, or post-copy, which looks once.
    pub passes: Option<Interval<f64>>,
}

/// One draw of a move.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Played {
    /// `None` where it did not end.
    ended: Option<Ended>,
    passes: Option<f64>,
}

impl From<&Replay> for Played {
    fn from(replay: &Replay) -> Self {
        Self {
            ended: Ended::of(replay),
            passes: Some(replay.dirty_syncs as f64),
        }
    }
}

impl From<PostCopy> for Played {
    fn from(replay: PostCopy) -> Self {
        Self {
            ended: Some(Ended {
                total_s: replay.total_time.as_secs_f64(),
                downtime_s: replay.downtime.as_secs_f64(),
                transferred: replay.transferred.0 as f64,
            }),
            passes: None,
        }
    }
}

impl Cost {
    /// What draws say.
    pub(super) fn of(draws: &[Played], deadline: Duration) -> Self {
        let ended: Vec<Option<Ended>> = draws.iter().map(|draw| draw.ended).collect();
        let said = Predicted::of_draws(&ended, deadline);
        let passes: Vec<f64> = draws
            .iter()
            .filter(|draw| {
                let in_time = |ended: Ended| ended.total_s <= deadline.as_secs_f64();
                draw.ended.is_some_and(in_time)
            })
            .filter_map(|draw| draw.passes)
            .collect();
        let spoken = said.total_time_ms.is_some();
        Self {
            passes: spoken.then(|| Interval::of_samples(&passes)).flatten(),
            ..Self::from(said)
        }
    }

    /// A move that never ends.
    pub(super) fn of_nothing() -> Self {
        Self::from(Predicted {
            converges_probability: Some(0.0),
            ..Predicted::default()
        })
    }
}

impl From<Predicted> for Cost {
    fn from(said: Predicted) -> Self {
        let probability = said.converges_probability.unwrap_or(0.0);
        let ends = probability > 0.0;
        Self {
            converges_probability: probability,
            total_time_ms: said.total_time_ms.filter(|_| ends),
            downtime_ms: said.downtime_ms.filter(|_| ends),
            transferred_bytes: said.transferred_bytes.filter(|_| ends),
            passes: None,
        }
    }
}
