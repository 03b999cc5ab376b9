//! A benchmark that nobody ran, with every part that a report can show: three subjects on three
//! workloads under two loads, three points, three repeats. All its figures are made up.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use vmferry_bench::plan::{BenchPlan, Load, Subject};
use vmferry_bench::record::{
    BenchRecord, Blackout, Downtimes, ImageRecord, Latency, MachineRecord, MigrationCpu, Phases,
    PointRecord, PointStatus, ProbeKind, ProbeTrace, RunKey, RunRecord, SectorWork, ServiceRun,
    SubjectRecord, WayBack, WorkSample,
};
use vmferry_core::{
    ByteRate, Bytes, DowntimeClock, Forecast, HostInfo, Interval, Millis, ModelInfo,
    ObservationCost, ObservationMethod, ObservationSummary, Outcome, OutcomeStatus, Pages,
    PassRecord, Place, Ratio, scattered,
};

const SUBJECTS: [&str; 3] = ["qemu-10.0", "qemu-10.0-multifd", "qemu-7.2"];
const WORKLOADS: [&str; 3] = ["web", "postgres", "standby"];

/// The whole record.
pub(crate) fn record() -> BenchRecord {
    let plan = plan();
    let mut runs = Vec::new();
    for repeat in 1..=plan.repeats {
        for workload in WORKLOADS {
            for load in [Load::Light, Load::Heavy] {
                for subject in SUBJECTS {
                    let key = RunKey {
                        subject: subject.to_owned(),
                        workload: workload.to_owned(),
                        load,
                        repeat,
                    };
                    runs.push(run(&plan, key));
                }
            }
        }
    }
    BenchRecord {
        schema_version: 1,
        tool_version: "0.1.0".to_owned(),
        id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0007),
        started_at: begin(),
        ended_at: Some(begin() + SignedDuration::from_mins(57)),
        machine: MachineRecord {
            cpu: "Made-up CPU at 2.00 GHz".to_owned(),
            cpus: 2,
            memory_bytes: Bytes::from_mib(7936),
            kernel: "6.1.0-40-amd64".to_owned(),
            accelerator: "tcg".to_owned(),
            note: "two network namespaces on one machine".to_owned(),
        },
        subjects: SUBJECTS.map(asked).to_vec(),
        images: WORKLOADS
            .into_iter()
            .chain(["clients"])
            .map(image)
            .collect(),
        plan,
        heavy: Vec::new(),
        runs,
    }
}

/// A small one: two subjects, `web` under light load, two points, one repeat, of which the second
/// subject's second migration did not converge.
pub(crate) fn small() -> BenchRecord {
    let mut record = record();
    record.plan.subjects.truncate(2);
    record.plan.workloads.truncate(1);
    record.plan.loads.truncate(1);
    record.plan.points = 2;
    record.plan.repeats = 1;
    record.subjects.truncate(2);
    record.images.truncate(1);
    record.runs.retain(|run| {
        run.key.workload == "web"
            && run.key.load == Load::Light
            && run.key.repeat == 1
            && run.key.subject != "qemu-7.2"
    });
    for run in &mut record.runs {
        run.points.truncate(2);
    }
    record.runs[1].points[1].give_up();
    record
}

/// What a migration that never converged leaves.
pub(crate) trait GiveUp {
    /// Makes it so.
    fn give_up(&mut self);
}

impl GiveUp for PointRecord {
    fn give_up(&mut self) {
        self.status = PointStatus::NotConverged;
        self.failure = Some("cancelled at the deadline".to_owned());
        self.total_time_ms = None;
        self.downtime = Downtimes::default();
        self.blackout = Blackout::default();
        self.latency.after = None;
        self.back = None;
        if let Some(outcome) = &mut self.outcome {
            outcome.status = OutcomeStatus::Cancelled;
            outcome.place = Place::RunningAtSource;
            outcome.downtime_ms = None;
            outcome.total_time_ms = None;
        }
    }
}

fn begin() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().expect("a time")
}

