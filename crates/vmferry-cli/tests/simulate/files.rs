//! Observations and traces made up for the tests of `vmferry simulate`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vmferry::core::{
    Bytes, CurvePoint, DirtyCurve, GuestInfo, GuestUri, HostInfo, Millis, Observation,
    ObservationCost, ObservationMethod, PAGE_SIZE, PageHistory, PageMix, Pages, RamBlock, Ratio,
    SampledPage,
};
use vmferry::document::{MeasureReport, ObservingOptions, SimulateReport, Versions};
use vmferry::history::trace::{
    EndReason, PageSet, PageSource, TraceBlock, TraceFooter, TraceHeader, TraceWriter,
};

use crate::ended::Ended;
use crate::schema::is_valid;

/// Pages of the guest: 64 MiB.
pub(crate) const PAGES: u64 = 16_384;
/// Pages that it writes, round and round, from the middle of memory on.
pub(crate) const HOT: u64 = 4096;
/// Of these, in 100 ms: 16 MiB a second.
pub(crate) const AT_ONCE: u64 = 409;
pub(crate) const LOOKS: u64 = 60;

pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file");
    }

    pub(crate) fn simulate(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_vmferry"))
            .arg("simulate")
            .args(arguments)
            .env("VMFERRY_DB", self.path("history.db"))
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("vmferry starts");
        output.into()
    }

    pub(crate) fn report(&self, arguments: &[&str]) -> SimulateReport {
        let all = [arguments, &["-o", "json"]].concat();
        let ended = self.simulate(&all).expect(0, &[]);
        let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        is_valid("simulate", &document);
        serde_json::from_value(document).expect("a report")
    }
}

pub(crate) fn guest() -> GuestInfo {
    GuestInfo {
        uri: GuestUri::local("/run/web.qmp"),
        name: Some("web".to_owned()),
        uuid: None,
        memory_bytes: Some(Bytes(PAGES * PAGE_SIZE.0)),
        ram_blocks: vec![RamBlock {
            name: "pc.ram".to_owned(),
            used_bytes: Bytes(PAGES * PAGE_SIZE.0),
            offset_bytes: Bytes(0),
            host_address: None,
        }],
        vcpus: Some(1),
        machine: None,
        accelerator: Some("tcg".to_owned()),
    }
}

/// Every `weight`-th page; a quarter of them zero.
pub(crate) fn pages(weight: u64) -> Vec<SampledPage> {
    (0..PAGES)
        .step_by(weight as usize)
        .map(|index| SampledPage {
            index: Pages(index),
            weight: weight as f64,
            zero: index < PAGES / 4,
        })
        .collect()
}

/// Positions written before a look, among every `weight`-th page.
pub(crate) fn dirty(look: u64, weight: u64) -> Vec<usize> {
    let mut pages: Vec<u64> = (0..AT_ONCE)
        .map(|n| PAGES / 2 + (look * AT_ONCE + n) % HOT)
        .filter(|page| page % weight == 0)
        .collect();
    pages.sort_unstable();
    pages
        .into_iter()
        .map(|page| (page / weight) as usize)
        .collect()
}

pub(crate) fn profile(history: bool) -> Vec<u8> {
    let mut seen = PageHistory::new(pages(4));
    for look in 1..=LOOKS {
        seen.push(look * 100_000, dirty(look, 4));
    }
    let point = |ms: f64| CurvePoint {
        window_ms: Millis(ms),
        dirtied_bytes: Bytes((ms / 100.0 * AT_ONCE as f64).min(HOT as f64) as u64 * PAGE_SIZE.0),
        standard_error_bytes: Bytes(0),
    };
    let report = MeasureReport {
        versions: Versions::default(),
        options: ObservingOptions {
            window_ms: Millis(6000.0),
            budget: Ratio(0.2),
            pages: 4096,
        },
        analysis: None,
        observation: Observation {
            started_at: "2026-03-01T12:00:00Z".parse().expect("an instant"),
            method: ObservationMethod::PageHash,
            guest: guest(),
            host: HostInfo::default(),
            window_ms: Millis(6000.0),
            window_ended_at: None,
            dirty_curve: DirtyCurve {
                points: [100.0, 300.0, 1000.0, 6000.0].map(point).to_vec(),
            },
            page_mix: PageMix {
                total_pages: Pages(PAGES),
                zero: Some(Ratio(0.25)),
                zero_standard_error: Some(Ratio(0.0)),
                duplicate: None,
                compressed: None,
                exact: true,
            },
            page_history: history.then_some(seen),
            slow_page_history: None,
            vcpu_use: None,
            cost: ObservationCost::default(),
            notes: Vec::new(),
        },
    };
    serde_json::to_vec(&report).expect("JSON")
}

pub(crate) fn trace(weight: u64) -> Vec<u8> {
    trace_of(weight, pages(weight))
}

pub(crate) fn trace_of(weight: u64, pages: Vec<SampledPage>) -> Vec<u8> {
    let guest = guest();
    let header = TraceHeader {
        blocks: TraceBlock::of_guest(&guest),
        guest,
        host: HostInfo::default(),
        source: PageSource::PageHash,
        whole_guest: weight == 1,
        interval_ms: Millis(100.0),
        budget: Ratio(0.2),
        started_at: "2026-03-01T12:00:00Z".parse().expect("an instant"),
        started_monotonic_ns: 1,
        seed: 1,
    };
    let set = PageSet::new("t", pages).expect("pages");
    let mut writer = TraceWriter::begin(Vec::new(), "t", &header, &set).expect("a trace");
    for look in 1..=LOOKS {
        writer
            .push(look * 100_000, &dirty(look, weight))
            .expect("an interval");
    }
    let footer = TraceFooter {
        reason: EndReason::Complete,
        cpu: Ratio(0.1),
        notes: Vec::new(),
    };
    writer.end(&footer).expect("an end")
}
