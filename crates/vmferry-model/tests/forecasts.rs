//! Forecasts of made-up guests.

mod guest;
#[path = "guest/paces.rs"]
mod paces;

use std::time::Duration;

use guest::{PAGES, writer};
use paces::two_paces;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, Interval, LinkSpeed, Millis, Observation, ObservationMethod, PageHistory,
    Pages, Ratio, RemedyKind, SampledPage,
};
use vmferry_model::{
    Assumptions, ModelError, Progress, Reforecast, SUFFICIENT_PROBABILITY, at_one_pace, forecast,
    reforecast,
};

fn link(mbit: f64) -> LinkSpeed {
    LinkSpeed::given(ByteRate::from_mbit_per_s(mbit))
}

fn unlimited() -> Assumptions {
    let mut assumptions = Assumptions::tcg();
    assumptions.rules.max_bandwidth = None;
    assumptions
}

fn within<T: Copy + Into<f64>>(interval: Option<Interval<T>>, low: f64, high: f64) {
    let i = interval.expect("an interval").map(Into::into);
    assert!(
        i.p5 <= i.p50 && i.p50 <= i.p95 && (low..high).contains(&i.p50),
        "{i:?}"
    );
}

#[test]
fn an_idle_guest_takes_its_memory_over_the_rate() {
    let observation = writer(0.0, 0.0);
    let limits = MoveLimits::default();
    let link = link(400.0);
    let found = forecast(&observation, &link, &limits, &unlimited(), 1).unwrap();
    assert_eq!(found.converges_probability, 1.0);
    assert!(found.remedies.is_empty());
    let zero = observation.page_mix.zero.unwrap().0;
    let traffic = PAGES as f64 * ((1.0 - zero) * 4104.0 + zero * 9.0);
    within(
        found.transferred_bytes.map(|i| i.map(|b| b.0 as f64)),
        traffic,
        traffic * 1.01,
    );
    within(
        found.wire_bytes.map(|i| i.map(|b| b.0 as f64)),
        traffic / 0.957,
        traffic / 0.956 * 1.01,
    );
    // What the sockets hold at the end is sent as far as QEMU knows.
    let time = (traffic - 3e6) / link.stream_rate().0 * 1e3;
    within(
        found.total_time_ms.map(|i| i.map(|m| m.0)),
        time,
        time * 1.1 + 100.0,
    );
    within(found.downtime_ms.map(|i| i.map(|m| m.0)), 40.0, 400.0);
    within(found.passes, 3.0, 4.0);
    within(found.slowdown.map(|i| i.map(|r| r.0)), 0.0, 0.15);
}

#[test]
fn the_same_seed_gives_the_same_forecast() {
    let observation = writer(40e6, 60e6);
    let limits = MoveLimits::default();
    let run = |seed| forecast(&observation, &link(400.0), &limits, &unlimited(), seed).unwrap();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).total_time_ms, run(8).total_time_ms);
}

#[test]
fn a_writer_beyond_the_link_gets_remedies_that_hold() {
    let observation = writer(120e6, 150e6);
    let limits = MoveLimits::default();
    let found = forecast(&observation, &link(400.0), &limits, &unlimited(), 3).unwrap();
    assert!(
        found.converges_probability < 0.05,
        "{}",
        found.converges_probability
    );
    assert_eq!(found.total_time_ms, None);
    assert_eq!(found.remedies.len(), 4, "{:?}", found.remedies);
    let few = Assumptions {
        samples: 100,
        ..unlimited()
    };
    for remedy in &found.remedies {
        assert!(remedy.converges_probability >= SUFFICIENT_PROBABILITY);
        if let RemedyKind::PostCopy { stall } = remedy.kind {
            // One pass, what was written within it, and a pause without memory.
            assert!((0.0..=1.0).contains(&stall.0), "{remedy:?}");
            let (total, downtime) = (remedy.total_time_ms.unwrap(), remedy.downtime_ms.unwrap());
            assert!((6_000.0..12_000.0).contains(&total.0), "{remedy:?}");
            assert!((20.0..150.0).contains(&downtime.0), "{remedy:?}");
            continue;
        }
        // Another seed must agree, and a good deal less must not do.
        let run = |share: f64| {
            let (mut link, mut limits) = (link(400.0), limits);
            let mut observation = observation.clone();
            match remedy.kind {
                RemedyKind::Bandwidth { bandwidth } => {
                    link.wire_rate =
                        ByteRate(link.wire_rate.0 + share * (bandwidth.0 - link.wire_rate.0));
                }
                RemedyKind::MaxDowntime { limit } => {
                    limits.max_downtime_ms = Some(Millis(300.0 + share * (limit.0 - 300.0)));
                }
                RemedyKind::Slowdown { slowdown } => {
                    observation = writer(120e6, 150e6 * (1.0 - share * slowdown.0));
                }
                RemedyKind::PostCopy { .. } => unreachable!("told apart before"),
            }
            let again = forecast(&observation, &link, &limits, &few, 4).unwrap();
            again.converges_probability
        };
        // The slower writer is another recording: near the boundary 1 % of dirt is ten points.
        assert!(run(1.0) >= 0.75, "{remedy:?}: {}", run(1.0));
        assert!(run(0.5) < 0.5, "{remedy:?}: {}", run(0.5));
    }
}

