//! Every controller over the same recorded guests, by QEMU's rules.

mod guest;

use std::time::Duration;

use guest::{Set, observed, recorded};
use vmferry_control::throttle::trial::{Trial, TrialEnd, TrialOutcome};
use vmferry_control::throttle::{
    Action, AutoConverge, Controller, Courtesy, Curve, Deadline, Governor, Jin, Look,
    ObservedOutlook, Off, Outlook, Policy, Preset, Promises, Reason, Wish,
};
use vmferry_core::{ByteRate, Interval, LinkSpeed, PageHistory, Ratio};
use vmferry_model::Assumptions;
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::Recording;
use vmferry_precopy::qemu::Rules;
use vmferry_precopy::tuning::AdaptiveRate;

/// Bytes of stream per second: 50 MB/s.
const LINK: ByteRate = ByteRate(50e6);

fn link() -> LinkSpeed {
    LinkSpeed {
        efficiency: Ratio(1.0),
        ..LinkSpeed::given(LINK)
    }
}

fn outlook(history: &PageHistory) -> ObservedOutlook {
    let assumptions = Assumptions {
        rules: Rules {
            max_bandwidth: None,
            ..Rules::default()
        },
        ..Assumptions::tcg()
    };
    let horizon = Duration::from_secs(240);
    ObservedOutlook::new(&observed(history), &link(), &assumptions, horizon).unwrap()
}

fn run(
    history: &PageHistory,
    trial: &Trial,
    controller: impl Controller,
    promises: Promises,
    outside: Duration,
) -> TrialOutcome {
    let recording = Recording::new(history).unwrap();
    let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
    trial.run(dirt, &mut Governor::new(controller, promises, outside))
}

fn trial() -> Trial {
    let costs = HostCosts {
        destination_start: Duration::from_millis(3),
        ..HostCosts::default()
    };
    Trial {
        costs,
        ..Trial::over(LINK)
    }
}

fn by_curve(
    history: &PageHistory,
    trial: &Trial,
    promises: Promises,
    preset: Preset,
) -> TrialOutcome {
    under(history, trial, promises, preset.policy())
}

fn under(history: &PageHistory, trial: &Trial, promises: Promises, policy: Policy) -> TrialOutcome {
    let outlook = outlook(history);
    let outside = outlook.outside();
    let curve = Curve::new(outlook, promises, policy);
    run(history, trial, curve, promises, outside)
}

fn by(history: &PageHistory, controller: impl Controller, promises: Promises) -> TrialOutcome {
    let outside = outlook(history).outside();
    run(history, &trial(), controller, promises, outside)
}

fn promises(max_downtime_ms: u64) -> Promises {
    Promises {
        max_downtime: Duration::from_millis(max_downtime_ms),
        ..Promises::default()
    }
}

fn caps(outcome: &TrialOutcome) -> Vec<f64> {
    let cap = |(_, action): &(Duration, Action)| match action {
        Action::CapCpu { share } => Some((share.0 * 100.0).round()),
        _ => None,
    };
    outcome.actions.iter().filter_map(cap).collect()
}

/// 200 MB rewritten at 2 GB/s: what was measured.
fn rewriter() -> PageHistory {
    recorded(&[Set::steady(200e6, 2e9)])
}

/// As measured: the cap goes down by the expectant ratio each round, the guest
/// still writes its whole set, and the floor is reached without an end.
#[test]
fn jin_walks_down_to_its_floor_and_never_converges() {
    let outcome = by(&rewriter(), Jin::new(Ratio(0.8)), promises(300));
    assert_eq!(outcome.end, TrialEnd::Forced);
    let caps = caps(&outcome);
    assert!(caps.windows(2).all(|pair| pair[1] < pair[0]), "{caps:?}");
    assert_eq!(caps.last(), Some(&20.0), "{caps:?}");
    assert!(outcome.slowdown() > Ratio(0.6), "{:?}", outcome.slowdown());
}

