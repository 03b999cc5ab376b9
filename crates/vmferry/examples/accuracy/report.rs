//! Errors over all cells, ours beside others'.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vmferry::model::{Accuracy, QuantityAccuracy};

use crate::cells::Set;
use crate::others;
use crate::record::Record;

/// A quantity of a forecast.
type Pick = fn(&Accuracy) -> Option<QuantityAccuracy>;

const QUANTITIES: [(&str, Pick); 4] = [
    ("total time", |a| a.total_time),
    ("transferred", |a| a.transferred),
    ("downtime", |a| a.downtime),
    ("passes", |a| a.passes),
];

pub(crate) struct Report<'a> {
    records: &'a [Record],
}

impl<'a> Report<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        Self { records }
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("# Accuracy of forecasts on real migrations\n\n");
        let _ = writeln!(
            out,
            "{} migrations on QEMU, made and reported by `cargo xtask bench accuracy`; every forecast was frozen before its move. Errors are |forecast p50 - outcome| / outcome over the moves that converged.\n",
            self.records.len()
        );
        for (title, set) in [
            ("Cells used for tuning", Set::Tuning),
            ("Cells held back", Set::Held),
        ] {
            let records: Vec<&Record> = self.records.iter().filter(|r| r.cell.set == set).collect();
            if !records.is_empty() {
                section(&mut out, title, &records);
            }
        }
        cells(&mut out, self.records);
        out
    }

    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        let rows: Vec<Value> = self
            .records
            .iter()
            .map(|record| {
                let mut forecast = record.forecast.clone();
                forecast.remedies.clear();
                json!({
                    "cell": record.cell,
                    "link": record.link,
                    "forecast": forecast,
                    "outcome": record.outcome,
                    "guest_slowdown": record.guest_slowdown,
                    "volume_over_rate_ms": others::volume_over_rate(record),
                    "volume_over_difference_ms": others::volume_over_difference(record),
                    "textbook_ms": others::textbook(record),
                    "qemu_expected_downtime_ms": others::expected_downtime(record),
                })
            })
            .collect();
        serde_json::to_string_pretty(&json!({ "schema_version": 1, "migrations": rows }))
    }
}

fn section(out: &mut String, title: &str, records: &[&Record]) {
    let converged: Vec<(&Record, Accuracy)> = records
        .iter()
        .filter(|r| r.converged())
        .map(|r| (*r, Accuracy::of(&r.forecast, &r.outcome)))
        .collect();
    let _ = writeln!(
        out,
        "## {title}\n\n{} migrations, {} converged.\n",
        records.len(),
        converged.len()
    );
    let _ = writeln!(
        out,
        "| | n | median | p90 | within p5..p95 | median width |\n|---|---|---|---|---|---|"
    );
    for (name, pick) in QUANTITIES {
        let seen: Vec<QuantityAccuracy> = converged.iter().filter_map(|(_, a)| pick(a)).collect();
        let errors: Vec<f64> = seen.iter().map(|q| q.relative_error.abs()).collect();
        let covered = seen.iter().filter(|q| q.covered).count() as f64 / seen.len().max(1) as f64;
        let widths: Vec<f64> = converged
            .iter()
            .filter_map(|(r, _)| width(name, r))
            .collect();
        row(out, name, &errors, Some((covered, quantile(&widths, 0.5))));
    }
    let against = |pick: fn(&Record) -> Option<f64>| -> Vec<f64> {
        converged
            .iter()
            .filter_map(|(r, _)| Some((pick(r)?, r.outcome.total_time_ms?.0)))
            .map(|(said, was)| (said - was).abs() / was)
            .collect()
    };
    row(
        out,
        "total time by V/R",
        &against(others::volume_over_rate),
        None,
    );
    row(
        out,
        "total time by V/(R-D)",
        &against(others::volume_over_difference),
        None,
    );
    row(
        out,
        "total time by the textbook",
        &against(others::textbook),
        None,
    );
    let expected: Vec<f64> = converged
        .iter()
        .filter_map(|(r, _)| Some((others::expected_downtime(r)?, r.outcome.downtime_ms?.0)))
        .map(|(said, was)| (said - was).abs() / was)
        .collect();
    row(out, "downtime by QEMU's expected-downtime", &expected, None);
    let work: Vec<f64> = converged
        .iter()
        .filter_map(|(r, _)| Some((r.forecast.slowdown?.p50.0 - r.guest_slowdown?.0).abs() * 100.0))
        .collect();
    let _ = writeln!(
        out,
        "\nSlowdown against the guest's own count: median error {:.1} points, p90 {:.1}, n {}.",
        quantile(&work, 0.5),
        quantile(&work, 0.9),
        work.len()
    );
    let verdicts = |records: &[&Record]| {
        let wrong = records
            .iter()
            .filter(|r| (r.forecast.converges_probability >= 0.5) != r.converged())
            .count();
        format!("{wrong} of {}", records.len())
    };
    let (edge, clear): (Vec<&Record>, Vec<&Record>) = records
        .iter()
        .copied()
        .partition(|r| r.cell.of_boundary.is_some());
    let _ = writeln!(
        out,
        "Wrong verdicts on convergence: {} ({} near the boundary, {} elsewhere).\n",
        verdicts(records),
        verdicts(&edge),
        verdicts(&clear)
    );
}

