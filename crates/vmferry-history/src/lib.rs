//! The record of forecasts and outcomes.
//!
//! [`History`] keeps one row a move in an SQLite file. The record with the
//! forecast is written before the move and never changed; the outcome is
//! added at the end by whoever sees it first. [`Store`] is what a history
//! must be able to do, wherever it is kept. [`mod@import`] reads migrations that
//! other people made, which [`imports`] keeps beside, and [`profiles`] are of
//! hosts. [`trace`] is another record, in files of its own: which pages of a
//! guest were dirtied when.

pub mod document;
pub mod error;
pub mod fingerprint;
pub mod import;
pub mod imports;
pub mod json_lines;
pub mod path;
pub mod profiles;
pub mod route;
pub mod sqlite;
pub mod store;
pub mod trace;

pub use error::HistoryError;
pub use fingerprint::Fingerprint;
pub use imports::{Added, ImportFilter, ImportSource, SourcedMigration};
pub use json_lines::{Imported, export, import};
pub use path::history_path;
pub use profiles::{Profile, ProfileFilter};
pub use route::{Route, host_name};
pub use sqlite::History;
pub use store::{Closed, Cursor, MoveFilter, MoveSummary, Store};
