//! Intervals calibrated on past errors.
//!
//! *Split conformal prediction* (Vovk, Gammerman, Shafer 2005; Lei, G'Sell,
//! Rinaldo, Tibshirani, Wasserman 2018, with the local scale of their section
//! 5.2): the score of a past forecast is how far the measured value lay from
//! the median, over the half width that the model itself gave. The interval of
//! the next forecast is the model's own, scaled by a quantile of these scores.
//! If errors are exchangeable, it covers with the wanted probability whatever
//! their distribution.
//!
//! *Adaptive conformal inference* (Gibbs and Candes 2021): guests change, and
//! errors are not exchangeable. After every move the level alpha is moved by
//! gamma (target - missed): misses widen the next interval, hits narrow it, so
//! that the share of misses comes back to its target whatever happens.

use serde::{Deserialize, Serialize};
use vmferry_core::Interval;

/// Share of outcomes an interval should miss: p5..p95 misses one in ten.
pub const TARGET_MISSES: f64 = 0.1;
/// gamma: a miss counts as nine hits. Gibbs and Candes take 0.005 for
/// thousands of steps; a guest moves a few dozen times.
const STEP: f64 = 0.03;
/// Scores that are remembered: older ones tell of another guest.
const MEMORY: usize = 100;
/// Fewest scores whose largest bounds nine outcomes in ten.
pub const SUFFICIENT: usize = 9;
/// Least half width, as a logarithm: repeats of one migration differ by 1-2 %.
const FLOOR: f64 = 0.01;
/// How far beyond the largest score the interval goes where the level asks
/// for more than was ever seen.
const BEYOND: f64 = 1.5;

/// What past errors say of an interval's width. A value: it can be stored and
/// read again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conformal {
    /// Latest scores, in order.
    scores: Vec<f64>,
    /// alpha: share of scores that may lie beyond the interval; below 0 where
    /// misses came thick and fast.
    level: f64,
}

impl Default for Conformal {
    /// Nothing learned.
    fn default() -> Self {
        Self {
            scores: Vec::new(),
            level: TARGET_MISSES,
        }
    }
}

impl Conformal {
    /// Number of past errors behind it.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Factor for the model's own half widths. With fewer than
    /// [`SUFFICIENT`] errors it never narrows them.
    pub fn scale(&self) -> f64 {
        let n = self.scores.len();
        let rank = ((n + 1) as f64 * (1.0 - self.level)).ceil().max(1.0) as usize;
        let Some(largest) = self.scores.iter().copied().max_by(f64::total_cmp) else {
            return 1.0;
        };
        let found = if rank > n {
            largest * BEYOND
        } else {
            // One rank only: sorting them all for every move would cost more
            // than the forecasts of a formula.
            let mut scores = self.scores.clone();
            *scores.select_nth_unstable_by(rank - 1, f64::total_cmp).1
        };
        if n < SUFFICIENT {
            found.max(1.0)
        } else {
            found
        }
    }

    /// After another forecast, whose [`score`] is known.
    #[must_use]
    pub fn after(mut self, score: f64) -> Self {
        if !score.is_finite() {
            return self;
        }
        let missed = f64::from(u8::from(score > self.scale()));
        // Until there are scores to choose from, a miss says nothing of the level.
        if self.scores.len() >= SUFFICIENT {
            self.level += STEP * (TARGET_MISSES - missed);
        }
        if self.scores.len() == MEMORY {
            self.scores.remove(0);
        }
        self.scores.push(score);
        self
    }
}

/// Half widths of an interval of a positive quantity, as logarithms.
pub(crate) fn half_widths(said: Interval<f64>) -> (f64, f64) {
    let width = |ratio: f64| {
        let width = ratio.ln();
        if width.is_finite() {
            width.max(FLOOR)
        } else {
            FLOOR
        }
    };
    (width(said.p50 / said.p5), width(said.p95 / said.p50))
}

