//! How much a benchmark differs from itself.
//!
//! `virtlm2011` 5.2 repeated its benchmark three times: the standard deviation of each score was
//! within 1 %. Part of it is the machine's own noise, which the runs without migrations show.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::Ratio;

use crate::estimate::{mean, standard_deviation};
use crate::metric::{DowntimeSource, Metric, rate};
use crate::score::REFERENCE_SCORE;
use crate::side::{Cell, CellName, Side, SideName, common_source};

/// The relative standard deviation that the paper reports at most.
pub const PAPER: Ratio = Ratio(0.01);

/// Spread of one subject over its repeats. Standard deviations are of a sample (n - 1) and relative
/// to the mean; `None` with fewer than two repeats, and of a mean that is not above 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repeatability {
    /// Whose.
    pub side: SideName,
    /// What the scores are normalised by.
    pub reference: SideName,
    /// Who looked at the downtimes.
    pub downtime_by: DowntimeSource,
    /// Of each score.
    pub scores: Vec<ScoreSpread>,
    /// Of the mean over points, by cell and metric.
    pub cells: Vec<CellSpread>,
    /// Of every migration point, by cell and metric.
    pub points: Vec<PointSpread>,
    /// Of the service's rate without migrations, by cell: the noise of the machine.
    pub noise: Vec<Noise>,
    /// The same over all cells, put together as scores are (each rate over the mean of its cell):
    /// what the spread of a score is to be held against.
    pub noise_of_scores: Option<Ratio>,
}

/// Spread of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoreSpread {
    /// Of what.
    pub metric: Metric,
    /// The score of every repeat that has all cells that have one.
    pub scores: Vec<f64>,
    /// Standard deviation over mean.
    pub relative_sd: Option<Ratio>,
    /// Whether that is within the paper's 1 %.
    pub within_paper: Option<bool>,
}

/// Spread of the mean of a cell's points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellSpread {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Of what.
    pub metric: Metric,
    /// By repeat, in the metric's unit.
    pub values: Vec<f64>,
    /// Standard deviation in the metric's unit.
    pub sd: Option<f64>,
    /// Standard deviation over mean.
    pub relative_sd: Option<Ratio>,
}

/// Spread of one migration point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointSpread {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Of what; never overhead.
    pub metric: Metric,
    /// From 1 on.
    pub point: u32,
    /// By repeat, in the metric's unit.
    pub values: Vec<f64>,
    /// Standard deviation over mean.
    pub relative_sd: Option<Ratio>,
}

/// Spread of a service that is not migrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Operations per second, by repeat.
    pub rates_per_s: Vec<f64>,
    /// Standard deviation over mean.
    pub relative_sd: Option<Ratio>,
    /// Of the sectors in which migration points are felt.
    pub points: Vec<PointNoise>,
}

/// Spread of a service that is not migrated, in the sector in which it otherwise is: of point p,
/// sector p + 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointNoise {
    /// From 1 on.
    pub point: u32,
    /// Operations per second, by repeat.
    pub rates_per_s: Vec<f64>,
    /// Standard deviation over mean.
    pub relative_sd: Option<Ratio>,
}

