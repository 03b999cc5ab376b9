//! What must hold of every rule set, whatever the guest.

use std::cell::Cell;
use std::time::Duration;

use vmferry_core::{
    ByteRate, Bytes, CurvePoint, DirtyCurve, Millis, PageHistory, Pages, Ratio, SampledPage,
};
use vmferry_precopy::dirt::{
    AggregateDirt, ConstantDirt, CurveAmount, CurveDirt, PageCount, PageTrace, PageTraceBuilder,
    Recording, Writes,
};
use vmferry_precopy::qemu::{LogClear, Start, Underway};
use vmferry_precopy::tuning::{CpuCap, Round, Settings, Tuning, Untuned};
use vmferry_precopy::xen_legacy::EarlyStop;
use vmferry_precopy::{HostCosts, PAGE_ON_STREAM, Replay, RuleSet, qemu, xen_legacy};

const DEADLINE: Duration = Duration::from_secs(600);
const TOTAL: Pages = Pages(65_536);
/// Pages a recorded writer writes in every interval of 100 ms.
const STEP: u64 = 256;

fn costs() -> HostCosts {
    HostCosts {
        socket_buffer: Bytes(0),
        ..HostCosts::default()
    }
}

/// Without `max-bandwidth`: the link is the same for all.
fn rule_sets() -> [RuleSet; 4] {
    let free = qemu::Rules {
        max_bandwidth: None,
        ..qemu::Rules::default()
    };
    let mut all = RuleSet::all();
    all[0] = RuleSet::Qemu(free);
    all
}

/// Bytes of the passes, the switchover and the whole must agree.
fn assert_conserved(replay: &Replay) {
    let passes: u64 = replay.passes.iter().map(|p| p.sent.0).sum();
    let end = replay.switchover.map_or(0, |s| s.sent.0);
    let slack = replay.passes.len() as u64 + 2;
    assert!(
        replay.transferred.0.abs_diff(passes + end) <= slack,
        "{replay:?}"
    );
    for pair in replay.passes.windows(2) {
        assert!(pair[0].start <= pair[1].start);
    }
    if let Some(end) = replay.switchover {
        assert_eq!(replay.dirty_syncs, replay.passes.len() as u64 + 1);
        assert!(end.start <= replay.total_time);
    }
}

/// Where the n-th page of a writable set lies: scattered over all of memory.
fn place(n: u64) -> u64 {
    (n * 31 * 1021 + 7) % TOTAL.0
}

/// Ten minutes of a guest that writes `set` pages in turn.
fn traced(set: u64) -> PageTrace {
    let mut builder = PageTraceBuilder::new(TOTAL).expect("pages");
    for k in 0..6000 {
        let written = (0..STEP).map(|i| place((k * STEP + i) % set));
        builder.push((k + 1) * 100_000, written).expect("in order");
    }
    builder.finish().expect("intervals")
}

/// The same seen at every 16th page for a minute.
fn sampled(set: u64) -> PageHistory {
    let pages = (0..TOTAL.0 / 16)
        .map(|i| SampledPage {
            index: Pages(i * 16),
            weight: 16.0,
            zero: false,
        })
        .collect();
    let mut history = PageHistory::new(pages);
    for k in 0..600 {
        let written = (0..STEP).map(|i| place((k * STEP + i) % set));
        let seen = written
            .filter(|page| page % 16 == 0)
            .map(|page| page as usize / 16);
        history.push((k + 1) * 100_000, seen);
    }
    history
}

fn constant(set: u64) -> ConstantDirt {
    let rate = ByteRate(STEP as f64 * 4096.0 * 10.0);
    ConstantDirt::new(rate, Pages(set), Writes::Sequential, TOTAL, Ratio(0.0))
}

fn assert_alike(name: &str, a: &Replay, b: &Replay, times: f64, pauses: f64) {
    let (Some(x), Some(y)) = (a.switchover, b.switchover) else {
        assert_eq!(a.switchover.is_some(), b.switchover.is_some(), "{name}");
        return;
    };
    let near = |x: f64, y: f64, limit: f64, what: &str| {
        let slack = limit * y + 0.02;
        assert!((x - y).abs() <= slack, "{name}, {what}: {x} {y}");
    };
    near(
        a.total_time.as_secs_f64(),
        b.total_time.as_secs_f64(),
        times,
        "time",
    );
    near(
        a.transferred.0 as f64 / 1e9,
        b.transferred.0 as f64 / 1e9,
        times,
        "traffic",
    );
    near(
        x.downtime.as_secs_f64(),
        y.downtime.as_secs_f64(),
        pauses,
        "downtime",
    );
}

