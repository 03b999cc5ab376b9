//! The leaderboard on models whose errors are known, and on cheats.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, ImportedMigration, Interval, Millis, Technique};
use vmferry_model::leaderboard::{Holdout, LeaderboardError, Step, compare, compare_watched};
use vmferry_model::learned::{Learned, Uncorrected};
use vmferry_model::predictor::named::{self, AsIs};
use vmferry_model::predictor::{
    CannotForecast, Case, Correcting, Fit, Measured, Past, Predicted, Predictor, RuleSet,
    TooLittleData,
};

fn row(i: usize) -> ImportedMigration {
    ImportedMigration {
        run: None,
        guest: Some(format!("g{}", i % 4)),
        workload: Some(format!("w{}", i % 5)),
        started_at: jiff::Timestamp::from_second(1_700_000_000 + 10 * i as i64).ok(),
        technique: [Technique::PreCopy, Technique::PostCopy][i % 2],
        memory_bytes: Bytes::from_mib(1024),
        dirty_rate: ByteRate(1e6),
        bandwidth: ByteRate(1e8),
        downtime_limit_ms: None,
        converged: Some(i % 7 != 6),
        // Some are still running when the next begins.
        total_time_ms: Millis(if i.is_multiple_of(3) {
            15_000.0
        } else {
            5_000.0
        }),
        downtime_ms: None,
        transferred_bytes: Some(Bytes::from_mib(900)),
    }
}

fn rows(count: usize) -> Vec<ImportedMigration> {
    (0..count).map(row).collect()
}

fn pasts(rows: &[ImportedMigration]) -> Vec<Past<'_>> {
    rows.iter().map(Past::from).collect()
}

/// Says 10 s and 900 MiB of every move.
#[derive(Debug)]
struct TenSeconds;

impl Predictor for TenSeconds {
    fn name(&self) -> &'static str {
        "ten-seconds"
    }

    fn forecast(&self, _: &Case<'_>, _: u64) -> Result<Predicted, CannotForecast> {
        let mut said = Predicted::of_formula(10.0, 0.1, Bytes::from_mib(900).0 as f64);
        said.converges_probability = Some(1.0);
        Ok(said)
    }
}

fn two() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(1)
}

fn ten_seconds() -> AsIs {
    AsIs(Arc::new(TenSeconds))
}

/// Remembers what it learned from, and refuses to forecast what it should
/// not have known.
#[derive(Debug)]
struct Spy(Holdout);

#[derive(Debug)]
struct Remembers {
    holdout: Holdout,
    seen: BTreeSet<String>,
    last_end: Option<f64>,
}

impl Fit for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        let key = |p: &Past<'_>| match self.0 {
            Holdout::Guest => p.case.guest.map(str::to_owned),
            _ => p.case.workload.map(str::to_owned),
        };
        let end = |p: &Past<'_>| Some(p.measured.ended_at?.as_millisecond() as f64);
        Ok(Box::new(Remembers {
            holdout: self.0,
            seen: past.iter().filter_map(key).collect(),
            last_end: past.iter().filter_map(end).reduce(f64::max),
        }))
    }
}

impl Predictor for Remembers {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn forecast(&self, case: &Case<'_>, _: u64) -> Result<Predicted, CannotForecast> {
        let knew = match self.holdout {
            Holdout::Workload => case.workload.is_some_and(|w| self.seen.contains(w)),
            Holdout::Guest => case.guest.is_some_and(|g| self.seen.contains(g)),
            Holdout::Future => case
                .at
                .zip(self.last_end)
                .is_some_and(|(at, end)| end >= at.as_millisecond() as f64),
        };
        assert!(!knew, "forecast with knowledge of {case:?}");
        TenSeconds.forecast(case, 0)
    }
}

#[test]
fn nothing_is_forecast_by_who_saw_it() {
    let many: Vec<_> = (0..400)
        .map(|i| ImportedMigration {
            workload: Some(format!("w{}", i % 90)),
            guest: (i % 9 != 0).then(|| format!("g{}", i % 50)),
            ..row(i)
        })
        .collect();
    for holdout in [Holdout::Workload, Holdout::Guest, Holdout::Future] {
        let spy = Spy(holdout);
        let board = compare(&pasts(&many), &[&spy], holdout, 1, two()).unwrap();
        assert_eq!(board.standings[0].forecast, 400, "{holdout:?}");
        let alone = compare(&pasts(&many), &[&spy], holdout, 1, NonZeroUsize::MIN);
        assert_eq!(alone.unwrap(), board);
    }
}

