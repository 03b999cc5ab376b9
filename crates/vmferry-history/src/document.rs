//! Reads records of this version, and says of others what they are.

use serde::Deserialize;
use serde_json::Value;
use vmferry_core::{MoveRecord, SCHEMA_VERSION};

use crate::error::HistoryError;

/// Oldest `schema_version` that can be read.
pub const OLDEST_SCHEMA_VERSION: u32 = 1;

/// Reads a [`MoveRecord`]; `what` names it in errors.
///
/// # Errors
/// When it is too new, too old or no record.
pub fn read_record(what: &str, json: &str) -> Result<MoveRecord, HistoryError> {
    let bad = |source| HistoryError::BadDocument {
        what: what.to_owned(),
        source,
    };
    // The version is looked at first: the rest may have another shape.
    let document: Value = serde_json::from_str(json).map_err(bad)?;
    let found = document["schema_version"].as_u64();
    let tool = || {
        document["tool_version"]
            .as_str()
            .unwrap_or("of unknown version")
            .to_owned()
    };
    match found {
        Some(found) if found > u64::from(SCHEMA_VERSION) => Err(HistoryError::DocumentTooNew {
            what: what.to_owned(),
            found,
            known: SCHEMA_VERSION,
            tool: tool(),
        }),
        Some(found) if found < u64::from(OLDEST_SCHEMA_VERSION) => {
            Err(HistoryError::DocumentTooOld {
                what: what.to_owned(),
                found,
                known: OLDEST_SCHEMA_VERSION,
                tool: tool(),
            })
        }
        _ => MoveRecord::deserialize(document).map_err(bad),
    }
}
