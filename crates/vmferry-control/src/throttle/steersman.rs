//! The controller that a promise asks for, with what it has to keep.

use std::time::Duration;

use vmferry_core::{ByteRate, LinkSpeed, Observation, Promise, Throttle};
use vmferry_model::Assumptions;
use vmferry_precopy::qemu::Rules;

use super::chosen::{AnyController, controller, courtesy, steered_by};
use super::governor::{Governor, Off};
use super::observed::unhurried;
use super::promise::{ASSUMED_OUTSIDE, Promises};
use super::{Jin, ObservedOutlook, Outlook};
use crate::error::ControlError;

/// Nothing later than so many deadlines after the command is foreseen: a plan
/// that comes too late says by how much.
const HORIZON: f64 = 2.0;

/// What is known of the guest and its way before the move.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The guest.
    pub observation: &'a Observation,
    /// The link.
    pub link: &'a LinkSpeed,
    /// Hypervisor and hosts.
    pub assumptions: &'a Assumptions,
}

/// A controller, ready to steer one move.
pub struct Steersman {
    /// Who steers: never [`Throttle::Auto`].
    pub throttle: Throttle,
    /// The controller.
    pub controller: AnyController,
    /// What it keeps.
    pub promises: Promises,
    /// What a pause takes beyond what QEMU plans for.
    pub outside: Duration,
    /// `avail-switchover-bandwidth` that the plans rely on.
    pub switchover_bandwidth: Option<ByteRate>,
}

impl Steersman {
    /// The one that a promise asks for. `rules` are what QEMU is set to;
    /// nothing is known beside with a move that was not forecast.
    ///
    /// # Errors
    /// A promise that contradicts itself; a controller that plans, and nothing
    /// to plan with; an observation that says too little.
    pub fn of(
        promise: &Promise,
        rules: &Rules,
        known: Option<Known<'_>>,
    ) -> Result<Self, ControlError> {
        let throttle = steered_by(promise);
        let stated = Promises::from(promise).checked()?;
        let switchover_bandwidth =
            known.and_then(|known| switchover_bandwidth(promise, rules, known.link));
        let outlook = known
            .map(|known| {
                let mut assumptions = *known.assumptions;
                if switchover_bandwidth.is_some() {
                    assumptions.rules.switchover_bandwidth = switchover_bandwidth;
                }
                let horizon = stated.deadline.mul_f64(HORIZON).max(unhurried(
                    promise,
                    known.observation,
                    known.link,
                ));
                ObservedOutlook::new(known.observation, known.link, &assumptions, horizon)
            })
            .transpose()?;
        let outside = outlook.as_ref().map_or(ASSUMED_OUTSIDE, Outlook::outside);
        let promises = outlook.as_ref().map_or_else(
            || Promises::over_own_limit(promise, rules.downtime_limit, outside),
            |outlook| outlook.promises(promise),
        );
        let nothing = ControlError::NothingObserved { throttle };
        let controller: AnyController = match (throttle, &outlook, known) {
            // The hypervisor does it itself.
            (Throttle::Qemu | Throttle::DirtyLimit, _, _) => Box::new(Off),
            (_, Some(outlook), Some(known)) => {
                let memory = known.observation.page_mix.total_pages.bytes();
                controller(promise, outlook, memory)
            }
            (Throttle::Off, _, _) => Box::new(Off),
            (Throttle::Jin, _, _) => Box::new(Jin::new(promise.expectant_ratio.ok_or(nothing)?)),
            (Throttle::Courtesy, _, _) => {
                let most = promise.max_bandwidth.ok_or(nothing)?;
                Box::new(courtesy(promise, most))
            }
            _ => return Err(nothing),
        };
        Ok(Self {
            throttle,
            controller,
            promises,
            outside,
            switchover_bandwidth,
        })
    }

    /// The greatest `downtime-limit` that keeps the promise.
    pub fn downtime_limit(&self) -> Duration {
        self.promises.downtime_limit(self.outside)
    }

    /// The controller behind its governor.
    pub fn governed(self) -> Governor<AnyController> {
        Governor::new(self.controller, self.promises, self.outside)
    }
}

impl std::fmt::Debug for Steersman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steersman")
            .field("throttle", &self.throttle)
            .field("promises", &self.promises)
            .finish_non_exhaustive()
    }
}

/// A stream that is held back would make QEMU take its rate for the link's and
/// stop the guest later than need be, for less time than promised. The link is
/// told instead, unless the operator has told it.
pub(super) fn switchover_bandwidth(
    promise: &Promise,
    rules: &Rules,
    link: &LinkSpeed,
) -> Option<ByteRate> {
    let holds_back = matches!(steered_by(promise), Throttle::Deadline | Throttle::Courtesy);
    holds_back.then(|| rules.switchover_bandwidth.unwrap_or(link.stream_rate()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Millis, Ratio};

    fn of(promise: Promise) -> Result<Steersman, ControlError> {
        Steersman::of(&promise, &Rules::default(), None)
    }

    #[test]
    fn who_plans_wants_to_know_the_guest() {
        for throttle in [Throttle::Auto, Throttle::Curve, Throttle::Deadline] {
            let promise = Promise {
                throttle,
                ..Promise::default()
            };
            assert!(matches!(
                of(promise),
                Err(ControlError::NothingObserved { .. })
            ));
        }
        let jin = Promise {
            throttle: Throttle::Jin,
            expectant_ratio: Some(Ratio(0.8)),
            ..Promise::default()
        };
        assert_eq!(of(jin).unwrap().throttle, Throttle::Jin);
    }

    #[test]
    fn a_pause_that_was_not_promised_leaves_the_hypervisors_limit() {
        let free = of(Promise::default()).unwrap();
        let limit = Rules::default().downtime_limit;
        let off_by = free.downtime_limit().abs_diff(limit);
        assert!(off_by < Duration::from_micros(10), "{off_by:?}");
        let stated = of(Promise {
            max_downtime_ms: Some(Millis(300.0)),
            ..Promise::default()
        });
        let stated = stated.unwrap().downtime_limit();
        assert_eq!(
            stated,
            Duration::from_millis(300).mul_f64(0.97) - ASSUMED_OUTSIDE
        );
    }
}
