//! Promises judged before the move, over recorded guests.

use vmferry_control::throttle::{Preset, promise_forecast};
use vmferry_core::{
    ByteRate, Change, LinkSpeed, Millis, MovedBy, Observation, Promise, PromiseForecast, Ratio,
    Throttle,
};
use vmferry_model::Assumptions;
use vmferry_precopy::qemu::Rules;

use crate::guest::{Set, observed, recorded};
use crate::moves::link;

fn guest(sets: &[Set]) -> Observation {
    let history = recorded(sets);
    Observation {
        page_history: Some(history.clone()),
        ..observed(&history)
    }
}

fn assumptions() -> Assumptions {
    Assumptions {
        rules: Rules {
            max_bandwidth: None,
            ..Rules::default()
        },
        ..Assumptions::tcg()
    }
}

fn judged(guest: &Observation, link: &LinkSpeed, promise: &Promise) -> PromiseForecast {
    promise_forecast(guest, link, &assumptions(), promise, 1).expect("a guest that was observed")
}

/// A pause of at most that, and a throttle.
fn pause(ms: f64, throttle: Throttle) -> Promise {
    Promise {
        max_downtime_ms: Some(Millis(ms)),
        throttle,
        ..Promise::default()
    }
}

#[test]
fn a_guest_that_converges_is_left_alone() {
    let guest = guest(&[Set::steady(10e6, 20e6)]);
    for throttle in [Throttle::Off, Throttle::Auto] {
        let judged = judged(&guest, &link(), &pause(500.0, throttle));
        assert!(judged.accepted, "{judged:?}");
        assert_eq!(judged.by, MovedBy::Itself);
        assert_eq!((judged.least_cpu_share, judged.throttled_ms), (None, None));
        assert!(judged.relaxations.is_empty());
        let downtime = judged.downtime_ms.expect("it moves");
        assert!(downtime.p95 <= Millis(500.0), "{downtime:?}");
    }
}

#[test]
fn a_busy_guest_is_moved_under_a_cap_or_not_at_all() {
    let guest = guest(&[Set::steady(150e6, 60e6)]);
    let capped = judged(&guest, &link(), &pause(300.0, Throttle::Auto));
    assert!(capped.accepted, "{capped:?}");
    assert_eq!(
        (capped.by, capped.throttle),
        (MovedBy::Throttled, Throttle::Curve)
    );
    let share = capped.least_cpu_share.expect("a cap");
    assert!(share >= Ratio(0.2) && share < Ratio(1.0), "{share:?}");
    assert!(capped.throttled_ms.is_some_and(|time| time.0 > 500.0));

    let left = judged(&guest, &link(), &pause(300.0, Throttle::Off));
    assert!(!left.accepted && left.kept_probability < 0.2, "{left:?}");
    assert_eq!(left.by, MovedBy::GivenUp);
    assert!(left.reason.is_some());
    let auto = Change::Throttle {
        throttle: Throttle::Auto,
    };
    let found = left.relaxations.iter().find(|found| found.change == auto);
    assert!(found.is_some(), "{:?}", left.relaxations);
    every_relaxation_helps(&guest, &pause(300.0, Throttle::Off), &left);

    // No cap at all costs less work than one that half a percent of it would pay for.
    let tight = Promise {
        max_slowdown: Some(Ratio(0.005)),
        ..pause(300.0, Throttle::Auto)
    };
    let tight_judged = judged(&guest, &link(), &tight);
    assert!(!tight_judged.accepted, "{tight_judged:?}");
    every_relaxation_helps(&guest, &tight, &tight_judged);
}

/// Every relaxation, applied, is accepted, and says then what it said before.
fn every_relaxation_helps(guest: &Observation, promise: &Promise, refused: &PromiseForecast) {
    for found in &refused.relaxations {
        let link = match found.change {
            Change::Link { bandwidth } => LinkSpeed {
                wire_rate: bandwidth,
                ..link()
            },
            _ => link(),
        };
        let relaxed = judged(guest, &link, &found.change.applied(promise));
        assert!(relaxed.accepted, "{found:?}: {relaxed:?}");
        let close = (relaxed.kept_probability - found.kept_probability).abs() < 0.06;
        assert!(close, "{found:?}: {relaxed:?}");
    }
}