#[test]
fn a_cancelled_move_teaches_when_it_was_over() {
    let rows = rows(40);
    let mut moves = pasts(&rows);
    // Every one was cancelled 25 s after it began, and has no total time.
    for (past, row) in moves.iter_mut().zip(&rows) {
        past.measured = Measured {
            ended_at: row.started_at.map(|at| at + Duration::from_secs(25)),
            ..Measured::default()
        };
    }
    let spy = Spy(Holdout::Future);
    let board = compare(&moves, &[&spy], Holdout::Future, 1, two()).unwrap();
    assert_eq!((board.standings[0].forecast, board.censored), (40, 40));
    // The first three begin before any is over: one fit of nothing.
    assert_eq!(board.fits, 38);
}

#[test]
fn moves_of_unknown_end_count_in_errors_alone() {
    let mut rows = rows(14);
    for row in &mut rows[..5] {
        row.converged = None;
    }
    let model = ten_seconds();
    let board = compare(&pasts(&rows), &[&model], Holdout::Workload, 1, two()).unwrap();
    let all = &board.standings[0];
    assert_eq!(board.censored, 2);
    assert_eq!(all.total_time.unwrap().n, 12);
    let verdicts = all.verdicts.unwrap();
    assert_eq!((verdicts.n, verdicts.right), (9, 7));
}

#[test]
fn later_moves_learn_from_earlier_ones() {
    let rows = rows(60);
    let board = compare(&pasts(&rows), &[&Learned], Holdout::Future, 1, two()).unwrap();
    let all = &board.standings[0];
    // It takes eight complete moves to begin with.
    assert!((45..=51).contains(&all.forecast), "{all:?}");
    let refusal = all.refusal.as_deref().unwrap();
    assert!(refusal.contains("it needs 8"), "{refusal}");
}

#[test]
fn errors_of_a_known_model() {
    let rows = rows(14);
    let board = compare(
        &pasts(&rows),
        &[&ten_seconds(), &AsIs(Arc::new(Uncorrected))],
        Holdout::Workload,
        1,
        two(),
    )
    .unwrap();
    assert_eq!((board.moves, board.censored, board.fits), (14, 2, 5));
    assert_eq!(board.standings.len(), 6);
    let all = &board.standings[0];
    assert_eq!((all.technique, all.moves, all.forecast), (None, 14, 14));
    // Of 12 complete moves 0, 3, 9 and 12 took 15 s (an error of 1/3) and the
    // others 5 s (1).
    let time = all.total_time.unwrap();
    assert_eq!(
        (time.n, time.median, time.p90, time.coverage),
        (12, 1.0, 1.0, None)
    );
    assert!((time.mean - (4.0 / 3.0 + 8.0) / 12.0).abs() < 1e-12);
    assert_eq!(all.downtime, None);
    assert_eq!(all.transferred.unwrap().mean, 0.0);
    let verdicts = all.verdicts.unwrap();
    assert_eq!(
        (verdicts.n, verdicts.right, verdicts.too_hopeful),
        (14, 12, 2)
    );
    insta::assert_snapshot!(
        serde_json::to_string(&board.standings[1]).unwrap(),
        @r#"{"model":"ten-seconds","technique":"pre-copy","moves":7,"forecast":7,"refusal":null,"total_time":{"n":6,"median":1.0,"mean":0.7777777777777777,"p90":1.0,"coverage":null},"downtime":null,"transferred":{"n":6,"median":0.0,"mean":0.0,"p90":0.0,"coverage":null},"verdicts":{"n":7,"right":6,"too_hopeful":1}}"#
    );
}

#[test]
fn says_why_there_is_none() {
    let said = ten_seconds();
    let models: [&dyn Fit; 1] = [&said];
    let rows = rows(6);
    let found = compare(&pasts(&rows[..1]), &models, Holdout::Workload, 1, two());
    assert_eq!(found, Err(LeaderboardError::TooFewMoves { moves: 1 }));

    let mut alike = rows.clone();
    alike.iter_mut().for_each(|r| r.workload = None);
    let error = compare(&pasts(&alike), &models, Holdout::Workload, 1, two()).unwrap_err();
    insta::assert_snapshot!(error, @"the moves know fewer than two workloads, so that none can be left out; import with workload=COLUMN and guest=COLUMN, or compare in time order");

    let mut untimed = rows.clone();
    untimed[2].started_at = None;
    let error = compare(&pasts(&untimed), &models, Holdout::Future, 1, two()).unwrap_err();
    insta::assert_snapshot!(error, @"1 of 6 moves have no time, so that they cannot be put in order; import with started_at=COLUMN, or leave workloads out");
}