/// A constant history and the rate it was recorded at give the same: HIST is
/// AVG where nothing changes (`akoush2010`).
#[test]
fn a_constant_history_gives_what_its_rate_gives() {
    let costs = costs();
    for set in [4096, 16_384] {
        let (rate, trace, history) = (constant(set), traced(set), sampled(set));
        let recording = Recording::new(&history).expect("pages");
        for rules in rule_sets() {
            for mbit in [200.0, 400.0, 1000.0] {
                let link = ByteRate::from_mbit_per_s(mbit);
                let avg = rules.replay(&rate, &costs, link, DEADLINE);
                for offset in [0.0, 123.4, 590.0] {
                    let hist = rules.replay(&trace.replayed(offset, 1.0), &costs, link, DEADLINE);
                    assert_conserved(&hist);
                    let name = format!("{rules}, {set} pages, {mbit} Mbit/s, from {offset} s");
                    assert_alike(&name, &hist, &avg, 0.03, 0.1);
                }
                let sample = recording.replayed(1.0, 1.0, recording.units().to_vec());
                let sample = rules.replay(&sample, &costs, link, DEADLINE);
                assert_alike(
                    &format!("{rules}, sampled, {set}, {mbit}"),
                    &sample,
                    &avg,
                    0.05,
                    0.3,
                );
            }
        }
    }
}

/// Amounts alone say the same of guests whose pages lie anywhere.
#[test]
fn amounts_give_what_pages_give() {
    let costs = costs();
    for set in [4096, 16_384] {
        let rate = constant(set);
        for rules in rule_sets() {
            for mbit in [200.0, 400.0, 1000.0] {
                let link = ByteRate::from_mbit_per_s(mbit);
                let pages = rules.replay(&rate, &costs, link, DEADLINE);
                let amounts = rules.replay_amount(&rate, &costs, link, DEADLINE);
                assert_conserved(&amounts);
                assert_alike(
                    &format!("{rules}, {set}, {mbit}"),
                    &amounts,
                    &pages,
                    0.05,
                    0.3,
                );
            }
        }
    }
}

/// An idle guest is sent once, and then stopped.
#[test]
fn no_dirt_is_one_pass() {
    let link = ByteRate(50e6);
    let mut builder = PageTraceBuilder::new(TOTAL).expect("pages");
    builder.push(100_000, []).expect("in order");
    let trace = builder.finish().expect("an interval");
    let idle = ConstantDirt::new(ByteRate(0.0), Pages(100), Writes::Random, TOTAL, Ratio(0.0));
    for rules in rule_sets() {
        let replays = [
            rules.replay(&trace.replayed(0.0, 1.0), &costs(), link, DEADLINE),
            rules.replay(&idle, &costs(), link, DEADLINE),
            rules.replay_amount(&idle, &costs(), link, DEADLINE),
        ];
        for replay in replays {
            assert_conserved(&replay);
            // QEMU looks once more before the end of the pass.
            let passes = if matches!(rules, RuleSet::Qemu(_)) {
                2
            } else {
                1
            };
            assert_eq!(replay.passes.len(), passes, "{rules}");
            let memory = TOTAL.0 * PAGE_ON_STREAM.0;
            let devices = match rules {
                RuleSet::Textbook(_) => 0,
                _ => costs().device_state.0,
            };
            assert_eq!(replay.transferred.0, memory + devices, "{rules}");
        }
    }
}

/// Zero pages cost QEMU a header and Xen a page.
#[test]
fn only_qemu_spares_zero_pages() {
    let mut builder = PageTraceBuilder::new(TOTAL)
        .expect("pages")
        .zero_pages((0..TOTAL.0).filter(|page| page % 4 != 0))
        .expect("within memory");
    // Written since: no zero page any more, and no page was written otherwise.
    builder.push(100_000, 1000..1064).expect("in order");
    let trace = builder.finish().expect("an interval");
    let dirt = trace.replayed(0.0, 0.0);
    let zero = TOTAL.0 / 4 * 3 - 48;
    assert_eq!(dirt.total().zero, zero as f64);
    for rules in rule_sets() {
        let found = rules.replay(&dirt, &costs(), ByteRate(50e6), DEADLINE);
        let content = TOTAL.0 - zero;
        let expected = match rules {
            RuleSet::Qemu(_) => content * PAGE_ON_STREAM.0 + zero * 9,
            RuleSet::Textbook(_) => content * PAGE_ON_STREAM.0 + zero * 8,
            _ => TOTAL.0 * PAGE_ON_STREAM.0,
        };
        let found = found.transferred.0 as f64;
        assert!((found / expected as f64 - 1.0).abs() < 0.002 + 300_000.0 / expected as f64);
    }
}