fn row(out: &mut String, name: &str, errors: &[f64], more: Option<(f64, f64)>) {
    let (covered, width) = more.map_or_else(
        || (String::new(), String::new()),
        |(covered, width)| {
            (
                format!("{:.0} %", covered * 100.0),
                format!("{:.1} %", width * 100.0),
            )
        },
    );
    let _ = writeln!(
        out,
        "| {name} | {} | {:.1} % | {:.1} % | {covered} | {width} |",
        errors.len(),
        quantile(errors, 0.5) * 100.0,
        quantile(errors, 0.9) * 100.0,
    );
}

fn width(name: &str, record: &Record) -> Option<f64> {
    let f = &record.forecast;
    let relative = |p5: f64, p50: f64, p95: f64| (p95 - p5) / p50;
    match name {
        "total time" => f.total_time_ms.map(|i| relative(i.p5.0, i.p50.0, i.p95.0)),
        "transferred" => f
            .transferred_bytes
            .map(|i| relative(i.p5.0 as f64, i.p50.0 as f64, i.p95.0 as f64)),
        "downtime" => f.downtime_ms.map(|i| relative(i.p5.0, i.p50.0, i.p95.0)),
        _ => f.passes.map(|i| relative(i.p5, i.p50, i.p95)),
    }
}

fn cells(out: &mut String, records: &[Record]) {
    out.push_str("## Every migration\n\nForecast p50 / outcome.\n\n");
    out.push_str("| cell | Mbit/s | converges | total s | downtime ms | MB sent | passes | work lost % |\n|---|---|---|---|---|---|---|---|\n");
    for r in records {
        let (f, o) = (&r.forecast, &r.outcome);
        let text = |v: Option<f64>, digits: usize| {
            v.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"))
        };
        let pair = |a: Option<f64>, b: Option<f64>, digits| {
            format!("{} / {}", text(a, digits), text(b, digits))
        };
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} % / {} | {} | {} | {} | {} | {} |",
            r.cell.name,
            r.link.wire_rate.mbit_per_s(),
            f.converges_probability * 100.0,
            if r.converged() { "yes" } else { "no" },
            pair(
                f.total_time_ms.map(|i| i.p50.0 / 1e3),
                o.total_time_ms.map(|m| m.0 / 1e3),
                2
            ),
            pair(
                f.downtime_ms.map(|i| i.p50.0),
                o.downtime_ms.map(|m| m.0),
                0
            ),
            pair(
                f.transferred_bytes.map(|i| i.p50.0 as f64 / 1e6),
                o.transferred_bytes.map(|b| b.0 as f64 / 1e6),
                1
            ),
            pair(f.passes.map(|i| i.p50), o.passes.map(|p| p as f64), 0),
            pair(
                f.slowdown.map(|i| i.p50.percent()),
                r.guest_slowdown.map(|s| s.percent()),
                1
            ),
        );
    }
}

/// A quantile of values, by the nearest rank; NaN of none.
fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => sorted[((n as f64 * q).ceil() as usize).clamp(1, n) - 1],
    }
}
