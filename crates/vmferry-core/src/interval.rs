//! What a forecast says of one quantity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The 5th, 50th and 95th percentile of a quantity over the samples of a
/// forecast. `p5 <= p50 <= p95`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval<T> {
    /// One outcome in twenty is below.
    pub p5: T,
    /// The median.
    pub p50: T,
    /// One outcome in twenty is above.
    pub p95: T,
}

impl<T> Interval<T> {
    /// The same interval in another unit.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Interval<U> {
        Interval {
            p5: f(self.p5),
            p50: f(self.p50),
            p95: f(self.p95),
        }
    }
}

impl<T: PartialOrd> Interval<T> {
    /// Whether a measured value lies within p5..p95.
    pub fn covers(&self, value: &T) -> bool {
        *value >= self.p5 && *value <= self.p95
    }
}

impl Interval<f64> {
    /// Percentiles of a set of samples, linearly interpolated between the two
    /// nearest; `None` of no finite samples.
    pub fn of_samples(samples: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.iter().copied().filter(|v| v.is_finite()).collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let position = q * (sorted.len() - 1) as f64;
            let (low, high) = (position.floor() as usize, position.ceil() as usize);
            sorted[low] + (sorted[high] - sorted[low]) * position.fract()
        };
        Some(Self {
            p5: at(0.05),
            p50: at(0.5),
            p95: at(0.95),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_and_one() {
        let samples: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(
            Interval::of_samples(&samples),
            Some(Interval {
                p5: 5.0,
                p50: 50.0,
                p95: 95.0
            })
        );
        assert_eq!(Interval::of_samples(&[]), None);
    }
}
