//! How long a whole forecast takes. Target: 1 s with its interval, which is
//! 100 replays.
//!
//! `cargo xtask bench forecast`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, LinkSpeed, Observation};
use vmferry_model::{Assumptions, Progress, analyse, at_one_pace, forecast, reforecast};

#[path = "../tests/guest/mod.rs"]
mod guest;
#[path = "../tests/guest/paces.rs"]
mod paces;

use paces::two_paces;

fn forecasts(criterion: &mut Criterion) {
    let limits = MoveLimits::default();
    let mut assumptions = Assumptions::tcg();
    assumptions.rules.max_bandwidth = None;
    let link = LinkSpeed::given(ByteRate::from_mbit_per_s(400.0));
    let run = |observation: &Observation| {
        forecast(observation, &link, &limits, &assumptions, 1)
            .expect("an observation that suffices for a forecast")
    };
    let mut group = criterion.benchmark_group("forecast from 4096 pages");
    group.sample_size(10);
    let converging = guest::writer(40e6, 30e6);
    assert!(
        run(&converging).remedies.is_empty(),
        "a guest that converges was meant"
    );
    group.bench_function("converging", |bencher| {
        bencher.iter(|| run(black_box(&converging)));
    });
    let hopeless = guest::writer(120e6, 150e6);
    assert!(
        !run(&hopeless).remedies.is_empty(),
        "a guest that does not converge was meant"
    );
    group.bench_function("not converging, with remedies", |bencher| {
        bencher.iter(|| run(black_box(&hopeless)));
    });
    let mut curve_alone = converging.clone();
    curve_alone.page_history = None;
    group.bench_function("converging, from the curve alone", |bencher| {
        bencher.iter(|| run(black_box(&curve_alone)));
    });
    let paces = two_paces(&converging);
    group.bench_function("converging, watched at two paces", |bencher| {
        bencher.iter(|| run(black_box(&paces)));
    });
    group.bench_function("merging two paces", |bencher| {
        bencher.iter(|| at_one_pace(black_box(&paces).clone()));
    });
    let merged = at_one_pace(paces.clone());
    let progress = Progress {
        elapsed: Duration::from_secs(6),
        remaining: Bytes::from_mib(64),
        passes: 2,
        transferred: Bytes::from_mib(300),
        in_pass: Duration::ZERO,
        last_pass: Some(Duration::from_secs(5)),
        measured_rate: None,
    };
    let again = |observation: &Observation| {
        reforecast(observation, &link, &limits, &assumptions, &progress, 1)
            .expect("an observation that suffices for a reforecast")
    };
    group.bench_function("reforecast, paces merged before", |bencher| {
        bencher.iter(|| again(black_box(&merged)));
    });
    group.bench_function("analysis", |bencher| {
        bencher.iter(|| analyse(black_box(&converging)));
    });
    group.finish();
}

criterion_group!(benches, forecasts);
criterion_main!(benches);
