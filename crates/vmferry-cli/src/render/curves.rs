//! An observation as a drawing: three panels in one SVG.

use std::ops::Range;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use vmferry::core::{Analysis, Bytes, CurvePoint};
use vmferry::document::MeasureReport;

const SIZE: (u32, u32) = (960, 1140);
const TITLE: u32 = 44;
const SEEN: RGBColor = RGBColor(0, 90, 160);
const FITTED: RGBColor = RGBColor(200, 80, 0);
const MARK: RGBColor = RGBColor(150, 0, 60);
const FAINT: RGBColor = RGBColor(120, 120, 120);

/// How far the fitted curve is drawn, in windows.
const BEYOND: f64 = 2.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The drawing; self-contained.
pub(crate) fn svg(report: &MeasureReport) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(report: &MeasureReport, text: &mut String) -> Drawn {
    let seen = &report.observation;
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(TITLE);
    let title = format!(
        "{}: {} watched for {}, {} pages",
        seen.guest.label(),
        seen.page_mix.total_pages.bytes(),
        seen.window_ms,
        seen.cost.pages.0
    );
    head.draw_text(&title, &font(20).color(&BLACK), (16, 12))?;
    let nothing = Analysis::default();
    let analysis = report.analysis.as_ref().unwrap_or(&nothing);
    let panels = body.split_evenly((3, 1));
    dirty_curve(&panels[0], &seen.dirty_curve.points, analysis)?;
    over_time(&panels[1], analysis)?;
    peeks(&panels[2], analysis)?;
    root.present()?;
    Ok(())
}

