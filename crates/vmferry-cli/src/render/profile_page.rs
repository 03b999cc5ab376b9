//! A profile of migration time against CPU as a page of Markdown: every table
//! beside its drawing.

use std::fmt::Display;
use std::path::Path;

use vmferry::core::Ratio;
use vmferry::model::cpu_profile::{CapPoint, Caps, Goodness, GuestProfile, LawFit, Sweep};
use vmferry::profiling::ProfileCpuReport;

use super::or_dash;
use super::profile_cpu::{best_at_once, formula, knee};

/// The page. `measured` is the file of what was measured, `directory` where all
/// of it is written.
pub(crate) fn markdown(
    report: &ProfileCpuReport,
    drawing: &str,
    measured: &Path,
    directory: &Path,
) -> String {
    let sections = [
        head(report, measured, directory),
        in_short(&report.goodness),
        format!("![Time against cap, with fit and knee]({drawing})"),
        laws(report),
        unseen(report),
        both_ends(report),
        at_once(report),
        verified(report),
        not_converged(report),
    ];
    let filled: Vec<String> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    filled.join("\n\n") + "\n"
}

fn head(report: &ProfileCpuReport, measured: &Path, directory: &Path) -> String {
    let validity = &report.validity;
    format!(
        "# Migration time against the CPU given to the migration\n\n\
         Written by `vmferry profile cpu --report`; again, without measuring, by `vmferry profile cpu --from {} --report {}`.\n\n\
         {} migrations under caps and {} rounds of several at once, until {}; {} {}, {}, {} x {}, link {}.",
        measured.display(),
        directory.display(),
        report.points.len(),
        report.at_once.len(),
        report.made_at.strftime("%Y-%m-%d %H:%M UTC"),
        validity.source.hypervisor,
        or_dash(validity.source.hypervisor_version.as_deref()),
        or_dash(validity.accelerator.as_deref()),
        or_dash(validity.cpus),
        or_dash(validity.cpu_model.as_deref()),
        validity
            .link_rate
            .map_or_else(|| "not shaped".to_owned(), |rate| rate.to_string()),
    )
}

fn in_short(goodness: &Goodness) -> String {
    let percent = |value: Option<f64>| or_dash(value.map(Ratio));
    let rows = [
        [
            "laws with R² >= 0.95, or a typical residual <= 3 % where time varies < 20 %"
                .to_owned(),
            "all".to_owned(),
            format!("{} of {}", goodness.good_laws, goodness.laws),
        ],
        [
            "least R² where time varies by 20 % or more".to_owned(),
            "0.95".to_owned(),
            or_dash(goodness.least_r_squared.map(|r| format!("{r:.4}"))),
        ],
        [
            "largest typical residual where it varies by less".to_owned(),
            "3 %".to_owned(),
            percent(goodness.largest_flat_residual),
        ],
        [
            format!("error on {} unseen times, median", goodness.unseen),
            "5 %".to_owned(),
            percent(goodness.unseen_median_error),
        ],
        [
            "the same, 90th percentile".to_owned(),
            "15 %".to_owned(),
            percent(goodness.unseen_p90_error),
        ],
        [
            "error of estimates of several at once, median".to_owned(),
            "10 %".to_owned(),
            percent(goodness.parallel_median_error),
        ],
    ];
    table(&["figure", "aim", "measured"], rows)
}

/// A guest, an end and its sweep.
fn sweeps(report: &ProfileCpuReport) -> impl Iterator<Item = (String, &'static str, &Sweep)> {
    report.profile.guests.iter().flat_map(|guest| {
        let ends = [
            ("source", &guest.source),
            ("destination", &guest.destination),
        ];
        ends.into_iter()
            .filter_map(move |(end, sweep)| Some((name(guest), end, sweep.as_ref()?)))
    })
}

fn name(guest: &GuestProfile) -> String {
    format!("{} {:.0} %", guest.guest, guest.intensity.percent())
}

