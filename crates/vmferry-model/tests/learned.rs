//! `learned` on made-up histories whose truth is known.

use proptest::prelude::*;
use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis, Technique};
use vmferry_model::learned::Learned;
use vmferry_model::predictor::{CannotForecast, Case, Fit, Past, Predicted, Predictor};

/// A move whose time is its pages once over the link, times `factor`.
fn row(i: usize, technique: Technique, factor: f64) -> ImportedMigration {
    let memory = Bytes::from_mib(1024 << (i % 5));
    let bandwidth = ByteRate::from_mbit_per_s(500.0 * (1 + i % 7) as f64);
    let once = memory.0 as f64 / bandwidth.0 * 1e3;
    ImportedMigration {
        run: None,
        guest: None,
        workload: Some(format!("w{}", i % 6)),
        started_at: None,
        technique,
        memory_bytes: memory,
        dirty_rate: ByteRate(0.0),
        bandwidth,
        downtime_limit_ms: None,
        converged: Some(true),
        total_time_ms: Millis(once * factor),
        downtime_ms: Some(Millis(40.0)),
        transferred_bytes: Some(Bytes((memory.0 as f64 * factor) as u64)),
    }
}

fn rows(count: usize, factor: f64) -> Vec<ImportedMigration> {
    (0..count)
        .map(|i| row(i, Technique::PreCopy, factor))
        .collect()
}

fn learn(rows: &[ImportedMigration]) -> Box<dyn Predictor> {
    let past: Vec<Past<'_>> = rows.iter().map(Past::from).collect();
    Learned.fit(&past).unwrap()
}

fn case(row: &ImportedMigration) -> Case<'_> {
    Past::from(row).case
}

fn said(rows: &[ImportedMigration], asked: &ImportedMigration) -> Predicted {
    learn(rows).forecast(&case(asked), 1).unwrap()
}

fn total_ms(said: &Predicted) -> f64 {
    said.total_time_ms.unwrap().p50.0
}

#[test]
fn too_short_a_history_is_an_error() {
    let one = rows(1, 0.4);
    let past: Vec<Past<'_>> = one.iter().map(Past::from).collect();
    let error = Learned.fit(&past).unwrap_err();
    assert_eq!((error.found, error.needed), (1, 8));
    insta::assert_snapshot!(error, @"the model `learned` learns from earlier moves with size, dirty rate, bandwidth, total time and an end of their own: it needs 8, and there are 1; move more guests, or import a history");
    assert!(Learned.fit(&[]).is_err());
    // Moves that were cut off do not make up for it.
    let mut censored = rows(30, 0.4);
    censored.iter_mut().for_each(|r| r.converged = Some(false));
    let past: Vec<Past<'_>> = censored.iter().map(Past::from).collect();
    assert_eq!(Learned.fit(&past).unwrap_err().found, 0);
}

#[test]
fn the_share_that_is_really_sent_is_found() {
    let asked = ImportedMigration {
        workload: Some("never seen".to_owned()),
        ..row(3, Technique::PreCopy, 0.4)
    };
    let said = said(&rows(60, 0.4), &asked);
    assert!(
        (total_ms(&said) / asked.total_time_ms.0 - 1.0).abs() < 0.02,
        "{said:?}"
    );
    let sent = said.transferred_bytes.unwrap().p50.0 as f64;
    assert!((sent / asked.transferred_bytes.unwrap().0 as f64 - 1.0).abs() < 0.02);
    assert!(
        (said.downtime_ms.unwrap().p50.0 / 40.0 - 1.0).abs() < 0.05,
        "{said:?}"
    );
    insta::assert_snapshot!(said.notes.join("\n"), @"Learned from 60 moves of 6 workloads.");
}

