//! How fast recorded history is replayed where intervals are dense, against this machine's memory
//! copy in the same run. Target: bitmaps are gone through at half the speed of `memcpy` or more.
//!
//! ```text
//! cargo xtask bench bitmaps
//! ```
//!
//! A guest of 16 GiB writes one page in 32 every 100 ms for a minute: 600 bitmaps of 512 KiB, far
//! more than any cache holds. Each case goes through them as replays do: spans that begin and end
//! within intervals. Ratios are of CPU time, cases taken in turn with the copy, so that a busy
//! machine slows both; after them Criterion's times by the clock.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stopwatch::{Took, timed};
use vmferry_core::{ByteRate, Pages};
use vmferry_precopy::dirt::{Dirt, PageTrace, PageTraceBuilder, TraceDirt, Unsent};
use vmferry_precopy::qemu::{self, LogClear, Rules, Start};
use vmferry_precopy::{HostCosts, Replay};

mod stopwatch;

const PAGES: Pages = Pages(4 << 20);
const WORDS: usize = PAGES.0 as usize / 64;
const INTERVALS: usize = 600;
const INTERVAL: f64 = 0.1;
/// Turns of all cases behind the ratios.
const TURNS: usize = 9;
/// Least CPU time of one turn of a case: the kernel counts in steps of some milliseconds.
const TURN: Duration = Duration::from_millis(200);

/// Every bit is set with a chance of one in 32.
fn trace() -> PageTrace {
    let mut state = 1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut builder = PageTraceBuilder::new(PAGES).expect("pages");
    for interval in 1..=INTERVALS as u64 {
        let row: Vec<u64> = (0..WORDS)
            .map(|_| (0..5).fold(u64::MAX, |word, _| word & random()))
            .collect();
        builder
            .push_bits(interval * 100_000, &row)
            .expect("intervals in order");
    }
    builder.finish().expect("intervals")
}

/// Intervals that a span of so many seconds touches when it begins within one.
fn touched(seconds: f64) -> f64 {
    (seconds / INTERVAL).ceil() + 1.0
}

const ROW_BYTES: f64 = 8.0 * WORDS as f64;

/// One way through the bitmaps.
struct Case<'a> {
    name: &'static str,
    /// Bytes of bitmaps it goes through; for the copy, bytes copied.
    bytes: f64,
    run: Box<dyn FnMut() + 'a>,
}

fn case<'a>(name: &'static str, bytes: f64, run: impl FnMut() + 'a) -> Case<'a> {
    Case {
        name,
        bytes,
        run: Box::new(run),
    }
}

/// Looks of `seconds` each, one after the other, as between short passes.
fn looks(dirt: TraceDirt<'_>, seconds: f64, count: usize) -> f64 {
    let mut unsent = dirt.unsent();
    for number in 0..count {
        let since = seconds * number as f64;
        unsent.look(0..PAGES.0 as usize, since, since + seconds);
    }
    unsent.pages()
}

/// A move that a guest like this outruns, until the trace is gone through once.
fn replay(dirt: &TraceDirt<'_>, log_clear: LogClear) -> Replay {
    let rules = Rules {
        max_bandwidth: None,
        log_clear,
        ..Rules::default()
    };
    let rate = ByteRate::from_mbit_per_s(10_000.0);
    let deadline = Duration::from_secs_f64(INTERVALS as f64 * INTERVAL);
    let costs = HostCosts::default();
    qemu::replay(dirt, &rules, &costs, rate, &Start::Command, deadline)
}

/// Bytes of bitmaps that the looks of a replay go through.
fn replayed_bytes(replay: &Replay) -> f64 {
    let passes = replay.passes.windows(2);
    let intervals = passes.map(|p| touched((p[1].start - p[0].start).as_secs_f64()));
    ROW_BYTES * intervals.sum::<f64>()
}

fn cases<'a>(trace: &'a PageTrace, source: &'a [u64], target: &'a mut [u64]) -> Vec<Case<'a>> {
    let dirt = trace.replayed(0.033, 1.0);
    let at_sync = replayed_bytes(&replay(&dirt, LogClear::AtSync));
    vec![
        case("memory copy", 8.0 * source.len() as f64, move || {
            black_box(&mut *target).copy_from_slice(black_box(source));
        }),
        case(
            "unique pages of 50 s",
            touched(50.0) * ROW_BYTES,
            move || {
                black_box(trace.dirtied_pages(black_box(3.033), 50.0));
            },
        ),
        case("looks of 5 s", touched(5.0) * 10.0 * ROW_BYTES, move || {
            black_box(looks(black_box(dirt), 5.0, 10));
        }),
        case(
            "looks of 0.3 s",
            touched(0.3) * 100.0 * ROW_BYTES,
            move || {
                black_box(looks(black_box(dirt), 0.3, 100));
            },
        ),
        case("replay, log cleared at sync", at_sync, move || {
            black_box(replay(black_box(&dirt), LogClear::AtSync));
        }),
    ]
}

/// Runs the cases in turn and prints the median speed of each beside the copy's.
fn compare(cases: &mut [Case<'_>]) {
    let mut speeds = vec![Vec::new(); cases.len()];
    let mut shared_by = 1.0f64;
    for _ in 0..TURNS {
        for (case, speeds) in cases.iter_mut().zip(&mut speeds) {
            let (mut bytes, mut sum) = (0.0, Took::default());
            while sum.cpu < TURN {
                let ((), took) = timed(|| (0..4).for_each(|_| (case.run)()));
                bytes += 4.0 * case.bytes;
                sum.cpu += took.cpu;
                sum.wall += took.wall;
            }
            speeds.push(bytes / sum.cpu.as_secs_f64() / 1e9);
            shared_by = shared_by.max(sum.wall.as_secs_f64() / sum.cpu.as_secs_f64());
        }
    }
    let median = |speeds: &mut Vec<f64>| {
        speeds.sort_by(f64::total_cmp);
        speeds[speeds.len() / 2]
    };
    let copy = median(&mut speeds[0]);
    for (case, speeds) in cases.iter().zip(&mut speeds) {
        let speed = median(speeds);
        println!(
            "{:<30} {speed:>6.2} GB/s ({:.2} to {:.2}), {:>4.0} % of the copy (target: 50 %)",
            case.name,
            speeds[0],
            speeds[speeds.len() - 1],
            100.0 * speed / copy
        );
    }
    println!(
        "the clock ran up to {shared_by:.1} times as fast as CPU time: 1.0 on a machine of our own"
    );
}

fn bitmaps(criterion: &mut Criterion) {
    let trace = trace();
    let source = vec![1u64; WORDS * INTERVALS / 2];
    let mut target = vec![2u64; source.len()];
    let mut cases = cases(&trace, &source, &mut target);
    compare(&mut cases);
    let mut group = criterion.benchmark_group("bitmaps of 16 GiB");
    group.sample_size(10);
    for case in &mut cases {
        group.throughput(Throughput::Bytes(case.bytes as u64));
        group.bench_function(case.name, |bencher| bencher.iter(&mut case.run));
    }
    group.finish();
}

criterion_group!(benches, bitmaps);
criterion_main!(benches);
