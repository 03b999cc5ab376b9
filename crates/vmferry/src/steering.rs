//! Who steers a move, from what was promised and what was forecast of it.

use uuid::Uuid;
use vmferry_control::throttle::{Known, Steersman};
use vmferry_core::{LinkSpeed, Observation, Plan, Ratio};
use vmferry_migrate::{Beginning, Steering};
use vmferry_model::Assumptions;
use vmferry_precopy::qemu::Rules;

use crate::Error;

/// The controller of a promised move; `None` where nothing was promised.
///
/// # Errors
/// A promise that contradicts itself, or that cannot be planned for with what
/// is known.
pub(crate) fn steersman(
    plan: &Plan,
    observation: Option<&Observation>,
    link: Option<&LinkSpeed>,
    assumptions: Option<&Assumptions>,
) -> Result<Option<Steersman>, Error> {
    let Some(promise) = &plan.promise else {
        return Ok(None);
    };
    let known = match (observation, link, assumptions) {
        (Some(observation), Some(link), Some(assumptions)) => Some(Known {
            observation,
            link,
            assumptions,
        }),
        _ => None,
    };
    let rules = assumptions.map_or_else(Rules::default, |assumptions| assumptions.rules);
    Ok(Some(Steersman::of(promise, &rules, known)?))
}

/// What a steered move begins with.
pub(crate) fn beginning(plan: &Plan, steersman: &Steersman) -> Beginning {
    let promised = plan.promise.and_then(|promise| promise.max_downtime_ms);
    Beginning {
        downtime_limit: promised.map(|_| steersman.downtime_limit()),
        switchover_bandwidth: steersman.switchover_bandwidth,
    }
}

/// The steering of one move.
pub(crate) fn steering(steersman: Steersman, move_id: Uuid, vcpu_use: Option<Ratio>) -> Steering {
    let caps_cpu = steersman.throttle.caps_cpu();
    Steering::new(steersman.governed(), move_id, vcpu_use, caps_cpu)
}