#[test]
fn curve_finds_the_right_cap_or_the_best_alternative() {
    let history = rewriter();
    let trial = self::trial();
    // A guest that may be held to a hundredth: 2 GB/s have to become less than 50 MB/s.
    let urgent = by_curve(&history, &trial, promises(300), Preset::Urgent);
    assert_eq!(urgent.end, TrialEnd::SwitchedOver, "{urgent:?}");
    assert!(urgent.downtime <= Some(Duration::from_millis(300)));
    assert!(
        urgent.total_time < Duration::from_secs(40),
        "{:?}",
        urgent.total_time
    );
    // A pause as long as the set takes to send costs less than any cap.
    let paused = by_curve(&history, &trial, promises(5000), Preset::Balanced);
    assert_eq!(paused.end, TrialEnd::SwitchedOver);
    assert!(caps(&paused).is_empty(), "{:?}", caps(&paused));
    assert!(paused.lost < urgent.lost);
    // Held to a fifth it cannot converge: no cap at all then, and an early end.
    let starved = by_curve(&history, &trial, promises(300), Preset::Balanced);
    assert!(
        matches!(starved.end, TrialEnd::GaveUp(Reason::NotConverging { .. })),
        "{:?}",
        starved.end
    );
    assert!(caps(&starved).is_empty(), "{:?}", caps(&starved));
    assert!(starved.total_time < Duration::from_secs(35));
    let allowed = Promises {
        allow_postcopy: true,
        ..promises(300)
    };
    let post = by_curve(&history, &trial, allowed, Preset::Balanced);
    assert_eq!(post.end, TrialEnd::PostCopy);
    assert!(post.downtime < Some(Duration::from_millis(300)));
    assert!(post.total_time < Duration::from_secs(25));
}

/// Guests of every kind: at rest, just above the barrier, large and slow, hot
/// and cold, in phases.
fn guests() -> Vec<(&'static str, PageHistory)> {
    let sets: [(&str, &[Set]); 6] = [
        ("small", &[Set::steady(10e6, 20e6)]),
        ("barrier", &[Set::steady(150e6, 60e6)]),
        ("fast", &[Set::steady(60e6, 200e6)]),
        ("large", &[Set::steady(400e6, 90e6)]),
        (
            "hot and cold",
            &[Set::steady(20e6, 150e6), Set::steady(300e6, 15e6)],
        ),
        (
            "phases",
            &[
                Set::steady(10e6, 10e6),
                Set {
                    size: 150e6,
                    rate: 150e6,
                    on: 4.0,
                    of: 10.0,
                },
            ],
        ),
    ];
    sets.into_iter()
        .map(|(name, sets)| (name, recorded(sets)))
        .collect()
}

#[test]
fn never_more_work_lost_than_jin_at_the_same_limit() {
    // Time is worth as good as nothing here: it is about the guest's work.
    let policy = Policy {
        least_share: Ratio(0.05),
        ..Preset::Gentle.policy()
    };
    for (name, history) in guests() {
        let curve = under(&history, &trial(), promises(300), policy);
        assert_eq!(curve.end, TrialEnd::SwitchedOver, "{name}");
        assert!(
            curve.downtime <= Some(Duration::from_millis(300)),
            "{name}: {:?}",
            curve.downtime
        );
        for expectant in [0.6, 0.7, 0.8, 0.9] {
            let jin = by(&history, Jin::new(Ratio(expectant)), promises(300));
            if jin.end == TrialEnd::SwitchedOver && jin.downtime >= curve.downtime {
                assert!(
                    curve.lost <= jin.lost + Duration::from_millis(50),
                    "{name}, C {expectant}: {:?} against {:?}",
                    curve.lost,
                    jin.lost
                );
            }
        }
    }
}

