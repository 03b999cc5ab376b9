//! Imported migrations to rows and back.

use jiff::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Error, QueryBuilder, Row};
use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis};

use super::rows::{decode, word};
use crate::fingerprint::Fingerprint;
use crate::imports::{ImportFilter, ImportSource, SourcedMigration};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Rows of one statement: 16 values each, of 32,766 that SQLite takes.
pub(super) const ROWS_AT_ONCE: usize = 1000;

/// The statement that adds those of some migrations that are new.
pub(super) fn insert(
    migrations: &[ImportedMigration],
    source: &str,
    at: Timestamp,
) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO imported (
            fingerprint, source, imported_at_ms, run, guest, workload, started_at, technique,
            memory_bytes, dirty_rate_bytes_per_s, bandwidth_bytes_per_s, downtime_limit_ms,
            converged, total_time_ms, downtime_ms, transferred_bytes
         ) ",
    );
    insert.push_values(migrations, |mut row, migration| {
        row.push_bind(Fingerprint::of(migration).to_string())
            .push_bind(source.to_owned())
            .push_bind(at.as_millisecond())
            .push_bind(migration.run.clone())
            .push_bind(migration.guest.clone())
            .push_bind(migration.workload.clone())
            .push_bind(migration.started_at.map(|at| at.to_string()))
            .push_bind(migration.technique.name())
            .push_bind(whole(migration.memory_bytes))
            .push_bind(migration.dirty_rate.0)
            .push_bind(migration.bandwidth.0)
            .push_bind(migration.downtime_limit_ms.map(|ms| ms.0))
            .push_bind(migration.converged)
            .push_bind(migration.total_time_ms.0)
            .push_bind(migration.downtime_ms.map(|ms| ms.0))
            .push_bind(migration.transferred_bytes.map(whole));
    });
    insert.push(" ON CONFLICT (fingerprint) DO NOTHING");
    insert
}

/// SQLite has no unsigned integers; the bits come back as they were.
fn whole(bytes: Bytes) -> i64 {
    bytes.0.cast_signed()
}

/// The statement that reads migrations in the order in which they came.
pub(super) fn select(filter: &ImportFilter) -> Statement<'static> {
    sqlx::query(
        "SELECT source, imported_at_ms, run, guest, workload, started_at, technique, memory_bytes,
            dirty_rate_bytes_per_s, bandwidth_bytes_per_s, downtime_limit_ms, converged,
            total_time_ms, downtime_ms, transferred_bytes
         FROM imported
         WHERE (CAST($1 AS TEXT) IS NULL OR source = $1)
           AND (CAST($2 AS TEXT) IS NULL OR technique = $2)
           AND (CAST($3 AS TEXT) IS NULL OR guest = $3)
         ORDER BY id",
    )
    .bind(filter.source.clone())
    .bind(filter.technique.map(|technique| technique.name()))
    .bind(filter.guest.clone())
}

/// The statement that counts the migrations of every source.
pub(super) fn sources() -> Statement<'static> {
    sqlx::query(
        "SELECT source, count(*), min(imported_at_ms), max(imported_at_ms)
         FROM imported GROUP BY source ORDER BY source",
    )
}

/// Reads a row of [`sources`].
pub(super) fn read_source(row: &SqliteRow) -> Result<ImportSource, Error> {
    Ok(ImportSource {
        source: row.try_get(0)?,
        migrations: row.try_get::<i64, _>(1)?.cast_unsigned(),
        first_imported_at: time(row.try_get(2)?)?,
        last_imported_at: time(row.try_get(3)?)?,
    })
}

/// Reads a row of [`select`].
pub(super) fn read(row: &SqliteRow) -> Result<SourcedMigration, Error> {
    // By position: names would be looked up for every one of many rows.
    let ms = |at: usize| Ok::<_, Error>(row.try_get::<Option<f64>, _>(at)?.map(Millis));
    let started_at: Option<&str> = row.try_get(5)?;
    let transferred: Option<i64> = row.try_get(14)?;
    Ok(SourcedMigration {
        source: row.try_get(0)?,
        imported_at: time(row.try_get(1)?)?,
        migration: ImportedMigration {
            run: row.try_get(2)?,
            guest: row.try_get(3)?,
            workload: row.try_get(4)?,
            started_at: started_at
                .map(|text| text.parse().map_err(decode))
                .transpose()?,
            technique: word(row.try_get(6)?)?,
            memory_bytes: Bytes(row.try_get::<i64, _>(7)?.cast_unsigned()),
            dirty_rate: ByteRate(row.try_get(8)?),
            bandwidth: ByteRate(row.try_get(9)?),
            downtime_limit_ms: ms(10)?,
            converged: row.try_get(11)?,
            total_time_ms: Millis(row.try_get(12)?),
            downtime_ms: ms(13)?,
            transferred_bytes: transferred.map(|bytes| Bytes(bytes.cast_unsigned())),
        },
    })
}

fn time(ms: i64) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(ms).map_err(decode)
}
