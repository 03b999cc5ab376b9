//! Which column says what, and in which unit.

use std::str::FromStr;

use super::field::{Field, REQUIRED, UNITS, Unit};
use crate::error::HistoryError;

/// Which column of a CSV says what, in the unit that the field's name ends
/// with. Read from `memory_mib=mem,dirty_pages_per_s=rate,...`; an entry
/// `FIELD:=VALUE` gives one value to every row.
///
/// Every map names the memory, the dirty rate, the bandwidth, the technique
/// and the total time; the workload, the downtime and the traffic may be
/// added, and beside them `guest`, `run`, `started_at` (RFC 3339, or
/// `started_at_unix_s`), `downtime_limit_ms` and `converged`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnMap {
    entries: Vec<Entry>,
}

/// One field and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) unit: Unit,
    pub(super) from: Origin,
}

/// Where a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The column of that name.
    Column(String),
    /// The same for every row.
    Value(String),
}

impl ColumnMap {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn entry(text: &str) -> Result<Entry, HistoryError> {
        let bad = || HistoryError::MapSyntax {
            entry: text.to_owned(),
        };
        let (name, from) = text.split_once('=').ok_or_else(bad)?;
        let (name, from) = (name.trim(), from.trim());
        if name.is_empty() || from.is_empty() {
            return Err(bad());
        }
        let (name, from) = match name.strip_suffix(':') {
            Some(name) => (name.trim_end(), Origin::Value(from.to_owned())),
            None => (name, Origin::Column(from.to_owned())),
        };
        let unit = UNITS.iter().find(|unit| unit.name == name);
        let unit = *unit.ok_or_else(|| HistoryError::MapUnknownField {
            field: name.to_owned(),
            known: alike(name),
        })?;
        Ok(Entry { unit, from })
    }
}

impl FromStr for ColumnMap {
    type Err = HistoryError;

    fn from_str(text: &str) -> Result<Self, HistoryError> {
        let mut entries: Vec<Entry> = Vec::new();
        for text in text.split(',').filter(|text| !text.trim().is_empty()) {
            let entry = Self::entry(text)?;
            let field = entry.unit.field;
            if let Some(first) = entries.iter().find(|e| e.unit.field == field) {
                return Err(HistoryError::MapTwice {
                    first: first.unit.name,
                    second: entry.unit.name,
                });
            }
            entries.push(entry);
        }
        let has = |field: Field| entries.iter().any(|e| e.unit.field == field);
        let missing: Vec<_> = REQUIRED
            .iter()
            .filter(|(field, _)| !has(*field))
            .map(|(_, example)| format!("{example}=COLUMN"))
            .collect();
        if !missing.is_empty() {
            return Err(HistoryError::MapIncomplete {
                missing: missing.join(","),
            });
        }
        Ok(Self { entries })
    }
}

/// The fields that begin as this one does, or all of them.
fn alike(name: &str) -> String {
    let stem = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    let of = |units: &mut dyn Iterator<Item = &Unit>| {
        units.map(|unit| unit.name).collect::<Vec<_>>().join(", ")
    };
    let near = of(&mut UNITS.iter().filter(|u| stem(u.name) == stem(name)));
    if near.is_empty() {
        of(&mut UNITS.iter())
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: &str =
        "memory_mib=mem,dirty_pages_per_s=d,bandwidth_mbit_per_s=b,technique=t,total_time_ms=ms";

    fn error(text: &str) -> String {
        text.parse::<ColumnMap>().unwrap_err().to_string()
    }

    #[test]
    fn columns_and_values_are_told_apart() {
        let map: ColumnMap = format!("{ENOUGH}, workload:=a=b").parse().unwrap();
        let last = map.entries().last().unwrap();
        assert_eq!(last.from, Origin::Value("a=b".to_owned()));
        assert_eq!(map.entries()[0].from, Origin::Column("mem".to_owned()));
    }

    #[test]
    fn says_what_is_wrong_with_a_map() {
        insta::assert_snapshot!(error("memory_furlong=mem"), @"no field `memory_furlong` can be imported; the unit is part of the name: memory_mib, memory_bytes, memory_kib, memory_gib, memory_mb, memory_gb, memory_pages");
        insta::assert_snapshot!(error("memory_mib"), @"`memory_mib` is no entry of a column map; write FIELD=COLUMN, for example memory_mib=ram, or FIELD:=VALUE for one value in every row");
        insta::assert_snapshot!(error(&format!("{ENOUGH},memory_gib=gib")), @"the column map says twice what the same quantity is, by memory_mib and memory_gib; leave one out");
        insta::assert_snapshot!(error("memory_mib=mem,technique:=pre-copy"), @"the column map does not say everything a migration needs; add dirty_pages_per_s=COLUMN,bandwidth_mbit_per_s=COLUMN,total_time_ms=COLUMN");
        assert!(error("speed=x").contains("bandwidth_gbit_per_s"));
        assert!(error("").contains("memory_mib=COLUMN"));
    }

    #[test]
    fn every_unit_has_a_name_of_its_own() {
        for (i, unit) in UNITS.iter().enumerate() {
            assert!(UNITS[..i].iter().all(|other| other.name != unit.name));
        }
    }
}
