//! Means with confidence, out of few repeats.
//!
//! Intervals and tests are Student's, not a bootstrap's: benchmarks repeat a run two to five times,
//! and percentiles of resampled twos and threes are far too narrow, while Student's are exact for
//! normal noise at any number of repeats.
//!
//! The migration points of a run are at fixed places in the workload's running time, so that what
//! they differ by is no noise: points are compared with the same point of other repeats only. A
//! run as a whole may also be off. Where it is, by an F test at 25 % (Bancroft 1964: a preliminary
//! test must be that lenient), only the means of whole runs count as values, R - 1 degrees of
//! freedom; where it is not, every point does, P (R - 1).
//!
//! One repeat alone says nothing of what other repeats would have been. Its points are then taken
//! for the sample ([`Basis::Points`]): such an interval is of the mean over this one run, and no
//! verdict is founded on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_model::chance::{above_f, t_with_above};

/// Below this probability of an F as large by chance, runs differ as a whole.
const RUNS_DIFFER: f64 = 0.25;

/// What an interval is drawn from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// How repeats differ.
    Repeats,
    /// How the points, or sectors, of one run differ: noise between runs is not in it.
    Points,
}

/// How sure a value is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Confidence {
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Standard error, in the value's unit.
    pub standard_error: f64,
    /// Degrees of freedom (Welch and Satterthwaite's where several samples meet), above 0.
    pub freedom: f64,
    /// What it is drawn from.
    pub basis: Basis,
}

impl Confidence {
    /// Half of the interval's width: what stands behind a `±`.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// A mean of repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The mean over all points of each repeat, and over repeats.
    pub mean: f64,
    /// `None` of one repeat with one point.
    pub confidence: Option<Confidence>,
    /// Repeats behind it, 1 or more.
    pub repeats: u32,
}

/// On which scale an interval is symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Of what may be negative.
    Linear,
    /// Of what is above zero: times so much, or divided by it.
    Log,
}

/// Variance of one mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Term {
    /// Of the mean, in its unit squared.
    pub(crate) variance: f64,
    pub(crate) freedom: f64,
    pub(crate) repeats: u32,
    pub(crate) basis: Basis,
}

impl Term {
    /// Of the mean times `factor`.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            variance: self.variance * factor * factor,
            ..self
        }
    }
}

/// Variance and degrees of freedom of a sum of independent means, by Welch and Satterthwaite.
pub(crate) fn welch(terms: &[Term]) -> (f64, f64) {
    let variance: f64 = terms.iter().map(|t| t.variance).sum();
    let parts: f64 = terms
        .iter()
        .map(|t| t.variance * t.variance / t.freedom)
        .sum();
    let freedom = if parts > 0.0 {
        variance * variance / parts
    } else {
        terms.iter().map(|t| t.freedom).sum()
    };
    (variance, freedom)
}

/// The 95 % interval of a value with these parts of variance; `None` where one is unknown or the
/// interval has no end.
pub(crate) fn confidence(value: f64, terms: Option<&[Term]>, scale: Scale) -> Option<Confidence> {
    let terms = terms.filter(|terms| !terms.is_empty())?;
    let (variance, freedom) = welch(terms);
    let standard_error = variance.sqrt();
    let width = if standard_error > 0.0 {
        t_with_above(0.025, freedom) * standard_error
    } else {
        0.0
    };
    let (low, high) = match scale {
        Scale::Log if value > 0.0 => {
            let factor = (width / value).exp();
            (value / factor, value * factor)
        }
        _ => (value - width, value + width),
    };
    let of_points = terms.iter().any(|t| t.basis == Basis::Points);
    (low.is_finite() && high.is_finite()).then_some(Confidence {
        low,
        high,
        standard_error,
        freedom,
        basis: if of_points {
            Basis::Points
        } else {
            Basis::Repeats
        },
    })
}

/// A mean and what is known of its variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) repeats: u32,
    pub(crate) term: Option<Term>,
}

impl Spread {
    pub(crate) fn estimate(&self, scale: Scale) -> Estimate {
        Estimate {
            mean: self.mean,
            confidence: confidence(
                self.mean,
                self.term.as_ref().map(std::slice::from_ref),
                scale,
            ),
            repeats: self.repeats,
        }
    }
}

/// Values of one metric in one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// By repeat and point.
    pub(crate) runs: Vec<Vec<Option<f64>>>,
    /// What stands for the points where there is one repeat only.
    pub(crate) within: Vec<f64>,
    /// Variance of reading one value.
    pub(crate) reading_variance: f64,
}

impl Sample {
    /// The mean and its variance; `None` of no value.
    pub(crate) fn spread(&self) -> Option<Spread> {
        let runs: Vec<Vec<f64>> = self
            .runs
            .iter()
            .map(|run| run.iter().copied().flatten().collect())
            .filter(|run: &Vec<f64>| !run.is_empty())
            .collect();
        let means: Vec<f64> = runs.iter().map(|run| mean(run)).collect();
        if means.is_empty() {
            return None;
        }
        let repeats = means.len() as u32;
        let found = if repeats == 1 {
            of_values(&self.within)
        } else {
            self.whole().and_then(of_points).or(of_values(&means))
        };
        let values: usize = runs.iter().map(Vec::len).sum();
        let least = self.reading_variance / values as f64;
        Some(Spread {
            mean: mean(&means),
            repeats,
            term: found.map(|(variance, freedom)| Term {
                variance: variance.max(least),
                freedom,
                repeats,
                basis: if repeats == 1 {
                    Basis::Points
                } else {
                    Basis::Repeats
                },
            }),
        })
    }

