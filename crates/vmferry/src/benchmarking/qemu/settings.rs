//! A subject's settings, given to both ends.

use serde_json::{Map, Value};
use vmferry_bench::plan::{BenchPlan, Subject};
use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Millis};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::Guest;

/// QEMU's parameter for the downtime it switches over for.
const DOWNTIME_LIMIT: &str = "downtime-limit";
/// As fast as the link goes: QEMU's own default is 128 MiB/s.
const UNLIMITED: ByteRate = ByteRate(1e10);

/// Sets capabilities and parameters of a subject at one end.
pub(super) async fn apply(subject: &Subject, end: &Guest) -> Result<(), HypervisorError> {
    if !subject.capabilities.is_empty() {
        let wanted: Vec<(&str, bool)> = subject
            .capabilities
            .iter()
            .map(|(name, on)| (name.as_str(), *on))
            .collect();
        end.set_capabilities(&wanted).await?;
    }
    let parameters: Map<String, Value> = subject
        .parameters
        .iter()
        .filter(|(name, _)| *name != DOWNTIME_LIMIT)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !parameters.is_empty() {
        end.set_parameters(parameters).await?;
    }
    Ok(())
}

/// The limits of a subject's moves: the plan's, but for what the subject sets itself.
pub(super) fn limits(plan: &BenchPlan, subject: &Subject) -> MoveLimits {
    let own = subject
        .parameters
        .get(DOWNTIME_LIMIT)
        .and_then(Value::as_f64);
    MoveLimits {
        max_downtime_ms: Some(own.map_or(plan.max_downtime_ms, Millis)),
        max_bandwidth: match subject
            .parameters
            .get("max-bandwidth")
            .and_then(Value::as_f64)
        {
            Some(own) => Some(ByteRate(own)),
            None => Some(UNLIMITED),
        },
        deadline_ms: plan.deadline_ms,
    }
}
