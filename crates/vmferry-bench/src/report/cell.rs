//! The part of a record that one table of a report is about.

use crate::plan::{BenchPlan, Load};
use crate::record::{BenchRecord, HeavyLoad, PointRecord, PointStatus, RunRecord};

/// A workload under a load, with what every subject did there.
#[derive(Clone, Debug)]
pub(super) struct Cell<'a> {
    pub(super) workload: &'a str,
    pub(super) load: Load,
    pub(super) plan: &'a BenchPlan,
    /// What stands beside the migrated guest, where that was found out.
    pub(super) heavy: Option<&'a HeavyLoad>,
    /// In the order of the plan.
    pub(super) subjects: Vec<SubjectRuns<'a>>,
}

/// The runs of one subject in a cell.
#[derive(Clone, Debug)]
pub(super) struct SubjectRuns<'a> {
    pub(super) name: &'a str,
    /// Its place among all subjects.
    pub(super) number: usize,
    pub(super) runs: Vec<&'a RunRecord>,
}

impl<'a> Cell<'a> {
    /// Every cell of the plan, also those that nothing was measured in.
    pub(super) fn all(record: &'a BenchRecord) -> Vec<Self> {
        let plan = &record.plan;
        let mut cells = Vec::new();
        for workload in &plan.workloads {
            for &load in &plan.loads {
                let subjects = plan.subjects.iter().enumerate().map(|(number, subject)| {
                    let runs = record.runs.iter().filter(|run| {
                        run.key.workload == *workload
                            && run.key.load == load
                            && run.key.subject == subject.name
                    });
                    SubjectRuns {
                        name: &subject.name,
                        number,
                        runs: runs.collect(),
                    }
                });
                let mut heavy = record.heavy.iter().filter(|_| load == Load::Heavy);
                cells.push(Self {
                    workload,
                    load,
                    plan,
                    heavy: heavy.find(|heavy| heavy.workload == *workload),
                    subjects: subjects.collect(),
                });
            }
        }
        cells
    }

    /// What it is called.
    pub(super) fn title(&self) -> String {
        format!("{}, {} load", self.workload, load_name(self.load))
    }

    /// Whether anything was run in it.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.iter().all(|subject| subject.runs.is_empty())
    }
}

impl<'a> SubjectRuns<'a> {
    /// Every migration that was tried.
    pub(super) fn points(&self) -> impl Iterator<Item = &'a PointRecord> + use<'a, '_> {
        self.runs.iter().flat_map(|run| run.points.iter())
    }

    /// Every migration that completed.
    pub(super) fn completed(&self) -> impl Iterator<Item = &'a PointRecord> + use<'a, '_> {
        let completed = |point: &&PointRecord| point.status == PointStatus::Completed;
        self.points().filter(completed)
    }
}

/// A load's name.
pub(super) const fn load_name(load: Load) -> &'static str {
    match load {
        Load::Light => "light",
        Load::Heavy => "heavy",
    }
}
