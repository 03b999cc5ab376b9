//! Reports: one page of text, tables and drawings, rendered as Markdown and as HTML, and the
//! document in JSON.

pub mod html;
pub mod json;
pub mod markdown;
pub mod page;
pub mod results;

mod aim;
mod cell;
mod section;
mod spread;
mod svg;

use crate::record::BenchRecord;
use cell::Cell;
use page::{Block, Page};
use results::Results;

/// The report of a benchmark, whole or under way.
pub fn page(record: &BenchRecord, results: &Results) -> Page {
    let mut sections = vec![
        section::findings::section(&results.findings, record.plan.subjects.len()),
        section::scores::section(results),
    ];
    let cells = Cell::all(record);
    sections.extend(cells.iter().map(section::cells::section));
    sections.extend([
        section::forecasts::section(&results.forecasts),
        section::repeatability::section(&results.repeatability),
        section::setup::section(record),
        section::failures::section(record),
        section::again::section(record),
    ]);
    Page {
        title: format!("Virt-LM: {}", record.plan.name),
        lead: lead(record),
        sections,
    }
}

fn lead(record: &BenchRecord) -> Vec<Block> {
    let plan = &record.plan;
    let cells = plan.workloads.len() * plan.loads.len() * plan.subjects.len();
    let planned = cells * plan.repeats as usize;
    let names: Vec<&str> = plan.subjects.iter().map(|one| one.name.as_str()).collect();
    let mut lead = vec![Block::Text(format!(
        "Live migration of {}, compared under {}.",
        plan.workloads.join(", "),
        names.join(", ")
    ))];
    if record.runs.len() < planned {
        lead.push(Block::Text(format!(
            "This benchmark is not whole: {} of {planned} runs have ended. What follows is of \
             those.",
            record.runs.len()
        )));
    }
    lead
}
