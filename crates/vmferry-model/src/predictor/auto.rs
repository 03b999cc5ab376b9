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
use crate::learned::Learned;

/// Picks by what is known, before it has learned.
#[derive(Clone, Debug, Default)]
pub struct AutoFit {
    /// A model for guests of which only size, rate and link are known, and for
    /// techniques that nothing else describes; `None` fits [`Learned`] to the
    /// same moves, where they are enough.
    pub learned: Option<Arc<dyn Predictor>>,
}

/// Picks by what is known of the guest, says why in its notes, and corrects
/// what the picked model says by its past errors.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    /// For what only tables tell of, as in [`AutoFit::learned`]; `None` where
    /// there is none.
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

const MOVES_FIRST: &str = "the guest moves first, its memory follows";

/// The model for a guest that was observed, whatever was learned, and why;
/// `None` where nothing was seen that a replay could use.
fn observed(case: &Case<'_>) -> Option<(&'static dyn Predictor, &'static str)> {
    let seen = case.observation?;
    let history = seen.page_history.as_ref();
    let history = history.is_some_and(|h| h.intervals() > 0 && !h.pages().is_empty());
    match case.technique {
        Technique::PreCopy if history => {
            Some((&Pages, "it is known which pages the guest dirties when"))
        }
        Technique::PreCopy if !seen.dirty_curve.points.is_empty() => Some((
            &Curve,
            "the guest's dirty curve is known, but not which pages it dirties",
        )),
        Technique::PostCopy => Some((&PostCopy, MOVES_FIRST)),
        _ => None,
    }
}

impl Auto {
    fn pick<'a>(&'a self, case: &Case<'_>) -> Result<Pick<'a>, CannotForecast> {
        let pick = |model: &'a dyn Predictor, why: &str| Pick {
            model,
            why: format!("Model `{}`: {why}.", model.name()),
        };
        let learned = self.learned.as_deref();
        if let Some((model, why)) = observed(case) {
            return Ok(pick(model, why));
        }
        let moved = self.memory.refined.guest(case).is_some();
        let picked = match (case.technique, learned) {
            (Technique::PreCopy, _) if moved => pick(
                &self.memory.refined,
                "only a dirty rate is known now, but the guest has moved before",
            ),
            (_, Some(learned)) => pick(
                learned,
                "only size, dirty rate and link are known, or nothing else describes this technique",
            ),
            (Technique::PreCopy, None) => {
                pick(&Textbook { rate_only: true }, "only a dirty rate is known")
            }
            (Technique::PostCopy, None) => pick(&PostCopy, MOVES_FIRST),
            (technique, None) => {
                return Err(CannotForecast::Technique {
                    model: "auto",
                    technique,
                });
            }
        };
        Ok(picked)
    }

    /// What a picked model says, with the reason and what its errors taught.
    ///
    /// Corrections are factors on what it says by itself. Where the guest has
    /// not moved yet, what the route taught its replays says more than a factor
    /// of the route would.
    fn with_lessons(
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

    /// What was said of an earlier move, by whom it was said; else what the
    /// model picked now says.
    fn said_of(&self, past: &Past<'_>, number: u64) -> Option<Predicted> {
        if let Some(said) = past.said.as_ref().filter(|said| !said.model.is_empty()) {
            return Some(said.clone());
        }
        let model = self.pick(&past.case).ok()?.model;
        // What it says of moves that it may have learned from is no lesson.
        let learned = self.learned.as_deref().map(Predictor::name);
        if learned == Some(model.name()) {
            return None;
        }
        said_then(model, past, number)
    }

    /// After another move. State in, state out: for a history that grows move
    /// by move.
    #[must_use]
    pub fn after(mut self, past: &Past<'_>, number: u64) -> Self {
        if past.measured.is_complete()
            && let Some(said) = self.said_of(past, number)
        {
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
        let learned = match &self.learned {
            Some(given) => Some(Arc::clone(given)),
            None => Learned.fit(past).ok().map(Arc::from),
        };
        let start = Auto {
            learned,
            ..Auto::default()
        };
        let numbered = (0..).zip(past);
        let auto = numbered.fold(start, |auto, (number, past)| auto.after(past, number));
        Ok(Box::new(auto))
    }

    fn inside(&self, case: &Case<'_>) -> Option<&dyn Predictor> {
        observed(case).map(|(model, _)| model)
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
        Ok(self.with_lessons(case, why, said.clone(), said))
    }

    fn forecast_in_full(&self, case: &Case<'_>, seed: u64) -> Result<Forecast, CannotForecast> {
        let Pick { model, why } = self.pick(case)?;
        let said = model.forecast_in_full(case, seed)?;
        Ok(full_forecast::corrected(said, |said, by_itself| {
            self.with_lessons(case, why, said, by_itself)
        }))
    }

    fn corrected(&self, case: &Case<'_>, said: Predicted) -> Predicted {
        match self.pick(case) {
            Ok(Pick { why, .. }) => self.with_lessons(case, why, said.clone(), said),
            Err(_) => said,
        }
    }
}
