//! An observation for people.

use std::time::Duration;

use vmferry::core::Millis;
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
