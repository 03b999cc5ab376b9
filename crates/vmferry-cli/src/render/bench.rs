//! Benchmarks for people.

use vmferry::benchmarking::{
    BenchComparison, BenchEvent, BenchList, BenchRecord, BenchRunReport, HeavyEnd, HeavyLoad,
    PointStatus, RunKey, RunStep, SideName,
};

use super::{or_dash, table, text};

/// The answer of `bench list`, with the reference that comes with vmferry.
pub(crate) fn list(list: &BenchList, shipped: &BenchRecord) -> String {
    let shipped = format!(
        "`--reference shipped` is {} on {} CPUs of {}, measured {}",
        subjects(shipped),
        shipped.machine.cpus,
        shipped.machine.cpu,
        shipped.started_at.strftime("%Y-%m-%d")
    );
    if list.benchmarks.is_empty() {
        return format!("no benchmark yet; `vmferry bench run --quick` makes one\n{shipped}");
    }
    let mut rows = table(&[
        "benchmark",
        "plan",
        "started",
        "state",
        "runs",
        "failed",
        "subjects",
        "workloads",
    ]);
    for entry in &list.benchmarks {
        rows.add_row(vec![
            entry.id.to_string(),
            entry.name.clone(),
            entry.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            entry.state.to_string(),
            format!("{} of {}", entry.runs_done, entry.runs_planned),
            entry.runs_failed.to_string(),
            entry.subjects.join(", "),
            entry.workloads.join(", "),
        ]);
    }
    format!("{}\n{shipped}", text(&rows))
}

