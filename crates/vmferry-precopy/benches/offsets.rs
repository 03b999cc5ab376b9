//! Ten minutes of a guest of 64 GiB, replayed from 1,000 offsets by two threads: HIST of
//! `akoush2010` at its largest. Target: 10 s, 1 GiB.
//!
//! ```text
//! cargo xtask bench offsets [OFFSETS]
//! ```
//!
//! Every 100 ms the guest writes about 500 pages: four in five of a working set of 20,000, the rest
//! anywhere in a quarter of its memory. The link carries 10 Gbit/s.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fs;
use std::thread;
use std::time::Duration;

use stopwatch::{Took, timed};
use vmferry_core::{ByteRate, PageHistory, Pages, SampledPage};
use vmferry_precopy::dirt::{PageTrace, PageTraceBuilder, Recording};
use vmferry_precopy::{HostCosts, Replay, RuleSet, qemu, xen_legacy};

mod stopwatch;

const OFFSETS: usize = 1000;
const THREADS: usize = 2;
const PAGES: Pages = Pages(16 << 20);
/// Pages that one stands for where only some are watched.
const WEIGHT: u64 = 4096;
const INTERVALS: u64 = 6000;
const INTERVAL_US: u64 = 100_000;
const WRITTEN: u64 = 500;
const WORKING_SET: u64 = 20_000;
const DEADLINE: Duration = Duration::from_secs(600);

/// Pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A page that the guest writes.
    fn page(&mut self) -> u64 {
        if self.below(5) < 4 {
            // A prime step spreads the working set over memory.
            self.below(WORKING_SET) * 837_799 % PAGES.0
        } else {
            PAGES.0 / 2 + self.below(PAGES.0 / 4)
        }
    }
}

fn trace() -> PageTrace {
    let mut random = Random(1);
    let zero = (0..PAGES.0 / 4).map(|page| page + PAGES.0 * 3 / 4);
    let builder = PageTraceBuilder::new(PAGES).and_then(|builder| builder.zero_pages(zero));
    let mut builder = builder.expect("pages within memory");
    for interval in 1..=INTERVALS {
        let written = (0..WRITTEN).map(|_| random.page());
        builder
            .push(interval * INTERVAL_US, written)
            .expect("intervals in order");
    }
    builder.finish().expect("intervals")
}

/// The same guest, of which every 4096th page is watched; as many of these are written as would be
/// of all, so that each interval has something.
fn history() -> PageHistory {
    let page = |position| SampledPage {
        index: Pages(position * WEIGHT),
        weight: WEIGHT as f64,
        zero: position >= PAGES.0 / WEIGHT * 3 / 4,
    };
    let sampled = PAGES.0 / WEIGHT;
    let mut history = PageHistory::new((0..sampled).map(page).collect());
    let mut random = Random(2);
    for interval in 1..=INTERVALS {
        let count = random.below(3);
        let written = (0..count).map(|_| (random.page() / WEIGHT) as usize);
        history.push(interval * INTERVAL_US, written.collect::<Vec<_>>());
    }
    history
}

/// Replays from `offsets` starts spread over the ten minutes, and prints what it took.
fn report(name: &str, offsets: usize, replay: impl Fn(f64) -> Replay + Sync) {
    let window = (INTERVALS * INTERVAL_US) as f64 / 1e6;
    let share = |first: usize| {
        let numbers = (first..offsets).step_by(THREADS);
        let replays = numbers.map(|number| replay(window * number as f64 / offsets as f64));
        replays.filter(|replay| replay.switchover.is_some()).count()
    };
    let (shares, all) = timed(|| {
        thread::scope(|scope| {
            let share = &share;
            let threads: Vec<_> = (0..THREADS)
                .map(|first| scope.spawn(move || timed(|| share(first))))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no replay panics"))
                .collect::<Vec<(usize, Took)>>()
        })
    });
    let cpu: Duration = shares.iter().map(|(_, took)| took.cpu).sum();
    println!(
        "{name}: {} of {offsets} converge; {:.2} s by the clock with {THREADS} threads, {:.2} s of CPU, {:.2} ms each; {} MiB at most so far",
        shares.iter().map(|(converged, _)| converged).sum::<usize>(),
        all.wall.as_secs_f64(),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / offsets as f64,
        peak_kib() / 1024
    );
}

/// Most memory that this process had (`VmHWM`), KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("VmHWM in /proc/self/status")
}

fn main() {
    // Cargo passes `--bench` too.
    let mut given = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let offsets = given.next().unwrap_or(OFFSETS);
    let (trace, took) = timed(trace);
    println!(
        "10 minutes of 64 GiB: {} MiB, made in {:.2} s; {} MiB at most so far (target: 10 s by the clock, 1024 MiB)",
        trace.heap_size() >> 20,
        took.wall.as_secs_f64(),
        peak_kib() / 1024
    );
    let history = history();
    let (recording, took) = timed(|| Recording::new(&history).expect("pages"));
    println!(
        "{} sampled pages of it, prepared in {:.3} s",
        history.pages().len(),
        took.wall.as_secs_f64()
    );
    let link = ByteRate::from_mbit_per_s(10_000.0);
    let costs = HostCosts::default();
    let free = qemu::Rules {
        max_bandwidth: None,
        ..qemu::Rules::default()
    };
    for (name, rules) in [
        ("QEMU", RuleSet::Qemu(free)),
        ("Xen 3", RuleSet::XenLegacy(xen_legacy::Rules::default())),
    ] {
        report(&format!("{name}, every page"), offsets, |offset| {
            rules.replay(&trace.replayed(offset, 1.0), &costs, link, DEADLINE)
        });
        report(&format!("{name}, sampled pages"), offsets, |offset| {
            let units = recording.units().to_vec();
            let dirt = recording.replayed(offset, 1.0, units);
            rules.replay(&dirt, &costs, link, DEADLINE)
        });
    }
}
