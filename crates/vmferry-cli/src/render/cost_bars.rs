//! What moving every guest would cost, as stacked bars in SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use vmferry::choosing::report::ChooseReport;
use vmferry::model::choice::{Term, Terms, Verdict};

const WIDTH: i32 = 900;
const ROW: i32 = 34;
const HEAD: i32 = 84;
const LEFT: i32 = 210;
const RIGHT: i32 = 80;
const BAR: i32 = 20;
const COLORS: [RGBColor; 4] = [
    RGBColor(178, 58, 72),
    RGBColor(31, 92, 153),
    RGBColor(222, 157, 40),
    RGBColor(84, 130, 53),
];
const FAINT: RGBColor = RGBColor(90, 90, 90);
/// Longest name that fits beside the bars, in characters.
const NAME: usize = 26;

type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The drawing; self-contained.
pub(crate) fn svg(report: &ChooseReport) -> Result<String, String> {
    let mut text = String::new();
    draw(report, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(report: &ChooseReport, text: &mut String) -> Drawn {
    let rows = i32::try_from(report.guests.len())? + 1;
    let height = HEAD + ROW * rows + 12;
    let root = SVGBackend::with_string(text, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("{}: what moving each guest would cost", report.from);
    root.draw_text(&title, &font(19), (16, 14))?;
    let mut x = LEFT;
    for (term, color) in Term::ALL.into_iter().zip(COLORS) {
        root.draw(&Rectangle::new([(x, 50), (x + 14, 64)], color.filled()))?;
        let label = format!("{term} x {:.2}", report.weights.of(term));
        root.draw_text(&label, &font(14), (x + 20, 50))?;
        x += 155;
    }
    let costs = report.guests.iter().filter_map(|guest| guest.cost);
    let longest = costs.fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(WIDTH - LEFT - RIGHT) / longest;
    let mut y = HEAD;
    for guest in &report.guests {
        let (end, said) = match (&guest.parts, guest.cost) {
            (Some(parts), Some(cost)) => (bar(&root, parts, y, scale)?, format!("{cost:.3}")),
            _ => (LEFT, guest.excluded.clone().unwrap_or_default()),
        };
        name(&root, &guest.name, guest.chosen, y)?;
        root.draw_text(&said, &font(13).color(&FAINT), (end + 6, y + 4))?;
        y += ROW;
    }
    let nothing = report.choice.verdict != Verdict::Move;
    name(&root, "move nothing", nothing, y)?;
    root.present()?;
    Ok(())
}

fn name(root: &DrawingArea<SVGBackend<'_>, Shift>, name: &str, chosen: bool, y: i32) -> Drawn {
    let count = name.chars().count();
    // The end of a monitor's path tells more than its beginning.
    let shown: String = match count > NAME {
        true => format!(
            "…{}",
            name.chars().skip(count - NAME + 1).collect::<String>()
        ),
        false => name.to_owned(),
    };
    root.draw_text(&shown, &font(14), (34, y + 3))?;
    if chosen {
        root.draw(&Circle::new((22, y + 10), 5, BLACK.filled()))?;
    }
    Ok(())
}

/// Draws the parts side by side; returns where they end.
fn bar(root: &DrawingArea<SVGBackend<'_>, Shift>, parts: &Terms, y: i32, scale: f64) -> Drawn<i32> {
    let mut from = f64::from(LEFT);
    for (term, color) in Term::ALL.into_iter().zip(COLORS) {
        let to = from + parts.of(term) * scale;
        let corners = [(from as i32, y), (to as i32, y + BAR)];
        root.draw(&Rectangle::new(corners, color.filled()))?;
        from = to;
    }
    Ok(from as i32)
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}
