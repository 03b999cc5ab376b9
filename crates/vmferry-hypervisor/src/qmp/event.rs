//! Events, and the stream they come in.

use std::time::{Instant, SystemTime};

use serde_json::Value;
use tokio::sync::broadcast;
use vmferry_core::MigrationStatus;

use super::field;

/// Something QEMU reported by itself.
#[derive(Debug, Clone)]
pub struct QmpEvent {
    /// For example `MIGRATION`, `MIGRATION_PASS`, `STOP`, `RESUME`; any text of versions to come.
    pub name: String,
    /// What the event carries; `Null` for none.
    pub data: Value,
    /// When it happened, by the clock of QEMU's host: microseconds since 1970.
    pub timestamp_us: Option<u64>,
    /// When it arrived here, by the clock that never jumps.
    pub received: Instant,
    /// When it arrived here, by this machine's wall clock.
    pub received_at: SystemTime,
    /// The line as it came.
    pub raw: Value,
}

impl QmpEvent {
    /// Reads an event that has just arrived.
    pub(crate) fn now(raw: Value) -> Self {
        let timestamp_us = field::number(&raw, &["timestamp", "seconds"]).and_then(|seconds| {
            let micros = field::number(&raw, &["timestamp", "microseconds"])?;
            seconds.checked_mul(1_000_000)?.checked_add(micros)
        });
        Self {
            name: field::text(&raw, &["event"]).unwrap_or_default(),
            data: raw.get("data").cloned().unwrap_or(Value::Null),
            timestamp_us,
            received: Instant::now(),
            received_at: SystemTime::now(),
            raw,
        }
    }

    /// The status a `MIGRATION` event announces; `None` for other events.
    #[must_use]
    pub fn migration_status(&self) -> Option<MigrationStatus> {
        (self.name == "MIGRATION")
            .then(|| field::text(&self.data, &["status"]))?
            .map(MigrationStatus::from)
    }

    /// The number of the pass a `MIGRATION_PASS` event announces, from 1; `None` for other events.
    #[must_use]
    pub fn migration_pass(&self) -> Option<u64> {
        (self.name == "MIGRATION_PASS")
            .then(|| field::number(&self.data, &["pass"]))
            .flatten()
    }
}

/// The events of one guest from the moment of [`Guest::events`](super::Guest::events) on. Events
/// `MIGRATION` and `MIGRATION_PASS` come only while the capability `events` is on.
#[derive(Debug)]
pub struct EventStream {
    pub(crate) receiver: broadcast::Receiver<QmpEvent>,
    pub(crate) lost: u64,
}

impl EventStream {
    /// The next event, or `None` when the guest has exited or its monitor is closed. Dropping the
    /// future loses no event.
    pub async fn next(&mut self) -> Option<QmpEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "events came faster than they were read");
                    self.lost += missed;
                }
            }
        }
    }

    /// How many events were lost because they were not read in time: only after thousands unread.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
