//! The reference that ships with vmferry: one subject, measured once, that has 1000 in the scores
//! of everybody who asks for it.
//!
//! It is replaced from the report of a benchmark with
//! `cargo xtask bench reference REPORT.json [SUBJECT]`.

use crate::metric::{DowntimeSource, Metric};
use crate::record::{BenchRecord, PointStatus};
use crate::side::{JudgeError, Side};

/// What people call it on command lines. No identifier of a benchmark begins with it.
pub const NAME: &str = "shipped";

const TEXT: &str = include_str!("reference/shipped.json");

/// The record that ships with vmferry, of one subject.
///
/// # Errors
/// Where what was embedded is no record, which a test forbids.
pub fn shipped() -> Result<BenchRecord, serde_json::Error> {
    serde_json::from_str(TEXT)
}

/// What scores need of one subject of a record: its runs with their figures, the machine, the
/// plan, the packages. Probes' traces, clients' series, passes and forecasts are left out.
///
/// # Errors
/// [`JudgeError::UnknownSubject`].
pub fn reduced(record: &BenchRecord, subject: &str) -> Result<BenchRecord, JudgeError> {
    let name = Side::new(record, subject)?.subject;
    let mut kept = record.clone();
    kept.plan.subjects.retain(|one| one.name == name);
    kept.subjects.retain(|one| one.name == name);
    kept.runs.retain(|run| run.key.subject == name);
    for run in &mut kept.runs {
        let services = [&mut run.reference, &mut run.migrated];
        for service in services.into_iter().flatten() {
            service.series.clear();
        }
        for point in &mut run.points {
            point.probes.clear();
            point.forecast = None;
            if let Some(outcome) = &mut point.outcome {
                outcome.pass_list.clear();
            }
        }
    }
    Ok(kept)
}

