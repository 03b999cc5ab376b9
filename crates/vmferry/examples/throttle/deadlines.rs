//! Moves that have to end at a time: so much later than an unhurried move of the same guest.

use crate::cells::{Cell, GUESTS, Part};
use crate::record::Record;
use crate::steering::Steering;

/// Times asked for, over the time of an unhurried move.
const LEAST: f64 = 1.3;
const MOST: f64 = 4.0;
/// The longest that is asked for, s: the guest of small sets would be moved for minutes.
const LONGEST_S: f64 = 120.0;
/// The golden section: draws that lie evenly however many are made.
const STEP: f64 = 0.618_033_988_749_895;

/// So many moves of the guests that `curve` moved within its promise, in turn.
pub(crate) fn cells(records: &[Record], runs: usize) -> Result<Vec<Cell>, String> {
    let able: Vec<(Cell, f64)> = GUESTS
        .iter()
        .filter_map(|kind| {
            let cell = kind.cell(Steering::DEADLINE, 1);
            Some((cell, unhurried_s(records, kind.name)?))
        })
        .collect();
    if able.is_empty() {
        return Err(
            "no guest has a record of a move that `curve` made within its promise; run the bench \
             without arguments first"
                .to_owned(),
        );
    }
    let draw = |number: usize| {
        let (cell, unhurried_s) = &able[number % able.len()];
        let at = (0.5 + number as f64 * STEP).fract();
        let factor = (LEAST * (MOST / LEAST).powf(at)).min(LONGEST_S / unhurried_s);
        Cell {
            part: Part::Deadline,
            guest: format!("deadline-{:02}-{}", number + 1, cell.guest),
            within_s: (unhurried_s * factor * 10.0).round() / 10.0,
            factor: Some(factor),
            ..cell.clone()
        }
    };
    Ok((0..runs).map(draw).collect())
}

/// The time `curve` took for a guest, s: the median of the moves that kept their promise.
fn unhurried_s(records: &[Record], guest: &str) -> Option<f64> {
    let times: Vec<f64> = records
        .iter()
        .filter(|record| record.cell.part == Part::Guests && record.cell.guest == guest)
        .filter(|record| record.cell.is_current())
        .filter(|record| record.cell.steering == Steering::CURVE && record.kept())
        .filter_map(Record::total_s)
        .collect();
    crate::record::median(&times)
}
