//! The leaderboard: every model on every move, judged on what it had not seen.
//!
//! ```text
//! Pasts ──Holdout──> folds ─┬─> Fit::fit() of the others ─> Predictor ─┐
//!                           └─> the moves left out ────────────────────┴─> Standing
//!                                        (forecast, or Fit::inside() corrected)
//! ```
//!
//! Errors are of moves that came to their end, in time or not; moves that were
//! cut off (*censored*) count in the verdicts alone, and moves whose end nobody
//! tells in the errors alone. What a model does not forecast counts against
//! nothing but is counted: compare [`Standing::forecast`] between models.

mod errors;
mod field;
mod holdout;
mod imported;
mod tally;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use vmferry_core::Technique;

pub use errors::{Errors, Verdicts};
pub use field::Step;
pub use holdout::Holdout;

use field::Field;
use tally::{Tallies, Tally};

use crate::predictor::{Fit, Past};

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
    /// Of these, did not come to their end: in no error, only in the verdicts.
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
    let field = Field::new(moves, models, seed, threads, watch);
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
        let all = tallies.get(&None).map_or([false; 3], Tally::intervals);
        let of = |(technique, tally): (_, Tally)| tally.standing(model.name(), technique, all);
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
