//! Drawings as SVG text. Colours are the page's CSS variables, so that one drawing serves light
//! and dark: this is why it is written here rather than by a plotting library, whose colours are
//! fixed when it draws.

pub(crate) mod bars;
pub(crate) mod blackout;
pub(crate) mod frame;
pub(crate) mod latency;
pub(crate) mod legend;
pub(crate) mod passes;
pub(crate) mod points;
pub(crate) mod scale;

use std::fmt::Write as _;

use super::html::escaped;

/// Width of every drawing, in its own units: narrow enough that its text can be read on a phone.
pub(crate) const WIDTH: f64 = 440.0;
/// Size of text.
pub(crate) const TEXT: f64 = 13.0;
/// How wide a letter is taken to be, as a share of the size. A drawing cannot ask.
const LETTER: f64 = 0.56;

/// What something is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// The colour of a series, from 0 on; they repeat after eight.
    Series(usize),
    /// Text.
    Ink,
    /// Text that explains.
    Faint,
    /// Grid lines.
    Line,
    /// What got no answer.
    Silent,
}

impl Paint {
    fn css(self) -> String {
        match self {
            Self::Series(number) => format!("var(--c{})", number % 8),
            Self::Ink => "var(--ink)".to_owned(),
            Self::Faint => "var(--faint)".to_owned(),
            Self::Line => "var(--line)".to_owned(),
            Self::Silent => "var(--silent)".to_owned(),
        }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    /// Its colour.
    pub(crate) paint: Paint,
    /// How wide.
    pub(crate) width: f64,
    /// 0..1.
    pub(crate) opacity: f64,
}

/// Where text stands about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A drawing under way. What is not finite is not drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drawing {
    body: String,
}

impl Drawing {
    /// A filled rectangle.
    pub(crate) fn rectangle(
        &mut self,
        from: (f64, f64),
        size: (f64, f64),
        paint: Paint,
        opacity: f64,
    ) {
        let numbers = [from.0, from.1, size.0, size.1];
        if numbers.iter().all(|number| number.is_finite()) {
            let _ = writeln!(
                self.body,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" \
                 fill-opacity=\"{opacity}\"/>",
                from.0,
                from.1,
                size.0.max(0.0),
                size.1.max(0.0),
                paint.css()
            );
        }
    }

    /// A line through places; where one is not finite, it goes on with the next.
    pub(crate) fn line(&mut self, places: impl IntoIterator<Item = (f64, f64)>, stroke: Stroke) {
        let mut path = String::new();
        for (x, y) in places {
            if x.is_finite() && y.is_finite() {
                let letter = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{x:.1} {y:.1}");
            }
        }
        self.path(&path, stroke);
    }

    /// Bars between two heights at places along x: `(x, y, y)`.
    pub(crate) fn ranges(
        &mut self,
        ranges: impl IntoIterator<Item = (f64, f64, f64)>,
        stroke: Stroke,
    ) {
        let mut path = String::new();
        for (x, from, to) in ranges {
            if [x, from, to].iter().all(|number| number.is_finite()) {
                let _ = write!(path, "M{x:.1} {from:.1}V{to:.1}");
            }
        }
        self.path(&path, stroke);
    }

    fn path(&mut self, path: &str, stroke: Stroke) {
        if !path.is_empty() {
            let _ = writeln!(
                self.body,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
                 stroke-opacity=\"{}\" stroke-linejoin=\"round\"/>",
                stroke.paint.css(),
                stroke.width,
                stroke.opacity
            );
        }
    }

    /// The mark of a series: four shapes take turns, so that colour is not all that tells them
    /// apart.
    pub(crate) fn mark(&mut self, (x, y): (f64, f64), series: usize, opacity: f64) {
        if !(x.is_finite() && y.is_finite()) {
            return;
        }
        let shape = match series % 4 {
            0 => format!("M{:.1} {y:.1}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z", x - 3.0),
            1 => format!("M{:.1} {:.1}h5.4v5.4h-5.4z", x - 2.7, y - 2.7),
            2 => format!("M{x:.1} {:.1}l3.6 6.2h-7.2z", y - 3.8),
            _ => format!("M{x:.1} {:.1}l3.8 3.8l-3.8 3.8l-3.8 -3.8z", y - 3.8),
        };
        let paint = Paint::Series(series).css();
        let _ = writeln!(
            self.body,
            "<path d=\"{shape}\" fill=\"{paint}\" fill-opacity=\"{opacity}\"/>"
        );
    }

    /// Text on a base line.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, paint: Paint, text: &str) {
        self.words((x, y), anchor, paint, "", text);
    }

    /// The title of the drawing, shortened to fit.
    pub(crate) fn title(&mut self, text: &str) {
        let shown = shortened(text, WIDTH - 16.0, TEXT + 1.0);
        let bold = " font-weight=\"600\"";
        self.words((8.0, 18.0), Anchor::Start, Paint::Ink, bold, &shown);
    }

    fn words(&mut self, (x, y): (f64, f64), anchor: Anchor, paint: Paint, more: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" \
             style=\"fill:{}\"{more}>{}</text>",
            paint.css(),
            escaped(text)
        );
    }

    /// The element, with what it is called and what it shows, which screen readers read.
    pub(crate) fn finished(self, height: f64, title: &str, description: &str) -> String {
        let (title, description) = (escaped(title), escaped(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             role=\"img\" aria-label=\"{title}\" font-size=\"{TEXT}\">\n<title>{title}</title>\n\
             <desc>{description}</desc>\n{}</svg>",
            self.body
        )
    }
}

/// How wide text is, about.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// Text that fits in so much room: its end is cut off where it must be.
pub(crate) fn shortened(text: &str, room: f64, size: f64) -> String {
    let letters = (room / (size * LETTER)).max(1.0) as usize;
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(letters.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_not_drawn() {
        let mut drawing = Drawing::default();
        let stroke = Stroke {
            paint: Paint::Ink,
            width: 1.0,
            opacity: 1.0,
        };
        drawing.rectangle((f64::NAN, 0.0), (1.0, 1.0), Paint::Ink, 1.0);
        drawing.mark((0.0, f64::INFINITY), 0, 1.0);
        drawing.ranges([(1.0, f64::NAN, 2.0)], stroke);
        drawing.line([(f64::NAN, 0.0)], stroke);
        assert_eq!(drawing.body, "");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened("web", 100.0, 12.0), "web");
        assert_eq!(shortened("a very long name", 50.0, 12.0), "a very…");
    }
}
