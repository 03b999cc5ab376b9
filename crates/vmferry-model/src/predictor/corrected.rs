//! Any predictor, corrected by what its past errors teach.

use std::sync::Arc;

use vmferry_core::Forecast;

use super::corrections::Who;
use super::lessons::Lessons;
use super::{
    CannotForecast, Case, Fit, Past, Predicted, Predictor, RuleSet, TooLittleData, full_forecast,
};

/// A predictor that learns from its errors.
#[derive(Clone, Debug)]
pub struct Correcting {
    /// The model.
    pub model: Arc<dyn Predictor>,
    /// Learns the width of intervals only: medians stay as the model says
    /// them.
    pub intervals_only: bool,
}

/// A predictor with what its errors taught.
#[derive(Clone, Debug)]
pub struct Corrected {
    /// The model.
    pub model: Arc<dyn Predictor>,
    /// What its errors taught.
    pub lessons: Lessons,
}

impl<'a> From<&Case<'a>> for Who<'a> {
    fn from(case: &Case<'a>) -> Self {
        Self {
            guest: case.guest,
            route: case.route,
        }
    }
}

/// What a model said of an earlier move, uncorrected: as recorded, or else as
/// it would have said from what was known then.
pub(crate) fn said_then(model: &dyn Predictor, past: &Past<'_>, number: u64) -> Option<Predicted> {
    past.said
        .clone()
        .filter(|said| said.model == model.name())
        .or_else(|| model.forecast(&past.case, number).ok())
}

impl Fit for Correcting {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        let mut lessons = if self.intervals_only {
            Lessons::of_intervals()
        } else {
            Lessons::default()
        };
        let mut found = 0;
        for (number, move_) in (0..).zip(past) {
            if !move_.measured.is_complete() {
                continue;
            }
            if let Some(said) = said_then(&*self.model, move_, number) {
                lessons = lessons.after(Who::from(&move_.case), &said, &move_.measured);
                found += 1;
            }
        }
        if found == 0 {
            return Err(TooLittleData {
                model: self.name(),
                what: "an outcome that it can forecast",
                found,
                needed: 1,
            });
        }
        Ok(Box::new(Corrected {
            model: Arc::clone(&self.model),
            lessons,
        }))
    }

    fn inside(&self, _case: &Case<'_>) -> Option<&dyn Predictor> {
        Some(&*self.model)
    }
}

impl Predictor for Corrected {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn rules(&self) -> RuleSet {
        self.model.rules()
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        let said = self.model.forecast(case, seed)?;
        Ok(self.corrected(case, said))
    }

    fn corrected(&self, case: &Case<'_>, said: Predicted) -> Predicted {
        self.lessons.applied(Who::from(case), said)
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        let said = self.model.forecast_in_full(case, seed)?;
        Ok(full_forecast::corrected(said, |_, by_itself| {
            self.lessons.applied(Who::from(case), by_itself)
        }))
    }
}
