//! Which controller a promise asks for.

use vmferry_core::{ByteRate, Bytes, Promise, Ratio, Throttle};
use vmferry_model::predictor::rounds::PreCopy;
use vmferry_precopy::tuning::AdaptiveRate;

use super::auto_converge::AutoConverge;
use super::courtesy::Courtesy;
use super::curve::Curve;
use super::deadline::Deadline;
use super::governor::{Controller, Off};
use super::jin::Jin;
use super::observed::ObservedOutlook;
use super::outlook::Outlook;
use super::promise::{Policy, Promises};
use crate::error::ControlError;

/// Delta of `liu2011`, and the least rate where none is promised.
const DELTA: ByteRate = ByteRate::from_mbit_per_s(100.0);
/// Rounds of Xen (`jin2011` section 3).
const MOST_ROUNDS: u32 = 30;

/// A controller that may be moved between threads.
pub type AnyController = Box<dyn Controller + Send + Sync>;

/// Who steers under a promise: `auto` made definite.
pub fn steered_by(promise: &Promise) -> Throttle {
    match promise.throttle {
        Throttle::Auto if promise.min_bandwidth.is_some() => Throttle::Courtesy,
        Throttle::Auto => Throttle::Curve,
        chosen => chosen,
    }
}

/// How far a promise lets its controller go. Without a throttle no share below
/// the whole is allowed: what is left of `curve` then chooses the moment of the
/// switchover, and post-copy.
pub(super) fn policy(promise: &Promise) -> Policy {
    let mut policy = Policy::from(promise.policy);
    match steered_by(promise) {
        Throttle::Off | Throttle::Courtesy => policy.least_share = Ratio(1.0),
        // What the rules themselves never go below.
        Throttle::Jin => policy.least_share = Ratio(0.2),
        Throttle::Qemu => policy.least_share = Ratio(0.01),
        _ => {}
    }
    policy
}

/// The controller that a promise asks for, for a guest of which `memory` is
/// sent in the first pass. A dirty limit is planned for as a cap is. Without a
/// throttle, a promise that allows post-copy is still steered: somebody has to
/// start it.
pub fn controller(promise: &Promise, outlook: &ObservedOutlook, memory: Bytes) -> AnyController {
    let promises = outlook.promises(promise);
    let outlook = || outlook.clone();
    let policy = policy(promise);
    match steered_by(promise) {
        Throttle::Off if !promise.allow_postcopy => Box::new(Off),
        Throttle::Off | Throttle::Auto | Throttle::Curve | Throttle::DirtyLimit => {
            Box::new(Curve::new(outlook(), promises, policy))
        }
        Throttle::Deadline => Box::new(Deadline::new(outlook(), promises, policy)),
        Throttle::Courtesy => {
            let link = outlook().link_rate();
            let most = promise.max_bandwidth.unwrap_or(link);
            Box::new(courtesy(promise, most))
        }
        Throttle::Jin => Box::new(match promise.expectant_ratio {
            Some(expectant) => Jin::new(expectant),
            None => {
                let outlook = outlook();
                let link = outlook.link_rate();
                let bandwidth = promises
                    .max_bandwidth
                    .map_or(link, |most| ByteRate(most.0.min(link.0)));
                Jin::at_the_boundary(&PreCopy {
                    memory,
                    bandwidth,
                    threshold: bandwidth * promises.downtime_limit(outlook.outside()),
                    most_rounds: MOST_ROUNDS,
                })
            }
        }),
        Throttle::Qemu => Box::new(AutoConverge::default()),
    }
}

/// R = D + delta up to a rate.
pub(super) fn courtesy(promise: &Promise, most: ByteRate) -> Courtesy {
    let least = promise.min_bandwidth.unwrap_or(DELTA);
    let least = ByteRate(least.0.min(most.0));
    Courtesy::new(AdaptiveRate::new(DELTA, least, most))
}

