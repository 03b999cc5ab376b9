//! The papers' predictors beside ours, over made-up guests.

mod guest;

use std::sync::Arc;

use guest::{PAGES, writer};
use proptest::prelude::*;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Bytes, Interval, LinkSpeed, Millis, Observation, Outcome, OutcomeStatus, PageHistory,
    Pages, PassRecord, Place, Ratio, SampledPage,
};
use vmferry_model::Assumptions;
use vmferry_model::assumptions::Factor;
use vmferry_model::predictor::{
    Auto, AutoFit, Avg, Base, CannotForecast, Case, ClosedForm, Correcting, Fit, Hist, Measured,
    Memory, NAMES, Past, Predicted, Predictor, Quantity, RefinedFit, RuleSet, Technique, Textbook,
    calibrated, named,
};

fn link(mbit: f64) -> LinkSpeed {
    LinkSpeed::given(ByteRate::from_mbit_per_s(mbit))
}

/// Nothing drawn: a link and a guest exactly as assumed.
fn exact() -> (LinkSpeed, Assumptions) {
    let none = Factor {
        median: 1.0,
        log_sd: 0.0,
    };
    let link = LinkSpeed {
        relative_sd: Ratio(0.0),
        ..link(400.0)
    };
    let assumptions = Assumptions {
        link_rate: none,
        dirt: none,
        ..Assumptions::tcg()
    };
    (link, assumptions)
}

fn limits() -> MoveLimits {
    MoveLimits {
        max_bandwidth: Some(ByteRate(1e9)),
        ..MoveLimits::default()
    }
}

/// A guest of which only a rate is known.
fn by_rate<'a>(memory: Bytes, rate: f64) -> Case<'a> {
    let (link, assumptions) = exact();
    Case {
        memory,
        zero: Some(Ratio(0.0)),
        dirty_rate: Some(ByteRate(rate)),
        observation: None,
        link,
        limits: limits(),
        assumptions,
        technique: Technique::PreCopy,
        workload: None,
        guest: Some("db"),
        route: Some("a-b"),
        at: None,
    }
}

fn observed(observation: &Observation) -> Case<'_> {
    Case::observed(observation, link(400.0), limits(), Assumptions::tcg())
}

fn median(said: &Predicted, quantity: Quantity) -> f64 {
    said.of(quantity).unwrap().p50
}

/// A guest that writes its pages in turn, `share` of its memory per second, in
/// no order of their addresses.
fn in_turn(share: f64) -> Observation {
    let mut observation = writer(0.0, 0.0);
    let count = 2048;
    let pages = (0..count).map(|i| SampledPage {
        index: Pages(i * PAGES / count),
        weight: (PAGES / count) as f64,
        zero: false,
    });
    let mut history = PageHistory::new(pages.collect());
    // The window is one turn, so that what comes after it is what came before.
    let looks = (10.0 / share).round() as u64;
    for look in 0..looks {
        let at = |look: u64| (look * count / looks) as usize;
        let turn = at(look)..at(look + 1);
        history.push((look + 1) * 100_000, turn.map(|i| i * 633 % count as usize));
    }
    observation.page_mix.zero = Some(Ratio(0.0));
    observation.page_history = Some(history);
    observation
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// `akoush2010`: on a guest that writes evenly, history tells no more than
    /// its average.
    #[test]
    fn avg_equals_hist_on_a_constant_history(share in 0.02f64..0.06) {
        let observation = in_turn(share);
        let (link, assumptions) = exact();
        let looks = (10.0 / share).round();
        let rate = (PAGES * 4096) as f64 / (looks / 10.0);
        let mut case = Case::observed(&observation, link, limits(), assumptions);
        case.dirty_rate = Some(ByteRate(rate));
        for (rules, within) in [
            (RuleSet::Textbook, 0.01),
            (RuleSet::Qemu, 0.03),
            (RuleSet::Xen, 0.03),
            (RuleSet::XenLegacy, 0.03),
        ] {
            let avg = Avg { rules }.forecast(&case, 1).unwrap();
            let hist = Hist { rules }.forecast(&case, 1).unwrap();
            prop_assert_eq!(avg.converges_probability, Some(1.0));
            prop_assert_eq!(hist.converges_probability, Some(1.0));
            for quantity in [Quantity::TotalTime, Quantity::Transferred] {
                let off = median(&avg, quantity) / median(&hist, quantity) - 1.0;
                prop_assert!(off.abs() < within, "{rules:?} {quantity}: {off}");
            }
        }
    }
}

