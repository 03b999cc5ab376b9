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

/// The capability without which QEMU refuses to start post-copy.
const POSTCOPY: &str = "postcopy-ram";

/// Whether a subject can do what it is asked for. A post-copy that QEMU refuses is a pre-copy under
/// a wrong name.
pub(super) fn check(subject: &Subject) -> Result<(), String> {
    let able = subject.capabilities.get(POSTCOPY) == Some(&true);
    if subject.postcopy_after_ms.is_some() && !able {
        return Err(format!(
            "subject {}: `postcopy-after` needs the capability: capabilities = {{ {POSTCOPY} = true }}",
            subject.name
        ));
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_copy_needs_its_capability() {
        let mut subject = Subject {
            name: "late".to_owned(),
            postcopy_after_ms: Some(Millis(2000.0)),
            ..Subject::default()
        };
        let said = check(&subject).unwrap_err();
        assert!(said.contains("postcopy-ram = true"), "{said}");
        subject.capabilities.insert(POSTCOPY.to_owned(), true);
        assert_eq!(check(&subject), Ok(()));
    }
}
