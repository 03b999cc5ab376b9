//! What follows from a record: computed again whenever a report is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{Comparison, conditions};
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
    /// Where, when, with what and how often it was measured, in a sentence.
    pub measured: String,
    /// What else differs between what is judged and the reference, each a sentence: a score may
    /// differ from 1000 for it. Empty where both are of one benchmark.
    #[serde(default)]
    pub conditions: Vec<String>,
}

impl Results {
    /// Of a record against a reference; without one, against the plan's first subject.
    pub fn of(record: &BenchRecord, reference: Option<Side<'_>>) -> Self {
        let sides = Side::all(record);
        let reference = reference.or_else(|| sides.first().copied());
        Self {
            reference: reference.map(|side| Reference::of(side, record)),
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
    fn of(side: Side<'_>, judged: &BenchRecord) -> Self {
        let record = side.record;
        let (machine, plan) = (&record.machine, &record.plan);
        let day = record.started_at.strftime("%Y-%m-%d");
        let measured = format!(
            "{}{} of benchmark \u{201c}{}\u{201d} ({}), measured on {day} by vmferry {} on {} \
             ({} logical CPUs, {}; {}), {} runs of every workload and load with {} migrations each, sectors of \
             {} s after {} s of warm-up",
            side.subject,
            hypervisor(side),
            plan.name,
            record.id,
            record.tool_version,
            machine.cpu,
            machine.cpus,
            machine.accelerator,
            machine.note,
            plan.repeats,
            plan.points,
            plan.sector_s,
            plan.warm_up_s
        );
        Self {
            name: side.name(),
            measured,
            conditions: conditions(judged, record),
        }
    }
}

/// ` (qemu 10.0.2, Debian package)`; nothing where it was not asked.
fn hypervisor(side: Side<'_>) -> String {
    let asked = side.record.subjects.iter();
    let mut asked = asked.filter(|one| one.name == side.subject);
    let Some(host) = asked.next().map(|one| &one.host) else {
        return String::new();
    };
    let version = host.hypervisor_version.as_deref();
    let mut text = format!(
        " ({} {}",
        host.hypervisor,
        version.unwrap_or("of unknown version")
    );
    if let Some(package) = &host.package {
        text.push_str(&format!(", {package}"));
    }
    text.push(')');
    text
}
