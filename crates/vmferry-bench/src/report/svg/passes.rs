//! What remained to be sent after every pass of a migration.

use super::frame::Frame;
use super::legend::{Swatch, legend};
use super::scale::Scale;
use super::{Drawing, Paint, Stroke};

/// The migrations of one subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moves {
    /// The subject's name.
    pub(crate) name: String,
    /// Its place among all subjects, which gives its colour.
    pub(crate) number: usize,
    /// Every migration: seconds since the command, and MiB that remained. The first stands out.
    pub(crate) moves: Vec<Vec<(f64, f64)>>,
}

/// The drawing.
pub(crate) fn svg(title: &str, subjects: &[Moves]) -> String {
    let mut drawing = Drawing::default();
    drawing.title(title);
    let names: Vec<_> = subjects
        .iter()
        .map(|one| (Swatch::Mark(one.number), one.name.as_str()))
        .collect();
    let top = legend(&mut drawing, 28.0, &names);
    let all = || subjects.iter().flat_map(|one| one.moves.iter().flatten());
    let x = Scale::from_zero(all().map(|place| place.0));
    let y = Scale::from_zero(all().map(|place| place.1));
    let x_title = "seconds since the command";
    let frame = Frame::drawn(&mut drawing, top, (x, x_title), (y, "MiB that remain"));
    for one in subjects {
        for (rank, passes) in one.moves.iter().enumerate().rev() {
            let places = || {
                passes
                    .iter()
                    .map(|(at, left)| (frame.x(*at), frame.y(*left)))
            };
            let stroke = Stroke {
                paint: Paint::Series(one.number),
                width: if rank == 0 { 2.0 } else { 1.0 },
                opacity: if rank == 0 { 1.0 } else { 0.28 },
            };
            drawing.line(places(), stroke);
            if rank == 0 {
                for place in places() {
                    drawing.mark(place, one.number, 1.0);
                }
            }
        }
    }
    let said = "Memory that remained to be sent over the time of migrations, a colour each subject";
    drawing.finished(frame.height(), title, said)
}
