//! What the analysis finds in guests whose way of writing is known.

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{Analysis, Bytes, PageHistory, Pages, SampledPage, Stationarity};
use vmferry_model::analysis::half_seconds::dirtied_per_half_second;
use vmferry_model::analysis::period::period;
use vmferry_model::analysis::stationarity::stationarity;
use vmferry_model::analysis::working_set::{WorkingSetUnknown, working_set};

mod guest;

const SAMPLED: usize = 2048;
/// 512 MiB by 2048 pages.
const WEIGHT: f64 = 64.0;
const LOOK_S: f64 = 0.025;
const MIB: f64 = 1_048_576.0;

/// A guest of 512 MiB that, in the time from `t` to `t + dt`, writes each page
/// with the chance that `chance` gives for its place in memory (0..1).
fn watch(seconds: f64, seed: u64, chance: impl Fn(f64, f64, f64) -> f64) -> PageHistory {
    let mut random = SmallRng::seed_from_u64(seed);
    let pages = (0..SAMPLED)
        .map(|i| SampledPage {
            index: Pages(i as u64 * WEIGHT as u64),
            weight: WEIGHT,
            zero: false,
        })
        .collect();
    let mut history = PageHistory::new(pages);
    let (mut t, mut us) = (0.0, 0);
    while t < seconds {
        let dt = LOOK_S * random.random_range(0.9..1.1);
        let dirty: Vec<usize> = (0..SAMPLED)
            .filter(|page| random.random::<f64>() < chance(*page as f64 / SAMPLED as f64, t, dt))
            .collect();
        t += dt;
        us = u64::max(us + 1, (t * 1e6) as u64);
        history.push(us, dirty);
    }
    history
}

/// Writes at random, once in `tau` on average, in the part of memory from
/// `from` on that is `mib` large.
fn random_set(from: f64, mib: f64, tau: f64) -> impl Fn(f64, f64, f64) -> f64 {
    move |place, _, dt| {
        if (from..from + mib / 512.0).contains(&place) {
            1.0 - (-dt / tau).exp()
        } else {
            0.0
        }
    }
}

/// Writes page after page through `mib` of memory, once in `time`, again and
/// again.
fn sweep(mib: f64, time: f64) -> impl Fn(f64, f64, f64) -> f64 {
    move |place, t, dt| {
        let (from, to) = ((t / time).fract(), (t / time).fract() + dt / time);
        let at = place * 512.0 / mib;
        let inside = (from..to).contains(&at) || (from..to).contains(&(at + 1.0));
        f64::from(u8::from(inside && at < 1.0))
    }
}

fn mib(bytes: Bytes) -> f64 {
    bytes.0 as f64 / MIB
}

#[test]
fn the_working_set_of_a_hot_set() {
    for (set, tau, window) in [(64.0, 0.3, 10.0), (32.0, 0.02, 10.0), (128.0, 2.0, 20.0)] {
        let seen = working_set(&watch(window, 1, random_set(0.25, set, tau)), None).unwrap();
        let size = mib(seen.size);
        assert!((size / set - 1.0).abs() < 0.08, "{set} MiB: {seen:?}");
        let reached = seen.reached.as_secs_f64();
        assert!(
            (tau..6.0 * tau + 0.1).contains(&reached),
            "{set} MiB: {seen:?}"
        );
        assert!(mib(seen.standard_error) < 0.08 * set, "{seen:?}");
    }
}

#[test]
fn the_working_set_beside_a_trickle_and_of_a_sweep() {
    let hot = random_set(0.1, 64.0, 0.2);
    let trickle = random_set(0.4, 256.0, 256.0);
    let both = |place, t, dt| hot(place, t, dt) + trickle(place, t, dt);
    let seen = working_set(&watch(20.0, 3, both), None).unwrap();
    assert!((60.0..72.0).contains(&mib(seen.size)), "{seen:?}");

    let seen = working_set(&watch(20.0, 1, sweep(96.0, 6.0)), None).unwrap();
    assert!((mib(seen.size) / 96.0 - 1.0).abs() < 0.06, "{seen:?}");
    assert!((5.4..6.2).contains(&seen.reached.as_secs_f64()), "{seen:?}");
}

