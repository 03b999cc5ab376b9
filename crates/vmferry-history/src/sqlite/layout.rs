//! The layouts of the database, and how one becomes the next.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Newest layout.
pub(super) const NEWEST: i64 = 3;
/// Oldest layout that was published.
pub(super) const OLDEST: i64 = 1;

/// Marks an SQLite file as a history of vmferry (`application_id`): "vmfr".
pub(super) const APPLICATION_ID: i64 = 0x766d_6672;

/// Every layout by its number, in order. A published one never changes.
pub(super) fn migrator() -> Migrator {
    let layout = |number, name, sql: &'static str| {
        Migration::new(
            number,
            Cow::Borrowed(name),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![
        layout(
            1,
            "moves",
            include_str!("../../migrations/sqlite/0001_moves.sql"),
        ),
        layout(
            2,
            "imports and observations",
            include_str!("../../migrations/sqlite/0002_imports_and_observations.sql"),
        ),
        layout(
            3,
            "profiles",
            include_str!("../../migrations/sqlite/0003_profiles.sql"),
        ),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_newest_is_the_last() {
        let versions: Vec<_> = super::migrator().iter().map(|m| m.version).collect();
        assert_eq!(versions.last(), Some(&super::NEWEST));
    }
}
