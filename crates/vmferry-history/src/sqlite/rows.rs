//! Moves to rows and back.

use serde::de::DeserializeOwned;
use serde::{Serialize, de::value};
use serde_json::Value;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Error, Row};
use uuid::Uuid;
use vmferry_core::{Bytes, Interval, Millis, MoveRecord, Outcome, OutcomeStatus, Place};

use crate::document::read_record;
use crate::error::HistoryError;
use crate::route::Route;
use crate::store::{Cursor, MoveFilter, MoveSummary};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// The statement that opens a move.
pub(super) fn insert(record: &MoveRecord) -> Result<Statement<'static>, HistoryError> {
    let frozen = MoveRecord {
        outcome: None,
        raw_statistics: None,
        ..record.clone()
    };
    let id = record.move_id.to_string();
    let document = document(&id, &frozen)?;
    // JSON has no infinities: a record with one could not be read again, and
    // that shows now rather than later.
    read_record(&id, &document)?;
    let route = Route::of(record);
    let forecast = record.forecast.as_ref();
    let ms = |interval: Option<Interval<Millis>>| interval.map(|i| i.p50.0);
    Ok(sqlx::query(
        "INSERT INTO moves (
            id, started_at_ms, schema_version, tool_version, guest_uri, guest_name, guest_uuid,
            source_host, destination_host, route, source_version, destination_version,
            max_bandwidth_bytes_per_s, forecast_converges_probability, forecast_total_time_ms,
            forecast_downtime_ms, forecast_wire_bytes, record
         ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (id) DO NOTHING RETURNING id",
    )
    .bind(id)
    .bind(record.started_at.as_millisecond())
    .bind(i64::from(record.schema_version))
    .bind(record.tool_version.clone())
    .bind(record.plan.source.to_string())
    .bind(record.guest.name.clone())
    .bind(record.guest.uuid.clone())
    .bind(route.source_host.clone())
    .bind(route.destination_host.clone())
    .bind(route.to_string())
    .bind(record.source_host.hypervisor_version.clone())
    .bind(record.destination_host.hypervisor_version.clone())
    .bind(record.plan.limits.max_bandwidth.map(|rate| rate.0))
    .bind(forecast.map(|f| f.converges_probability))
    .bind(forecast.and_then(|f| ms(f.total_time_ms)))
    .bind(forecast.and_then(|f| ms(f.downtime_ms)))
    .bind(forecast.and_then(|f| f.wire_bytes).map(|i| i.p50.0 as f64))
    .bind(document))
}

/// The statement that adds an outcome where none or only an unknown one is.
pub(super) fn close(
    id: Uuid,
    outcome: &Outcome,
    raw_statistics: Option<&Value>,
) -> Result<Statement<'static>, HistoryError> {
    let text = id.to_string();
    let raw = raw_statistics.map(|raw| document(&text, raw)).transpose()?;
    let json = document(&text, outcome)?;
    // As in `insert`: what cannot be read again is not written.
    part::<Outcome>(&text, &json)?;
    Ok(sqlx::query(
        "UPDATE moves SET status = $2, place = $3, total_time_ms = $4, downtime_ms = $5,
            wire_bytes = $6, outcome = $7, raw_statistics = $8
         WHERE id = $1 AND (status IS NULL OR (status = 'unknown' AND $2 <> 'unknown'))
         RETURNING id",
    )
    .bind(text.clone())
    .bind(status_word(outcome.status))
    .bind(place_word(outcome.place))
    .bind(outcome.total_time_ms.map(|t| t.0))
    .bind(outcome.downtime_ms.map(|t| t.0))
    .bind(outcome.wire_bytes.map(|b| b.0 as f64))
    .bind(json)
    .bind(raw))
}

/// The statement that lists summaries, the newest first.
pub(super) fn list(filter: &MoveFilter) -> Statement<'static> {
    sqlx::query(
        "SELECT id, started_at_ms, tool_version, guest_uri, guest_name, guest_uuid, source_host,
            destination_host, status, place, forecast_converges_probability,
            forecast_total_time_ms, total_time_ms, forecast_downtime_ms, downtime_ms,
            forecast_wire_bytes, wire_bytes
         FROM moves
         WHERE (CAST($1 AS TEXT) IS NULL
                OR guest_name = $1 OR guest_uuid = $1 OR guest_uri = $1)
           AND started_at_ms >= $2
         ORDER BY started_at_ms DESC, id DESC LIMIT $3",
    )
    .bind(filter.guest.clone())
    .bind(since_ms(filter))
    .bind(filter.limit.map_or(i64::MAX, i64::from))
}

/// The statement that reads whole records after a cursor, the oldest first.
pub(super) fn page(filter: &MoveFilter, cursor: &Cursor, rows: i64) -> Statement<'static> {
    sqlx::query(
        "SELECT id, record, outcome, raw_statistics FROM moves
         WHERE (CAST($1 AS TEXT) IS NULL
                OR guest_name = $1 OR guest_uuid = $1 OR guest_uri = $1)
           AND started_at_ms >= $2
           AND (started_at_ms > $3 OR (started_at_ms = $3 AND id > $4))
         ORDER BY started_at_ms, id LIMIT $5",
    )
    .bind(filter.guest.clone())
    .bind(since_ms(filter))
    .bind(cursor.started_at_ms)
    .bind(cursor.id.clone())
    .bind(rows)
}