/// 200 MB rewritten at 2 GB/s.
#[test]
fn an_impossible_promise_is_refused_with_what_would_help() {
    let guest = guest(&[Set::steady(200e6, 2e9)]);
    let promise = pause(300.0, Throttle::Auto);
    let refused = judged(&guest, &link(), &promise);
    assert_eq!((refused.accepted, refused.by), (false, MovedBy::GivenUp));
    assert_eq!(refused.kept_probability, 0.0);
    assert!(refused.total_time_ms.is_none());
    let reason = refused.reason.as_deref().unwrap_or_default();
    assert!(
        reason.contains("writes too fast even at 20.0 %"),
        "{reason}"
    );
    every_relaxation_helps(&guest, &promise, &refused);
    let found = |wanted: fn(&Change) -> bool| {
        let mut all = refused.relaxations.iter();
        all.find(|found| wanted(&found.change))
            .map(|found| found.change)
    };
    let longer = found(|change| matches!(change, Change::MaxDowntime { .. }));
    let Some(Change::MaxDowntime { max_downtime_ms }) = longer else {
        panic!("{:?}", refused.relaxations);
    };
    // The set takes 4 s over the link at full speed; at a fifth it still takes nearly all.
    assert!(
        (2500.0..5500.0).contains(&max_downtime_ms.0),
        "{max_downtime_ms}"
    );
    assert!(found(|change| *change == Change::AllowPostcopy).is_some());
    assert!(found(|change| matches!(change, Change::Link { .. })).is_some());
    assert!(found(|change| matches!(change, Change::Deadline { .. })).is_none());
}

/// 200 MB written at 300 MB/s: a fifth of its speed is too much, a tenth is not.
#[test]
fn a_promise_beyond_its_policy_is_possible_under_another() {
    let guest = guest(&[Set::steady(200e6, 300e6)]);
    let promise = pause(300.0, Throttle::Curve);
    let refused = judged(&guest, &link(), &promise);
    assert!(!refused.accepted, "{refused:?}");
    let urgent = Change::Policy {
        policy: Preset::Urgent,
    };
    let found = refused.relaxations.iter();
    assert_eq!(found.filter(|found| found.change == urgent).count(), 1);
    let urgent = judged(&guest, &link(), &urgent.applied(&promise));
    assert_eq!((urgent.accepted, urgent.by), (true, MovedBy::Throttled));
    assert!(urgent.least_cpu_share < Some(Ratio(0.2)), "{urgent:?}");
}

/// Nobody promised a pause: the hypervisor's own limit is as good as ever.
#[test]
fn what_was_not_promised_stays_as_the_hypervisor_has_it() {
    let guest = guest(&[Set::steady(150e6, 60e6)]);
    let promise = Promise {
        deadline_ms: Some(Millis(60_000.0)),
        ..Promise::default()
    };
    let under = |limit_ms| {
        let mut assumptions = assumptions();
        assumptions.rules.downtime_limit = std::time::Duration::from_millis(limit_ms);
        promise_forecast(&guest, &link(), &assumptions, &promise, 1).expect("observed")
    };
    let (short, long) = (under(300), under(3000));
    assert_eq!((short.accepted, long.accepted), (false, true), "{long:?}");
    assert!(
        long.downtime_ms
            .is_some_and(|pause| pause.p50 > Millis(400.0)),
        "{long:?}"
    );
}

#[test]
fn more_is_never_worse() {
    let guest = guest(&[Set::steady(150e6, 60e6)]);
    let kept = |promise: &Promise| judged(&guest, &link(), promise).kept_probability;
    let grows = |kept: &[f64]| kept.windows(2).all(|pair| pair[1] >= pair[0] - 0.051);
    let pauses: Vec<f64> = [100.0, 300.0, 1000.0, 3000.0]
        .map(|ms| kept(&pause(ms, Throttle::Off)))
        .to_vec();
    assert!(
        grows(&pauses) && pauses[0] == 0.0 && pauses[3] == 1.0,
        "{pauses:?}"
    );
    let slowdowns: Vec<f64> = [0.01, 0.1, 0.5]
        .map(|most| {
            kept(&Promise {
                max_slowdown: Some(Ratio(most)),
                ..pause(300.0, Throttle::Auto)
            })
        })
        .to_vec();
    assert!(grows(&slowdowns) && slowdowns[2] >= 0.95, "{slowdowns:?}");
    let deadlines: Vec<f64> = [8_000.0, 20_000.0, 60_000.0]
        .map(|ms| {
            kept(&Promise {
                deadline_ms: Some(Millis(ms)),
                ..pause(300.0, Throttle::Auto)
            })
        })
        .to_vec();
    assert!(grows(&deadlines) && deadlines[0] == 0.0, "{deadlines:?}");
}

#[test]
fn what_holds_the_stream_back_is_told() {
    let guest = guest(&[Set::steady(60e6, 30e6)]);
    let promise = Promise {
        max_bandwidth: Some(ByteRate(10e6)),
        ..pause(500.0, Throttle::Off)
    };
    let refused = judged(&guest, &link(), &promise);
    assert!(!refused.accepted, "{refused:?}");
    let raised = refused.relaxations.iter();
    let raised = raised
        .filter(|found| matches!(found.change, Change::MaxBandwidth { .. }))
        .count();
    assert_eq!(raised, 1, "{:?}", refused.relaxations);
    every_relaxation_helps(&guest, &promise, &refused);
}
