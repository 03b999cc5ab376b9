//! A simulation as a drawing: total time, downtime and traffic along the
//! horizontal axis, p5 to p95 round p50.

mod scale;

use plotters::coord::Shift;
use plotters::prelude::*;
use vmferry::core::Interval;
use vmferry::document::SimulateReport;
use vmferry::simulating::{Axis, Boundary, Place, Point};

use super::simulate::{fixed, series};
use scale::Scale;

const WIDTH: u32 = 960;
const PANEL: u32 = 360;
const TITLE: u32 = 64;
/// Height of a row of the legend, and series in one.
const ROW: u32 = 22;
const IN_A_ROW: usize = 3;
/// Most series that the legend names.
const MOST_NAMED: usize = 24;
const FAINT: RGBColor = RGBColor(120, 120, 120);
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 90, 160),
    RGBColor(200, 80, 0),
    RGBColor(0, 130, 80),
    RGBColor(150, 0, 60),
    RGBColor(110, 80, 170),
    RGBColor(130, 100, 0),
    RGBColor(0, 140, 160),
    RGBColor(80, 80, 80),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Panel<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale, Scale>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Points that differ along the horizontal axis alone.
struct Series<'a> {
    name: String,
    color: RGBColor,
    points: Vec<&'a Point>,
    boundary: Option<&'a Boundary>,
}

/// One thing drawn: its caption, its unit, and where it stands in a point.
struct Quantity {
    caption: &'static str,
    unit: &'static str,
    of: fn(&Point) -> Option<Interval<f64>>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        caption: "Total time",
        unit: "s",
        of: |point| point.cost.total_time_ms.map(|i| i.map(|ms| ms.0 / 1e3)),
    },
    Quantity {
        caption: "Downtime",
        unit: "ms",
        of: |point| point.cost.downtime_ms.map(|i| i.map(|ms| ms.0)),
    },
    Quantity {
        caption: "Traffic",
        unit: "MiB",
        of: |point| {
            point
                .cost
                .transferred_bytes
                .map(|i| i.map(|bytes| bytes.as_mib()))
        },
    },
];

/// The drawing; self-contained.
pub(crate) fn svg(report: &SimulateReport) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(report: &SimulateReport, text: &mut String) -> Drawn {
    let axis = report.swept.first().copied().unwrap_or(Axis::Bandwidth);
    let all = all_series(report, axis);
    let rows = all.len().min(MOST_NAMED).div_ceil(IN_A_ROW) as u32;
    // One row says what the marks are, one how many series are not named.
    let rows = rows + 1 + u32::from(all.len() > MOST_NAMED);
    let head = TITLE + rows * ROW;
    let size = (WIDTH, head + PANEL * QUANTITIES.len() as u32);
    let root = SVGBackend::with_string(text, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, body) = root.split_vertically(head);
    heading(&top, report, &all)?;
    let panels = body.split_evenly((QUANTITIES.len(), 1));
    for (area, quantity) in panels.iter().zip(&QUANTITIES) {
        panel(area, quantity, axis, &all)?;
    }
    root.present()?;
    Ok(())
}

fn all_series(report: &SimulateReport, axis: Axis) -> Vec<Series<'_>> {
    let mut all: Vec<Series<'_>> = Vec::new();
    for point in &report.points {
        let name = series(report, &point.settings);
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => all.push(Series {
                color: COLORS[all.len() % COLORS.len()],
                boundary: report.boundaries.iter().find(|boundary| {
                    boundary.along == axis && self::series(report, &boundary.settings) == name
                }),
                name,
                points: vec![point],
            }),
        }
    }
    all
}

fn heading(area: &Area<'_>, report: &SimulateReport, all: &[Series<'_>]) -> Drawn {
    let title = format!(
        "{}: simulated by the model {} over {}",
        report.guest.label(),
        report.model,
        report.observation.window_ms
    );
    area.draw_text(&title, &font(20).color(&BLACK), (16, 12))?;
    let settings = format!(
        "{}; deadline {}; {} draws, seed {}",
        fixed(report).unwrap_or_default(),
        report.deadline_ms,
        report.samples,
        report.seed
    );
    area.draw_text(&settings, &font(13).color(&FAINT), (16, 40))?;
    let place = |number: usize| {
        let column = (number % IN_A_ROW) as i32 * (WIDTH as i32 - 32) / IN_A_ROW as i32;
        let row = (number / IN_A_ROW) as i32 * ROW as i32;
        (16 + column, TITLE as i32 + row)
    };
    for (number, series) in all.iter().take(MOST_NAMED).enumerate() {
        let (x, y) = place(number);
        let line = [(x, y + 8), (x + 24, y + 8)];
        area.draw(&PathElement::new(line, series.color.stroke_width(2)))?;
        area.draw_text(&series.name, &font(13).color(&BLACK), (x + 32, y))?;
    }
    let named = all.len().min(MOST_NAMED).next_multiple_of(IN_A_ROW);
    let (x, mut y) = place(named);
    if all.len() > MOST_NAMED {
        let more = format!("and {} more series", all.len() - MOST_NAMED);
        area.draw_text(&more, &font(13).color(&FAINT), (x, y))?;
        y += ROW as i32;
    }
    let marks = "line: p50; band: p5 to p95; dashed: boundary of convergence (a half); x: fewer than one move in twenty converges";
    area.draw_text(marks, &font(13).color(&FAINT), (x, y))?;
    Ok(())
}

