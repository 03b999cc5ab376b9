//! Axes with their grid, values and units.

use super::scale::{Scale, label};
use super::{Anchor, Drawing, Paint, Stroke, WIDTH};

const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
/// Height of the area that is drawn in.
const HEIGHT: f64 = 180.0;
const GRID: Stroke = Stroke {
    paint: Paint::Line,
    width: 1.0,
    opacity: 1.0,
};

/// The area of a drawing that values are drawn in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    top: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    /// Draws the axes below `top`, `x_title` below and `y_title` above them.
    pub(crate) fn drawn(
        drawing: &mut Drawing,
        top: f64,
        (x, x_title): (Scale, &str),
        (y, y_title): (Scale, &str),
    ) -> Self {
        let frame = Self {
            top: top + 28.0,
            x,
            y,
        };
        drawing.text((8.0, top + 13.0), Anchor::Start, Paint::Faint, y_title);
        for tick in y.ticks() {
            let at = frame.y(tick);
            drawing.line([(LEFT, at), (WIDTH - RIGHT, at)], GRID);
            let place = (LEFT - 6.0, at + 4.0);
            drawing.text(place, Anchor::End, Paint::Faint, &label(tick));
        }
        let bottom = frame.bottom();
        for tick in x.ticks() {
            let at = frame.x(tick);
            drawing.line([(at, bottom), (at, bottom + 4.0)], GRID);
            let place = (at, bottom + 17.0);
            drawing.text(place, Anchor::Middle, Paint::Faint, &label(tick));
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        drawing.text(
            (middle, bottom + 34.0),
            Anchor::Middle,
            Paint::Faint,
            x_title,
        );
        frame
    }

    /// Where a value is along x.
    pub(crate) fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a value is along y.
    pub(crate) fn y(&self, value: f64) -> f64 {
        self.bottom() - self.y.share(value) * HEIGHT
    }

    /// The upper edge.
    pub(crate) fn top(&self) -> f64 {
        self.top
    }

    /// The lower edge.
    pub(crate) fn bottom(&self) -> f64 {
        self.top + HEIGHT
    }

    /// How high the whole drawing is.
    pub(crate) fn height(&self) -> f64 {
        self.bottom() + 42.0
    }
}