fn laws(report: &ProfileCpuReport) -> String {
    let row = |(guest, end, sweep): (String, &'static str, &Sweep)| {
        let fit: &LawFit = &sweep.time;
        let exponent = fit
            .exponent_interval
            .map(|(least, most)| format!("{least:.2} to {most:.2}"));
        [
            guest,
            end.to_owned(),
            formula(fit),
            or_dash(exponent),
            knee(fit),
            or_dash(fit.r_squared.map(|r| format!("{r:.4}"))),
            Ratio(fit.residual_sd).to_string(),
            Ratio(fit.worst_residual).to_string(),
            Ratio(fit.variation).to_string(),
            if fit.is_good() { "yes" } else { "no" }.to_owned(),
        ]
    };
    format!(
        "## Laws\n\nTime in s by the share x of one CPU that the threads at one end get, the other end uncapped. Of a power law \
         and one with a plateau above a knee the one is taken that forecasts each cap better from all others. R² is that of \
         the logarithms, intervals hold 90 %.\n\n{}",
        table(
            &[
                "guest",
                "capped at",
                "time, s",
                "exponent",
                "knee",
                "R²",
                "typical residual",
                "worst",
                "time varies by",
                "good",
            ],
            sweeps(report).map(row),
        )
    )
}

fn unseen(report: &ProfileCpuReport) -> String {
    let rows = sweeps(report).filter_map(|(guest, end, sweep)| {
        let made = sweep.evaluation.as_ref()?;
        let caps: Vec<String> = made.trained_on.iter().map(|cap| share(*cap)).collect();
        Some([
            guest,
            end.to_owned(),
            caps.join(", "),
            formula(&made.fit),
            made.unseen.len().to_string(),
            Ratio(made.median_error).to_string(),
            Ratio(made.p90_error).to_string(),
        ])
    });
    format!(
        "## Caps that the law had not seen\n\nTrained on five evenly picked caps, forecast at all others (`dom0cpu` section 4E).\n\n{}",
        table(
            &[
                "guest",
                "capped at",
                "trained on, %",
                "time, s",
                "unseen",
                "median error",
                "90 %",
            ],
            rows,
        )
    )
}

fn both_ends(report: &ProfileCpuReport) -> String {
    let mut parts = Vec::new();
    for guest in &report.profile.guests {
        let paired = |point: &&CapPoint| {
            let caps = point.caps;
            (point.guest, point.intensity) == (guest.guest, guest.intensity)
                && caps.source.is_some()
                && caps.destination.is_some()
        };
        let row = |point: &CapPoint| {
            let Caps {
                source: Some(source),
                destination: Some(destination),
            } = point.caps
            else {
                return None;
            };
            let (measured, surface) = (point.stream_rate()?, guest.rate_under(point.caps)?);
            Some([
                share(source),
                share(destination),
                or_dash(point.total_time_ms),
                measured.to_string(),
                surface.to_string(),
                format!("{:+.1} %", (surface.0 / measured.0 - 1.0) * 100.0),
            ])
        };
        let rows: Vec<[String; 6]> = report
            .points
            .iter()
            .filter(paired)
            .filter_map(row)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let how = guest.rate.steepness.map_or_else(
            || "the slower end sets the rate".to_owned(),
            |p| format!("the ends wait for each other, p = {p}"),
        );
        parts.push(format!(
            "The surface of the {} guest: {how}; typical error {} over {} pairs.\n\n{}",
            name(guest),
            or_dash(guest.rate.pairs_error.map(Ratio)),
            guest.rate.pairs,
            table(
                &[
                    "source, %",
                    "destination, %",
                    "time",
                    "stream",
                    "surface",
                    "error",
                ],
                rows,
            )
        ));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!("## Caps at both ends\n\n{}", parts.join("\n\n"))
}

fn at_once(report: &ProfileCpuReport) -> String {
    if report.parallel.is_empty() {
        return String::new();
    }
    let rows = report.parallel.iter().map(|check| {
        [
            check.guests.to_string(),
            check.makespan_ms.to_string(),
            check.estimated_ms.to_string(),
            format!("{:+.1} %", check.error.percent()),
            check.least_ms.to_string(),
            or_dash(check.cpu_ms),
            or_dash(check.least_cpu_ms),
        ]
    });
    let mut text = format!(
        "## Several at once\n\nQuiet guests moved at once, uncapped: until the last has ended, as measured, as estimated by \
         sharing CPU and link, and no less than one alone takes; CPU time of all threads that send and load, and no less \
         than that many times what one alone uses.\n\n{}",
        table(
            &[
                "guests",
                "measured",
                "estimated",
                "error",
                "at least",
                "CPU used",
                "CPU at least",
            ],
            rows,
        )
    );
    if let Some(best) = report.best_at_once {
        text.push_str(&format!("\n\nOf many guests, the {}.", best_at_once(best)));
    }
    text
}

/// How much of every cap was used.
fn verified(report: &ProfileCpuReport) -> String {
    type End = fn(&CapPoint) -> (Option<Ratio>, Option<Ratio>);
    let ends: [(&str, End); 2] = [
        ("source", |p| (p.caps.source, p.source_use)),
        ("destination", |p| (p.caps.destination, p.destination_use)),
    ];
    let mut rows = Vec::new();
    for (end, of) in ends {
        let mut caps: Vec<f64> = report
            .points
            .iter()
            .filter_map(|point| Some(of(point).0?.0))
            .collect();
        caps.sort_by(f64::total_cmp);
        caps.dedup();
        for cap in caps {
            let (mut least, mut most, mut count) = (f64::INFINITY, 0.0_f64, 0);
            for point in &report.points {
                if let (Some(Ratio(at)), Some(Ratio(used))) = of(point)
                    && at == cap
                {
                    (least, most, count) = (least.min(used), most.max(used), count + 1);
                }
            }
            if count > 0 {
                rows.push([
                    end.to_owned(),
                    share(Ratio(cap)),
                    count.to_string(),
                    Ratio(least).to_string(),
                    Ratio(most).to_string(),
                ]);
            }
        }
    }
    format!(
        "## Caps, and what was used\n\nShare of one CPU that the capped threads really used, by the kernel's own accounts. A \
         cap that is not used up does not limit.\n\n{}",
        table(&["end", "cap, %", "moves", "least used", "most used"], rows)
    )
}

fn not_converged(report: &ProfileCpuReport) -> String {
    let lines: Vec<String> = sweeps(report)
        .filter(|(.., sweep)| !sweep.not_converged.is_empty())
        .map(|(guest, end, sweep)| {
            let caps: Vec<String> = sweep.not_converged.iter().map(|cap| share(*cap)).collect();
            format!("- {guest}, capped at the {end}: {} %", caps.join(", "))
        })
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "## Not over in time\n\nMoves that had not ended after {}, by their caps; no law counts them.\n\n{}",
        report.settings.limit_ms,
        lines.join("\n")
    )
}

