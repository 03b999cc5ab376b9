//! How long one replay takes. Targets: 50 us over the dirty curve of a guest of
//! 1 TiB, 5 ms over 4096 recorded pages.
//!
//! `cargo xtask bench replay`
//!
//! Beside Criterion's mean, the median of replays timed one by one is printed: on a machine that
//! others use too most are not interrupted.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use vmferry_core::{
    ByteRate, Bytes, CurvePoint, DirtyCurve, Millis, PageHistory, Pages, Ratio, SampledPage,
};
use vmferry_precopy::dirt::{CurveAmount, CurveDirt, Recording};
use vmferry_precopy::qemu::{self, LogClear, Rules, Start};
use vmferry_precopy::{HostCosts, textbook};

/// 1 TiB.
const LARGE: Pages = Pages(1 << 28);
const DEADLINE: Duration = Duration::from_secs(3600);

/// Two sets of pages written at random: times `load`, 32 GB within a minute, 4 GB of
/// them within two seconds.
fn large_curve(load: f64) -> DirtyCurve {
    let set = |bytes: f64, tau: f64, s: f64| load * bytes * (1.0 - (-s / tau).exp());
    let windows = [
        0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0,
    ];
    let points = windows.map(|s| CurvePoint {
        window_ms: Millis(s * 1e3),
        dirtied_bytes: Bytes((set(4e9, 0.8, s) + set(3.6e10, 40.0, s)) as u64),
        standard_error_bytes: Bytes(0),
    });
    DirtyCurve {
        points: points.to_vec(),
    }
}

/// 4096 pages of a guest of 4 GiB over 15 s: an eighth is written all the time,
/// an eighth now and then, half of the rest is zero.
fn history() -> PageHistory {
    const PAGES: usize = 4096;
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (hot, cold) = (PAGES / 4..PAGES * 3 / 8, PAGES / 2..PAGES * 5 / 8);
    let pages = (0..PAGES)
        .map(|i| SampledPage {
            index: Pages(i as u64 * 256),
            weight: 256.0,
            zero: !hot.contains(&i) && !cold.contains(&i) && i % 2 == 0,
        })
        .collect();
    let mut history = PageHistory::new(pages);
    for look in 1..=600 {
        let dirty: Vec<usize> = hot
            .clone()
            .chain(cold.clone())
            .filter(|page| random() < if hot.contains(page) { 0.2 } else { 0.005 })
            .collect();
        history.push(look * 25_000, dirty);
    }
    history
}

fn rules(log_clear: LogClear) -> Rules {
    Rules {
        max_bandwidth: None,
        log_clear,
        ..Rules::default()
    }
}

/// Median of so many runs, each timed alone, in microseconds.
fn median_us<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut times = [Duration::ZERO; 4001];
    for time in &mut times {
        let began = Instant::now();
        black_box(run());
        *time = began.elapsed();
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn curve(criterion: &mut Criterion) {
    // A quiet guest, done in 4 passes; and one near the edge, done in a dozen.
    for (name, load, mbit_per_s) in [("quiet", 0.1, 25_000.0), ("busy", 1.0, 40_000.0)] {
        large(criterion, name, load, ByteRate::from_mbit_per_s(mbit_per_s));
    }
}

fn large(criterion: &mut Criterion, name: &str, load: f64, rate: ByteRate) {
    let curve = large_curve(load);
    let zero = Ratio(0.3);
    let mut group = criterion.benchmark_group(format!("curve of a {name} guest of 1 TiB"));
    let amount = CurveAmount::new(curve.clone(), LARGE, zero);
    let textbook_rules = textbook::Rules::default();
    let run = || textbook::replay(black_box(&amount), &textbook_rules, rate, DEADLINE);
    assert!(run().switchover.is_some(), "{name}: does not converge");
    group.bench_function("textbook", |bencher| bencher.iter(run));
    for (name, clear) in [
        ("qemu, log cleared at sync", LogClear::AtSync),
        ("qemu, log cleared in chunks", LogClear::ChunkOnSend),
    ] {
        let rules = rules(clear);
        let costs = HostCosts::default();
        let dirt = CurveDirt::new(&curve, LARGE, zero, 1.0);
        let run = || {
            let dirt = black_box(&dirt);
            qemu::replay(dirt, &rules, &costs, rate, &Start::Command, DEADLINE)
        };
        assert!(run().switchover.is_some(), "{name}: does not converge");
        println!("{name}: median {:.1} us (target: 50 us)", median_us(run));
        group.bench_function(name, |bencher| bencher.iter(run));
    }
    group.bench_function("units of the curve", |bencher| {
        bencher.iter(|| CurveDirt::new(black_box(&curve), LARGE, zero, 1.0));
    });
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let history = history();
    let mut group = criterion.benchmark_group("4096 recorded pages");
    group.bench_function("preparing", |bencher| {
        bencher.iter(|| Recording::new(black_box(&history)));
    });
    let Some(recording) = Recording::new(&history) else {
        unreachable!("the history has pages and intervals");
    };
    let rules = rules(LogClear::AtSync);
    let costs = HostCosts::default();
    let run = |rate: f64, deadline_s: u64| {
        let dirt = recording.replayed(1.0, 1.0, recording.units().to_vec());
        qemu::replay(
            &dirt,
            &rules,
            &costs,
            ByteRate::from_mbit_per_s(rate),
            &Start::Command,
            Duration::from_secs(deadline_s),
        )
    };
    // 0.5 GiB are written all the time.
    for (name, rate, converges) in [
        ("converging", 20_000.0, true),
        ("not converging, 120 s", 2000.0, false),
    ] {
        assert_eq!(run(rate, 120).switchover.is_some(), converges, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| run(black_box(rate), 120)));
    }
    group.finish();
}

criterion_group!(benches, curve, pages);
criterion_main!(benches);