#[test]
fn no_working_set_without_an_end_of_the_bend() {
    let slow = watch(10.0, 1, random_set(0.1, 256.0, 8.0));
    assert!(matches!(
        working_set(&slow, None),
        Err(WorkingSetUnknown::StillBending { .. })
    ));
    // Through all of memory, once, in the time of the window.
    let once = watch(10.0, 1, sweep(512.0, 10.5));
    assert!(matches!(
        working_set(&once, None),
        Err(WorkingSetUnknown::Straight { .. })
    ));
    let glance = watch(0.3, 1, random_set(0.1, 64.0, 0.1));
    assert!(matches!(
        working_set(&glance, None),
        Err(WorkingSetUnknown::FewLooks { .. })
    ));
    let idle = working_set(&watch(5.0, 1, |_, _, _| 0.0), None).unwrap();
    assert_eq!((idle.size, idle.reached), (Bytes(0), Duration::ZERO));
}

#[test]
fn straight_curves_are_rarely_taken_for_working_sets() {
    let wrong = (0..100)
        .filter(|seed| working_set(&watch(8.0, *seed, random_set(0.0, 512.0, 400.0)), None).is_ok())
        .count();
    assert!(wrong <= 5, "{wrong} of 100");
}

#[test]
fn phases_and_sweeps_are_found_with_their_period() {
    // 8 s of writing, 4 s of rest.
    let busy = random_set(0.25, 64.0, 1.0);
    let phases = |place, t: f64, dt| {
        if t % 12.0 < 8.0 {
            busy(place, t, dt)
        } else {
            0.0
        }
    };
    // As much all the time, here and there in turn.
    let (here, there) = (random_set(0.0, 64.0, 1.0), random_set(0.5, 64.0, 1.0));
    let places = |place, t: f64, dt| {
        if t % 5.0 < 2.5 {
            here(place, t, dt)
        } else {
            there(place, t, dt)
        }
    };
    let cases: [(&str, PageHistory, f64); 4] = [
        ("phases", watch(60.0, 1, phases), 12.0),
        ("three cycles", watch(37.0, 2, phases), 12.0),
        ("places", watch(30.0, 3, places), 5.0),
        ("sweep", watch(10.0, 4, sweep(64.0, 2.0)), 2.0),
    ];
    for (name, history, length) in cases {
        let found = period(&history).unwrap_or_else(|| panic!("{name}: no period"));
        let got = found.length.as_secs_f64();
        assert!((got / length - 1.0).abs() < 0.03, "{name}: {found:?}");
    }
    assert_eq!(
        period(&watch(30.0, 5, phases)),
        None,
        "two cycles and a half"
    );
}

#[test]
fn noise_is_rarely_taken_for_a_period() {
    let wrong = (0..100)
        .filter(|seed| period(&watch(10.0, *seed, random_set(0.2, 64.0, 0.5))).is_some())
        .count();
    assert!(wrong <= 3, "{wrong} of 100 even writers");
    // Bursts at random times, half a second long on average.
    let wrong = (0..100)
        .filter(|seed| {
            let mut random = SmallRng::seed_from_u64(*seed ^ 99);
            let mut switches = vec![0.0];
            while switches[switches.len() - 1] < 20.0 {
                let wait = -0.5 * (1.0 - random.random::<f64>()).ln();
                switches.push(switches[switches.len() - 1] + wait);
            }
            let set = random_set(0.2, 64.0, 0.5);
            let bursts = |place, t: f64, dt| {
                let on = switches.partition_point(|s| *s <= t) % 2 == 0;
                if on { set(place, t, dt) } else { 0.0 }
            };
            period(&watch(20.0, *seed, bursts)).is_some()
        })
        .count();
    assert!(wrong <= 5, "{wrong} of 100 irregular writers");
}

#[test]
fn even_writers_are_stationary_and_growing_ones_drift() {
    let verdict = |history: &PageHistory| {
        let series: Vec<f64> = dirtied_per_half_second(history)
            .iter()
            .map(|d| d.bytes)
            .collect();
        stationarity(&series)
    };
    let even = (0..50)
        .filter(|seed| {
            let history = watch(10.0, *seed, random_set(0.2, 64.0, 2.0));
            verdict(&history) == Ok(Stationarity::Stationary)
        })
        .count();
    assert!(even >= 46, "{even} of 50");
    let growing = |place: f64, t: f64, dt: f64| {
        let reach = 0.1 + 0.04 * t;
        if place < reach { dt / 2.0 } else { 0.0 }
    };
    assert_eq!(
        verdict(&watch(10.0, 1, growing)),
        Ok(Stationarity::Drifting)
    );
}

