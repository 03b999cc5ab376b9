//! Why the history cannot be read or written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

/// Why the history cannot be read or written. No error ever changes or
/// removes the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Nothing says where the history is.
    #[error(
        "cannot tell where the history is: HOME is not set; set VMFERRY_DB=/path/to/history.db"
    )]
    NoPath,
    /// Nothing was recorded yet.
    #[error(
        "no history yet at {}; it is written by `vmferry migrate` (VMFERRY_DB names another place)",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A directory where the file should be.
    #[error("the history {} is a directory; set VMFERRY_DB to a file in it", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} is no history of vmferry: {found}; move it away, or set VMFERRY_DB to another file",
        path.display()
    )]
    NotAHistory {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: &'static str,
    },
    /// The file is damaged.
    #[error(
        "the history {} is damaged; keep a copy, then try `sqlite3 {} .recover | sqlite3 new.db` and set VMFERRY_DB=new.db",
        path.display(), path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// Another program keeps it locked.
    #[error(
        "the history {} is locked by another program for more than {} s; see who holds it (`fuser {}`) and try again",
        path.display(), waited.as_secs_f32(), path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long the lock was waited for.
        waited: Duration,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// No space is left.
    #[error(
        "the history {} cannot be written: the disk is full; free space there, or set VMFERRY_DB to another disk",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It may only be read.
    #[error(
        "the history {} cannot be written: it is read-only; make it writable, or set VMFERRY_DB to another place",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It cannot be opened or created.
    #[error(
        "the history {} cannot be opened; check that its directory exists and that you may read and write there, or set VMFERRY_DB to another place",
        path.display()
    )]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer vmferry wrote it.
    #[error(
        "the history {} is too new: it has layout {found}, this vmferry {} knows layouts up to {known}; use a newer vmferry",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    LayoutTooNew {
        /// The file.
        path: PathBuf,
        /// Layout of the file.
        found: i64,
        /// Newest layout that is known here.
        known: i64,
    },
    /// An older vmferry wrote it, and it cannot be brought up to date.
    #[error(
        "the history {} is too old: it has layout {found}, this vmferry {} reads layout {known}; open it once where it can be written, for example with `vmferry history list`",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    LayoutTooOld {
        /// The file.
        path: PathBuf,
        /// Layout of the file.
        found: i64,
        /// The layout that is read here.
        known: i64,
    },
    /// Anything else that SQLite says.
    #[error("the history {} failed", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// A newer vmferry wrote the document.
    #[error(
        "the record {what} is too new: schema_version {found} (written by vmferry {tool}), this vmferry {} reads up to {known}; use a newer vmferry",
        env!("CARGO_PKG_VERSION")
    )]
    DocumentTooNew {
        /// Which record.
        what: String,
        /// Its version.
        found: u64,
        /// Newest version that is known here.
        known: u32,
        /// Version of vmferry that wrote it.
        tool: String,
    },
    /// A vmferry wrote the document that is no longer understood.
    #[error(
        "the record {what} is too old: schema_version {found} (written by vmferry {tool}), this vmferry {} reads from {known} on; read it with that vmferry",
        env!("CARGO_PKG_VERSION")
    )]
    DocumentTooOld {
        /// Which record.
        what: String,
        /// Its version.
        found: u64,
        /// Oldest version that is known here.
        known: u32,
        /// Version of vmferry that wrote it.
        tool: String,
    },
    /// The document is no record.
    #[error("the record {what} cannot be understood")]
    BadDocument {
        /// Which record: a move's identifier or a line.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No move of that identifier.
    #[error("no move `{id}` in the history {}; `vmferry history list` names them", path.display())]
    NoSuchMove {
        /// What was asked for.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// What was seen of the guest before a move is damaged.
    #[error(
        "what was observed before the move {id} cannot be read from the history; the move itself can"
    )]
    BadObservation {
        /// The move.
        id: Uuid,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing was imported under that name.
    #[error("nothing in the history {} was imported from `{name}`; {}", path.display(), sources_known(known))]
    NoSuchSource {
        /// What was asked for.
        name: String,
        /// The sources that are there.
        known: Vec<String>,
        /// The file.
        path: PathBuf,
    },
    /// More than one move begins like that.
    #[error("`{prefix}` may be {} or {}; give more of the identifier", candidates[0], candidates[1])]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The first two that begin like that.
        candidates: [Uuid; 2],
    },
    /// The text cannot begin an identifier.
    #[error("`{text}` is no identifier of a move: it has hexadecimal digits and hyphens only")]
    NoIdentifier {
        /// What was asked for.
        text: String,
    },
    /// The export could not be written.
    #[error("the export could not be written; check the output's disk or reader")]
    Output(#[source] io::Error),
    /// The import could not be read.
    #[error("the import could not be read at line {line}; check the input file")]
    Input {
        /// Line from 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry of a column map cannot be read.
    #[error(
        "`{entry}` is no entry of a column map; write FIELD=COLUMN, for example memory_mib=ram, or FIELD:=VALUE for one value in every row"
    )]
    MapSyntax {
        /// The entry.
        entry: String,
    },
    /// A column map names a field that is unknown, or in an unknown unit.
    #[error("no field `{field}` can be imported; the unit is part of the name: {known}")]
    MapUnknownField {
        /// What it names.
        field: String,
        /// Fields of that kind, or all of them.
        known: String,
    },
    /// A column map names a quantity in two units.
    #[error(
        "the column map says twice what the same quantity is, by {first} and {second}; leave one out"
    )]
    MapTwice {
        /// The field that comes first.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A column map lacks what every migration needs.
    #[error("the column map does not say everything a migration needs; add {missing}")]
    MapIncomplete {
        /// The entries to add.
        missing: String,
    },
    /// The CSV lacks columns of the map.
    #[error("the CSV has no column {missing}; its columns are: {found}")]
    CsvColumns {
        /// The columns with their fields.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// A column of the map occurs twice.
    #[error("the CSV has two columns `{column}`; rename the one that is not meant")]
    CsvColumnTwice {
        /// The column.
        column: String,
    },
    /// The CSV holds nothing.
    #[error("the CSV has {what}; it needs a line of column names, then one line a migration")]
    CsvEmpty {
        /// What it lacks.
        what: &'static str,
    },
    /// The file is no CSV.
    #[error("the input is no CSV but {what}; save it as comma-separated UTF-8 text")]
    CsvNotText {
        /// What it is.
        what: &'static str,
    },
}

fn sources_known(known: &[String]) -> String {
    match known {
        [] => "nothing was imported at all: see `vmferry history import --help`".to_owned(),
        known => format!("its sources are: {}", known.join(", ")),
    }
}

impl HistoryError {
    /// Whether what was handed in is at fault: an identifier, a name, a column
    /// map or a file to import.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::NoSuchMove { .. }
                | Self::Ambiguous { .. }
                | Self::NoIdentifier { .. }
                | Self::NoSuchSource { .. }
                | Self::Input { .. }
                | Self::MapSyntax { .. }
                | Self::MapUnknownField { .. }
                | Self::MapTwice { .. }
                | Self::MapIncomplete { .. }
                | Self::CsvColumns { .. }
                | Self::CsvColumnTwice { .. }
                | Self::CsvEmpty { .. }
                | Self::CsvNotText { .. }
        )
    }

    /// Whether the history as a whole cannot be used now, against a question
    /// about one record that has no answer. A move goes on without it.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::NoPath
            | Self::Missing { .. }
            | Self::IsDirectory { .. }
            | Self::NotAHistory { .. }
            | Self::Corrupt { .. }
            | Self::Locked { .. }
            | Self::Full { .. }
            | Self::ReadOnly { .. }
            | Self::CannotOpen { .. }
            | Self::LayoutTooNew { .. }
            | Self::LayoutTooOld { .. }
            | Self::Database { .. } => true,
            Self::DocumentTooNew { .. }
            | Self::DocumentTooOld { .. }
            | Self::BadDocument { .. }
            | Self::BadObservation { .. }
            | Self::NoSuchSource { .. }
            | Self::NoSuchMove { .. }
            | Self::Ambiguous { .. }
            | Self::NoIdentifier { .. }
            | Self::Output(_)
            | Self::Input { .. }
            | Self::MapSyntax { .. }
            | Self::MapUnknownField { .. }
            | Self::MapTwice { .. }
            | Self::MapIncomplete { .. }
            | Self::CsvColumns { .. }
            | Self::CsvColumnTwice { .. }
            | Self::CsvEmpty { .. }
            | Self::CsvNotText { .. } => false,
        }
    }

    /// What the system said while the file or its directory was made.
    pub(crate) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full {
                path,
                source: source.into(),
            },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly {
                path,
                source: source.into(),
            },
            _ => Self::CannotOpen {
                path,
                source: source.into(),
            },
        }
    }

    /// Sorts an error of SQLite by its result code
    /// (<https://www.sqlite.org/rescode.html>).
    pub(crate) fn of_sqlite(path: &Path, waited: Duration, source: sqlx::Error) -> Self {
        /// Growing the shared memory failed: on a full disk.
        const IOERR_SHMSIZE: i32 = 4874;
        let path = path.to_owned();
        let Some(code) = sqlite_code(&source) else {
            return Self::Database { path, source };
        };
        match (code, code & 0xff) {
            (IOERR_SHMSIZE, _) | (_, 13) => Self::Full {
                path,
                source: source.into(),
            },
            (_, 5 | 6) => Self::Locked {
                path,
                waited,
                source,
            },
            (_, 8) => Self::ReadOnly {
                path,
                source: source.into(),
            },
            (_, 11) => Self::Corrupt { path, source },
            (_, 14) => Self::CannotOpen {
                path,
                source: source.into(),
            },
            (_, 26) => Self::NotAHistory {
                path,
                found: "it is no SQLite database",
            },
            _ => Self::Database { path, source },
        }
    }
}

/// SQLite's extended result code.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