/// A share as a bare percentage.
fn share(share: Ratio) -> String {
    format!("{:.0}", share.percent())
}

fn table<const N: usize, T: Display>(
    header: &[&str; N],
    rows: impl IntoIterator<Item = [T; N]>,
) -> String {
    let mut lines = vec![
        format!("| {} |", header.join(" | ")),
        format!("|{}", "---|".repeat(N)),
    ];
    for row in rows {
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::cap_curves::tests::report;
    use vmferry::core::{Bytes, Millis};
    use vmferry::model::cpu_profile::{BestAtOnce, ParallelCheck};

    #[test]
    fn the_page_tells_what_was_asked_and_measured() {
        let mut report = report();
        let paired = CapPoint {
            caps: Caps::at_both(Ratio(0.3), Ratio(0.2)),
            total_time_ms: Some(Millis(8000.0)),
            transferred_bytes: Some(Bytes::from_mib(1024)),
            source_use: Some(Ratio(0.04)),
            ..report.points[0].clone()
        };
        report.points.push(paired);
        report.parallel = vec![ParallelCheck {
            guests: 2,
            makespan_ms: Millis(4000.0),
            estimated_ms: Millis(4200.0),
            least_ms: Millis(3000.0),
            error: Ratio(0.05),
            cpu_ms: Some(Millis(3500.0)),
            least_cpu_ms: None,
        }];
        report.best_at_once = BestAtOnce::of(&report.parallel);
        report.goodness = Goodness::of(&report.profile, &report.parallel);
        let page = markdown(
            &report,
            "time.svg",
            Path::new("docs/cpu/measured.json"),
            Path::new("docs/cpu"),
        );
        for part in [
            "--from docs/cpu/measured.json --report docs/cpu`",
            "![Time against cap, with fit and knee](time.svg)",
            "| 1 of 1 |",
            "| cpu 100 % | destination | 1.",
            "min(x, knee)^-",
            "| 10, 30, 60, 80, 100 |",
            "| 2 | 4.00 s | 4.20 s | +5.0 % | 3.00 s | 3.50 s | - |",
            "best number at once: 2 as measured, 2 as estimated",
            "| source | 30 | 1 | 4.0 % | 4.0 % |",
        ] {
            assert!(page.contains(part), "{part} is missing:\n{page}");
        }
        // The source alone was not profiled: a pair has no surface.
        assert!(!page.contains("## Caps at both ends"));
        // Every row has as many cells as its header.
        for block in page.split("\n\n").filter(|block| block.starts_with('|')) {
            let cells = |line: &str| line.matches('|').count();
            let first = block.lines().next().map(cells);
            assert!(
                block.lines().all(|line| Some(cells(line)) == first),
                "{block}"
            );
        }
    }
}
