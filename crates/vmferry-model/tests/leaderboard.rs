//! The leaderboard on models whose errors are known, and on cheats.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use vmferry_core::{ByteRate, Bytes, ImportedMigration, Millis, Technique};
use vmferry_model::leaderboard::{Holdout, LeaderboardError, compare};
use vmferry_model::learned::{Learned, Uncorrected};
use vmferry_model::predictor::named::AsIs;
use vmferry_model::predictor::{
    CannotForecast, Case, Fit, Past, Predicted, Predictor, TooLittleData,
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
        let end = |p: &Past<'_>| {
            let start = p.case.at?.as_millisecond() as f64;
            Some(start + p.measured.total_time?.0)
        };
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
