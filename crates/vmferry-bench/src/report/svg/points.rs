//! A metric over the migration points: a line through each subject's medians, its repeats as marks.

use super::frame::Frame;
use super::legend::{Swatch, legend};
use super::scale::Scale;
use super::{Drawing, Paint, Stroke};
use crate::report::spread::Spread;

/// What one subject showed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// The subject's name.
    pub(crate) name: String,
    /// Its place among all subjects, which gives its colour.
    pub(crate) number: usize,
    /// Migration points, from 1 on, and values; several of a point are repeats.
    pub(crate) dots: Vec<(u32, f64)>,
}

/// The drawing; `unit` names what the values are in.
pub(crate) fn svg(title: &str, unit: &str, points: u32, series: &[Series]) -> String {
    let mut drawing = Drawing::default();
    drawing.title(title);
    let names: Vec<_> = series
        .iter()
        .map(|one| (Swatch::Mark(one.number), one.name.as_str()))
        .collect();
    let top = legend(&mut drawing, 28.0, &names);
    let values = series
        .iter()
        .flat_map(|one| one.dots.iter().map(|dot| dot.1));
    let x = Scale::Whole { last: points };
    let y = Scale::from_zero(values);
    let frame = Frame::drawn(&mut drawing, top, (x, "migration point"), (y, unit));
    for (row, one) in series.iter().enumerate() {
        // Side by side, so that none hides another.
        let aside = (row as f64 - (series.len() as f64 - 1.0) / 2.0) * 6.0;
        let medians = (1..=points).filter_map(|point| {
            let of_point = one.dots.iter().filter(|dot| dot.0 == point);
            let value = Spread::of(of_point.map(|dot| Some(dot.1)))?.median;
            Some((frame.x(f64::from(point)) + aside, frame.y(value)))
        });
        let stroke = Stroke {
            paint: Paint::Series(one.number),
            width: 1.8,
            opacity: 0.9,
        };
        drawing.line(medians, stroke);
        for (point, value) in &one.dots {
            let place = (frame.x(f64::from(*point)) + aside, frame.y(*value));
            drawing.mark(place, one.number, 0.75);
        }
    }
    let said = format!("{unit} at each of {points} migration points, a line for each subject");
    drawing.finished(frame.height(), title, &said)
}