/// Where QEMU's own throttle bites, ours takes half the time and costs half the
/// work: medians over the guests.
#[test]
fn auto_converge_loses_more_and_takes_longer() {
    let mut guests = guests();
    guests.push(("faster", recorded(&[Set::steady(200e6, 300e6)])));
    let (mut times, mut losses) = (Vec::new(), Vec::new());
    for (name, history) in guests {
        let auto = by(&history, AutoConverge::default(), promises(300));
        let curve = by_curve(&history, &trial(), promises(300), Preset::Urgent);
        assert_eq!(curve.end, TrialEnd::SwitchedOver, "{name}");
        assert_eq!(auto.end, TrialEnd::SwitchedOver, "{name}");
        if let Some(first) = caps(&auto).first() {
            assert_eq!(*first, 80.0, "{name}");
            times.push(curve.total_time.as_secs_f64() / auto.total_time.as_secs_f64());
            losses.push(curve.lost.as_secs_f64() / auto.lost.as_secs_f64());
        }
    }
    let median = |ratios: &[f64]| Interval::of_samples(ratios).map(|ratios| ratios.p50);
    assert!(times.len() >= 5, "{times:?}");
    assert!(median(&times) <= Some(0.5), "{times:?}");
    assert!(median(&losses) <= Some(0.5), "{losses:?}");
}

/// A cap that writes do not care about is noticed and not insisted on.
#[test]
fn dirt_that_does_not_answer_is_not_throttled_for_long() {
    let history = recorded(&[Set::steady(150e6, 100e6)]);
    let stubborn = Trial {
        elasticity: 0.0,
        ..trial()
    };
    let curve = by_curve(&history, &stubborn, promises(300), Preset::Urgent);
    let jin_outside = outlook(&history).outside();
    let jin = run(
        &history,
        &stubborn,
        Jin::new(Ratio(0.8)),
        promises(300),
        jin_outside,
    );
    assert!(matches!(curve.end, TrialEnd::GaveUp(_)), "{:?}", curve.end);
    assert_eq!(jin.end, TrialEnd::Forced);
    assert!(curve.lost < jin.lost / 3, "{:?} {:?}", curve.lost, jin.lost);
}