/// U(t) with its standard error, and the fitted curve beyond the window.
fn dirty_curve(area: &Area<'_>, points: &[CurvePoint], analysis: &Analysis) -> Drawn {
    let caption = "Unique memory dirtied within a window of that length, U(t)";
    let Some(last) = points.last() else {
        return empty(area, caption, "nothing was measured");
    };
    let end = seconds(last) * BEYOND;
    let fitted: Vec<(f64, f64)> = analysis
        .fitted_curve
        .iter()
        .flat_map(|curve| {
            (0..=200).map(move |i| {
                let t = end * f64::from(i) / 200.0;
                (t, curve.dirtied_in(Duration::from_secs_f64(t)).as_mib())
            })
        })
        .collect();
    let band = |sign: f64| {
        points.iter().map(move |p| {
            let mib = p.dirtied_bytes.as_mib() + sign * p.standard_error_bytes.as_mib();
            (seconds(p), mib.max(0.0))
        })
    };
    let top = band(1.0).chain(fitted.iter().copied());
    let mut chart = panel(area, caption, end, highest(top), "window, s", "MiB")?;
    let outline: Vec<_> = [(0.0, 0.0)]
        .into_iter()
        .chain(band(1.0))
        .chain(band(-1.0).collect::<Vec<_>>().into_iter().rev())
        .collect();
    chart
        .draw_series([Polygon::new(outline, SEEN.mix(0.25))])?
        .label("+- one standard error")
        .legend(|(x, y)| Rectangle::new([(x, y - 4), (x + 24, y + 4)], SEEN.mix(0.25).filled()));
    let line = [(0.0, 0.0)].into_iter().chain(points.iter().map(at));
    chart
        .draw_series(LineSeries::new(line, SEEN.stroke_width(2)))?
        .label("measured")
        .legend(|(x, y)| stroke(x, y, SEEN));
    if !fitted.is_empty() {
        chart
            .draw_series(DashedLineSeries::new(fitted, 7, 5, FITTED.stroke_width(2)))?
            .label("fitted, and beyond the window")
            .legend(|(x, y)| stroke(x, y, FITTED));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

/// Memory dirtied within each half second.
fn over_time(area: &Area<'_>, analysis: &Analysis) -> Drawn {
    let caption = "Unique memory dirtied within each half second";
    let series = &analysis.dirtied_per_half_second;
    if series.is_empty() {
        return empty(
            area,
            caption,
            "the guest was not looked at twice in half a second",
        );
    }
    let errors = &analysis.dirtied_per_half_second_standard_error_bytes;
    let error = |i: usize| errors.get(i).copied().unwrap_or_default().as_mib();
    let end = series.len() as f64 * 0.5;
    let tops = series
        .iter()
        .enumerate()
        .map(|(i, d)| (0.0, d.as_mib() + error(i)));
    // Room for the legend above.
    let top = 1.3 * highest(tops);
    let mut chart = panel(area, caption, end, top, "time, s", "MiB / 0.5 s")?;
    let bars = |i: usize, from: f64, to: f64| {
        [(i as f64 * 0.5, from.max(0.0)), ((i + 1) as f64 * 0.5, to)]
    };
    chart.draw_series(series.iter().enumerate().map(|(i, dirtied)| {
        let mib = dirtied.as_mib();
        Rectangle::new(
            bars(i, mib - error(i), mib + error(i)),
            SEEN.mix(0.25).filled(),
        )
    }))?;
    let steps = series
        .iter()
        .enumerate()
        .flat_map(|(i, dirtied)| bars(i, dirtied.as_mib(), dirtied.as_mib()));
    chart
        .draw_series(LineSeries::new(steps, SEEN.stroke_width(2)))?
        .label(format!("{} (band: standard error)", analysis.stationarity))
        .legend(|(x, y)| stroke(x, y, SEEN));
    if let Some(period) = analysis.period_ms {
        // From the first whole cycle on: where in it the window began is not known.
        let marks = (1..)
            .map(|i| f64::from(i) * period.0 / 1e3)
            .take_while(|t| *t < end);
        chart
            .draw_series(marks.map(|t| PathElement::new([(t, 0.0), (t, top)], MARK.mix(0.5))))?
            .label(format!("period {period}"))
            .legend(|(x, y)| stroke(x, y, MARK));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// The peek curve with the working set.
fn peeks(area: &Area<'_>, analysis: &Analysis) -> Drawn {
    let caption = "Unique memory dirtied since the start";
    let points = &analysis.peek_curve;
    let Some(last) = points.last() else {
        return empty(area, caption, "the guest's pages were not read");
    };
    let end = seconds(last);
    let top = highest(points.iter().map(at));
    let mut chart = panel(area, caption, end, top, "time, s", "MiB")?;
    let line = [(0.0, 0.0)].into_iter().chain(points.iter().map(at));
    chart.draw_series(LineSeries::new(line, SEEN.stroke_width(2)))?;
    let set = (analysis.working_set_bytes, analysis.working_set_reached_ms);
    let label = if let (Some(size), Some(reached)) = set {
        let (t, mib) = (reached.0 / 1e3, size.as_mib());
        let guides = [vec![(0.0, mib), (t, mib)], vec![(t, 0.0), (t, mib)]];
        for guide in guides {
            chart.draw_series(DashedLineSeries::new(guide, 4, 4, MARK.stroke_width(1)))?;
        }
        chart.draw_series([Circle::new((t, mib), 5, MARK.filled())])?;
        format!("writable working set: {size}, reached after {reached}")
    } else {
        "no writable working set seen: the window is too short".to_owned()
    };
    chart
        .draw_series([Circle::new((-end, 0.0), 0, MARK)])?
        .label(label)
        .legend(|(x, y)| Circle::new((x + 12, y), 5, MARK.filled()));
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

fn panel<'a, 'b>(
    area: &'a Area<'b>,
    caption: &str,
    end: f64,
    top: f64,
    x: &str,
    y: &str,
) -> Result<Panel<'a, 'b>, Box<dyn std::error::Error>>
where
    'b: 'a,
{
    let range = |to: f64| -> Range<f64> { 0.0..to };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, font(17).color(&BLACK))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(range(end), range(top))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.3))
        .axis_style(FAINT)
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&|value| number(*value, end))
        .y_label_formatter(&|value| number(*value, top))
        .draw()?;
    Ok(chart)
}

/// As many decimals as an axis of that length needs.
fn number(value: f64, end: f64) -> String {
    let decimals = usize::from(end < 10.0) + usize::from(end < 1.0);
    format!("{value:.decimals$}")
}

fn empty(area: &Area<'_>, caption: &str, why: &str) -> Drawn {
    area.draw_text(caption, &font(17).color(&BLACK), (64, 16))?;
    area.draw_text(
        &format!("unknown: {why}"),
        &font(14).color(&FAINT),
        (64, 60),
    )?;
    Ok(())
}

fn legend<'a, 'b: 'a>(chart: &mut Panel<'a, 'b>, position: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(position)
        .label_font(font(13))
        .legend_area_size(34)
        .background_style(WHITE.mix(0.85))
        .border_style(FAINT.mix(0.4))
        .draw()?;
    Ok(())
}

