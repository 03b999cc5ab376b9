//! The drawings of a cell.

use vmferry_core::Bytes;

use crate::record::{PointRecord, ProbeTrace};
use crate::report::cell::{Cell, SubjectRuns};
use crate::report::page::Figure;
use crate::report::spread::Spread;
use crate::report::svg::{blackout, latency, passes, points};

/// One value of a migration.
type Value = fn(&PointRecord) -> Option<f64>;

/// The parts of a blackout, in order, milliseconds.
pub(super) const PARTS: [Value; 4] = [
    |point| point.blackout.last_pass_ms.map(|ms| ms.0),
    |point| point.blackout.device_state_ms.map(|ms| ms.0),
    |point| point.blackout.destination_start_ms.map(|ms| ms.0),
    |point| point.blackout.network_return_ms.map(|ms| ms.0),
];

/// Ways of looking at a downtime, the finest first.
const DOWNTIMES: [(&str, Value); 3] = [
    ("ICMP", |point| point.downtime.icmp_ms.map(|ms| ms.0)),
    ("TCP", |point| point.downtime.tcp_ms.map(|ms| ms.0)),
    ("requests", |point| point.downtime.service_ms.map(|ms| ms.0)),
];

/// Every drawing that the cell has data for.
pub(super) fn of(cell: &Cell<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    let seen = DOWNTIMES.iter().find(|(_, of)| {
        let points = || cell.subjects.iter().flat_map(SubjectRuns::completed);
        points().any(|point| of(point).is_some())
    });
    if let Some((probe, of)) = seen {
        figures.extend(over_points(
            cell,
            &format!("downtime by {probe}"),
            "ms",
            *of,
        ));
    }
    figures.extend(over_points(cell, "total migration time", "s", |point| {
        point.total_time_ms.map(|ms| ms.0 / 1e3)
    }));
    figures.extend(over_points(cell, "migrated data", "MiB", |point| {
        point.migrated_bytes.map(Bytes::as_mib)
    }));
    figures.extend(remaining(cell));
    figures.extend(
        cell.subjects
            .iter()
            .filter_map(|subject| waiting(cell, subject)),
    );
    figures.extend(parts(cell));
    figures
}

fn over_points(cell: &Cell<'_>, what: &str, unit: &str, of: Value) -> Option<Figure> {
    let series: Vec<points::Series> = cell
        .subjects
        .iter()
        .map(|subject| points::Series {
            name: subject.name.to_owned(),
            number: subject.number,
            dots: subject
                .completed()
                .filter_map(|point| Some((point.point, of(point)?)))
                .collect(),
        })
        .filter(|series| !series.dots.is_empty())
        .collect();
    let title = format!("{}: {what}", cell.title());
    (!series.is_empty()).then(|| Figure {
        caption: format!(
            "Completed migrations at every migration point as marks, a line through the medians of \
             their repeats: {what}, {unit}."
        ),
        svg: points::svg(&title, unit, cell.plan.points, &series),
    })
}

fn remaining(cell: &Cell<'_>) -> Option<Figure> {
    let subjects: Vec<passes::Moves> = cell
        .subjects
        .iter()
        .map(|subject| {
            let mut moves: Vec<&PointRecord> = subject
                .completed()
                .filter(|point| {
                    point
                        .outcome
                        .as_ref()
                        .is_some_and(|o| !o.pass_list.is_empty())
                })
                .collect();
            if let Some(middle) = typical(&moves, |point| point.total_time_ms.map(|ms| ms.0)) {
                moves.swap(0, middle);
            }
            passes::Moves {
                name: subject.name.to_owned(),
                number: subject.number,
                moves: moves.into_iter().map(left).collect(),
            }
        })
        .filter(|subject| !subject.moves.is_empty())
        .collect();
    let title = format!("{}: passes", cell.title());
    (!subjects.is_empty()).then(|| Figure {
        caption: "What remained to be sent at the begin of every pass (mark), down to nothing at \
                  the end. Bold: the migration of median total time; pale: all others."
            .to_owned(),
        svg: passes::svg(&title, &subjects),
    })
}

/// What remained over the time of a completed migration.
fn left(point: &PointRecord) -> Vec<(f64, f64)> {
    let list = point.outcome.iter().flat_map(|outcome| &outcome.pass_list);
    let mut places: Vec<(f64, f64)> = list
        .filter_map(|pass| Some((pass.at_ms.0 / 1e3, pass.remaining_bytes?.as_mib())))
        .collect();
    if let Some(total) = point.total_time_ms {
        places.push((total.0 / 1e3, 0.0));
    }
    places
}

fn parts(cell: &Cell<'_>) -> Option<Figure> {
    let rows: Vec<blackout::Parts> = cell
        .subjects
        .iter()
        .filter(|subject| subject.completed().next().is_some())
        .map(|subject| blackout::Parts {
            name: subject.name.to_owned(),
            parts_ms: PARTS.map(|of| Some(Spread::of(subject.completed().map(of))?.median)),
        })
        .collect();
    let known = rows
        .iter()
        .any(|row| row.parts_ms.iter().any(Option::is_some));
    let title = format!("{}: parts of the blackout", cell.title());
    known.then(|| Figure {
        caption: "The time in which nobody answers, in its parts; medians over completed \
                  migrations."
            .to_owned(),
        svg: blackout::svg(&title, &rows),
    })
}

fn waiting(cell: &Cell<'_>, subject: &SubjectRuns<'_>) -> Option<Figure> {
    let traced: Vec<&PointRecord> = subject
        .completed()
        .filter(|point| point.probes.iter().any(|trace| !trace.asked_ms.is_empty()))
        .collect();
    let typical = typical(&traced, |point| {
        DOWNTIMES.iter().find_map(|(_, of)| of(point))
    });
    let point = traced.get(typical.unwrap_or(0))?;
    let traces: Vec<&ProbeTrace> = point.probes.iter().collect();
    let total_s = point.total_time_ms.map(|ms| ms.0 / 1e3);
    let title = format!("{}: latency, {}", cell.title(), subject.name);
    Some(Figure {
        caption: format!(
            "What clients of {} saw around the move at point {}, the one of median downtime.",
            subject.name, point.point
        ),
        svg: latency::svg(&title, &traces, total_s),
    })
}

/// Where the migration is whose value is the median of them, or next above.
fn typical(points: &[&PointRecord], of: Value) -> Option<usize> {
    let mut known: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter_map(|(at, point)| Some((at, of(point)?)))
        .collect();
    known.sort_by(|one, other| one.1.total_cmp(&other.1));
    known.get(known.len() / 2).map(|found| found.0)
}
