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
    /// Share of these moves whose measured value lies within p5..p95, 0..1; 0.9
    /// is right. The intervals are calibrated on the errors of the moves
    /// learned from; `predict --model NAME` shows the model's own. Where a
    /// model that gives intervals gave a single value, that counts as an
    /// interval. `None` of a model that never gives one.
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
    /// Whether p5 and p95 differ.
    interval: bool,
    /// Whether the measured value lies within p5..p95.
    covered: bool,
}

impl Trial {
    /// `None` where nothing was measured.
    pub(super) fn of(said: Interval<f64>, measured: f64) -> Option<Self> {
        (measured > 0.0 && said.p50.is_finite()).then(|| Self {
            error: (said.p50 - measured).abs() / measured,
            interval: said.p5 < said.p95,
            covered: said.covers(&measured),
        })
    }

    /// Whether any of them is of an interval rather than of a single value.
    pub(super) fn any_interval(trials: &[Self]) -> bool {
        trials.iter().any(|trial| trial.interval)
    }
}

impl Errors {
    /// Sums trials up; `None` of none. `intervals` says whether the model gives
    /// any, if not here.
    pub(super) fn of(trials: &[Trial], intervals: bool) -> Option<Self> {
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
        let inside = trials.iter().filter(|trial| trial.covered).count();
        Some(Self {
            n: errors.len(),
            median: at(0.5),
            mean: errors.iter().sum::<f64>() / errors.len() as f64,
            p90: at(0.9),
            coverage: intervals.then(|| inside as f64 / trials.len() as f64),
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
        let errors = Errors::of(&trials, true).unwrap();
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
        assert!(!Trial::any_interval(&[formula]));
        assert_eq!(Errors::of(&[formula], false).unwrap().coverage, None);
        assert_eq!(Trial::of(said(5.0, 5.0, 5.0), 0.0), None);
        assert_eq!(Errors::of(&[], true), None);
    }

    #[test]
    fn a_single_value_among_intervals_hits_or_misses() {
        let of = |said, measured| Trial::of(said, measured).unwrap();
        let trials = [
            of(said(4.0, 5.0, 6.0), 5.5),
            of(said(5.0, 5.0, 5.0), 5.0),
            of(said(5.0, 5.0, 5.0), 6.0),
            of(said(5.0, 5.0, 5.0), 4.0),
        ];
        assert!(Trial::any_interval(&trials));
        let errors = Errors::of(&trials, true).unwrap();
        assert_eq!((errors.n, errors.coverage), (4, Some(0.5)));
    }
}
