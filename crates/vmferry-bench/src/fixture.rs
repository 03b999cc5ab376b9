//! Benchmarks made up for tests: whole records, with every part that a report can show.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use vmferry_core::{
    Bytes, DowntimeClock, Forecast, HostInfo, Interval, Millis, ModelInfo, ObservationCost,
    ObservationMethod, ObservationSummary, Outcome, OutcomeStatus, Pages, PassRecord, Place, Ratio,
    scattered,
};

use crate::plan::{BenchPlan, Load, Subject};
use crate::record::{
    BenchRecord, Blackout, Downtimes, ImageRecord, Latency, MachineRecord, MigrationCpu, Phases,
    PointRecord, PointStatus, ProbeKind, ProbeTrace, RunKey, RunRecord, SectorWork, ServiceRun,
    SubjectRecord, WayBack, WorkSample,
};

/// What a run's point is to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) status: PointStatus,
    /// By ICMP; TCP sees 5 ms more, the service 20 ms more, the hypervisor 10 ms less.
    pub(crate) downtime_ms: f64,
    pub(crate) total_time_ms: f64,
    pub(crate) migrated_bytes: u64,
    /// Operations per second without migrations; of the first point where points differ.
    pub(crate) rate_without: f64,
    /// Operations per second with migrations; of the first point where points differ.
    pub(crate) rate_with: f64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            status: PointStatus::Completed,
            downtime_ms: 100.0,
            total_time_ms: 4000.0,
            migrated_bytes: 256 << 20,
            rate_without: 1000.0,
            rate_with: 950.0,
        }
    }
}

impl Figures {
    /// The same, each times something within `1 - share ..= 1 + share` that depends on all of
    /// `key` and `point` and is the same in every run of the tests.
    pub(crate) fn with_noise(self, share: f64, key: &RunKey, point: u32) -> Self {
        let name = format!("{}/{}/{:?}", key.subject, key.workload, key.load);
        let cell = name.bytes().fold(0, |seed, byte| {
            scattered(seed, u64::from(byte) + u64::from(key.repeat) * 1000)
        });
        let factor = |of: u64| {
            let drawn = scattered(cell, u64::from(point) * 16 + of) >> 11;
            1.0 + share * (drawn as f64 / (1u64 << 52) as f64 - 1.0)
        };
        Self {
            status: self.status,
            downtime_ms: self.downtime_ms * factor(0),
            total_time_ms: self.total_time_ms * factor(1),
            migrated_bytes: (self.migrated_bytes as f64 * factor(2)).round() as u64,
            rate_without: self.rate_without * factor(3),
            rate_with: self.rate_with * factor(4),
        }
    }
}

/// A plan with these subjects and workloads under light load: three points, three repeats,
/// sectors of 10 s, a deadline of 60 s.
pub(crate) fn plan(subjects: &[&str], workloads: &[&str]) -> BenchPlan {
    BenchPlan {
        name: "made-up".to_owned(),
        workloads: workloads.iter().map(|w| (*w).to_owned()).collect(),
        loads: vec![Load::Light],
        points: 3,
        sector_s: 10.0,
        warm_up_s: 5.0,
        repeats: 3,
        link: None,
        max_downtime_ms: Millis(300.0),
        deadline_ms: Millis(60_000.0),
        observe_s: 5.0,
        background_guests: None,
        meter: None,
        destination_meter: None,
        subjects: subjects
            .iter()
            .map(|name| Subject {
                name: (*name).to_owned(),
                ..Subject::default()
            })
            .collect(),
    }
}

/// The whole record of a plan, with what `figures` says of every point (from 1 on) of every run.
pub(crate) fn record(plan: BenchPlan, figures: impl Fn(&RunKey, u32) -> Figures) -> BenchRecord {
    let mut runs = Vec::new();
    for repeat in 1..=plan.repeats {
        for workload in &plan.workloads {
            for &load in &plan.loads {
                for subject in &plan.subjects {
                    let key = RunKey {
                        subject: subject.name.clone(),
                        workload: workload.clone(),
                        load,
                        repeat,
                    };
                    runs.push(run(&plan, key, &figures, runs.len()));
                }
            }
        }
    }
    let ended_at = begin(runs.len());
    BenchRecord {
        schema_version: 1,
        tool_version: "0.0.0".to_owned(),
        id: Uuid::from_u128(7),
        started_at: begin(0),
        ended_at: Some(ended_at),
        machine: MachineRecord {
            cpu: "Made-up CPU at 2.0 GHz".to_owned(),
            cpus: 2,
            memory_bytes: Bytes::from_mib(8192),
            kernel: "6.1.0".to_owned(),
            accelerator: "tcg".to_owned(),
            note: "two namespaces on one machine".to_owned(),
        },
        subjects: plan
            .subjects
            .iter()
            .map(|subject| SubjectRecord {
                name: subject.name.clone(),
                host: HostInfo {
                    hostname: Some("made-up".to_owned()),
                    hypervisor: "qemu".to_owned(),
                    hypervisor_version: Some("10.0.2".to_owned()),
                    package: None,
                },
            })
            .collect(),
        images: plan
            .workloads
            .iter()
            .map(|name| ImageRecord {
                name: name.clone(),
                packages: vec![("linux-image-amd64".to_owned(), "6.1.1-1".to_owned())],
            })
            .collect(),
        plan,
        heavy: Vec::new(),
        runs,
    }
}

