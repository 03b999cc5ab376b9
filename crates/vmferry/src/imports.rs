//! Other people's migrations: into the history, listed, forgotten.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ExitCode, ImportedMigration, Technique};
pub use vmferry_history::import::ColumnMap;
pub use vmferry_history::import::printable;
use vmferry_history::import::{RejectedRow, read_csv};
use vmferry_history::{
    Added, Fingerprint, History, HistoryError, ImportFilter, ImportSource, Store as _, history_path,
};

use crate::Error;
use crate::document::Versions;

/// `vmferry history import -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// What the source is called in the history.
    pub source: String,
    /// Whether nothing was written: counts are then of what would be.
    pub dry_run: bool,
    /// Migrations that are new to the history.
    pub taken: u64,
    /// Migrations that the history, or an earlier row, had told already.
    pub already_there: u64,
    /// Taken and known migrations by technique.
    pub by_technique: BTreeMap<Technique, u64>,
    /// Number of workloads that they name.
    pub workloads: usize,
    /// Number of guests that they name.
    pub guests: usize,
    /// Every row that was not taken, in the order of the file.
    pub rejected: Vec<RejectedLine>,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedLine {
    /// Line of the file, from 1; the header is line 1.
    pub line: u64,
    /// The column, where one is to blame.
    pub column: Option<String>,
    /// What stands there, cut after 60 characters.
    pub value: Option<String>,
    /// Where and why, as a sentence.
    pub message: String,
}

impl From<RejectedRow> for RejectedLine {
    fn from(row: RejectedRow) -> Self {
        Self {
            message: row.to_string(),
            line: row.line,
            column: row.column,
            value: row.value,
        }
    }
}

/// `vmferry history imports -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportList {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The sources, by name.
    pub sources: Vec<ImportSource>,
}

/// `vmferry history forget -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForgetReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// The source.
    pub source: String,
    /// Migrations removed; above 0.
    pub removed: u64,
}

/// Reads a CSV into the history under the name `source`. A dry run writes
/// nothing, and counts against the history where there is one.
///
/// # Errors
/// When the input is no CSV or lacks a column of the map, or the history
/// cannot be used. Rows that make no sense are in [`ImportReport::rejected`].
pub async fn import(
    input: impl BufRead,
    map: &ColumnMap,
    source: &str,
    dry_run: bool,
) -> Result<ImportReport, Error> {
    let table = read_csv(input, map)?;
    let found = &table.migrations;
    let added = if dry_run {
        would_add(found).await?
    } else if found.is_empty() {
        Added::default()
    } else {
        let history = History::open(&history_path()?).await?;
        let added = history
            .add_imported(found, source, Timestamp::now())
            .await?;
        history.close().await?;
        added
    };
    let mut by_technique = BTreeMap::new();
    for migration in found {
        *by_technique.entry(migration.technique).or_default() += 1;
    }
    let mut notes = notes(found);
    if added.already_there > 0 {
        notes.extend(told_first(found, source).await?);
    }
    let named = |name: fn(&ImportedMigration) -> Option<&String>| {
        found.iter().filter_map(name).collect::<HashSet<_>>().len()
    };
    Ok(ImportReport {
        versions: Versions::default(),
        source: source.to_owned(),
        dry_run,
        taken: added.added,
        already_there: added.already_there,
        by_technique,
        workloads: named(|m| m.workload.as_ref()),
        guests: named(|m| m.guest.as_ref()),
        notes,
        rejected: table.rejected.into_iter().map(Into::into).collect(),
    })
}

/// Which other sources had told what is there already.
async fn told_first(found: &[ImportedMigration], source: &str) -> Result<Option<String>, Error> {
    let history = match History::open_existing(&history_path()?).await {
        Ok(history) => history,
        Err(HistoryError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found: HashSet<Fingerprint> = found.iter().map(Fingerprint::of).collect();
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    for kept in history.imported(&ImportFilter::default()).await? {
        if kept.source != source && found.contains(&Fingerprint::of(&kept.migration)) {
            *others.entry(kept.source).or_default() += 1;
        }
    }
    let by: Vec<String> = others
        .iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    Ok((!by.is_empty()).then(|| {
        format!(
            "Other sources told these migrations first and keep them: {}.",
            by.join(", ")
        )
    }))
}

/// What an import would add.
async fn would_add(migrations: &[ImportedMigration]) -> Result<Added, Error> {
    let mut known: HashSet<Fingerprint> = match History::open_existing(&history_path()?).await {
        Ok(history) => {
            let kept = history.imported(&ImportFilter::default()).await?;
            kept.iter().map(|m| Fingerprint::of(&m.migration)).collect()
        }
        Err(HistoryError::Missing { .. }) => HashSet::new(),
        Err(error) => return Err(error.into()),
    };
    let new = migrations.iter().map(Fingerprint::of);
    let added = new.filter(|one| known.insert(*one)).count() as u64;
    Ok(Added {
        added,
        already_there: migrations.len() as u64 - added,
    })
}

/// What the data lack that models and comparisons could use.
fn notes(found: &[ImportedMigration]) -> Vec<String> {
    let none =
        |known: fn(&ImportedMigration) -> bool| !found.is_empty() && !found.iter().any(known);
    [
        (
            none(|m| m.workload.is_some()),
            "No row names its workload, so that `vmferry compare` cannot leave one out; map workload=COLUMN.",
        ),
        (
            none(|m| m.converged.is_some()),
            "No row says whether it converged, so that they count in errors but in no verdict; map converged=COLUMN where some were cut off.",
        ),
        (
            none(|m| m.downtime_ms.is_some()),
            "No row tells a downtime; map downtime_ms=COLUMN.",
        ),
        (
            none(|m| m.transferred_bytes.is_some()),
            "No row tells its traffic; map transferred_kib=COLUMN.",
        ),
    ]
    .into_iter()
    .filter(|(lacks, _)| *lacks)
    .map(|(_, note)| note.to_owned())
    .collect()
}

/// The exit code of an import: something was taken, or known already.
pub fn exit_code(report: &ImportReport) -> ExitCode {
    if report.taken + report.already_there > 0 {
        ExitCode::Done
    } else {
        ExitCode::Usage
    }
}

/// Lists the sources of imported migrations.
///
/// # Errors
/// When there is no history, or it cannot be read.
pub async fn sources() -> Result<ImportList, Error> {
    let history = History::open_existing(&history_path()?).await?;
    Ok(ImportList {
        versions: Versions::default(),
        sources: history.import_sources().await?,
    })
}

/// Removes what was imported from a source. Nothing else hangs on it, and the
/// file may be imported again.
///
/// # Errors
/// When nothing was imported under that name, or the history cannot be used.
pub async fn forget(source: &str) -> Result<ForgetReport, Error> {
    let path = history_path()?;
    // Opened for writing it would be made where there is none.
    History::open_existing(&path).await?.close().await?;
    let history = History::open(&path).await?;
    let removed = history.forget_source(source).await?;
    history.close().await?;
    Ok(ForgetReport {
        versions: Versions::default(),
        source: source.to_owned(),
        removed,
    })
}
