//! The leaderboard: every model on every move, judged on what it had not seen.
//!
//! ```text
//! Pasts ──Holdout──> folds ─┬─> Fit::fit() of the others ─> Predictor ─┐
//!                           └─> the moves left out ────────────────────┴─> Standing
//!                                        (forecast, or Fit::inside() corrected)
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

use crate::predictor::{CannotForecast, Fit, Past, Predicted, Quantity};

/// Moves that a thread asks a model of before it takes other work.
const ASKED_AT_ONCE: usize = 16;

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

/// How far a comparison is, in forecasts: those of models that need but one a
/// move ([`Fit::inside`]) are asked first, then every fold is fitted and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Done so far.
    pub done: usize,
    /// All of them; above 0.
    pub of: usize,
}

/// As [`compare_watched`], with nobody watching.
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
    compare_watched(moves, models, holdout, seed, threads, &|_| {})
}

/// Compares models on moves, each forecast by a model that learned from what
/// `holdout` leaves ([`named`](crate::predictor::named()) gives them, also those that
/// learn nothing). `seed` is for models that draw; how many `threads` share
/// the work changes nothing but the time. `watch` is told how far it is, from
/// any of the threads and not always in order.
///
/// # Errors
/// When there are fewer than two moves, or nothing can be left out.
pub fn compare_watched(
    moves: &[Past<'_>],
    models: &[&dyn Fit],
    holdout: Holdout,
    seed: u64,
    threads: NonZeroUsize,
    watch: &(dyn Fn(Step) + Sync),
) -> Result<Leaderboard, LeaderboardError> {
    if moves.len() < 2 {
        return Err(LeaderboardError::TooFewMoves { moves: moves.len() });
    }
    let folds = holdout.folds(moves)?;
    let field = Field {
        moves,
        models,
        seed,
        threads,
        watched: Watched {
            done: AtomicUsize::new(0),
            of: (2 * moves.len() * models.len()).max(1),
            watch,
        },
    };
    let said = field.ask();
    let mut sums: Vec<Tallies> = vec![BTreeMap::new(); models.len()];
    for tallies in field.shared(folds.len(), |number| field.judge(&folds[number], &said)) {
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

/// What the models inside said, by model and move; `None` where there is none.
type Said = Vec<Vec<Option<Result<Predicted, CannotForecast>>>>;

/// Everything that is compared.
struct Field<'a> {
    moves: &'a [Past<'a>],
    models: &'a [&'a dyn Fit],
    seed: u64,
    threads: NonZeroUsize,
    watched: Watched<'a>,
}

struct Watched<'a> {
    done: AtomicUsize,
    of: usize,
    watch: &'a (dyn Fn(Step) + Sync),
}

impl Watched<'_> {
    fn add(&self, forecasts: usize) {
        let done = self.done.fetch_add(forecasts, Ordering::Relaxed) + forecasts;
        (self.watch)(Step { done, of: self.of });
    }
}

impl Field<'_> {
    /// Does numbered pieces of work on all threads; what comes of them, by
    /// number.
    fn shared<T: Send>(&self, pieces: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(pieces));
        let run = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= pieces {
                    break;
                }
                let made = work(number);
                done.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((number, made));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.get().min(pieces) {
                scope.spawn(run);
            }
            run();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, made)| made).collect()
    }

    fn seed_of(&self, i: usize) -> u64 {
        self.seed.wrapping_add(i as u64)
    }

    /// Asks the models inside of every move once, whatever the folds are.
    fn ask(&self) -> Said {
        let parts = self.moves.len().div_ceil(ASKED_AT_ONCE);
        let asked = self.shared(self.models.len() * parts, |number| {
            let model = self.models[number / parts];
            let first = number % parts * ASKED_AT_ONCE;
            let last = self.moves.len().min(first + ASKED_AT_ONCE);
            let said: Vec<_> = (first..last)
                .map(|i| {
                    let case = &self.moves[i].case;
                    let inside = model.inside(case)?;
                    let said = inside.forecast(case, self.seed_of(i));
                    Some(said.map(|said| Predicted {
                        // Nobody reads the notes of thousands.
                        notes: Vec::new(),
                        ..said.by(inside.name())
                    }))
                })
                .collect();
            self.watched.add(last - first);
            said
        });
        let mut asked = asked.into_iter();
        let of_model = |_| asked.by_ref().take(parts).flatten().collect();
        self.models.iter().map(of_model).collect()
    }

    /// Fits every model to what a fold leaves, and judges it on the moves it
    /// had not seen.
    fn judge(&self, fold: &Fold, said: &Said) -> Vec<Tallies> {
        let taken = |i: &usize| self.moves[*i].clone();
        let mut learned_from: Vec<Past<'_>> = fold.learned_from.iter().map(taken).collect();
        let judged = self.models.iter().zip(said).map(|(model, said)| {
            for (past, i) in learned_from.iter_mut().zip(&fold.learned_from) {
                past.said = match &said[*i] {
                    Some(Ok(said)) => Some(said.clone()),
                    // Signed, with nothing in it: so that it is not asked again.
                    Some(Err(_)) => model
                        .inside(&past.case)
                        .map(|inside| Predicted::default().by(inside.name())),
                    None => self.moves[*i].said.clone(),
                };
            }
            let fitted = model.fit(&learned_from);
            let mut tallies = Tallies::new();
            for i in &fold.forecast {
                let past = &self.moves[*i];
                let said = match (&said[*i], &fitted) {
                    (Some(Err(why)), _) => Err(why.to_string()),
                    (Some(Ok(said)), Ok(model)) => Ok(model.corrected(&past.case, said.clone())),
                    (Some(Ok(said)), Err(_)) => Ok(said.clone()),
                    (None, Ok(model)) => model
                        .forecast(&past.case, self.seed_of(*i))
                        .map_err(|why| why.to_string()),
                    (None, Err(too_little)) => Err(too_little.to_string()),
                };
                for technique in [None, Some(past.case.technique)] {
                    tallies.entry(technique).or_default().add(past, &said);
                }
            }
            self.watched.add(fold.forecast.len());
            tallies
        });
        judged.collect()
    }
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