#[test]
fn a_promise_of_little_slowdown_is_kept_or_the_move_given_up() {
    for (name, history) in guests() {
        for most in [0.02, 0.1, 0.3] {
            let promises = Promises {
                max_slowdown: Some(Ratio(most)),
                ..promises(300)
            };
            let outcome = by_curve(&history, &trial(), promises, Preset::Urgent);
            match outcome.end {
                TrialEnd::SwitchedOver => assert!(
                    outcome.slowdown().0 <= most * 1.1 + 0.005,
                    "{name}: {:?} of {most}",
                    outcome.slowdown()
                ),
                TrialEnd::GaveUp(_) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_was_set_is_set_back() {
    for (name, history) in guests() {
        let outcome = by_curve(&history, &trial(), promises(300), Preset::Urgent);
        let capped = outcome
            .actions
            .iter()
            .fold(false, |capped, (_, action)| match action {
                Action::CapCpu { .. } => true,
                Action::LiftCap => false,
                _ => capped,
            });
        assert!(!capped, "{name}");
        let last = outcome.actions.last().map(|(_, action)| *action);
        assert_eq!(last, Some(Action::RestoreDowntimeLimit), "{name}");
    }
}

#[test]
fn deadlines_are_met_by_every_kind_of_guest() {
    for (name, history) in guests() {
        for deadline_s in [25, 40, 70] {
            let promises = Promises {
                deadline: Duration::from_secs(deadline_s),
                ..promises(300)
            };
            let outlook = outlook(&history);
            let outside = outlook.outside();
            let controller = Deadline::new(outlook, promises, Preset::Urgent.policy());
            let trial = self::trial();
            let outcome = run(&history, &trial, controller, promises, outside);
            let end = outcome.total_time.as_secs_f64() / deadline_s as f64;
            assert_eq!(
                outcome.end,
                TrialEnd::SwitchedOver,
                "{name} {deadline_s}: {end}"
            );
            // A guest that calms down lets QEMU switch over before.
            let earliest = if name == "phases" { 0.0 } else { 0.92 };
            assert!(
                (earliest..=1.05).contains(&end),
                "{name} {deadline_s}: {end}"
            );
        }
    }
}

/// QEMU overruns its limit by a write in every window: the loop takes that out.
#[test]
fn courtesy_keeps_the_rate_it_wants() {
    let history = recorded(&[Set::steady(100e6, 12e6)]);
    let mb = |mb: f64| ByteRate(mb * 1e6);
    let rule = AdaptiveRate::new(mb(4.0), mb(8.0), mb(30.0));
    let outside = Duration::ZERO;
    let outcome = run(
        &history,
        &Trial {
            forced_after: Duration::from_secs(200),
            ..trial()
        },
        Courtesy::new(rule),
        promises(300),
        outside,
    );
    assert_eq!(outcome.end, TrialEnd::SwitchedOver);
    let first = &outcome.passes[0];
    let length = (outcome.passes[1].start - first.start).as_secs_f64();
    let achieved = first.sent.0 as f64 / length;
    assert!((achieved / 8e6 - 1.0).abs() < 0.05, "{achieved}");
    let open = run(
        &history,
        &Trial {
            rules: Rules {
                max_bandwidth: Some(mb(8.0)),
                ..Rules::default()
            },
            ..trial()
        },
        Off,
        promises(300),
        outside,
    );
    let length = (open.passes[1].start - open.passes[0].start).as_secs_f64();
    let without = open.passes[0].sent.0 as f64 / length;
    assert!(without / 8e6 > 1.05, "the limit alone gives {without}");
}

/// A link that becomes slower, and a guest that calms down.
#[test]
fn plans_follow_what_changes() {
    let history = recorded(&[Set::steady(100e6, 40e6)]);
    let slower = Trial {
        link_changes: vec![(Duration::from_secs(5), ByteRate(30e6))],
        ..trial()
    };
    let outcome = by_curve(&history, &slower, promises(500), Preset::Urgent);
    assert_eq!(outcome.end, TrialEnd::SwitchedOver);
    assert!(
        outcome.downtime <= Some(Duration::from_millis(500)),
        "{:?}",
        outcome.downtime
    );
}

/// A guest and promises drawn at random.
struct Draw {
    history: PageHistory,
    promises: Promises,
    conditions: Trial,
    preset: Preset,
}

fn draws(count: usize) -> impl Iterator<Item = Draw> {
    let mut state = 11u64;
    let mut between = move |low: f64, high: f64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((state >> 11) as f64 / (1u64 << 53) as f64)
    };
    (0..count).map(move |number| {
        let mut set = |size: f64| Set {
            size: between(2e6, size),
            rate: 10f64.powf(between(6.0, 9.0)),
            on: between(0.5, 4.0),
            of: between(0.5, 6.0),
        };
        Draw {
            history: recorded(&[set(40e6), set(200e6)]),
            promises: Promises {
                max_downtime: Duration::from_secs_f64(between(0.2, 2.0)),
                deadline: Duration::from_secs_f64(between(14.0, 60.0)),
                max_slowdown: (number % 2 == 0).then(|| Ratio(between(0.05, 0.5))),
                ..Promises::default()
            },
            conditions: Trial {
                elasticity: between(0.6, 1.1),
                ..trial()
            },
            preset: Preset::ALL[number % 3],
        }
    })
}

/// How far a move that ended by itself went towards the limit of each promise.
fn used(outcome: &TrialOutcome, promises: &Promises) -> f64 {
    let downtime = outcome.downtime.unwrap_or_default().as_secs_f64();
    let slowdown = promises
        .max_slowdown
        .map(|most| outcome.slowdown().0 / most.0);
    (downtime / promises.max_downtime.as_secs_f64())
        .max(outcome.total_time.as_secs_f64() / promises.deadline.as_secs_f64())
        .max(slowdown.unwrap_or(0.0))
}

/// One cap from one pass on, whatever happens.
struct Fixed {
    share: Ratio,
    from_pass: u64,
}

impl Controller for Fixed {
    fn decide(&mut self, look: &Look, _: Duration) -> Wish {
        Wish {
            share: if look.pass >= self.from_pass {
                self.share
            } else {
                Ratio(1.0)
            },
            ..Wish::default()
        }
    }
}

/// Whether an offline search over the recorded guest finds a cap that keeps the
/// promises.
fn feasible(draw: &Draw, outside: Duration) -> bool {
    let least = draw.preset.policy().least_share;
    let shares = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01].map(Ratio);
    let allowed = shares.into_iter().filter(|share| *share >= least);
    let fixed =
        allowed.flat_map(|share| [1, 2, 3, 5, 9].map(|from_pass| Fixed { share, from_pass }));
    fixed.into_iter().any(|fixed| {
        let outcome = run(
            &draw.history,
            &draw.conditions,
            fixed,
            draw.promises,
            outside,
        );
        outcome.end == TrialEnd::SwitchedOver && used(&outcome, &draw.promises) <= 1.0
    })
}

/// A hundred guests drawn at random under promises drawn at random: 97 in 100 of
/// those that moved kept every promise, and nine in ten of those for which an
/// offline search finds a way were moved.
#[test]
fn promises_are_kept_whatever_the_guest() {
    let (mut moved, mut kept, mut missed_chances) = (0.0, 0.0, 0.0);
    for (number, draw) in draws(100).enumerate() {
        let promises = draw.promises;
        let outcome = by_curve(&draw.history, &draw.conditions, promises, draw.preset);
        let least = draw.preset.policy().least_share.0 * 100.0;
        assert!(caps(&outcome).iter().all(|cap| *cap >= least), "{number}");
        if outcome.end == TrialEnd::SwitchedOver {
            moved += 1.0;
            kept += f64::from(u8::from(used(&outcome, &promises) <= 1.0));
            continue;
        }
        assert!(matches!(outcome.end, TrialEnd::GaveUp(_)), "{number}");
        let most = promises.max_slowdown.map_or(1.0, |most| most.0);
        assert!(outcome.slowdown().0 <= 1.1 * most, "{number}");
        let outside = outlook(&draw.history).outside();
        missed_chances += f64::from(u8::from(feasible(&draw, outside)));
    }
    assert!(moved >= 40.0, "{moved}");
    assert!(kept / moved >= 0.97, "{kept} of {moved}");
    assert!(moved / (moved + missed_chances) >= 0.9, "{missed_chances}");
}

/// Half a hundred guests drawn at random: all moved, none more than 5 % late,
/// and nine in ten within 5 % of the time asked for.
#[test]
fn deadlines_are_met_whatever_the_guest() {
    let mut within = 0;
    for (number, draw) in draws(50).enumerate() {
        let promises = Promises {
            max_slowdown: None,
            ..draw.promises
        };
        let outlook = outlook(&draw.history);
        let outside = outlook.outside();
        let controller = Deadline::new(outlook, promises, Preset::Urgent.policy());
        let (history, conditions) = (&draw.history, &draw.conditions);
        let outcome = run(history, conditions, controller, promises, outside);
        let end = outcome.total_time.as_secs_f64() / promises.deadline.as_secs_f64();
        assert_eq!(outcome.end, TrialEnd::SwitchedOver, "{number}");
        assert!(end <= 1.05, "{number}: {end}");
        assert!(outcome.downtime <= Some(promises.max_downtime), "{number}");
        within += u32::from(end >= 0.95);
    }
    assert!(within >= 45, "{within}");
}

#[test]
fn zz_table() {
    for (name, history) in guests() {
        let p = promises(300);
        let show = |o: TrialOutcome| {
            format!(
                "{:.1} s, {:.0} ms, {:.1} s",
                o.total_time.as_secs_f64(),
                o.downtime.unwrap_or_default().as_secs_f64() * 1e3,
                o.lost.as_secs_f64()
            )
        };
        eprintln!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            show(by(&history, Off, p)),
            show(by(&history, AutoConverge::default(), p)),
            show(by(&history, Jin::new(Ratio(0.8)), p)),
            show(by_curve(&history, &trial(), p, Preset::Gentle)),
            show(by_curve(&history, &trial(), p, Preset::Balanced)),
            show(by_curve(&history, &trial(), p, Preset::Urgent))
        );
    }
}
