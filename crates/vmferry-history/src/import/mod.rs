//! Migrations that other people made and measured, from their CSV.
//!
//! ```text
//! ColumnMap ("memory_mib=mem,total_time_s=sec,...") ─┐
//! CSV, row by row ───────────────────────────────────┴─> Migrations ─┬─> ImportedMigration
//!                                                                    └─> RejectedRow
//! ```
//!
//! A row is taken whole or not at all; every one that is not says where and
//! why. Nothing is guessed: a unit is part of a field's name, an empty cell is
//! unknown.

mod column_map;
mod field;
mod rejection;
mod row;
mod table;

pub use column_map::ColumnMap;
pub use rejection::{RejectedRow, Rejection, printable};
pub use table::{ImportedTable, Migrations, read_csv};
