//! How right the forecasts were that were frozen before each migration.
//!
//! Forecast medians against outcomes by [`vmferry_model::Accuracy`], which is the definition of
//! every accuracy report of vmferry: times, data and passes of the moves that completed, and
//! verdicts on convergence of all whose end tells. Errors are |forecast - measured| / measured.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Ratio;
use vmferry_model::{Accuracy, QuantityAccuracy};

use crate::record::{BenchRecord, PointRecord, RunRecord};

/// The accuracy of a benchmark's forecasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastReport {
    /// Over every migration.
    pub all: ForecastAccuracy,
    /// By workload, sorted.
    pub by_workload: Vec<NamedAccuracy>,
    /// By subject, in the order of the plan.
    pub by_subject: Vec<NamedAccuracy>,
}

/// The accuracy of some of a benchmark's forecasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedAccuracy {
    /// The workload's or subject's name.
    pub name: String,
    /// Of its migrations.
    #[serde(flatten)]
    pub accuracy: ForecastAccuracy,
}

/// The accuracy of forecasts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastAccuracy {
    /// Migrations.
    pub migrations: usize,
    /// Of these, with a forecast.
    pub forecast: usize,
    /// Of those, gone over to post-copy: forecasts are of pre-copy, and not judged by them.
    #[serde(default)]
    pub post_copies: usize,
    /// Why the first one without has none, in words.
    pub refusal: Option<String>,
    /// Total migration time.
    pub total_time: Option<ForecastErrors>,
    /// STOP at the source to RESUME at the destination.
    pub downtime: Option<ForecastErrors>,
    /// Bytes of stream, by the hypervisor's account.
    pub transferred: Option<ForecastErrors>,
    /// Bytes on the interface, frames included.
    pub wire: Option<ForecastErrors>,
    /// Verdicts on convergence.
    pub verdicts: ForecastVerdicts,
}

/// Errors of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastErrors {
    /// Migrations of which it was forecast and measured, 1 or more.
    pub n: usize,
    /// Half of the errors are not above, a share.
    pub median: f64,
    /// Half of the differences between forecast and measured are not above, in the quantity's unit:
    /// ms, ms, bytes, bytes.
    #[serde(default)]
    pub median_absolute: Option<f64>,
    /// Nine of ten errors are not above, a share.
    pub p90: f64,
    /// Share of the measured values within p5..p95; 0.9 is right.
    pub coverage: Ratio,
}

/// Verdicts on convergence: a probability of at least one half against what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastVerdicts {
    /// Migrations with a verdict whose end tells.
    pub n: usize,
    /// Of these, the verdict was wrong.
    pub wrong: usize,
    /// Of the wrong ones, forecast to converge, and it did not.
    pub too_hopeful: usize,
}

impl ForecastReport {
    /// Of a whole record.
    pub fn of(record: &BenchRecord) -> Self {
        let of = |keep: &dyn Fn(&RunRecord) -> bool| {
            let runs = record.runs.iter().filter(|run| keep(run));
            ForecastAccuracy::of(runs.flat_map(|run| &run.points))
        };
        let workloads: BTreeSet<&str> = record
            .runs
            .iter()
            .map(|run| run.key.workload.as_str())
            .collect();
        let named = |name: &str, accuracy| NamedAccuracy {
            name: name.to_owned(),
            accuracy,
        };
        Self {
            all: of(&|_| true),
            by_workload: workloads
                .into_iter()
                .map(|name| named(name, of(&|run| run.key.workload == name)))
                .collect(),
            by_subject: record
                .plan
                .subjects
                .iter()
                .map(|s| named(&s.name, of(&|run| run.key.subject == s.name)))
                .collect(),
        }
    }
}

impl ForecastAccuracy {
    /// Of some points.
    pub fn of<'a>(points: impl Iterator<Item = &'a PointRecord>) -> Self {
        let mut found = Self::default();
        let mut seen = Vec::new();
        for point in points {
            found.migrations += 1;
            let Some(forecast) = &point.forecast else {
                let reason = point.forecast_failure.clone();
                found.refusal = found.refusal.or(reason);
                continue;
            };
            found.forecast += 1;
            let Some(outcome) = &point.outcome else {
                continue;
            };
            // It was forecast as a pre-copy.
            if outcome.post_copy {
                found.post_copies += 1;
                continue;
            }
            let accuracy = Accuracy::of(forecast, outcome);
            if let Some(right) = accuracy.verdict {
                let hopeful = forecast.converges_probability >= 0.5;
                found.verdicts.n += 1;
                found.verdicts.wrong += usize::from(!right);
                found.verdicts.too_hopeful += usize::from(!right && hopeful);
            }
            seen.push(accuracy);
        }
        let errors = |pick: fn(&Accuracy) -> Option<QuantityAccuracy>| {
            let known = seen.iter().filter_map(pick);
            ForecastErrors::of(known.filter(|q| q.relative_error.is_finite()).collect())
        };
        found.total_time = errors(|a| a.total_time);
        found.downtime = errors(|a| a.downtime);
        found.transferred = errors(|a| a.transferred);
        found.wire = errors(|a| a.wire);
        found
    }
}

