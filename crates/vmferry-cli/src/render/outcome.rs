//! Forecast beside outcome.

use vmferry::core::{Forecast, Outcome};
use vmferry::document::MigrateReport;

use super::{cells, or_dash, table as new_table, text};

/// The answer of `migrate`.
pub(crate) fn table(report: &MigrateReport) -> String {
    let Some(outcome) = &report.outcome else {
        return format!("nothing was moved: {}", report.place);
    };
    beside(report.forecast.as_ref(), outcome)
}

/// A forecast, where there is one, beside an outcome.
pub(crate) fn beside(forecast: Option<&Forecast>, outcome: &Outcome) -> String {
    let mut rows = new_table(&["", "p5", "forecast", "p95", "outcome"]);
    let mut row = |name: &str, cells: [String; 3], measured: String| {
        let [a, b, c] = cells;
        rows.add_row(vec![name.to_owned(), a, b, c, measured]);
    };
    row(
        "total time",
        cells(forecast.and_then(|f| f.total_time_ms)),
        or_dash(outcome.total_time_ms),
    );
    row(
        "downtime",
        cells(forecast.and_then(|f| f.downtime_ms)),
        or_dash(outcome.downtime_ms),
    );
    row(
        "QEMU's downtime",
        cells(forecast.and_then(|f| f.qemu_downtime_ms)),
        or_dash(outcome.qemu_downtime_ms),
    );
    row(
        "transferred",
        cells(forecast.and_then(|f| f.transferred_bytes)),
        or_dash(outcome.transferred_bytes),
    );
    row(
        "on the wire",
        cells(forecast.and_then(|f| f.wire_bytes)),
        or_dash(outcome.wire_bytes),
    );
    row(
        "slowdown",
        cells(forecast.and_then(|f| f.slowdown)),
        or_dash(outcome.slowdown),
    );
    row(
        "passes",
        cells(forecast.and_then(|f| f.passes).map(|i| i.map(f64::round))),
        or_dash(outcome.passes),
    );
    let status = format!("{:?}", outcome.status).to_lowercase();
    let error = outcome
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!("\nbecause: {error}"));
    format!("{status}: {}{error}\n{}", outcome.place, text(&rows))
}
