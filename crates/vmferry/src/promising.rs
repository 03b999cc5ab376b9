//! Promises before a move: whether they make sense, can be kept, and what would
//! make them possible.

use serde_json::json;
use vmferry_control::throttle::{ObservedOutlook, Outlook as _, Promises, promise_forecast};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{LinkSpeed, Observation, Promise, PromiseForecast, Throttle};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;
use vmferry_model::Assumptions;

use crate::Error;
use crate::models::SEED;

/// Below this probability of converging a move without a promise is advised
/// against.
pub const ADVISABLE: f64 = 0.5;

/// Refuses a promise that contradicts itself; tells what of it will be ignored,
/// each a sentence. `observed` is whether the guest is observed before the move.
///
/// # Errors
/// [`Error::Promise`].
pub fn check(promise: &Promise, observed: bool) -> Result<Vec<String>, Error> {
    Ok(vmferry_control::throttle::check(promise, observed)?)
}

/// Whether a move should not be made: its promise cannot be kept; without one,
/// it hardly converges.
pub fn is_advised_against(
    converges_probability: Option<f64>,
    promise: Option<&PromiseForecast>,
) -> bool {
    match promise {
        Some(promise) => !promise.accepted,
        None => converges_probability.is_some_and(|converges| converges < ADVISABLE),
    }
}

/// What forecasts are made from.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) observation: &'a Observation,
    pub(crate) link: &'a LinkSpeed,
    pub(crate) assumptions: &'a Assumptions,
}

impl Known<'_> {
    /// The limits a move is made under: a promised pause is kept from STOP to
    /// RESUME, so the hypervisor's limit stays below it.
    pub(crate) fn limits(
        &self,
        limits: &MoveLimits,
        promise: Option<&Promise>,
    ) -> Result<MoveLimits, Error> {
        let Some(promise) = promise.filter(|promise| promise.max_downtime_ms.is_some()) else {
            return Ok(*limits);
        };
        let promises = Promises::from(promise);
        let outlook = ObservedOutlook::new(
            self.observation,
            self.link,
            self.assumptions,
            promises.deadline,
        )?;
        Ok(MoveLimits {
            max_downtime_ms: Some(promises.downtime_limit(outlook.outside()).into()),
            ..*limits
        })
    }

    /// What becomes of a promise, where there is one; computed apart from the
    /// connections.
    pub(crate) async fn promised(
        &self,
        promise: Option<&Promise>,
    ) -> Result<Option<PromiseForecast>, Error> {
        let Some(promise) = promise.copied() else {
            return Ok(None);
        };
        let (observation, link) = (self.observation.clone(), self.link.clone());
        let assumptions = *self.assumptions;
        let compute = move || promise_forecast(&observation, &link, &assumptions, &promise, SEED);
        let made = tokio::task::spawn_blocking(compute).await;
        let made = made.map_err(|error| {
            Error::Internal(format!("the trials of the promise failed: {error}"))
        })?;
        Ok(Some(made?))
    }
}

/// Refuses `dirty-limit` where the hypervisor cannot: it needs KVM's dirty ring,
/// which only a refusal tells of. Asked for a virtual CPU that no guest has,
/// QEMU complains of the ring first and of the CPU then, and changes nothing.
///
/// # Errors
/// [`Error::NoDirtyRing`]; a monitor that does not answer.
pub(crate) async fn dirty_limit_is_possible(
    source: &Guest,
    promise: Option<&Promise>,
) -> Result<(), Error> {
    const NO_CPU: u32 = 1 << 30;
    if promise.is_none_or(|promise| promise.throttle != Throttle::DirtyLimit) {
        return Ok(());
    }
    let lacking = |said: String| Error::NoDirtyRing {
        guest: source.uri().clone(),
        said,
    };
    let arguments = json!({ "cpu-index": NO_CPU, "dirty-rate": 1 });
    match source
        .request("set-vcpu-dirty-limit", Some(arguments))
        .await
    {
        Err(error) if error.is_unsupported() => Err(lacking(error.to_string())),
        Err(HypervisorError::Refused { desc, .. }) if desc.contains("dirty-ring") => {
            Err(lacking(desc))
        }
        Ok(_) | Err(HypervisorError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{MovedBy, Ratio};

    fn promised(accepted: bool) -> PromiseForecast {
        PromiseForecast {
            promise: Promise::default(),
            throttle: Throttle::Curve,
            trials: 20,
            kept_probability: f64::from(u8::from(accepted)),
            accepted,
            by: MovedBy::Throttled,
            total_time_ms: None,
            downtime_ms: None,
            slowdown: None,
            least_cpu_share: Some(Ratio(0.35)),
            throttled_ms: None,
            reason: None,
            relaxations: Vec::new(),
        }
    }

    #[test]
    fn a_promise_beats_the_plain_forecast() {
        assert!(is_advised_against(Some(0.1), None));
        assert!(!is_advised_against(Some(0.1), Some(&promised(true))));
        assert!(is_advised_against(Some(1.0), Some(&promised(false))));
        assert!(!is_advised_against(Some(1.0), None));
        assert!(!is_advised_against(None, None));
    }
}
