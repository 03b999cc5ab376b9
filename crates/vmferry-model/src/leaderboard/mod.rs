//! The leaderboard: every model on every move, judged on what it had not seen.
//!
//! ```text
//! Pasts ──Holdout──> folds ─┬─> Fit::fit() of the others ─> Predictor ─┐
//!                           └─> the moves left out ────────────────────┴─> Standing
//! ```
//!
//! Errors are of moves that converged; moves that did not (*censored*) count
//! in the verdicts alone. What a model does not forecast counts against
//! nothing but is counted: compare [`Standing::forecast`] between models.

mod errors;
mod holdout;
mod imported;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vmferry_core::Technique;

pub use errors::{Errors, Verdicts};
pub use holdout::Holdout;

use errors::Trial;
use holdout::Fold;

use crate::predictor::{Fit, Past, Predicted, Quantity};

/// Why there is no leaderboard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeaderboardError {
    /// There are too few moves.
    #[error("{moves} moves are too few to compare models; it takes at least two")]
    TooFewMoves {
        /// How many there are.
        moves: usize,
    },
    /// Leaving one out leaves nothing.
    #[error(
        "the moves know fewer than two {what}, so that none can be left out; import with workload=COLUMN and guest=COLUMN, or compare in time order"
    )]
    NothingToLeaveOut {
        /// Workloads or guests.
        what: &'static str,
    },
    /// Only some of the moves have a time.
    #[error(
        "{untimed} of {moves} moves have no time, so that they cannot be put in order; import with started_at=COLUMN, or leave workloads out"
    )]
    SomeTimes {
        /// Moves without time.
        untimed: usize,
        /// All moves.
        moves: usize,
    },
}

/// Every model on every move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leaderboard {
    /// What was kept from the models.
    pub holdout: Holdout,
    /// Number of moves.
    pub moves: usize,
    /// Of these, did not converge: in no error, only in the verdicts.
    pub censored: usize,
    /// Fits of each model that learns.
    pub fits: usize,
    /// One a model and technique, and one a model over all; models in the order
    /// given.
    pub standings: Vec<Standing>,
}

/// One model on the moves by one technique.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Name of the model.
    pub model: String,
    /// The technique; `None` over all.
    pub technique: Option<Technique>,
    /// Number of moves.
    pub moves: usize,
    /// Of these, the model forecast.
    pub forecast: usize,
    /// Why it did not forecast the first one that it did not.
    pub refusal: Option<String>,
    /// Of total time.
    pub total_time: Option<Errors>,
    /// Of downtime.
    pub downtime: Option<Errors>,
    /// Of traffic.
    pub transferred: Option<Errors>,
    /// On convergence; `None` of a model that never says.
    pub verdicts: Option<Verdicts>,
}

/// Compares models on moves, each forecast by a model that learned from what
/// `holdout` leaves ([`named`](crate::predictor::named()) gives them, also those that
/// learn nothing). `seed` is for models that draw; how many `threads` share
/// the work changes nothing but the time.
///
/// # Errors
/// When there are fewer than two moves, or nothing can be left out.
pub fn compare(
    moves: &[Past<'_>],
    models: &[&dyn Fit],
    holdout: Holdout,
    seed: u64,
    threads: NonZeroUsize,
) -> Result<Leaderboard, LeaderboardError> {
    if moves.len() < 2 {
        return Err(LeaderboardError::TooFewMoves { moves: moves.len() });
    }
    let folds = holdout.folds(moves)?;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; folds.len()]);
    let work = || {
        while let Some((number, fold)) = take(&next, &folds) {
            let tallies: Vec<Tallies> = models
                .iter()
                .map(|model| judge(*model, moves, fold, seed))
                .collect();
            done.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(tallies);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(folds.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut sums: Vec<Tallies> = vec![BTreeMap::new(); models.len()];
    for tallies in done.into_iter().flatten() {
        for (sum, tallies) in sums.iter_mut().zip(tallies) {
            for (technique, tally) in tallies {
                sum.entry(technique).or_default().absorb(tally);
            }
        }
    }
    let standings = models.iter().zip(sums).flat_map(|(model, tallies)| {
        let of = |(technique, tally): (_, Tally)| tally.standing(model.name(), technique);
        tallies.into_iter().map(of).collect::<Vec<_>>()
    });
    Ok(Leaderboard {
        holdout,
        moves: moves.len(),
        censored: moves.iter().filter(|m| !m.measured.is_complete()).count(),
        fits: folds.len(),
        standings: standings.collect(),
    })
}

/// The next of some folds, with its number.
fn take<'f>(next: &AtomicUsize, folds: &'f [Fold]) -> Option<(usize, &'f Fold)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Some((number, folds.get(number)?))
}

/// Fits a model and judges it on the moves it had not seen.
fn judge(model: &dyn Fit, moves: &[Past<'_>], fold: &Fold, seed: u64) -> Tallies {
    let learned_from: Vec<Past<'_>> = fold
        .learned_from
        .iter()
        .map(|i| moves[*i].clone())
        .collect();
    let fitted = model.fit(&learned_from).map_err(|e| e.to_string());
    let mut tallies = Tallies::new();
    for i in &fold.forecast {
        let past = &moves[*i];
        let seed = seed.wrapping_add(*i as u64);
        let said = match &fitted {
            Ok(model) => model.forecast(&past.case, seed).map_err(|e| e.to_string()),
            Err(too_little) => Err(too_little.clone()),
        };
        for technique in [None, Some(past.case.technique)] {
            tallies.entry(technique).or_default().add(past, &said);
        }
    }
    tallies
}

/// By technique, and over all.
type Tallies = BTreeMap<Option<Technique>, Tally>;

/// What one model did so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    moves: usize,
    forecast: usize,
    refusal: Option<String>,
    /// By [`Quantity`].
    trials: [Vec<Trial>; 3],
    verdicts: Verdicts,
}

impl Tally {
    fn add(&mut self, past: &Past<'_>, said: &Result<Predicted, String>) {
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
    fn absorb(&mut self, other: Self) {
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

    fn standing(self, model: &str, technique: Option<Technique>) -> Standing {
        let [total_time, downtime, transferred] = self.trials.map(|t| Errors::of(&t));
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