fn since_ms(filter: &MoveFilter) -> i64 {
    filter
        .since
        .map_or(i64::MIN, |since| since.as_millisecond())
}

/// Reads a row of [`list`].
pub(super) fn summary(row: &SqliteRow) -> Result<MoveSummary, Error> {
    let started_at: i64 = row.try_get("started_at_ms")?;
    let ms = |name| Ok::<_, Error>(row.try_get::<Option<f64>, _>(name)?.map(Millis));
    let bytes = |name| {
        Ok::<_, Error>(
            row.try_get::<Option<f64>, _>(name)?
                .map(|b| Bytes(b as u64)),
        )
    };
    Ok(MoveSummary {
        move_id: id(row)?,
        started_at: jiff::Timestamp::from_millisecond(started_at).map_err(decode)?,
        tool_version: row.try_get("tool_version")?,
        guest_uri: row.try_get("guest_uri")?,
        guest_name: row.try_get("guest_name")?,
        guest_uuid: row.try_get("guest_uuid")?,
        source_host: row.try_get("source_host")?,
        destination_host: row.try_get("destination_host")?,
        status: row
            .try_get::<Option<_>, _>("status")?
            .map(word)
            .transpose()?,
        place: row
            .try_get::<Option<_>, _>("place")?
            .map(word)
            .transpose()?,
        forecast_converges_probability: row.try_get("forecast_converges_probability")?,
        forecast_total_time_ms: ms("forecast_total_time_ms")?,
        total_time_ms: ms("total_time_ms")?,
        forecast_downtime_ms: ms("forecast_downtime_ms")?,
        downtime_ms: ms("downtime_ms")?,
        forecast_wire_bytes: bytes("forecast_wire_bytes")?,
        wire_bytes: bytes("wire_bytes")?,
    })
}

/// Puts together the record and what was added to it at the end.
pub(super) fn record(
    row: &SqliteRow,
    fault: impl Fn(Error) -> HistoryError,
) -> Result<MoveRecord, HistoryError> {
    let id = id(row).map_err(&fault)?.to_string();
    let text = |name| row.try_get::<Option<String>, _>(name).map_err(&fault);
    let json: String = row.try_get("record").map_err(&fault)?;
    let mut record = read_record(&id, &json)?;
    record.outcome = text("outcome")?.map(|t| part(&id, &t)).transpose()?;
    record.raw_statistics = text("raw_statistics")?.map(|t| part(&id, &t)).transpose()?;
    Ok(record)
}

/// The identifier of a row.
pub(super) fn id(row: &SqliteRow) -> Result<Uuid, Error> {
    let text: String = row.try_get("id")?;
    text.parse().map_err(decode)
}

/// What the identifiers that begin with `prefix` look like to `LIKE`. Hyphens
/// may be left out.
pub(super) fn id_pattern(prefix: &str) -> Result<String, HistoryError> {
    let digits: String = prefix
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.is_empty() || digits.len() > 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(HistoryError::NoIdentifier {
            text: prefix.to_owned(),
        });
    }
    let mut pattern = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            pattern.push('-');
        }
        pattern.push(digit);
    }
    pattern.push('%');
    Ok(pattern)
}

fn document(what: &str, value: &impl Serialize) -> Result<String, HistoryError> {
    serde_json::to_string(value).map_err(|source| bad(what, source))
}

fn part<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, HistoryError> {
    serde_json::from_str(json).map_err(|source| bad(what, source))
}

fn bad(what: &str, source: serde_json::Error) -> HistoryError {
    HistoryError::BadDocument {
        what: what.to_owned(),
        source,
    }
}

pub(super) fn decode(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Decode(error.into())
}

/// Reads a word as JSON documents have it.
pub(super) fn word<T: DeserializeOwned>(text: String) -> Result<T, Error> {
    T::deserialize(value::StringDeserializer::<value::Error>::new(text)).map_err(decode)
}

/// The word of a status, as JSON documents have it.
pub(super) const fn status_word(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Completed => "completed",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Unknown => "unknown",
    }
}

const fn place_word(place: Place) -> &'static str {
    match place {
        Place::RunningAtSource => "running-at-source",
        Place::RunningAtDestination => "running-at-destination",
        Place::Uncertain => "uncertain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        use OutcomeStatus::{Cancelled, Completed, Failed, Unknown};
        for status in [Completed, Failed, Cancelled, Unknown] {
            assert_eq!(
                word::<OutcomeStatus>(status_word(status).into()).unwrap(),
                status
            );
        }
        use Place::{RunningAtDestination, RunningAtSource, Uncertain};
        for place in [RunningAtSource, RunningAtDestination, Uncertain] {
            assert_eq!(word::<Place>(place_word(place).into()).unwrap(), place);
        }
    }

    #[test]
    fn prefixes_may_leave_out_hyphens() {
        assert_eq!(id_pattern("0192ABCD1").unwrap(), "0192abcd-1%");
        assert_eq!(id_pattern("0192abcd-1").unwrap(), "0192abcd-1%");
        for wrong in ["", "-", "%", "x1", &"0".repeat(33)] {
            assert!(id_pattern(wrong).is_err(), "{wrong}");
        }
    }
}
