//! Which model forecasts, fitted to what earlier moves taught.

use std::sync::Arc;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{Forecast, GuestInfo, LinkSpeed, Observation, Technique};
use vmferry_model::Assumptions;
pub use vmferry_model::predictor::NAMES;
use vmferry_model::predictor::{CannotForecast, Case, Predictor, RuleSet, named};

use crate::Error;
use crate::earlier::Earlier;

/// Seed of every forecast: the same observation gives the same forecast.
pub(crate) const SEED: u64 = 1;

/// The model that is asked unless another is chosen: it picks by what is known
/// of the guest, and corrects by what its earlier moves cost.
pub const DEFAULT: &str = "auto";

/// The technique that a model is asked about.
pub(crate) fn technique(model: &str) -> Technique {
    match model {
        "post-copy" => Technique::PostCopy,
        _ => Technique::PreCopy,
    }
}

/// Refuses a model that does not describe how vmferry moves guests.
///
/// # Errors
/// [`CannotForecast::Technique`].
pub(crate) fn describes_our_moves(model: &str) -> Result<(), Error> {
    match NAMES.into_iter().find(|name| *name == model) {
        Some(model) if technique(model) != Technique::PreCopy => Err(CannotForecast::Technique {
            model,
            technique: Technique::PreCopy,
        }
        .into()),
        _ => Ok(()),
    }
}

/// A model that has learned what there is to learn.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    model: Arc<dyn Predictor>,
    technique: Technique,
    guest: Option<String>,
    route: Option<String>,
}

impl Fitted {
    /// Fits a model to the earlier moves of a guest and over its route.
    ///
    /// # Errors
    /// [`Error::Usage`] of a name that is none; [`Error::TooLittleToLearn`] where
    /// the model has to learn and cannot.
    pub(crate) fn new(name: &str, earlier: &Earlier, guest: &GuestInfo) -> Result<Self, Error> {
        let Some(model) = named(name, RuleSet::Qemu) else {
            return Err(Error::Usage(format!(
                "there is no model `{name}`; choose one of {}",
                NAMES.join(", ")
            )));
        };
        Ok(Self {
            model: earlier.with_pasts(|pasts| model.fit(pasts))?.into(),
            technique: technique(name),
            guest: guest.uuid.clone().or_else(|| guest.name.clone()),
            route: earlier.route().map(ToString::to_string),
        })
    }

    /// The forecast, computed apart from the connections.
    ///
    /// # Errors
    /// When the observation lacks what the model needs.
    pub(crate) async fn forecast(
        &self,
        assumptions: &Assumptions,
        observation: &Observation,
        link: &LinkSpeed,
        limits: &MoveLimits,
    ) -> Result<Forecast, Error> {
        let (this, assumptions, limits) = (self.clone(), *assumptions, *limits);
        let (observation, link) = (observation.clone(), link.clone());
        let compute = move || {
            let case = Case {
                technique: this.technique,
                guest: this.guest.as_deref(),
                route: this.route.as_deref(),
                at: Some(observation.started_at),
                ..Case::observed(&observation, link, limits, assumptions)
            };
            this.model.forecast_in_full(&case, SEED)
        };
        let result = tokio::task::spawn_blocking(compute).await;
        Ok(result.map_err(|error| Error::Internal(format!("the forecast failed: {error}")))??)
    }
}

#[cfg(test)]
mod tests;
