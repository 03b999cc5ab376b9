//! Whether the guest runs, and making it run, stop or end.

use serde::Serialize;
use serde_json::Value;

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// The answer of `query-status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunState {
    /// Whether the virtual CPUs run; `None` where not told.
    pub running: Option<bool>,
    /// QEMU's word: `running`, `paused`, `inmigrate`, `postmigrate`, `prelaunch` and more.
    pub status: Option<String>,
    /// The answer as it came.
    pub raw: Value,
}

impl RunState {
    /// Reads an answer; every field may be missing.
    #[must_use]
    pub fn from_value(raw: Value) -> Self {
        Self {
            running: field::flag(&raw, &["running"]),
            status: field::text(&raw, &["status"]),
            raw,
        }
    }

    /// Whether this QEMU waits for a migration to come in.
    #[must_use]
    pub fn awaits_migration(&self) -> bool {
        self.status.as_deref() == Some("inmigrate")
    }
}

impl Guest {
    /// Whether the guest runs (`query-status`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn run_state(&self) -> Result<RunState, HypervisorError> {
        Ok(RunState::from_value(
            self.request("query-status", None).await?,
        ))
    }

    /// Lets the guest run (`cont`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn cont(&self) -> Result<(), HypervisorError> {
        self.request("cont", None).await.map(drop)
    }

    /// Makes the guest stand still (`stop`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn stop(&self) -> Result<(), HypervisorError> {
        self.request("stop", None).await.map(drop)
    }

    /// Ends QEMU without asking the guest (`quit`). Returns once QEMU has agreed or is gone.
    ///
    /// # Errors
    /// As [`Guest::request`], but the end of the connection is none.
    pub async fn quit(&self) -> Result<(), HypervisorError> {
        match self.request("quit", None).await {
            Err(error) if !error.is_closed() => Err(error),
            _ => Ok(()),
        }
    }
}
