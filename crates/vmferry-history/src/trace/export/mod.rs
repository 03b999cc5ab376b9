//! Traces for other programs: a table with a row for every page dirtied in every interval.
//!
//! | column | meaning |
//! |---|---|
//! | `interval` | number of the interval, from 0 |
//! | `start_us`, `end_us` | its ends in microseconds from the start of the recording |
//! | `block`, `page_in_block` | the page: RAM block and position in it |
//! | `page` | its position in sending order |
//! | `weight` | pages that it stands for |
//!
//! An interval in which nothing was dirtied has one row without a page.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;

use std::io::{Read, Write};
use std::path::Path;

use super::{Interval, TraceError, TraceReader};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Lines of comma-separated values, the names of the columns first.
    Csv,
    /// Apache Parquet; needs the cargo feature `parquet`.
    Parquet,
}

/// One row.
pub(crate) struct Row<'a> {
    pub(crate) interval: u64,
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    /// `None` where nothing was dirtied.
    pub(crate) page: Option<Page<'a>>,
}

/// The page of a row.
pub(crate) struct Page<'a> {
    /// `None` for memory that the header does not name.
    pub(crate) block: Option<(&'a str, u64)>,
    pub(crate) index: u64,
    pub(crate) weight: f64,
}

/// Writes rows in one form.
pub(crate) trait Table {
    fn add(&mut self, row: &Row<'_>) -> std::io::Result<()>;
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

impl ExportFormat {
    /// The form that a file's ending asks for; `None` for others than `.csv` and `.parquet`.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        [("csv", Self::Csv), ("parquet", Self::Parquet)]
            .into_iter()
            .find_map(|(known, form)| ending.eq_ignore_ascii_case(known).then_some(form))
    }

    /// Whether this build can write it; `file` is what was asked for.
    ///
    /// # Errors
    /// [`TraceError::NoParquet`].
    pub fn require(self, file: &str) -> Result<(), TraceError> {
        if self == Self::Parquet && !cfg!(feature = "parquet") {
            return Err(TraceError::NoParquet {
                file: file.to_owned(),
            });
        }
        Ok(())
    }
}

/// Writes what a reader that was just opened gives, and returns the number of rows. A trace that
/// is cut off gives the rows up to the cut; [`TraceReader::end`] then says so. `file` names the
/// output in errors.
///
/// # Errors
/// [`TraceError::NoParquet`], [`TraceError::Export`], and as [`TraceReader::next_frame`].
pub fn export<R: Read>(
    reader: &mut TraceReader<R>,
    format: ExportFormat,
    output: impl Write + Send,
    file: &str,
) -> Result<u64, TraceError> {
    format.require(file)?;
    let fail = |source| TraceError::Export {
        file: file.to_owned(),
        source,
    };
    let mut table: Box<dyn Table + '_> = match format {
        ExportFormat::Csv => Box::new(csv::Csv::new(output).map_err(fail)?),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => {
            Box::new(parquet::Parquet::new(output, reader.header()).map_err(fail)?)
        }
        #[cfg(not(feature = "parquet"))]
        ExportFormat::Parquet => {
            return Err(TraceError::NoParquet {
                file: file.to_owned(),
            });
        }
    };
    let (mut interval, mut rows) = (0, 0);
    while let Some(frame) = reader.next_frame()? {
        for seen in frame.intervals() {
            rows += add(reader, interval, seen, table.as_mut()).map_err(fail)?;
            interval += 1;
        }
    }
    table.finish().map_err(fail)?;
    Ok(rows)
}

/// Adds the rows of one interval, and returns how many.
fn add<R: Read>(
    reader: &TraceReader<R>,
    interval: u64,
    seen: Interval<'_>,
    table: &mut dyn Table,
) -> std::io::Result<u64> {
    let row = |page| Row {
        interval,
        start_us: seen.start_us,
        end_us: seen.end_us,
        page,
    };
    if seen.dirty.is_empty() {
        table.add(&row(None))?;
        return Ok(1);
    }
    for position in seen.dirty.iter() {
        let page = reader.pages().at(position).map(|page| Page {
            block: reader
                .header()
                .block_of(page.index)
                .map(|(block, within)| (block.name.as_str(), within.0)),
            index: page.index.0,
            weight: page.weight,
        });
        table.add(&row(page))?;
    }
    Ok(seen.dirty.len())
}