fn plan() -> BenchPlan {
    let mut subjects = SUBJECTS.map(|name| Subject {
        name: name.to_owned(),
        ..Subject::default()
    });
    subjects[1].capabilities.insert("multifd".to_owned(), true);
    subjects[1]
        .parameters
        .insert("multifd-channels".to_owned(), 2.into());
    subjects[2].binary = Some("/opt/qemu-7.2/bin/qemu-system-x86_64".into());
    BenchPlan {
        name: "three QEMUs".to_owned(),
        workloads: WORKLOADS.map(str::to_owned).to_vec(),
        loads: vec![Load::Light, Load::Heavy],
        points: 3,
        sector_s: 15.0,
        warm_up_s: 10.0,
        repeats: 3,
        link: Some(ByteRate::from_mbit_per_s(400.0)),
        max_downtime_ms: Millis(300.0),
        deadline_ms: Millis(60_000.0),
        observe_s: 5.0,
        background_guests: None,
        meter: None,
        destination_meter: None,
        subjects: subjects.to_vec(),
    }
}

fn asked(name: &str) -> SubjectRecord {
    SubjectRecord {
        name: name.to_owned(),
        host: HostInfo {
            hostname: Some("made-up".to_owned()),
            hypervisor: "qemu".to_owned(),
            hypervisor_version: Some(
                if name == "qemu-7.2" {
                    "7.2.19"
                } else {
                    "10.0.2"
                }
                .to_owned(),
            ),
            package: None,
        },
    }
}

fn image(name: &str) -> ImageRecord {
    let packages = [
        ("linux-image-amd64", "6.1.153-1"),
        ("nginx", "1.22.1-9+deb12u3"),
    ];
    ImageRecord {
        name: name.to_owned(),
        packages: packages
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .to_vec(),
    }
}

