//! The metrics of every point, run and cell, as reports show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Millis, Ratio};

use crate::estimate::{Estimate, mean};
use crate::metric::{DowntimeSource, Metric};
use crate::record::{PointRecord, PointStatus, RunRecord};
use crate::side::{Cell, CellName, Side, common_source, run_overhead, run_sector_overheads};

/// What one subject did in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellFigures {
    /// The subject's name.
    pub subject: String,
    /// Workload and load.
    #[serde(flatten)]
    pub cell: CellName,
    /// Who looked at the downtimes: the same for every cell of a record.
    pub downtime_by: DowntimeSource,
    /// Mean downtime, ms; `None` where nothing was measured.
    pub downtime_ms: Option<Estimate>,
    /// Mean total time, ms.
    pub total_time_ms: Option<Estimate>,
    /// Mean of the bytes sent.
    pub migrated_bytes: Option<Estimate>,
    /// Mean overhead, a share.
    pub overhead: Option<Estimate>,
    /// Migrations that did not complete; they count by the rule of
    /// [`PointRecord::status`](crate::record::PointRecord::status).
    pub not_completed: u32,
    /// Migrations that were planned and not made, because runs failed or are still to come.
    pub not_made: u32,
    /// What is measured and not scored.
    pub unscored: Unscored,
    /// By repeat.
    pub runs: Vec<RunFigures>,
}

/// One repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunFigures {
    /// From 1 on.
    pub repeat: u32,
    /// Over the whole running time.
    pub overhead: Option<Ratio>,
    /// By sector. Migration point p ends sector p: it is felt in sector p + 1, and the first
    /// sector shows the noise.
    pub sector_overheads: Vec<Option<Ratio>>,
    /// By migration point.
    pub points: Vec<PointFigures>,
}

/// One migration as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointFigures {
    /// From 1 on.
    pub point: u32,
    /// How it ended.
    pub status: PointStatus,
    /// The plan's deadline where it did not complete.
    pub downtime_ms: Option<Millis>,
    /// The plan's deadline where it did not complete.
    pub total_time_ms: Option<Millis>,
    /// Sent, or sent until it was given up.
    pub migrated_bytes: Option<Bytes>,
}

/// What is measured and not scored, over the points that completed. `None` where no point knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unscored {
    /// The longest stall of the service at any point.
    pub longest_stall_ms: Option<Millis>,
    /// The mean over points of the longest stall at each.
    pub mean_stall_ms: Option<Millis>,
    /// CPU time of the sending threads, seconds, mean.
    pub source_cpu_s: Option<f64>,
    /// CPU time of the loading thread, seconds, mean.
    pub destination_cpu_s: Option<f64>,
    /// CPU of the benchmark itself as a share of one core, at most.
    pub most_bench_cpu: Option<Ratio>,
    /// Energy of a migration, joules, mean.
    pub energy_j: Option<f64>,
    /// Bytes of the migration's TCP connection over bytes of frames on the interface, mean.
    pub wire_efficiency: Option<Ratio>,
}

/// What every subject did in every cell, by the order of the plan's subjects.
pub fn figures(record: &crate::record::BenchRecord) -> Vec<CellFigures> {
    let sides = Side::all(record);
    let by = common_source(&sides);
    let cells = |side: Side<'_>| -> Vec<CellFigures> {
        let names = side.cells().into_iter();
        names.map(|name| CellFigures::of(&side, name, by)).collect()
    };
    sides.into_iter().flat_map(cells).collect()
}

impl CellFigures {
    fn of(side: &Side<'_>, name: CellName, by: DowntimeSource) -> Self {
        let cell = side.cell(&name);
        let estimate = |metric: Metric| {
            let spread = cell.spread(metric, by);
            spread.map(|spread| spread.estimate(metric.scale()))
        };
        let points: Vec<&PointRecord> = cell.runs.iter().flat_map(|run| &run.points).collect();
        let completed = |p: &&&PointRecord| p.status == PointStatus::Completed;
        let done: Vec<&PointRecord> = points.iter().filter(completed).copied().collect();
        let planned = (side.record.plan.points * side.record.plan.repeats) as usize;
        Self {
            subject: side.subject.to_owned(),
            downtime_by: by,
            downtime_ms: estimate(Metric::Downtime),
            total_time_ms: estimate(Metric::TotalTime),
            migrated_bytes: estimate(Metric::MigratedData),
            overhead: estimate(Metric::Overhead),
            not_completed: (points.len() - done.len()) as u32,
            not_made: planned.saturating_sub(points.len()) as u32,
            unscored: Unscored::of(&done),
            runs: cell
                .runs
                .iter()
                .map(|r| RunFigures::of(&cell, r, by))
                .collect(),
            cell: name,
        }
    }
}