/// `jin2011` eq. 8: a guest at half speed writes half.
struct Half;

impl Tuning for Half {
    fn first(&mut self) -> Settings {
        Settings {
            speed: Ratio(0.5),
            ..Settings::default()
        }
    }

    fn next(&mut self, seen: &Round) -> Settings {
        seen.settings
    }
}

#[test]
fn a_guest_at_half_speed_writes_half() {
    let rate = |mib: f64| {
        let rate = ByteRate::from_mib_per_s(mib);
        ConstantDirt::new(rate, Pages(50_000), Writes::Sequential, TOTAL, Ratio(0.0))
    };
    let link = ByteRate(50e6);
    let rules = xen_legacy::Rules::default();
    let (full, half) = (rate(10.0), rate(20.0));
    let slowed = xen_legacy::replay(&half, &rules, &costs(), link, &mut Half, DEADLINE);
    let expected = xen_legacy::replay(&full, &rules, &costs(), link, &mut Untuned, DEADLINE);
    assert_eq!(slowed.passes.len(), expected.passes.len());
    let difference = slowed.total_time.abs_diff(expected.total_time);
    assert!(difference < Duration::from_millis(50), "{difference:?}");
}

/// Algorithm 1 of `jin2011`, with what it saw.
struct Capped {
    cap: CpuCap,
    seen: Vec<Round>,
}

impl Tuning for Capped {
    fn next(&mut self, seen: &Round) -> Settings {
        self.seen.push(*seen);
        self.cap.next(seen)
    }
}

#[test]
fn a_cap_in_every_round_shortens_the_pause() {
    // The guest writes half as fast again as the link sends.
    let rate = ByteRate(75e6);
    let dirt = ConstantDirt::new(rate, Pages(60_000), Writes::Sequential, TOTAL, Ratio(0.0));
    let rules = xen_legacy::Rules {
        max_sent: None,
        early_stop: EarlyStop::Never,
        skip_redirtied: false,
        ..xen_legacy::Rules::default()
    };
    let mut tuning = Capped {
        cap: CpuCap::new(Ratio(0.7)),
        seen: Vec::new(),
    };
    let link = ByteRate(50e6);
    let capped = xen_legacy::replay(&dirt, &rules, &costs(), link, &mut tuning, DEADLINE);
    let free = xen_legacy::replay(&dirt, &rules, &costs(), link, &mut Untuned, DEADLINE);
    let pause = |replay: &Replay| replay.switchover.expect("Xen ends").downtime.as_secs_f64();
    assert!(
        pause(&capped) < 0.2 * pause(&free),
        "{} {}",
        pause(&capped),
        pause(&free)
    );
    assert_eq!(tuning.seen.len(), capped.passes.len());
    assert!(
        tuning.seen[..tuning.seen.len() - 1]
            .iter()
            .all(|round| !round.last)
    );
    assert!(tuning.seen[tuning.seen.len() - 1].last);
    assert!(tuning.seen.iter().any(|round| round.settings.speed.0 < 0.7));
}

/// Counts the looks at a source.
struct Counted<D> {
    dirt: D,
    looks: Cell<u32>,
}

impl<D: AggregateDirt> AggregateDirt for Counted<D> {
    fn total(&self) -> PageCount {
        self.dirt.total()
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        self.looks.set(self.looks.get() + 1);
        self.dirt.dirtied(since, until)
    }

    fn is_stationary(&self) -> bool {
        self.dirt.is_stationary()
    }
}

