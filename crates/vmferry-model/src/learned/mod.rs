//! `learned`: a forecast for guests of which only size, dirty rate, bandwidth
//! and technique are known.
//!
//! ```text
//! Case ─> Physics (rounds of a constant dirty rate) ──────────────┐
//! Pasts ─> Correction (ridge on ln(measured / physics)) ──────────┴─> Predicted
//!       └> Convergence (logistic in ln(dirt / bandwidth))
//! ```
//!
//! **Physics first.** The base is `liu2011` eq. 1-5 with at most 30 rounds;
//! post-copy and stop-and-copy send each page once. What is learned is a
//! factor on it, a quadratic in the logarithms of size, rate and dirt,
//! regularised by ridge and held at the edge of what was seen, so that
//! physics alone extrapolates. How strong the regularisation is, down to a
//! mere constant or to no correction at all, is chosen by leaving workloads
//! out in turn; so are the intervals found (conformal). Each technique
//! learns from its own moves; one that has too few learns from all moves, and
//! says so: what they share most, how much of the memory holds anything, is
//! the guests' and not the technique's.
//!
//! Measured on 100 migrations of one PostgreSQL guest (80 of them complete, 10
//! scenarios, each left out in turn; `examples/learned_on_qemu_postgres.rs`): median
//! error of total time 25 % and of traffic 19 %, where physics alone errs by
//! 253 and 198 %. Mean and 90th percentile of total time are 56 and 269 %, by
//! post-copy that was started late, since when it starts is not among what is
//! known; verdicts on plain pre-copy were all wrong, for one dirty rate over a
//! long window does not tell whether QEMU converges.
//!
//! **Censored moves** (they did not converge and were cut off) say that a cost
//! was at least so much. They take part in the probability of converging, of
//! their technique, and in nothing else: costs are those of moves that end by
//! themselves.

mod convergence;
mod correction;
pub(crate) mod groups;
mod physics;
mod ridge;

use std::collections::{BTreeMap, HashMap};

use vmferry_core::{Bytes, Interval, Millis, Technique};

use convergence::Convergence;
use correction::{Correction, Lesson};
use physics::Physics;
pub use physics::Uncorrected;

use crate::predictor::{
    CannotForecast, Case, Fit, Past, Predicted, Predictor, RuleSet, TooLittleData,
};

const NAME: &str = "learned";
/// Least number of complete moves that a correction is learned from: two
/// parameters that matter (a constant and a slope), four moves each.
const LEAST_MOVES: usize = 8;

/// Learns a [`Predictor`] from earlier moves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Learned;

impl Fit for Learned {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        let moves = moves(past);
        let complete = moves.iter().filter(|m| m.costs.is_some()).count();
        let too_few = TooLittleData {
            model: NAME,
            what: "size, dirty rate, bandwidth, total time and an end of their own",
            found: complete,
            needed: LEAST_MOVES,
        };
        let of = |technique| moves.iter().filter(move |m| m.technique == technique);
        let own = Technique::ALL
            .into_iter()
            .filter_map(|technique| Some((technique, Pool::of(of(technique))?)))
            .collect();
        let convergence = Technique::ALL
            .into_iter()
            .map(|technique| {
                let verdicts: Vec<(f64, bool)> = of(technique)
                    .filter_map(|m| Some((m.physics.log_ratio, m.converged?)))
                    .collect();
                let censored = verdicts.iter().filter(|(_, converged)| !converged).count();
                (technique, (Convergence::of(technique, &verdicts), censored))
            })
            .collect();
        Ok(Box::new(Model {
            own,
            all: Pool::of(moves.iter()).ok_or(too_few)?,
            convergence,
        }))
    }
}

/// What one earlier move teaches.
struct Move {
    technique: Technique,
    physics: Physics,
    workload: usize,
    converged: Option<bool>,
    /// Measured total time (s), downtime (s) and traffic (bytes) of a move
    /// that ended by itself.
    costs: Option<[Option<f64>; 3]>,
}

