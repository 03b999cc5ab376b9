//! The pages of `docs/promises/`, from records.

mod controllers;
mod guests;
mod rounds;
mod rows;
mod sweep;
mod targets;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cells::Part;
use crate::feasible::Verdict;
use crate::record::Record;
use crate::run::Fault;
use rows::Row;
use targets::Target;

/// Everything there is to tell.
pub(crate) struct Report<'a> {
    records: &'a [Record],
    guests: Vec<Row<'a>>,
    sweep: Vec<Row<'a>>,
    deadlines: Vec<&'a Record>,
    verdicts: &'a [Verdict],
}

impl<'a> Report<'a> {
    pub(crate) fn of(records: &'a [Record], verdicts: &'a [Verdict]) -> Self {
        let part = |part: Part| records.iter().filter(move |r| r.cell.part == part);
        Self {
            records,
            guests: rows::rows(part(Part::Guests)),
            sweep: rows::rows(part(Part::Sweep)),
            deadlines: part(Part::Deadline).collect(),
            verdicts,
        }
    }

    /// Writes the pages.
    pub(crate) fn write(&self, docs: &Path) -> Result<String, Fault> {
        fs::create_dir_all(docs)?;
        let targets = self.targets();
        let page = self.readme(&targets);
        fs::write(docs.join("README.md"), &page)?;
        fs::write(docs.join("results.json"), self.json(&targets)?)?;
        if !self.sweep.is_empty() {
            let (text, figures) = sweep::page(&self.sweep);
            fs::write(docs.join("sweep.md"), text)?;
            for figure in figures {
                fs::write(docs.join(format!("{}.svg", figure.name)), figure.svg()?)?;
            }
        }
        Ok(page)
    }

    fn json(&self, targets: &[Target]) -> Result<String, serde_json::Error> {
        let moves: Vec<Value> = self
            .records
            .iter()
            .map(|record| {
                json!({
                    "cell": record.cell,
                    "command": record.command,
                    "qemu": record.qemu,
                    "end": record.end(),
                    "refused": record.refused,
                    "promised": record.promised,
                    "kept": record.kept(),
                    "total_time_ms": record.total_s().map(|s| s * 1e3),
                    "downtime_ms": record.downtime_ms(),
                    "transferred_bytes": record.outcome.as_ref().and_then(|o| o.transferred_bytes),
                    "passes": record.outcome.as_ref().and_then(|o| o.passes),
                    "lost_ms": record.lost_s().map(|s| s * 1e3),
                    "vcpu_lost_ms": record.cost.and_then(|c| c.vcpu_lost_s()).map(|s| s * 1e3),
                    "cost": record.cost,
                    "unmoved_per_s": record.unmoved_per_s,
                    "unmoved_of_aim": record.unmoved_of_aim,
                    "forced_at_ms": record.forced_at_ms,
                    "events": record.events,
                    "qemu_shares": record.qemu_shares,
                })
            })
            .collect();
        serde_json::to_string_pretty(&json!({
            "schema_version": 1,
            "targets": targets,
            "moves": moves,
            "feasible": self.verdicts,
        }))
    }
}

/// A number, or a dash.
fn text(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// A share as percent, or a dash.
fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.0} %", value * 100.0))
}
