//! Errors over all cells, ours beside others'.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vmferry::core::{Forecast, Outcome};
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
        let near = self.near_boundary();
        let _ = writeln!(
            out,
            "{} migrations on QEMU under TCG, made and reported by `cargo xtask bench accuracy`; {near} of them over links \
             of 75 to 125 % of the rate from which on the guest converges by its forecast. Errors are \
             |forecast p50 - outcome| / outcome over the moves that converged within 60 s.\n\n\
             - *burst*: observed for 15 s within 20 % of a core; frozen before the move\n\
             - *background*: observed for 30 s within 1 % of a core, at the same time; frozen before the move\n\
             - *burst and learning*: the burst's observation with what up to 50 moves before this one taught of route and \
             hosts; made for this report, by today's model\n",
            self.records.len()
        );
        repeats(&mut out, self.records);
        for (title, set) in [
            ("Cells used for tuning", Set::Tuning),
            ("Cells held back", Set::Held),
        ] {
            let records: Vec<&Record> = self.records.iter().filter(|r| r.cell.set == set).collect();
            if !records.is_empty() {
                section(&mut out, title, &records);
            }
        }
        far_off(&mut out, self.records);
        cells(&mut out, self.records);
        out
    }

    fn near_boundary(&self) -> usize {
        let edge = |r: &&Record| r.cell.of_boundary.is_some();
        self.records.iter().filter(edge).count()
    }

    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        let rows: Vec<Value> = self
            .records
            .iter()
            .map(|record| {
                let lean = |forecast: &Forecast| Forecast {
                    remedies: Vec::new(),
                    ..forecast.clone()
                };
                let forecast = lean(&record.forecast);
                let background = record.background.as_ref().map(|b| lean(&b.forecast));
                let learned = record.learned.as_ref().map(lean);
                json!({
                    "cell": record.cell,
                    "link": record.link,
                    "forecast": forecast,
                    "background_forecast": background,
                    "boundary_mbit_per_s": record.boundary_mbit,
                    "learned_forecast": learned,
                    "repeat": record.repeat,
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

/// Forecasts of one kind.
type Said = fn(&Record) -> Option<&Forecast>;

const SAID: [(&str, Said); 3] = [
    ("burst", |r| Some(&r.forecast)),
    ("burst and learning", |r| r.learned.as_ref()),
    ("background", |r| r.background.as_ref().map(|b| &b.forecast)),
];

fn section(out: &mut String, title: &str, records: &[&Record]) {
    let converged: Vec<&Record> = records.iter().copied().filter(|r| r.converged()).collect();
    if converged.is_empty() {
        return;
    }
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
    for (kind, said) in SAID {
        let both: Vec<(&Forecast, Accuracy)> = converged
            .iter()
            .filter_map(|r| said(r).map(|f| (f, Accuracy::of(f, &r.outcome))))
            .collect();
        for (name, pick) in QUANTITIES {
            let seen: Vec<QuantityAccuracy> = both.iter().filter_map(|(_, a)| pick(a)).collect();
            if seen.is_empty() {
                continue;
            }
            let errors: Vec<f64> = seen.iter().map(|q| q.relative_error.abs()).collect();
            let covered = seen.iter().filter(|q| q.covered).count() as f64 / seen.len() as f64;
            let widths: Vec<f64> = both.iter().filter_map(|(f, _)| width(name, f)).collect();
            let name = format!("{name}, {kind}");
            row(out, &name, &errors, Some((covered, quantile(&widths, 0.5))));
        }
    }
    beside(out, &converged);
    for (kind, said) in SAID {
        absolute(out, kind, said, &converged);
        verdicts(out, kind, said, records);
    }
    out.push('\n');
}

/// What others would have said.
fn beside(out: &mut String, converged: &[&Record]) {
    let against = |pick: fn(&Record) -> Option<f64>, was: fn(&Record) -> Option<f64>| -> Vec<f64> {
        converged
            .iter()
            .filter_map(|r| Some((pick(r)?, was(r)?)))
            .map(|(said, was)| (said - was).abs() / was)
            .collect()
    };
    let total = |r: &Record| r.outcome.total_time_ms.map(|t| t.0);
    let downtime = |r: &Record| r.outcome.downtime_ms.map(|t| t.0);
    let v_r = against(others::volume_over_rate, total);
    row(out, "total time by V/R", &v_r, None);
    let v_r_d = against(others::volume_over_difference, total);
    row(out, "total time by V/(R-D)", &v_r_d, None);
    let textbook = against(others::textbook, total);
    row(out, "total time by the textbook", &textbook, None);
    let expected = against(others::expected_downtime, downtime);
    row(out, "downtime by QEMU's expected-downtime", &expected, None);
}

fn absolute(out: &mut String, kind: &str, said: Said, converged: &[&Record]) {
    let work: Vec<f64> = converged
        .iter()
        .filter_map(|r| Some((said(r)?.slowdown?.p50.0 - r.guest_slowdown?.0).abs() * 100.0))
        .collect();
    let downtime: Vec<f64> = converged
        .iter()
        .filter_map(|r| Some((said(r)?.downtime_ms?.p50.0 - r.outcome.downtime_ms?.0).abs()))
        .collect();
    if downtime.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "\nFrom the {kind}: downtime is off by {:.0} ms in the median, {:.0} ms at p90",
        quantile(&downtime, 0.5),
        quantile(&downtime, 0.9),
    );
    if !work.is_empty() {
        let _ = write!(
            out,
            "; slowdown, against the guest's own count, by {:.1} points in the median, {:.1} at p90 (n {})",
            quantile(&work, 0.5),
            quantile(&work, 0.9),
            work.len()
        );
    }
    out.push_str(".\n");
}

fn verdicts(out: &mut String, kind: &str, said: Said, records: &[&Record]) {
    let judged: Vec<(&Record, bool)> = records
        .iter()
        .filter_map(|r| {
            let right = (said(r)?.converges_probability >= 0.5) == r.converged();
            Some((*r, right))
        })
        .collect();
    if judged.is_empty() {
        return;
    }
    let all = judged.iter().filter(|(_, right)| !right).count();
    let wrong = |edge: bool| {
        let of = |(r, _): &&(&Record, bool)| r.cell.of_boundary.is_some() == edge;
        let all = judged.iter().filter(of).count();
        let wrong = judged.iter().filter(of).filter(|(_, right)| !right).count();
        format!("{wrong} of {all}")
    };
    let _ = writeln!(
        out,
        "Wrong verdicts on convergence from the {kind}: {all} of {}; {} near the boundary, {} elsewhere.",
        judged.len(),
        wrong(true),
        wrong(false)
    );
}

/// A quantity of an outcome.
type OfOutcome = fn(&Outcome) -> Option<f64>;

/// How much the same migration differs from itself.
fn repeats(out: &mut String, records: &[Record]) {
    let pairs: Vec<(&Outcome, &Outcome)> = records
        .iter()
        .filter_map(|r| Some((&r.outcome, r.converged_repeat()?)))
        .collect();
    if pairs.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "## The noise of the same migration made twice\n\n|second - first| / first over {} pairs: no forecast can do better.\n\n| | n | median | p90 |\n|---|---|---|---|",
        pairs.len()
    );
    let quantities: [(&str, OfOutcome); 3] = [
        ("total time", |o| o.total_time_ms.map(|t| t.0)),
        ("transferred", |o| o.transferred_bytes.map(|b| b.0 as f64)),
        ("downtime", |o| o.downtime_ms.map(|t| t.0)),
    ];
    for (name, of) in quantities {
        let differ: Vec<f64> = pairs
            .iter()
            .filter_map(|(first, second)| Some((of(first)?, of(second)?)))
            .map(|(first, second)| (second - first).abs() / first)
            .collect();
        let _ = writeln!(
            out,
            "| {name} | {} | {:.1} % | {:.1} % |",
            differ.len(),
            quantile(&differ, 0.5) * 100.0,
            quantile(&differ, 0.9) * 100.0
        );
    }
    out.push('\n');
}

/// The moves whose forecasts miss what is aimed at.
fn far_off(out: &mut String, records: &[Record]) {
    let off = |said: f64, was: f64| (said / was - 1.0) * 100.0;
    let mut lines = String::new();
    for r in records {
        let (f, o) = (&r.forecast, &r.outcome);
        let mut misses = Vec::new();
        if (f.converges_probability >= 0.5) != r.converged() {
            let p = f.converges_probability * 100.0;
            let did = if r.converged() { "did" } else { "did not" };
            misses.push(format!("converges with {p:.0} %, and it {did}"));
        } else if r.converged() {
            if let (Some(said), Some(was)) = (f.total_time_ms, o.total_time_ms) {
                let off = off(said.p50.0, was.0);
                if off.abs() > 8.0 {
                    misses.push(format!("total time {off:+.0} %"));
                }
            }
            if let (Some(said), Some(was)) = (f.transferred_bytes, o.transferred_bytes) {
                let off = off(said.p50.0 as f64, was.0 as f64);
                if off.abs() > 6.0 {
                    misses.push(format!("transferred {off:+.0} %"));
                }
            }
        }
        if !misses.is_empty() {
            let _ = writeln!(
                lines,
                "- {} ({:?}): {}",
                r.cell.name,
                r.cell.set,
                misses.join(", ")
            );
        }
    }
    if !lines.is_empty() {
        let _ = writeln!(
            out,
            "## Forecasts from the burst that are far off\n\nA wrong verdict, total time off by more than 8 % or traffic by more than 6 %; why, case by case, in [misses.md](misses.md).\n\n{lines}"
        );
    }
}

fn row(out: &mut String, name: &str, errors: &[f64], more: Option<(f64, f64)>) {
    if errors.is_empty() {
        return;
    }
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

fn width(name: &str, f: &Forecast) -> Option<f64> {
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
