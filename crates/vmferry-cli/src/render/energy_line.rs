//! Energy against traffic, as SVG.

use plotters::prelude::*;
use vmferry::core::Bytes;
use vmferry::energy::EnergyProfile;

const WIDTH: u32 = 900;
/// Of one profile.
const HEIGHT: u32 = 420;
const MEASURED: RGBColor = RGBColor(31, 92, 153);
const LINE: RGBColor = RGBColor(192, 57, 43);
const FAINT: RGBColor = RGBColor(90, 90, 90);
/// Steps of the band along the axis.
const STEPS: u32 = 60;

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The drawing: the measured moves of every profile, its line, and where 90 %
/// of single moves lie; self-contained.
pub(crate) fn svg(profiles: &[EnergyProfile]) -> Result<String, String> {
    let mut text = String::new();
    draw(profiles, &mut text).map_err(|error| format!("the drawing failed: {error}"))?;
    Ok(text)
}

fn draw(profiles: &[EnergyProfile], text: &mut String) -> Drawn {
    let count = profiles.len();
    let height = HEIGHT * u32::try_from(count)?;
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, profile) in root.split_evenly((count, 1)).iter().zip(profiles) {
        one(area, profile)?;
    }
    root.present()?;
    Ok(())
}

fn one(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    profile: &EnergyProfile,
) -> Drawn {
    let fit = &profile.fit;
    let points: Vec<(f64, f64)> = fit
        .points
        .iter()
        .map(|p| (p.transferred_bytes.0 as f64 / 1e6, p.energy_j.0))
        .collect();
    let right = points.iter().map(|p| p.0).fold(0f64, f64::max) * 1.1;
    let band: Vec<(f64, f64, f64)> = (0..=STEPS)
        .map(|step| {
            let mb = right * f64::from(step) / f64::from(STEPS);
            let volume = Bytes((mb * 1e6) as u64);
            (mb, fit.at(volume).0, fit.half_width(volume).0)
        })
        .collect();
    let highest = points.iter().map(|p| p.1);
    let top = highest.chain(band.iter().map(|b| b.1 + b.2));
    let top = top.fold(1f64, f64::max) * 1.05;
    let hosts = [&profile.source_host, &profile.destination_host];
    let hosts: Vec<&str> = hosts.into_iter().flatten().map(String::as_str).collect();
    let caption = format!(
        "{} {}: E = {:.3} J/MB V + {:.1} J, by {}",
        profile.side.name(),
        hosts.join(" > "),
        fit.alpha_j_per_mb.p50,
        fit.beta_j.p50.0,
        profile.meters.join(" and ")
    );
    let mut chart = ChartBuilder::on(area)
        .caption(caption, font(16))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.3))
        .axis_style(FAINT)
        .label_style(font(13))
        .x_desc("transferred, MB")
        .y_desc("energy above the background, J")
        .x_label_formatter(&|mb| format!("{mb:.0}"))
        .y_label_formatter(&|joules| format!("{joules:.0}"))
        .draw()?;
    let above = band
        .iter()
        .map(|(mb, at, wide)| (*mb, (at + wide).min(top)));
    let below = band
        .iter()
        .rev()
        .map(|(mb, at, wide)| (*mb, (at - wide).max(0.0)));
    let edge: Vec<(f64, f64)> = above.chain(below).collect();
    chart.draw_series([Polygon::new(edge, LINE.mix(0.15).filled())])?;
    // Its ends alone: pixels would make steps of more.
    let ends = band.first().into_iter().chain(band.last());
    let line: Vec<(f64, f64)> = ends.map(|(mb, at, _)| (*mb, at.max(0.0))).collect();
    chart.draw_series([PathElement::new(line, LINE.stroke_width(2))])?;
    let dots = points.iter().map(|p| Circle::new(*p, 4, MEASURED.filled()));
    chart.draw_series(dots)?;
    Ok(())
}

fn font(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().into()
}
