//! What was forecast before each move against what happened.

use crate::forecasts::{ForecastAccuracy, ForecastErrors, ForecastReport};
use crate::report::aim::{self, ForecastAim};
use crate::report::page::{Holds, Section, Table};
use crate::report::spread::UNKNOWN;

/// A quantity, what its errors are held to, and where they are.
struct Quantity {
    name: &'static str,
    aim: ForecastAim,
    of: fn(&ForecastAccuracy) -> Option<ForecastErrors>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "Total time",
        aim: aim::TOTAL_TIME,
        of: |accuracy| accuracy.total_time,
    },
    Quantity {
        name: "Downtime, STOP to RESUME",
        aim: aim::DOWNTIME,
        of: |accuracy| accuracy.downtime,
    },
    Quantity {
        name: "Data, by the hypervisor's account",
        aim: aim::DATA,
        of: |accuracy| accuracy.transferred,
    },
];

/// The section.
pub(crate) fn section(report: &ForecastReport) -> Section {
    let mut section = Section::new("Forecasts against outcomes");
    let all = &report.all;
    if all.migrations == 0 {
        section.say("No migration was made yet.");
        return section;
    }
    if all.forecast == 0 && all.refusal.is_none() {
        section.say("No forecasts are kept in this document.");
        return section;
    }
    section.say(format!(
        "A forecast was frozen before {} of {} migrations. An error is the difference between the \
         forecast's median and what was measured, over what was measured; of a right interval, \
         nine of ten outcomes are within.",
        all.forecast, all.migrations
    ));
    if all.post_copies > 0 {
        section.say(format!(
            "{} of them went over to post-copy: forecasts are of pre-copy, and not judged by those.",
            all.post_copies
        ));
    }
    if let Some(why) = &all.refusal {
        section.say(format!(
            "Where there is none, the first reason given is: {why}"
        ));
    }
    let verdicts = all.verdicts;
    if verdicts.n > 0 {
        section.say(format!(
            "Wrong forecasts of whether a move converges: {} of {}, of these too hopeful: {}.",
            verdicts.wrong, verdicts.n, verdicts.too_hopeful
        ));
    }
    let told = QUANTITIES.iter().filter_map(|quantity| {
        let errors = (quantity.of)(all)?;
        Some(format!(
            "{}: {}.",
            quantity.name,
            quantity.aim.told(&errors)
        ))
    });
    section.list(told.collect());
    for quantity in &QUANTITIES {
        section.table(table(report, quantity));
    }
    section
}

fn table(report: &ForecastReport, quantity: &Quantity) -> Table {
    let heads = quantity.aim.heads();
    let mut rows = Vec::new();
    let parts = report.by_workload.iter().chain(&report.by_subject);
    let parts = parts.map(|part| (part.name.as_str(), &part.accuracy));
    let known = (quantity.of)(&report.all).is_some();
    let parts = std::iter::once(("all", &report.all)).chain(parts);
    for (name, accuracy) in parts.filter(|_| known) {
        let mut row = vec![name.to_owned()];
        match (quantity.of)(accuracy) {
            Some(errors) => {
                row.push(errors.n.to_string());
                row.extend(quantity.aim.cells(&errors));
            }
            None => row.extend(vec![UNKNOWN.to_owned(); 1 + heads.len()]),
        }
        rows.push(row);
    }
    let first = ["of", "migrations"].map(str::to_owned);
    Table {
        caption: format!("{}: errors of forecasts", quantity.name),
        head: first.into_iter().chain(heads).collect(),
        rows,
        holds: Holds::Numbers,
    }
}
