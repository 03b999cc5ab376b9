//! Records to write.

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    Bytes, CurvePoint, DirtyCurve, GuestInfo, GuestUri, HostInfo, Millis, MoveRecord, Observation,
    ObservationCost, ObservationMethod, Outcome, OutcomeStatus, PageHistory, PageMix, Pages, Place,
    Plan, Ratio, SampledPage,
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
            promise: None,
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

/// What was seen of a guest in `looks` looks at `pages` pages.
pub(crate) fn observation(pages: u64, looks: u64) -> Observation {
    let seen = record(0, "web");
    let sampled = (0..pages).map(|index| SampledPage {
        index: Pages(index * 32),
        weight: 32.0,
        zero: index % 5 == 0,
    });
    let mut history = PageHistory::new(sampled.collect());
    for look in 1..=looks {
        // A tenth of the pages is hot; they change in turn, as if at random.
        let hot = (0..pages / 10).filter(|page| (page * 2_654_435_761 + look * 40_503) % 7 == 0);
        history.push(look * 20_000, hot.map(|page| page as usize));
    }
    Observation {
        started_at: Timestamp::from_second(60).unwrap(),
        method: ObservationMethod::PageHash,
        guest: seen.guest,
        host: seen.source_host,
        window_ms: Millis(10_000.0),
        window_ended_at: None,
        dirty_curve: DirtyCurve {
            points: vec![CurvePoint {
                window_ms: Millis(1000.0),
                dirtied_bytes: Bytes::from_mib(5),
                standard_error_bytes: Bytes(4096),
            }],
        },
        page_mix: PageMix {
            total_pages: Pages(pages * 32),
            zero: Some(Ratio(0.2)),
            zero_standard_error: None,
            duplicate: None,
            compressed: None,
            exact: false,
        },
        page_history: Some(history),
        slow_page_history: None,
        vcpu_use: Some(Ratio(0.3)),
        cost: ObservationCost::default(),
        notes: vec!["Made for a test.".into()],
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
        post_copy: false,
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
