//! A simulation for people.

use std::fmt::Display;

use vmferry::core::{Interval, Ratio};
use vmferry::document::{SimulateReport, SourceKind};
use vmferry::simulating::{Axis, Boundary, Place, Point, Rules, Settings};

use super::{or_dash, table as new_table, text};

/// The answer of `simulate`.
pub(crate) fn table(report: &SimulateReport) -> String {
    let seen = &report.observation;
    let kind = match report.source {
        SourceKind::Profile => "observation",
        SourceKind::Trace => "trace",
    };
    let mut out = format!(
        "guest        {} ({}, zero pages {})\nfrom         {} ({kind} of {})\nmodel        {}, {} draws, seed {}; deadline {}\n",
        report.guest.label(),
        seen.migrated_pages.bytes(),
        or_dash(seen.zero),
        report.file,
        seen.window_ms,
        report.model,
        report.samples,
        report.seed,
        report.deadline_ms,
    );
    if let Some(fixed) = fixed(report) {
        out.push_str(&format!("everywhere   {fixed}\n"));
    }
    out.push('\n');
    out.push_str(&points(report));
    out.push('\n');
    for boundary in &report.boundaries {
        out.push_str(&format!("{}\n", boundary_line(report, boundary)));
    }
    for note in seen.notes.iter().chain(&report.notes) {
        out.push_str(&format!("note: {note}\n"));
    }
    out.trim_end().to_owned()
}

/// Whether rules stand in a column of their own.
fn many_rules(report: &SimulateReport) -> bool {
    report.rules.len() > 1
}

/// Settings that are the same at every point.
pub(crate) fn fixed(report: &SimulateReport) -> Option<String> {
    let at = report.points.first()?.settings;
    let rules = (!many_rules(report)).then(|| format!("rules {}", at.rules));
    let axes = Axis::ALL.into_iter().filter(|axis| {
        // A limit that has no say is not worth a word.
        let matters = *axis != Axis::MaxDowntime
            || report.rules.iter().any(|rules| rules.has_downtime_limit());
        matters && !report.swept.contains(axis)
    });
    let axes = axes.map(|axis| format!("{axis} {}", value(axis, &at)));
    let cap = report
        .max_bandwidth_bytes_per_s
        .map(|cap| format!("max bandwidth {cap}"));
    Some(
        rules
            .into_iter()
            .chain(axes)
            .chain(cap)
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// A setting in the unit that people read.
pub(crate) fn value(axis: Axis, at: &Settings) -> String {
    match axis {
        Axis::Bandwidth => at.bandwidth.to_string(),
        Axis::MaxDowntime => at.max_downtime.to_string(),
        Axis::Dirt => format!("x {:.4}", at.dirt)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        Axis::Memory => at.memory.to_string(),
    }
}

fn points(report: &SimulateReport) -> String {
    let rules = many_rules(report).then_some("rules");
    // The horizontal axis changes fastest and stands next to what it changes.
    let axes: Vec<Axis> = report.swept.iter().rev().copied().collect();
    let header: Vec<&str> = rules
        .into_iter()
        .chain(axes.iter().map(|axis| axis.name()))
        .chain([
            "converges",
            "total time",
            "downtime",
            "transferred",
            "passes",
        ])
        .collect();
    let mut rows = new_table(&header);
    for Point { settings, cost } in &report.points {
        let rules = rules.map(|_| settings.rules.to_string());
        let passes = cost.passes.map(|passes| passes.map(f64::round));
        let cells = rules
            .into_iter()
            .chain(axes.iter().map(|axis| value(*axis, settings)))
            .chain([
                format!("{:.0} %", Ratio(cost.converges_probability).percent()),
                cell(cost.total_time_ms),
                cell(cost.downtime_ms),
                cell(cost.transferred_bytes),
                cell(passes),
            ]);
        rows.add_row(cells.collect::<Vec<_>>());
    }
    text(&rows)
}

/// `p50 (p5..p95)`, or a dash.
fn cell<T: Display>(interval: Option<Interval<T>>) -> String {
    interval.map_or_else(
        || "-".to_owned(),
        |i| format!("{} ({}..{})", i.p50, i.p5, i.p95),
    )
}

/// Where convergence begins, as a sentence.
pub(crate) fn boundary_line(report: &SimulateReport, boundary: &Boundary) -> String {
    let Boundary {
        along,
        place,
        settings,
    } = boundary;
    let mut given: Vec<String> = Vec::new();
    if many_rules(report) {
        given.push(settings.rules.to_string());
    }
    let others = report.swept.iter().filter(|axis| *axis != along);
    given.extend(others.map(|axis| format!("{axis} {}", value(*axis, settings))));
    let given = match given.is_empty() {
        true => String::new(),
        false => format!(" ({})", given.join(", ")),
    };
    let at = value(*along, settings);
    match place {
        Place::Within => format!("boundary{given}: converges from a {along} of {at} on"),
        Place::Everywhere => format!("boundary{given}: converges at every {along} from {at} on"),
        Place::Nowhere => {
            format!("boundary{given}: does not converge, not even at a {along} of {at}")
        }
    }
}

/// What tells a series of points from the others: rules, and the second axis.
pub(crate) fn series(report: &SimulateReport, at: &Settings) -> String {
    let rules: Option<Rules> = many_rules(report).then_some(at.rules);
    let second = report.swept.get(1);
    let parts = rules
        .map(|rules| rules.to_string())
        .into_iter()
        .chain(second.map(|axis| format!("{axis} {}", value(*axis, at))));
    let name = parts.collect::<Vec<_>>().join(", ");
    if name.is_empty() {
        at.rules.to_string()
    } else {
        name
    }
}
