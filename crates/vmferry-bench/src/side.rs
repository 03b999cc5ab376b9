//! One subject of one record: what is judged, and what it is judged against.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry_core::{Millis, Ratio};

use crate::estimate::{Sample, Scale, Spread};
use crate::metric::{DowntimeSource, Metric, overhead, rate, sector_overheads};
use crate::plan::Load;
use crate::record::{BenchRecord, PointRecord, PointStatus, RunRecord, ServiceRun};

/// Why nothing can be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// The record has no such subject.
    #[error("benchmark {record} has no subject `{subject}`; it has {known}")]
    UnknownSubject {
        /// The record.
        record: Uuid,
        /// What was asked for.
        subject: String,
        /// What there is.
        known: String,
    },
    /// A gate that cannot be read.
    #[error("cannot read the gate `{gate}`: {problem}")]
    Gate {
        /// The gate as given.
        gate: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A gate that asks for a baseline, and there is none.
    #[error(
        "the gate `{gate}` compares with a baseline and none is given; give one, or an absolute limit such as `downtime>300ms`"
    )]
    NoBaseline {
        /// The gate as given.
        gate: String,
    },
}

/// A subject in a record.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub(crate) record: &'a BenchRecord,
    pub(crate) subject: &'a str,
}

/// Names a side in documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SideName {
    /// The benchmark's id.
    pub benchmark: Uuid,
    /// When it was begun.
    pub started_at: jiff::Timestamp,
    /// The plan's name.
    pub plan: String,
    /// The subject's name.
    pub subject: String,
}

/// A workload under a load.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct CellName {
    /// The workload's name.
    pub workload: String,
    /// The load around it.
    pub load: Load,
}

impl std::fmt::Display for CellName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.load {
            Load::Light => f.pad(&self.workload),
            Load::Heavy => f.pad(&format!("{} under heavy load", self.workload)),
        }
    }
}

impl<'a> Side<'a> {
    /// A subject of a record by its name.
    ///
    /// # Errors
    /// [`JudgeError::UnknownSubject`].
    pub fn new(record: &'a BenchRecord, subject: &str) -> Result<Self, JudgeError> {
        let found = record.plan.subjects.iter().find(|s| s.name == subject);
        found.map_or_else(
            || {
                let known: Vec<&str> = names(record).collect();
                Err(JudgeError::UnknownSubject {
                    record: record.id,
                    subject: subject.to_owned(),
                    known: known.join(", "),
                })
            },
            |found| {
                Ok(Self {
                    record,
                    subject: &found.name,
                })
            },
        )
    }

    /// Every subject of a record, in the order of its plan; the first is the one that others are
    /// compared with.
    pub fn all(record: &'a BenchRecord) -> Vec<Self> {
        names(record)
            .map(|subject| Self { record, subject })
            .collect()
    }

    /// Its name in documents.
    pub fn name(&self) -> SideName {
        SideName {
            benchmark: self.record.id,
            started_at: self.record.started_at,
            plan: self.record.plan.name.clone(),
            subject: self.subject.to_owned(),
        }
    }

    /// Every cell that was planned or run, sorted.
    pub fn cells(&self) -> BTreeSet<CellName> {
        let plan = &self.record.plan;
        let planned = plan.workloads.iter().flat_map(|workload| {
            plan.loads.iter().map(|load| CellName {
                workload: workload.clone(),
                load: *load,
            })
        });
        let run = self.runs().map(|run| CellName {
            workload: run.key.workload.clone(),
            load: run.key.load,
        });
        planned.chain(run).collect()
    }

    pub(crate) fn runs(self) -> impl Iterator<Item = &'a RunRecord> {
        let runs = self.record.runs.iter();
        runs.filter(move |run| run.key.subject == self.subject)
    }

    pub(crate) fn points(self) -> impl Iterator<Item = &'a PointRecord> {
        self.runs().flat_map(|run| &run.points)
    }

    /// Whether its migrations may end in post-copy.
    pub(crate) fn may_use_postcopy(&self) -> bool {
        let mut subjects = self.record.plan.subjects.iter();
        let subject = subjects.find(|one| one.name == self.subject);
        subject.is_some_and(|one| {
            one.postcopy_after_ms.is_some() || one.promise.is_some_and(|p| p.allow_postcopy)
        })
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.record.id == other.record.id && self.subject == other.subject
    }

    pub(crate) fn cell(&self, name: &CellName) -> Cell<'a> {
        let of = |run: &&RunRecord| run.key.workload == name.workload && run.key.load == name.load;
        Cell {
            deadline: self.record.plan.deadline_ms,
            points: self.record.plan.points,
            runs: self.runs().filter(of).collect(),
        }
    }
}