impl RunFigures {
    fn of(cell: &Cell<'_>, run: &RunRecord, by: DowntimeSource) -> Self {
        let counted = |point: &PointRecord, metric: Metric| cell.counted(point, metric, by);
        Self {
            repeat: run.key.repeat,
            overhead: run_overhead(run),
            sector_overheads: run_sector_overheads(run),
            points: run
                .points
                .iter()
                .map(|point| PointFigures {
                    point: point.point,
                    status: point.status,
                    downtime_ms: counted(point, Metric::Downtime).map(Millis),
                    total_time_ms: counted(point, Metric::TotalTime).map(Millis),
                    migrated_bytes: counted(point, Metric::MigratedData).map(|b| Bytes(b as u64)),
                })
                .collect(),
        }
    }
}

impl Unscored {
    fn of(points: &[&PointRecord]) -> Self {
        let known = |of: &dyn Fn(&PointRecord) -> Option<f64>| -> Vec<f64> {
            let values = points.iter().filter_map(|point| of(point));
            values.filter(|value| value.is_finite()).collect()
        };
        let average = |values: Vec<f64>| (!values.is_empty()).then(|| mean(&values));
        let most = |values: Vec<f64>| values.into_iter().reduce(f64::max);
        let stall = |p: &PointRecord| p.longest_stall_ms.map(|ms| ms.0);
        Self {
            longest_stall_ms: most(known(&stall)).map(Millis),
            mean_stall_ms: average(known(&stall)).map(Millis),
            source_cpu_s: average(known(&|p| p.migration_cpu.source_s)),
            destination_cpu_s: average(known(&|p| p.migration_cpu.destination_s)),
            most_bench_cpu: most(known(&|p| p.bench_cpu.map(|share| share.0))).map(Ratio),
            energy_j: average(known(&|p| p.energy_j)),
            wire_efficiency: average(known(&|p| {
                let wire = p.outcome.as_ref()?.wire_bytes.filter(|bytes| bytes.0 > 0)?;
                Some((p.migrated_bytes? / wire).0)
            }))
            .map(Ratio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Figures, plan};

    #[test]
    fn a_cell_shows_means_and_what_did_not_complete() {
        let record = fixture::record(plan(&["a"], &["web"]), |key, point| Figures {
            status: if (key.repeat, point) == (2, 2) {
                PointStatus::NotConverged
            } else {
                PointStatus::Completed
            },
            ..Figures::default()
        });
        let found = figures(&record);
        let [cell] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((cell.not_completed, cell.not_made), (1, 0));
        let downtime = cell.downtime_ms.unwrap();
        assert!((downtime.mean - (8.0 * 100.0 + 60_000.0) / 9.0).abs() < 1e-9);
        assert!(downtime.confidence.is_some());
        assert_eq!(cell.runs[1].points[1].total_time_ms, Some(Millis(60_000.0)));
        assert_eq!(cell.runs[0].sector_overheads.len(), 4);
        assert_eq!(cell.unscored.longest_stall_ms, Some(Millis(130.0)));
        assert_eq!(cell.unscored.wire_efficiency, Some(Ratio(1.0)));
        assert_eq!(cell.unscored.energy_j, None);
    }

    #[test]
    fn a_run_that_never_came_is_said() {
        let mut record = fixture::record(plan(&["a"], &["web", "mail"]), |_, _| Figures::default());
        record.runs.retain(|run| run.key.workload != "mail");
        let found = figures(&record);
        let mail = found.iter().find(|c| c.cell.workload == "mail").unwrap();
        assert_eq!((mail.not_made, mail.downtime_ms), (9, None));
    }
}
