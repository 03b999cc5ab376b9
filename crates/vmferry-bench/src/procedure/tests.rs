//! The procedure over a made-up platform, on paused time.

mod heavy;

use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use super::fake::{Fake, RATE, Rules};
use super::{BenchEvent, begin, resume};
use crate::error::BenchError;
use crate::plan::{BenchPlan, Load, Subject};
use crate::record::{BenchRecord, PointStatus};
use crate::store::BenchStore;

const VERSION: &str = "0.1.0";

/// One workload, light load, one subject.
fn small() -> BenchPlan {
    BenchPlan {
        workloads: vec!["web".into()],
        ..BenchPlan::quick()
    }
}

/// Two subjects of one binary and one of another; light and heavy load.
fn large() -> BenchPlan {
    let subject = |name: &str, binary: Option<&str>| Subject {
        name: name.into(),
        binary: binary.map(Into::into),
        ..Subject::default()
    };
    BenchPlan {
        loads: vec![Load::Light, Load::Heavy],
        points: 2,
        subjects: vec![
            subject("default", None),
            subject("multifd", None),
            subject("old", Some("/opt/qemu-7.2")),
        ],
        ..small()
    }
}

fn store() -> (TempDir, BenchStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = BenchStore::at(dir.path().to_owned());
    (dir, store)
}

async fn made(fake: &Fake, plan: BenchPlan, store: &BenchStore) -> Result<BenchRecord, BenchError> {
    let mut platform = fake.clone();
    begin(
        &mut platform,
        plan,
        store,
        VERSION,
        &fake.cancel(),
        &mut |_| {},
    )
    .await
}

async fn gone_on(fake: &Fake, id: Uuid, store: &BenchStore) -> Result<BenchRecord, BenchError> {
    let mut platform = fake.clone();
    resume(
        &mut platform,
        id,
        false,
        store,
        VERSION,
        &fake.cancel(),
        &mut |_| {},
    )
    .await
}

/// Without what differs from one benchmark to the next: names, times, and in whose run a reference
/// was made.
fn timeless(mut record: BenchRecord) -> BenchRecord {
    record.id = Uuid::nil();
    record.started_at = Timestamp::UNIX_EPOCH;
    record.ended_at = record.ended_at.map(|_| Timestamp::UNIX_EPOCH);
    for run in &mut record.runs {
        run.started_at = Timestamp::UNIX_EPOCH;
        run.reference_of = None;
    }
    record
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-3
}

#[tokio::test(start_paused = true)]
async fn sectors_are_cut_and_ways_back_left_out() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules::default());
    let record = made(&fake, small(), &store).await.unwrap();
    let [run] = &record.runs[..] else {
        panic!("{:?}", record.runs)
    };
    assert_eq!((run.failure.as_ref(), run.points.len()), (None, 3));
    let reference = run.reference.as_ref().unwrap();
    assert_eq!(reference.sectors.len(), 4);
    for sector in &reference.sectors {
        assert!(close(sector.seconds, 6.0), "{sector:?}");
        assert_eq!(sector.operations, 600);
    }
    // A sector of 6 s, then three that end with a migration of 10 s, 300 ms of them without work.
    let migrated = run.migrated.as_ref().unwrap();
    assert!(close(migrated.seconds, 36.0), "{migrated:?}");
    assert_eq!(migrated.operations, 3600 - 3 * 30);
    for sector in &migrated.sectors[1..] {
        assert!(close(sector.seconds, 10.0), "{sector:?}");
        assert_eq!(sector.operations, 970);
    }
    // Ways back of 3 s lie between; the guest is observed for 2 s before each command.
    let at: Vec<f64> = run.points.iter().map(|point| point.at_s).collect();
    for (at, expected) in at.iter().zip([8.0, 21.0, 34.0]) {
        assert!(close(*at, expected), "{run:?}");
    }
    let numbers: Vec<u32> = run.points.iter().map(|point| point.point).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(run.points.iter().all(|point| point.back.is_some()));
    // The series begins with the running time, after the warm-up, and ends with it.
    let last = migrated.series.last().unwrap();
    assert_eq!(migrated.series.len(), 1);
    assert!(close(last.at_s, 36.0 + 9.0), "{last:?}");
    assert_eq!(last.operations, migrated.operations);
    assert_eq!(fake.running(), 0);
    assert_eq!(store.read(record.id).unwrap(), record);
    assert!(record.ended_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn clients_that_speak_once_a_second_lose_no_work() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        speaks_each: Duration::from_secs(1),
        ..Rules::default()
    });
    let mut plan = small();
    (plan.sector_s, plan.warm_up_s) = (6.35, 2.4);
    let record = made(&fake, plan, &store).await.unwrap();
    let run = &record.runs[0];
    let reference = run.reference.as_ref().unwrap();
    for sector in &reference.sectors {
        let rate = sector.operations as f64 / sector.seconds;
        assert!(close(rate / RATE, 1.0), "{sector:?}");
    }
    // Three blackouts of 300 ms are what migrations cost.
    let migrated = run.migrated.as_ref().unwrap();
    let lost = migrated.seconds - migrated.operations as f64 / RATE;
    assert!((lost - 0.9).abs() < 0.02, "{lost}: {migrated:?}");
}

