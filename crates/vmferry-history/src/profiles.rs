//! Profiles of hosts as the history keeps them.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::HistoryError;

/// Something measured of hosts, or fitted to such measurements. The history
/// does not look into the document; who kept it knows its shape by the kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it is, for example `energy`; names the document's shape.
    pub kind: String,
    /// The source host it is about; `None`: any, or none takes part.
    pub source_host: Option<String>,
    /// The destination host it is about; `None`: any, or none takes part.
    pub destination_host: Option<String>,
    /// When it was made; the history keeps milliseconds.
    pub made_at: Timestamp,
    /// The profile itself.
    pub document: Value,
}

impl Profile {
    /// A profile of a kind and of two hosts, with its document.
    ///
    /// # Errors
    /// [`HistoryError::BadDocument`] when it cannot be written as JSON.
    pub fn new(
        kind: &str,
        source_host: Option<&str>,
        destination_host: Option<&str>,
        made_at: Timestamp,
        document: &impl Serialize,
    ) -> Result<Self, HistoryError> {
        let document = serde_json::to_value(document).map_err(|source| bad(kind, source))?;
        Ok(Self {
            kind: kind.to_owned(),
            source_host: source_host.map(str::to_owned),
            destination_host: destination_host.map(str::to_owned),
            made_at,
            document,
        })
    }

    /// The document in its own type.
    ///
    /// # Errors
    /// [`HistoryError::BadDocument`] when it is not of that shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, HistoryError> {
        T::deserialize(&self.document).map_err(|source| bad(&self.kind, source))
    }
}

fn bad(kind: &str, source: serde_json::Error) -> HistoryError {
    HistoryError::BadDocument {
        what: format!("of the `{kind}` profile"),
        source,
    }
}

/// Which profiles. A host that is not named counts as any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Kept for this source host, by exactly this name.
    pub source_host: Option<String>,
    /// Kept for this destination host, by exactly this name.
    pub destination_host: Option<String>,
    /// Made at that time or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: Option<u32>,
}
