//! Guests and promises drawn at random.

use std::time::Duration;

use vmferry_control::throttle::trial::{Disturbance, Trial, TrialEnd, TrialOutcome};
use vmferry_control::throttle::{
    Controller, Deadline, Look, Outlook, Policy, Preset, Promises, Wish,
};
use vmferry_core::{PageHistory, Ratio};

use crate::guest::{Set, recorded};
use crate::moves::{outlook, run, trial};

/// A guest and promises drawn at random.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    pub(crate) history: PageHistory,
    pub(crate) promises: Promises,
    pub(crate) conditions: Trial,
    pub(crate) preset: Preset,
}

/// The draw that tests use. Constants were chosen on it, see ADR 8 for others.
pub(crate) const FIRST_DRAW: u64 = 11;

/// The same seed draws the same ones.
pub(crate) fn draws(seed: u64, count: usize) -> impl Iterator<Item = Draw> {
    let mut state = seed;
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

/// The draws as a live move would meet them.
pub(crate) fn disturbed(seed: u64, count: usize) -> impl Iterator<Item = Draw> {
    draws(seed, count)
        .zip(1u64..)
        .map(move |(draw, number)| Draw {
            conditions: Trial {
                disturbance: Some(Disturbance::live(seed * 1000 + number)),
                ..draw.conditions
            },
            ..draw
        })
}

/// How far a move that ended by itself went towards the limit of each promise.
pub(crate) fn used(outcome: &TrialOutcome, promises: &Promises) -> f64 {
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
pub(crate) fn feasible(draw: &Draw, outside: Duration) -> bool {
    let least = Policy::from(draw.preset).least_share;
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

/// Moves a draw under a controller of deadlines, whatever it costs the guest.
pub(crate) fn by_deadline(draw: &Draw) -> (Promises, TrialOutcome) {
    let promises = Promises {
        max_slowdown: None,
        ..draw.promises
    };
    let outlook = outlook(&draw.history);
    let outside = outlook.outside();
    let controller = Deadline::new(outlook, promises, Policy::from(Preset::Urgent));
    let outcome = run(
        &draw.history,
        &draw.conditions,
        controller,
        promises,
        outside,
    );
    (promises, outcome)
}
