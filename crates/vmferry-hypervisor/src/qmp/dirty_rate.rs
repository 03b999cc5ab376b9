//! QEMU's own measurement of the dirty rate. It cannot run during a migration.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::field;
use super::guest::Guest;
use crate::HypervisorError;

/// How QEMU measures the dirty rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirtyRateMode {
    /// Hashes of sampled pages; works everywhere.
    PageSampling,
    /// KVM's dirty bitmap, since QEMU 6.2; gives 0 under TCG.
    DirtyBitmap,
    /// KVM's dirty ring, since QEMU 6.2; needs `dirty-ring-size`.
    DirtyRing,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirtyRateRequest {
    /// How long to watch: whole seconds up to 60, or from 50 ms on where QEMU knows milliseconds
    /// (since 8.2).
    pub window: Duration,
    /// How to measure.
    pub mode: DirtyRateMode,
    /// Pages sampled a GiB, for [`DirtyRateMode::PageSampling`]; QEMU's default is 512.
    pub sample_pages_per_gib: Option<u64>,
}

/// The answer of `query-dirty-rate`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DirtyRate {
    /// `unstarted`, `measuring`, `measured`, or a word of versions to come.
    pub status: Option<String>,
    /// Unique memory dirtied, in MiB per second over the window.
    pub mib_per_s: Option<u64>,
    /// The answer as it came, with the rate of each virtual CPU where the ring was used.
    pub raw: Value,
}

impl DirtyRate {
    /// Reads an answer; every field may be missing.
    #[must_use]
    pub fn from_value(raw: Value) -> Self {
        Self {
            status: field::text(&raw, &["status"]),
            mib_per_s: field::number(&raw, &["dirty-rate"]),
            raw,
        }
    }

    /// Whether the window is over.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.status.as_deref() == Some("measured")
    }
}

impl DirtyRateMode {
    fn word(self) -> &'static str {
        match self {
            Self::PageSampling => "page-sampling",
            Self::DirtyBitmap => "dirty-bitmap",
            Self::DirtyRing => "dirty-ring",
        }
    }
}

impl Guest {
    /// Starts a measurement (`calc-dirty-rate`) and returns at once.
    ///
    /// # Errors
    /// [`HypervisorError::Unsupported`] for a mode or a window this QEMU cannot measure,
    /// [`HypervisorError::Refused`] during a migration, and as [`Guest::request`].
    pub async fn calc_dirty_rate(&self, wanted: DirtyRateRequest) -> Result<(), HypervisorError> {
        let schema = self.schema().await?;
        let takes = |argument| schema.takes("calc-dirty-rate", argument);
        let whole_seconds = wanted.window.subsec_nanos() == 0;
        let mut arguments = if whole_seconds {
            json!({ "calc-time": wanted.window.as_secs() })
        } else if takes("calc-time-unit") {
            json!({
                "calc-time": u64::try_from(wanted.window.as_millis()).unwrap_or(u64::MAX),
                "calc-time-unit": "millisecond",
            })
        } else {
            return Err(self.unsupported("dirty-rate windows of less than whole seconds"));
        };
        if takes("mode") {
            arguments["mode"] = json!(wanted.mode.word());
        } else if wanted.mode != DirtyRateMode::PageSampling {
            return Err(self.unsupported(&format!("the dirty-rate mode {}", wanted.mode.word())));
        }
        if let Some(pages) = wanted.sample_pages_per_gib {
            if !takes("sample-pages") {
                return Err(self.unsupported("a number of pages to sample for the dirty rate"));
            }
            arguments["sample-pages"] = json!(pages);
        }
        self.request("calc-dirty-rate", Some(arguments))
            .await
            .map(drop)
    }

    /// The last measurement (`query-dirty-rate`).
    ///
    /// # Errors
    /// As [`Guest::request`].
    pub async fn dirty_rate(&self) -> Result<DirtyRate, HypervisorError> {
        Ok(DirtyRate::from_value(
            self.request("query-dirty-rate", None).await?,
        ))
    }
}
