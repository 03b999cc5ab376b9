//! Where moves are kept and learned from.

use std::path::PathBuf;

use vmferry_history::{HistoryError, history_path};

/// The history that a move is kept in, and whose earlier moves teach its forecast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HistoryPlace {
    /// The operator's: `VMFERRY_DB`, or the usual place.
    #[default]
    Usual,
    /// A history of its own, in this file. A benchmark has one, so that it begins with nothing
    /// learned, and its moves teach no operator's.
    File(PathBuf),
}

impl HistoryPlace {
    /// The file; it need not exist.
    pub(crate) fn path(&self) -> Result<PathBuf, HistoryError> {
        match self {
            Self::Usual => history_path(),
            Self::File(path) => Ok(path.clone()),
        }
    }
}
