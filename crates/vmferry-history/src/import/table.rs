//! A CSV, row by row.

use std::collections::HashMap;
use std::io::{BufRead, Chain, Cursor, Read};

use csv::{ByteRecord, ReaderBuilder, Terminator};
use vmferry_core::ImportedMigration;
use xxhash_rust::xxh3::xxh3_128;

use super::column_map::{ColumnMap, Entry, Origin};
use super::rejection::{RejectedRow, Rejection, printable};
use super::row::{CellPlace, Row, Source};
use crate::error::HistoryError;

/// Longest header that is read.
const LONGEST_HEADER: u64 = 1 << 20;
/// Most columns of a file that an error names.
const MOST_NAMED: usize = 30;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The header, the rest, and a last line end.
type Input<R> = Chain<Chain<Cursor<Vec<u8>>, R>, &'static [u8]>;

/// What an import found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedTable {
    /// The migrations, in the order of the file.
    pub migrations: Vec<ImportedMigration>,
    /// The rows that were not taken, likewise.
    pub rejected: Vec<RejectedRow>,
}

/// Reads a whole CSV: separated by commas, semicolons or tabs, with a header,
/// quoted or not, whatever its line ends, with or without byte-order mark.
///
/// # Errors
/// When the input cannot be read, has no header or no rows, or lacks a column
/// of the map. Rows that make no sense are in [`ImportedTable::rejected`].
pub fn read_csv(input: impl BufRead, map: &ColumnMap) -> Result<ImportedTable, HistoryError> {
    let mut table = ImportedTable::default();
    for row in Migrations::of(input, map)? {
        match row? {
            Ok(migration) => table.migrations.push(migration),
            Err(rejected) => table.rejected.push(rejected),
        }
    }
    if table.migrations.is_empty() && table.rejected.is_empty() {
        return Err(HistoryError::CsvEmpty { what: "no rows" });
    }
    Ok(table)
}

/// The rows of a CSV, one at a time. Beside the current row, memory holds 24
/// bytes a row, by which duplicates are found.
#[derive(Debug)]
pub struct Migrations<R> {
    records: csv::Reader<Input<R>>,
    sources: Vec<Source>,
    columns: usize,
    /// Blank lines above the header.
    lines_above: u64,
    record: ByteRecord,
    identity: Vec<u8>,
    seen: HashMap<u128, u64>,
}

impl<R: BufRead> Migrations<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the input cannot be read, has no header, or lacks a column of the
    /// map.
    pub fn of(mut input: R, map: &ColumnMap) -> Result<Self, HistoryError> {
        let (start, lines_above) = first_line(&mut input)?;
        let delimiter = delimiter(&start);
        let mut records = ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            // A carriage return before it is trimmed with the cell.
            .terminator(Terminator::Any(b'\n'))
            // So that every row ends with a line end, see `line`.
            .from_reader(Cursor::new(start).chain(input).chain(&b"\n"[..]));
        let header = records.byte_headers().map_err(unreadable)?;
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let sources = sources(map, &names)?;
        Ok(Self {
            records,
            sources,
            columns: names.len(),
            lines_above,
            record: ByteRecord::new(),
            identity: Vec::new(),
            seen: HashMap::new(),
        })
    }

    /// The line on which the current row begins. The reader's own notion of
    /// that is the end of the row before, blank lines uncounted; so count
    /// back from this row's end, which only an open quote leaves without line
    /// end.
    fn line(&self) -> u64 {
        let within = self.record.as_slice().iter().filter(|b| **b == b'\n');
        let end = self.records.position().line();
        let before = self.record.position().map_or(0, csv::Position::line);
        let line = end.saturating_sub(1 + within.count() as u64).max(before);
        self.lines_above + line
    }

    fn row(&mut self) -> Result<ImportedMigration, RejectedRow> {
        let line = self.line();
        let reject = |reason| RejectedRow {
            line,
            column: None,
            value: None,
            reason,
        };
        if self.record.len() != self.columns {
            return Err(reject(Rejection::ColumnCount {
                found: self.record.len(),
                expected: self.columns,
            }));
        }
        let row = Row {
            line,
            record: &self.record,
            sources: &self.sources,
        };
        let migration = row.migration()?;
        row.identity(&mut self.identity);
        let first = *self.seen.entry(xxh3_128(&self.identity)).or_insert(line);
        if first != line {
            return Err(reject(Rejection::Duplicate { line: first }));
        }
        Ok(migration)
    }
}