#[test]
fn a_cap_on_bandwidth_is_named() {
    let observation = writer(200e6, 400e6);
    let limits = MoveLimits {
        max_bandwidth: Some(ByteRate(20e6)),
        ..MoveLimits::default()
    };
    let found = forecast(&observation, &link(10_000.0), &limits, &unlimited(), 1).unwrap();
    assert!(found.converges_probability < 0.05);
    let notes = found.model.notes.join("\n");
    assert!(notes.contains("max-bandwidth"), "{notes}");
    assert!(notes.contains("only max-bandwidth"), "{notes}");
}

#[test]
fn a_curve_alone_forecasts_too_but_less_sharply() {
    let pages = writer(40e6, 60e6);
    let mut curve = pages.clone();
    curve.page_history = None;
    curve.method = ObservationMethod::CalcDirtyRate;
    let limits = MoveLimits::default();
    let run = |o: &Observation| forecast(o, &link(400.0), &limits, &unlimited(), 1).unwrap();
    let (pages, curve) = (run(&pages), run(&curve));
    assert_eq!(curve.model.name, "curve");
    assert!(
        curve
            .model
            .notes
            .iter()
            .any(|n| n.contains("No page history"))
    );
    let (p, c) = (pages.total_time_ms.unwrap(), curve.total_time_ms.unwrap());
    assert!((c.p50.0 / p.p50.0 - 1.0).abs() < 0.25, "{p:?} {c:?}");
    assert!(c.p95.0 - c.p5.0 > p.p95.0 - p.p5.0, "{p:?} {c:?}");
}

#[test]
fn an_unknown_share_of_zero_pages_widens_the_traffic() {
    let mut observation = writer(10e6, 10e6);
    let limits = MoveLimits::default();
    let run = |o: &Observation| {
        let found = forecast(o, &link(400.0), &limits, &unlimited(), 1).unwrap();
        let bytes = found.transferred_bytes.unwrap();
        bytes.p95.0 as f64 / bytes.p5.0 as f64
    };
    let exact = run(&observation);
    observation.page_mix.exact = false;
    observation.page_mix.zero_standard_error = Some(Ratio(0.02));
    let sampled = run(&observation);
    observation.page_mix.zero = None;
    let unknown = run(&observation);
    assert!(
        exact < sampled && sampled < unknown && unknown > 3.0,
        "{exact} {sampled} {unknown}"
    );
}

#[test]
fn a_short_window_is_admitted() {
    let observation = writer(40e6, 30e6);
    let limits = MoveLimits::default();
    let found = forecast(&observation, &link(100.0), &limits, &unlimited(), 1).unwrap();
    assert!(
        found
            .model
            .notes
            .iter()
            .any(|n| n.contains("longer --window"))
    );
}

#[test]
fn nonsense_is_refused() {
    let observation = writer(0.0, 0.0);
    let limits = MoveLimits::default();
    let run = |o: &Observation, mbit: f64, m: &MoveLimits| {
        forecast(o, &link(mbit), m, &unlimited(), 1).unwrap_err()
    };
    assert!(matches!(
        run(&observation, 0.0, &limits),
        ModelError::BadLink { .. }
    ));
    let endless = MoveLimits {
        deadline_ms: Millis(f64::NAN),
        ..limits
    };
    assert!(matches!(
        run(&observation, 1.0, &endless),
        ModelError::BadLimit { .. }
    ));
    let mut blind = observation.clone();
    blind.page_history = None;
    blind.dirty_curve.points.clear();
    assert!(matches!(
        run(&blind, 1.0, &limits),
        ModelError::TooLittleData { .. }
    ));
    blind.page_mix.total_pages = vmferry_core::Pages(0);
    assert!(matches!(
        run(&blind, 1.0, &limits),
        ModelError::NoMemory { .. }
    ));
}