fn stroke(x: i32, y: i32, color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2))
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}

fn seconds(point: &CurvePoint) -> f64 {
    point.window_ms.0 / 1e3
}

fn at(point: &CurvePoint) -> (f64, f64) {
    (seconds(point), point.dirtied_bytes.as_mib())
}

/// Top of an axis: somewhat above the highest point, at least 1 MiB.
fn highest(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    1.08 * points
        .map(|p| p.1)
        .fold(Bytes::from_mib(1).as_mib(), f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry::core::{
        DirtyCurve, GuestInfo, HostInfo, Millis, Observation, ObservationCost, ObservationMethod,
        PageMix, Pages, Ratio, Stationarity,
    };
    use vmferry::document::{ObservingOptions, Versions};

    fn report(points: Vec<CurvePoint>, analysis: Option<Analysis>) -> MeasureReport {
        MeasureReport {
            versions: Versions::default(),
            options: ObservingOptions {
                window_ms: Millis(10_000.0),
                budget: Ratio(0.2),
                pages: 4096,
            },
            analysis,
            observation: Observation {
                started_at: "2026-01-01T00:00:00Z".parse().expect("an instant"),
                method: ObservationMethod::PageHash,
                guest: GuestInfo {
                    uri: "qmp:/run/db1.qmp".parse().expect("a guest"),
                    name: Some("db<1>".into()),
                    uuid: None,
                    memory_bytes: None,
                    ram_blocks: Vec::new(),
                    vcpus: None,
                    machine: None,
                    accelerator: None,
                },
                host: HostInfo::default(),
                window_ms: Millis(10_000.0),
                window_ended_at: None,
                dirty_curve: DirtyCurve { points },
                page_mix: PageMix {
                    total_pages: Pages(1 << 17),
                    zero: None,
                    zero_standard_error: None,
                    duplicate: None,
                    compressed: None,
                    exact: false,
                },
                page_history: None,
                slow_page_history: None,
                vcpu_use: None,
                cost: ObservationCost::default(),
                notes: Vec::new(),
            },
        }
    }

    #[test]
    fn draws_what_is_known() {
        let point = |s: f64, mib| CurvePoint {
            window_ms: Millis(s * 1e3),
            dirtied_bytes: Bytes::from_mib(mib),
            standard_error_bytes: Bytes::from_mib(1),
        };
        let points = vec![point(1.0, 30), point(10.0, 64)];
        let analysis = Analysis {
            working_set_bytes: Some(Bytes::from_mib(62)),
            working_set_reached_ms: Some(Millis(4000.0)),
            stationarity: Stationarity::Drifting,
            period_ms: Some(Millis(2500.0)),
            dirtied_per_half_second: vec![Bytes::from_mib(20); 20],
            peek_curve: points.clone(),
            ..Analysis::default()
        };
        let drawing = svg(&report(points, Some(analysis))).expect("a drawing");
        for part in [
            "<svg ",
            "</svg>",
            "db&lt;1&gt;: 512 MiB watched for 10.0 s",
            "U(t)",
            "window, s",
            "MiB / 0.5 s",
            "drifting",
            "period 2.50 s",
            "writable working set: 62 MiB, reached after 4.00 s",
        ] {
            assert!(drawing.contains(part), "{part} is missing");
        }
        assert!(!drawing.contains("unknown"), "something is missing");
        // Self-contained: nothing to load but the name of the format.
        assert_eq!(drawing.matches("http").count(), 1);
    }

    #[test]
    fn says_what_is_not_known() {
        for analysis in [None, Some(Analysis::default())] {
            let drawing = svg(&report(Vec::new(), analysis)).expect("a drawing");
            assert_eq!(drawing.matches("unknown: ").count(), 3);
        }
    }
}
