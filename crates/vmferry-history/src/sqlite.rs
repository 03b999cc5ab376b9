//! The history in an SQLite file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::sync::Mutex;
use uuid::Uuid;
use vmferry_core::{ImportedMigration, LinkSpeed, MoveRecord, Observation, Outcome, OutcomeStatus};

use crate::error::HistoryError;
use crate::imports::{Added, ImportFilter, ImportSource, SourcedMigration};
use crate::profiles::{Profile, ProfileFilter};
use crate::route::Route;
use crate::store::{Closed, Cursor, MoveFilter, MoveSummary, Store};

mod imports;
mod layout;
mod observations;
mod open;
mod profiles;
mod rate;
mod rows;

/// How long a lock of another program is waited for.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Records that one page of an export holds in memory.
const PAGE_ROWS: i64 = 64;

/// A history in an SQLite file, one connection to it.
pub struct History {
    path: PathBuf,
    busy_timeout: Duration,
    /// One writer: statements of one process queue here, those of several
    /// processes at SQLite's lock.
    connection: Mutex<SqliteConnection>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl History {
    /// Opens the history for writing; creates the file and its directories,
    /// and brings an older layout up to date.
    ///
    /// # Errors
    /// When it cannot be created, written or understood.
    pub async fn open(path: &Path) -> Result<Self, HistoryError> {
        open::for_writing(path, BUSY_TIMEOUT).await
    }

    /// Opens an existing history for reading; creates nothing.
    ///
    /// # Errors
    /// [`HistoryError::Missing`] where there is none; else when it cannot be
    /// read or understood.
    pub async fn open_existing(path: &Path) -> Result<Self, HistoryError> {
        open::for_reading(path, BUSY_TIMEOUT).await
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file and waits until that is done. A history that is merely
    /// dropped loses nothing, but may leave its `-wal` file to the next one.
    ///
    /// # Errors
    /// When SQLite cannot write back its log.
    pub async fn close(self) -> Result<(), HistoryError> {
        let (path, waited) = (self.path, self.busy_timeout);
        let closed = self.connection.into_inner().close().await;
        closed.map_err(|e| HistoryError::of_sqlite(&path, waited, e))
    }

    fn fault(&self, source: sqlx::Error) -> HistoryError {
        HistoryError::of_sqlite(&self.path, self.busy_timeout, source)
    }

    async fn require_move(
        &self,
        id: Uuid,
        connection: &mut SqliteConnection,
    ) -> Result<(), HistoryError> {
        sqlx::query("SELECT id FROM moves WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(connection)
            .await
            .map_err(|e| self.fault(e))?
            .map(drop)
            .ok_or_else(|| self.no_such_move(id))
    }

    fn no_such_move(&self, id: impl fmt::Display) -> HistoryError {
        HistoryError::NoSuchMove {
            id: id.to_string(),
            path: self.path.clone(),
        }
    }
}

impl Store for History {
    async fn open_move(&self, record: &MoveRecord) -> Result<(), HistoryError> {
        let insert = rows::insert(record)?;
        let mut connection = self.connection.lock().await;
        // All rows, though there is at most one: SQLite commits after the last
        // one, and a full disk shows only then.
        insert
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        Ok(())
    }

    async fn close_move(
        &self,
        id: Uuid,
        outcome: &Outcome,
        raw_statistics: Option<&Value>,
    ) -> Result<Closed, HistoryError> {
        let mut connection = self.connection.lock().await;
        // One statement that both looks and writes: whoever comes second,
        // from whichever process, finds the first one's outcome.
        // All rows, as in `open_move`.
        let written = rows::close(id, outcome, raw_statistics)?
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        if !written.is_empty() {
            return Ok(Closed::Recorded);
        }
        self.require_move(id, &mut connection).await?;
        Ok(Closed::Before)
    }

    async fn list(&self, filter: &MoveFilter) -> Result<Vec<MoveSummary>, HistoryError> {
        let mut connection = self.connection.lock().await;
        rows::list(filter)
            .fetch_all(&mut *connection)
            .await
            .and_then(|found| found.iter().map(rows::summary).collect())
            .map_err(|e| self.fault(e))
    }

    async fn get(&self, prefix: &str) -> Result<MoveRecord, HistoryError> {
        let pattern = rows::id_pattern(prefix)?;
        let mut connection = self.connection.lock().await;
        let found = sqlx::query(
            "SELECT id, record, outcome, raw_statistics FROM moves
             WHERE id LIKE $1 ORDER BY started_at_ms DESC, id DESC LIMIT 2",
        )
        .bind(pattern)
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| self.fault(e))?;
        match &found[..] {
            [] => Err(self.no_such_move(prefix)),
            [row] => rows::record(row, |e| self.fault(e)),
            [first, second, ..] => {
                let id = |row| rows::id(row).map_err(|e| self.fault(e));
                Err(HistoryError::Ambiguous {
                    prefix: prefix.to_owned(),
                    candidates: [id(first)?, id(second)?],
                })
            }
        }
    }

    async fn page(
        &self,
        filter: &MoveFilter,
        cursor: &Cursor,
    ) -> Result<Vec<MoveRecord>, HistoryError> {
        let mut connection = self.connection.lock().await;
        let found = rows::page(filter, cursor, PAGE_ROWS)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        found
            .iter()
            .map(|row| rows::record(row, |e| self.fault(e)))
            .collect()
    }

    async fn guest_history(
        &self,
        guest: &str,
        limit: u32,
    ) -> Result<Vec<MoveRecord>, HistoryError> {
        let mut connection = self.connection.lock().await;
        let found = sqlx::query(
            "SELECT id, record, outcome, raw_statistics FROM moves
             WHERE guest_name = $1 OR guest_uuid = $1 OR guest_uri = $1
             ORDER BY started_at_ms DESC, id DESC LIMIT $2",
        )
        .bind(guest)
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| self.fault(e))?;
        found
            .iter()
            .map(|row| rows::record(row, |e| self.fault(e)))
            .collect()
    }

    async fn route_rate(&self, route: &Route) -> Result<Option<LinkSpeed>, HistoryError> {
        let mut connection = self.connection.lock().await;
        // What a `max-bandwidth` held says nothing about the link.
        let found = sqlx::query(
            "SELECT wire_bytes, total_time_ms FROM moves
             WHERE route = $1 AND status = $2
               AND wire_bytes IS NOT NULL AND total_time_ms >= $3
               AND CASE WHEN max_bandwidth_bytes_per_s IS NULL
                   THEN wire_bytes * $5 / total_time_ms NOT BETWEEN $6 AND $7
                   ELSE wire_bytes * $5 / total_time_ms < max_bandwidth_bytes_per_s * $8 END
             ORDER BY started_at_ms DESC, id DESC LIMIT $4",
        )
        .bind(route.to_string())
        .bind(rows::status_word(OutcomeStatus::Completed))
        .bind(rate::SHORTEST_MS)
        .bind(rate::LATEST_MOVES)
        .bind(LinkSpeed::TCP_OVER_ETHERNET.0 * 1e3)
        .bind(rate::DEFAULT_CAP.0 * rate::HELD_SHARE)
        .bind(rate::DEFAULT_CAP.0 / rate::HELD_SHARE)
        .bind(rate::HELD_SHARE)
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| self.fault(e))?;
        let rates: Result<Vec<f64>, _> = found
            .iter()
            .map(|row| Ok(row.try_get::<f64, _>(0)? / row.try_get::<f64, _>(1)? * 1e3))
            .collect();
        Ok(rate::learned(rates.map_err(|e| self.fault(e))?))
    }

