//! Whether two values differ by more than noise, and what it would take to see it.

use vmferry_model::chance::{above_t, t_with_above};

use crate::estimate::{Basis, Scale, Spread, Term, welch};

/// Probability with which the repeats that are asked for find a difference of the size seen.
const POWER: f64 = 0.8;

/// More repeats than that are no answer.
const MOST_REPEATS: u32 = 1000;

/// What two values differ by, on a scale on which no difference is 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contrast {
    /// Below 0 where the judged value is the lower.
    pub(crate) effect: f64,
    /// `None` where one of the variances is unknown.
    pub(crate) terms: Option<Vec<Term>>,
}

impl Contrast {
    /// On the log scale where both values are above 0, as ratios are; else as they are.
    pub(crate) fn between(judged: &Spread, baseline: &Spread, scale: Scale) -> Self {
        let positive = judged.mean > 0.0 && baseline.mean > 0.0;
        let (effect, factors) = match scale {
            Scale::Log if positive => (
                (judged.mean / baseline.mean).ln(),
                [1.0 / judged.mean, 1.0 / baseline.mean],
            ),
            _ => (judged.mean - baseline.mean, [1.0, 1.0]),
        };
        let both = judged.term.zip(baseline.term);
        Self {
            effect,
            terms: both.map(|(a, b)| vec![a.times(factors[0]), b.times(factors[1])]),
        }
    }

    /// Probability of a difference as large by chance (Welch's t test, both sides); `None` where
    /// there are not two repeats at least on both sides.
    pub(crate) fn p(&self) -> Option<f64> {
        let terms = self.terms.as_ref()?;
        if terms.is_empty() || terms.iter().any(|t| t.basis == Basis::Points) {
            return None;
        }
        let (variance, freedom) = welch(terms);
        if self.effect == 0.0 {
            return Some(1.0);
        }
        if variance == 0.0 {
            return Some(0.0);
        }
        let t = self.effect.abs() / variance.sqrt();
        Some((2.0 * above_t(t, freedom)).min(1.0))
    }

    /// Repeats on each side with which a difference of this size would be found at level `alpha`
    /// four times in five, if their noise is as seen; `None` where nothing differs, the noise is
    /// unknown or no reasonable number would do.
    pub(crate) fn repeats_needed(&self, alpha: f64) -> Option<u32> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_empty())?;
        if self.effect == 0.0 {
            return None;
        }
        let made = terms.iter().map(|t| t.repeats).max()?;
        let enough = |repeats: u32| {
            let grown: Vec<Term> = terms.iter().map(|t| with_repeats(*t, repeats)).collect();
            let (variance, freedom) = welch(&grown);
            let needed = t_with_above(alpha / 2.0, freedom) + t_with_above(1.0 - POWER, freedom);
            self.effect.abs() >= needed * variance.sqrt()
        };
        let (mut low, mut high) = (made.max(1) + 1, MOST_REPEATS);
        if low > high || !enough(high) {
            return None;
        }
        // More repeats are never worse.
        while low < high {
            let middle = low.midpoint(high);
            if enough(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

/// The same noise in another number of repeats.
fn with_repeats(term: Term, repeats: u32) -> Term {
    let (was, is) = (f64::from(term.repeats), f64::from(repeats));
    let of_each = if term.repeats < 2 {
        term.freedom + 1.0
    } else {
        term.freedom / (was - 1.0)
    };
    Term {
        variance: term.variance * was / is,
        freedom: of_each * (is - 1.0),
        repeats,
        basis: term.basis,
    }
}

/// Probabilities as Holm corrects them for their number: each at most the level where it may be
/// called real with all that are smaller.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        let times = (p.len() - rank) as f64;
        least = least.max((p[place] * times).min(1.0));
        corrected[place] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(mean: f64, sd: f64, repeats: u32) -> Spread {
        let n = f64::from(repeats);
        Spread {
            mean,
            repeats,
            term: Some(Term {
                variance: sd * sd / n,
                freedom: n - 1.0,
                repeats,
                basis: Basis::Repeats,
            }),
        }
    }

    #[test]
    fn welchs_test_by_hand() {
        let terms = [(2.79, 15), (3.01, 15)].map(|(sd, n)| spread(0.0, sd, n).term.unwrap());
        let contrast = Contrast {
            effect: 2.352,
            terms: Some(terms.to_vec()),
        };
        // t = 2.352 / sqrt(2.79^2 / 15 + 3.01^2 / 15) = 2.2195, df 27.84: two-sided 0.0347.
        assert!((contrast.p().unwrap() - 0.0347).abs() < 3e-4);
    }

    #[test]
    fn holm_by_hand() {
        let close = |found: Vec<f64>, wanted: &[f64]| {
            assert!(
                found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?}"
            );
        };
        close(holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]);
        close(holm(&[0.9, 0.8]), &[1.0, 1.0]);
    }

    #[test]
    fn larger_differences_need_fewer_repeats_and_none_needs_none() {
        let against = |mean| {
            Contrast::between(&spread(mean, 5.0, 3), &spread(100.0, 5.0, 3), Scale::Log)
                .repeats_needed(0.05)
        };
        let (small, large) = (against(103.0).unwrap(), against(108.0).unwrap());
        assert!(small > large && large > 3, "{small} {large}");
        assert_eq!(against(100.0), None);
        // Textbook: two means one standard deviation apart need 17 a side.
        let apart = Contrast::between(&spread(5.0, 5.0, 3), &spread(0.0, 5.0, 3), Scale::Linear);
        assert_eq!(apart.repeats_needed(0.05), Some(17));
    }

    #[test]
    fn one_repeat_has_no_test() {
        let mut alone = spread(100.0, 5.0, 3);
        alone.term = alone.term.map(|t| Term {
            basis: Basis::Points,
            repeats: 1,
            ..t
        });
        let contrast = Contrast::between(&alone, &spread(50.0, 5.0, 3), Scale::Log);
        assert_eq!(contrast.p(), None);
    }
}
