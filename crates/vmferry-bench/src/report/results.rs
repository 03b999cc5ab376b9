//! What follows from a record: computed again whenever a report is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::Comparison;
use crate::findings::Findings;
use crate::forecasts::ForecastReport;
use crate::record::BenchRecord;
use crate::repeatability::Repeatability;
use crate::score::Scores;
use crate::side::{Side, SideName};

/// What follows from a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// What has 1000 in the scores; absent of a record without subjects.
    pub reference: Option<Reference>,
    /// Of every subject, in the order of the plan.
    pub scores: Vec<Scores>,
    /// Of every subject but the first with the first.
    pub comparisons: Vec<Comparison>,
    /// Of every subject, in the order of the plan.
    pub repeatability: Vec<Repeatability>,
    /// How right the forecasts were.
    pub forecasts: ForecastReport,
    /// Which subject is best for which service.
    pub findings: Findings,
}

/// What has 1000 in scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Its name.
    #[serde(flatten)]
    pub name: SideName,
    /// Where, when and how often it was measured, in a sentence.
    pub measured: String,
}

impl Results {
    /// Of a record against a reference; without one, against the plan's first subject.
    pub fn of(record: &BenchRecord, reference: Option<Side<'_>>) -> Self {
        let sides = Side::all(record);
        let reference = reference.or_else(|| sides.first().copied());
        Self {
            reference: reference.map(Reference::of),
            scores: reference.map_or_else(Vec::new, |of| Scores::of_all(&sides, of)),
            comparisons: Comparison::within(record),
            repeatability: reference.map_or_else(Vec::new, |of| {
                sides
                    .iter()
                    .map(|side| Repeatability::of(*side, of))
                    .collect()
            }),
            forecasts: ForecastReport::of(record),
            findings: Findings::of(record),
        }
    }
}

impl Reference {
    fn of(side: Side<'_>) -> Self {
        let record = side.record;
        let machine = &record.machine;
        let day = record.started_at.strftime("%Y-%m-%d");
        let measured = format!(
            "{} of benchmark \u{201c}{}\u{201d} ({}), measured on {day} by vmferry {} on {} \
             ({} logical CPUs, {}; {}), {} runs of every cell with {} migrations each",
            side.subject,
            record.plan.name,
            record.id,
            record.tool_version,
            machine.cpu,
            machine.cpus,
            machine.accelerator,
            machine.note,
            record.plan.repeats,
            record.plan.points
        );
        Self {
            name: side.name(),
            measured,
        }
    }
}