/// What a record lacks to be a reference, a sentence each; empty where it lacks nothing.
///
/// Every cell of the plan must have all its repeats, two at least, with a completed migration at every point, and
/// each of these a downtime, a total time and its data. An overhead is needed of every service that
/// did something.
pub fn lacking(record: &BenchRecord) -> Vec<String> {
    let [side] = Side::all(record)[..] else {
        let count = record.plan.subjects.len();
        return vec![format!("it has {count} subjects, and a reference has one")];
    };
    let mut lacking = Vec::new();
    if record.ended_at.is_none() {
        lacking.push("the benchmark has not ended".to_owned());
    }
    if !record.subjects.iter().any(|one| one.name == side.subject) {
        lacking.push(format!("it is not known what `{}` was", side.subject));
    }
    if record.plan.repeats < 2 {
        lacking
            .push("every cell was run once only, and no score would have an interval".to_owned());
    }
    let by = DowntimeSource::common(side.points());
    let deadline = record.plan.deadline_ms;
    for name in side.cells() {
        let runs = side.cell(&name).runs;
        if runs.len() < record.plan.repeats as usize {
            lacking.push(format!(
                "{name}: {} of {} runs were made",
                runs.len(),
                record.plan.repeats
            ));
        }
        for run in runs {
            let about = format!("{name}, run {}", run.key.repeat);
            match (&run.reference, &run.migrated) {
                (Some(without), Some(with)) => {
                    let idle = without.operations == 0 && with.operations == 0;
                    if !idle && (without.operations == 0 || without.seconds <= 0.0) {
                        lacking.push(format!("{about}: the service did nothing without moves"));
                    }
                }
                _ => lacking.push(format!("{about}: the service did not get to its end")),
            }
            let measured = run.points.iter().filter(|point| {
                point.status == PointStatus::Completed
                    && Metric::OF_POINTS
                        .iter()
                        .all(|metric| metric.counted(point, by, deadline).is_some())
            });
            let measured = measured.count();
            if measured < record.plan.points as usize {
                lacking.push(format!(
                    "{about}: {measured} of {} migrations completed and were measured",
                    record.plan.points
                ));
            }
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Figures, plan, record};
    use crate::plan::Load;
    use crate::report::results::Results;
    use crate::score::LeftOutReason;

    fn made() -> BenchRecord {
        record(plan(&["a", "b"], &["web", "mail"]), |_, _| {
            Figures::default()
        })
    }

    #[test]
    fn what_ships_has_all_that_scores_need() {
        let shipped = shipped().expect("the embedded reference is a record");
        assert_eq!(lacking(&shipped), Vec::<String>::new());
        let side = Side::all(&shipped)[0];
        assert_eq!(reduced(&shipped, side.subject).unwrap(), shipped);
        // Against itself every score that it has is 1000.
        let own = Results::of(&shipped, None);
        for metric in Metric::OF_POINTS {
            let score = own.scores[0].score(metric).unwrap();
            assert!((score.score.unwrap() - 1000.0).abs() < 1e-6, "{score:?}");
            assert_eq!(score.normalised.len(), side.cells().len());
        }
        let told = &own.reference.unwrap().measured;
        for said in [
            shipped.machine.cpu.as_str(),
            shipped.subjects[0]
                .host
                .hypervisor_version
                .as_deref()
                .unwrap(),
            &shipped.plan.name,
            &shipped.started_at.strftime("%Y-%m-%d").to_string(),
        ] {
            assert!(told.contains(said), "{said}: {told}");
        }
    }

    #[test]
    fn one_subject_is_kept_with_the_same_scores() {
        let record = made();
        let kept = reduced(&record, "b").unwrap();
        assert_eq!(lacking(&kept), Vec::<String>::new());
        let of = |reference| Results::of(&record, Some(reference)).scores;
        let (whole, small) = (of(Side::all(&record)[1]), of(Side::all(&kept)[0]));
        assert_eq!(whole, small);
        assert!(kept.runs.iter().all(|run| run.key.subject == "b"));
        assert!(reduced(&record, "c").is_err());
        assert_eq!(
            lacking(&record),
            ["it has 2 subjects, and a reference has one"]
        );
    }

    #[test]
    fn what_lacks_is_named() {
        let mut kept = reduced(&made(), "a").unwrap();
        kept.ended_at = None;
        kept.runs[0].points[0].status = PointStatus::NotConverged;
        kept.runs[1].points[0].migrated_bytes = None;
        kept.runs[1].migrated = None;
        kept.runs.pop();
        let mut once = reduced(&made(), "a").unwrap();
        once.plan.repeats = 1;
        assert_eq!(lacking(&once).len(), 1, "{:?}", lacking(&once));
        let lacks = lacking(&kept).join("\n");
        for said in [
            "the benchmark has not ended",
            "migrations completed and were measured",
            "the service did not get to its end",
            "runs were made",
        ] {
            assert!(lacks.contains(said), "{said}: {lacks}");
        }
    }

    #[test]
    fn a_cell_that_the_reference_lacks_is_in_no_score_and_told() {
        let mut judged = made();
        judged.id = uuid::Uuid::from_u128(5);
        judged.machine.cpu = "another".to_owned();
        let mut kept = reduced(&made(), "a").unwrap();
        kept.plan.workloads.retain(|name| name == "web");
        kept.runs.retain(|run| run.key.workload == "web");
        let results = Results::of(&judged, Some(Side::all(&kept)[0]));
        for score in &results.scores[0].scores {
            let [left] = &score.left_out[..] else {
                panic!("{score:?}")
            };
            assert_eq!(left.cell.workload, "mail");
            assert_eq!(left.cell.load, Load::Light);
            assert_eq!(left.reason, LeftOutReason::NotInReference);
        }
        let reference = results.reference.unwrap();
        let differ = reference.conditions.join("\n");
        assert!(
            differ.contains("the processor differs: another"),
            "{differ}"
        );
    }
}
