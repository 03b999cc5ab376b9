//! The demonstration for people: forecast beside outcome.

use vmferry::core::{Interval, Millis, Outcome};
use vmferry::demo::{DemoReport, DemoRow};

use super::{or_dash, promise, remedy, table as new_table, text};

/// One row on the way.
pub(crate) fn row(row: &DemoRow) -> String {
    let promised = row.promise.as_ref();
    let total = promised.map_or(row.forecast.total_time_ms, |p| p.total_time_ms);
    match &row.outcome {
        None => format!("{}: not expected to converge; nothing was moved", row.guest),
        Some(outcome) => format!(
            "{}: forecast {}, took {}; {}",
            row.guest,
            or_dash(total.map(|i| i.p50)),
            or_dash(outcome.total_time_ms),
            outcome.place
        ),
    }
}

/// The answer of `testbed demo`.
pub(crate) fn table(report: &DemoReport) -> String {
    let mut rows = new_table(&[
        "guest",
        "limit",
        "converges",
        "total time",
        "outcome",
        "downtime",
        "outcome",
        "transferred",
        "outcome",
        "passes",
        "outcome",
        "work lost",
    ]);
    for row in &report.rows {
        let f = &row.forecast;
        let o = row.outcome.as_ref();
        // Who is held back by a cap is not what the plain forecast speaks of.
        let promised = row.promise.as_ref();
        let (converges, total, downtime) = promised.map_or(
            (f.converges_probability, f.total_time_ms, f.downtime_ms),
            |p| (p.kept_probability, p.total_time_ms, p.downtime_ms),
        );
        let (transferred, passes) = match promised {
            Some(_) => (None, None),
            None => (f.transferred_bytes, f.passes),
        };
        rows.add_row(vec![
            row.guest.clone(),
            row.max_downtime_ms.to_string(),
            format!("{:.0} %", converges * 100.0),
            span(total),
            o.map_or_else(|| "not moved".to_owned(), |o| or_dash(o.total_time_ms)),
            span(downtime),
            measured(o, |o| or_dash(o.downtime_ms)),
            or_dash(transferred.map(|i| i.p50)),
            measured(o, |o| or_dash(o.transferred_bytes)),
            passes.map_or_else(|| "-".to_owned(), |i| format!("{:.0}..{:.0}", i.p5, i.p95)),
            measured(o, |o| or_dash(o.passes)),
            or_dash(row.guest_slowdown),
        ]);
    }
    let mut out = format!(
        "five guests over {:.0} Mbit/s, {}; forecast p50 (p5..p95) beside outcome\n\n{}",
        report.rate_bytes_per_s * 8.0 / 1e6,
        report.accelerator,
        text(&rows)
    );
    for row in report.rows.iter().filter(|row| row.outcome.is_none()) {
        out.push_str(&format!("\n\n{} would converge with any one of", row.guest));
        for found in &row.forecast.remedies {
            out.push_str(&format!("\n  {}", remedy::line(found)));
        }
    }
    for row in &report.rows {
        if let (Some(promised), Some(outcome)) = (&row.promise, &row.outcome) {
            out.push_str(&format!(
                "\n\n{} under a promise ({}, --policy {}): {}; {}",
                row.guest,
                row.max_downtime_ms,
                promised.promise.policy,
                promise::means(promised),
                outcome.place
            ));
        }
    }
    out
}

fn measured(outcome: Option<&Outcome>, pick: impl Fn(&Outcome) -> String) -> String {
    outcome.map_or_else(|| "-".to_owned(), pick)
}

fn span(interval: Option<Interval<Millis>>) -> String {
    interval.map_or_else(
        || "-".to_owned(),
        |i| format!("{} ({}..{})", i.p50, i.p5, i.p95),
    )
}
