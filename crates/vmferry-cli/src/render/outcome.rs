//! Forecast beside outcome.

use vmferry::core::{Forecast, Outcome};
use vmferry::document::MigrateReport;
use vmferry::energy::EnergyForecast;

use super::quantities::quantities;
use super::{cells, energy, promise, table as new_table, text};

/// The answer of `migrate`.
pub(crate) fn table(report: &MigrateReport) -> String {
    let Some(outcome) = &report.outcome else {
        return format!("nothing was moved: {}", report.place);
    };
    let mut told = rows(report.forecast.as_ref(), report.energy.as_ref(), outcome);
    if report.forecast.is_some() {
        told = format!("{told}\n{}", energy::lines(report.energy.as_ref()));
    }
    match promise::kept(report) {
        Some(kept) => format!("{told}\n{kept}"),
        None => told,
    }
}

/// A forecast, where there is one, beside an outcome.
pub(crate) fn beside(forecast: Option<&Forecast>, outcome: &Outcome) -> String {
    rows(forecast, None, outcome)
}

fn rows(forecast: Option<&Forecast>, energy: Option<&EnergyForecast>, outcome: &Outcome) -> String {
    let mut rows = new_table(&["", "p5", "forecast", "p95", "outcome"]);
    for quantity in quantities(forecast, Some(outcome)) {
        let [p5, p50, p95] = quantity.forecast;
        rows.add_row([quantity.name, &p5, &p50, &p95, &quantity.outcome]);
    }
    if let Some(energy) = energy {
        let [p5, p50, p95] = cells(energy.energy_j);
        rows.add_row(["energy", &p5, &p50, &p95, "-"]);
    }
    let status = format!("{:?}", outcome.status).to_lowercase();
    let error = outcome
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!("\nbecause: {error}"));
    format!("{status}: {}{error}\n{}", outcome.place, text(&rows))
}
