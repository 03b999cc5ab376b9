//! Our own forecast ([`crate::forecast()`]) as predictors.

use vmferry_core::{Forecast, Observation};

use super::hist::recorded;
use super::{CannotForecast, Case, Predicted, Predictor, Technique, full_forecast};
use crate::forecast::made;

/// QEMU's loop page by page over the recorded page history, with draws of all
/// that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages;

/// The same over the dirty curve alone: without knowing which pages are
/// written again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Curve;

impl Predictor for Pages {
    fn name(&self) -> &'static str {
        "pages"
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        Ok(self.made(case, seed, false)?.into())
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        full_forecast::with_unlearned(self, case, seed, self.made(case, seed, true)?)
    }
}

impl Predictor for Curve {
    fn name(&self) -> &'static str {
        "curve"
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        Ok(self.made(case, seed, false)?.into())
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        full_forecast::with_unlearned(self, case, seed, self.made(case, seed, true)?)
    }
}

impl Curve {
    fn made(&self, case: &Case<'_>, seed: u64, remedies: bool) -> Result<Forecast, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let seen = observed(case, self.name())?;
        ours(&seen.without_pages(), case, seed, remedies)
    }
}

impl Pages {
    fn made(&self, case: &Case<'_>, seed: u64, remedies: bool) -> Result<Forecast, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        recorded(case, self.name())?;
        ours(observed(case, self.name())?, case, seed, remedies)
    }
}

fn ours(
    seen: &Observation,
    case: &Case<'_>,
    seed: u64,
    remedies: bool,
) -> Result<Forecast, CannotForecast> {
    let known = (seen, &case.link, &case.limits, &case.assumptions);
    Ok(made(known, seed, remedies)?)
}

/// What was seen of a case's guest.
pub(crate) fn observed<'a>(
    case: &Case<'a>,
    model: &'static str,
) -> Result<&'a Observation, CannotForecast> {
    case.observation.ok_or_else(|| CannotForecast::Unknown {
        model,
        guest: case.label(),
        what: "an observation of the guest",
        remedy: "measure the guest for some seconds",
    })
}