proptest! {
    /// More dirt never ends sooner, nor with less traffic.
    #[test]
    fn more_dirt_never_shortens_a_textbook_total(
        mib in 64u64..65_536, rate in 0f64..1e8, more in 0f64..2e7, limit in 10f64..2000.0,
    ) {
        let total = |rate: f64, quantity| {
            let mut case = by_rate(Bytes::from_mib(mib), rate);
            case.limits.max_downtime_ms = Some(Millis(limit));
            case.limits.deadline_ms = Millis(1e9);
            let said = Textbook::default().forecast(&case, 3).unwrap();
            said.of(quantity).map_or(f64::INFINITY, |said| said.p50)
        };
        for quantity in [Quantity::TotalTime, Quantity::Transferred] {
            prop_assert!(total(rate + more, quantity) >= total(rate, quantity) * (1.0 - 1e-9));
        }
    }

    /// Whatever is known, models answer in order or say why not.
    #[test]
    fn every_model_answers_in_order_or_says_why_not(
        mib in 0u64..4096,
        zero in prop::option::of(-0.1f64..1.1),
        rate in prop::option::of(prop_oneof![Just(f64::NAN), Just(-1.0), 0f64..1e9]),
        mbit in prop_oneof![Just(0.0), Just(f64::NAN), 1f64..10_000.0],
        technique in prop::sample::select(Technique::ALL.to_vec()),
        deadline in prop_oneof![Just(0.0), 1f64..1e6],
    ) {
        let mut case = by_rate(Bytes::from_mib(mib), 0.0);
        (case.zero, case.dirty_rate) = (zero.map(Ratio), rate.map(ByteRate));
        (case.link, case.technique) = (link(mbit), technique);
        case.limits.deadline_ms = Millis(deadline);
        for name in NAMES {
            let Ok(model) = named(name, RuleSet::Qemu).unwrap().fit(&[]) else {
                continue;
            };
            let Ok(said) = model.forecast(&case, 1) else {
                continue;
            };
            prop_assert!(!said.model.is_empty() && !said.notes.is_empty());
            let p = said.converges_probability.unwrap();
            prop_assert!((0.0..=1.0).contains(&p), "{name}: {p}");
            for quantity in Quantity::ALL {
                if let Some(Interval { p5, p50, p95 }) = said.of(quantity) {
                    prop_assert!(p5.is_finite() && p5 >= 0.0 && p5 <= p50 && p50 <= p95, "{name}");
                }
            }
        }
    }
}

#[test]
fn models_answer_alike_for_the_same_seed_and_agree_on_an_easy_guest() {
    let observation = writer(20e6, 5e6);
    let case = observed(&observation);
    let total = |name: &str| {
        let model = named(name, RuleSet::Qemu).unwrap().fit(&[]).unwrap();
        let said = model.forecast(&case, 5).unwrap();
        assert_eq!(model.forecast(&case, 5).unwrap(), said, "{name}");
        (median(&said, Quantity::TotalTime), said)
    };
    let (pages, _) = total("pages");
    for name in [
        "auto",
        "curve",
        "hist",
        "avg",
        "base",
        "textbook",
        "closed-form",
    ] {
        let (found, said) = total(name);
        assert!(
            (found / pages - 1.0).abs() < 0.15,
            "{name}: {found} {pages}"
        );
        assert_eq!(said.model, if name == "auto" { "pages" } else { name });
    }
}

#[test]
fn what_a_model_cannot_know_is_an_error() {
    let observation = writer(20e6, 5e6);
    let unknown = Case {
        dirty_rate: None,
        ..by_rate(Bytes::from_mib(512), 0.0)
    };
    let compressed = Case {
        technique: Technique::Compression,
        ..observed(&observation)
    };
    let fast = by_rate(Bytes::from_mib(512), 1e9);
    let say = |model: &dyn Predictor, case: &Case<'_>| -> String {
        model.forecast(case, 1).unwrap_err().to_string()
    };
    let lines = [
        say(&Avg::default(), &unknown),
        say(&Hist::default(), &unknown),
        say(&Base::default(), &compressed),
        say(&Auto::default(), &compressed),
        say(&ClosedForm, &fast),
        RefinedFit::default().fit(&[]).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    guest db: the model `avg` needs a dirty rate, which is unknown; measure the guest for some seconds
    guest db: the model `hist` needs a history of which pages are dirtied when, which is unknown; record the guest for some seconds
    the model `base` does not describe compression; forecast it as pre-copy, or choose --model learned
    the model `auto` does not describe compression; forecast it as pre-copy, or choose --model learned
    guest db: it dirties 8.00 Gbit/s over a link of 383 Mbit/s: the closed form needs less dirt than bandwidth; choose --model pages or give more --bandwidth
    the model `refined` learns from earlier moves with a known guest and its dirty rate per pass: it needs 1, and there are 0; move more guests, or import a history
    ");
    assert!(matches!(
        Avg::default().forecast(&by_rate(Bytes(0), 1.0), 1),
        Err(CannotForecast::Model(_))
    ));
}

