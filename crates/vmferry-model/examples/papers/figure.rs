//! A figure: panels with our lines and the paper's points.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;

const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 360;
const TITLE: u32 = 40;
const OURS: [RGBColor; 6] = [
    RGBColor(0, 90, 160),
    RGBColor(0, 130, 90),
    RGBColor(110, 80, 160),
    RGBColor(120, 120, 120),
    RGBColor(60, 170, 200),
    RGBColor(20, 20, 20),
];
const PUBLISHED: RGBColor = RGBColor(200, 60, 0);
const FAINT: RGBColor = RGBColor(120, 120, 120);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Ticked, Ticked>>;
pub(crate) type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How an axis runs.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// From 0 to the greatest value.
    Linear,
    /// Decades, from a least value on; smaller values are drawn there.
    Log { least: f64 },
}

#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

impl Axis {
    pub(crate) const fn linear(label: &'static str) -> Self {
        Self {
            label,
            scale: Scale::Linear,
        }
    }

    pub(crate) const fn log(label: &'static str, least: f64) -> Self {
        Self {
            label,
            scale: Scale::Log { least },
        }
    }

    fn place(self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log { least } => value.max(least).log10(),
        }
    }

    fn least(self) -> f64 {
        match self.scale {
            Scale::Linear => 0.0,
            Scale::Log { least } => least.log10(),
        }
    }

    fn up_to(self, end: f64) -> Ticked {
        Ticked {
            range: self.least()..end,
            ticks: self.ticks(end),
        }
    }

    /// Places with a label up to `end`: 1, 2 and 5 in each decade, or steps of such a length.
    fn ticks(self, end: f64) -> Vec<f64> {
        let round = |decade: i32| [1.0, 2.0, 5.0].map(|lead| lead * 10f64.powi(decade));
        match self.scale {
            Scale::Linear => {
                let steps = (-6..12).flat_map(round);
                let step = steps.into_iter().find(|step| end / step <= 10.0);
                let step = step.unwrap_or(end);
                (0..=10)
                    .map(|i| f64::from(i) * step)
                    .take_while(|place| *place <= end)
                    .collect()
            }
            Scale::Log { .. } => (self.least().floor() as i32..=end.ceil() as i32)
                .flat_map(round)
                .map(f64::log10)
                .filter(|place| *place > self.least() - 1e-9 && *place <= end)
                .collect(),
        }
    }

    /// What stands beside a tick.
    fn text(self, place: f64) -> String {
        let value = match self.scale {
            Scale::Linear => place,
            Scale::Log { .. } => 10f64.powf(place),
        };
        // Ticks are round: five digits after the point say all of them.
        let text = format!("{value:.5}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// An axis with its own ticks: those of plotters are not round in decades.
struct Ticked {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// What a panel shows.
pub(crate) enum Series {
    /// What we compute.
    Line(Vec<(f64, f64)>),
    /// Values that are given: the paper prints them, or they are made up and say so.
    Dots(Vec<(f64, f64)>),
    /// A height that the paper prints without saying where.
    Level(f64),
    /// A place that the paper prints without a height.
    Place(f64),
}

pub(crate) struct Panel {
    pub(crate) caption: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Each with its name in the legend.
    pub(crate) series: Vec<(String, Series)>,
    /// Where the legend hides nothing.
    pub(crate) legend: Legend,
}

#[derive(Clone, Copy)]
pub(crate) enum Legend {
    UpperLeft,
    UpperRight,
    LowerLeft,
    LowerRight,
}

pub(crate) struct Figure {
    /// Name of the file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Panels from left to right, row after row.
    pub(crate) panels: Vec<Panel>,
    pub(crate) columns: usize,
}

impl Figure {
    /// The drawing as text; self-contained.
    pub(crate) fn svg(&self) -> Drawn<String> {
        let rows = self.panels.len().div_ceil(self.columns);
        let size = (WIDTH, TITLE + PANEL_HEIGHT * rows as u32);
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            root.fill(&WHITE)?;
            let (head, body) = root.split_vertically(TITLE);
            head.draw_text(self.title, &font(19).color(&BLACK), (16, 12))?;
            let areas = body.split_evenly((rows, self.columns));
            for (panel, area) in self.panels.iter().zip(&areas) {
                panel.draw(area)?;
            }
            root.present()?;
        }
        Ok(text)
    }
}

impl Panel {
    fn places(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|(_, series)| match series {
            Series::Line(points) | Series::Dots(points) => points
                .iter()
                .map(|(x, y)| (self.x.place(*x), self.y.place(*y)))
                .collect(),
            Series::Level(y) => vec![(self.x.least(), self.y.place(*y))],
            Series::Place(x) => vec![(self.x.place(*x), self.y.least())],
        })
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let (from_x, from_y) = (self.x.least(), self.y.least());
        let most = |of: fn((f64, f64)) -> f64| self.places().map(of).fold(f64::MIN, f64::max);
        let (end_x, top) = (most(|p| p.0), most(|p| p.1));
        // Room above the highest line, for the legend too.
        let top = top + 0.25 * (top - from_y).max(1e-3);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.caption, font(15).color(&BLACK))
            .margin(10)
            .margin_right(22)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(self.x.up_to(end_x), self.y.up_to(top))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT.mix(0.25))
            .axis_style(FAINT)
            .label_style(font(12))
            .axis_desc_style(font(13))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_label_formatter(&|value| self.x.text(*value))
            .y_label_formatter(&|value| self.y.text(*value))
            .draw()?;
        let mut colors = OURS.iter().cycle();
        for (label, series) in &self.series {
            match series {
                Series::Line(points) => {
                    let color = *colors.next().unwrap_or(&FAINT);
                    self.line(&mut chart, points, label, color)?;
                }
                Series::Dots(points) => self.dots(&mut chart, points, label)?,
                Series::Level(y) => {
                    let y = self.y.place(*y);
                    guide(&mut chart, [(from_x, y), (end_x, y)], label)?;
                }
                Series::Place(x) => {
                    let x = self.x.place(*x);
                    guide(&mut chart, [(x, from_y), (x, top)], label)?;
                }
            }
        }
        chart
            .configure_series_labels()
            .position(match self.legend {
                Legend::UpperLeft => SeriesLabelPosition::UpperLeft,
                Legend::LowerLeft => SeriesLabelPosition::LowerLeft,
                Legend::LowerRight => SeriesLabelPosition::LowerRight,
                Legend::UpperRight => SeriesLabelPosition::UpperRight,
            })
            .label_font(font(12))
            .legend_area_size(32)
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT.mix(0.4))
            .draw()?;
        Ok(())
    }

    fn line(
        &self,
        chart: &mut Chart<'_, '_>,
        points: &[(f64, f64)],
        label: &str,
        color: RGBColor,
    ) -> Drawn {
        let points = points
            .iter()
            .map(|(x, y)| (self.x.place(*x), self.y.place(*y)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2)));
        Ok(())
    }

    fn dots(&self, chart: &mut Chart<'_, '_>, points: &[(f64, f64)], label: &str) -> Drawn {
        let dot = |at| Circle::new(at, 5, PUBLISHED.filled());
        chart
            .draw_series(
                points
                    .iter()
                    .map(|(x, y)| dot((self.x.place(*x), self.y.place(*y)))),
            )?
            .label(label)
            .legend(|(x, y)| Circle::new((x + 11, y), 5, PUBLISHED.filled()));
        Ok(())
    }
}

fn guide(chart: &mut Chart<'_, '_>, ends: [(f64, f64); 2], label: &str) -> Drawn {
    chart
        .draw_series(DashedLineSeries::new(ends, 6, 4, PUBLISHED.stroke_width(1)))?
        .label(label)
        .legend(|(x, y)| PathElement::new([(x, y), (x + 22, y)], PUBLISHED.stroke_width(1)));
    Ok(())
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}