impl<R: BufRead> Iterator for Migrations<R> {
    /// A migration, a row that was not taken, or the end of reading.
    type Item = Result<Result<ImportedMigration, RejectedRow>, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.records.read_byte_record(&mut self.record) {
                Ok(true) if self.record.as_slice().trim_ascii().is_empty() => {}
                Ok(true) => return Some(Ok(self.row())),
                Ok(false) => return None,
                Err(error) => return Some(Err(unreadable(error))),
            }
        }
    }
}

/// The first line that says anything, without a byte-order mark, and the
/// number of blank ones above it.
fn first_line(input: &mut impl BufRead) -> Result<(Vec<u8>, u64), HistoryError> {
    let mut start = Vec::new();
    for lines_above in 0.. {
        start.clear();
        let read = input
            .by_ref()
            .take(LONGEST_HEADER)
            .read_until(b'\n', &mut start)
            .map_err(|source| HistoryError::Input { line: 1, source })?;
        if read == 0 {
            break;
        }
        if lines_above == 0 && start.starts_with(BYTE_ORDER_MARK) {
            start.drain(..BYTE_ORDER_MARK.len());
        }
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(HistoryError::CsvNotText { what: "UTF-16" });
        }
        if start.contains(&0) {
            return Err(HistoryError::CsvNotText { what: "binary" });
        }
        if start.trim_ascii().contains(&b'\r') {
            return Err(HistoryError::CsvNotText {
                what: "text whose lines end by carriage returns",
            });
        }
        if start.len() as u64 >= LONGEST_HEADER {
            return Err(HistoryError::CsvNotText {
                what: "one line of more than 1 MiB",
            });
        }
        if !start.trim_ascii().is_empty() {
            return Ok((start, lines_above));
        }
    }
    Err(HistoryError::CsvEmpty { what: "no header" })
}

/// What separates the columns: of comma, semicolon and tab the one that the
/// header has most of.
fn delimiter(start: &[u8]) -> u8 {
    let count = |wanted: u8| start.iter().filter(|b| **b == wanted).count();
    // The last of equals wins: a comma where there is none of them.
    *[b'\t', b';', b',']
        .iter()
        .max_by_key(|b| count(**b))
        .unwrap_or(&b',')
}

/// Finds the columns of a map in a header.
fn sources(map: &ColumnMap, names: &[String]) -> Result<Vec<Source>, HistoryError> {
    let mut missing = Vec::new();
    let mut sources = Vec::new();
    for Entry { unit, from } in map.entries() {
        let (name, from) = match from {
            Origin::Value(value) => (format!("{}:=", unit.name), CellPlace::Value(value.clone())),
            Origin::Column(column) => {
                let mut found = (0..names.len()).filter(|i| names[*i] == *column);
                let Some(index) = found.next() else {
                    missing.push(format!("`{column}` ({})", unit.name));
                    continue;
                };
                if found.next().is_some() {
                    return Err(HistoryError::CsvColumnTwice {
                        column: column.clone(),
                    });
                }
                (column.clone(), CellPlace::Column(index))
            }
        };
        sources.push(Source {
            unit: *unit,
            name,
            from,
        });
    }
    if missing.is_empty() {
        return Ok(sources);
    }
    let mut found: Vec<_> = names
        .iter()
        .take(MOST_NAMED)
        .map(|n| printable(n))
        .collect();
    if names.len() > MOST_NAMED {
        found.push("...".to_owned());
    }
    Err(HistoryError::CsvColumns {
        missing: missing.join(", "),
        found: found.join(", "),
    })
}

fn unreadable(error: csv::Error) -> HistoryError {
    let line = error.position().map_or(1, csv::Position::line);
    HistoryError::Input {
        line,
        source: error.into(),
    }
}
