//! The files of a benchmark, read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::io_error;
use crate::error::BenchError;
use crate::record::{BenchRecord, HeavyLoad, RunRecord};

/// Version of the files.
pub(super) const VERSION: u32 = 1;

/// A line of the runs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub(super) enum Line {
    /// What heavy load means for a workload.
    Heavy(HeavyLoad),
    /// A run that ended.
    Run(Box<RunRecord>),
    /// All runs have been made.
    Ended {
        /// When the last one ended.
        at: Timestamp,
    },
}

/// The lines that are whole.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// Length of the file up to the end of the last whole line.
    pub(super) length: u64,
}

pub(super) fn header_path(directory: &Path) -> PathBuf {
    directory.join("benchmark.json")
}

pub(super) fn runs_path(directory: &Path) -> PathBuf {
    directory.join("runs.jsonl")
}

fn damaged(path: &Path, problem: String) -> BenchError {
    BenchError::Damaged {
        path: path.to_owned(),
        problem: format!("{problem}; move the directory away if it is not needed"),
    }
}

/// The plan and what else was known before the first run.
pub(super) fn header(directory: &Path) -> Result<BenchRecord, BenchError> {
    let path = header_path(directory);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BenchError::NotFound(format!(
                "{} holds no benchmark; `vmferry bench list` names those there are",
                directory.display()
            )));
        }
        Err(error) => return Err(io_error(&path, error)),
    };
    let version: Version = serde_json::from_slice(&text)
        .map_err(|error| damaged(&path, format!("no head of a benchmark ({error})")))?;
    if version.schema_version > VERSION {
        return Err(BenchError::Damaged {
            path,
            problem: format!(
                "too new: version {}, this vmferry reads up to {VERSION}",
                version.schema_version
            ),
        });
    }
    serde_json::from_slice(&text)
        .map_err(|error| damaged(&path, format!("no head of a benchmark ({error})")))
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

/// The runs that ended. A last line without its end was being written when its writer died.
pub(super) fn read(directory: &Path) -> Result<Lines, BenchError> {
    let (lines, length) = read_as::<Line>(directory)?;
    Ok(Lines { lines, length })
}

/// The same, each line as far as `T` wants to know it, and the length of the whole ones.
pub(super) fn read_as<T: for<'de> Deserialize<'de>>(
    directory: &Path,
) -> Result<(Vec<T>, u64), BenchError> {
    let path = runs_path(directory);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io_error(&path, error)),
    };
    let length = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let lines: Result<Vec<T>, BenchError> = (1..)
        .zip(text[..length].split_inclusive(|byte| *byte == b'\n'))
        .map(|(number, line)| {
            serde_json::from_slice(line)
                .map_err(|error| damaged(&path, format!("line {number} is no run ({error})")))
        })
        .collect();
    Ok((lines?, length as u64))
}

impl Lines {
    /// Puts the lines into the record. Of a run that was repeated the last counts.
    pub(super) fn fill(self, record: &mut BenchRecord) {
        for line in self.lines {
            add(record, line);
        }
    }
}

/// Puts a line into the record.
pub(super) fn add(record: &mut BenchRecord, line: Line) {
    match line {
        Line::Heavy(heavy) => {
            record.heavy.retain(|one| one.workload != heavy.workload);
            record.heavy.push(heavy);
        }
        Line::Run(run) => {
            record.runs.retain(|one| one.key != run.key);
            record.runs.push(*run);
            record.ended_at = None;
        }
        Line::Ended { at } => record.ended_at = Some(at),
    }
}
