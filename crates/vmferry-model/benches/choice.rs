//! How long a choice among many guests takes. Target: 100,000 profiles ranked
//! within 1 s.
//!
//! `cargo xtask bench choice`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{Bytes, Joules, Millis};
use vmferry_model::choice::{Cores, Demand, MoveCost, Preset, Profile, choose, rank};

fn guests(count: usize) -> Vec<Profile> {
    let mut random = SmallRng::seed_from_u64(7);
    (0..count)
        .map(|i| {
            let transferred = Bytes::from_mib(random.random_range(100..8000));
            Profile {
                name: format!("guest-{i}"),
                memory: Some(Bytes::from_mib(random.random_range(128..8192))),
                cpu: Some(Cores(random.random_range(0.01..4.0))),
                converges_probability: if random.random_bool(0.9) { 1.0 } else { 0.4 },
                cost: Some(MoveCost {
                    downtime: Millis(random.random_range(20.0..2000.0)),
                    total_time: Millis(random.random_range(1e3..120e3)),
                    transferred,
                    energy: Some(Joules(0.512 * transferred.0 as f64 / 1e6 + 20.165)),
                }),
            }
        })
        .collect()
}

fn choices(criterion: &mut Criterion) {
    let weights = Preset::Balanced.weights();
    let mut group = criterion.benchmark_group("choice");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    let many = guests(100_000);
    group.bench_function("rank 100,000 profiles", |bencher| {
        bencher.iter(|| rank(black_box(&many), weights).expect("a ranking"));
    });
    let ranking = rank(&many, weights).expect("a ranking");
    group.bench_function("one of 100,000, with what would change it", |bencher| {
        bencher.iter(|| choose(black_box(&many), &ranking, Demand::Count(1), None));
    });
    for count in [8, 20, 100] {
        let few = guests(count);
        let ranking = rank(&few, weights).expect("a ranking");
        let memory = Bytes(
            few.iter()
                .filter_map(|guest| guest.memory)
                .map(|m| m.0)
                .sum::<u64>()
                / 3,
        );
        group.bench_function(format!("a third of the memory of {count}"), |bencher| {
            bencher.iter(|| choose(black_box(&few), &ranking, Demand::Memory(memory), None));
        });
    }
    group.finish();
}

criterion_group!(benches, choices);
criterion_main!(benches);