/// `default (qemu 10.0.2)`, as asked of each hypervisor.
fn subjects(record: &BenchRecord) -> String {
    let named = record.subjects.iter().map(|subject| {
        let host = &subject.host;
        let version = host.hypervisor_version.as_deref();
        format!(
            "{} ({} {})",
            subject.name,
            host.hypervisor,
            version.unwrap_or("of unknown version")
        )
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The answer of `bench run` and `bench resume`.
pub(crate) fn ended(report: &BenchRunReport) -> String {
    let entry = &report.benchmark;
    format!(
        "benchmark    {}\nplan         {}\nruns         {} of {}, {} failed\nkept in      {}",
        entry.id,
        entry.name,
        entry.runs_done,
        entry.runs_planned,
        entry.runs_failed,
        entry.path.display()
    )
}

/// The answer of `bench compare`.
pub(crate) fn compared(of: &BenchComparison) -> String {
    let mut parts: Vec<String> = Vec::new();
    for comparison in &of.comparisons {
        let (judged, baseline) = (&comparison.judged, &comparison.baseline);
        let mut lines = vec![format!(
            "{} against {}, downtime by {}",
            side(judged),
            side(baseline),
            comparison.downtime_by
        )];
        if judged == baseline {
            lines.push("note: both are the same runs".to_owned());
        }
        lines.extend(
            comparison
                .conditions
                .iter()
                .map(|note| format!("note: {note}")),
        );
        let mut rows = table(&[
            "workload",
            "load",
            "metric",
            "baseline",
            "judged",
            "difference",
        ]);
        for cell in &comparison.cells {
            rows.add_row(vec![
                cell.cell.workload.clone(),
                cell.cell.load.to_string(),
                cell.metric.to_string(),
                cell.metric.show(cell.baseline),
                cell.metric.show(cell.judged),
                cell.difference.words(cell.metric),
            ]);
        }
        for score in &comparison.scores {
            let number = |value: Option<f64>| value.map(|value| format!("{value:.0}"));
            rows.add_row(vec![
                "all".to_owned(),
                "all".to_owned(),
                format!("score of {}", score.metric),
                or_dash(score.score.map(|_| "1000".to_owned())),
                or_dash(number(score.score)),
                or_dash(
                    score
                        .difference
                        .as_ref()
                        .map(|one| one.words_of_score(score.metric)),
                ),
            ]);
        }
        lines.push(text(&rows));
        let left_out = comparison.scores.iter().flat_map(|score| {
            let cells = score.left_out.iter();
            cells.map(|left| {
                format!(
                    "note: {} is not in the score of {}: {}",
                    left.cell, score.metric, left.reason
                )
            })
        });
        lines.extend(left_out);
        parts.push(lines.join("\n"));
    }
    let sentences = of.gates.iter().flat_map(|gate| {
        let mark = if gate.failed { "FAILED" } else { "kept" };
        let says = gate.findings.iter().map(|finding| finding.sentence.clone());
        std::iter::once(format!("{mark}: {}", gate.gate))
            .chain(says.map(|says| format!("  {says}")))
    });
    let gates: Vec<String> = sentences.collect();
    if !gates.is_empty() {
        parts.push(gates.join("\n"));
    }
    parts.join("\n\n")
}

/// `multifd (release, 01a2006a of 2026-11-21)`.
fn side(of: &SideName) -> String {
    format!(
        "{} ({}, {} of {})",
        of.subject,
        of.plan,
        &of.benchmark.to_string()[..8],
        of.started_at.strftime("%Y-%m-%d")
    )
}

/// What happened, in a line.
pub(crate) fn event(event: &BenchEvent) -> String {
    match event {
        BenchEvent::Preparing { what } => format!("making ready: {what}"),
        BenchEvent::Begun {
            id,
            path,
            done,
            of,
            left_s,
        } => format!(
            "benchmark {id} in {}: {done} of {of} runs made, {}",
            path.display(),
            left(*left_s)
        ),
        BenchEvent::RunBegun { key, number, of } => format!("run {number} of {of}: {}", name(key)),
        BenchEvent::Step { step, .. } => match step {
            RunStep::HeavySearch => "  adding guests until a new one hurts".into(),
            RunStep::Reference => "  without migrations".into(),
            RunStep::Migrated => "  with migrations".into(),
        },
        BenchEvent::HeavyTried {
            background_guests,
            rate_per_s,
            ..
        } => format!("  {background_guests} guests beside it: {rate_per_s:.1} operations/s each"),
        BenchEvent::HeavyFound(heavy) => heavy_load(heavy),
        BenchEvent::Point {
            point,
            of,
            status,
            total_time_ms,
            downtime_ms,
            failure,
            ..
        } => {
            let (total, downtime) = (or_dash(*total_time_ms), or_dash(*downtime_ms));
            let figures = format!("total {total}, downtime {downtime}");
            let told = match status {
                PointStatus::Completed => figures,
                PointStatus::NotConverged => {
                    format!("did not converge, interrupted for {downtime} at most")
                }
                PointStatus::Failed => "failed".to_owned(),
                PointStatus::Refused => "refused".to_owned(),
            };
            let why = failure
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            format!("  point {point} of {of}: {told}{why}")
        }
        BenchEvent::RunEnded {
            failure,
            done,
            of,
            left_s,
            ..
        } => {
            let failed = failure
                .as_ref()
                .map_or_else(String::new, |why| format!("failed: {why}; "));
            format!("  {failed}{done} of {of} runs made, {}", left(*left_s))
        }
        BenchEvent::Warning { message } => format!("warning: {message}"),
        BenchEvent::Ended { id } => format!("benchmark {id} has ended"),
    }
}

fn name(key: &RunKey) -> String {
    format!(
        "{}, {} under {} load, repeat {}",
        key.subject, key.workload, key.load, key.repeat
    )
}

fn left(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("about {seconds:.0} s left")
    } else {
        format!("about {:.0} min left", seconds / 60.0)
    }
}

fn heavy_load(heavy: &HeavyLoad) -> String {
    let guests = heavy.background_guests;
    let because = match &heavy.because {
        HeavyEnd::Hurts => "the last one clearly hurt".to_owned(),
        HeavyEnd::NoRoom => "there is no room for more".to_owned(),
        HeavyEnd::Fault { message } => format!("one more failed: {message}"),
        HeavyEnd::Uncounted => {
            "nobody counts what they do, and there is room for no more".to_owned()
        }
        HeavyEnd::Given => "the plan says so".to_owned(),
    };
    format!(
        "  heavy load of {}: {guests} guests beside it; {because}",
        heavy.workload
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry::benchmarking::{self, Load, SideRef};
    use vmferry::core::Millis;

    #[test]
    fn the_same_runs_on_both_sides_are_called_so_and_sides_are_told_apart() {
        let side: SideRef = "shipped".parse().unwrap();
        let comparison = benchmarking::compare(&side, Some(&side), &[]).unwrap();
        let shipped = benchmarking::shipped().unwrap();
        let told = compared(&comparison);
        let named = format!(
            "({}, {} of {})",
            shipped.plan.name,
            &shipped.id.to_string()[..8],
            shipped.started_at.strftime("%Y-%m-%d")
        );
        assert_eq!(told.matches(&named).count(), 2, "{told}");
        assert!(told.contains("\nnote: both are the same runs\n"), "{told}");
        assert!(told.contains("score of total time"), "{told}");
        assert!(!told.contains("one run on a side"), "{told}");
    }

    #[test]
    fn progress_reads_as_a_story() {
        let key = RunKey {
            subject: "multifd".into(),
            workload: "web".into(),
            load: Load::Heavy,
            repeat: 2,
        };
        let events = [
            BenchEvent::RunBegun {
                key: key.clone(),
                number: 3,
                of: 12,
            },
            BenchEvent::Step {
                key: key.clone(),
                step: RunStep::HeavySearch,
            },
            BenchEvent::HeavyTried {
                workload: "web".into(),
                background_guests: 1,
                rate_per_s: 812.34,
            },
            BenchEvent::HeavyFound(HeavyLoad {
                workload: "web".into(),
                background_guests: 1,
                steps: Vec::new(),
                because: HeavyEnd::Hurts,
            }),
            BenchEvent::Point {
                key: key.clone(),
                point: 1,
                of: 3,
                status: PointStatus::Completed,
                total_time_ms: Some(Millis(6210.0)),
                downtime_ms: Some(Millis(287.0)),
                failure: None,
            },
            BenchEvent::Point {
                key: key.clone(),
                point: 2,
                of: 3,
                status: PointStatus::Failed,
                total_time_ms: None,
                downtime_ms: None,
                failure: Some("connection reset".into()),
            },
            BenchEvent::RunEnded {
                key,
                failure: Some("the service: no answer".into()),
                done: 3,
                of: 12,
                left_s: 1234.0,
            },
        ];
        let told: Vec<String> = events.iter().map(event).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        run 3 of 12: multifd, web under heavy load, repeat 2
          adding guests until a new one hurts
          1 guests beside it: 812.3 operations/s each
          heavy load of web: 1 guests beside it; the last one clearly hurt
          point 1 of 3: total 6.21 s, downtime 287 ms
          point 2 of 3: failed: connection reset
          failed: the service: no answer; 3 of 12 runs made, about 21 min left
        ");
    }
}
