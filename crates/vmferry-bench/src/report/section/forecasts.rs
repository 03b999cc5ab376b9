//! What was forecast before each move against what happened.

use crate::forecasts::{ForecastAccuracy, ForecastErrors, ForecastReport};
use crate::report::page::{Section, Table};
use crate::report::spread::{UNKNOWN, number};

/// A quantity, and where its errors are.
type Quantity = (
    &'static str,
    fn(&ForecastAccuracy) -> Option<ForecastErrors>,
);

const QUANTITIES: [Quantity; 3] = [
    ("Total time", |accuracy| accuracy.total_time),
    ("Downtime, STOP to RESUME", |accuracy| accuracy.downtime),
    ("Data, by the hypervisor's account", |accuracy| {
        accuracy.transferred
    }),
];

/// The section.
pub(crate) fn section(report: &ForecastReport) -> Section {
    let mut section = Section::new("Forecasts against outcomes");
    let all = &report.all;
    if all.migrations == 0 {
        section.say("No migration was made yet.");
        return section;
    }
    section.say(format!(
        "A forecast was frozen before {} of {} migrations. An error is the difference between the \
         forecast's median and what was measured, over what was measured; of a right interval, \
         nine of ten outcomes are within.",
        all.forecast, all.migrations
    ));
    if let Some(why) = &all.refusal {
        section.say(format!(
            "Where there is none, the first reason given is: {why}"
        ));
    }
    let verdicts = all.verdicts;
    if verdicts.n > 0 {
        section.say(format!(
            "Whether a move converges was forecast wrongly {} times of {}, {} of them too hopefully.",
            verdicts.wrong, verdicts.n, verdicts.too_hopeful
        ));
    }
    for (what, of) in QUANTITIES {
        section.table(table(report, what, of));
    }
    section
}

fn table(
    report: &ForecastReport,
    what: &str,
    of: fn(&ForecastAccuracy) -> Option<ForecastErrors>,
) -> Table {
    let head = [
        "of",
        "migrations",
        "median error, %",
        "90 % of errors up to, %",
        "within interval, %",
    ];
    let mut table = Table::new(format!("{what}: errors of forecasts"), &head);
    if of(&report.all).is_none() {
        return table;
    }
    let parts = report.by_workload.iter().chain(&report.by_subject);
    let parts = parts.map(|part| (part.name.as_str(), &part.accuracy));
    for (name, accuracy) in std::iter::once(("all", &report.all)).chain(parts) {
        let mut row = vec![name.to_owned()];
        match of(accuracy) {
            Some(errors) => row.extend([
                errors.n.to_string(),
                number(errors.median * 100.0),
                number(errors.p90 * 100.0),
                number(errors.coverage.percent()),
            ]),
            None => row.extend(vec![UNKNOWN.to_owned(); 4]),
        }
        table.rows.push(row);
    }
    table
}
