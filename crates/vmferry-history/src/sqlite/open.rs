//! Opens a history, and tells what else may be in its place.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{History, layout};
use crate::error::{HistoryError, sqlite_code};

/// What a readable SQLite file holds.
enum Found {
    /// Nothing at all, as in a new file.
    Nothing,
    /// A history of that layout.
    Layout(i64),
    /// Tables of another program.
    Foreign,
}

pub(super) async fn for_writing(path: &Path, wait: Duration) -> Result<History, HistoryError> {
    let path = &absolute(path)?;
    if let Some(dir) = path.parent() {
        // As the XDG specification asks: what is made is for the user alone.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| HistoryError::of_io(path, e))?;
    }
    let fault = |e| HistoryError::of_sqlite(path, wait, e);
    let mut connection = connect(path, wait, true).await.map_err(fault)?;
    if !matches!(
        judge(path, &mut connection, fault).await?,
        Found::Layout(layout::NEWEST)
    ) {
        become_newest(path, &mut connection, fault).await?;
    }
    Ok(History {
        path: path.to_owned(),
        busy_timeout: wait,
        connection: connection.into(),
    })
}

pub(super) async fn for_reading(path: &Path, wait: Duration) -> Result<History, HistoryError> {
    let path = &absolute(path)?;
    match path.metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(HistoryError::Missing {
                path: path.to_owned(),
            });
        }
        Err(e) => return Err(HistoryError::of_io(path, e)),
        Ok(_) => {}
    }
    let fault = |e| HistoryError::of_sqlite(path, wait, e);
    let (mut connection, found) = look_anyhow(path, wait).await?;
    match found {
        Found::Layout(layout::NEWEST) => {}
        Found::Layout(found) => {
            let too_old = || HistoryError::LayoutTooOld {
                path: path.to_owned(),
                found,
                known: layout::NEWEST,
            };
            if found < layout::OLDEST {
                return Err(too_old());
            }
            // What an older vmferry wrote is brought up to date by readers too.
            connection.close().await.map_err(fault)?;
            match for_writing(path, wait).await {
                Ok(history) => history.close().await?,
                Err(HistoryError::ReadOnly { .. } | HistoryError::CannotOpen { .. }) => {
                    return Err(too_old());
                }
                Err(error) => return Err(error),
            }
            connection = look_anyhow(path, wait).await?.0;
        }
        Found::Nothing | Found::Foreign => {
            return Err(HistoryError::Missing {
                path: path.to_owned(),
            });
        }
    }
    sqlx::query("PRAGMA query_only = ON")
        .execute(&mut connection)
        .await
        .map_err(fault)?;
    Ok(History {
        path: path.to_owned(),
        busy_timeout: wait,
        connection: connection.into(),
    })
}

/// Connects for reading wherever it lies, and judges what is there.
async fn look_anyhow(
    path: &Path,
    wait: Duration,
) -> Result<(SqliteConnection, Found), HistoryError> {
    match look(path, wait, false).await {
        // Reading takes files beside the database, which a read-only disk
        // cannot have. Nobody else can write there either, so it is safe to
        // read without them, unless a log holds what the database lacks.
        Err(HistoryError::CannotOpen { .. } | HistoryError::ReadOnly { .. }) if !has_log(path) => {
            look(path, wait, true).await
        }
        other => other,
    }
}

/// Connects for reading and judges what is there.
async fn look(
    path: &Path,
    wait: Duration,
    read_only_disk: bool,
) -> Result<(SqliteConnection, Found), HistoryError> {
    let fault = |e| HistoryError::of_sqlite(path, wait, e);
    let options = options(path, wait);
    let mut connection = if read_only_disk {
        options.read_only(true).immutable(true)
    } else {
        options
    }
    .connect()
    .await
    .map_err(fault)?;
    let found = judge(path, &mut connection, fault).await?;
    Ok((connection, found))
}

/// Whether a write-ahead log with content lies beside the file.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).metadata().is_ok_and(|m| m.len() > 0)
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, HistoryError> {
    let path = std::path::absolute(path).map_err(|e| HistoryError::of_io(path, e))?;
    if path.is_dir() {
        return Err(HistoryError::IsDirectory { path });
    }
    Ok(path)
}

fn options(path: &Path, wait: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(wait)
        // Statements are not the concern of this program's log.
        .disable_statement_logging()
}

async fn connect(
    path: &Path,
    wait: Duration,
    create: bool,
) -> Result<SqliteConnection, sqlx::Error> {
    options(path, wait)
        .create_if_missing(create)
        .connect()
        .await
}

/// Says what the file holds, and refuses what is another program's or newer.
async fn judge(
    path: &Path,
    connection: &mut SqliteConnection,
    fault: impl Fn(sqlx::Error) -> HistoryError,
) -> Result<Found, HistoryError> {
    let found = read_layout(connection).await.map_err(fault)?;
    match found {
        Found::Foreign => Err(HistoryError::NotAHistory {
            path: path.to_owned(),
            found: "it is an SQLite database of another program",
        }),
        Found::Layout(found) if found > layout::NEWEST => Err(HistoryError::LayoutTooNew {
            path: path.to_owned(),
            found,
            known: layout::NEWEST,
        }),
        other => Ok(other),
    }
}

async fn read_layout(connection: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    // One statement, so that nobody comes in between.
    let (id, tables): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id),
                (SELECT count(*) FROM sqlite_master)",
    )
    .fetch_one(&mut *connection)
    .await?;
    match (id, tables) {
        (0, 0) => Ok(Found::Nothing),
        (layout::APPLICATION_ID, _) => {
            let newest: Option<i64> =
                sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
                    .fetch_one(connection)
                    .await?;
            Ok(Found::Layout(newest.unwrap_or(0)))
        }
        _ => Ok(Found::Foreign),
    }
}

/// Creates the tables or brings them up to date, all or nothing.
async fn become_newest(
    path: &Path,
    connection: &mut SqliteConnection,
    fault: impl Fn(sqlx::Error) -> HistoryError + Copy,
) -> Result<(), HistoryError> {
    // Readers then never wait for a writer. The switch cannot wait for
    // another process's lock; who holds it is making the same switch, and
    // without it everything works just as well.
    match sqlx::query("PRAGMA journal_mode = WAL")
        .execute(&mut *connection)
        .await
    {
        Err(e) if sqlite_code(&e).is_none_or(|code| code & 0xff != 5) => return Err(fault(e)),
        _ => {}
    }
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(fault)?;
    // Another process may have been here while this one waited.
    judge(path, &mut transaction, fault).await?;
    sqlx::query("PRAGMA application_id = 0x766d6672")
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
    layout::migrator()
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(|e| fault(migration_error(e)))?;
    transaction.commit().await.map_err(fault)
}

fn migration_error(error: MigrateError) -> sqlx::Error {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source,
        other => sqlx::Error::Migrate(other.into()),
    }
}
