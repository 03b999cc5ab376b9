//! Moves of one guest under one controller.

use std::collections::BTreeMap;

use crate::cells::GUESTS;
use crate::record::{self, Record};
use crate::steering::Steering;

/// Repeats of one move.
pub(crate) struct Row<'a> {
    pub(crate) guest: &'a str,
    pub(crate) by: Steering,
    pub(crate) runs: Vec<&'a Record>,
}

/// Records in rows, guests and controllers in the order of tables.
pub(super) fn rows<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for record in records {
        let cell = &record.cell;
        let row = rows
            .iter_mut()
            .find(|row| row.guest == cell.guest && row.by == cell.steering);
        match row {
            Some(row) => row.runs.push(record),
            None => rows.push(Row {
                guest: &cell.guest,
                by: cell.steering,
                runs: vec![record],
            }),
        }
    }
    let usual = Steering::all();
    let place = |row: &Row<'_>| {
        let guest = GUESTS.iter().position(|kind| kind.name == row.guest);
        let by = usual.iter().position(|by| *by == row.by);
        (guest, by.unwrap_or(usual.len()), row.by.to_string())
    };
    rows.sort_by_key(place);
    rows
}

impl<'a> Row<'a> {
    /// The median of what is known of the runs.
    pub(crate) fn median(&self, of: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
        let known: Vec<f64> = self.runs.iter().filter_map(|run| of(run)).collect();
        record::median(&known)
    }

    /// Whether most runs ended by themselves in time.
    pub(crate) fn finished(&self) -> bool {
        2 * self.runs.iter().filter(|run| run.finished()).count() > self.runs.len()
    }

    pub(crate) fn downtime_ms(&self) -> Option<f64> {
        self.median(Record::downtime_ms)
    }

    pub(crate) fn total_s(&self) -> Option<f64> {
        self.median(Record::total_s)
    }

    pub(crate) fn lost_s(&self) -> Option<f64> {
        self.median(Record::lost_s)
    }

    /// How the runs ended.
    pub(crate) fn ends(&self) -> String {
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &self.runs {
            *ends.entry(run.end()).or_default() += 1;
        }
        let all = self.runs.len();
        let told = ends.into_iter().map(|(end, n)| match n {
            n if n == all => end.to_owned(),
            n => format!("{end} ({n} of {all})"),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// The row of a guest under a controller.
pub(crate) fn of<'r, 'a>(rows: &'r [Row<'a>], guest: &str, by: Steering) -> Option<&'r Row<'a>> {
    rows.iter().find(|row| row.guest == guest && row.by == by)
}

/// Names of the guests there are rows of, in order.
pub(crate) fn guests<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.guest).collect();
    names.dedup();
    names
}