    async fn keep_observation(
        &self,
        id: Uuid,
        observation: &Observation,
    ) -> Result<(), HistoryError> {
        let insert = observations::insert(id, observation)?;
        let mut connection = self.connection.lock().await;
        // All rows, as in `open_move`.
        let written = insert
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        if !written.is_empty() {
            return Ok(());
        }
        self.require_move(id, &mut connection).await
    }

    async fn observation(&self, id: Uuid) -> Result<Option<Observation>, HistoryError> {
        let mut connection = self.connection.lock().await;
        let found = observations::select(id)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        found
            .map(|row| observations::read(id, &row, |e| self.fault(e)))
            .transpose()
    }

    async fn keep_profile(&self, profile: &Profile) -> Result<(), HistoryError> {
        let mut connection = self.connection.lock().await;
        // All rows, as in `open_move`.
        profiles::insert(profile)
            .fetch_all(&mut *connection)
            .await
            .map(drop)
            .map_err(|e| self.fault(e))
    }

    async fn profiles(&self, filter: &ProfileFilter) -> Result<Vec<Profile>, HistoryError> {
        let mut connection = self.connection.lock().await;
        let found = profiles::select(filter)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.fault(e))?;
        found
            .iter()
            .map(|row| profiles::read(row, |e| self.fault(e)))
            .collect()
    }

    async fn add_imported(
        &self,
        migrations: &[ImportedMigration],
        source: &str,
        at: jiff::Timestamp,
    ) -> Result<Added, HistoryError> {
        let mut connection = self.connection.lock().await;
        let mut transaction = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|e| self.fault(e))?;
        let mut done = Added::default();
        for some in migrations.chunks(imports::ROWS_AT_ONCE) {
            let added = imports::insert(some, source, at)
                .build()
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.fault(e))?
                .rows_affected();
            done.added += added;
            done.already_there += some.len() as u64 - added;
        }
        transaction.commit().await.map_err(|e| self.fault(e))?;
        Ok(done)
    }

    async fn imported(&self, filter: &ImportFilter) -> Result<Vec<SourcedMigration>, HistoryError> {
        let mut connection = self.connection.lock().await;
        imports::select(filter)
            .fetch_all(&mut *connection)
            .await
            .and_then(|found| found.iter().map(imports::read).collect())
            .map_err(|e| self.fault(e))
    }

    async fn import_sources(&self) -> Result<Vec<ImportSource>, HistoryError> {
        let mut connection = self.connection.lock().await;
        imports::sources()
            .fetch_all(&mut *connection)
            .await
            .and_then(|found| found.iter().map(imports::read_source).collect())
            .map_err(|e| self.fault(e))
    }

    async fn forget_source(&self, source: &str) -> Result<u64, HistoryError> {
        let removed = {
            let mut connection = self.connection.lock().await;
            sqlx::query("DELETE FROM imported WHERE source = $1")
                .bind(source.to_owned())
                .execute(&mut *connection)
                .await
                .map_err(|e| self.fault(e))?
                .rows_affected()
        };
        if removed > 0 {
            return Ok(removed);
        }
        let known = self.import_sources().await?;
        Err(HistoryError::NoSuchSource {
            name: source.to_owned(),
            known: known.into_iter().map(|known| known.source).collect(),
            path: self.path.clone(),
        })
    }
}
