//! Migration time against the cap on the migration's CPU, as SVG: a panel for
//! every guest, measurements, law and knee at either end.

use plotters::coord::Shift;
use plotters::prelude::*;
use vmferry::core::Ratio;
use vmferry::model::cpu_profile::{GuestProfile, LawFit, Sweep};
use vmferry::profiling::ProfileCpuReport;

const WIDTH: u32 = 900;
const HEAD: u32 = 44;
const PANEL: u32 = 340;
const FAINT: RGBColor = RGBColor(110, 110, 110);
const ENDS: [(&str, RGBColor); 2] = [
    ("source", RGBColor(0, 90, 160)),
    ("destination", RGBColor(200, 80, 0)),
];
/// Points of a drawn law.
const STEPS: i32 = 160;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The drawing; self-contained.
pub(crate) fn svg(report: &ProfileCpuReport) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(report: &ProfileCpuReport, text: &mut String) -> Drawn {
    let guests = &report.profile.guests;
    let panels = u32::try_from(guests.len())?;
    let size = (WIDTH, HEAD + PANEL * panels);
    let root = SVGBackend::with_string(text, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let title = format!(
        "Migration time against the CPU given to the migration, {} migrations",
        report.points.len()
    );
    head.draw_text(&title, &font(20), (16, 12))?;
    for (area, guest) in body.split_evenly((guests.len(), 1)).iter().zip(guests) {
        panel(area, guest)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, guest: &GuestProfile) -> Drawn {
    let sweeps: Vec<(&str, RGBColor, &Sweep)> = ENDS
        .into_iter()
        .zip([&guest.source, &guest.destination])
        .filter_map(|((end, color), sweep)| Some((end, color, sweep.as_ref()?)))
        .collect();
    let measured = || sweeps.iter().flat_map(|(.., sweep)| &sweep.time.residuals);
    let bounds = |of: fn(&vmferry::model::cpu_profile::Residual) -> f64| {
        measured().fold((f64::INFINITY, 0_f64), |(least, most), one| {
            (least.min(of(one)), most.max(of(one)))
        })
    };
    let ((least_cap, _), (least, most)) =
        (bounds(|one| one.cap.percent()), bounds(|one| one.measured));
    if !least.is_finite() {
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{}-intensive guest ({})", guest.guest, guest.intensity),
            font(17),
        )
        .margin(10)
        .margin_right(28)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (least_cap / 1.1..110.0).log_scale(),
            (least / 1.3..most * 1.3).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.3))
        .axis_style(FAINT)
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_desc("cap, % of one CPU")
        .y_desc("time, s")
        .x_label_formatter(&|cap| format!("{cap:.0}"))
        .y_label_formatter(&|time| format!("{time:.*}", usize::from(*time < 10.0)))
        .draw()?;
    for (end, color, sweep) in sweeps {
        let fit = &sweep.time;
        let points = fit
            .residuals
            .iter()
            .map(|one| (one.cap.percent(), one.measured));
        chart
            .draw_series(points.map(|at| Circle::new(at, 4, color.filled())))?
            .label(format!("measured, capped at the {end}"))
            .legend(move |(x, y)| Circle::new((x + 12, y), 4, color.filled()));
        chart
            .draw_series(LineSeries::new(
                curve(fit, least_cap),
                color.stroke_width(2),
            ))?
            .label(words(fit))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2)));
        if let Some(knee) = fit.law.knee {
            let line = [
                (knee.percent(), least / 1.3),
                (knee.percent(), fit.law.at(knee)),
            ];
            chart
                .draw_series(DashedLineSeries::new(line, 5, 5, color.stroke_width(1)))?
                .label(format!("knee at {knee}"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.mix(0.5)));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(font(13))
        .legend_area_size(34)
        .background_style(WHITE.mix(0.85))
        .border_style(FAINT.mix(0.4))
        .draw()?;
    Ok(())
}

/// The law, evenly spaced in the logarithm.
fn curve(fit: &LawFit, from: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
    (0..=STEPS).map(move |n| {
        let cap = from * (100.0 / from).powf(f64::from(n) / f64::from(STEPS));
        (cap, fit.law.at(Ratio(cap / 100.0)))
    })
}

fn words(fit: &LawFit) -> String {
    let goodness = fit
        .r_squared
        .map_or_else(String::new, |r| format!(", R^2 {r:.3}"));
    format!("{:.2} x^{:.2}{goodness}", fit.law.scale, fit.law.exponent)
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use vmferry::core::{Bytes, HostInfo, Millis};
    use vmferry::document::Versions;
    use vmferry::model::cpu_profile::{CapPoint, Caps, CpuProfile, Goodness, Intensive};
    use vmferry::profiling::{ProfileSettings, Validity};

    /// 1 GiB; half a CPU loads as fast as anything else is.
    pub(crate) fn report() -> ProfileCpuReport {
        let points: Vec<CapPoint> = (1..=10)
            .map(|n| {
                let cap = f64::from(n) / 10.0;
                let seconds = 1.5 / cap.min(0.5) * if n % 2 == 0 { 1.01 } else { 0.99 };
                CapPoint {
                    guest: Intensive::Cpu,
                    intensity: Ratio(1.0),
                    caps: Caps::at_destination(Ratio(cap)),
                    capped_after_ms: None,
                    total_time_ms: Some(Millis(seconds * 1e3)),
                    downtime_ms: None,
                    transferred_bytes: Some(Bytes::from_mib(1024)),
                    source_use: None,
                    destination_use: Some(Ratio(cap.min(0.5))),
                }
            })
            .collect();
        ProfileCpuReport {
            versions: Versions::default(),
            made_at: "2026-01-01T00:00:00Z".parse().expect("an instant"),
            validity: Validity {
                source: HostInfo::default(),
                destination: HostInfo::default(),
                cpu_model: None,
                cpus: Some(2),
                accelerator: Some("tcg".into()),
                link_rate: None,
            },
            settings: ProfileSettings::default(),
            profile: CpuProfile::fit(&points),
            parallel: Vec::new(),
            best_at_once: None,
            goodness: Goodness::default(),
            points,
            at_once: Vec::new(),
        }
    }

    #[test]
    fn draws_measurements_law_and_knee() {
        let drawing = svg(&report()).expect("a drawing");
        for part in [
            "<svg ",
            "</svg>",
            "10 migrations",
            "cpu-intensive guest (100.0 %)",
            "cap, % of one CPU",
            "measured, capped at the destination",
            "knee at 5",
            "x^-1.0",
        ] {
            assert!(drawing.contains(part), "{part} is missing");
        }
        // Nobody profiled the source.
        assert!(!drawing.contains("at the source"));
        assert_eq!(drawing.matches("http").count(), 1);
    }

    #[test]
    fn the_table_tells_the_same() {
        let table = super::super::profile_cpu::table(&report());
        for part in ["min(x, knee)^-", "destination", "0.99", "tcg", "not shaped"] {
            assert!(table.contains(part), "{part} is missing:\n{table}");
        }
    }
}
