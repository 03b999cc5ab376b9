//! The log of an external meter: a CSV of times and watts.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use vmferry_core::Watts;

use super::{PowerError, PowerMeter, ReadFuture, Reading, Value};

/// How much of a log's end is read for its latest row.
const TAIL: u64 = 4096;

/// How far the clock of who writes a log may be ahead of this host's.
const MOST_AHEAD: SignedDuration = SignedDuration::from_secs(2);

/// A row of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedPower {
    /// When.
    pub at: Timestamp,
    /// How much.
    pub power: Watts,
}

/// A log that grows: its latest row is the reading.
#[derive(Debug)]
pub struct CsvLog {
    name: String,
    path: PathBuf,
}

impl CsvLog {
    /// The log in a file: two columns, time (RFC 3339, or seconds since 1970)
    /// and watts; other columns and a line of names may be there.
    ///
    /// # Errors
    /// When it cannot be read, or its end is no such row.
    pub fn open(path: &Path) -> Result<Self, PowerError> {
        let log = Self {
            name: format!("log {}", path.display()),
            path: path.to_owned(),
        };
        log.latest()?;
        Ok(log)
    }

    fn latest(&self) -> Result<LoggedPower, PowerError> {
        let read = || {
            let mut file = File::open(&self.path)?;
            let length = file.seek(SeekFrom::End(0))?;
            let from = length.saturating_sub(TAIL);
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(tail)
        };
        let tail = read().map_err(|source| PowerError::File {
            meter: self.name.clone(),
            path: self.path.clone(),
            source,
        })?;
        let text = String::from_utf8_lossy(&tail);
        // What has no line's end yet is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let last = whole.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.ok_or_else(|| self.wrong("there is no row yet".to_owned()))?;
        let fields: Vec<&str> = last.split(',').collect();
        row(&fields).map_err(|problem| self.wrong(format!("its last row, `{last}`: {problem}")))
    }

    fn reading(&self, row: LoggedPower) -> Result<Reading, PowerError> {
        let (now, here) = (Timestamp::now(), Instant::now());
        let ahead = row.at.duration_since(now);
        // Such a row would count as new again and again, also of a log that ended.
        if ahead > MOST_AHEAD {
            return Err(self.wrong(format!(
                "its last row is of {}, {} s ahead of this host's clock; set both clocks, or write the time zone",
                row.at,
                ahead.as_secs()
            )));
        }
        let age = Duration::try_from(now.duration_since(row.at)).unwrap_or_default();
        Ok(Reading {
            at: here.checked_sub(age).unwrap_or(here),
            value: Value::Power(row.power),
        })
    }

    fn wrong(&self, problem: String) -> PowerError {
        PowerError::Log {
            path: self.path.clone(),
            problem,
        }
    }
}

impl PowerMeter for CsvLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> ReadFuture<'_> {
        let read = self.latest().and_then(|row| self.reading(row));
        Box::pin(async { read })
    }
}

/// Reads a whole log, sorted by time as it has to be.
///
/// # Errors
/// With the line that cannot be understood, or is older than the one before.
pub fn read_log(path: &Path) -> Result<Vec<LoggedPower>, PowerError> {
    let wrong = |problem: String| PowerError::Log {
        path: path.to_owned(),
        problem,
    };
    let file = File::open(path).map_err(|source| PowerError::File {
        meter: format!("log {}", path.display()),
        path: path.to_owned(),
        source,
    })?;
    let mut table = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    let mut rows: Vec<LoggedPower> = Vec::new();
    for (record, number) in table.records().zip(0u64..) {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = record.iter().collect();
        match row(&fields) {
            Ok(row) if rows.last().is_some_and(|last| last.at >= row.at) => {
                return Err(wrong(format!(
                    "line {line}: {} is not later than the row before; sort the log by time",
                    row.at
                )));
            }
            Ok(row) => rows.push(row),
            // Names of columns.
            Err(_) if number == 0 => {}
            Err(problem) => return Err(wrong(format!("line {line}: {problem}"))),
        }
    }
    if rows.is_empty() {
        return Err(wrong("there is no row of a time and watts".to_owned()));
    }
    Ok(rows)
}

fn row(fields: &[&str]) -> Result<LoggedPower, String> {
    let [time, power, ..] = fields else {
        return Err("a row is a time, a comma, and watts".to_owned());
    };
    let power = power
        .trim()
        .parse()
        .map_err(|_| format!("`{}` is no number of watts", power.trim()))?;
    Ok(LoggedPower {
        at: time_of(time.trim())?,
        power: Watts(power),
    })
}

fn time_of(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let none = || format!("`{text}` is no time; write 2026-01-31T12:00:00Z, or seconds since 1970");
    let seconds: f64 = text.parse().map_err(|_| none())?;
    // As good as a double is: a quarter of a microsecond.
    Timestamp::from_microsecond((seconds * 1e6).round() as i64).map_err(|_| none())
}
