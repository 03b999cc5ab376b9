//! Observations to compressed documents and back.

use std::io::{Read as _, Write as _};

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Error, Row};
use uuid::Uuid;
use vmferry_core::{Observation, SCHEMA_VERSION};

use crate::error::HistoryError;

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Level of zstd. Ten seconds of 4096 pages are some 500 kB of JSON and 70 kB
/// here, in a millisecond; level 9 takes three times as long for 2 % less.
const LEVEL: i32 = 3;
/// Longest document that is read: damage must not fill the memory. It holds a
/// million pages looked at twenty thousand times.
const LONGEST: u64 = 4 << 30;

/// The statement that keeps what was seen before a move, unless something is
/// kept; returns a row where it did.
pub(super) fn insert(
    id: Uuid,
    observation: &Observation,
) -> Result<Statement<'static>, HistoryError> {
    Ok(sqlx::query(
        "INSERT INTO observations (move_id, schema_version, observation)
         SELECT id, $2, $3 FROM moves WHERE id = $1
         ON CONFLICT (move_id) DO NOTHING RETURNING move_id",
    )
    .bind(id.to_string())
    .bind(i64::from(SCHEMA_VERSION))
    .bind(compressed(observation).map_err(|source| bad(id, source))?))
}

/// The statement that reads what was seen before a move.
pub(super) fn select(id: Uuid) -> Statement<'static> {
    sqlx::query(
        "SELECT observations.schema_version, tool_version, observation
         FROM observations JOIN moves ON moves.id = move_id WHERE move_id = $1",
    )
    .bind(id.to_string())
}

/// Reads a row of [`select`].
pub(super) fn read(
    id: Uuid,
    row: &SqliteRow,
    fault: impl Fn(Error) -> HistoryError,
) -> Result<Observation, HistoryError> {
    let version: i64 = row.try_get(0).map_err(&fault)?;
    if version > i64::from(SCHEMA_VERSION) {
        return Err(HistoryError::DocumentTooNew {
            what: format!("of what was observed before the move {id}"),
            found: version.cast_unsigned(),
            known: SCHEMA_VERSION,
            tool: row.try_get(1).map_err(&fault)?,
        });
    }
    decompressed(row.try_get(2).map_err(&fault)?).map_err(|source| bad(id, source))
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn bad(id: Uuid, source: Fault) -> HistoryError {
    HistoryError::BadObservation { id, source }
}

fn compressed(observation: &Observation) -> Result<Vec<u8>, Fault> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    serde_json::to_writer(&mut encoder, observation)?;
    encoder.flush()?;
    Ok(encoder.finish()?)
}

fn decompressed(bytes: &[u8]) -> Result<Observation, Fault> {
    let mut json = Vec::new();
    zstd::Decoder::new(bytes)?
        .take(LONGEST)
        .read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