#[test]
fn more_pages_at_a_slower_pace_sharpen_the_size() {
    // Of which the few pages show 60 MiB.
    let fast = watch(20.0, 1, random_set(0.25, 60.0, 1.0));
    // Every page of the guest, once a second.
    let mut slow = PageHistory::new(
        (0..131_072)
            .map(|i| SampledPage {
                index: Pages(i),
                weight: 1.0,
                zero: false,
            })
            .collect(),
    );
    for second in 1..=20 {
        slow.push(second * 1_000_000, 40_000..40_000 + 64 * 256);
    }
    let seen = working_set(&fast, Some(&slow)).unwrap();
    assert_eq!(
        (seen.size, seen.standard_error),
        (Bytes::from_mib(64), Bytes(0))
    );
    let alone = working_set(&fast, None).unwrap();
    assert_eq!(alone.reached, seen.reached);
    assert!(alone.standard_error > Bytes(0));

    // What few pages saw over time is scaled to the size that many show.
    let mut observation = guest::writer(0.0, 0.0);
    observation.page_history = Some(fast);
    let alone = vmferry_model::analyse(&observation);
    observation.slow_page_history = Some(slow);
    let both = vmferry_model::analyse(&observation);
    let end = |analysis: &Analysis| analysis.peek_curve.last().map(|p| p.dirtied_bytes);
    assert_eq!(end(&both), Some(Bytes::from_mib(64)));
    assert_ne!(end(&alone), Some(Bytes::from_mib(64)));
    assert_ne!(both.dirtied_per_half_second, alone.dirtied_per_half_second);
}

#[test]
fn a_whole_observation_is_read() {
    let analysis = vmferry_model::analyse(&guest::writer(64.0 * MIB, 100.0 * MIB));
    let set = mib(analysis.working_set_bytes.unwrap());
    assert!((60.0..66.0).contains(&set), "{set}");
    assert_eq!(analysis.stationarity, Stationarity::Stationary);
    assert_eq!(analysis.period_ms, None);
    assert_eq!(analysis.dirtied_per_half_second.len(), 24);
    assert_eq!(analysis.peek_curve.len(), 240);
    let minute = analysis
        .fitted_curve
        .unwrap()
        .dirtied_in(Duration::from_secs(60));
    assert!((62.0..70.0).contains(&mib(minute)), "{minute}");
    assert_eq!(analysis.working_set_unknown, None);

    let mut unread = guest::writer(64.0 * MIB, 100.0 * MIB);
    unread.page_history = None;
    let analysis = vmferry_model::analyse(&unread);
    assert!(analysis.working_set_unknown.is_some() && analysis.fitted_curve.is_some());
    assert_eq!(analysis.stationarity, Stationarity::Unknown);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_is_read_without_fail(
        rows in prop::collection::vec((1u64..900_000, prop::collection::vec(0usize..70, 0..12)), 0..120),
    ) {
        let page = |i| SampledPage { index: Pages(i), weight: 3.0, zero: false };
        let mut history = PageHistory::new((0..70).map(page).collect());
        let mut us = 0;
        for (step, dirty) in rows {
            us += step;
            history.push(us, dirty);
        }
        let mut observation = guest::writer(0.0, 0.0);
        observation.page_history = Some(history);
        let analysis = vmferry_model::analyse(&observation);
        let seconds = us as f64 / 1e6;
        prop_assert!(analysis.dirtied_per_half_second.len() as f64 * 0.5 <= seconds + 0.06);
        let end = analysis.peek_curve.last().map_or(Bytes(0), |p| p.dirtied_bytes);
        prop_assert!(analysis.working_set_bytes.is_none_or(|set| set.0 as f64 <= 1.1 * end.0 as f64));
        if let Some(period) = analysis.period_ms {
            prop_assert!(3.0 * period.0 <= us as f64 / 1e3 + 500.0);
        }
    }
}