/// A closed form looks at the curve some times a round, however large the guest
/// and however slow the link: 3000 looks are some tens of microseconds.
#[test]
fn closed_forms_of_large_guests_take_few_looks() {
    let total = Bytes::from_mib(1 << 20).pages();
    let day = Duration::from_secs(86_400);
    for (gbit, mib_per_s) in [
        (10.0, 10.0),
        (10.0, 600.0),
        (10.0, 1190.0),
        (10.0, 5000.0),
        (1.0, 90.0),
    ] {
        let points = [(0.1, 1.3), (1.0, 1.1), (10.0, 1.0)].map(|(t, more)| CurvePoint {
            window_ms: Millis(t * 1e3),
            dirtied_bytes: Bytes((mib_per_s * 1_048_576.0 * t * more) as u64),
            standard_error_bytes: Bytes(0),
        });
        let curve = DirtyCurve {
            points: points.into(),
        };
        for rules in rule_sets() {
            let dirt = Counted {
                dirt: CurveAmount::new(curve.clone(), total, Ratio(0.2)),
                looks: Cell::new(0),
            };
            let link = ByteRate::from_mbit_per_s(gbit * 1e3);
            let replay = rules.replay_amount(&dirt, &costs(), link, day);
            assert_conserved(&replay);
            let looks = dirt.looks.get();
            assert!(
                looks <= 3000,
                "{rules}, {gbit} Gbit/s, {mib_per_s} MiB/s: {looks}"
            );
        }
    }
}

/// QEMU over a trace with the log cleared as pages are sent, and from the
/// middle of a move on.
#[test]
fn qemu_follows_a_trace_chunk_by_chunk_and_under_way() {
    let trace = traced(16_384);
    let dirt = trace.replayed(3.0, 1.0);
    let link = ByteRate(50e6);
    let run = |log_clear, start: &Start| {
        let rules = qemu::Rules {
            log_clear,
            max_bandwidth: None,
            ..qemu::Rules::default()
        };
        qemu::replay(&dirt, &rules, &costs(), link, start, DEADLINE)
    };
    let at_sync = run(LogClear::AtSync, &Start::Command);
    let on_send = run(LogClear::ChunkOnSend, &Start::Command);
    assert_conserved(&on_send);
    assert!(on_send.passes[1].dirtied <= at_sync.passes[1].dirtied);

    let mut pending = vec![1.0; TOTAL.0 as usize];
    pending[..TOTAL.0 as usize / 2].fill(0.0);
    let half = Bytes(TOTAL.0 / 2 * PAGE_ON_STREAM.0);
    let start = Start::Underway(Underway {
        elapsed: half / link,
        dirty_syncs: 1,
        transferred: half,
        pending,
        last_sync: Duration::from_millis(10),
        cursor: TOTAL.0 as usize / 2,
        never_sent: true,
        measured_rate: link,
    });
    let resumed = run(LogClear::AtSync, &start);
    let difference = resumed.total_time.abs_diff(at_sync.total_time);
    assert!(
        difference < at_sync.total_time / 20,
        "{difference:?} of {:?}",
        at_sync.total_time
    );
    assert_eq!(resumed.passes[0].remaining, Bytes(TOTAL.0 / 2 * 4096));
}

/// A curve says nothing of where pages lie: the closed form follows the loop.
#[test]
fn qemu_in_closed_form_follows_the_loop() {
    let point = |ms: f64, mib: f64| CurvePoint {
        window_ms: Millis(ms),
        dirtied_bytes: Bytes((mib * 1_048_576.0) as u64),
        standard_error_bytes: Bytes(0),
    };
    let curve = DirtyCurve {
        points: vec![
            point(100.0, 3.0),
            point(500.0, 10.0),
            point(3000.0, 40.0),
            point(10_000.0, 70.0),
        ],
    };
    let total = Bytes::from_mib(2048).pages();
    let (pages, amount) = (
        CurveDirt::new(&curve, total, Ratio(0.4), 1.0),
        CurveAmount::new(curve, total, Ratio(0.4)),
    );
    for mbit in [300.0, 400.0, 1000.0, 10_000.0] {
        for max_bandwidth in [None, Some(ByteRate(30e6))] {
            let rules = qemu::Rules {
                max_bandwidth,
                ..qemu::Rules::default()
            };
            let link = ByteRate::from_mbit_per_s(mbit);
            let rules = RuleSet::Qemu(rules);
            let exact = rules.replay(&pages, &costs(), link, DEADLINE);
            let closed = rules.replay_amount(&amount, &costs(), link, DEADLINE);
            assert_alike(
                &format!("{mbit} {max_bandwidth:?}"),
                &closed,
                &exact,
                0.05,
                0.5,
            );
        }
    }
}
