//! How heavy load is sought.

use super::*;
use crate::record::HeavyEnd;

/// What the search for heavy load finds.
async fn found(rules: Rules, plan: BenchPlan) -> BenchRecord {
    let (_dir, store) = store();
    made(&Fake::new(rules), plan, &store).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn guests_are_added_until_a_new_one_hurts() {
    // Three guests run at two thirds of their speed.
    let record = found(Rules::default(), large()).await;
    let [heavy] = &record.heavy[..] else {
        panic!("{:?}", record.heavy)
    };
    assert_eq!(
        (heavy.background_guests, &heavy.because),
        (2, &HeavyEnd::Hurts)
    );
    let rates: Vec<f64> = heavy.steps.iter().map(|step| step.rate_per_s).collect();
    for (rate, expected) in rates.iter().zip([RATE, RATE, RATE * 2.0 / 3.0]) {
        assert!((rate / expected - 1.0).abs() < 0.01, "{rates:?}");
    }
    // All subjects have the same number of guests beside them.
    for run in &record.runs {
        let guests = if run.key.load == Load::Heavy { 2 } else { 0 };
        assert_eq!(run.background_guests, guests);
    }

    let full = Rules {
        most: 1,
        ..Rules::default()
    };
    let heavy = &found(full, large()).await.heavy[0];
    assert_eq!(
        (heavy.background_guests, &heavy.because),
        (1, &HeavyEnd::NoRoom)
    );

    let uncounted = Rules {
        counts: false,
        ..Rules::default()
    };
    let heavy = &found(uncounted, large()).await.heavy[0];
    assert_eq!(
        (heavy.background_guests, &heavy.because, heavy.steps.len()),
        (8, &HeavyEnd::Uncounted, 1)
    );

    let fault = Rules {
        fail: vec![("heavy 2", 1)],
        ..Rules::default()
    };
    let heavy = &found(fault, large()).await.heavy[0];
    assert_eq!(heavy.background_guests, 1);
    assert!(matches!(heavy.because, HeavyEnd::Fault { .. }), "{heavy:?}");

    let mut plan = large();
    plan.background_guests = Some(4);
    let heavy = &found(Rules::default(), plan).await.heavy[0];
    assert_eq!(
        (heavy.background_guests, &heavy.because),
        (4, &HeavyEnd::Given)
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_bears_no_heavy_load_fails_those_runs_only() {
    let rules = Rules {
        fail: vec![("heavy 1", 1)],
        ..Rules::default()
    };
    let record = found(rules, large()).await;
    assert!(record.heavy.is_empty());
    for run in &record.runs {
        let failed = run
            .failure
            .as_deref()
            .is_some_and(|why| why.starts_with("no heavy load"));
        assert_eq!(failed, run.key.load == Load::Heavy, "{run:?}");
    }
}
