//! The rule sets against what the papers print and say.

use std::time::Duration;

use vmferry_core::{ByteRate, Bytes, PAGE_SIZE, Pages, Ratio};
use vmferry_precopy::dirt::{ConstantDirt, Writes};
use vmferry_precopy::tuning::{AdaptiveRate, Untuned};
use vmferry_precopy::xen_legacy::{EarlyStop, Rules, replay, replay_amount};
use vmferry_precopy::{HostCosts, PAGE_ON_STREAM, Replay};

const DEADLINE: Duration = Duration::from_secs(3600);

/// Formulas know no hosts.
fn no_costs() -> HostCosts {
    HostCosts {
        setup: Duration::ZERO,
        zero_scan_rate: ByteRate(1e15),
        send_rate: None,
        socket_buffer: Bytes(0),
        socket_wake: Bytes(0),
        stop: Duration::ZERO,
        device_state: Bytes(0),
        device_save: Duration::ZERO,
        destination_start: Duration::ZERO,
    }
}

/// A link that carries `mbit` of memory, not of stream.
fn link(mbit: f64) -> ByteRate {
    ByteRate::from_mbit_per_s(mbit) * Ratio(PAGE_ON_STREAM.0 as f64 / PAGE_SIZE.0 as f64)
}

fn writer(mbit: f64, writable: Pages, total: Pages) -> ConstantDirt {
    let rate = ByteRate::from_mbit_per_s(mbit);
    ConstantDirt::new(rate, writable, Writes::Sequential, total, Ratio(0.0))
}

fn downtime(replay: &Replay) -> f64 {
    replay
        .switchover
        .expect("Xen always ends")
        .downtime
        .as_secs_f64()
}

/// `jin2011` eq. 1-4 and figure 2: 800 MiB over 200 Mbit/s, N = 30, h = 256 KiB.
#[test]
fn the_migration_barrier_of_jin2011() {
    let memory = Bytes::from_mib(800).pages();
    let run = |mbit| {
        let dirt = writer(mbit, memory, memory);
        let rules = Rules::jin2011_model();
        replay(
            &dirt,
            &rules,
            &no_costs(),
            link(200.0),
            &mut Untuned,
            DEADLINE,
        )
    };
    let whole = 800.0 * 1_048_576.0 * 8.0 / 200e6;
    // Up to 151.41 Mbit/s the threshold is met: h / B.
    let threshold = 262_144.0 * 8.0 / 200e6;
    for mbit in [40.0, 100.0, 140.0, 151.40] {
        let found = downtime(&run(mbit));
        assert!(found <= threshold * 1.001, "{mbit}: {found}");
    }
    // From there on it is t_30 of eq. 1, up to all memory at p = B.
    for mbit in [151.42f64, 155.0, 170.0, 190.0, 200.0, 300.0] {
        let replay = run(mbit);
        let lambda = (mbit / 200.0).min(1.0);
        let expected = whole * lambda.powi(29);
        let found = downtime(&replay);
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "{mbit}: {found} {expected}"
        );
        assert_eq!(replay.passes.len(), 29);
        // Eq. 3 and 4: the geometric series.
        let series: f64 = (0..30).map(|i| lambda.powi(i)).sum();
        let ratio = replay.transferred.0 as f64 / (memory.0 * PAGE_ON_STREAM.0) as f64;
        assert!(
            (ratio / series - 1.0).abs() < 1e-3,
            "{mbit}: {ratio} {series}"
        );
    }
}

/// `jin2011` figures 5 and 6: memWriter, 800 MB of a 1 GB guest; 20 ms to
/// resume it (`liu2011` section 3.1).
fn memwriter(mbit: f64, link_mbit: f64, rules: &Rules) -> Replay {
    let memory = Bytes::from_mib(1024).pages();
    let dirt = writer(mbit, Bytes(800_000_000).pages(), memory);
    let costs = HostCosts {
        destination_start: Duration::from_millis(20),
        ..no_costs()
    };
    let rate = ByteRate::from_mbit_per_s(link_mbit);
    replay(&dirt, rules, &costs, rate, &mut Untuned, DEADLINE)
}

