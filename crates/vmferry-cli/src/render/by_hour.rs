//! The cost of a move by the time of day, as SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use vmferry::core::Interval;
use vmferry::model::schedule::TimeCost;
use vmferry::when::report::WhenReport;

const SIZE: (u32, u32) = (900, 760);
const SEEN: RGBColor = RGBColor(31, 92, 153);
const BEST: RGBColor = RGBColor(34, 139, 34);
const FAINT: RGBColor = RGBColor(90, 90, 90);

type Drawn = Result<(), Box<dyn std::error::Error>>;
/// A cost with its interval, where that is known.
type Cost = (f64, Option<Interval<f64>>);
/// One panel: its caption, and what it shows.
type Panel = (&'static str, fn(&TimeCost) -> Option<Cost>);

const PANELS: [Panel; 3] = [
    ("Total time, s", |cost| {
        let total = cost.total_time_ms?.map(|ms| ms.0 / 1e3);
        Some((total.expected, total.expected_interval))
    }),
    ("Downtime, ms", |cost| {
        let downtime = cost.downtime_ms?.map(|ms| ms.0);
        Some((downtime.expected, downtime.expected_interval))
    }),
    ("Moves that converge, %", |cost| {
        let p = cost.converges_probability.map(|p| p * 100.0);
        Some((p.p50, Some(p)))
    }),
];

/// The drawing; self-contained.
pub(crate) fn svg(report: &WhenReport) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(report: &WhenReport, text: &mut String) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(44);
    let name = report.guest.name.as_ref().unwrap_or(&report.guest.asked);
    let title = format!(
        "{name}: a move by the time of day ({}), over {}",
        report.timezone, report.link.wire_rate
    );
    head.draw_text(&title, &font(20), (16, 12))?;
    for (area, panel) in body.split_evenly((PANELS.len(), 1)).iter().zip(PANELS) {
        one(area, report, panel)?;
    }
    root.present()?;
    Ok(())
}

fn one(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    report: &WhenReport,
    (caption, of): Panel,
) -> Drawn {
    let count = report.hours.len();
    let width = 24.0 / count.max(1) as f64;
    let costs: Vec<(f64, Option<Cost>)> = report
        .hours
        .iter()
        .enumerate()
        .map(|(i, cost)| (i as f64 * width, cost.as_ref().and_then(of)))
        .collect();
    let top = costs
        .iter()
        .filter_map(|(_, cost)| cost.map(|(value, i)| i.map_or(value, |i| i.p95.min(value * 3.0))))
        .fold(0f64, f64::max);
    let top = if top > 0.0 { top * 1.15 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .caption(caption, font(17))
        .margin(10)
        .margin_right(28)
        .x_label_area_size(32)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..24.0, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.3))
        .axis_style(FAINT)
        .label_style(font(13))
        .x_labels(13)
        .x_label_formatter(&|hour| format!("{hour:02.0}:00"))
        .y_label_formatter(&|value| format!("{value:.*}", usize::from(top < 10.0)))
        .draw()?;
    let best = report.best.as_ref().and_then(|best| {
        let (hour, minute) = best.local.get(11..16)?.split_once(':')?;
        Some(hour.parse::<f64>().ok()? + minute.parse::<f64>().ok()? / 60.0)
    });
    let unknown = font(12)
        .color(&FAINT)
        .pos(Pos::new(HPos::Center, VPos::Bottom));
    for (from, cost) in costs {
        let to = from + width;
        let Some((value, interval)) = cost else {
            chart.draw_series([Text::new("?", (from + width / 2.0, 0.0), unknown.clone())])?;
            continue;
        };
        let color = match best.is_some_and(|best| (from..to).contains(&best)) {
            true => BEST,
            false => SEEN,
        };
        if let Some(band) = interval {
            let corners = [(from, band.p5), (to, band.p95.min(top))];
            chart.draw_series([Rectangle::new(corners, color.mix(0.25).filled())])?;
        }
        let line = [(from, value), (to, value)];
        chart.draw_series([PathElement::new(line, color.stroke_width(3))])?;
    }
    Ok(())
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}
