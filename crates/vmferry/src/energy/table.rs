//! Energies of moves in a CSV of others.

use std::path::Path;

use vmferry_core::{Bytes, Joules};

use super::profile::ProfiledSide;
use crate::Error;

/// Columns of traffic, with the bytes of one unit.
const TRAFFIC: [(&str, f64); 2] = [("transferred_bytes", 1.0), ("transferred_mb", 1e6)];

const ENERGY: [(&str, ProfiledSide); 3] = [
    ("source_energy_j", ProfiledSide::Source),
    ("destination_energy_j", ProfiledSide::Destination),
    ("energy_j", ProfiledSide::Pair),
];

type Points = Vec<(Bytes, Joules)>;

/// Reads the moves of a CSV, by whose energy a column has.
pub(super) fn read_table(path: &Path) -> Result<Vec<(ProfiledSide, Points)>, Error> {
    let wrong = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
    let mut table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| wrong(format!("{error}; give a CSV file")))?;
    let names = table
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let column = |name: &str| names.iter().position(|found| found == name);
    let (traffic, unit) = TRAFFIC
        .iter()
        .find_map(|(name, unit)| Some((column(name)?, *unit)))
        .ok_or_else(|| {
            wrong("has no column transferred_bytes or transferred_mb, what a move sent".to_owned())
        })?;
    let mut sides: Vec<(usize, ProfiledSide, Points)> = ENERGY
        .iter()
        .filter_map(|(name, side)| Some((column(name)?, *side, Vec::new())))
        .collect();
    if sides.is_empty() {
        return Err(wrong(
            "has no column energy_j (both hosts), source_energy_j or destination_energy_j, in joules above the background".to_owned(),
        ));
    }
    for record in table.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |at: usize| {
            let text = record.get(at).unwrap_or_default();
            text.parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .ok_or_else(|| {
                    let name = names.get(at).unwrap_or_default();
                    wrong(format!(
                        "line {line}: {name} is `{text}`, which is no number"
                    ))
                })
        };
        let sent = number(traffic)? * unit;
        if sent < 1.0 {
            return Err(wrong(format!("line {line}: a move sends something")));
        }
        for (at, _, points) in &mut sides {
            points.push((Bytes(sent as u64), Joules(number(*at)?)));
        }
    }
    let sides = sides.into_iter();
    Ok(sides.map(|(_, side, points)| (side, points)).collect())
}
