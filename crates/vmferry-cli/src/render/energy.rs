//! Energy for people.

use vmferry::core::Interval;
use vmferry::energy::{
    EnergyForecast, EnergyMeasurement, EnergyProfile, EnergyReport, HostEnergy, MeteredHosts,
};

use super::{or_dash, table as new_table, text};

/// The answer of `profile energy`.
pub(crate) fn table(report: &EnergyReport) -> String {
    let mut parts = Vec::new();
    if !report.meters.is_empty() {
        let mut rows = new_table(&["host", "draws", "scatter", "readings", "refused", "meter"]);
        for check in &report.meters {
            rows.add_row([
                check.side.name().to_owned(),
                format!("{:.1} W", check.background.power_w.0),
                format!("{:.1} W", check.background.deviation_w.0),
                check.background.samples.to_string(),
                check.refused_readings.to_string(),
                check.meter.clone(),
            ]);
        }
        parts.push(text(&rows));
    }
    if !report.measured.is_empty() {
        let mut rows = new_table(&["measured", "sent", "source", "destination", "background"]);
        for measured in &report.measured {
            rows.add_row(measured_cells(measured));
        }
        parts.push(text(&rows));
    }
    parts.extend(report.profiles.iter().map(profile));
    // A look at meters reads no history.
    if report.meters.is_empty() && (report.measurements > 0 || report.profiles.is_empty()) {
        parts.push(standing(report));
    }
    parts.join("\n")
}

fn standing(report: &EnergyReport) -> String {
    let measured = format!("{} measured moves in the history", report.measurements);
    match (report.measurements, report.profiles.is_empty()) {
        (0, true) => "no energy profile and no measured moves; see `vmferry profile energy --help`"
            .to_owned(),
        (_, true) => format!("{measured}; `vmferry profile energy --fit` makes a profile of them"),
        (_, false) => measured,
    }
}

fn measured_cells(measured: &EnergyMeasurement) -> [String; 5] {
    let energy = |host: &Option<HostEnergy>| {
        let energy = host.as_ref().map(|host| &host.energy);
        energy.map(|e| format!("{:.0} +- {:.0} J", e.energy_j.0, e.error_j.0))
    };
    let backgrounds: Vec<String> = [&measured.source, &measured.destination]
        .into_iter()
        .flatten()
        .map(|host| format!("{:.1} W", host.energy.background.power_w.0))
        .collect();
    [
        measured.guest.clone(),
        measured.transferred_bytes.to_string(),
        or_dash(energy(&measured.source)),
        or_dash(energy(&measured.destination)),
        backgrounds.join(", "),
    ]
}

fn profile(profile: &EnergyProfile) -> String {
    let fit = &profile.fit;
    let hosts = [&profile.source_host, &profile.destination_host];
    let hosts: Vec<&str> = hosts.into_iter().flatten().map(String::as_str).collect();
    let around = |i: Interval<f64>, digits: usize| {
        format!(
            "{:.digits$} ({:.digits$} to {:.digits$})",
            i.p50, i.p5, i.p95
        )
    };
    let explained = fit.r_squared.map(|r| format!("{r:.4}"));
    format!(
        "{:<12} {} by {}\n\
         alpha        {} J/MB\n\
         beta         {} J\n\
         fit          R^2 {}, residuals {:.1} J, {} moves\n",
        profile.side.name(),
        hosts.join(" > "),
        profile.meters.join(" and "),
        around(fit.alpha_j_per_mb, 3),
        around(fit.beta_j.map(|j| j.0), 1),
        or_dash(explained),
        fit.residual_deviation_j.0,
        fit.points.len(),
    )
}

/// What meters told of a move, a line for each host and meter.
pub(crate) fn metered(moves: &[EnergyMeasurement]) -> String {
    let mut lines = String::new();
    for measured in moves {
        let ends = [
            ("source", &measured.source),
            ("destination", &measured.destination),
        ];
        for (end, host) in ends {
            if let Some(host) = host {
                lines.push_str(&format!(
                    "\nenergy       {:.0} ± {:.0} J at the {end}, by {}",
                    host.energy.energy_j.0, host.energy.error_j.0, host.meter
                ));
            }
        }
    }
    lines
}

/// What a forecast says of energy beside its numbers, a line each.
pub(crate) fn lines(energy: Option<&EnergyForecast>) -> String {
    let Some(energy) = energy else {
        return "energy       no energy profile (`vmferry profile energy --help`)".to_owned();
    };
    let hosts = match energy.hosts {
        MeteredHosts::Source => "source",
        MeteredHosts::Destination => "destination",
        MeteredHosts::Both => "source and destination",
    };
    let mut lines = vec![format!(
        "energy       of {hosts}, by {}, from {} measured moves",
        energy.meters.join(" and "),
        energy.measurements
    )];
    lines.extend(energy.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry::core::Joules;

    #[test]
    fn energies_name_their_hosts_and_meters() {
        let found = EnergyForecast {
            energy_j: Some(Interval {
                p5: 400.0,
                p50: 532.0,
                p95: 700.0,
            })
            .map(|i| i.map(Joules)),
            hosts: MeteredHosts::Both,
            meters: vec!["RAPL (package-0)".to_owned(), "IPMI of 10.0.0.7".to_owned()],
            measurements: 12,
            notes: vec!["Something is in doubt.".to_owned()],
        };
        insta::assert_snapshot!(lines(Some(&found)), @r"
        energy       of source and destination, by RAPL (package-0) and IPMI of 10.0.0.7, from 12 measured moves
        note: Something is in doubt.
        ");
        insta::assert_snapshot!(lines(None), @"energy       no energy profile (`vmferry profile energy --help`)");
    }
}
