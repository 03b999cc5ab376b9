//! How long the rest takes.

use std::time::Duration;

use crate::plan::{BenchPlan, Load, Sharing};
use crate::record::{HeavyLoad, RunKey};

/// What is left to do, by what the plan lets expect, and how the runs so far compared with that.
#[derive(Debug)]
pub(super) struct Pace {
    /// Expected seconds of every run that is left, searches included.
    left: Vec<(RunKey, f64)>,
    expected_s: f64,
    spent_s: f64,
}

impl Pace {
    pub(super) fn new(plan: &BenchPlan, keys: &[RunKey], heavy: &[HeavyLoad]) -> Self {
        let mut sharing = Sharing::default();
        let mut searched: Vec<String> = heavy.iter().map(|one| one.workload.clone()).collect();
        let left = keys
            .iter()
            .map(|key| {
                let own = sharing.own_reference(plan, key);
                let mut seconds = plan.expected_run_s(key.load, own);
                if key.load == Load::Heavy && !searched.contains(&key.workload) {
                    searched.push(key.workload.clone());
                    seconds += plan.expected_search_s();
                }
                (key.clone(), seconds)
            })
            .collect();
        Self {
            left,
            expected_s: 0.0,
            spent_s: 0.0,
        }
    }

    /// A run was made in this time.
    pub(super) fn done(&mut self, key: &RunKey, spent: Duration) {
        if let Some(at) = self.left.iter().position(|(left, _)| left == key) {
            self.expected_s += self.left.remove(at).1;
            self.spent_s += spent.as_secs_f64();
        }
    }

    /// Seconds that the rest takes, should it go on as so far.
    pub(super) fn left_s(&self) -> f64 {
        // Of nothing the sum is -0.
        let left = self
            .left
            .iter()
            .map(|(_, seconds)| seconds)
            .sum::<f64>()
            .max(0.0);
        if self.expected_s > 0.0 {
            left * self.spent_s / self.expected_s
        } else {
            left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_estimated_by_what_was_made() {
        let plan = BenchPlan::usual();
        let runs = plan.runs();
        let mut pace = Pace::new(&plan, &runs, &[]);
        let all = pace.left_s();
        assert!((all - plan.expected().as_secs_f64()).abs() < 1e-6, "{all}");
        let first = plan.expected_run_s(runs[0].load, true);
        // Twice as slow as expected.
        pace.done(&runs[0], Duration::from_secs_f64(2.0 * first));
        assert!((pace.left_s() - 2.0 * (all - first)).abs() < 1e-6);
        for run in &runs {
            pace.done(run, Duration::from_secs(1));
        }
        assert!(pace.left_s().abs() < 1e-9);
    }
}
