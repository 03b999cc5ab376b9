//! How a recorded guest is moved under a controller.

use std::time::Duration;

use vmferry_control::throttle::trial::{Trial, TrialOutcome};
use vmferry_control::throttle::{
    Action, Controller, Curve, Governor, ObservedOutlook, Outlook, Policy, Preset, Promises,
};
use vmferry_core::{ByteRate, LinkSpeed, PageHistory, Ratio};
use vmferry_model::Assumptions;
use vmferry_precopy::HostCosts;
use vmferry_precopy::dirt::Recording;
use vmferry_precopy::qemu::Rules;

use crate::guest::observed;

/// Bytes of stream per second: 50 MB/s.
pub(crate) const LINK: ByteRate = ByteRate(50e6);

pub(crate) fn link() -> LinkSpeed {
    LinkSpeed {
        efficiency: Ratio(1.0),
        ..LinkSpeed::given(LINK)
    }
}

pub(crate) fn outlook(history: &PageHistory) -> ObservedOutlook {
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

pub(crate) fn run(
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

pub(crate) fn trial() -> Trial {
    let costs = HostCosts {
        destination_start: Duration::from_millis(3),
        ..HostCosts::default()
    };
    Trial {
        costs,
        ..Trial::over(LINK)
    }
}

pub(crate) fn by_curve(
    history: &PageHistory,
    trial: &Trial,
    promises: Promises,
    preset: Preset,
) -> TrialOutcome {
    under(history, trial, promises, Policy::from(preset))
}

pub(crate) fn under(
    history: &PageHistory,
    trial: &Trial,
    promises: Promises,
    policy: Policy,
) -> TrialOutcome {
    let outlook = outlook(history);
    let outside = outlook.outside();
    let curve = Curve::new(outlook, promises, policy);
    run(history, trial, curve, promises, outside)
}

pub(crate) fn by(
    history: &PageHistory,
    controller: impl Controller,
    promises: Promises,
) -> TrialOutcome {
    let outside = outlook(history).outside();
    run(history, &trial(), controller, promises, outside)
}

pub(crate) fn promises(max_downtime_ms: u64) -> Promises {
    Promises {
        max_downtime: Duration::from_millis(max_downtime_ms),
        ..Promises::default()
    }
}

pub(crate) fn caps(outcome: &TrialOutcome) -> Vec<f64> {
    let cap = |(_, action): &(Duration, Action)| match action {
        Action::CapCpu { share } => Some((share.0 * 100.0).round()),
        _ => None,
    };
    outcome.actions.iter().filter_map(cap).collect()
}
