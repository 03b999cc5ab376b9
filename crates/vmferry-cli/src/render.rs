//! Documents as tables, for people.

pub(crate) mod bench;
pub(crate) mod by_hour;
pub(crate) mod cap_curves;
pub(crate) mod choose;
pub(crate) mod compare;
pub(crate) mod cost_bars;
pub(crate) mod curves;
pub(crate) mod demo;
pub(crate) mod energy;
pub(crate) mod energy_line;
pub(crate) mod forecast;
pub(crate) mod imports;
pub(crate) mod moves;
pub(crate) mod need;
pub(crate) mod observation;
pub(crate) mod outcome;
pub(crate) mod profile_cpu;
pub(crate) mod profile_page;
pub(crate) mod promise;
mod quantities;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod remedy;
pub(crate) mod simulate;
pub(crate) mod sweep;
pub(crate) mod testbed;
pub(crate) mod trace;
pub(crate) mod when;

use std::fmt::Display;

use comfy_table::{Table, presets};
use vmferry::core::Interval;

/// An empty table in our style.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(header.to_vec());
    table
}

/// A value, or a dash where it is unknown.
pub(crate) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The cells p5, p50, p95 of an interval.
pub(crate) fn cells<T: Display>(interval: Option<Interval<T>>) -> [String; 3] {
    interval.map_or_else(
        || ["-".to_owned(), "-".to_owned(), "-".to_owned()],
        |i| [i.p5.to_string(), i.p50.to_string(), i.p95.to_string()],
    )
}

/// A table as text, without blanks at the ends of its lines.
pub(crate) fn text(table: &Table) -> String {
    table
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}
