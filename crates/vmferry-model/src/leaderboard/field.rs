//! All moves and models of a comparison, and the threads that share the work.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::holdout::Fold;
use super::tally::Tallies;
use crate::predictor::{CannotForecast, Fit, Past, Predicted};
use crate::threads::in_parallel;

/// Moves that a thread asks a model of before it takes other work.
const ASKED_AT_ONCE: usize = 16;

/// How far a comparison is, in forecasts: those of models that need but one a
/// move ([`Fit::inside`]) are asked first, then every fold is fitted and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Done so far.
    pub done: usize,
    /// All of them; above 0.
    pub of: usize,
}

/// What the models inside said, by model and move; `None` where there is none.
pub(super) type Said = Vec<Vec<Option<Result<Predicted, CannotForecast>>>>;

/// Everything that is compared.
pub(super) struct Field<'a> {
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

impl<'a> Field<'a> {
    pub(super) fn new(
        moves: &'a [Past<'a>],
        models: &'a [&'a dyn Fit],
        seed: u64,
        threads: NonZeroUsize,
        watch: &'a (dyn Fn(Step) + Sync),
    ) -> Self {
        Self {
            moves,
            models,
            seed,
            threads,
            watched: Watched {
                done: AtomicUsize::new(0),
                // Asked, and judged.
                of: (2 * moves.len() * models.len()).max(1),
                watch,
            },
        }
    }

    /// Does numbered pieces of work on all threads; what comes of them, by
    /// number.
    pub(super) fn shared<T: Send>(
        &self,
        pieces: usize,
        work: impl Fn(usize) -> T + Sync,
    ) -> Vec<T> {
        in_parallel(self.threads, pieces, work)
            .into_iter()
            .map(|made| made.expect("a thread of the comparison panicked"))
            .collect()
    }

    fn seed_of(&self, i: usize) -> u64 {
        self.seed.wrapping_add(i as u64)
    }

    /// Asks the models inside of every move once, whatever the folds are.
    pub(super) fn ask(&self) -> Said {
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
    pub(super) fn judge(&self, fold: &Fold, said: &Said) -> Vec<Tallies> {
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
                    (Some(Err(why)), _) => Err(why.reason()),
                    (Some(Ok(said)), Ok(model)) => Ok(model.corrected(&past.case, said.clone())),
                    (Some(Ok(said)), Err(_)) => Ok(said.clone()),
                    (None, Ok(model)) => model
                        .forecast(&past.case, self.seed_of(*i))
                        .map_err(|why| why.reason()),
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
