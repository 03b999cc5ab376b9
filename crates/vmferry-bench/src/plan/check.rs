//! Whether a plan makes sense.

use std::collections::BTreeSet;
use std::fmt;

use super::{BenchPlan, Load, Subject};

/// Most points in a run, and most repeats: more is a slip of the keyboard.
const MOST: u32 = 1000;
/// Most guests beside the migrated one that a plan may ask for.
const MOST_GUESTS: u32 = 64;
/// The hypervisors take downtime limits up to this, milliseconds.
const MOST_DOWNTIME_MS: f64 = 2_000_000.0;
/// Time before the first migration that tells what metered hosts draw anyway, seconds.
const METERED_S: f64 = 15.0;
/// Longest sector, warm-up, observation or deadline, seconds.
const LONGEST_S: f64 = 86_400.0;

/// What makes no sense in a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFault {
    /// Where.
    pub at: PlanPart,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// A place in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanPart {
    /// A setting of the whole plan, by its name in the file.
    Setting(&'static str),
    /// A subject, by its place in the list, from 0 on.
    Subject(usize),
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            PlanPart::Setting(name) => write!(f, "`{name}`: {}", self.problem),
            PlanPart::Subject(index) => write!(f, "subject {}: {}", index + 1, self.problem),
        }
    }
}

impl BenchPlan {
    /// Whether the plan makes sense to a platform that knows these workloads; empty: all are
    /// believed.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, known: &[String]) -> Result<(), PlanFault> {
        let bad = |name, problem: String| {
            Err(PlanFault {
                at: PlanPart::Setting(name),
                problem,
            })
        };
        if self.name.trim().is_empty() || self.name.chars().any(char::is_control) {
            return bad("name", "give the plan a name, in one line".into());
        }
        if self.workloads.is_empty() {
            return bad("workloads", "name at least one workload".into());
        }
        for workload in &self.workloads {
            if !known.is_empty() && !known.contains(workload) {
                let among = known.join(", ");
                return bad("workloads", format!("`{workload}` is none of {among}"));
            }
        }
        if let Some(twice) = repeated(&self.workloads) {
            return bad("workloads", format!("`{twice}` is named twice"));
        }
        if self.loads.is_empty() {
            return bad("loads", "name at least one of light, heavy".into());
        }
        if let Some(twice) = repeated(&self.loads) {
            return bad("loads", format!("`{twice}` is named twice"));
        }
        for (name, number) in [("points", self.points), ("repeats", self.repeats)] {
            if !(1..=MOST).contains(&number) {
                return bad(name, format!("it is {number}; give 1 to {MOST}"));
            }
        }
        for (name, seconds, least) in [
            ("sector", self.sector_s, 1.0),
            ("warm-up", self.warm_up_s, 0.0),
            ("observe", self.observe_s, 0.5),
            ("deadline", self.deadline_ms.0 / 1000.0, 1.0),
        ] {
            if !(least..=LONGEST_S).contains(&seconds) {
                return bad(
                    name,
                    format!("it is {seconds} s; give {least} s to {LONGEST_S} s"),
                );
            }
        }
        if !(1.0..=MOST_DOWNTIME_MS).contains(&self.max_downtime_ms.0) {
            return bad(
                "max-downtime",
                format!("it is {}; give 1 ms to 2000 s", self.max_downtime_ms),
            );
        }
        if let Some(guests) = self.background_guests {
            if !(1..=MOST_GUESTS).contains(&guests) {
                return bad(
                    "background-guests",
                    format!("it is {guests}; give 1 to {MOST_GUESTS}, or leave it out"),
                );
            }
            if !self.loads.contains(&Load::Heavy) {
                return bad(
                    "background-guests",
                    "it counts under heavy load, which `loads` does not name".into(),
                );
            }
        }
        for (name, meter) in [
            ("meter", &self.meter),
            ("destination-meter", &self.destination_meter),
        ] {
            let Some(meter) = meter else { continue };
            if meter.trim().is_empty() {
                return bad(name, "it is empty; name a meter, or leave it out".into());
            }
            if self.warm_up_s + self.sector_s < METERED_S {
                return bad(
                    "sector",
                    format!(
                        "it is {} s after {} s of warm-up; before the first migration meters take {METERED_S} s to tell what the hosts draw anyway",
                        self.sector_s, self.warm_up_s
                    ),
                );
            }
        }
        if self.subjects.is_empty() {
            return bad("subject", "name at least one subject".into());
        }
        let mut names = BTreeSet::new();
        for (index, subject) in self.subjects.iter().enumerate() {
            let problem = match subject.problem() {
                None if !names.insert(&subject.name) => {
                    Some(format!("`{}` is named twice", subject.name))
                }
                problem => problem,
            };
            if let Some(problem) = problem {
                return Err(PlanFault {
                    at: PlanPart::Subject(index),
                    problem,
                });
            }
        }
        Ok(())
    }
}

