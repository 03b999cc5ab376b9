//! What moving every guest costs, forecast above real, as bars of its parts.

use plotters::prelude::*;
use vmferry::model::choice::{Term, Terms};

use crate::Fault;
use crate::report::Cost;

const WIDTH: u32 = 900;
const ROW: u32 = 62;
const HEAD: i32 = 76;
const LEFT: i32 = 130;
const RIGHT: i32 = 70;
const BAR: i32 = 20;
const COLORS: [RGBColor; 4] = [
    RGBColor(178, 58, 72),
    RGBColor(31, 92, 153),
    RGBColor(222, 157, 40),
    RGBColor(84, 130, 53),
];
const FAINT: RGBColor = RGBColor(90, 90, 90);

/// The drawing; self-contained.
pub(crate) fn svg(costs: &[Cost]) -> Result<String, Fault> {
    let mut text = String::new();
    draw(costs, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(costs: &[Cost], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let height = HEAD as u32 + ROW * costs.len() as u32 + 16;
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let font = |size: i32| TextStyle::from(("sans-serif", size).into_font());
    root.draw_text(
        "What moving each guest costs: forecast (pale, above) and real (below)",
        &font(18),
        (16, 12),
    )?;
    let mut x = LEFT;
    for (term, color) in Term::ALL.into_iter().zip(COLORS) {
        if term == Term::Energy {
            continue;
        }
        root.draw(&Rectangle::new([(x, 46), (x + 14, 60)], color.filled()))?;
        root.draw_text(term.name(), &font(14), (x + 20, 46))?;
        x += 120;
    }
    let longest = costs
        .iter()
        .flat_map(|cost| [Some(cost.real.sum()), cost.forecast.map(|f| f.sum())])
        .flatten()
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(WIDTH as i32 - LEFT - RIGHT) / longest;
    for (row, cost) in costs.iter().enumerate() {
        let top = HEAD + ROW as i32 * row as i32;
        root.draw_text(&cost.guest, &font(14), (16, top + BAR - 6))?;
        for (parts, y, alpha) in [
            (cost.forecast, top, 0.45),
            (Some(cost.real), top + BAR + 2, 1.0),
        ] {
            let end = match parts {
                Some(parts) => bar(&root, &parts, y, scale, alpha)?,
                None => LEFT,
            };
            let said = parts.map_or_else(
                || "not expected to converge within its limit".to_owned(),
                |parts| format!("{:.3}", parts.sum()),
            );
            root.draw_text(&said, &font(12).color(&FAINT), (end + 6, y + 4))?;
        }
    }
    root.present()?;
    Ok(())
}

/// Draws the parts side by side; returns where they end.
fn bar(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    parts: &Terms,
    y: i32,
    scale: f64,
    alpha: f64,
) -> Result<i32, Box<dyn std::error::Error>> {
    let mut from = f64::from(LEFT);
    for (term, color) in Term::ALL.into_iter().zip(COLORS) {
        let to = from + parts.of(term) * scale;
        let corners = [(from as i32, y), (to as i32, y + BAR)];
        root.draw(&Rectangle::new(corners, color.mix(alpha).filled()))?;
        from = to;
    }
    Ok(from as i32)
}