#[test]
fn a_guest_faster_than_the_link_is_stopped_early() {
    let rules = Rules::default();
    // Printed: 6.435 s at 1943 Mbit/s over 1 Gbit/s without optimization.
    let printed = downtime(&memwriter(1943.0, 1000.0, &rules));
    assert!((printed / 6.435 - 1.0).abs() < 0.01, "{printed}");
    for link in [1000.0, 500.0, 200.0] {
        // "Then stays at a very high position": 800 MB, whatever the dirty rate.
        let whole = 800e6 * 8.0 / (link * 1e6);
        let beyond: Vec<Replay> = [1.5, 2.0, 4.0]
            .map(|times| memwriter(times * link, link, &rules))
            .into();
        for replay in &beyond {
            let found = downtime(replay);
            assert!(
                (found / whole - 1.0).abs() < 0.03,
                "{link}: {found} {whole}"
            );
            // "Skipping early iterations and directly going into stop-and-copy."
            assert!(replay.passes.len() <= 2, "{}", replay.passes.len());
        }
        // Below the link, downtimes are "kept in 0.1 s".
        let below = memwriter(0.4 * link, link, &rules);
        assert!(downtime(&below) < 0.1, "{}", downtime(&below));
        // Without that way out the rounds go on to three times the memory.
        let stubborn = Rules {
            early_stop: EarlyStop::Never,
            skip_redirtied: false,
            ..rules
        };
        let long = memwriter(2.0 * link, link, &stubborn);
        assert!(long.passes.len() > 2 && long.total_time > beyond[1].total_time);
    }
}

/// Figure 5's barrier, "the first dirty rate that makes downtime reach 1 s",
/// lies below the link and moves with it. Printed is "nearly 600" Mbit/s over
/// 1 Gbit/s; what that link carried in fact, and the way of writing, are not.
#[test]
fn the_barrier_moves_with_the_link() {
    let barrier = |link: f64| {
        (1..400)
            .map(|step| f64::from(step) * link / 100.0)
            .find(|mbit| downtime(&memwriter(*mbit, link, &Rules::default())) >= 1.0)
            .expect("some rate is too much")
    };
    let found = [1000.0, 500.0, 200.0].map(barrier);
    for (found, link) in found.into_iter().zip([1000.0, 500.0, 200.0]) {
        assert!((0.6..=0.9).contains(&(found / link)), "{found}");
    }
}

/// `dom0cpu` 4B: the time grows with the intensity of a memory writer, and then
/// stays the same.
#[test]
fn the_time_is_flat_beyond_the_link() {
    let time = |mbit| {
        memwriter(mbit, 1000.0, &Rules::default())
            .total_time
            .as_secs_f64()
    };
    assert!(time(100.0) < time(400.0) && time(400.0) < time(600.0));
    let (fast, faster) = (time(3000.0), time(4798.0));
    assert!((fast / faster - 1.0).abs() < 0.1, "{fast} {faster}");
}

/// `akoush2010`: the stop conditions one by one.
#[test]
fn each_stop_condition_stops() {
    let memory = Bytes::from_mib(1024).pages();
    let only = Rules {
        max_rounds: None,
        few_pages: None,
        max_sent: None,
        skip_redirtied: false,
        early_stop: EarlyStop::Never,
    };
    let run = |pages_per_s: f64, writable: u64, rules: Rules| {
        let rate = ByteRate(pages_per_s * 4096.0);
        let dirt = ConstantDirt::new(
            rate,
            Pages(writable),
            Writes::Sequential,
            memory,
            Ratio(0.0),
        );
        replay(
            &dirt,
            &rules,
            &no_costs(),
            link(1000.0),
            &mut Untuned,
            DEADLINE,
        )
    };
    let link_pages = 1e9 / 8.0 / 4096.0;

    // Fewer than 50 pages dirtied in the last round: 48 in one go are few.
    let few = Rules {
        few_pages: Some(Pages(50)),
        ..only
    };
    let idle = run(5.0, 262_144, few);
    let rounds: Vec<u64> = idle.passes.iter().map(|p| p.dirtied.0 / 4096).collect();
    assert_eq!(rounds, [262_144, 42]);
    let busy = run(7.0, 262_144, few);
    let rounds: Vec<u64> = busy.passes.iter().map(|p| p.dirtied.0 / 4096).collect();
    assert_eq!(rounds, [262_144, 60, 0]);

    // More than three times the memory: a set as large as memory, written at
    // the link's speed, is sent 3 times; then it is more than that.
    let factor = Rules {
        max_sent: Some(Ratio(3.0)),
        ..only
    };
    assert_eq!(run(link_pages * 1.01, 262_144, factor).passes.len(), 4);
    assert_eq!(run(link_pages * 1.01, 26_214, factor).passes.len(), 22);

    // 29 rounds.
    let rounds = Rules {
        max_rounds: Some(29),
        ..only
    };
    assert_eq!(run(link_pages * 2.0, 2_000, rounds).passes.len(), 29);
}

