//! Migrations of other people as the history keeps them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ImportedMigration, Technique};

/// Which imported migrations; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportFilter {
    /// Of this source.
    pub source: Option<String>,
    /// By this technique.
    pub technique: Option<Technique>,
    /// Of this guest.
    pub guest: Option<String>,
}

/// An imported migration with where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcedMigration {
    /// The source that told it first.
    pub source: String,
    /// When it was imported.
    pub imported_at: Timestamp,
    /// The migration.
    pub migration: ImportedMigration,
}

/// A source of imported migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportSource {
    /// Its name: the file's, or what the import was called.
    pub source: String,
    /// Migrations of it that are kept; above 0.
    pub migrations: u64,
    /// When the first of them was imported.
    pub first_imported_at: Timestamp,
    /// When the last of them was imported.
    pub last_imported_at: Timestamp,
}

/// What became of migrations that were handed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// New ones.
    pub added: u64,
    /// Known ones: nothing was changed.
    pub already_there: u64,
}
