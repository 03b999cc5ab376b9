//! Why there is no sweep.

use thiserror::Error;
use vmferry_core::Bytes;

use super::{Axis, MOST_POINTS, MOST_SWEPT, Model, Rules};
use crate::error::ModelError;
use crate::predictor::CannotForecast;

/// Why there is no sweep.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SweepError {
    /// Nothing to compute.
    #[error("no value of {axis} was given: give at least one")]
    Empty {
        /// Of what.
        axis: &'static str,
    },
    /// A value that makes no sense.
    #[error("{axis} of {value} makes no sense; give {wanted}")]
    BadValue {
        /// Of what.
        axis: Axis,
        /// The value, in the axis' own unit.
        value: f64,
        /// What makes sense.
        wanted: &'static str,
    },
    /// Too many things are swept for one picture.
    #[error(
        "{} are swept at once; sweep at most {MOST_SWEPT} beside the rules, and give one value of the others",
        .axes.join(", ")
    )]
    TooManyAxes {
        /// Which.
        axes: Vec<&'static str>,
    },
    /// Too many points.
    #[error(
        "the sweep has {points} points, more than {MOST_POINTS}; give fewer --steps, or fewer values"
    )]
    TooManyPoints {
        /// How many.
        points: usize,
    },
    /// A formula has rules of its own.
    #[error(
        "the model `{model}` is the textbook's own formula and cannot follow the rules of {rules}; leave --rules out, or choose --model curve"
    )]
    OtherRules {
        /// The model.
        model: Model,
        /// The rules asked for.
        rules: Rules,
    },
    /// A guest cannot be smaller than what it writes.
    #[error(
        "guest {guest}: it wrote {written} of its memory while observed, so a guest of {memory} is not the same guest; give at least {written}"
    )]
    TooSmall {
        /// The guest.
        guest: String,
        /// Memory written at least once.
        written: Bytes,
        /// The size asked for.
        memory: Bytes,
    },
    /// Nothing is known of memory that the guest does not write.
    #[error(
        "guest {guest}: it wrote all the memory that was watched, so nothing tells what a guest of another size would hold; leave --memory out, or observe it for a shorter time"
    )]
    NothingClean {
        /// The guest.
        guest: String,
    },
    /// The model has no forecast.
    #[error(transparent)]
    Forecast(#[from] CannotForecast),
    /// A worker failed.
    #[error("a thread of the sweep failed")]
    Thread,
}

impl From<ModelError> for SweepError {
    fn from(error: ModelError) -> Self {
        Self::Forecast(error.into())
    }
}
