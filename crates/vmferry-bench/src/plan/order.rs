//! The runs of a plan, in the order in which they are made.

use super::{BenchPlan, Load, Subject};
use crate::record::RunKey;

impl BenchPlan {
    /// Every run, in the order in which they are made. What drifts in the hours of a benchmark is
    /// spread: repeats come one after another as a whole, and in every cell another subject comes
    /// first.
    pub fn runs(&self) -> Vec<RunKey> {
        let mut runs = Vec::new();
        let cells: Vec<(&String, &Load)> = self
            .workloads
            .iter()
            .flat_map(|workload| self.loads.iter().map(move |load| (workload, load)))
            .collect();
        for repeat in 1..=self.repeats {
            for (cell, (workload, load)) in cells.iter().enumerate() {
                let turn = (cell + repeat as usize - 1) % self.subjects.len().max(1);
                let (after, first) = self.subjects.split_at(turn);
                runs.extend(first.iter().chain(after).map(|subject| RunKey {
                    subject: subject.name.clone(),
                    workload: (*workload).clone(),
                    load: **load,
                    repeat,
                }));
            }
        }
        runs
    }

    /// The subject of that name.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }
}

impl Subject {
    /// Whether a service runs alike under both as long as nothing migrates: capabilities,
    /// parameters, post-copy and promises act on migrations alone.
    pub fn serves_like(&self, other: &Self) -> bool {
        self.binary == other.binary && self.machine == other.machine
    }
}

/// A cell in one repeat: the runs in which subjects can share a reference.
type Cell = (String, Load, u32);

/// Which subjects of the cell under way have a reference that others can take.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    cell: Option<Cell>,
    subjects: Vec<String>,
}

impl Sharing {
    /// Whether the run makes a reference of its own, when the runs before it made theirs.
    pub(crate) fn own_reference(&mut self, plan: &BenchPlan, key: &RunKey) -> bool {
        let cell = (key.workload.clone(), key.load, key.repeat);
        if self.cell.as_ref() != Some(&cell) {
            self.cell = Some(cell);
            self.subjects.clear();
        }
        let Some(subject) = plan.subject(&key.subject) else {
            return true;
        };
        let shared = self
            .subjects
            .iter()
            .filter_map(|name| plan.subject(name))
            .any(|other| other.serves_like(subject));
        if !shared {
            self.subjects.push(key.subject.clone());
        }
        !shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plan(subjects: usize, repeats: u32) -> BenchPlan {
        let subject = |index: usize| Subject {
            name: ["a", "b", "c", "d"][index].to_owned(),
            ..Subject::default()
        };
        BenchPlan {
            loads: vec![Load::Light, Load::Heavy],
            repeats,
            subjects: (0..subjects).map(subject).collect(),
            ..BenchPlan::quick()
        }
    }

    #[test]
    fn every_run_is_made_once() {
        for (subjects, repeats) in [(1, 1), (2, 3), (3, 2), (4, 5)] {
            let runs = plan(subjects, repeats).runs();
            let unlike: BTreeSet<_> = runs.iter().collect();
            assert_eq!(unlike.len(), runs.len());
            assert_eq!(runs.len(), subjects * repeats as usize * 2 * 2);
            assert!(runs.is_sorted_by_key(|run| run.repeat));
        }
    }

    #[test]
    fn subjects_take_turns_in_being_first() {
        let plan = plan(2, 2);
        let order: Vec<String> = plan
            .runs()
            .iter()
            .map(|key| {
                format!(
                    "{} {} {} {}",
                    key.repeat, key.workload, key.load, key.subject
                )
            })
            .collect();
        insta::assert_snapshot!(order.join("\n"), @"
        1 web light a
        1 web light b
        1 web heavy b
        1 web heavy a
        1 standby light a
        1 standby light b
        1 standby heavy b
        1 standby heavy a
        2 web light b
        2 web light a
        2 web heavy a
        2 web heavy b
        2 standby light b
        2 standby light a
        2 standby heavy a
        2 standby heavy b
        ");
    }
}