impl Subject {
    fn problem(&self) -> Option<String> {
        let name = &self.name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        if name.is_empty() || !name.chars().all(allowed) {
            return Some(format!(
                "`{name}` is no name; give letters, digits, `.` and `-`"
            ));
        }
        if self.postcopy_after_ms.is_some() && self.promise.is_some() {
            return Some(format!(
                "`{name}` has both `postcopy-after` and a promise; under a promise vmferry itself decides on post-copy: leave one out"
            ));
        }
        if self.promise.is_some_and(|promise| {
            promise.min_bandwidth > promise.max_bandwidth.or(promise.min_bandwidth)
        }) {
            return Some(format!(
                "`{name}` promises a least bandwidth above the most"
            ));
        }
        None
    }
}

/// The first that is there twice.
fn repeated<T: PartialEq>(list: &[T]) -> Option<&T> {
    let twice = |(index, one): &(usize, &T)| list[..*index].contains(one);
    list.iter().enumerate().find(twice).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::promise::Promise;
    use vmferry_core::{ByteRate, Millis};

    /// What is said of a plan that was changed so.
    fn said(change: impl FnOnce(&mut BenchPlan)) -> String {
        let mut plan = BenchPlan::quick();
        let known = ["web".to_owned(), "standby".to_owned()];
        assert_eq!(plan.check(&known), Ok(()));
        change(&mut plan);
        plan.check(&known).unwrap_err().to_string()
    }

    #[test]
    fn nonsense_is_told_with_what_is_allowed() {
        let faults = [
            said(|plan| plan.name = " ".into()),
            said(|plan| plan.workloads.clear()),
            said(|plan| plan.workloads.push("fax".into())),
            said(|plan| plan.workloads.push("web".into())),
            said(|plan| plan.loads.push(Load::Light)),
            said(|plan| plan.points = 0),
            said(|plan| plan.repeats = 0),
            said(|plan| plan.sector_s = 0.2),
            said(|plan| plan.observe_s = f64::NAN),
            said(|plan| plan.deadline_ms = Millis(10.0)),
            said(|plan| plan.max_downtime_ms = Millis(0.0)),
            said(|plan| plan.background_guests = Some(2)),
            said(|plan| plan.subjects.clear()),
            said(|plan| plan.subjects.push(plan.subjects[0].clone())),
            said(|plan| plan.subjects[0].name = "a/b".into()),
            said(|plan| {
                plan.subjects[0].postcopy_after_ms = Some(Millis(1.0));
                plan.subjects[0].promise = Some(Promise::default());
            }),
            said(|plan| {
                plan.subjects[0].promise = Some(Promise {
                    min_bandwidth: Some(ByteRate(2e6)),
                    max_bandwidth: Some(ByteRate(1e6)),
                    ..Promise::default()
                });
            }),
        ];
        insta::assert_snapshot!(faults.join("\n"), @"
        `name`: give the plan a name, in one line
        `workloads`: name at least one workload
        `workloads`: `fax` is none of web, standby
        `workloads`: `web` is named twice
        `loads`: `light` is named twice
        `points`: it is 0; give 1 to 1000
        `repeats`: it is 0; give 1 to 1000
        `sector`: it is 0.2 s; give 1 s to 86400 s
        `observe`: it is NaN s; give 0.5 s to 86400 s
        `deadline`: it is 0.01 s; give 1 s to 86400 s
        `max-downtime`: it is 0 ms; give 1 ms to 2000 s
        `background-guests`: it counts under heavy load, which `loads` does not name
        `subject`: name at least one subject
        subject 2: `default` is named twice
        subject 1: `a/b` is no name; give letters, digits, `.` and `-`
        subject 1: `default` has both `postcopy-after` and a promise; under a promise vmferry itself decides on post-copy: leave one out
        subject 1: `default` promises a least bandwidth above the most
        ");
    }
}