/// When the run of that place in the record began.
fn begin(place: usize) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(i64::try_from(place).unwrap_or_default() * 5)
}

fn run(
    plan: &BenchPlan,
    key: RunKey,
    figures: &impl Fn(&RunKey, u32) -> Figures,
    place: usize,
) -> RunRecord {
    let first = figures(&key, 1);
    let started_at = begin(place);
    RunRecord {
        started_at,
        background_guests: if key.load == Load::Heavy { 3 } else { 0 },
        reference: Some(service_run(plan, first.rate_without)),
        reference_of: None,
        migrated: Some(service_run(plan, first.rate_with)),
        points: (1..=plan.points)
            .map(|point| {
                let at_s = plan.sector_s * f64::from(point);
                let at = started_at + SignedDuration::from_secs_f64(at_s);
                self::point(plan, point, at_s, at, figures(&key, point))
            })
            .collect(),
        failure: None,
        key,
    }
}

/// A service that keeps its pace. Operations are whole: rates come out to one in `seconds`.
fn service_run(plan: &BenchPlan, rate: f64) -> ServiceRun {
    let done = |seconds: f64| (rate * seconds).round() as u64;
    let sectors = plan.points + 1;
    let seconds = plan.sector_s * f64::from(sectors);
    ServiceRun {
        unit: "requests".to_owned(),
        client: "made-up 1.0".to_owned(),
        seconds,
        operations: done(seconds),
        errors: 0,
        sectors: (0..sectors)
            .map(|_| SectorWork {
                seconds: plan.sector_s,
                operations: done(plan.sector_s),
            })
            .collect(),
        series: (0..=seconds as u32)
            .map(|second| WorkSample {
                at_s: f64::from(second),
                operations: done(f64::from(second)),
            })
            .collect(),
    }
}

fn point(plan: &BenchPlan, point: u32, at_s: f64, at: Timestamp, figures: Figures) -> PointRecord {
    let done = figures.status == PointStatus::Completed;
    let seen = |ms: f64| done.then_some(Millis(ms));
    let down = figures.downtime_ms;
    let latency = |p50: f64| {
        Some(Latency {
            count: 500,
            p50_ms: Millis(p50),
            p95_ms: Millis(p50 * 2.0),
            p99_ms: Millis(p50 * 3.0),
            max_ms: Millis(p50 * 3.0 + if p50 > 2.0 { down } else { 1.0 }),
        })
    };
    PointRecord {
        point,
        at_s,
        status: figures.status,
        failure: (!done).then(|| "made to fail".to_owned()),
        forecast: Some(forecast(plan, figures)),
        forecast_failure: None,
        outcome: Some(outcome(at, figures)),
        total_time_ms: seen(figures.total_time_ms),
        downtime: Downtimes {
            icmp_ms: seen(down),
            tcp_ms: seen(down + 5.0),
            service_ms: seen(down + 20.0),
        },
        longest_stall_ms: seen(down + 30.0),
        latency: Phases {
            before: latency(2.0),
            during: latency(5.0),
            after: latency(2.0),
        },
        migrated_bytes: Some(Bytes(figures.migrated_bytes)),
        migration_cpu: MigrationCpu {
            source_s: Some(figures.total_time_ms / 2000.0),
            destination_s: Some(figures.total_time_ms / 4000.0),
        },
        bench_cpu: Some(Ratio(0.03)),
        energy_j: None,
        energy: Vec::new(),
        energy_failure: None,
        blackout: Blackout {
            last_pass_ms: seen(down * 0.5),
            device_state_ms: seen(down * 0.1),
            destination_start_ms: seen(down * 0.3),
            network_return_ms: seen(down * 0.1),
        },
        back: done.then_some(WayBack {
            stopped_ms: Millis(900.0),
            checked: true,
        }),
        probes: [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Service]
            .map(|kind| probes(kind, figures))
            .into(),
    }
}

/// A question every 50 ms from two seconds before to two seconds after, with silence at the end.
fn probes(kind: ProbeKind, figures: Figures) -> ProbeTrace {
    let end = figures.total_time_ms;
    let asked_ms: Vec<f64> = (0..)
        .map(|nth| -2000.0 + f64::from(nth) * 50.0)
        .take_while(|at| *at <= end + 2000.0)
        .collect();
    let silent = |at: f64| at > end - figures.downtime_ms && at <= end;
    let latency = if kind == ProbeKind::Service { 2.0 } else { 0.4 };
    ProbeTrace {
        kind,
        pace_ms: None,
        latency_ms: asked_ms
            .iter()
            .map(|at| (!silent(*at)).then_some(latency))
            .collect(),
        asked_ms,
        question: None,
    }
}

