//! What was measured in every cell: tables for each workload and load, and drawings.

use std::collections::BTreeSet;

use vmferry_core::{Bytes, Millis, Ratio};

use crate::metric;
use crate::record::{Latency, MeteredHost, PointRecord, ProbeKind, RunRecord, ServiceRun};
use crate::report::aim::{self, BENCH_CPU};
use crate::report::cell::{Cell, SubjectRuns};
use crate::report::page::{Section, Table};
use crate::report::spread::{Spread, UNKNOWN, counted, number, told};

use super::{figures, load};

/// Ways of looking from outside, and what tables call them.
const WAYS: [(ProbeKind, &str); 3] = [
    (ProbeKind::Icmp, "ICMP"),
    (ProbeKind::Tcp, "TCP"),
    (ProbeKind::Service, "requests"),
];

/// The section of a cell.
pub(crate) fn section(cell: &Cell<'_>) -> Section {
    let mut section = Section::new(cell.title());
    if cell.is_empty() {
        section.say("Nothing was run here yet.");
        return section;
    }
    section.say(load::clients(cell));
    if let Some(heavy) = cell.heavy {
        section.say(load::heavy(heavy));
    }
    if cell
        .subjects
        .iter()
        .all(|subject| subject.completed().next().is_none())
    {
        section.say("No migration completed here, so that there is nothing to draw.");
    }
    section.figures(figures::of(cell));
    section.table(service(cell));
    for words in load::shared(cell) {
        section.say(words);
    }
    section.table(downtime(cell));
    if let Some(words) = paces(cell) {
        section.say(words);
        section.list(questions(cell));
    }
    section.table(cost(cell));
    for words in bench_cpu(cell).into_iter().chain(energy(cell)) {
        section.say(words);
    }
    section.table(blackout(cell));
    if lacks_parts(cell) {
        section.say(format!(
            "Parts that are {UNKNOWN} were not noted by the hypervisor; QEMU notes these since 8.2."
        ));
    }
    section.table(latency(cell));
    section
}

