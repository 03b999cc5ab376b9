//! An observation for people.

use std::time::Duration;

use vmferry::core::{Analysis, Millis, Stationarity};
use vmferry::document::MeasureReport;

use super::{or_dash, table as new_table, text};

/// The answer of `measure`.
pub(crate) fn table(report: &MeasureReport) -> String {
    let seen = &report.observation;
    let mut out = format!(
        "guest        {} ({})\nmigrates     {} in {} blocks\nzero pages   {}{}\nvirtual CPUs {} used\nobserved     {} of {} pages in {} looks, {} of a core\n",
        seen.guest.label(),
        or_dash(seen.guest.accelerator.as_ref()),
        seen.page_mix.total_pages.bytes(),
        seen.guest.ram_blocks.len(),
        or_dash(seen.page_mix.zero),
        if seen.page_mix.exact {
            " (counted)"
        } else {
            " (estimated)"
        },
        or_dash(seen.vcpu_use),
        seen.window_ms,
        seen.cost.pages.0,
        seen.cost.looks,
        seen.cost.cpu,
    );
    if let Some(analysis) = &report.analysis {
        out.push_str(&way_of_writing(analysis));
    }
    let mut rows = new_table(&["window", "dirtied", "+-", "dirty rate"]);
    let mut next = 0.0;
    for point in &seen.dirty_curve.points {
        // One line for each doubling of the window is enough for people.
        if point.window_ms.0 < next {
            continue;
        }
        next = point.window_ms.0 * 1.9;
        let window: Duration = point.window_ms.duration();
        let rate = point.dirtied_bytes / window;
        rows.add_row(vec![
            Millis::from(window).to_string(),
            point.dirtied_bytes.to_string(),
            point.standard_error_bytes.to_string(),
            format!("{:.1} MiB/s", rate.0 / 1_048_576.0),
        ]);
    }
    out.push_str(&text(&rows));
    for note in &seen.notes {
        out.push_str(&format!("\nnote: {note}"));
    }
    out
}

/// Working set, period and stationarity, a line each.
fn way_of_writing(analysis: &Analysis) -> String {
    let unknown = |why: &Option<String>| format!("unknown: {}", or_dash(why.as_ref()));
    let working_set = match (analysis.working_set_bytes, analysis.working_set_reached_ms) {
        (Some(size), Some(reached)) => format!(
            "{size} +- {}, reached after {reached}",
            or_dash(analysis.working_set_standard_error_bytes)
        ),
        _ => unknown(&analysis.working_set_unknown),
    };
    let period = match (analysis.period_ms, analysis.period_autocorrelation) {
        (Some(period), Some(r)) => format!("{period} (autocorrelation {r:.2})"),
        _ => "none seen at least three times".to_owned(),
    };
    let stationarity = match (&analysis.stationarity_unknown, analysis.trend_bytes_per_s2) {
        (Some(_), _) => unknown(&analysis.stationarity_unknown),
        (None, Some(trend)) if analysis.stationarity == Stationarity::Drifting => format!(
            "{}, {:+.2} MiB/s every second",
            analysis.stationarity,
            trend / 1_048_576.0
        ),
        (None, _) => analysis.stationarity.to_string(),
    };
    format!("working set  {working_set}\nperiod       {period}\nstationarity {stationarity}\n")
}