#[tokio::test(start_paused = true)]
async fn subjects_that_serve_alike_share_a_reference() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules::default());
    let mut plan = large();
    plan.loads = vec![Load::Light];
    plan.repeats = 2;
    let record = made(&fake, plan, &store).await.unwrap();
    let told: Vec<String> = record
        .runs
        .iter()
        .map(|run| {
            let of = run.reference_of.as_deref().unwrap_or("its own");
            assert!(run.reference.is_some() && run.migrated.is_some());
            format!("{} {}: {of}", run.key.repeat, run.key.subject)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    1 default: its own
    1 multifd: default
    1 old: its own
    2 multifd: its own
    2 old: its own
    2 default: multifd
    ");
    let starts = fake
        .calls()
        .iter()
        .filter(|call| call.starts_with("start"))
        .count();
    assert_eq!(starts, 6 + 4);
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_at_any_step_loses_no_run_and_leaves_nothing() {
    let (_dir, whole) = store();
    let calm = Fake::new(Rules::default());
    let expected = timeless(made(&calm, large(), &whole).await.unwrap());
    let steps = calm.calls().len();
    assert!(steps > 100, "{steps}");
    let alive = (1..=steps).step_by(3).map(|step| (step, false));
    let dead = (2..=steps).step_by(3).map(|step| (step, true));
    for (step, clients_die) in alive.chain(dead) {
        let (_dir, store) = store();
        let hasty = Fake::new(Rules {
            cancel_at: Some(step),
            clients_die,
            ..Rules::default()
        });
        let record = match made(&hasty, large(), &store).await {
            // The operator was too late.
            Ok(record) => record,
            Err(BenchError::Cancelled { id, done, .. }) => {
                let kept = store.read(id).unwrap();
                assert_eq!(kept.runs.len(), done);
                assert_eq!(timeless(kept).runs[..], expected.runs[..done]);
                gone_on(&Fake::new(Rules::default()), id, &store)
                    .await
                    .unwrap()
            }
            Err(BenchError::CancelledEarly) => {
                assert!(store.list().unwrap().0.is_empty());
                continue;
            }
            Err(error) => panic!("{step}: {error}"),
        };
        assert_eq!(hasty.running(), 0, "{step}");
        assert_eq!(timeless(record), expected, "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_loses_only_the_run_under_way() {
    let (_dir, whole) = store();
    let begun = tokio::time::Instant::now();
    let expected = made(&Fake::new(Rules::default()), large(), &whole).await;
    let expected = timeless(expected.unwrap());
    let all = begun.elapsed().as_secs();
    for crash_s in (1..all).step_by(61) {
        let (_dir, store) = store();
        let fake = Fake::new(Rules::default());
        let life = Duration::from_secs(crash_s);
        assert!(
            tokio::time::timeout(life, made(&fake, large(), &store))
                .await
                .is_err()
        );
        let id = store.interrupted().unwrap();
        // Again, before it is half done, and then to its end.
        let fake = Fake::new(Rules::default());
        let again = tokio::time::timeout(life / 2, gone_on(&fake, id, &store)).await;
        let record = match again {
            Ok(record) => record.unwrap(),
            Err(_) => gone_on(&fake, id, &store).await.unwrap(),
        };
        assert_eq!(timeless(record), expected, "{crash_s}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_is_recorded_and_the_others_are_made() {
    let mut told = Vec::new();
    for (call, which) in [
        ("start multifd", 1),
        ("begin", 2),
        ("work", 3),
        ("migrate", 2),
        ("back", 1),
    ] {
        let (_dir, store) = store();
        let fake = Fake::new(Rules {
            fail: vec![(call, which)],
            ..Rules::default()
        });
        let mut plan = large();
        plan.loads = vec![Load::Light];
        let record = made(&fake, plan, &store).await.unwrap();
        assert_eq!((record.runs.len(), fake.running()), (3, 0));
        let failed: Vec<_> = record
            .runs
            .iter()
            .filter(|run| run.failure.is_some())
            .collect();
        let [run] = failed[..] else {
            panic!("{failed:?}")
        };
        assert!(run.migrated.is_none());
        let others = record.runs.iter().filter(|run| run.migrated.is_some());
        assert_eq!(others.count(), 2);
        let points = run.points.len();
        let reference = run.reference.is_some();
        told.push(format!(
            "{}: {} (reference {reference}, points {points})",
            run.key.subject,
            run.failure.as_deref().unwrap_or_default()
        ));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    multifd: the start: `start multifd web light 0` was made to fail (reference true, points 0)
    default: the clients: `begin` was made to fail (reference true, points 0)
    default: the service: `work` was made to fail (reference false, points 0)
    default: point 2: `migrate` was made to fail (reference true, points 2)
    default: the way back of point 1: `back` was made to fail (reference true, points 1)
    ");
}

#[tokio::test(start_paused = true)]
async fn what_was_killed_before_its_last_word_is_ended() {
    let (_dir, store) = store();
    let record = made(&Fake::new(Rules::default()), small(), &store).await;
    let record = record.unwrap();
    let runs = store.path(record.id).join("runs.jsonl");
    let text = std::fs::read_to_string(&runs).unwrap();
    let (kept, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("ended"), "{last}");
    std::fs::write(&runs, format!("{kept}\n")).unwrap();
    assert_eq!(store.interrupted().unwrap(), record.id);
    let calm = Fake::new(Rules::default());
    let ended = gone_on(&calm, record.id, &store).await.unwrap();
    assert!(ended.ended_at.is_some() && ended.runs == record.runs);
    assert_eq!(calm.calls(), Vec::<String>::new());
    assert!(store.interrupted().is_err());
}

#[tokio::test(start_paused = true)]
async fn failed_runs_are_made_again_when_asked_for() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        fail: vec![("migrate", 1)],
        ..Rules::default()
    });
    let record = made(&fake, small(), &store).await.unwrap();
    assert!(record.runs[0].failure.is_some());
    let calm = Fake::new(Rules::default());
    let ended = gone_on(&calm, record.id, &store).await.unwrap_err();
    assert!(matches!(ended, BenchError::Ended { .. }), "{ended}");
    let mut platform = calm.clone();
    let again = resume(
        &mut platform,
        record.id,
        true,
        &store,
        VERSION,
        &calm.cancel(),
        &mut |_| {},
    )
    .await
    .unwrap();
    assert_eq!(
        (again.runs.len(), again.runs[0].failure.as_ref()),
        (1, None)
    );
}

#[tokio::test(start_paused = true)]
async fn migrations_that_do_not_complete_are_results() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        status: PointStatus::NotConverged,
        ..Rules::default()
    });
    let record = made(&fake, small(), &store).await.unwrap();
    let run = &record.runs[0];
    assert_eq!((run.failure.as_ref(), run.points.len()), (None, 3));
    assert!(run.points.iter().all(|point| point.back.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_lost_counts_as_a_migration_that_failed() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        fail: vec![("migrate", 2)],
        ..Rules::default()
    });
    let record = made(&fake, small(), &store).await.unwrap();
    let [_, lost] = &record.runs[0].points[..] else {
        panic!("{:?}", record.runs)
    };
    assert_eq!((lost.point, lost.status), (2, PointStatus::Failed));
    assert_eq!(lost.failure.as_deref(), Some("`migrate` was made to fail"));
    assert!(close(lost.at_s, 2.0 * 6.0 + 10.0 - 6.0 + 3.0), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_go_on_after_the_way_back_ends_its_run() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        checked: false,
        ..Rules::default()
    });
    let record = made(&fake, small(), &store).await.unwrap();
    let run = &record.runs[0];
    assert_eq!(run.points.len(), 1);
    let why = run.failure.as_deref().unwrap();
    assert!(why.contains("way back of point 1"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_on_a_machine_that_is_not_clean() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules {
        fail: vec![("stop", 2)],
        ..Rules::default()
    });
    let error = made(&fake, large(), &store).await.unwrap_err();
    let BenchError::LeftOver { id, .. } = error else {
        panic!("{error}")
    };
    // What was measured before is kept.
    let kept = store.read(id).unwrap();
    assert_eq!((kept.runs.len(), kept.runs[0].failure.as_ref()), (1, None));
    let record = gone_on(&Fake::new(Rules::default()), id, &store)
        .await
        .unwrap();
    assert_eq!(record.runs.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_asked_does_not_warm_up() {
    let took = async |counts| {
        let (_dir, store) = store();
        let fake = Fake::new(Rules {
            counts,
            ..Rules::default()
        });
        let mut plan = small();
        plan.warm_up_s = 100.0;
        let begun = tokio::time::Instant::now();
        made(&fake, plan, &store).await.unwrap();
        begun.elapsed().as_secs_f64()
    };
    // The run without migrations, and that with.
    assert!(close(took(true).await - took(false).await, 200.0));
}

#[tokio::test(start_paused = true)]
async fn only_what_compares_goes_on() {
    let (_dir, store) = store();
    let hasty = Fake::new(Rules {
        cancel_at: Some(12),
        ..Rules::default()
    });
    let error = made(&hasty, large(), &store).await.unwrap_err();
    let BenchError::Cancelled { id, .. } = error else {
        panic!("{error}")
    };
    let newer = Fake::new(Rules {
        version: "10.1",
        ..Rules::default()
    });
    let error = gone_on(&newer, id, &store).await.unwrap_err().to_string();
    assert!(
        error.contains("subject old was qemu 10.0 and is qemu 10.1"),
        "{error}"
    );
    let calm = Fake::new(Rules::default());
    let mut platform = calm.clone();
    let error = resume(
        &mut platform,
        id,
        false,
        &store,
        "0.2.0",
        &calm.cancel(),
        &mut |_| {},
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(error.contains("vmferry was 0.1.0 and is 0.2.0"), "{error}");
    assert!(gone_on(&calm, id, &store).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ready_is_known_before_anything_is_measured() {
    for call in ["machine", "check old", "prepare web"] {
        let (_dir, store) = store();
        let fake = Fake::new(Rules {
            fail: vec![(call, 1)],
            ..Rules::default()
        });
        let error = made(&fake, large(), &store).await.unwrap_err();
        assert!(
            error.to_string().contains("nothing was measured"),
            "{error}"
        );
        assert!(store.list().unwrap().0.is_empty());
    }
    let (_dir, store) = store();
    let mut plan = small();
    plan.workloads = vec!["fax".into()];
    let error = made(&Fake::new(Rules::default()), plan, &store).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("`fax` is none of web, postgres, standby"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_story_is_told_in_order() {
    let (_dir, store) = store();
    let fake = Fake::new(Rules::default());
    let mut events = Vec::new();
    let mut platform = fake.clone();
    let cancel = fake.cancel();
    let record = begin(
        &mut platform,
        small(),
        &store,
        VERSION,
        &cancel,
        &mut |event| {
            events.push(event);
        },
    )
    .await
    .unwrap();
    let told: Vec<String> = events
        .iter()
        .map(|event| {
            let value = serde_json::to_value(event).unwrap();
            let text = |name: &str| value.get(name).map(|one| format!(" {one}"));
            let parts =
                ["what", "step", "point", "done"].map(|name| text(name).unwrap_or_default());
            format!("{}{}", value["event"], parts.concat())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    "preparing" "the machine"
    "preparing" "subject default"
    "preparing" "workload web"
    "begun" 0
    "run-begun"
    "step" "reference"
    "step" "migrated"
    "point" 1
    "point" 2
    "point" 3
    "run-ended" 1
    "ended"
    "#);
    assert_eq!(events.last(), Some(&BenchEvent::Ended { id: record.id }));
}
