//! What a controller's step costs.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use vmferry_control::throttle::{
    Controller, Curve, Deadline, Look, ObservedOutlook, Policy, Preset, Promises, Stage,
};
use vmferry_core::{ByteRate, Bytes, LinkSpeed, Ratio};
use vmferry_model::Assumptions;
use vmferry_precopy::tuning::{Round, Settings};

#[path = "../tests/throttles/guest.rs"]
mod guest;

/// A guest near its barrier in its third pass: most plans go on for long.
fn look() -> Look {
    let settings = Settings {
        rate: None,
        speed: Ratio(1.0),
    };
    Look {
        now: Duration::from_secs(12),
        stage: Stage::PreCopy,
        pass: 3,
        in_pass: Duration::from_millis(100),
        remaining: Bytes(90_000_000),
        transferred: Bytes(700_000_000),
        last_round: Some(Round {
            number: 2,
            length: Duration::from_secs(2),
            sent: Bytes(100_000_000),
            skipped: Bytes(0),
            dirtied: Bytes(80_000_000),
            settings,
            last: false,
        }),
        in_force: settings,
    }
}

fn steps(criterion: &mut Criterion) {
    let history = guest::recorded(&[guest::Set::steady(150e6, 60e6)]);
    let link = LinkSpeed::given(ByteRate(52e6));
    let outlook = ObservedOutlook::new(
        &guest::observed(&history),
        &link,
        &Assumptions::tcg(),
        Duration::from_secs(120),
    )
    .expect("the guest was observed");
    let (promises, policy) = (Promises::default(), Policy::from(Preset::Urgent));
    // Of a new controller the first step plans.
    let curve = Curve::new(outlook.clone(), promises, policy);
    criterion.bench_function("curve plans", |bencher| {
        bencher.iter_batched(
            || curve.clone(),
            |mut curve| black_box(curve.decide(&look(), Duration::ZERO)),
            BatchSize::SmallInput,
        );
    });
    let deadline = Deadline::new(outlook, promises, policy);
    criterion.bench_function("deadline plans", |bencher| {
        bencher.iter_batched(
            || deadline.clone(),
            |mut deadline| black_box(deadline.decide(&look(), Duration::ZERO)),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, steps);
criterion_main!(benches);