/// Numbers between 0 and 1 that look like chance and are always the same.
struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    fn next(&mut self) -> f64 {
        self.drawn += 1;
        (scattered(self.seed, self.drawn) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Something within a share of a value.
    fn about(&mut self, value: f64, share: f64) -> f64 {
        value * (1.0 + share * (2.0 * self.next() - 1.0))
    }
}

fn run(plan: &BenchPlan, key: RunKey) -> RunRecord {
    let place = |names: &[&str], name: &str| names.iter().position(|n| *n == name).unwrap_or(0);
    let subject = place(&SUBJECTS, &key.subject);
    let workload = place(&WORKLOADS, &key.workload);
    let heavy = key.load == Load::Heavy;
    let mut chance = Chance {
        seed: (subject * 100 + workload * 10 + usize::from(heavy)) as u64,
        drawn: u64::from(key.repeat) * 1_000_000,
    };
    let rate = [820.0, 145.0, 10.0][workload] * if heavy { 0.55 } else { 1.0 };
    let lost = [0.05, 0.04, 0.09][subject];
    let points = (1..=plan.points)
        .map(|number| point(plan, &mut chance, (subject, workload, heavy), number));
    let points = points.collect();
    let unit = ["requests", "transactions", "echoes"][workload];
    let client = ["wrk 4.1.0", "pgbench 15.14", "ping 20221126"][workload];
    let reference = service(plan, unit, client, chance.about(rate, 0.01));
    let migrated = service(plan, unit, client, chance.about(rate * (1.0 - lost), 0.015));
    RunRecord {
        key,
        started_at: begin(),
        background_guests: if heavy { 2 } else { 0 },
        reference: Some(reference),
        reference_of: None,
        migrated: Some(migrated),
        points,
        failure: None,
    }
}

fn service(plan: &BenchPlan, unit: &str, client: &str, rate: f64) -> ServiceRun {
    let sectors = plan.points + 1;
    let seconds = plan.sector_s * f64::from(sectors);
    let sector = SectorWork {
        seconds: plan.sector_s,
        operations: (rate * plan.sector_s) as u64,
    };
    ServiceRun {
        unit: unit.to_owned(),
        client: client.to_owned(),
        seconds,
        operations: (rate * seconds) as u64,
        errors: 0,
        sectors: vec![sector; sectors as usize],
        series: (0..=seconds as u32)
            .map(|second| WorkSample {
                at_s: f64::from(second),
                operations: (rate * f64::from(second)) as u64,
            })
            .collect(),
    }
}

fn point(
    plan: &BenchPlan,
    chance: &mut Chance,
    (subject, workload, heavy): (usize, usize, bool),
    number: u32,
) -> PointRecord {
    let slower = if heavy { 1.3 } else { 1.0 };
    let downtime = chance.about([182.0, 151.0, 264.0][subject] * slower, 0.12);
    let total = chance.about(
        [6100.0, 5200.0, 7400.0][subject] * [1.0, 1.5, 0.8][workload],
        0.06,
    );
    let megabytes = chance.about(
        [270.0, 262.0, 300.0][subject] * [1.0, 1.5, 0.8][workload],
        0.03,
    );
    let bytes = Bytes((megabytes * 1e6) as u64);
    let latency = |factor: f64, most: f64| Latency {
        count: 900,
        p50_ms: Millis(2.1 * slower * factor),
        p95_ms: Millis(6.4 * slower * factor),
        p99_ms: Millis(11.8 * slower * factor),
        max_ms: Millis(most),
    };
    PointRecord {
        point: number,
        at_s: plan.sector_s * f64::from(number),
        status: PointStatus::Completed,
        failure: None,
        forecast: Some(forecast(plan, total * 0.97, downtime * 0.9, bytes)),
        forecast_failure: None,
        outcome: Some(outcome(chance, total, downtime, bytes)),
        total_time_ms: Some(Millis(total)),
        downtime: Downtimes {
            icmp_ms: Some(Millis(downtime)),
            tcp_ms: Some(Millis(downtime + 6.0)),
            service_ms: Some(Millis(downtime + 19.0)),
        },
        longest_stall_ms: Some(Millis(downtime + 24.0)),
        latency: Phases {
            before: Some(latency(1.0, 31.0)),
            during: Some(latency(1.7, downtime + 24.0)),
            after: Some(latency(1.05, 33.0)),
        },
        migrated_bytes: Some(bytes),
        migration_cpu: MigrationCpu {
            source_s: Some(chance.about(2.2, 0.1)),
            destination_s: Some(chance.about(1.1, 0.1)),
        },
        bench_cpu: Some(Ratio(chance.about(0.031, 0.1))),
        energy_j: None,
        energy: Vec::new(),
        energy_failure: None,
        blackout: Blackout {
            last_pass_ms: Some(Millis(downtime * 0.52)),
            device_state_ms: Some(Millis(downtime * 0.14)),
            destination_start_ms: Some(Millis(downtime * 0.21)),
            network_return_ms: Some(Millis(downtime * 0.13)),
        },
        back: Some(WayBack {
            stopped_ms: Millis(chance.about(3100.0, 0.05)),
            checked: true,
        }),
        probes: [
            (ProbeKind::Icmp, 0.3, 5.0),
            (ProbeKind::Tcp, 0.6, 5.0),
            (ProbeKind::Service, 2.1, 20.0),
        ]
        .map(|(kind, usual, pace)| ProbeTrace {
            question: question(kind, workload).map(str::to_owned),
            ..trace(chance, kind, usual, pace, total, downtime)
        })
        .to_vec(),
    }
}

/// What a probe asked; of the last workload that is not recorded.
fn question(kind: ProbeKind, workload: usize) -> Option<&'static str> {
    match (kind, WORKLOADS[workload]) {
        (_, "standby") => None,
        (ProbeKind::Icmp, _) => Some("echo requests"),
        (ProbeKind::Tcp, "web") => Some("connections to port 80"),
        (ProbeKind::Tcp, _) => Some("connections that are refused at port 9"),
        (ProbeKind::Service, "web") => Some("HTTP's GET / at port 80"),
        (ProbeKind::Service, _) => Some("PostgreSQL's SELECT 1 at port 5432"),
    }
}