fn names(record: &BenchRecord) -> impl Iterator<Item = &str> {
    record.plan.subjects.iter().map(|s| s.name.as_str())
}

/// The source that saw the points of all these sides.
pub(crate) fn common_source(sides: &[Side<'_>]) -> DowntimeSource {
    DowntimeSource::common(sides.iter().flat_map(|side| side.points()))
}

/// All repeats of a workload under a load.
#[derive(Clone, Debug)]
pub(crate) struct Cell<'a> {
    deadline: Millis,
    pub(crate) points: u32,
    pub(crate) runs: Vec<&'a RunRecord>,
}

impl Cell<'_> {
    pub(crate) fn sample(&self, metric: Metric, by: DowntimeSource) -> Sample {
        let runs: Vec<Vec<Option<f64>>> = self
            .runs
            .iter()
            .map(|run| self.of_run(run, metric, by))
            .collect();
        let measured: Vec<usize> = (0..runs.len())
            .filter(|place| runs[*place].iter().any(Option::is_some))
            .collect();
        let within = match measured.as_slice() {
            [only] if metric == Metric::Overhead => service_runs(self.runs[*only])
                .map(|(without, with)| sector_overheads(without, with))
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .map(|share| share.0)
                .collect(),
            [only] => runs[*only].iter().copied().flatten().collect(),
            _ => Vec::new(),
        };
        Sample {
            runs,
            within,
            reading_variance: match metric {
                Metric::Downtime => by.reading_variance(),
                _ => 0.0,
            },
        }
    }

    pub(crate) fn spread(&self, metric: Metric, by: DowntimeSource) -> Option<Spread> {
        self.sample(metric, by).spread()
    }

    /// By point from 1 on; of overhead one value.
    pub(crate) fn of_run(
        &self,
        run: &RunRecord,
        metric: Metric,
        by: DowntimeSource,
    ) -> Vec<Option<f64>> {
        if metric == Metric::Overhead {
            return vec![run_overhead(run).map(|share| share.0)];
        }
        (1..=self.points)
            .map(|number| {
                let point = run.points.iter().find(|point| point.point == number)?;
                self.counted(point, metric, by)
            })
            .collect()
    }

    /// What a point counts with.
    pub(crate) fn counted(
        &self,
        point: &PointRecord,
        metric: Metric,
        by: DowntimeSource,
    ) -> Option<f64> {
        metric.counted(point, by, self.deadline)
    }

    /// Operations per second without migrations, by repeat.
    pub(crate) fn rates_without(&self) -> Vec<f64> {
        self.runs
            .iter()
            .filter_map(|run| run.reference.as_ref())
            .filter_map(|service| rate(service.operations, service.seconds))
            .collect()
    }

    /// The same in the sector that follows the place of a migration point.
    pub(crate) fn rates_without_at(&self, point: u32) -> Vec<f64> {
        let references = self.runs.iter().filter_map(|run| run.reference.as_ref());
        references
            .filter_map(|service| service.sectors.get(point as usize))
            .filter_map(|sector| rate(sector.operations, sector.seconds))
            .collect()
    }
}

fn service_runs(run: &RunRecord) -> Option<(&ServiceRun, &ServiceRun)> {
    run.reference.as_ref().zip(run.migrated.as_ref())
}

/// `None` where a move was refused: what did not happen costs nothing.
pub(crate) fn run_overhead(run: &RunRecord) -> Option<Ratio> {
    let mut points = run.points.iter();
    if points.any(|point| point.status == PointStatus::Refused) {
        return None;
    }
    service_runs(run).and_then(|(without, with)| overhead(without, with))
}

pub(crate) fn run_sector_overheads(run: &RunRecord) -> Vec<Option<Ratio>> {
    service_runs(run)
        .map(|(without, with)| sector_overheads(without, with))
        .unwrap_or_default()
}

impl Metric {
    /// On which scale its intervals are symmetric.
    pub(crate) const fn scale(self) -> Scale {
        match self {
            Self::Overhead => Scale::Linear,
            _ => Scale::Log,
        }
    }
}
