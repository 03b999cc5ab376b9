//! Sweeps over made-up guests.

mod guest;

use std::num::NonZeroUsize;

use guest::{PAGES, writer};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, LinkSpeed, Millis, Observation, PageHistory, Pages, SampledPage,
};
use vmferry_model::sweep::{
    Axis, BOUNDARY_PROBABILITY, Cost, Grid, Model, Place, Point, Rules, Settings, Sweep,
    SweepError, Swept, geometric, sweep,
};
use vmferry_model::{Assumptions, forecast};
use vmferry_precopy::dirt::{PageTrace, PageTraceBuilder};

const MIB: f64 = 1_048_576.0;
/// Memory of the guest.
const MEMORY: Bytes = Pages(PAGES).bytes();

fn mbit(rates: &[f64]) -> Vec<ByteRate> {
    rates
        .iter()
        .map(|rate| ByteRate::from_mbit_per_s(*rate))
        .collect()
}

fn grid(rules: &[Rules], rates: &[f64], limits_ms: &[f64], dirt: &[f64], memory: &[Bytes]) -> Grid {
    let limits: Vec<Millis> = limits_ms.iter().map(|ms| Millis(*ms)).collect();
    Grid::new(rules, &mbit(rates), &limits, dirt, memory).unwrap()
}

fn asked<'a>(observation: &'a Observation, model: Model, grid: &'a Grid) -> Sweep<'a> {
    Sweep {
        observation,
        whole: None,
        model,
        grid,
        assumptions: Assumptions {
            samples: 30,
            ..Assumptions::tcg()
        },
        max_bandwidth: None,
        deadline: Millis(600_000.0),
        seed: 1,
        threads: NonZeroUsize::MIN,
    }
}

fn swept(observation: &Observation, model: Model, grid: &Grid) -> Swept {
    sweep(&asked(observation, model, grid)).unwrap()
}

fn total(point: &Point) -> f64 {
    point.cost.total_time_ms.expect("it converges").p50.0
}

fn transferred(point: &Point) -> f64 {
    point.cost.transferred_bytes.expect("it converges").p50.0 as f64
}

#[test]
fn more_bandwidth_or_a_longer_pause_never_takes_longer_by_the_textbook() {
    let seen = writer(64.0 * MIB, 30.0 * MIB);
    let rates = geometric(400.0, 10_000.0, 9);
    let limits = geometric(30.0, 3000.0, 6);
    for model in [Model::Textbook, Model::Curve, Model::Avg] {
        let along = grid(&[Rules::Textbook], &rates, &[300.0], &[1.0], &[MEMORY]);
        let points = swept(&seen, model, &along).points;
        for pair in points.windows(2) {
            assert!(total(&pair[1]) <= total(&pair[0]), "{model} {pair:#?}");
            assert!(
                transferred(&pair[1]) <= transferred(&pair[0]) + 1.0,
                "{model}"
            );
        }
        let along = grid(&[Rules::Textbook], &[1000.0], &limits, &[1.0], &[MEMORY]);
        let points = swept(&seen, model, &along).points;
        for pair in points.windows(2) {
            assert!(total(&pair[1]) <= total(&pair[0]), "{model} {pair:#?}");
        }
    }
}

