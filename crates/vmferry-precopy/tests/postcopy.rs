//! What must hold of every move by post-copy.

use std::time::Duration;

use proptest::prelude::*;
use vmferry_core::{ByteRate, Bytes, PageHistory, Pages, SampledPage};
use vmferry_precopy::dirt::Recording;
use vmferry_precopy::postcopy::{PostCopy, Rules, replay};
use vmferry_precopy::{HostCosts, PAGE_ON_STREAM};

/// 131,072 pages without a zero page, of which `hot` of 1024 are written in
/// every one of 200 intervals of 25 ms.
fn history(hot: usize) -> PageHistory {
    let pages = (0..1024)
        .map(|i| SampledPage {
            index: Pages(i * 128),
            weight: 128.0,
            zero: false,
        })
        .collect();
    let mut history = PageHistory::new(pages);
    for look in 0..200 {
        history.push((look + 1) * 25_000, 0..hot);
    }
    history
}

fn costs() -> HostCosts {
    HostCosts {
        socket_buffer: Bytes(0),
        ..HostCosts::default()
    }
}

fn run(history: &PageHistory, rules: &Rules, mbit: f64) -> PostCopy {
    let recording = Recording::new(history).unwrap();
    let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
    replay(&dirt, rules, &costs(), ByteRate::from_mbit_per_s(mbit))
}

const MEMORY: f64 = 131_072.0 * PAGE_ON_STREAM.0 as f64;

#[test]
fn an_idle_guest_has_nothing_to_fetch() {
    let found = run(&history(0), &Rules::default(), 400.0);
    assert_eq!(found.fetched, Bytes(0));
    assert_eq!((found.faults, found.stall.0), (0.0, 0.0));
    let seconds = MEMORY / 50e6;
    let total = found.total_time.as_secs_f64();
    assert!((seconds..seconds + 0.2).contains(&total), "{total}");
}

#[test]
fn a_guest_no_link_could_follow_moves_with_a_short_pause() {
    // All of 256 MiB written in every 25 ms.
    let found = run(&history(512), &Rules::default(), 400.0);
    assert_eq!(found.fetched, Bytes::from_mib(256));
    let costs = costs();
    let devices = costs.device_state.0 as f64 / 50e6;
    let pause = (costs.stop + costs.destination_start).as_secs_f64();
    let downtime = found.downtime.as_secs_f64();
    assert!(
        (pause + devices..pause + devices + 0.02).contains(&downtime),
        "{downtime}"
    );
    let seconds = 1.5 * MEMORY / 50e6;
    let total = found.total_time.as_secs_f64();
    assert!((seconds..seconds + 0.2).contains(&total), "{total}");
    // It waits for nearly every page: no page is fetched twice.
    assert!(found.faults <= 65_536.5, "{}", found.faults);
    assert!((0.3..=1.0).contains(&found.stall.0), "{:?}", found.stall);
}

#[test]
fn switching_at_once_fetches_everything() {
    let rules = Rules {
        switch_after: Some(Duration::ZERO),
        ..Rules::default()
    };
    let found = run(&history(8), &rules, 400.0);
    assert_eq!(found.fetched, Bytes::from_mib(512));
    let later = run(&history(8), &Rules::default(), 400.0);
    assert!(found.faults >= later.faults && found.transferred < later.transferred);
}

#[test]
fn a_channel_of_its_own_shortens_the_waits() {
    let history = history(200);
    let recording = Recording::new(&history).unwrap();
    let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
    let stall = |preempt| {
        let rules = Rules {
            preempt,
            ..Rules::default()
        };
        let rate = ByteRate::from_mbit_per_s(400.0);
        replay(&dirt, &rules, &HostCosts::default(), rate).stall.0
    };
    assert!(stall(true) < stall(false));
}

proptest! {
    #[test]
    fn more_bandwidth_is_never_slower(hot in 0usize..1024, mbit in 50f64..5000.0, more in 1.01f64..4.0) {
        let history = history(hot);
        let (slow, fast) = (
            run(&history, &Rules::default(), mbit),
            run(&history, &Rules::default(), mbit * more),
        );
        prop_assert!(fast.total_time <= slow.total_time);
        prop_assert!(fast.downtime <= slow.downtime);
        prop_assert!((0.0..=1.0).contains(&slow.stall.0), "{:?}", slow);
        let pages = slow.fetched.0 as f64 / 4096.0;
        prop_assert!(slow.faults <= pages + 1.0, "{:?}", slow);
        // Nothing is sent more than twice.
        prop_assert!(slow.transferred.0 as f64 <= 2.0 * MEMORY + 1e6);
    }
}
