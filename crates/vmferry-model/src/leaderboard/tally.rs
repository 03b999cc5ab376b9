//! What one model did on some moves.

use std::collections::BTreeMap;

use vmferry_core::Technique;

use super::Standing;
use super::errors::{Errors, Trial, Verdicts};
use crate::predictor::{Past, Predicted, Quantity};

/// By technique, and over all.
pub(super) type Tallies = BTreeMap<Option<Technique>, Tally>;

/// What one model did so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    moves: usize,
    forecast: usize,
    refusal: Option<String>,
    /// By [`Quantity`].
    trials: [Vec<Trial>; 3],
    verdicts: Verdicts,
}

impl Tally {
    pub(super) fn add(&mut self, past: &Past<'_>, said: &Result<Predicted, String>) {
        self.moves += 1;
        let said = match said {
            Ok(said) => said,
            Err(reason) => {
                self.refusal.get_or_insert_with(|| reason.clone());
                return;
            }
        };
        self.forecast += 1;
        let measured = &past.measured;
        if let (Some(p), Some(converged)) = (said.converges_probability, measured.converged) {
            self.verdicts.n += 1;
            self.verdicts.right += usize::from((p >= 0.5) == converged);
            self.verdicts.too_hopeful += usize::from(p >= 0.5 && !converged);
        }
        if !measured.is_complete() {
            return;
        }
        for (trials, quantity) in self.trials.iter_mut().zip(Quantity::ALL) {
            if let (Some(said), Some(measured)) = (said.of(quantity), measured.of(quantity)) {
                trials.extend(Trial::of(said, measured));
            }
        }
    }

    /// Adds what was found on other moves.
    pub(super) fn absorb(&mut self, other: Self) {
        self.moves += other.moves;
        self.forecast += other.forecast;
        self.refusal = self.refusal.take().or(other.refusal);
        for (trials, others) in self.trials.iter_mut().zip(other.trials) {
            trials.extend(others);
        }
        self.verdicts.n += other.verdicts.n;
        self.verdicts.right += other.verdicts.right;
        self.verdicts.too_hopeful += other.verdicts.too_hopeful;
    }

    /// Of which quantities the model gave an interval at least once.
    pub(super) fn intervals(&self) -> [bool; 3] {
        self.trials.each_ref().map(|t| Trial::any_interval(t))
    }

    /// The figures. `intervals` is of all techniques together: where a model
    /// that gives them gave none, it is held to the single value.
    pub(super) fn standing(
        self,
        model: &str,
        technique: Option<Technique>,
        intervals: [bool; 3],
    ) -> Standing {
        let mut intervals = intervals.into_iter();
        let [total_time, downtime, transferred] = self
            .trials
            .map(|t| Errors::of(&t, intervals.next().unwrap_or_default()));
        Standing {
            model: model.to_owned(),
            technique,
            moves: self.moves,
            forecast: self.forecast,
            refusal: self.refusal,
            total_time,
            downtime,
            transferred,
            verdicts: (self.verdicts.n > 0).then_some(self.verdicts),
        }
    }
}