fn progress(elapsed_ms: u64, remaining: f64, passes: u64) -> Progress {
    Progress {
        elapsed: Duration::from_millis(elapsed_ms),
        remaining: Bytes(remaining as u64),
        passes,
        transferred: Bytes(elapsed_ms * 47_000),
        in_pass: Duration::from_millis(if passes > 1 { 0 } else { elapsed_ms }),
        last_pass: (passes > 1).then_some(Duration::from_secs(1)),
        measured_rate: None,
    }
}

#[test]
fn a_reforecast_at_the_start_is_the_forecast() {
    let observation = writer(40e6, 60e6);
    let limits = MoveLimits::default();
    let link = link(400.0);
    let before = forecast(&observation, &link, &limits, &unlimited(), 1).unwrap();
    let now = progress(20, PAGES as f64 * 4096.0, 1);
    let again = reforecast(&observation, &link, &limits, &unlimited(), &now, 2).unwrap();
    assert!((before.converges_probability - again.converges_probability).abs() < 0.1);
    let (before, again) = (
        before.total_time_ms.unwrap().p50.0,
        again.total_time_ms.unwrap().0,
    );
    assert!((again / before - 1.0).abs() < 0.1, "{before} {again}");
}

#[test]
fn a_reforecast_follows_what_remains() {
    let observation = writer(40e6, 60e6);
    let limits = MoveLimits::default();
    let link = link(400.0);
    let run = |remaining, passes| -> Reforecast {
        let now = progress(6000, remaining, passes);
        reforecast(&observation, &link, &limits, &unlimited(), &now, 2).unwrap()
    };
    let (little, much) = (run(20e6, 3), run(200e6, 3));
    let (soon, late) = (
        little.total_time_ms.unwrap().0,
        much.total_time_ms.unwrap().0,
    );
    assert!(soon > 6000.0 && soon + 2000.0 < late, "{soon} {late}");
    // Half-way through the first pass, the rest of it has to come.
    let half = run(PAGES as f64 * 2048.0, 1).total_time_ms.unwrap().0;
    assert!(half > 6000.0 + 500.0, "{half}");
}

#[test]
fn paces_merged_beforehand_change_no_forecast() {
    let seen = two_paces(&writer(40e6, 60e6));
    let merged = at_one_pace(seen.clone());
    assert_eq!(merged.slow_page_history, None);
    let (limits, link) = (MoveLimits::default(), link(400.0));
    let now = progress(6000, 100e6, 3);
    let run = |seen| reforecast(seen, &link, &limits, &unlimited(), &now, 2).unwrap();
    assert_eq!(run(&merged), run(&seen));
    assert_eq!(at_one_pace(merged.clone()), merged);
}

#[test]
fn a_slow_stream_is_noticed_on_the_way() {
    let observation = writer(100e6, 60e6);
    let limits = MoveLimits::default();
    let link = link(1000.0);
    let mut now = progress(8000, 150e6, 2);
    let run = |now: &Progress| {
        reforecast(&observation, &link, &limits, &unlimited(), now, 2)
            .unwrap()
            .converges_probability
    };
    assert!(run(&now) > 0.9);
    now.measured_rate = Some(ByteRate(12e6));
    assert!(run(&now) < 0.5);
}

#[test]
fn post_copy_is_proposed_only_where_it_may_be() {
    let observation = writer(120e6, 150e6);
    let limits = MoveLimits::default();
    let forbidden = Assumptions {
        post_copy: false,
        samples: 20,
        ..unlimited()
    };
    let found = forecast(&observation, &link(400.0), &limits, &forbidden, 3).unwrap();
    let post_copy = |r: &vmferry_core::Remedy| matches!(r.kind, RemedyKind::PostCopy { .. });
    assert!(!found.remedies.iter().any(post_copy));
    // Nor where one pass takes longer than there is.
    let short = MoveLimits {
        deadline_ms: Millis(2000.0),
        ..limits
    };
    let found = forecast(&observation, &link(400.0), &short, &unlimited(), 3).unwrap();
    assert!(!found.remedies.iter().any(post_copy));
}

#[test]
fn only_a_busy_guest_loses_more_than_the_pause() {
    let mut observation = writer(0.0, 0.0);
    let limits = MoveLimits::default();
    let mut lost = |used: Option<f64>| {
        observation.vcpu_use = used.map(Ratio);
        let found = forecast(&observation, &link(400.0), &limits, &unlimited(), 1).unwrap();
        found.slowdown.unwrap().map(|s| s.0)
    };
    let (slack, busy, unknown) = (lost(Some(0.2)), lost(Some(1.0)), lost(None));
    assert!(slack.p95 < 0.05 && slack.p50 > 0.0, "{slack:?}");
    assert!(busy.p50 > slack.p50 + 0.03, "{slack:?} {busy:?}");
    assert_eq!(busy, unknown);
}