impl ForecastErrors {
    fn of(trials: Vec<QuantityAccuracy>) -> Option<Self> {
        let mut errors: Vec<f64> = trials.iter().map(|q| q.relative_error.abs()).collect();
        errors.sort_by(f64::total_cmp);
        let differences = trials.iter().map(|q| (q.forecast - q.measured).abs());
        let mut differences: Vec<f64> = differences.collect();
        differences.sort_by(f64::total_cmp);
        let covered = trials.iter().filter(|q| q.covered).count();
        Some(Self {
            n: errors.len(),
            median: quantile(&errors, 0.5)?,
            median_absolute: quantile(&differences, 0.5),
            p90: quantile(&errors, 0.9)?,
            coverage: Ratio(covered as f64 / errors.len() as f64),
        })
    }
}

/// Of sorted values, by the nearest rank; `None` of none.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::record::PointStatus;

    fn close(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < 1e-9
    }

    #[test]
    fn errors_of_time_downtime_and_traffic() {
        let record = record(plan(&["a", "b"], &["mail", "web"]), |_, _| {
            Figures::default()
        });
        let report = ForecastReport::of(&record);
        let all = &report.all;
        assert_eq!((all.migrations, all.forecast), (36, 36));
        let (time, downtime) = (all.total_time.unwrap(), all.downtime.unwrap());
        assert!(
            close(time.median, 0.02) && close(time.p90, 0.02),
            "{time:?}"
        );
        assert!(
            close(downtime.median, 0.1) && close(downtime.coverage.0, 1.0),
            "{downtime:?}"
        );
        // The hypervisor's downtime is 90 ms, of which the forecast says 9 too much.
        assert!(
            close(downtime.median_absolute.unwrap(), 9.0),
            "{downtime:?}"
        );
        assert!(close(all.transferred.unwrap().p90, 0.0));
        assert_eq!(
            all.verdicts,
            ForecastVerdicts {
                n: 36,
                wrong: 0,
                too_hopeful: 0
            }
        );
        let names: Vec<&str> = report.by_workload.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["mail", "web"]);
        assert_eq!(report.by_subject[1].accuracy.migrations, 18);
    }

    #[test]
    fn post_copies_judge_no_forecast_of_pre_copy() {
        let mut record = record(plan(&["a"], &["web"]), |_, _| Figures::default());
        let point = &mut record.runs[0].points[0];
        point.outcome.as_mut().unwrap().post_copy = true;
        let found = ForecastReport::of(&record).all;
        assert_eq!(
            (found.forecast, found.post_copies, found.verdicts.n),
            (9, 1, 8)
        );
    }

    #[test]
    fn misses_wrong_verdicts_and_refusals_are_counted() {
        let mut record = record(plan(&["a"], &["web"]), |key, _| Figures {
            status: if key.repeat == 3 {
                PointStatus::NotConverged
            } else {
                PointStatus::Completed
            },
            total_time_ms: if key.repeat == 3 { 60_000.0 } else { 4000.0 },
            ..Figures::default()
        });
        let first = &mut record.runs[0].points[0];
        first.forecast = None;
        first.forecast_failure = Some("too little was seen".to_owned());
        let second = &mut record.runs[0].points[1];
        let outcome = second.outcome.as_mut().unwrap();
        outcome.total_time_ms = outcome
            .total_time_ms
            .map(|ms| vmferry_core::Millis(ms.0 * 2.0));
        let found = ForecastReport::of(&record).all;
        assert_eq!((found.migrations, found.forecast), (9, 8));
        assert_eq!(found.refusal.as_deref(), Some("too little was seen"));
        assert_eq!(
            found.verdicts,
            ForecastVerdicts {
                n: 8,
                wrong: 3,
                too_hopeful: 3
            }
        );
        let time = found.total_time.unwrap();
        assert_eq!(time.n, 5);
        assert!(
            close(time.p90, 0.49) && close(time.coverage.0, 0.8),
            "{time:?}"
        );
    }
}
