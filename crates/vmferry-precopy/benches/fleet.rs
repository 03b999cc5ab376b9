//! A million forecasts from dirty curves alone, by two threads: what planning for a whole fleet
//! takes. Target: 20 s, which is 40 us of a core each.
//!
//! ```text
//! cargo xtask bench fleet [FORECASTS]
//! ```
//!
//! The guests are made up: 256 MiB to 64 GiB, half of them quiet, a third busy, the rest writing
//! about as fast as a link carries; moved over links of 1 to 25 Gbit/s under QEMU's rules, with a
//! deadline of 120 s. A forecast is made from scratch: the curve taken apart, then the replay.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::thread;
use std::time::Duration;

use stopwatch::{Took, timed};
use vmferry_core::plan::DEFAULT_DEADLINE;
use vmferry_core::{ByteRate, Bytes, CurvePoint, DirtyCurve, Millis, Pages, Ratio};
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::CurveDirt;
use vmferry_precopy::qemu::{self, LogClear, Rules, Start};

mod stopwatch;

const FORECASTS: usize = 1_000_000;
const THREADS: usize = 2;
const GUESTS: usize = 10_000;
const LINKS_MBIT_PER_S: [f64; 5] = [1000.0, 2500.0, 5000.0, 10_000.0, 25_000.0];
/// Windows of the curves in seconds.
const WINDOWS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0];

struct Guest {
    curve: DirtyCurve,
    memory: Pages,
    zero: Ratio,
}

/// Pseudo-random numbers in 0..1.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Between two numbers, evenly by order of magnitude.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.uniform())
    }
}

fn guest(random: &mut Random) -> Guest {
    let memory = random.between((256u64 << 20) as f64, (64u64 << 30) as f64);
    // Bytes per second that are written again and again, and those written now and then.
    let hot_rate = match random.uniform() {
        kind if kind < 1.0 / 2.0 => random.between(1e5, 1e7),
        kind if kind < 5.0 / 6.0 => random.between(1e7, 1e8),
        _ => random.between(1e8, 3e9),
    };
    let (hot_time, warm_time) = (random.between(0.2, 10.0), random.between(10.0, 200.0));
    let hot = (hot_rate * hot_time).min(0.5 * memory);
    let warm = memory * random.between(1e-3, 0.3);
    let set = |bytes: f64, time: f64, window: f64| -bytes * (-window / time).exp_m1();
    let points = WINDOWS.map(|window| CurvePoint {
        window_ms: Millis(window * 1e3),
        dirtied_bytes: Bytes((set(hot, hot_time, window) + set(warm, warm_time, window)) as u64),
        standard_error_bytes: Bytes(0),
    });
    Guest {
        curve: DirtyCurve {
            points: points.to_vec(),
        },
        memory: Bytes(memory as u64).pages(),
        zero: Ratio(0.8 * random.uniform()),
    }
}

/// What one thread found.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    forecasts: usize,
    converged: usize,
    passes: u64,
}

/// Every `THREADS`-th forecast from the `first` on.
fn share(guests: &[Guest], first: usize, forecasts: usize) -> Found {
    let costs = HostCosts::default();
    let mut found = Found::default();
    for number in (first..forecasts).step_by(THREADS) {
        let guest = &guests[number % guests.len()];
        let link = LINKS_MBIT_PER_S[number / guests.len() % LINKS_MBIT_PER_S.len()];
        let rules = Rules {
            max_bandwidth: None,
            log_clear: match number / guests.len() % 2 {
                0 => LogClear::AtSync,
                _ => LogClear::ChunkOnSend,
            },
            ..Rules::default()
        };
        let dirt = CurveDirt::new(&guest.curve, guest.memory, guest.zero, 1.0);
        let rate = ByteRate::from_mbit_per_s(link);
        let replay = qemu::replay(
            &dirt,
            &rules,
            &costs,
            rate,
            &Start::Command,
            DEFAULT_DEADLINE,
        );
        found.forecasts += 1;
        found.converged += usize::from(replay.switchover.is_some());
        found.passes += replay.passes.len() as u64;
    }
    found
}

fn main() {
    // Cargo passes `--bench` too.
    let mut given = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let forecasts = given.next().unwrap_or(FORECASTS);
    let mut random = Random(1);
    let guests: Vec<Guest> = (0..GUESTS).map(|_| guest(&mut random)).collect();
    let (shares, all) = timed(|| {
        thread::scope(|scope| {
            let guests = &guests;
            let threads: Vec<_> = (0..THREADS)
                .map(|first| scope.spawn(move || timed(|| share(guests, first, forecasts))))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no replay panics"))
                .collect::<Vec<(Found, Took)>>()
        })
    });
    let sum = |of: fn(&Found) -> f64| shares.iter().map(|(found, _)| of(found)).sum::<f64>();
    let cpu: Duration = shares.iter().map(|(_, took)| took.cpu).sum();
    let made = sum(|found| found.forecasts as f64);
    println!(
        "{made} forecasts, {:.1} % of them converge, {:.1} passes each",
        100.0 * sum(|found| found.converged as f64) / made,
        sum(|found| found.passes as f64) / made
    );
    println!(
        "{:.2} s by the clock with {THREADS} threads; {:.2} s of CPU, {:.1} us each (target: 20 s by the clock, 40 us)",
        all.wall.as_secs_f64(),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / made
    );
}