fn around(value: f64) -> Interval<f64> {
    Interval {
        p5: value * 0.9,
        p50: value,
        p95: value * 1.1,
    }
}

/// Says 2 % too much of time, 10 % too much of downtime and the traffic rightly, each to 10 %.
fn forecast(plan: &BenchPlan, figures: Figures) -> Forecast {
    let of_qemu = figures.downtime_ms - 10.0;
    let traffic = around(figures.migrated_bytes as f64).map(|bytes| Bytes(bytes.round() as u64));
    Forecast {
        converges_probability: 0.98,
        deadline_ms: plan.deadline_ms,
        total_time_ms: Some(around(figures.total_time_ms * 1.02).map(Millis)),
        downtime_ms: Some(around(of_qemu * 1.1).map(Millis)),
        qemu_downtime_ms: None,
        transferred_bytes: Some(traffic),
        wire_bytes: Some(traffic),
        slowdown: None,
        passes: Some(around(4.0)),
        remedies: Vec::new(),
        observation: ObservationSummary {
            started_at: Timestamp::UNIX_EPOCH,
            method: ObservationMethod::PageHash,
            window_ms: Millis(plan.observe_s * 1e3),
            pages: Pages(2000),
            cost: ObservationCost::default(),
            migrated_pages: Pages(65_536),
            zero: Some(Ratio(0.1)),
            dirty_rate_1s_bytes_per_s: 1e6,
            dirty_rate_window_bytes_per_s: 5e5,
            vcpu_use: Some(Ratio(0.4)),
            notes: Vec::new(),
        },
        model: ModelInfo {
            name: "pages".to_owned(),
            version: 1,
            rules: "qemu".to_owned(),
            samples: 100,
            wire_rate_bytes_per_s: 1e8,
            max_downtime_ms: plan.max_downtime_ms,
            dirt_factor: 1.0,
            uncorrected: None,
            notes: Vec::new(),
        },
    }
}

fn outcome(started_at: Timestamp, figures: Figures) -> Outcome {
    let done = figures.status == PointStatus::Completed;
    let lasted = SignedDuration::from_secs_f64(figures.total_time_ms / 1e3);
    let status = match figures.status {
        PointStatus::Completed => OutcomeStatus::Completed,
        PointStatus::NotConverged => OutcomeStatus::Cancelled,
        PointStatus::Failed | PointStatus::Refused => OutcomeStatus::Failed,
    };
    let place = if done {
        Place::RunningAtDestination
    } else {
        Place::RunningAtSource
    };
    let passes = if done { 4 } else { 0 };
    let mut outcome = Outcome::unseen(
        status,
        place,
        "made to fail".to_owned(),
        started_at,
        started_at + lasted,
    );
    outcome.error = outcome.error.filter(|_| !done);
    outcome.total_time_ms = done.then_some(Millis(figures.total_time_ms));
    outcome.downtime_ms = done.then_some(Millis(figures.downtime_ms - 10.0));
    outcome.downtime_clock = done.then_some(DowntimeClock::HypervisorEvents);
    outcome.transferred_bytes = Some(Bytes(figures.migrated_bytes));
    outcome.wire_bytes = Some(Bytes(figures.migrated_bytes));
    outcome.passes = done.then_some(passes);
    outcome.pass_list = (1..=passes)
        .map(|pass| PassRecord {
            pass,
            at_ms: Millis(figures.total_time_ms * (pass - 1) as f64 / passes as f64),
            remaining_bytes: Some(Bytes(figures.migrated_bytes >> (2 * (pass - 1)))),
            transferred_bytes: Some(Bytes(figures.migrated_bytes * (pass - 1) / passes)),
            dirty_pages_per_s: Some(1000),
            expected_downtime_ms: None,
        })
        .collect();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_record_is_whole_and_can_be_read_back() {
        let plan = BenchPlan {
            loads: vec![Load::Light, Load::Heavy],
            ..plan(&["default", "multifd"], &["web", "standby"])
        };
        let record = record(plan, |key, point| {
            Figures::default().with_noise(0.01, key, point)
        });
        assert_eq!(record.runs.len(), 2 * 2 * 2 * 3);
        for run in &record.runs {
            assert_eq!(run.points.len(), 3);
            for point in &run.points {
                let off = point.downtime.icmp_ms.unwrap().0 / 100.0 - 1.0;
                assert!(off != 0.0 && off.abs() <= 0.01, "{off}");
            }
        }
        let text = serde_json::to_string(&record).unwrap();
        let read: BenchRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.runs.len(), record.runs.len());
    }
}