fn moves(past: &[Past<'_>]) -> Vec<Move> {
    let mut numbers = HashMap::new();
    past.iter()
        .filter_map(|past| {
            let physics = Physics::of(&past.case, NAME).ok()?;
            let next = numbers.len();
            let key = past.case.workload.or(past.case.guest);
            let workload = *numbers.entry(key).or_insert(next);
            let measured = &past.measured;
            let seconds = |ms: Option<Millis>| ms.map(|ms| ms.0 / 1e3).filter(|s| *s > 0.0);
            let costs = [
                seconds(measured.total_time),
                seconds(measured.downtime),
                measured
                    .transferred
                    .map(|b| b.0 as f64)
                    .filter(|b| *b > 0.0),
            ];
            Some(Move {
                technique: past.case.technique,
                physics,
                workload,
                converged: measured.converged,
                costs: (measured.is_complete() && costs[0].is_some()).then_some(costs),
            })
        })
        .collect()
}

/// What moves of one kind taught.
#[derive(Clone, Debug)]
struct Pool {
    /// Of total time, downtime and traffic; `None` where too few moves tell.
    corrections: [Option<Correction>; 3],
    complete: usize,
    workloads: usize,
}

impl Pool {
    /// Learns; `None` of too few moves.
    fn of<'a>(moves: impl Iterator<Item = &'a Move>) -> Option<Self> {
        let moves: Vec<&Move> = moves.collect();
        let complete: Vec<(&Move, &[Option<f64>; 3])> = moves
            .iter()
            .filter_map(|m| Some((*m, m.costs.as_ref()?)))
            .collect();
        let corrections = [0, 1, 2].map(|quantity| {
            let lessons: Vec<Lesson> = complete
                .iter()
                // The downtime of stop-and-copy is its total time.
                .filter(|(m, _)| quantity != 1 || m.technique != Technique::StopAndCopy)
                .filter_map(|(m, costs)| {
                    Some(Lesson {
                        traits: m.physics.traits,
                        residual: (costs[quantity]? / m.physics.costs[quantity]).ln(),
                        workload: m.workload,
                    })
                })
                .collect();
            (lessons.len() >= LEAST_MOVES).then(|| Correction::of(&lessons))
        });
        corrections[0].as_ref()?;
        Some(Self {
            corrections,
            complete: complete.len(),
            workloads: groups::parts(complete.iter().map(|(m, _)| m.workload), usize::MAX).1,
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "Learned from {} moves of {} workloads.",
            self.complete, self.workloads
        )];
        if self.workloads < 2 {
            notes.push(
                "They ran one workload only: another may err by more than the interval says."
                    .to_owned(),
            );
        }
        if self.complete < 19 {
            notes
                .push("Fewer than 19 moves: the interval is the range of their errors.".to_owned());
        }
        notes
    }
}

/// What was learned.
#[derive(Clone, Debug)]
struct Model {
    own: BTreeMap<Technique, Pool>,
    all: Pool,
    /// With the number of moves that did not converge.
    convergence: BTreeMap<Technique, (Convergence, usize)>,
}

impl Model {
    /// Total time (s), downtime (s) and traffic (bytes).
    fn costs(&self, physics: &Physics, case: &Case<'_>, pool: &Pool) -> [Option<Interval<f64>>; 3] {
        let cost = |quantity: usize| {
            let correction = pool.corrections[quantity].as_ref()?;
            let factor = correction.factor(&physics.traits);
            Some(factor.map(|factor| physics.costs[quantity] * factor))
        };
        let [total, transferred] = [0, 2].map(cost);
        let downtime = match case.technique {
            // The guest is stopped all the time.
            Technique::StopAndCopy => total,
            _ => cost(1),
        };
        [total, downtime, transferred]
    }
}

impl Predictor for Model {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self) -> RuleSet {
        RuleSet::Textbook
    }

    fn forecast(&self, case: &Case<'_>, _seed: u64) -> Result<Predicted, CannotForecast> {
        let technique = case.technique;
        let own = self.own.get(&technique);
        let pool = own.unwrap_or(&self.all);
        let physics = Physics::of(case, NAME)?;
        let [total, downtime, transferred] = self.costs(&physics, case, pool);
        let ms = |cost: Interval<f64>| cost.map(|seconds| Millis(seconds * 1e3));
        let ends_alone = matches!(technique, Technique::PostCopy | Technique::StopAndCopy);
        let convergence = self.convergence.get(&technique);
        let mut said = Predicted {
            model: NAME.to_owned(),
            converges_probability: if ends_alone {
                Some(1.0)
            } else {
                convergence.map(|(c, _)| c.probability(physics.log_ratio))
            },
            total_time_ms: total.map(ms),
            downtime_ms: downtime.map(ms),
            transferred_bytes: transferred.map(|c| c.map(|bytes| Bytes(bytes.round() as u64))),
            draws: 0,
            notes: pool.notes(),
        };
        if own.is_none() {
            said = said.noted(format!(
                "Too few earlier moves by {technique}: corrected as all techniques together, so the interval may be too narrow."
            ));
        }
        if let Some((_, censored)) = convergence.filter(|(_, censored)| *censored > 0) {
            said = said.noted(format!(
                "{censored} more moves by {technique} did not end by themselves: they count in the probability of converging, not in time, downtime and traffic."
            ));
        }
        Ok(said)
    }
}
