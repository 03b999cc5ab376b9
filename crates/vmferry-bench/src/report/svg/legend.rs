//! Names beside their colours, above a drawing.

use super::{Anchor, Drawing, Paint, TEXT, WIDTH, shortened, width};

const ROW: f64 = 17.0;
const SWATCH: f64 = 16.0;
const GAP: f64 = 14.0;
/// Widest entry.
const ENTRY: f64 = 190.0;

/// What a name stands beside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Swatch {
    /// The mark of a series.
    Mark(usize),
    /// A filled box.
    Box(Paint, f64),
}

/// Draws the names in as many rows as they need below `top`; returns where the rows end.
pub(crate) fn legend(drawing: &mut Drawing, top: f64, entries: &[(Swatch, &str)]) -> f64 {
    let (mut x, mut y) = (8.0, top);
    for (swatch, name) in entries {
        let name = shortened(name, ENTRY, TEXT);
        let wide = SWATCH + width(&name, TEXT);
        if x > 8.0 && x + wide > WIDTH - 8.0 {
            (x, y) = (8.0, y + ROW);
        }
        match *swatch {
            Swatch::Mark(series) => drawing.mark((x + 5.0, y + 8.0), series, 1.0),
            Swatch::Box(paint, opacity) => {
                drawing.rectangle((x, y + 3.0), (11.0, 10.0), paint, opacity);
            }
        }
        drawing.text((x + SWATCH, y + 12.0), Anchor::Start, Paint::Ink, &name);
        x += wide + GAP;
    }
    if entries.is_empty() { top } else { y + ROW }
}