#[test]
fn auto_says_why() {
    let full = writer(20e6, 5e6);
    let mut curve = full.clone();
    curve.page_history = None;
    let rate = by_rate(Bytes::from_mib(512), 5e6);
    let post_copy = Case {
        technique: Technique::PostCopy,
        ..rate.clone()
    };
    let auto = AutoFit::default().fit(&[]).unwrap();
    let why = |case: &Case<'_>| auto.forecast(case, 1).unwrap().notes[0].clone();
    let mut lines = vec![
        why(&observed(&full)),
        why(&observed(&curve)),
        why(&rate),
        why(&post_copy),
    ];
    let past = Past {
        case: rate.clone(),
        said: None,
        measured: Measured {
            mean_dirty_rate: Some(ByteRate(6e6)),
            ..Measured::default()
        },
    };
    let moved = AutoFit::default().fit(&[past]).unwrap();
    lines.push(moved.forecast(&rate, 1).unwrap().notes[0].clone());
    insta::assert_snapshot!(lines.join("\n"), @"
    Model `pages`: it is known which pages the guest dirties when.
    Model `curve`: the guest's dirty curve is known, but not which pages it dirties.
    Model `textbook`: only a dirty rate is known.
    Model `post-copy`: the guest moves first, its memory follows.
    Model `refined`: only a dirty rate is known now, but the guest has moved before.
    ");
}

fn measured(total_ms: f64) -> Measured {
    Measured {
        converged: Some(true),
        total_time: Some(Millis(total_ms)),
        downtime: Some(Millis(300.0)),
        transferred: Some(Bytes((total_ms * 4e4) as u64)),
        ..Measured::default()
    }
}

/// Noise of repeats: 1.5 % standard deviation, the same every time.
fn noise(k: usize) -> f64 {
    let mut state = (k as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut sum = 0.0;
    for _ in 0..12 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        sum += (state >> 11) as f64 / (1u64 << 53) as f64;
    }
    0.015 * (sum - 6.0)
}

#[test]
fn three_moves_of_a_guest_teach_what_the_model_lacks() {
    let case = by_rate(Bytes::from_mib(1024), 10e6);
    let plain = Textbook { rate_only: true }.forecast(&case, 0).unwrap();
    let truth = median(&plain, Quantity::TotalTime) * 1.3;
    let mut errors = Vec::new();
    for trial in 0..40 {
        let past: Vec<Past<'_>> = (0..3)
            .map(|k| Past {
                case: case.clone(),
                said: None,
                measured: measured(truth * noise(trial * 3 + k).exp()),
            })
            .collect();
        let auto = AutoFit::default().fit(&past).unwrap();
        let said = auto.forecast(&case, 9).unwrap();
        errors.push((median(&said, Quantity::TotalTime) / truth - 1.0).abs());
        let taught = "of this guest taught.";
        assert!(said.notes.iter().any(|note| note.ends_with(taught)));
    }
    errors.sort_by(f64::total_cmp);
    assert!(errors[20] < 0.02, "{errors:?}");
}

#[test]
fn coverage_is_kept_while_a_guest_grows_and_the_change_is_told() {
    let case = by_rate(Bytes::from_mib(1024), 10e6);
    let plain = Textbook { rate_only: true }.forecast(&case, 0).unwrap();
    let usual = median(&plain, Quantity::TotalTime);
    let mut auto = Auto::default();
    let (mut covered, mut told) = (0, None);
    for k in 0..200 {
        // Twice as noisy and a quarter dearer from move 100 on.
        let cost = if k < 100 {
            noise(k)
        } else {
            0.25 + 2.0 * noise(k)
        };
        let cost = usual * cost.exp();
        let said = auto.forecast(&case, k as u64).unwrap();
        covered += u32::from(said.of(Quantity::TotalTime).unwrap().covers(&cost));
        if told.is_none() && said.notes.iter().any(|note| note.contains("has changed")) {
            told = Some(k);
        }
        let past = Past {
            case: case.clone(),
            said: None,
            measured: measured(cost),
        };
        auto = auto.after(&past, k as u64);
    }
    let coverage = f64::from(covered) / 200.0;
    assert!((0.85..=0.97).contains(&coverage), "{coverage}");
    assert!((101..106).contains(&told.unwrap()), "{told:?}");
    // What was learned is a value.
    let text = serde_json::to_string(&auto.memory).unwrap();
    let again = Auto {
        memory: serde_json::from_str::<Memory>(&text).unwrap(),
        ..Auto::default()
    };
    let [one, other] = [&auto, &again].map(|auto| auto.forecast(&case, 1).unwrap());
    assert_eq!(one.notes, other.notes);
    for quantity in Quantity::ALL {
        let [one, other] = [&one, &other].map(|said| said.of(quantity).unwrap());
        assert!((one.p50 / other.p50 - 1.0).abs() < 1e-9);
        assert!((one.p95 / other.p95 - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_model_shown_as_it_is_keeps_its_median() {
    let case = by_rate(Bytes::from_mib(1024), 10e6);
    let plain = ClosedForm.forecast(&case, 0).unwrap();
    let usual = median(&plain, Quantity::TotalTime);
    let past: Vec<Past<'_>> = (0..30)
        .map(|k| Past {
            case: case.clone(),
            said: None,
            measured: measured(usual * (0.1 + noise(k)).exp()),
        })
        .collect();
    let shown = calibrated("closed-form", RuleSet::Qemu)
        .unwrap()
        .fit(&past)
        .unwrap();
    let said = shown
        .forecast(&case, 0)
        .unwrap()
        .of(Quantity::TotalTime)
        .unwrap();
    assert_eq!(said.p50, usual);
    assert!(said.p95 > usual * 1.1 && said.p95 < usual * 1.2, "{said:?}");
    let corrected = Correcting {
        model: Arc::new(ClosedForm),
        intervals_only: false,
    };
    let said = corrected.fit(&past).unwrap().forecast(&case, 0).unwrap();
    assert!((median(&said, Quantity::TotalTime) / usual - 0.1f64.exp()).abs() < 0.02);
}

#[test]
fn the_mean_dirty_rate_of_a_move_weighs_passes_by_their_length() {
    let pass = |pass, at_ms, pages| PassRecord {
        pass,
        at_ms: Millis(at_ms),
        remaining_bytes: None,
        transferred_bytes: None,
        dirty_pages_per_s: pages,
        expected_downtime_ms: None,
    };
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut outcome = Outcome::unseen(
        OutcomeStatus::Completed,
        Place::RunningAtDestination,
        String::new(),
        now,
        now,
    );
    outcome.total_time_ms = Some(Millis(5000.0));
    outcome.pass_list = vec![
        pass(1, 0.0, None),
        pass(2, 3000.0, Some(1000)),
        pass(3, 4000.0, Some(5000)),
    ];
    let found = Measured::of_outcome(&outcome, Millis(120_000.0));
    // 3 s at 1000 pages/s and 1 s at 5000 (liu2011 eq. 11).
    assert_eq!(found.mean_dirty_rate, Some(ByteRate(2000.0 * 4096.0)));
    assert_eq!(found.converged, Some(true));
    assert_eq!(found.ended_at, Some(outcome.ended_at));
    // Slower than its deadline: the verdict is no, but what it cost is known.
    let slow = Measured::of_outcome(&outcome, Millis(4000.0));
    assert_eq!((slow.converged, slow.is_complete()), (Some(false), true));
    outcome.status = OutcomeStatus::Cancelled;
    assert!(!Measured::of_outcome(&outcome, Millis(4000.0)).is_complete());
    assert_eq!(
        Measured::of_outcome(&outcome, Millis(120_000.0)).converged,
        None
    );
    outcome.ended_at = jiff::Timestamp::from_second(130).unwrap();
    assert_eq!(
        Measured::of_outcome(&outcome, Millis(120_000.0)).converged,
        Some(false)
    );
}
