//! A forecast for people.

use vmferry::core::{Forecast, PromiseForecast};
use vmferry::document::PredictReport;
use vmferry::energy::EnergyForecast;

use super::quantities::quantities;
use super::{cells, energy as energy_lines, or_dash, promise, remedy, table as new_table, text};

/// The answer of `predict`.
pub(crate) fn table(report: &PredictReport) -> String {
    let summary = &report.forecast.observation;
    let header = format!(
        "guest        {} ({} to migrate, zero pages {})\nlink         {} ({})\nobserved     {} of {} pages, {} of a core\n",
        report.guest.label(),
        summary.migrated_pages.bytes(),
        or_dash(summary.zero),
        report.link.wire_rate,
        format!("{:?}", report.link.source).to_lowercase(),
        summary.window_ms,
        summary.pages.0,
        summary.cost.cpu,
    );
    format!(
        "{header}{}",
        lines(
            &report.forecast,
            report.promise.as_ref(),
            report.energy.as_ref()
        )
    )
}

/// The forecast itself, with its energy and notes, and what becomes of a promise;
/// where none was made, remedies.
pub(crate) fn lines(
    forecast: &Forecast,
    promised: Option<&PromiseForecast>,
    energy: Option<&EnergyForecast>,
) -> String {
    let model = &forecast.model;
    let replays = match model.samples {
        0 => "a formula".to_owned(),
        n => format!("{n} replays"),
    };
    let mut out = format!(
        "model        {} ({replays} by the rules of {})\nforecast     converges within {} with probability {:.0} %\n",
        model.name,
        model.rules,
        forecast.deadline_ms,
        forecast.converges_probability * 100.0
    );
    if forecast.total_time_ms.is_some() {
        let mut rows = new_table(&["", "p5", "p50", "p95"]);
        for quantity in quantities(Some(forecast), None) {
            let [p5, p50, p95] = quantity.forecast;
            rows.add_row([quantity.name, &p5, &p50, &p95]);
        }
        if let Some(energy) = energy {
            let [p5, p50, p95] = cells(energy.energy_j);
            rows.add_row(["energy", &p5, &p50, &p95]);
        }
        out.push_str(&text(&rows));
        out.push('\n');
    }
    out.push_str(&energy_lines::lines(energy));
    out.push('\n');
    if let Some(promised) = promised {
        out.push_str(&promise::lines(promised));
        out.push('\n');
    } else if !forecast.remedies.is_empty() {
        out.push_str("it would converge with any one of\n");
        for found in &forecast.remedies {
            out.push_str(&format!("  {}\n", remedy::line(found)));
        }
    }
    for note in forecast
        .observation
        .notes
        .iter()
        .chain(&forecast.model.notes)
    {
        out.push_str(&format!("note: {note}\n"));
    }
    out.trim_end().to_owned()
}
