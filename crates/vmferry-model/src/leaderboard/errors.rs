//! Errors of one model in figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Interval;

/// Relative errors |forecast - measured| / measured of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Errors {
    /// Moves of which it was both forecast and measured; above 0.
    pub n: usize,
    /// Half of the errors are below.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// Nine of ten errors are below.
    pub p90: f64,
    /// Share of the moves whose measured value lies within p5..p95, 0..1; of
    /// a model that gives intervals 0.9 is right. `None` of one that never
    /// does.
    pub coverage: Option<f64>,
}

/// Verdicts on convergence: a probability of at least one half against what
/// happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdicts {
    /// Moves with a verdict whose end is known.
    pub n: usize,
    /// Of these, the verdict was right.
    pub right: usize,
    /// Forecast to converge, and did not.
    pub too_hopeful: usize,
}

/// One quantity of one move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    error: f64,
    /// Whether the interval covers the measured value; `None` of a formula.
    covered: Option<bool>,
}

impl Trial {
    /// `None` where nothing was measured.
    pub(super) fn of(said: Interval<f64>, measured: f64) -> Option<Self> {
        (measured > 0.0 && said.p50.is_finite()).then(|| Self {
            error: (said.p50 - measured).abs() / measured,
            covered: (said.p5 < said.p95).then(|| said.covers(&measured)),
        })
    }
}

impl Errors {
    /// Sums trials up; `None` of none.
    pub(super) fn of(trials: &[Trial]) -> Option<Self> {
        let mut errors: Vec<f64> = trials.iter().map(|t| t.error).collect();
        errors.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (errors.len() - 1) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            errors[low] + (errors[high] - errors[low]) * place.fract()
        };
        if errors.is_empty() {
            return None;
        }
        let covered: Vec<bool> = trials.iter().filter_map(|t| t.covered).collect();
        let inside = covered.iter().filter(|inside| **inside).count();
        Some(Self {
            n: errors.len(),
            median: at(0.5),
            mean: errors.iter().sum::<f64>() / errors.len() as f64,
            p90: at(0.9),
            coverage: (!covered.is_empty()).then(|| inside as f64 / covered.len() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(p5: f64, p50: f64, p95: f64) -> Interval<f64> {
        Interval { p5, p50, p95 }
    }

    #[test]
    fn percentiles_of_eleven() {
        let trials: Vec<_> = (0..=10)
            .filter_map(|i| Trial::of(said(90.0, 100.0 + f64::from(i), 111.0), 100.0))
            .collect();
        let errors = Errors::of(&trials).unwrap();
        assert_eq!((errors.n, errors.coverage), (11, Some(1.0)));
        for (found, wanted) in [
            (errors.median, 0.05),
            (errors.mean, 0.05),
            (errors.p90, 0.09),
        ] {
            assert!((found - wanted).abs() < 1e-12, "{errors:?}");
        }
    }

    #[test]
    fn formulas_have_no_coverage_and_nothing_measured_no_error() {
        let formula = Trial::of(said(5.0, 5.0, 5.0), 5.0).unwrap();
        assert_eq!(Errors::of(&[formula]).unwrap().coverage, None);
        assert_eq!(Trial::of(said(5.0, 5.0, 5.0), 0.0), None);
        assert_eq!(Errors::of(&[]), None);
    }
}
