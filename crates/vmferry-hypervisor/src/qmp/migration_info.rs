//! What `query-migrate` tells.

use serde::Serialize;
use serde_json::Value;
use vmferry_core::MigrationStatus;

use super::field;

/// One answer of `query-migrate`. `None` is what this QEMU, or this stage of the migration, does
/// not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MigrationInfo {
    /// The status; [`MigrationStatus::None`] where no migration was asked for.
    pub status: MigrationStatus,
    /// Since the start, or from start to end.
    pub total_time_ms: Option<u64>,
    /// QEMU's own measure of the downtime, once it is over.
    pub downtime_ms: Option<u64>,
    /// The downtime if the switchover came now.
    pub expected_downtime_ms: Option<u64>,
    /// From the command to the first page.
    pub setup_time_ms: Option<u64>,
    /// How far the guest's memory is.
    pub ram: RamProgress,
    /// How much auto-converge slows the virtual CPUs, in percent of their time.
    pub cpu_throttle_percent: Option<u64>,
    /// How much the dirty limit slows the virtual CPU slowed most, in microseconds per dirty-ring
    /// round.
    pub dirty_limit_throttle_us: Option<u64>,
    /// Why it failed.
    pub error_desc: Option<String>,
    /// What keeps this guest from being migrated, in QEMU's words.
    pub blocked_reasons: Vec<String>,
    /// At a destination: where it listens, as QEMU reports it.
    pub listen_addresses: Vec<Value>,
    /// The answer as it came.
    pub raw: Value,
}

/// The counters of the guest's memory within `query-migrate`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RamProgress {
    /// Everything sent so far, headers included.
    pub transferred_bytes: Option<u64>,
    /// Memory still to send.
    pub remaining_bytes: Option<u64>,
    /// All memory that is migrated.
    pub total_bytes: Option<u64>,
    /// Zero pages sent (as a header).
    pub duplicate_pages: Option<u64>,
    /// Pages sent in full.
    pub normal_pages: Option<u64>,
    /// The same in bytes.
    pub normal_bytes: Option<u64>,
    /// How often the dirty bitmap was read: the number of passes begun.
    pub dirty_sync_count: Option<u64>,
    /// Pages dirtied per second during the last pass.
    pub dirty_pages_per_s: Option<u64>,
    /// Speed of the last pass in Mbit/s.
    pub mbps: Option<f64>,
    /// Bytes in a page.
    pub page_size_bytes: Option<u64>,
    /// Pages sent per second.
    pub pages_per_s: Option<u64>,
    /// Bytes sent while the guest ran at the source.
    pub precopy_bytes: Option<u64>,
    /// Bytes sent while the guest stood still.
    pub downtime_bytes: Option<u64>,
    /// Bytes sent after the guest resumed at the destination.
    pub postcopy_bytes: Option<u64>,
    /// Pages the destination asked for in post-copy.
    pub postcopy_requests: Option<u64>,
    /// Bytes sent through multifd channels.
    pub multifd_bytes: Option<u64>,
}

impl MigrationInfo {
    /// Whether memory was sent after the guest had started at the destination.
    #[must_use]
    pub fn was_postcopy(&self) -> bool {
        self.ram.postcopy_bytes.is_some_and(|sent| sent > 0)
    }

    /// Reads an answer; every field may be missing.
    #[must_use]
    pub fn from_value(raw: Value) -> Self {
        let number = |name| field::number(&raw, &[name]);
        let ram = |name| field::number(&raw, &["ram", name]);
        Self {
            status: field::text(&raw, &["status"])
                .map_or(MigrationStatus::None, MigrationStatus::from),
            total_time_ms: number("total-time"),
            downtime_ms: number("downtime"),
            expected_downtime_ms: number("expected-downtime"),
            setup_time_ms: number("setup-time"),
            ram: RamProgress {
                transferred_bytes: ram("transferred"),
                remaining_bytes: ram("remaining"),
                total_bytes: ram("total"),
                duplicate_pages: ram("duplicate"),
                normal_pages: ram("normal"),
                normal_bytes: ram("normal-bytes"),
                dirty_sync_count: ram("dirty-sync-count"),
                dirty_pages_per_s: ram("dirty-pages-rate"),
                mbps: field::float(&raw, &["ram", "mbps"]),
                page_size_bytes: ram("page-size"),
                pages_per_s: ram("pages-per-second"),
                precopy_bytes: ram("precopy-bytes"),
                downtime_bytes: ram("downtime-bytes"),
                postcopy_bytes: ram("postcopy-bytes"),
                postcopy_requests: ram("postcopy-requests"),
                multifd_bytes: ram("multifd-bytes"),
            },
            cpu_throttle_percent: number("cpu-throttle-percentage"),
            dirty_limit_throttle_us: number("dirty-limit-throttle-time-per-round"),
            error_desc: field::text(&raw, &["error-desc"]),
            blocked_reasons: field::list(&raw, &["blocked-reasons"])
                .iter()
                .filter_map(|reason| reason.as_str().map(str::to_owned))
                .collect(),
            listen_addresses: field::list(&raw, &["socket-address"]).to_vec(),
            raw,
        }
    }
}
