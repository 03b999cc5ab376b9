//! The layouts of the database, and how one becomes the next.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Newest layout.
pub(super) const NEWEST: i64 = 1;

/// Marks an SQLite file as a history of vmferry (`application_id`): "vmfr".
pub(super) const APPLICATION_ID: i64 = 0x766d_6672;

/// Every layout by its number, in order. A published one never changes.
pub(super) fn migrator() -> Migrator {
    Migrator::with_migrations(vec![Migration::new(
        1,
        Cow::Borrowed("moves"),
        MigrationType::Simple,
        include_str!("../../migrations/sqlite/0001_moves.sql").into_sql_str(),
        false,
    )])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_newest_is_the_last() {
        let versions: Vec<_> = super::migrator().iter().map(|m| m.version).collect();
        assert_eq!(versions.last(), Some(&super::NEWEST));
    }
}
