//! Our own forecast ([`crate::forecast()`]) as predictors.

use vmferry_core::Observation;

use super::hist::recorded;
use super::{CannotForecast, Case, Predicted, Predictor, Technique};
use crate::forecast::forecast;

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
        case.check(self.name(), &[Technique::PreCopy])?;
        recorded(case, self.name())?;
        let observation = observed(case, self.name())?;
        ours(observation, case, seed)
    }
}

impl Predictor for Curve {
    fn name(&self) -> &'static str {
        "curve"
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let seen = observed(case, self.name())?;
        ours(&seen.without_pages(), case, seed)
    }
}

fn ours(seen: &Observation, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
    Ok(forecast(seen, &case.link, &case.limits, &case.assumptions, seed)?.into())
}

fn observed<'a>(case: &Case<'a>, model: &'static str) -> Result<&'a Observation, CannotForecast> {
    case.observation.ok_or_else(|| CannotForecast::Unknown {
        model,
        guest: case.label(),
        what: "an observation of the guest",
        remedy: "measure the guest for some seconds",
    })
}