#[test]
fn moves_that_were_cut_off_change_no_cost() {
    let mut history = rows(60, 0.4);
    let asked = row(2, Technique::PreCopy, 0.4);
    let before = said(&history, &asked);
    for i in 0..20 {
        history.push(ImportedMigration {
            converged: Some(false),
            total_time_ms: Millis(1e8),
            dirty_rate: ByteRate(1e9),
            ..row(i, Technique::PreCopy, 0.4)
        });
    }
    let after = said(&history, &asked);
    assert_eq!(after.total_time_ms, before.total_time_ms);
    insta::assert_snapshot!(after.notes.join("\n"), @"
    Learned from 60 moves of 6 workloads.
    20 more moves by pre-copy did not end by themselves: they count in the probability of converging, not in time, downtime and traffic.
    ");
    let hopeless = ImportedMigration {
        dirty_rate: ByteRate(1e9),
        ..asked
    };
    assert!(said(&history, &hopeless).converges_probability.unwrap() < 0.2);
    assert!(after.converges_probability.unwrap() > 0.9);
}

#[test]
fn a_technique_hardly_seen_says_so() {
    let said = said(&rows(60, 0.4), &row(2, Technique::AutoConverge, 1.0));
    insta::assert_snapshot!(said.notes.join("\n"), @"
    Learned from 60 moves of 6 workloads.
    Too few earlier moves by auto-converge: corrected as all techniques together, so the interval may be too narrow.
    ");
    let mut few = rows(10, 0.4);
    few.iter_mut().for_each(|r| r.workload = None);
    let said = self::said(&few, &few[0]);
    insta::assert_snapshot!(said.notes.join("\n"), @"
    Learned from 10 moves of 1 workloads.
    They ran one workload only: another may err by more than the interval says.
    Fewer than 19 moves: the interval is the range of their errors.
    ");
}

#[test]
fn a_stopped_guest_is_down_all_the_time() {
    let history: Vec<_> = (0..30)
        .map(|i| row(i, Technique::StopAndCopy, 0.3))
        .collect();
    let said = said(&history, &history[4]);
    assert_eq!(said.downtime_ms, said.total_time_ms);
    assert_eq!(said.converges_probability, Some(1.0));
}

#[test]
fn what_is_not_known_is_an_error() {
    let history = rows(60, 0.4);
    let model = learn(&history);
    let unknown = Case {
        dirty_rate: None,
        ..case(&history[0])
    };
    let error = model.forecast(&unknown, 1).unwrap_err();
    assert!(matches!(error, CannotForecast::Unknown { .. }), "{error}");
    let senseless = [
        Case {
            memory: Bytes(0),
            ..case(&history[0])
        },
        Case {
            dirty_rate: Some(ByteRate(f64::NAN)),
            ..case(&history[0])
        },
        Case {
            dirty_rate: Some(ByteRate(-1.0)),
            ..case(&history[0])
        },
    ];
    for case in senseless {
        let error = model.forecast(&case, 1).unwrap_err();
        assert!(matches!(error, CannotForecast::Senseless { .. }), "{error}");
    }
    // Post-copy sends each page once, whatever is dirtied.
    let post_copy = Case {
        technique: Technique::PostCopy,
        ..unknown
    };
    assert!(model.forecast(&post_copy, 1).is_ok());
}

proptest! {
    /// However odd the history and the question, what is said is a number and
    /// in order.
    #[test]
    fn says_numbers_in_order(
        moves in prop::collection::vec(
            (20u32..40, 0f64..1e10, 1e3f64..1e12, 0usize..6, 1f64..1e9, any::<bool>()), 8..40),
        asked in (20u32..45, 0f64..1e12, 1e3f64..1e13, 0usize..6),
    ) {
        let row = |(memory, dirty, rate, technique): (u32, f64, f64, usize), total, i: usize| {
            ImportedMigration {
                memory_bytes: Bytes(1 << memory),
                dirty_rate: ByteRate(dirty),
                bandwidth: ByteRate(rate),
                total_time_ms: Millis(total),
                ..row(i, Technique::ALL[technique], 1.0)
            }
        };
        let history: Vec<_> = moves.iter().enumerate().map(|(i, m)| ImportedMigration {
            converged: Some(m.5 || i < 8),
            ..row((m.0, m.1, m.2, m.3), m.4, i)
        }).collect();
        let said = said(&history, &row(asked, 1.0, 0));
        let total = said.total_time_ms.unwrap();
        prop_assert!(total.p5 <= total.p50 && total.p50 <= total.p95, "{total:?}");
        prop_assert!(total.p5.0 >= 0.0 && total.p95.0.is_finite(), "{total:?}");
        let sent = said.transferred_bytes.unwrap();
        prop_assert!(sent.p5 <= sent.p50 && sent.p50 <= sent.p95, "{sent:?}");
        let p = said.converges_probability.unwrap();
        prop_assert!((0.0..=1.0).contains(&p), "{p}");
    }
}