fn forecast(plan: &BenchPlan, total: f64, downtime: f64, bytes: Bytes) -> Forecast {
    let around = |middle: f64| Interval {
        p5: Millis(middle * 0.9),
        p50: Millis(middle),
        p95: Millis(middle * 1.15),
    };
    Forecast {
        converges_probability: 0.98,
        deadline_ms: plan.deadline_ms,
        total_time_ms: Some(around(total)),
        downtime_ms: Some(around(downtime)),
        qemu_downtime_ms: None,
        transferred_bytes: Some(Interval {
            p5: bytes * Ratio(0.95),
            p50: bytes,
            p95: bytes * Ratio(1.06),
        }),
        wire_bytes: None,
        slowdown: None,
        passes: None,
        remedies: Vec::new(),
        observation: ObservationSummary {
            started_at: begin(),
            method: ObservationMethod::PageHash,
            window_ms: Millis(5000.0),
            pages: Pages(4000),
            cost: ObservationCost::default(),
            migrated_pages: Pages(65_536),
            zero: Some(Ratio(0.2)),
            dirty_rate_1s_bytes_per_s: 9e6,
            dirty_rate_window_bytes_per_s: 4e6,
            vcpu_use: Some(Ratio(0.6)),
            notes: Vec::new(),
        },
        model: ModelInfo {
            name: "pages".to_owned(),
            version: 1,
            rules: "qemu".to_owned(),
            samples: 200,
            wire_rate_bytes_per_s: 5e7,
            max_downtime_ms: plan.max_downtime_ms,
            dirt_factor: 1.0,
            uncorrected: None,
            notes: Vec::new(),
        },
    }
}

fn outcome(chance: &mut Chance, total: f64, downtime: f64, bytes: Bytes) -> Outcome {
    let shares = [
        (0.0, 1.0),
        (0.72, 0.31),
        (0.9, 0.11),
        (1.0 - downtime / total, 0.03),
    ];
    let pass_list = (1..).zip(shares).map(|(pass, (at, left))| PassRecord {
        pass,
        at_ms: Millis(total * at),
        remaining_bytes: Some(Bytes::from_mib(256) * Ratio(chance.about(left, 0.04))),
        transferred_bytes: Some(bytes * Ratio(at)),
        dirty_pages_per_s: Some(2100),
        expected_downtime_ms: Some(Millis(310.0)),
    });
    Outcome {
        status: OutcomeStatus::Completed,
        place: Place::RunningAtDestination,
        error: None,
        started_at: begin(),
        ended_at: begin() + SignedDuration::from_millis(total as i64),
        total_time_ms: Some(Millis(total)),
        downtime_ms: Some(Millis(downtime * 0.93)),
        downtime_clock: Some(DowntimeClock::HypervisorEvents),
        qemu_downtime_ms: Some(Millis(downtime * 0.7)),
        transferred_bytes: Some(bytes),
        wire_bytes: Some(bytes),
        slowdown: Some(Ratio(0.06)),
        passes: Some(4),
        post_copy: false,
        pass_list: pass_list.collect(),
    }
}

/// Answers from 4 s before the command to 4 s after the end, none while the guest is away; the
/// service's own requests wait instead.
fn trace(
    chance: &mut Chance,
    kind: ProbeKind,
    usual: f64,
    pace: f64,
    total: f64,
    downtime: f64,
) -> ProbeTrace {
    let (mut asked_ms, mut latency_ms) = (Vec::new(), Vec::new());
    let gone = total - downtime;
    let mut at = -4000.0;
    while at < total + 4000.0 {
        let busy = if (0.0..total).contains(&at) { 1.8 } else { 1.0 };
        // Now and then an answer takes far longer.
        let tail = 1.0 / (1.0 - 0.97 * chance.next());
        let latency = usual * busy * (0.7 + 0.3 * tail);
        asked_ms.push(at);
        let away = (gone..total).contains(&at);
        if away && kind == ProbeKind::Service {
            latency_ms.push(Some(total - at + latency));
            at = total;
        } else {
            latency_ms.push((!away).then_some(latency));
        }
        at += pace;
    }
    ProbeTrace {
        kind,
        pace_ms: None,
        asked_ms,
        latency_ms,
        question: None,
    }
}