fn table(
    caption: &str,
    cell: &Cell<'_>,
    head: &[&str],
    row: impl Fn(&SubjectRuns<'_>) -> Vec<String>,
) -> Table {
    let mut table = Table::new(caption, head);
    let subjects = cell
        .subjects
        .iter()
        .filter(|subject| !subject.runs.is_empty());
    table.rows = subjects.map(row).collect();
    table
}

fn service(cell: &Cell<'_>) -> Table {
    let head = [
        "subject",
        "runs",
        "guests beside",
        "per second without migrations",
        "per second with",
        "overhead, %",
        "errors without",
        "errors with",
    ];
    let caption = "The service without and with migrations, median (least–most) over runs";
    table(caption, cell, &head, |subject| {
        let runs = || subject.runs.iter();
        let errors = |of: fn(&RunRecord) -> Option<&ServiceRun>| {
            counted(runs().map(|run| Some(of(run)?.errors as f64)))
        };
        let rate = |of: fn(&RunRecord) -> Option<&ServiceRun>| {
            told(runs().map(|run| of(run).and_then(operations_per_s)))
        };
        let wanted = cell.plan.repeats;
        vec![
            subject.name.to_owned(),
            format!("{} of {wanted}", subject.runs.len()),
            counted(runs().map(|run| Some(f64::from(run.background_guests)))),
            rate(|run| run.reference.as_ref()),
            rate(|run| run.migrated.as_ref()),
            told(runs().map(|run| overhead(run).map(Ratio::percent))),
            errors(|run| run.reference.as_ref()),
            errors(|run| run.migrated.as_ref()),
        ]
    })
}

fn downtime(cell: &Cell<'_>) -> Table {
    let head = [
        "subject",
        "migrations completed",
        "downtime by ICMP, ms",
        "downtime by TCP, ms",
        "downtime by requests, ms",
        "longest stall, ms",
    ];
    let caption = "What was seen from outside, median (least–most) over completed migrations";
    table(caption, cell, &head, |subject| {
        let ms = |of: fn(&PointRecord) -> Option<Millis>| {
            told(subject.completed().map(|point| of(point).map(|ms| ms.0)))
        };
        vec![
            subject.name.to_owned(),
            format!(
                "{} of {}",
                subject.completed().count(),
                subject.points().count()
            ),
            ms(|point| point.downtime.icmp_ms),
            ms(|point| point.downtime.tcp_ms),
            ms(|point| point.downtime.service_ms),
            ms(|point| point.longest_stall_ms),
        ]
    })
}

fn cost(cell: &Cell<'_>) -> Table {
    let head = [
        "subject",
        "total time, s",
        "data on the connection, MiB",
        "CPU at the source, s",
        "CPU at the destination, s",
        "CPU of the benchmark, % of a core",
        "energy, J",
        "stopped on the way back, ms",
    ];
    let caption = "What migrations took, median (least–most) over completed migrations";
    table(caption, cell, &head, |subject| {
        let each = |of: fn(&PointRecord) -> Option<f64>| told(subject.completed().map(of));
        vec![
            subject.name.to_owned(),
            each(|point| point.total_time_ms.map(|ms| ms.0 / 1e3)),
            each(|point| point.migrated_bytes.map(Bytes::as_mib)),
            each(|point| point.migration_cpu.source_s),
            each(|point| point.migration_cpu.destination_s),
            each(|point| point.bench_cpu.map(Ratio::percent)),
            match cell.plan.meter.is_some() || cell.plan.destination_meter.is_some() {
                true => each(|point| point.energy_j),
                false => "no meter".to_owned(),
            },
            each(|point| point.back.map(|back| back.stopped_ms.0)),
        ]
    })
}

/// How often was asked, as far as that is recorded: a downtime is exact to that.
fn paces(cell: &Cell<'_>) -> Option<String> {
    let completed = || cell.subjects.iter().flat_map(SubjectRuns::completed);
    let said: Vec<String> = WAYS
        .into_iter()
        .filter_map(|(kind, name)| {
            let traces = completed().flat_map(|point| &point.probes);
            let paces = traces
                .filter(|trace| trace.kind == kind)
                .map(|trace| Some(trace.pace()?.0));
            let pace = Spread::of(paces)?.median;
            Some(format!("every {} ms by {name}", number(pace)))
        })
        .collect();
    (!said.is_empty()).then(|| {
        format!(
            "Asked {}: downtimes are exact to that. What was asked:",
            said.join(", ")
        )
    })
}

/// What was asked; in general words where that is not recorded.
fn questions(cell: &Cell<'_>) -> Vec<String> {
    let completed = cell.subjects.iter().flat_map(SubjectRuns::completed);
    let traces: Vec<_> = completed.flat_map(|point| &point.probes).collect();
    let said = WAYS.into_iter().map(|(kind, name)| {
        let traces = traces.iter().filter(|trace| trace.kind == kind);
        let asked: BTreeSet<&str> = traces
            .filter_map(|trace| trace.question.as_deref())
            .collect();
        let asked = match (asked.is_empty(), kind) {
            (false, _) => Vec::from_iter(asked).join("; or "),
            (true, ProbeKind::Icmp) => "echo requests".to_owned(),
            (true, ProbeKind::Tcp) => "connections to the service's port, or to a closed one \
                                       where connections would be its work"
                .to_owned(),
            (true, ProbeKind::Service) => {
                "the service's own, or echoes by the guest where it serves nobody".to_owned()
            }
        };
        format!("by {name}: {asked}")
    });
    said.collect()
}

/// How much of a core the benchmark itself took, against what it may.
fn bench_cpu(cell: &Cell<'_>) -> Option<String> {
    let completed = cell.subjects.iter().flat_map(SubjectRuns::completed);
    let known: Vec<Ratio> = completed.filter_map(|point| point.bench_cpu).collect();
    let kept = known.iter().filter(|cpu| aim::keeps(**cpu, BENCH_CPU));
    (!known.is_empty()).then(|| {
        format!(
            "CPU of the benchmark: aim {} % of a core, kept by {} of {} migrations.",
            aim::percent(BENCH_CPU),
            kept.count(),
            known.len()
        )
    })
}

/// What energies are of, and why some are missing.
fn energy(cell: &Cell<'_>) -> Vec<String> {
    let points = || cell.subjects.iter().flat_map(SubjectRuns::completed);
    let mut meters: Vec<String> = points()
        .flat_map(|point| &point.energy)
        .map(|one| {
            let host = match one.host {
                MeteredHost::Source => "source",
                MeteredHost::Destination => "destination",
            };
            format!("the {host} by {}", one.meter)
        })
        .collect();
    meters.sort();
    meters.dedup();
    let mut said = Vec::new();
    if !meters.is_empty() {
        said.push(format!(
            "Energy is that of {}, above what was drawn under the same load before the run's first migration.",
            meters.join(" and ")
        ));
    }
    let mut failures: Vec<&String> = points()
        .filter_map(|point| point.energy_failure.as_ref())
        .collect();
    failures.sort();
    failures.dedup();
    said.extend(failures.into_iter().map(|why| format!("No energy: {why}.")));
    said
}

fn blackout(cell: &Cell<'_>) -> Table {
    let head = [
        "subject",
        "last pass, ms",
        "device state, ms",
        "destination start, ms",
        "network return, ms",
    ];
    let caption = "Parts of the blackout, median (least–most) over completed migrations";
    table(caption, cell, &head, |subject| {
        let parts = figures::PARTS.map(|of| told(subject.completed().map(of)));
        let mut row = vec![subject.name.to_owned()];
        row.extend(parts);
        row
    })
}

/// Whether there is a subject of whose blackouts the hypervisor noted nothing.
fn lacks_parts(cell: &Cell<'_>) -> bool {
    let noted = |point: &PointRecord| figures::PARTS.iter().any(|of| of(point).is_some());
    let mut subjects = cell.subjects.iter();
    subjects.any(|subject| subject.completed().next().is_some() && !subject.completed().any(noted))
}

fn latency(cell: &Cell<'_>) -> Table {
    let head = [
        "subject, when",
        "requests",
        "p50, ms",
        "p95, ms",
        "p99, ms",
        "longest, ms",
    ];
    let mut table = Table::new(
        "Latency of requests, medians over completed migrations",
        &head,
    );
    type Phase = (&'static str, fn(&PointRecord) -> Option<Latency>);
    let phases: [Phase; 3] = [
        ("before", |point| point.latency.before),
        ("during", |point| point.latency.during),
        ("after", |point| point.latency.after),
    ];
    for subject in &cell.subjects {
        for (when, of) in phases {
            let seen: Vec<Latency> = subject.completed().filter_map(of).collect();
            if seen.is_empty() {
                continue;
            }
            let middle = |value: fn(&Latency) -> f64| median(seen.iter().map(value));
            table.rows.push(vec![
                format!("{}, {when}", subject.name),
                middle(|latency| latency.count as f64),
                middle(|latency| latency.p50_ms.0),
                middle(|latency| latency.p95_ms.0),
                middle(|latency| latency.p99_ms.0),
                middle(|latency| latency.max_ms.0),
            ]);
        }
    }
    table
}

fn median(values: impl Iterator<Item = f64>) -> String {
    let spread = Spread::of(values.map(Some));
    spread.map_or_else(|| UNKNOWN.to_owned(), |spread| number(spread.median))
}

fn operations_per_s(run: &ServiceRun) -> Option<f64> {
    metric::rate(run.operations, run.seconds)
}

fn overhead(run: &RunRecord) -> Option<Ratio> {
    metric::overhead(run.reference.as_ref()?, run.migrated.as_ref()?)
}