/// Counts how often it is asked; its interval is too narrow.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl Predictor for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn forecast(&self, case: &Case<'_>, _: u64) -> Result<Predicted, CannotForecast> {
        self.0.fetch_add(1, Ordering::Relaxed);
        case.check(self.name(), &[Technique::PreCopy])?;
        let mut said = Predicted::of_formula(10.0, 0.1, Bytes::from_mib(900).0 as f64);
        said.total_time_ms = said.total_time_ms.map(|interval| Interval {
            p5: Millis(interval.p5.0 * 0.9),
            p95: Millis(interval.p95.0 * 1.1),
            ..interval
        });
        Ok(said)
    }
}

/// The same model, which every fold asks anew.
#[derive(Debug)]
struct Hidden(Correcting);

impl Fit for Hidden {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        self.0.fit(past)
    }
}

#[test]
fn a_model_that_learning_only_corrects_is_asked_once_a_move() {
    let rows = rows(60);
    let pasts = pasts(&rows);
    let model = Arc::new(Counting::default());
    let correcting = || Correcting {
        model: model.clone(),
        intervals_only: true,
    };
    for holdout in [Holdout::Workload, Holdout::Guest, Holdout::Future] {
        model.0.store(0, Ordering::Relaxed);
        let last = Mutex::new(Step { done: 0, of: 0 });
        let watch = |step: Step| {
            let mut last = last.lock().unwrap();
            if step.done > last.done {
                *last = step;
            }
        };
        let board = compare_watched(&pasts, &[&correcting()], holdout, 1, two(), &watch).unwrap();
        assert_eq!(model.0.load(Ordering::Relaxed), 60);
        assert_eq!(*last.lock().unwrap(), Step { done: 120, of: 120 });
        let standing = &board.standings[0];
        assert_eq!((standing.moves, standing.forecast), (60, 30), "{holdout:?}");
        let why = standing.refusal.as_deref().unwrap();
        assert!(why.contains("does not describe post-copy"), "{why}");
        // The interval of its own covers none of 5 and 15 s, the calibrated one
        // does.
        let time = standing.total_time.unwrap();
        assert!(time.coverage.unwrap() > 0.5, "{time:?}");

        let slow = compare(&pasts, &[&Hidden(correcting())], holdout, 1, two()).unwrap();
        let slow = &slow.standings[0];
        if holdout != Holdout::Future {
            assert_eq!(slow.total_time, standing.total_time, "{holdout:?}");
            assert_eq!(slow.verdicts, standing.verdicts);
        }
    }
}

#[test]
fn a_first_move_is_forecast_without_lessons() {
    let rows = rows(6);
    let model = named::calibrated("closed-form", RuleSet::default()).unwrap();
    let board = compare(&pasts(&rows), &[&*model], Holdout::Future, 1, two()).unwrap();
    let pre_copy = &board.standings[1];
    assert_eq!(pre_copy.technique, Some(Technique::PreCopy));
    assert_eq!((pre_copy.forecast, pre_copy.moves), (3, 3));
}

#[test]
fn auto_learns_from_tables_what_nothing_else_describes() {
    let mut rows = rows(60);
    for row in rows.iter_mut().step_by(2) {
        row.technique = Technique::Compression;
    }
    let auto = named::named("auto", RuleSet::default()).unwrap();
    let board = compare(&pasts(&rows), &[&*auto], Holdout::Workload, 1, two()).unwrap();
    assert_eq!(board.standings[0].forecast, 60);
    let learned = compare(&pasts(&rows), &[&Learned], Holdout::Workload, 1, two()).unwrap();
    for (auto, learned) in board.standings.iter().zip(&learned.standings) {
        assert_eq!(auto.total_time, learned.total_time);
    }
    // In time order the first have nothing to learn from, and say so.
    let board = compare(&pasts(&rows), &[&*auto], Holdout::Future, 1, two()).unwrap();
    let why = board.standings[0].refusal.as_deref().unwrap();
    assert!(
        why.contains("`auto` does not describe compression"),
        "{why}"
    );
}