/// The history of some of the pages, `step` apart, each for as many; `looks` of them at once.
fn thinned(history: &PageHistory, step: usize, looks: usize, weight: f64) -> PageHistory {
    let kept: Vec<usize> = (0..history.pages().len()).step_by(step).collect();
    let pages = kept.iter().map(|page| SampledPage {
        weight,
        ..history.pages()[*page]
    });
    let mut thin = PageHistory::new(pages.collect());
    for last in (looks - 1..history.intervals()).step_by(looks) {
        let written = |page: usize| (last + 1 - looks..=last).any(|k| history.is_dirty(k, page));
        let dirty = kept.iter().enumerate().filter(|(_, page)| written(**page));
        thin.push(history.interval_us(last).1, dirty.map(|(at, _)| at));
    }
    thin
}

#[test]
fn a_guest_watched_whole_sends_what_it_holds() {
    let mut observation = writer(4e6, 2e6);
    let history = observation.page_history.take().unwrap();
    let whole = history.pages().len() as u64;
    observation.page_mix.total_pages = Pages(whole);
    observation.page_history = Some(thinned(&history, 1, 1, 1.0));
    let zero = observation.page_mix.zero.unwrap().0;
    assert!(zero > 0.5);
    let limits = MoveLimits::default();
    let found = forecast(&observation, &link(400.0), &limits, &unlimited(), 1).unwrap();
    let first = whole as f64 * ((1.0 - zero) * 4104.0 + zero * 9.0);
    within(
        found.transferred_bytes.map(|i| i.map(|b| b.0 as f64)),
        first,
        first * 1.1,
    );
}

#[test]
fn a_counted_hot_set_is_certain() {
    // The hot set page by page, all else one in 32.
    let observation = writer(40e6, 60e6);
    let history = observation.page_history.clone().unwrap();
    let hot = |page: usize| (0..history.intervals()).any(|k| history.is_dirty(k, page));
    let pages = (0..history.pages().len()).map(|page| SampledPage {
        weight: if hot(page) { 1.0 } else { 40.0 },
        ..history.pages()[page]
    });
    let pages: Vec<SampledPage> = pages.collect();
    let set: f64 = pages
        .iter()
        .filter(|p| p.weight == 1.0)
        .map(|p| p.weight)
        .sum();
    let mut dense = PageHistory::new(pages);
    for k in 0..history.intervals() {
        let dirty = (0..history.pages().len()).filter(|page| history.is_dirty(k, *page));
        dense.push(history.interval_us(k).1, dirty);
    }
    let total = dense.represented_pages();
    let mut seen = observation;
    seen.page_history = Some(dense);
    seen.page_mix.total_pages = Pages(total as u64);
    let limits = MoveLimits::default();
    let found = forecast(&seen, &link(400.0), &limits, &unlimited(), 1).unwrap();
    let zero = seen.page_mix.zero.unwrap().0;
    let first = total * ((1.0 - zero) * 4104.0 + zero * 9.0);
    // The whole set is sent once more, and no more of it than there is.
    let sent = found.transferred_bytes.unwrap().map(|b| b.0 as f64 - first);
    assert!(sent.p50 > 0.8 * set * 4096.0, "{sent:?} of {set} pages");
    assert!(sent.p95 - sent.p5 < 0.6 * set * 4096.0, "{sent:?}");
}

#[test]
fn two_paces_forecast_as_one() {
    let one = writer(60e6, 30e6);
    let history = one.page_history.clone().unwrap();
    let weight = history.pages()[0].weight;
    let mut two = one.clone();
    two.page_history = Some(thinned(&history, 16, 2, 16.0 * weight));
    two.slow_page_history = Some(thinned(&history, 1, 40, weight));
    let limits = MoveLimits::default();
    let run = |o: &Observation| forecast(o, &link(400.0), &limits, &unlimited(), 1).unwrap();
    let (one, two) = (run(&one), run(&two));
    let median = |f: &vmferry_core::Forecast| f.total_time_ms.unwrap().p50.0;
    let off = median(&two) / median(&one) - 1.0;
    assert!(off.abs() < 0.05, "{off}");
    assert!((two.converges_probability - one.converges_probability).abs() < 0.1);
}
