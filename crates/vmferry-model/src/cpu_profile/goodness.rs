//! How good a whole profile is, in a few figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evaluation::{forecast_error, quantile};
use super::fit::LawFit;
use super::parallel_check::ParallelCheck;
use super::profile::{CpuProfile, GuestProfile, Sweep};

/// Where the largest time is less than this above the smallest, R^2 compares
/// noise with noise, and residuals are judged instead.
const FLAT: f64 = 0.20;
/// What R^2 has to be elsewhere: the paper's best fits ("0.94-0.98").
const GOOD_R_SQUARED: f64 = 0.95;
/// What the typical residual has to be where time is flat.
const GOOD_RESIDUAL: f64 = 0.03;

/// How well the laws of a profile fit, and forecast what they were not fitted
/// to: all guests and both ends together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodness {
    /// Laws of time: one for every guest and end that was profiled.
    pub laws: usize,
    /// Those with an R^2 of at least 0.95, or a typical residual of at most 3 %
    /// where time varies by less than 20 %.
    pub good_laws: usize,
    /// Least R^2 where time varies by 20 % or more.
    pub least_r_squared: Option<f64>,
    /// Largest typical residual where it varies by less.
    pub largest_flat_residual: Option<f64>,
    /// Measurements at caps that a law trained on five others had not seen.
    pub unseen: usize,
    /// Median of |forecast / measured - 1| over them.
    pub unseen_median_error: Option<f64>,
    /// Its 90th percentile.
    pub unseen_p90_error: Option<f64>,
    /// Median of |estimate / measured - 1| over numbers of guests moved at once.
    pub parallel_median_error: Option<f64>,
}

impl LawFit {
    /// Whether time hardly varies with the cap: by less than 20 %.
    pub fn is_flat(&self) -> bool {
        self.variation < FLAT
    }

    /// Whether it fits well: R^2 >= 0.95, or a typical residual
    /// ([`LawFit::residual_sd`]) <= 3 % where it [is flat](Self::is_flat).
    pub fn is_good(&self) -> bool {
        let by_r_squared = self.r_squared.is_some_and(|r| r >= GOOD_R_SQUARED);
        by_r_squared || (self.is_flat() && self.residual_sd <= GOOD_RESIDUAL)
    }
}

impl Goodness {
    /// Of a profile, and of estimates of guests moved at once.
    pub fn of(profile: &CpuProfile, parallel: &[ParallelCheck]) -> Self {
        let sweeps: Vec<&Sweep> = profile.guests.iter().flat_map(ends).flatten().collect();
        let laws = || sweeps.iter().map(|sweep| &sweep.time);
        let mut unseen: Vec<f64> = sweeps
            .iter()
            .filter_map(|sweep| sweep.evaluation.as_ref())
            .flat_map(|made| made.unseen.iter().map(forecast_error))
            .collect();
        unseen.sort_by(f64::total_cmp);
        let mut at_once: Vec<f64> = parallel.iter().map(|one| one.error.0.abs()).collect();
        at_once.sort_by(f64::total_cmp);
        Self {
            laws: sweeps.len(),
            good_laws: laws().filter(|law| law.is_good()).count(),
            least_r_squared: laws()
                .filter(|law| !law.is_flat())
                .filter_map(|law| law.r_squared)
                .reduce(f64::min),
            largest_flat_residual: laws()
                .filter(|law| law.is_flat())
                .map(|law| law.residual_sd)
                .reduce(f64::max),
            unseen: unseen.len(),
            unseen_median_error: quantile(&unseen, 0.5),
            unseen_p90_error: quantile(&unseen, 0.9),
            parallel_median_error: quantile(&at_once, 0.5),
        }
    }
}

fn ends(guest: &GuestProfile) -> [Option<&Sweep>; 2] {
    [guest.source.as_ref(), guest.destination.as_ref()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_profile::{CapPoint, Caps, Intensive};
    use vmferry_core::{Bytes, Millis, Ratio};

    /// Time falls with the source's cap up to 40 %; at the destination nothing
    /// changes it.
    fn profile() -> CpuProfile {
        let point = |caps: Caps| {
            let share = caps.source.map_or(1.0, |cap| cap.0);
            let noise = 1.0 + 0.01 * (f64::sin(40.0 * caps.destination.map_or(0.0, |cap| cap.0)));
            CapPoint {
                guest: Intensive::Cpu,
                intensity: Ratio(1.0),
                caps,
                capped_after_ms: None,
                total_time_ms: Some(Millis(1000.0 / share.min(0.4) * noise)),
                downtime_ms: None,
                transferred_bytes: Some(Bytes(1_000_000_000)),
                source_use: None,
                destination_use: None,
            }
        };
        let tenths = || (1..=10).map(|n| Ratio(f64::from(n) / 10.0));
        let source = tenths().map(|cap| point(Caps::at_source(cap)));
        let points: Vec<CapPoint> = source
            .chain(tenths().map(|cap| point(Caps::at_destination(cap))))
            .collect();
        CpuProfile::fit(&points)
    }

    #[test]
    fn flat_laws_are_judged_by_residuals_and_others_by_r_squared() {
        let check = |error| ParallelCheck {
            guests: 2,
            makespan_ms: Millis(1000.0),
            estimated_ms: Millis(1000.0 * (1.0 + error)),
            least_ms: Millis(900.0),
            error: Ratio(error),
            cpu_ms: None,
            least_cpu_ms: None,
        };
        let made = Goodness::of(&profile(), &[check(-0.08), check(0.02), check(0.05)]);
        assert_eq!((made.laws, made.good_laws), (2, 2));
        assert!(made.least_r_squared > Some(0.99), "{made:?}");
        let flat = made.largest_flat_residual.unwrap();
        assert!(flat > 0.001 && flat < 0.03, "{flat}");
        assert_eq!(made.unseen, 10);
        assert!(made.unseen_median_error < made.unseen_p90_error);
        assert_eq!(made.parallel_median_error, Some(0.05));
    }

    #[test]
    fn what_was_not_measured_has_no_figure() {
        let none = Goodness::of(&CpuProfile { guests: Vec::new() }, &[]);
        assert_eq!(none, Goodness::default());
    }
}