#[test]
fn a_guest_that_writes_nothing_is_sent_once() {
    let seen = writer(64.0 * MIB, 30.0 * MIB);
    let grid = grid(&Rules::ALL, &[1000.0], &[300.0], &[0.0], &[MEMORY]);
    let zero = seen.page_mix.zero.unwrap().0;
    let pages = PAGES as f64;
    // Xen sends pages without content like all others.
    let once = |rules: Rules| match rules {
        Rules::Xen | Rules::XenLegacy => pages * 4104.0,
        _ => pages * ((1.0 - zero) * 4104.0 + zero * 9.0),
    };
    for model in [Model::Pages, Model::Hist, Model::Curve, Model::Avg] {
        for point in swept(&seen, model, &grid).points {
            let rules = point.settings.rules;
            assert_eq!(point.cost.converges_probability, 1.0, "{model} {rules}");
            let ratio = transferred(&point) / once(rules);
            assert!((0.99..1.01).contains(&ratio), "{model} {rules}: {ratio}");
            // Memory that waits for the stop at the end is still sent once.
            assert!(point.cost.passes.is_none_or(|p| p.p95 <= 4.0), "{point:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let seen = writer(48.0 * MIB, 40.0 * MIB);
    let grid = grid(
        &[Rules::Qemu, Rules::XenLegacy, Rules::PostCopy],
        &[200.0, 2000.0],
        &[100.0, 300.0],
        &[1.0],
        &[MEMORY],
    );
    for model in [Model::Auto, Model::Hist] {
        let alone = Sweep {
            deadline: Millis(60_000.0),
            ..asked(&seen, model, &grid)
        };
        let together = Sweep {
            threads: NonZeroUsize::new(2).unwrap(),
            ..alone.clone()
        };
        let other_seed = Sweep {
            seed: 2,
            ..alone.clone()
        };
        let answer = sweep(&alone).unwrap();
        assert_eq!(answer, sweep(&together).unwrap());
        assert_ne!(answer.points, sweep(&other_seed).unwrap().points);
    }
}

#[test]
fn a_point_is_what_a_forecast_says() {
    let seen = writer(48.0 * MIB, 40.0 * MIB);
    let grid = grid(&[Rules::Qemu], &[600.0], &[200.0], &[1.0], &[MEMORY]);
    let point = &swept(&seen, Model::Pages, &grid).points[0];
    let sweep = asked(&seen, Model::Pages, &grid);
    let mut assumptions = sweep.assumptions;
    assumptions.rules.max_bandwidth = None;
    let limits = MoveLimits {
        max_downtime_ms: Some(Millis(200.0)),
        max_bandwidth: None,
        deadline_ms: sweep.deadline,
    };
    let link = LinkSpeed::given(ByteRate::from_mbit_per_s(600.0));
    let said = forecast(&seen, &link, &limits, &assumptions, sweep.seed).unwrap();
    let cost = Cost {
        converges_probability: said.converges_probability,
        total_time_ms: said.total_time_ms,
        downtime_ms: said.downtime_ms,
        transferred_bytes: said.transferred_bytes,
        passes: said.passes,
    };
    assert!(cost.total_time_ms.is_some());
    assert_eq!(point.cost, cost);
}

#[test]
fn clean_memory_takes_its_time_and_no_more() {
    let seen = writer(32.0 * MIB, 5.0 * MIB);
    let sizes = [Bytes(MEMORY.0 / 2), MEMORY, Bytes(4 * MEMORY.0)];
    let grid = grid(&[Rules::Textbook], &[800.0], &[300.0], &[1.0], &sizes);
    let zero = seen.page_mix.zero.unwrap().0;
    let hot = 32.0 * MIB / 4096.0;
    // Zero pages lie in memory that is never written.
    let clean_zero = zero * PAGES as f64 / (PAGES as f64 - hot);
    for model in [Model::Pages, Model::Hist, Model::Curve, Model::Textbook] {
        let points = swept(&seen, model, &grid).points;
        let clean = |point: &Point| point.settings.memory.pages().0 as f64 - hot;
        for pair in points.windows(2) {
            let more = clean(&pair[1]) - clean(&pair[0]);
            let bytes = more * ((1.0 - clean_zero) * 4104.0 + clean_zero * 8.0);
            let found = transferred(&pair[1]) - transferred(&pair[0]);
            // A longer first pass finds more dirt: up to all that is written.
            assert!(
                found > 0.97 * bytes && found < bytes * 1.03 + 32.0 * MIB * 1.01,
                "{model}: {found} {bytes}"
            );
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let seen = writer(256.0 * MIB, 4000.0 * MIB);
    let small = grid(
        &[Rules::Qemu],
        &[1000.0],
        &[300.0],
        &[1.0],
        &[Bytes::from_mib(100)],
    );
    for model in [Model::Pages, Model::Hist, Model::Curve, Model::Avg] {
        let error = sweep(&asked(&seen, model, &small)).unwrap_err();
        assert!(matches!(error, SweepError::TooSmall { .. }), "{error}");
        assert!(error.to_string().contains("give at least 25"), "{error}");
    }
    let mut all = seen.clone();
    let mut history = PageHistory::new(all.page_history.unwrap().pages()[..64].to_vec());
    history.push(100_000, 0..64);
    all.page_history = Some(history);
    let large = grid(
        &[Rules::Qemu],
        &[1000.0],
        &[300.0],
        &[1.0],
        &[Bytes::from_mib(1024)],
    );
    let error = sweep(&asked(&all, Model::Pages, &large)).unwrap_err();
    assert!(matches!(error, SweepError::NothingClean { .. }), "{error}");
}

/// Every page of a small guest, 100 intervals: as a sample and as a trace.
fn recorded() -> (Observation, PageTrace) {
    let mut seen = writer(32.0 * MIB, 20.0 * MIB);
    let pages = 4096;
    let all = (0..pages).map(|index| SampledPage {
        index: Pages(index),
        weight: 1.0,
        zero: false,
    });
    let mut history = PageHistory::new(all.collect());
    let mut builder = PageTraceBuilder::new(Pages(pages)).unwrap();
    for look in 1..=100u64 {
        let dirty: Vec<u64> = (0..100).map(|i| (look * 97 + i * 13) % 1500).collect();
        let mut ordered = dirty.clone();
        ordered.sort_unstable();
        ordered.dedup();
        builder.push(look * 100_000, dirty).unwrap();
        history.push(look * 100_000, ordered.iter().map(|page| *page as usize));
    }
    seen.page_mix.total_pages = Pages(pages);
    seen.page_mix.zero = Some(vmferry_core::Ratio(0.0));
    seen.window_ms = Millis(10_000.0);
    seen.page_history = Some(history);
    (seen, builder.finish().unwrap())
}

#[test]
fn a_whole_trace_agrees_with_the_same_pages_as_a_sample() {
    let (seen, trace) = recorded();
    let memory = seen.page_mix.total_pages.bytes();
    let grid = grid(
        &[Rules::Qemu, Rules::Xen, Rules::XenLegacy],
        &[50.0, 200.0],
        &[300.0],
        &[1.0],
        &[memory],
    );
    for model in [Model::Pages, Model::Hist] {
        let sampled = swept(&seen, model, &grid);
        let whole = sweep(&Sweep {
            whole: Some(&trace),
            ..asked(&seen, model, &grid)
        })
        .unwrap();
        for (one, other) in sampled.points.iter().zip(&whole.points) {
            let (a, b) = (&one.cost, &other.cost);
            assert!((a.converges_probability - b.converges_probability).abs() <= 0.1);
            if a.converges_probability > 0.9 {
                let ratio = total(one) / total(other);
                assert!((0.95..1.05).contains(&ratio), "{model} {one:?} {other:?}");
            }
        }
    }
}

#[test]
fn the_boundary_parts_what_converges() {
    let seen = writer(96.0 * MIB, 40.0 * MIB);
    let rates = geometric(100.0, 2000.0, 5);
    let grid = grid(
        &[Rules::Textbook],
        &rates,
        &[50.0, 300.0],
        &[1.0],
        &[MEMORY],
    );
    let answer = swept(&seen, Model::Textbook, &grid);
    // Along the bandwidth for two limits, along the limit for five bandwidths.
    assert_eq!(answer.boundaries.len(), 7);
    let at = |settings: &Settings| {
        let one = Grid::new(
            &[settings.rules],
            &[settings.bandwidth],
            &[settings.max_downtime],
            &[settings.dirt],
            &[settings.memory],
        );
        swept(&seen, Model::Textbook, &one.unwrap()).points[0]
            .cost
            .converges_probability
    };
    let mut within = 0;
    for boundary in &answer.boundaries {
        let value = boundary.settings.get(boundary.along);
        let below = boundary.settings.with(boundary.along, value / 1.01);
        match boundary.place {
            Place::Within => {
                within += 1;
                assert!(at(&boundary.settings) >= BOUNDARY_PROBABILITY);
                assert!(at(&below) < BOUNDARY_PROBABILITY, "{boundary:?}");
            }
            Place::Everywhere => assert!(at(&boundary.settings) >= BOUNDARY_PROBABILITY),
            Place::Nowhere => assert!(at(&boundary.settings) < BOUNDARY_PROBABILITY),
        }
    }
    assert!(within >= 2, "{:#?}", answer.boundaries);
    // A longer pause needs no more bandwidth.
    let along: Vec<f64> = answer
        .boundaries
        .iter()
        .filter(|b| b.along == Axis::Bandwidth)
        .map(|b| b.settings.bandwidth.0)
        .collect();
    assert!(along[1] <= along[0], "{along:?}");
}

#[test]
fn what_cannot_be_swept_is_told() {
    let rates = mbit(&[100.0, 200.0]);
    let limits = [Millis(100.0), Millis(200.0)];
    let one = |rules: &[Rules], rates: &[ByteRate], dirt: &[f64], memory: &[Bytes]| {
        Grid::new(rules, rates, &limits, dirt, memory)
            .unwrap_err()
            .to_string()
    };
    let many: Vec<f64> = (1..5002).map(f64::from).collect();
    let texts = [
        one(&[], &rates, &[1.0], &[MEMORY]),
        one(&[Rules::Qemu], &[], &[1.0], &[MEMORY]),
        one(&[Rules::Qemu], &[ByteRate(0.0)], &[1.0], &[MEMORY]),
        one(&[Rules::Qemu], &rates, &[-1.0], &[MEMORY]),
        one(&[Rules::Qemu], &rates, &[1.0], &[Bytes(100)]),
        one(&[Rules::Qemu], &rates, &[0.5, 1.0], &[MEMORY]),
        one(&[Rules::Qemu], &rates[..1], &many, &[MEMORY]),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    no value of rules was given: give at least one
    no value of bandwidth was given: give at least one
    bandwidth of 0 makes no sense; give a positive number
    dirt of -1 makes no sense; give a factor from 0 up
    memory of 0 makes no sense; give at least one page
    bandwidth, max downtime, dirt are swept at once; sweep at most 2 beside the rules, and give one value of the others
    the sweep has 10002 points, more than 10000; give fewer --steps, or fewer values
    ");

    let seen = writer(64.0 * MIB, 30.0 * MIB);
    let grid = Grid::new(&[Rules::Xen], &rates, &limits, &[1.0], &[MEMORY]).unwrap();
    let error = sweep(&asked(&seen, Model::Textbook, &grid)).unwrap_err();
    assert!(error.to_string().contains("--model curve"), "{error}");
    let mut curve = seen.clone();
    curve.page_history = None;
    let error = sweep(&asked(&curve, Model::Hist, &grid)).unwrap_err();
    assert!(
        error.to_string().contains("which pages are dirtied when"),
        "{error}"
    );
    assert_eq!(swept(&curve, Model::Auto, &grid).model, Model::Curve);
    let nothing = Observation {
        dirty_curve: Default::default(),
        ..curve
    };
    assert!(sweep(&asked(&nothing, Model::Auto, &grid)).is_err());
}

#[test]
fn names_are_read_back() {
    for model in Model::ALL {
        assert_eq!(model.name().parse::<Model>().unwrap(), model);
    }
    for rules in Rules::ALL {
        assert_eq!(rules.name().parse::<Rules>().unwrap(), rules);
    }
    let message = "kvm".parse::<Rules>().unwrap_err();
    assert!(
        message.contains("qemu, xen, xen-legacy, textbook, post-copy"),
        "{message}"
    );
    let doubled = geometric(1.0, 8.0, 4);
    for (found, expected) in doubled.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((found - expected).abs() < 1e-9, "{doubled:?}");
    }
}
