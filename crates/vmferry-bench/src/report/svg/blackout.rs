//! The parts of the time in which nobody answers, one after the other.

use super::legend::{Swatch, legend};
use super::scale::{Scale, label};
use super::{Anchor, Drawing, Paint, Stroke, TEXT, WIDTH, shortened};

const ROW: f64 = 42.0;
const BAR: f64 = 16.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 70.0;

/// What the parts are called, in order.
pub(crate) const PARTS: [&str; 4] = [
    "last pass",
    "device state",
    "destination start",
    "network return",
];
/// Colours of the parts, unlike in lightness too.
const COLORS: [usize; 4] = [0, 4, 2, 3];

/// The blackout of one subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    /// The subject's name.
    pub(crate) name: String,
    /// Milliseconds of every part; `None` where it was not measured.
    pub(crate) parts_ms: [Option<f64>; 4],
}

/// The drawing.
pub(crate) fn svg(title: &str, rows: &[Parts]) -> String {
    let mut drawing = Drawing::default();
    drawing.title(title);
    let names: Vec<_> = PARTS
        .iter()
        .zip(COLORS)
        .map(|(name, color)| (Swatch::Box(Paint::Series(color), 0.85), *name))
        .collect();
    let top = legend(&mut drawing, 28.0, &names) + 4.0;
    let sum = |row: &Parts| row.parts_ms.iter().flatten().sum::<f64>();
    let scale = Scale::from_zero(rows.iter().map(sum));
    let x = |value: f64| LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT);
    let bottom = top + ROW * rows.len() as f64;
    let grid = Stroke {
        paint: Paint::Line,
        width: 1.0,
        opacity: 1.0,
    };
    for tick in scale.ticks() {
        drawing.line([(x(tick), top), (x(tick), bottom)], grid);
        let place = (x(tick), bottom + 15.0);
        drawing.text(place, Anchor::Middle, Paint::Faint, &label(tick));
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    drawing.text(
        (middle, bottom + 32.0),
        Anchor::Middle,
        Paint::Faint,
        "milliseconds",
    );
    for (number, row) in rows.iter().enumerate() {
        let top = top + ROW * number as f64;
        let name = shortened(&row.name, WIDTH - LEFT - 10.0, TEXT);
        drawing.text((LEFT + 2.0, top + 14.0), Anchor::Start, Paint::Ink, &name);
        let top = top + 20.0;
        let mut begin = 0.0;
        for (part, color) in row.parts_ms.iter().zip(COLORS) {
            let Some(ms) = part.filter(|ms| ms.is_finite() && *ms > 0.0) else {
                continue;
            };
            let size = (x(begin + ms) - x(begin), BAR);
            drawing.rectangle((x(begin), top), size, Paint::Series(color), 0.85);
            begin += ms;
        }
        let known = row.parts_ms.iter().flatten().count();
        let text = match known {
            0 => "not measured".to_owned(),
            4 => format!("{begin:.0} ms"),
            _ => format!("≥ {begin:.0} ms"),
        };
        drawing.text(
            (x(begin) + 6.0, top + 12.0),
            Anchor::Start,
            Paint::Faint,
            &text,
        );
    }
    let said = "Time without answers as its parts in order, a bar for each subject";
    drawing.finished(bottom + 40.0, title, said)
}