/// The non-linear effects `akoush2010` shows for 1 and 10 Gbit/s: the downtime
/// of a growing dirty rate is next to nothing up to a rate, and then grows fast;
/// a faster link moves that rate.
#[test]
fn downtime_explodes_with_the_dirty_rate() {
    let memory = Bytes::from_mib(1024).pages();
    let sweep = |gbit: f64| -> Vec<f64> {
        (0..20)
            .map(|step| {
                let rate = ByteRate(f64::from(step) * 2_500.0 * 4096.0);
                let dirt = ConstantDirt::new(rate, memory, Writes::Random, memory, Ratio(0.0));
                let rules = Rules::default();
                let rate = link(gbit * 1e3);
                downtime(&replay_amount(
                    &dirt,
                    &rules,
                    &no_costs(),
                    rate,
                    &mut Untuned,
                    DEADLINE,
                ))
            })
            .collect()
    };
    let (slow, fast) = (sweep(1.0), sweep(10.0));
    assert!(slow[..5].iter().all(|t| *t < 0.03), "{slow:?}");
    assert!(slow[19] > 2.0 && slow[19] > 50.0 * slow[5], "{slow:?}");
    assert!(fast.iter().all(|t| *t < 0.03), "{fast:?}");
}

/// The skip saves traffic and never loses what it left out: with it a hot page
/// goes out with the guest stopped, and not in every round.
#[test]
fn the_skip_spares_hot_pages() {
    let memory = Bytes::from_mib(512).pages();
    // 16 MiB rewritten ten times a second.
    let rate = ByteRate(160.0 * 1_048_576.0);
    let hot = ConstantDirt::new(
        rate,
        Bytes::from_mib(16).pages(),
        Writes::Random,
        memory,
        Ratio(0.0),
    );
    let run = |skip_redirtied| {
        let rules = Rules {
            skip_redirtied,
            early_stop: EarlyStop::Never,
            ..Rules::default()
        };
        replay(
            &hot,
            &rules,
            &no_costs(),
            link(400.0),
            &mut Untuned,
            DEADLINE,
        )
    };
    let (with, without) = (run(true), run(false));
    assert!(with.transferred < without.transferred);
    assert!(with.transferred.0 >= memory.0 * PAGE_ON_STREAM.0);
    let both = (downtime(&with), downtime(&without));
    assert!((both.0 / both.1 - 1.0).abs() < 0.3, "{both:?}");
}

/// The papers' two readings of "outruns the link" give up on the same guests.
#[test]
fn the_source_and_the_papers_agree_on_who_outruns_the_link() {
    for (mbit, gives_up) in [(300.0, false), (2500.0, true)] {
        for early_stop in [EarlyStop::GrowingRounds, EarlyStop::DirtOutrunsLink] {
            let rules = Rules {
                early_stop,
                ..Rules::default()
            };
            let replay = memwriter(mbit, 1000.0, &rules);
            let stopped = downtime(&replay) > 5.0;
            assert_eq!(stopped, gives_up, "{mbit} {early_stop:?}");
        }
    }
}

/// `liu2011`: a rate just above the dirt. The first round crawls at the least
/// rate; a busy guest raises it.
#[test]
fn the_adaptive_rate_leaves_the_link_to_others() {
    let memory = Bytes::from_mib(1024).pages();
    let dirt = writer(350.0, memory, memory);
    let rules = Rules {
        skip_redirtied: false,
        ..Rules::default()
    };
    let mut rate = AdaptiveRate::liu2011();
    let held = replay(
        &dirt,
        &rules,
        &no_costs(),
        link(1000.0),
        &mut rate,
        DEADLINE,
    );
    let free = replay(
        &dirt,
        &rules,
        &no_costs(),
        link(1000.0),
        &mut Untuned,
        DEADLINE,
    );
    let rate_of = |replay: &Replay, i: usize| {
        let length = replay.passes[i + 1].start - replay.passes[i].start;
        (replay.passes[i].sent / length).mbit_per_s()
    };
    assert!((rate_of(&held, 0) - 400.0).abs() < 1.0);
    assert!(
        (rate_of(&held, 1) - 450.0).abs() < 1.0,
        "{}",
        rate_of(&held, 1)
    );
    assert!((rate_of(&free, 0) / 1000.0 - 1.0).abs() < 0.01);
    assert!(held.total_time > free.total_time);
}