/// Distance of a measured value from the median over the half width on its
/// side, all as logarithms; 1 at the edge of the interval. Not finite where
/// one of them is nothing.
pub fn score(said: Interval<f64>, measured: f64) -> f64 {
    let (below, above) = half_widths(said);
    let error = (measured / said.p50).ln();
    if error < 0.0 {
        -error / below
    } else {
        error / above
    }
}

/// The interval with its half widths scaled.
#[must_use]
pub fn scaled(said: Interval<f64>, scale: f64) -> Interval<f64> {
    let (below, above) = half_widths(said);
    Interval {
        p5: said.p50 * (-below * scale).exp(),
        p50: said.p50,
        p95: said.p50 * (above * scale).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;
    use proptest::prelude::*;

    const SAID: Interval<f64> = Interval {
        p5: 99.0,
        p50: 100.0,
        p95: 102.0,
    };

    /// Runs it over errors; whether each was covered by what was known before.
    fn covered(errors: impl Iterator<Item = f64>) -> Vec<bool> {
        let mut state = Conformal::default();
        errors
            .map(|error| {
                let measured = 100.0 * error.exp();
                let covers = scaled(SAID, state.scale()).covers(&measured);
                state = state.clone().after(score(SAID, measured));
                covers
            })
            .collect()
    }

    fn share(covered: &[bool]) -> f64 {
        covered.iter().filter(|c| **c).count() as f64 / covered.len() as f64
    }

    #[test]
    fn exchangeable_errors_are_covered_whatever_their_distribution() {
        for (name, draw) in [
            (
                "normal",
                (|d: &mut Draws| 0.05 * d.normal()) as fn(&mut Draws) -> f64,
            ),
            ("one-sided", |d| 0.1 * d.exponential()),
            ("two humps", |d| {
                if d.uniform() < 0.3 {
                    0.2
                } else {
                    0.01 * d.normal()
                }
            }),
        ] {
            let mut draws = Draws::of_sample(7, 0);
            let found = covered((0..2000).map(|_| draw(&mut draws)));
            let share = share(&found[50..]);
            assert!((0.88..0.93).contains(&share), "{name}: {share}");
        }
    }

    #[test]
    fn coverage_is_kept_as_a_guest_changes() {
        for seed in 0..8 {
            let mut draws = Draws::of_sample(seed, 1);
            // Quiet, then five times as noisy and biased, then quiet again.
            let sd = |k: usize| if (100..200).contains(&k) { 0.15 } else { 0.03 };
            let bias = |k: usize| if (100..200).contains(&k) { 0.1 } else { 0.0 };
            let found = covered((0..300).map(|k| bias(k) + sd(k) * draws.normal()));
            let whole = share(&found);
            assert!((0.85..0.97).contains(&whole), "seed {seed}: {whole}");
            // Also within the noisy time alone, from the tenth move of it on.
            let noisy = share(&found[110..200]);
            assert!((0.8..0.98).contains(&noisy), "seed {seed}: {noisy}");
        }
    }

    #[test]
    fn few_errors_never_narrow() {
        let mut state = Conformal::default();
        assert_eq!(state.scale(), 1.0);
        for _ in 0..SUFFICIENT - 1 {
            state = state.after(0.2);
            assert_eq!(state.scale(), 1.0);
        }
        assert!(state.after(0.2).scale() < 0.21);
    }

    #[test]
    fn is_stored_and_read_again() {
        let state = Conformal::default().after(0.5).after(2.0);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Conformal>(&text).unwrap(), state);
    }

    proptest! {
        /// What lies at a score is the edge of the interval scaled by it.
        #[test]
        fn scores_are_edges(measured in 1f64..1e4) {
            let at = score(SAID, measured);
            prop_assert!(scaled(SAID, at * (1.0 + 1e-9) + 1e-12).covers(&measured));
            prop_assert!(at < 1e-9 || !scaled(SAID, at * 0.999).covers(&measured));
        }
    }
}
