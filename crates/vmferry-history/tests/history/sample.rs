//! Records to write.

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    Bytes, GuestInfo, GuestUri, HostInfo, Millis, MoveRecord, Outcome, OutcomeStatus, Place, Plan,
};
use vmferry_history::{History, HistoryError};

/// The `n`-th move of a guest, `n` minutes after the epoch.
pub(crate) fn record(n: u64, guest: &str) -> MoveRecord {
    let host = |name: &str| HostInfo {
        hostname: Some(name.into()),
        hypervisor: "qemu".into(),
        hypervisor_version: Some("10.0.2".into()),
        package: None,
    };
    let source = GuestUri::local("/run/a.qmp");
    MoveRecord {
        schema_version: vmferry_core::SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        move_id: Uuid::from_u128((u128::from(n) << 96) | (7 << 76) | (2 << 62)),
        started_at: Timestamp::from_second(n as i64 * 60).unwrap(),
        plan: Plan {
            source: source.clone(),
            destination: GuestUri::local("/run/b.qmp"),
            via: "tcp:10.77.0.2:4444".parse().unwrap(),
            limits: MoveLimits::default(),
            tls_dir: None,
        },
        guest: GuestInfo {
            uri: source,
            name: Some(guest.into()),
            uuid: Some(format!("uuid-of-{guest}")),
            memory_bytes: Some(Bytes::from_mib(512)),
            ram_blocks: Vec::new(),
            vcpus: Some(1),
            machine: None,
            accelerator: None,
        },
        source_host: host("host-a"),
        destination_host: host("host-b"),
        link: None,
        forecast: None,
        outcome: None,
        raw_statistics: None,
    }
}

/// An outcome of 10 s and `wire_mb` megabytes.
pub(crate) fn outcome(status: OutcomeStatus, wire_mb: u64) -> Outcome {
    Outcome {
        status,
        place: match status {
            OutcomeStatus::Completed => Place::RunningAtDestination,
            OutcomeStatus::Unknown => Place::Uncertain,
            _ => Place::RunningAtSource,
        },
        error: None,
        started_at: Timestamp::from_second(1).unwrap(),
        ended_at: Timestamp::from_second(11).unwrap(),
        total_time_ms: Some(Millis(10_000.0)),
        downtime_ms: Some(Millis(250.0)),
        downtime_clock: None,
        qemu_downtime_ms: None,
        transferred_bytes: None,
        wire_bytes: Some(Bytes(wire_mb * 1_000_000)),
        slowdown: None,
        passes: Some(4),
        pass_list: Vec::new(),
    }
}

/// A directory that goes away, and a path for a history in it.
pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/vmferry/history.db");
    (dir, path)
}

/// The whole message, with what caused it.
pub(crate) fn message(error: &HistoryError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A history that could not be opened.
pub(crate) fn refused(opened: Result<History, HistoryError>) -> HistoryError {
    opened.expect_err("the history should not open")
}
