//! A score of every subject as a bar with its interval.

use super::scale::{Scale, label};
use super::{Anchor, Drawing, Paint, Stroke, TEXT, WIDTH, shortened, width};

const ROW: f64 = 44.0;
const BAR: f64 = 16.0;
const TOP: f64 = 50.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 74.0;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    /// The subject's name.
    pub(crate) name: String,
    /// Its place among all subjects, which gives its colour.
    pub(crate) number: usize,
    /// How long, to the left of 0 where it is negative; absent where it is not known.
    pub(crate) value: Option<f64>,
    /// The interval about it.
    pub(crate) interval: Option<(f64, f64)>,
}

/// The drawing; `mark` is a value that a line is drawn at.
pub(crate) fn svg(title: &str, unit: &str, bars: &[Bar], mark: Option<f64>) -> String {
    let mut drawing = Drawing::default();
    drawing.title(title);
    drawing.text((8.0, 36.0), Anchor::Start, Paint::Faint, unit);
    let ends = bars.iter().flat_map(|bar| {
        let (low, high) = bar.interval.unwrap_or_default();
        [bar.value.unwrap_or_default(), low, high]
    });
    let scale = Scale::with_zero(ends.chain(mark));
    let x = |value: f64| LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + ROW * bars.len() as f64;
    let thin = |paint, width| Stroke {
        paint,
        width,
        opacity: 1.0,
    };
    for tick in scale.ticks() {
        drawing.line([(x(tick), TOP), (x(tick), bottom)], thin(Paint::Line, 1.0));
        let value = label(tick);
        let place = x(tick).max(width(&value, TEXT) / 2.0 + 2.0);
        drawing.text((place, bottom + 15.0), Anchor::Middle, Paint::Faint, &value);
    }
    for (row, bar) in bars.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let name = shortened(&bar.name, WIDTH - LEFT - 10.0, TEXT);
        drawing.text((LEFT + 2.0, top + 15.0), Anchor::Start, Paint::Ink, &name);
        let top = top + 21.0;
        let Some(value) = bar.value.filter(|value| value.is_finite()) else {
            let place = (LEFT + 2.0, top + 12.0);
            drawing.text(place, Anchor::Start, Paint::Faint, "not known");
            continue;
        };
        let paint = Paint::Series(bar.number);
        let (from, to) = (x(value.min(0.0)), x(value.max(0.0)));
        drawing.rectangle((from, top), (to - from, BAR), paint, 0.75);
        let mut end = to;
        if let Some((low, high)) = bar.interval {
            let middle = top + BAR / 2.0;
            let ink = thin(Paint::Ink, 1.6);
            drawing.line([(x(low), middle), (x(high), middle)], ink);
            let caps = [low, high].map(|at| (x(at), middle - 4.0, middle + 4.0));
            drawing.ranges(caps, ink);
            end = end.max(x(high));
        }
        let text = format!("{value:.0}");
        let wide = width(&text, TEXT);
        let place = ((end + 6.0).min(WIDTH - wide - 2.0), top + 12.0);
        drawing.text(place, Anchor::Start, Paint::Ink, &text);
    }
    if let Some(mark) = mark {
        let ink = Stroke {
            paint: Paint::Ink,
            width: 1.4,
            opacity: 0.55,
        };
        drawing.line([(x(mark), TOP), (x(mark), bottom)], ink);
    }
    let said = format!("{unit}: a bar for each subject, with its interval");
    drawing.finished(bottom + 24.0, title, &said)
}
