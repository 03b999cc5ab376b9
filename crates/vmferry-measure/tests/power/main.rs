//! Meters against what kernels, `ipmitool`, Redfish services, Prometheus and
//! other people's logs really say. No test needs a power sensor.

mod baseboard;
#[cfg(feature = "https")]
mod https;
mod logs;
mod prometheus;
mod redfish;
mod sampling;
mod sysfs;
mod tree;
mod web;

use vmferry_core::{Joules, Watts};
use vmferry_measure::power::{PowerError, PowerMeter, Value};

/// Tests of programs that are not installed are skipped, but not where `cargo xtask test` has
/// just installed them.
fn may_skip(program: &str) {
    assert!(
        std::env::var_os("VMFERRY_TEST_REQUIRE_METERS").is_none(),
        "{program} is not there (cargo xtask install)"
    );
}

/// Reads a meter of powers once.
async fn watts(meter: &mut dyn PowerMeter) -> Result<f64, PowerError> {
    match meter.read().await?.value {
        Value::Power(Watts(watts)) => Ok(watts),
        energy => panic!("a power was expected: {energy:?}"),
    }
}

/// Reads a meter of energies once.
async fn joules(meter: &mut dyn PowerMeter) -> Result<f64, PowerError> {
    match meter.read().await?.value {
        Value::Energy(Joules(joules)) => Ok(joules),
        power => panic!("an energy was expected: {power:?}"),
    }
}