fn panel(area: &Area<'_>, quantity: &Quantity, axis: Axis, all: &[Series<'_>]) -> Drawn {
    let points = || all.iter().flat_map(|series| &series.points);
    let x = Scale::of(points().map(|point| horizontal(axis, point)), true);
    let values = points().filter_map(|point| (quantity.of)(point));
    let y = Scale::of(values.flat_map(|i| [i.p5, i.p95]), false);
    let caption = format!("{}, {}", quantity.caption, quantity.unit);
    let mut chart: Panel<'_, '_> = ChartBuilder::on(area)
        .caption(&caption, font(17).color(&BLACK))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.3))
        .axis_style(FAINT)
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_desc(label(axis))
        .y_desc(quantity.unit)
        .x_label_formatter(&|mark| Scale::label(*mark))
        .y_label_formatter(&|mark| Scale::label(*mark))
        .draw()?;
    let (bottom, top) = y.ends();
    for (number, series) in all.iter().enumerate() {
        let place = |point: &Point, value: f64| (horizontal(axis, point), value);
        for run in runs(&series.points, quantity.of) {
            let along = |value: fn(&Interval<f64>) -> f64| {
                run.iter()
                    .map(move |(point, interval)| place(point, value(interval)))
            };
            let back: Vec<_> = along(|i| i.p5).collect();
            let outline: Vec<_> = along(|i| i.p95).chain(back.into_iter().rev()).collect();
            chart.draw_series([Polygon::new(outline, series.color.mix(0.15))])?;
            chart.draw_series(LineSeries::new(
                along(|i| i.p50),
                series.color.stroke_width(2),
            ))?;
            chart.draw_series(
                along(|i| i.p50).map(|at| Circle::new(at, 3, series.color.filled())),
            )?;
            if let [(point, only)] = run[..] {
                let ends = [place(point, only.p5), place(point, only.p95)];
                chart.draw_series([PathElement::new(ends, series.color.mix(0.5))])?;
            }
        }
        let hopeless = series
            .points
            .iter()
            .filter(|point| (quantity.of)(point).is_none());
        // One below the other, lest they hide each other.
        let height = y.at_share(0.97 - 0.04 * (number % COLORS.len()) as f64);
        chart.draw_series(hopeless.map(|point| {
            Cross::new(
                (horizontal(axis, point), height),
                4,
                series.color.stroke_width(2),
            )
        }))?;
        if let Some(boundary) = series.boundary.filter(|b| b.place == Place::Within) {
            let at = unit_of(axis, boundary.settings.get(axis));
            let line = [(at, bottom), (at, top)];
            chart.draw_series(DashedLineSeries::new(
                line,
                5,
                5,
                series.color.stroke_width(1),
            ))?;
        }
    }
    Ok(())
}

/// Stretches of neighbouring points of which something is said.
fn runs<'a>(
    points: &[&'a Point],
    of: fn(&Point) -> Option<Interval<f64>>,
) -> Vec<Vec<(&'a Point, Interval<f64>)>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (of(point), runs.last_mut()) {
            (Some(interval), Some(run)) => run.push((*point, interval)),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

fn label(axis: Axis) -> &'static str {
    match axis {
        Axis::Bandwidth => "bandwidth, Mbit/s",
        Axis::MaxDowntime => "downtime limit, ms",
        Axis::Dirt => "dirt, times as fast as observed",
        Axis::Memory => "memory, MiB",
    }
}

fn horizontal(axis: Axis, point: &Point) -> f64 {
    unit_of(axis, point.settings.get(axis))
}

/// A value of an axis in the unit that people read.
fn unit_of(axis: Axis, value: f64) -> f64 {
    match axis {
        Axis::Bandwidth => value * 8.0 / 1e6,
        Axis::MaxDowntime | Axis::Dirt => value,
        Axis::Memory => value / 1_048_576.0,
    }
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}