/// Refuses a promise that contradicts itself, and tells what of it will be
/// ignored, each a sentence. `observed` is whether the guest is observed before
/// the move.
///
/// # Errors
/// As for [`Promises::checked`]; a throttle without what it goes by, or with
/// what it does not know.
pub fn check(promise: &Promise, observed: bool) -> Result<Vec<String>, ControlError> {
    Promises::from(promise).checked()?;
    let throttle = steered_by(promise);
    if let Some(ratio) = promise.expectant_ratio {
        if throttle != Throttle::Jin {
            return Err(ControlError::ExpectantWithoutJin {
                throttle: promise.throttle,
            });
        }
        if !(ratio.0 > 0.0 && ratio.0 <= 1.0) {
            return Err(ControlError::BadExpectant { ratio });
        }
    }
    if throttle == Throttle::Deadline && promise.deadline_ms.is_none() {
        return Err(ControlError::NoDeadline);
    }
    let plans = matches!(
        throttle,
        Throttle::Curve | Throttle::Deadline | Throttle::DirtyLimit
    );
    if plans && !observed {
        return Err(ControlError::NothingObserved {
            throttle: promise.throttle,
        });
    }
    let no_rate = throttle == Throttle::Courtesy && promise.max_bandwidth.is_none();
    if no_rate && !observed {
        return Err(ControlError::NothingObserved { throttle });
    }
    if throttle == Throttle::Jin && promise.expectant_ratio.is_none() && !observed {
        return Err(ControlError::NoExpectant);
    }
    let steers_into_postcopy = plans || throttle == Throttle::Off;
    let mut ignored = Vec::new();
    if promise.allow_postcopy && !steers_into_postcopy {
        ignored.push(format!(
            "--allow-postcopy is ignored: --throttle {throttle} does not start post-copy"
        ));
    }
    let minds_least_rate = matches!(throttle, Throttle::Courtesy | Throttle::Deadline);
    if promise.min_bandwidth.is_some() && !minds_least_rate {
        ignored.push(format!(
            "--min-bandwidth is ignored: --throttle {throttle} holds no stream back"
        ));
    }
    if promise.max_slowdown.is_some()
        && matches!(
            throttle,
            Throttle::Jin | Throttle::Qemu | Throttle::Courtesy
        )
    {
        ignored.push(format!(
            "--throttle {throttle} does not keep to --max-slowdown; it is judged beforehand and afterwards only"
        ));
    }
    Ok(ignored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Millis, Preset};

    fn refused(promise: Promise, observed: bool) -> String {
        check(&promise, observed).unwrap_err().to_string()
    }

    fn by(throttle: Throttle) -> Promise {
        Promise {
            throttle,
            ..Promise::default()
        }
    }

    #[test]
    fn auto_is_courteous_where_a_least_rate_is_promised() {
        assert_eq!(steered_by(&by(Throttle::Auto)), Throttle::Curve);
        let courteous = Promise {
            min_bandwidth: Some(DELTA),
            ..by(Throttle::Auto)
        };
        assert_eq!(steered_by(&courteous), Throttle::Courtesy);
        assert_eq!(steered_by(&by(Throttle::Qemu)), Throttle::Qemu);
    }

    #[test]
    fn what_a_throttle_does_not_know_is_told() {
        let expectant = |throttle, c| Promise {
            expectant_ratio: Some(Ratio(c)),
            ..by(throttle)
        };
        insta::assert_snapshot!(refused(expectant(Throttle::Curve, 0.8), true), @"--expectant-ratio is the C of --throttle jin, and does nothing for --throttle curve; leave it out or choose jin");
        insta::assert_snapshot!(refused(expectant(Throttle::Jin, 1.2), true), @"--expectant-ratio 1.2 makes no sense; give a number above 0 and at most 1, for example 0.8");
        insta::assert_snapshot!(refused(by(Throttle::Deadline), true), @"--throttle deadline ends when --deadline says; give a --deadline");
        insta::assert_snapshot!(refused(by(Throttle::Auto), false), @"--throttle auto plans with what is observed before the move, and --no-forecast observes nothing; leave --no-forecast out, or choose --throttle qemu or off (auto is what --max-slowdown and --policy stand for)");
        insta::assert_snapshot!(refused(by(Throttle::Jin), false), @"with --no-forecast nothing is known that the C of --throttle jin follows from; give --expectant-ratio, for example 0.8");
        assert_eq!(check(&expectant(Throttle::Jin, 0.8), false), Ok(vec![]));
        let ignored = Promise {
            allow_postcopy: true,
            max_slowdown: Some(Ratio(0.1)),
            policy: Preset::Urgent,
            ..by(Throttle::Qemu)
        };
        insta::assert_snapshot!(check(&ignored, true).unwrap().join("\n"), @r"
        --allow-postcopy is ignored: --throttle qemu does not start post-copy
        --throttle qemu does not keep to --max-slowdown; it is judged beforehand and afterwards only
        ");
    }

    #[test]
    fn nothing_stated_contradicts_no_usual_limit() {
        let pause = Promise {
            max_downtime_ms: Some(Millis(200_000.0)),
            ..by(Throttle::Off)
        };
        assert_eq!(check(&pause, true), Ok(vec![]));
        let tight = Promise {
            deadline_ms: Some(Millis(100.0)),
            ..by(Throttle::Off)
        };
        assert_eq!(check(&tight, true), Ok(vec![]));
        let both = Promise {
            max_downtime_ms: pause.max_downtime_ms,
            ..tight
        };
        insta::assert_snapshot!(refused(both, true), @"a pause of up to 200.0 s does not fit in a deadline of 100 ms; shorten --max-downtime or allow a later --deadline");
    }
}
