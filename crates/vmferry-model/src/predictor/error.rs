//! Why a predictor says nothing.

use thiserror::Error;
use vmferry_core::ByteRate;

use super::case::Technique;
use crate::error::ModelError;

/// Why a predictor has no forecast of a case.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CannotForecast {
    /// The model needs what is not known.
    #[error("{}; {remedy}", self.reason())]
    Unknown {
        /// The model.
        model: &'static str,
        /// The guest.
        guest: String,
        /// What it needs.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// What is said of the case makes no sense.
    #[error("{}; {remedy}", self.reason())]
    Senseless {
        /// The guest.
        guest: String,
        /// What was said.
        what: &'static str,
        /// The value as said.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The model does not describe this technique.
    #[error("{}; {}", self.reason(), instead_of(*technique))]
    Technique {
        /// The model.
        model: &'static str,
        /// The technique.
        technique: Technique,
    },
    /// A closed form has no value there.
    #[error("{}; choose --model pages or give more --bandwidth", self.reason())]
    Diverges {
        /// The guest.
        guest: String,
        /// Its dirty rate.
        dirty_rate: ByteRate,
        /// The stream's rate.
        rate: ByteRate,
    },
    /// The model gives costs, but no probability of converging.
    #[error("{}; choose --model auto", self.reason())]
    NoVerdict {
        /// The model.
        model: &'static str,
    },
    /// Our own model has no forecast.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl CannotForecast {
    /// Why, without what to do about it: of an earlier move nothing can be
    /// measured any more, and no other model be chosen.
    pub fn reason(&self) -> String {
        match self {
            Self::Unknown {
                model, guest, what, ..
            } => format!("guest {guest}: the model `{model}` needs {what}, which is unknown"),
            Self::Senseless {
                guest, what, value, ..
            } => format!("guest {guest}: {what} of {value} makes no sense"),
            Self::Technique { model, technique } => {
                format!("the model `{model}` does not describe {technique}")
            }
            Self::Diverges {
                guest,
                dirty_rate,
                rate,
            } => format!(
                "guest {guest}: it dirties {dirty_rate} over a link of {rate}: the closed form needs less dirt than bandwidth"
            ),
            Self::NoVerdict { model } => format!(
                "the model `{model}` does not say whether a move converges, so that it can advise neither for one nor against"
            ),
            Self::Model(error) => error.to_string(),
        }
    }
}

/// What to do about a technique that a model does not describe.
const fn instead_of(technique: Technique) -> &'static str {
    match technique {
        Technique::PreCopy => "choose another one, for example --model auto",
        _ => "forecast it as pre-copy, or choose --model learned",
    }
}

/// Why a model could not learn: too few earlier moves tell what it has to
/// know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the model `{model}` learns from earlier moves with {what}: it needs {needed}, and there are {found}; move more guests, or import a history"
)]
pub struct TooLittleData {
    /// The model.
    pub model: &'static str,
    /// What such a move has to tell.
    pub what: &'static str,
    /// How many there are.
    pub found: usize,
    /// How many it takes.
    pub needed: usize,
}
