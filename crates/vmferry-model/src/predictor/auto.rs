//! Picks a model by what is known of the guest.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vmferry_core::Forecast;

use super::corrected::said_then;
use super::corrections::Who;
use super::lessons::Lessons;
use super::refined::moves;
use super::{
    CannotForecast, Case, Curve, Fit, Pages, Past, PostCopy, Predicted, Predictor, Refined,
    Technique, Textbook, TooLittleData, full_forecast,
};

/// Picks by what is known, before it has learned.
#[derive(Clone, Debug, Default)]
pub struct AutoFit {
    /// A model for guests of which only size, rate and link are known, and for
    /// techniques that nothing else describes.
    pub learned: Option<Arc<dyn Predictor>>,
}

/// Picks by what is known of the guest, says why in its notes, and corrects
/// what the picked model says by its past errors.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    /// As in [`AutoFit::learned`].
    pub learned: Option<Arc<dyn Predictor>>,
    /// What earlier moves taught.
    pub memory: Memory,
}

/// What earlier moves taught. It can be stored and read again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Dirty rates of guests that have moved.
    pub refined: Refined,
    /// What the errors of each model taught, by the model's name.
    pub lessons: BTreeMap<String, Lessons>,
}

/// A model picked, and why.
struct Pick<'a> {
    model: &'a dyn Predictor,
    why: String,
}

impl Auto {
    fn pick<'a>(&'a self, case: &Case<'_>) -> Result<Pick<'a>, CannotForecast> {
        let pick = |model: &'a dyn Predictor, why: &str| Pick {
            model,
            why: format!("Model `{}`: {why}.", model.name()),
        };
        let seen = case.observation;
        let history = seen
            .and_then(|seen| seen.page_history.as_ref())
            .filter(|history| history.intervals() > 0 && !history.pages().is_empty());
        let curve = seen.is_some_and(|seen| !seen.dirty_curve.points.is_empty());
        let learned = self.learned.as_deref();
        let picked = match case.technique {
            Technique::PreCopy if history.is_some() => {
                pick(&Pages, "it is known which pages the guest dirties when")
            }
            Technique::PreCopy if curve => pick(
                &Curve,
                "the guest's dirty curve is known, but not which pages it dirties",
            ),
            Technique::PostCopy if seen.is_some() || learned.is_none() => {
                pick(&PostCopy, "the guest moves first, its memory follows")
            }
            technique => match learned {
                Some(learned) => pick(
                    learned,
                    "only size, dirty rate and link are known, or nothing else describes this technique",
                ),
                None if technique != Technique::PreCopy => {
                    return Err(CannotForecast::Technique {
                        model: "auto",
                        technique,
                    });
                }
                None if self.memory.refined.guest(case).is_some() => pick(
                    &self.memory.refined,
                    "only a dirty rate is known now, but the guest has moved before",
                ),
                None => pick(&Textbook { rate_only: true }, "only a dirty rate is known"),
            },
        };
        Ok(picked)
    }

    /// What a picked model says, with the reason and what its errors taught.
    ///
    /// Corrections are factors on what it says by itself. Where the guest has
    /// not moved yet, what the route taught its replays says more than a factor
    /// of the route would.
    fn corrected(
        &self,
        case: &Case<'_>,
        why: String,
        said: Predicted,
        by_itself: Predicted,
    ) -> Predicted {
        let who = Who::from(case);
        let lessons = self.memory.lessons.get(&said.model);
        let (guest, route) = lessons.map_or((0, 0), |lessons| lessons.learned_from(who));
        let model = said.model.clone();
        let mut notes = said.notes.clone();
        let of_route = format!("{} over this route", moves(route));
        let (taught, mut said) = match lessons {
            Some(lessons) if guest > 0 => (
                format!(
                    "Corrections learned from {} of this guest and {of_route}.",
                    moves(guest)
                ),
                lessons.applied(who, without_notes(by_itself)),
            ),
            Some(lessons) if case.assumptions.learned_from > 0 => (
                format!("This guest has not moved yet: its intervals follow {of_route}."),
                lessons.widened(without_notes(said)),
            ),
            Some(lessons) => (
                format!("This guest has not moved yet: corrections learned from {of_route}."),
                lessons.applied(who, without_notes(said)),
            ),
            None => (
                "Nothing learned yet from moves of this guest.".to_owned(),
                without_notes(said),
            ),
        };
        notes.splice(0..0, [why, taught]);
        notes.append(&mut said.notes);
        Predicted {
            model,
            notes,
            ..said
        }
    }

    /// After another move. State in, state out: for a history that grows move
    /// by move.
    #[must_use]
    pub fn after(mut self, past: &Past<'_>, number: u64) -> Self {
        let said = match past.said.clone().filter(|said| !said.model.is_empty()) {
            Some(said) => Some(said),
            None => self
                .pick(&past.case)
                .ok()
                .and_then(|picked| said_then(picked.model, past, number)),
        };
        if let Some(said) = said {
            let before = self.memory.lessons.remove(&said.model).unwrap_or_default();
            let after = before.after(Who::from(&past.case), &said, &past.measured);
            self.memory.lessons.insert(said.model, after);
        }
        self.memory.refined = self.memory.refined.after(past);
        self
    }
}

fn without_notes(said: Predicted) -> Predicted {
    Predicted {
        notes: Vec::new(),
        ..said
    }
}

impl Fit for AutoFit {
    fn name(&self) -> &'static str {
        "auto"
    }

    /// Never has too little data: without any it picks all the same.
    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        let start = Auto {
            learned: self.learned.clone(),
            ..Auto::default()
        };
        let numbered = (0..).zip(past);
        let auto = numbered.fold(start, |auto, (number, past)| auto.after(past, number));
        Ok(Box::new(auto))
    }
}

impl Predictor for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        let Pick { model, why } = self.pick(case)?;
        let mut said = model.forecast(case, seed)?;
        if said.model.is_empty() {
            said = said.by(model.name());
        }
        Ok(self.corrected(case, why, said.clone(), said))
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        let Pick { model, why } = self.pick(case)?;
        let said = model.forecast_in_full(case, seed)?;
        Ok(full_forecast::corrected(said, |said, by_itself| {
            self.corrected(case, why, said, by_itself)
        }))
    }
}