    /// The values where no point of no repeat is missing, two points or more.
    fn whole(&self) -> Option<Vec<Vec<f64>>> {
        let points = self.runs.first().map_or(0, Vec::len);
        let rows: Option<Vec<Vec<f64>>> = self
            .runs
            .iter()
            .filter(|run| run.iter().any(Option::is_some))
            .map(|run| run.iter().copied().collect())
            .collect();
        rows.filter(|rows| points >= 2 && rows.iter().all(|row| row.len() == points))
    }
}

/// Variance of the mean of values, and its degrees of freedom; `None` of fewer than two.
fn of_values(values: &[f64]) -> Option<(f64, f64)> {
    let sd = standard_deviation(values)?;
    let n = values.len() as f64;
    Some((sd * sd / n, n - 1.0))
}

/// The same of repeats with the same points; `None` where runs differ as a whole.
fn of_points(rows: Vec<Vec<f64>>) -> Option<(f64, f64)> {
    let (repeats, points) = (rows.len() as f64, rows.first()?.len());
    let of_run: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
    let all = mean(&of_run);
    let of_point: Vec<f64> = (0..points)
        .map(|point| rows.iter().map(|row| row[point]).sum::<f64>() / repeats)
        .collect();
    let between: f64 = of_run.iter().map(|m| (m - all).powi(2)).sum::<f64>() * points as f64;
    let rest: f64 = rows
        .iter()
        .zip(&of_run)
        .flat_map(|(row, run)| {
            row.iter()
                .zip(&of_point)
                .map(move |(v, point)| (v, run, point))
        })
        .map(|(value, run, point)| (value - run - point + all).powi(2))
        .sum();
    let free_runs = repeats - 1.0;
    let free_rest = free_runs * (points as f64 - 1.0);
    if between > 0.0 {
        let f = (between / free_runs) / (rest / free_rest);
        if !f.is_finite() || above_f(f, free_runs, free_rest) < RUNS_DIFFER {
            return None;
        }
    }
    let freedom = free_runs + free_rest;
    let values = repeats * points as f64;
    Some(((between + rest) / freedom / values, freedom))
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle one, or the mean of the middle two; `None` of no value.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

/// Of a sample; `None` of fewer than two values.
pub(crate) fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (values.len() >= 2).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(runs: &[&[f64]]) -> Sample {
        Sample {
            runs: runs
                .iter()
                .map(|run| run.iter().copied().map(Some).collect())
                .collect(),
            within: runs[0].to_vec(),
            reading_variance: 0.0,
        }
    }

    #[test]
    fn three_values_have_the_interval_of_the_textbook() {
        // 10, 12, 14: mean 12, s 2, t(2) 4.303: 12 ± 4.97.
        let spread = sample(&[&[10.0], &[12.0], &[14.0]]).spread().unwrap();
        let found = spread.estimate(Scale::Linear).confidence.unwrap();
        assert!((found.low - 7.032).abs() < 1e-3 && (found.high - 16.968).abs() < 1e-3);
        assert_eq!((found.freedom, found.basis), (2.0, Basis::Repeats));
    }

    #[test]
    fn what_points_differ_by_is_no_noise() {
        let far_apart = sample(&[&[10.0, 1000.0], &[10.2, 999.8], &[9.8, 1000.2]]);
        let term = far_apart.spread().unwrap().term.unwrap();
        assert!(term.variance < 0.05 && term.freedom == 4.0, "{term:?}");
    }

    #[test]
    fn runs_that_differ_as_a_whole_count_once_each() {
        let off = sample(&[&[10.0, 20.0], &[15.1, 25.0], &[5.0, 15.1]]);
        assert_eq!(off.spread().unwrap().term.unwrap().freedom, 2.0);
    }

    #[test]
    fn one_repeat_speaks_for_itself_only() {
        let term = sample(&[&[10.0, 12.0, 14.0]])
            .spread()
            .unwrap()
            .term
            .unwrap();
        assert_eq!((term.basis, term.repeats), (Basis::Points, 1));
        assert_eq!(sample(&[&[10.0]]).spread().unwrap().term, None);
        assert_eq!(Sample::default().spread(), None);
    }

    #[test]
    fn a_missing_point_leaves_the_means_of_runs() {
        let mut holed = sample(&[&[10.0, 12.0], &[10.0, 12.0]]);
        holed.runs[0][0] = None;
        let spread = holed.spread().unwrap();
        assert_eq!(spread.mean, 11.5);
        assert_eq!(spread.term.unwrap().freedom, 1.0);
    }

    #[test]
    fn readings_to_five_milliseconds_are_not_exact() {
        let mut exact = sample(&[&[100.0, 100.0], &[100.0, 100.0]]);
        assert_eq!(exact.spread().unwrap().term.unwrap().variance, 0.0);
        exact.reading_variance = 4.0;
        assert_eq!(exact.spread().unwrap().term.unwrap().variance, 1.0);
    }
}
