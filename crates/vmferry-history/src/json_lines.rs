//! Records as JSON lines: out, and back in.

use std::io::{BufRead, Write};

use crate::document::read_record;
use crate::error::HistoryError;
use crate::store::{Closed, Cursor, MoveFilter, Store};

/// Writes every move of the filter, the oldest first, one JSON document a
/// line, and returns how many.
///
/// # Errors
/// When the store or the output fails, or a record is not of this version.
pub async fn export(
    store: &impl Store,
    filter: &MoveFilter,
    output: &mut (impl Write + Send),
) -> Result<u64, HistoryError> {
    let limit = filter.limit.map_or(u64::MAX, u64::from);
    let mut cursor = Cursor::start();
    let mut written = 0;
    while written < limit {
        let page = store.page(filter, &cursor).await?;
        let Some(last) = page.last() else { break };
        cursor = Cursor::after(last);
        for record in page.iter().take((limit - written) as usize) {
            serde_json::to_writer(&mut *output, record)
                .map_err(|e| HistoryError::Output(e.into()))?;
            output.write_all(b"\n").map_err(HistoryError::Output)?;
            written += 1;
        }
    }
    output.flush().map_err(HistoryError::Output)?;
    Ok(written)
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records read.
    pub read: u64,
    /// Records whose outcome was new to this history.
    pub closed: u64,
}

/// Reads JSON lines as [`export`] writes them. Moves that are known stay as
/// they are, but for an outcome that was missing; so the same file may be
/// read twice.
///
/// # Errors
/// When the store fails, or at the first line that is no record of a version
/// known here; the lines before it stay imported.
pub async fn import(
    store: &impl Store,
    input: &mut (impl BufRead + Send),
) -> Result<Imported, HistoryError> {
    let mut done = Imported::default();
    for (line, text) in (1..).zip(input.lines()) {
        let text = text.map_err(|source| HistoryError::Input { line, source })?;
        if text.trim().is_empty() {
            continue;
        }
        let mut record = read_record(&format!("on line {line}"), &text)?;
        let end = record
            .outcome
            .take()
            .map(|outcome| (outcome, record.raw_statistics.take()));
        store.open_move(&record).await?;
        if let Some((outcome, raw)) = end {
            let closed = store
                .close_move(record.move_id, &outcome, raw.as_ref())
                .await?;
            done.closed += u64::from(closed == Closed::Recorded);
        }
        done.read += 1;
    }
    Ok(done)
}