impl Repeatability {
    /// Of one subject, with scores against a reference (which may be the subject itself).
    pub fn of(side: Side<'_>, reference: Side<'_>) -> Self {
        let by = common_source(&[side, reference]);
        let cells: Vec<(CellName, Cell<'_>)> = side
            .cells()
            .into_iter()
            .map(|name| (name.clone(), side.cell(&name)))
            .collect();
        let mut of_cells = Vec::new();
        let mut of_points = Vec::new();
        for (name, cell) in &cells {
            for metric in Metric::ALL {
                of_cells.push(CellSpread::of(name, cell, metric, by));
            }
            for metric in Metric::OF_POINTS {
                of_points.extend(points(name, cell, metric, by));
            }
        }
        Self {
            side: side.name(),
            reference: reference.name(),
            downtime_by: by,
            scores: Metric::ALL
                .into_iter()
                .map(|metric| ScoreSpread::of(&cells, reference, metric, by))
                .collect(),
            cells: of_cells,
            points: of_points,
            noise: cells
                .iter()
                .map(|(name, cell)| Noise::of(name, cell))
                .collect(),
            noise_of_scores: noise_of_scores(&cells),
        }
    }
}

impl Noise {
    fn of(name: &CellName, cell: &Cell<'_>) -> Self {
        let rates_per_s = cell.rates_without();
        Self {
            cell: name.clone(),
            relative_sd: relative(&rates_per_s),
            rates_per_s,
            points: (1..=cell.points)
                .map(|point| {
                    let rates_per_s = cell.rates_without_at(point);
                    PointNoise {
                        point,
                        relative_sd: relative(&rates_per_s),
                        rates_per_s,
                    }
                })
                .collect(),
        }
    }
}

/// Over the repeats that have a rate in every cell whose service does anything.
fn noise_of_scores(cells: &[(CellName, Cell<'_>)]) -> Option<Ratio> {
    let busy: Vec<(&Cell<'_>, f64)> = cells
        .iter()
        .map(|(_, cell)| (cell, cell.rates_without()))
        .filter(|(_, rates)| !rates.is_empty() && mean(rates) > 0.0)
        .map(|(cell, rates)| (cell, mean(&rates)))
        .collect();
    let repeats = busy.iter().flat_map(|(cell, _)| &cell.runs);
    let repeats: BTreeSet<u32> = repeats.map(|run| run.key.repeat).collect();
    let together = |repeat: u32| -> Option<f64> {
        let parts = busy.iter().map(|(cell, usual)| {
            let run = cell.runs.iter().find(|run| run.key.repeat == repeat)?;
            let service = run.reference.as_ref()?;
            Some(rate(service.operations, service.seconds)? / usual)
        });
        parts.collect::<Option<Vec<f64>>>().map(|all| mean(&all))
    };
    let together: Vec<f64> = repeats.into_iter().filter_map(together).collect();
    relative(&together)
}

impl ScoreSpread {
    fn of(
        cells: &[(CellName, Cell<'_>)],
        reference: Side<'_>,
        metric: Metric,
        by: DowntimeSource,
    ) -> Self {
        let normal: Vec<(&Cell<'_>, f64)> = cells
            .iter()
            .filter_map(|(name, cell)| {
                cell.spread(metric, by)?;
                let reference = reference.cell(name).spread(metric, by)?.mean;
                (reference > 0.0).then_some((cell, reference))
            })
            .collect();
        let most = cells.iter().flat_map(|(_, cell)| &cell.runs);
        let repeats = most.map(|run| run.key.repeat).max().unwrap_or_default();
        let score = |repeat: u32| -> Option<f64> {
            let parts: Option<Vec<f64>> = normal
                .iter()
                .map(|(cell, reference)| Some(of_repeat(cell, repeat, metric, by)? / reference))
                .collect();
            let parts = parts.filter(|parts| !parts.is_empty())?;
            Some(REFERENCE_SCORE * mean(&parts))
        };
        let scores: Vec<f64> = (1..=repeats).filter_map(score).collect();
        let relative_sd = relative(&scores);
        Self {
            metric,
            within_paper: relative_sd.map(|sd| sd.0 <= PAPER.0),
            relative_sd,
            scores,
        }
    }
}

impl CellSpread {
    fn of(name: &CellName, cell: &Cell<'_>, metric: Metric, by: DowntimeSource) -> Self {
        let repeats = cell.runs.iter().map(|run| run.key.repeat);
        let values: Vec<f64> = repeats
            .filter_map(|repeat| of_repeat(cell, repeat, metric, by))
            .collect();
        Self {
            cell: name.clone(),
            metric,
            sd: standard_deviation(&values),
            relative_sd: relative(&values),
            values,
        }
    }
}

fn points(
    name: &CellName,
    cell: &Cell<'_>,
    metric: Metric,
    by: DowntimeSource,
) -> Vec<PointSpread> {
    let runs: Vec<Vec<Option<f64>>> = cell
        .runs
        .iter()
        .map(|run| cell.of_run(run, metric, by))
        .collect();
    let most = runs.iter().map(Vec::len).max().unwrap_or_default();
    (0..most)
        .map(|place| {
            let values: Vec<f64> = runs.iter().filter_map(|run| run[place]).collect();
            PointSpread {
                cell: name.clone(),
                metric,
                point: place as u32 + 1,
                relative_sd: relative(&values),
                values,
            }
        })
        .collect()
}

/// The mean of a repeat's points.
fn of_repeat(cell: &Cell<'_>, repeat: u32, metric: Metric, by: DowntimeSource) -> Option<f64> {
    let run = cell.runs.iter().find(|run| run.key.repeat == repeat)?;
    let values: Vec<f64> = cell.of_run(run, metric, by).into_iter().flatten().collect();
    (!values.is_empty()).then(|| mean(&values))
}

fn relative(values: &[f64]) -> Option<Ratio> {
    let sd = standard_deviation(values)?;
    let mean = mean(values);
    (mean > 0.0).then(|| Ratio(sd / mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::BenchPlan;

    #[test]
    fn spread_of_scores_cells_and_points() {
        // Downtimes of 99, 100 and 101 ms in the three repeats: sd 1 % of everything of them.
        let made = record(plan(&["a"], &["web", "mail"]), |key, _| Figures {
            downtime_ms: 98.0 + f64::from(key.repeat),
            rate_without: 1000.0 + 20.0 * f64::from(key.repeat),
            ..Figures::default()
        });
        let side = Side::all(&made)[0];
        let found = Repeatability::of(side, side);
        let close = |found: Option<Ratio>, wanted: f64| (found.unwrap().0 - wanted).abs() < 1e-9;
        assert!(close(found.scores[0].relative_sd, 0.01));
        assert!(close(found.scores[1].relative_sd, 0.0));
        assert_eq!(found.scores[1].within_paper, Some(true));
        assert!(close(found.cells[0].relative_sd, 0.01));
        assert_eq!(found.points.len(), 2 * 3 * 3);
        assert!(close(found.points[0].relative_sd, 0.01));
        assert_eq!(found.points[0].values, [99.0, 100.0, 101.0]);
        assert!(close(found.noise[0].relative_sd, 20.0 / 1040.0));
        assert!(close(found.noise_of_scores, 20.0 / 1040.0));
        let of_points = &found.noise[0].points;
        assert_eq!(of_points.len(), 3);
        assert!(close(of_points[2].relative_sd, 20.0 / 1040.0));
        assert_eq!(of_points[2].rates_per_s, [1020.0, 1040.0, 1060.0]);
    }

    #[test]
    fn one_repeat_has_no_spread() {
        let plan = BenchPlan {
            repeats: 1,
            ..plan(&["a"], &["web"])
        };
        let made = record(plan, |_, _| Figures::default());
        let side = Side::all(&made)[0];
        let found = Repeatability::of(side, side);
        assert!(
            found
                .scores
                .iter()
                .all(|s| s.relative_sd.is_none() && s.within_paper.is_none())
        );
        assert!(found.noise[0].relative_sd.is_none() && found.noise_of_scores.is_none());
    }

    #[test]
    fn a_repeat_without_one_of_the_workloads_has_no_score() {
        let mut made = record(plan(&["a"], &["web", "mail"]), |_, _| Figures::default());
        made.runs
            .retain(|run| (run.key.workload.as_str(), run.key.repeat) != ("mail", 3));
        let side = Side::all(&made)[0];
        let found = Repeatability::of(side, side);
        assert_eq!(found.scores[0].scores, [1000.0, 1000.0]);
    }
}
