//! A profile of migration time against CPU, for people.

use vmferry::core::Ratio;
use vmferry::model::cpu_profile::{BestAtOnce, CapPoint, Form, LawFit, Sweep};
use vmferry::profiling::ProfileCpuReport;

use super::{or_dash, table as new_table, text};

/// One migration, in a line.
pub(crate) fn point(point: &CapPoint) -> String {
    let time = point
        .total_time_ms
        .map_or_else(|| "did not converge".to_owned(), |time| time.to_string());
    format!(
        "{} ({}), {}: {time}, stream {}, CPU used {} and {}",
        point.guest,
        point.intensity,
        point.caps,
        or_dash(point.stream_rate()),
        or_dash(point.source_use),
        or_dash(point.destination_use)
    )
}

/// The answer of `profile cpu`.
pub(crate) fn table(report: &ProfileCpuReport) -> String {
    let validity = &report.validity;
    let mut out = format!(
        "hosts        {} to {}, {} {}\nCPU          {} x {}, {}\nlink         {}\nmigrations   {}\n",
        or_dash(validity.source.hostname.as_deref()),
        or_dash(validity.destination.hostname.as_deref()),
        validity.source.hypervisor,
        or_dash(validity.source.hypervisor_version.as_deref()),
        or_dash(validity.cpus),
        or_dash(validity.cpu_model.as_deref()),
        or_dash(validity.accelerator.as_deref()),
        validity
            .link_rate
            .map_or_else(|| "not shaped".to_owned(), |rate| rate.to_string()),
        report.points.len(),
    );
    let mut rows = new_table(&[
        "guest",
        "capped at",
        "time, s, by share x of a CPU",
        "knee",
        "R^2",
        "worst",
        "unseen median",
        "p90",
    ]);
    for guest in &report.profile.guests {
        let ends = [
            ("source", &guest.source),
            ("destination", &guest.destination),
        ];
        for (end, sweep) in ends {
            let Some(sweep) = sweep else { continue };
            let mut cells = vec![
                format!("{} {}", guest.guest, guest.intensity),
                end.to_owned(),
            ];
            cells.extend(law(sweep));
            rows.add_row(cells);
        }
    }
    out.push_str(&text(&rows));
    for guest in &report.profile.guests {
        let rate = &guest.rate;
        if rate.pairs > 0 {
            out.push_str(&format!(
                "\n{} {}: under caps at both ends {}, error {} over {} pairs",
                guest.guest,
                guest.intensity,
                rate.steepness.map_or_else(
                    || "the slower end sets the rate".to_owned(),
                    |p| format!("the ends wait for each other (p = {p})")
                ),
                or_dash(rate.pairs_error.map(Ratio)),
                rate.pairs
            ));
        }
        for (end, sweep) in [
            ("source", &guest.source),
            ("destination", &guest.destination),
        ] {
            for cap in sweep.iter().flat_map(|sweep| &sweep.not_converged) {
                out.push_str(&format!(
                    "\nnote: {} {}: at a cap of {cap} at the {end} the move did not converge in time",
                    guest.guest, guest.intensity
                ));
            }
        }
    }
    for check in &report.parallel {
        out.push_str(&format!(
            "\n{} quiet guests at once: {}, estimated {} ({:+.1} %), no less than {}",
            check.guests,
            check.makespan_ms,
            check.estimated_ms,
            check.error.percent(),
            check.least_ms
        ));
    }
    if let Some(best) = report.best_at_once {
        out.push_str(&format!("\n{}", best_at_once(best)));
    }
    let goodness = &report.goodness;
    out.push_str(&format!(
        "\nof {} laws {} fit well; {} unseen times are off by {} (median) and {} (90 %); guests at once by {} (median)",
        goodness.laws,
        goodness.good_laws,
        goodness.unseen,
        or_dash(goodness.unseen_median_error.map(Ratio)),
        or_dash(goodness.unseen_p90_error.map(Ratio)),
        or_dash(goodness.parallel_median_error.map(Ratio)),
    ));
    out
}

/// How many guests to move at once.
pub(crate) fn best_at_once(best: BestAtOnce) -> String {
    format!(
        "best number at once: {} as measured, {} as estimated, with which all of many take {} longer",
        best.measured, best.estimated, best.loss
    )
}

/// A law as a formula of the share x.
pub(crate) fn formula(fit: &LawFit) -> String {
    let x = match fit.form() {
        Form::Power => "x",
        Form::Plateau => "min(x, knee)",
    };
    format!("{:.3} {x}^{:.3}", fit.law.scale, fit.law.exponent)
}

/// Its knee, with what it may be.
pub(crate) fn knee(fit: &LawFit) -> String {
    match (fit.law.knee, fit.knee_interval) {
        (Some(knee), Some((least, most))) => format!("{knee} ({least} to {most})"),
        (Some(knee), None) => knee.to_string(),
        (None, _) => "-".to_owned(),
    }
}

fn law(sweep: &Sweep) -> [String; 6] {
    let fit = &sweep.time;
    let evaluation = sweep.evaluation.as_ref();
    [
        formula(fit),
        knee(fit),
        or_dash(fit.r_squared.map(|r| format!("{r:.4}"))),
        Ratio(fit.worst_residual).to_string(),
        or_dash(evaluation.map(|made| Ratio(made.median_error))),
        or_dash(evaluation.map(|made| Ratio(made.p90_error))),
    ]
}
