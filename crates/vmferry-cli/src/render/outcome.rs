//! Forecast beside outcome.

use vmferry::core::{Forecast, Outcome};
use vmferry::document::MigrateReport;

use super::quantities::quantities;
use super::{promise, table as new_table, text};

/// The answer of `migrate`.
pub(crate) fn table(report: &MigrateReport) -> String {
    let Some(outcome) = &report.outcome else {
        return format!("nothing was moved: {}", report.place);
    };
    let told = beside(report.forecast.as_ref(), outcome);
    match promise::kept(report) {
        Some(kept) => format!("{told}\n{kept}"),
        None => told,
    }
}

/// A forecast, where there is one, beside an outcome.
pub(crate) fn beside(forecast: Option<&Forecast>, outcome: &Outcome) -> String {
    let mut rows = new_table(&["", "p5", "forecast", "p95", "outcome"]);
    for quantity in quantities(forecast, Some(outcome)) {
        let [p5, p50, p95] = quantity.forecast;
        rows.add_row([quantity.name, &p5, &p50, &p95, &quantity.outcome]);
    }
    let status = format!("{:?}", outcome.status).to_lowercase();
    let error = outcome
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!("\nbecause: {error}"));
    format!("{status}: {}{error}\n{}", outcome.place, text(&rows))
}
