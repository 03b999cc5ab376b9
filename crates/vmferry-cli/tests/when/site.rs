//! Traces, moves and a history made up for the tests of `vmferry when`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    ByteRate, Bytes, GuestInfo, GuestUri, HostInfo, LinkSpeed, Millis, MoveRecord, Outcome,
    OutcomeStatus, PAGE_SIZE, Pages, Place, Plan, RamBlock, Ratio, SCHEMA_VERSION, SampledPage,
};
use vmferry::history::trace::{
    EndReason, PageSet, PageSource, TraceBlock, TraceFooter, TraceHeader, TraceWriter,
};
use vmferry::history::{History, Store as _};

use crate::ended::Ended;
use crate::schema::is_valid;

pub(crate) const UUID: &str = "d5c7a80a-0c9e-4b2f-8d8d-1f3c0a9b7e61";
/// Pages of the guests' 64 MiB, one of 64 of them recorded.
pub(crate) const PAGES: u64 = 16_384;
pub(crate) const WEIGHT: u64 = 64;
/// Asked on a Friday afternoon.
pub(crate) const NOW: &str = "2026-03-06T14:35:00Z";

/// A directory for traces, a history and answers.
pub(crate) struct Site(pub(crate) TempDir);

pub(crate) fn guest(name: &str, uuid: &str) -> GuestInfo {
    GuestInfo {
        uri: GuestUri::local(format!("/run/{name}.qmp")),
        name: Some(name.into()),
        uuid: Some(uuid.into()),
        memory_bytes: Some(Pages(PAGES).bytes()),
        ram_blocks: vec![RamBlock {
            name: "pc.ram".into(),
            used_bytes: Bytes(PAGES * PAGE_SIZE.0),
            offset_bytes: Bytes(0),
            host_address: None,
        }],
        vcpus: Some(1),
        machine: None,
        accelerator: Some("tcg".into()),
    }
}

pub(crate) fn web() -> GuestInfo {
    guest("web", UUID)
}

pub(crate) fn host(name: &str) -> HostInfo {
    HostInfo {
        hostname: Some(name.into()),
        hypervisor: "qemu".into(),
        hypervisor_version: Some("10.0.2".into()),
        package: None,
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// A trace of so many seconds in which `hot` recorded pages are written in
/// every interval. The monotonic clock runs with the wall's, from 1 March on.
pub(crate) fn trace(guest: &GuestInfo, started_at: Timestamp, seconds: u64, hot: u64) -> Vec<u8> {
    trace_with_zeros(guest, started_at, seconds, hot, 0.0)
}

/// The same, with a share of zero pages at the end of memory.
pub(crate) fn trace_with_zeros(
    guest: &GuestInfo,
    started_at: Timestamp,
    seconds: u64,
    hot: u64,
    zeros: f64,
) -> Vec<u8> {
    let since = started_at.duration_since(at("2026-03-01T00:00:00Z"));
    let header = TraceHeader {
        blocks: TraceBlock::of_guest(guest),
        guest: guest.clone(),
        host: host("host-a"),
        source: PageSource::PageHash,
        whole_guest: false,
        interval_ms: Millis(100.0),
        budget: Ratio(0.2),
        started_at,
        started_monotonic_ns: since.as_nanos().unsigned_abs() as u64,
        seed: 1,
    };
    let pages = (0..PAGES / WEIGHT).map(|i| SampledPage {
        index: Pages(i * WEIGHT),
        weight: WEIGHT as f64,
        zero: i as f64 >= (PAGES / WEIGHT) as f64 * (1.0 - zeros),
    });
    let set = PageSet::new("t", pages).expect("pages");
    let mut writer = TraceWriter::begin(Vec::new(), "t", &header, &set).expect("a trace");
    for look in 1..=seconds * 10 {
        let mut written: Vec<usize> = (0..hot)
            .map(|i| ((i * 7 + look * 13) % (hot * 4)) as usize)
            .collect();
        written.sort_unstable();
        written.dedup();
        writer.push(look * 100_000, &written).expect("an interval");
    }
    let footer = TraceFooter {
        reason: EndReason::Complete,
        cpu: Ratio(0.01),
        notes: Vec::new(),
    };
    writer.end(&footer).expect("the end")
}

/// A move over 400 Mbit/s that took `total_s`.
pub(crate) fn moved(guest: &GuestInfo, started_at: Timestamp, total_s: f64) -> MoveRecord {
    let id = started_at.as_millisecond() as u128;
    MoveRecord {
        schema_version: SCHEMA_VERSION,
        tool_version: "0.1.0".into(),
        move_id: serde_json::from_value(format!("{:032x}", id << 80).into()).expect("an id"),
        started_at,
        plan: Plan {
            source: guest.uri.clone(),
            destination: GuestUri::local("/run/b.qmp"),
            via: "tcp:10.77.0.2:4444".parse().expect("an address"),
            limits: MoveLimits::default(),
            tls_dir: None,
            promise: None,
        },
        guest: guest.clone(),
        source_host: host("host-a"),
        destination_host: host("host-b"),
        link: Some(LinkSpeed::given(ByteRate::from_mbit_per_s(400.0))),
        forecast: None,
        outcome: Some(Outcome {
            status: OutcomeStatus::Completed,
            place: Place::RunningAtDestination,
            error: None,
            started_at,
            ended_at: started_at + SignedDuration::from_secs(total_s as i64 + 1),
            total_time_ms: Some(Millis(total_s * 1e3)),
            downtime_ms: Some(Millis(300.0)),
            downtime_clock: None,
            qemu_downtime_ms: None,
            transferred_bytes: Some(Bytes((total_s * 47e6) as u64)),
            wire_bytes: None,
            slowdown: None,
            passes: Some(3),
            post_copy: false,
            pass_list: Vec::new(),
        }),
        raw_statistics: None,
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("traces")).expect("a directory");
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    /// Three days: quiet at 03:10, busy at 14:30, a little at 20:00.
    pub(crate) fn three_days(&self) -> String {
        for day in 2..5 {
            for (time, hot) in [("03:10:00", 1), ("14:30:05", 60), ("20:00:30", 4)] {
                let start = at(&format!("2026-03-0{day}T{time}Z"));
                let name = format!("traces/{day}-{}.trace", &time[..2]);
                self.put(&name, &trace(&web(), start, 20, hot));
            }
        }
        self.path("traces").display().to_string()
    }

    pub(crate) async fn moves(&self, records: &[MoveRecord]) {
        let history = History::open(&self.path("history.db"))
            .await
            .expect("a history");
        for record in records {
            history.open_move(record).await.expect("a record");
            let outcome = record.outcome.as_ref().expect("an outcome");
            let closed = history.close_move(record.move_id, outcome, None).await;
            closed.expect("an outcome");
        }
        history.close().await.expect("closed");
    }

    pub(crate) fn when(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_vmferry"))
            .arg("when")
            .args(arguments)
            .args(["--now", NOW, "--timezone", "UTC"])
            .env("VMFERRY_DB", self.path("history.db"))
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("vmferry starts");
        output.into()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self
            .when(&[arguments, &["-o", "json"]].concat())
            .expect(0, &[]);
        let document = serde_json::from_str(&ended.stdout).expect("JSON");
        is_valid("when", &document);
        document
    }
}

pub(crate) fn notes(document: &Value) -> String {
    document["notes"].to_string()
}
