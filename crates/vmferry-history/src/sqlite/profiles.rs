//! Profiles to rows and back.

use jiff::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Error, Row};
use vmferry_core::SCHEMA_VERSION;

use super::rows::decode;
use crate::error::HistoryError;
use crate::profiles::{Profile, ProfileFilter};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// The statement that adds a profile; returns its row.
pub(super) fn insert(profile: &Profile) -> Statement<'static> {
    sqlx::query(
        "INSERT INTO profiles (kind, source_host, destination_host, made_at_ms, schema_version,
            tool_version, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    )
    .bind(profile.kind.clone())
    .bind(profile.source_host.clone())
    .bind(profile.destination_host.clone())
    .bind(profile.made_at.as_millisecond())
    .bind(i64::from(SCHEMA_VERSION))
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(profile.document.to_string())
}

/// The statement that reads profiles, the newest first.
pub(super) fn select(filter: &ProfileFilter) -> Statement<'static> {
    sqlx::query(
        "SELECT kind, source_host, destination_host, made_at_ms, schema_version, tool_version,
            document
         FROM profiles
         WHERE (CAST($1 AS TEXT) IS NULL OR kind = $1)
           AND (CAST($2 AS TEXT) IS NULL OR source_host = $2)
           AND (CAST($3 AS TEXT) IS NULL OR destination_host = $3)
           AND made_at_ms >= $4
         ORDER BY made_at_ms DESC, id DESC LIMIT $5",
    )
    .bind(filter.kind.clone())
    .bind(filter.source_host.clone())
    .bind(filter.destination_host.clone())
    .bind(
        filter
            .since
            .map_or(i64::MIN, |since| since.as_millisecond()),
    )
    .bind(filter.limit.map_or(i64::MAX, i64::from))
}

/// Reads a row of [`select`].
pub(super) fn read(
    row: &SqliteRow,
    fault: impl Fn(Error) -> HistoryError,
) -> Result<Profile, HistoryError> {
    let kind: String = row.try_get(0).map_err(&fault)?;
    let what = || format!("of a `{kind}` profile");
    let version: i64 = row.try_get(4).map_err(&fault)?;
    if version > i64::from(SCHEMA_VERSION) {
        return Err(HistoryError::DocumentTooNew {
            what: what(),
            found: version.cast_unsigned(),
            known: SCHEMA_VERSION,
            tool: row.try_get(5).map_err(&fault)?,
        });
    }
    let made_at = Timestamp::from_millisecond(row.try_get(3).map_err(&fault)?)
        .map_err(|e| fault(decode(e)))?;
    let document: &str = row.try_get(6).map_err(&fault)?;
    let document = serde_json::from_str(document).map_err(|source| HistoryError::BadDocument {
        what: what(),
        source,
    })?;
    Ok(Profile {
        source_host: row.try_get(1).map_err(&fault)?,
        destination_host: row.try_get(2).map_err(&fault)?,
        made_at,
        document,
        kind,
    })
}
