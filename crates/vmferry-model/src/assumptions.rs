//! What a forecast takes for granted of hypervisor and hosts.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, GuestInfo, Ratio};
use vmferry_precopy::HostCosts;
use vmferry_precopy::qemu::{LogClear, Rules};

/// What a forecast takes for granted. Start from [`Assumptions::for_guest`]
/// and put in what the hypervisor says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// QEMU's settings as read from it. Where the operator's [`MoveLimits`]
    /// set a limit, that holds instead.
    pub rules: Rules,
    /// Costs of the hosts; [`HostCosts::destination_start`] is drawn from the
    /// range below.
    pub costs: HostCosts,
    /// Shortest and longest time from the last byte's arrival to RESUME at
    /// the destination.
    pub destination_start: (Duration, Duration),
    /// Least and greatest share of the guest's speed that a running migration
    /// takes (faults of the dirty log, CPU of the migration thread), 0..1.
    pub overhead: (Ratio, Ratio),
    /// Number of replays behind a forecast.
    pub samples: u32,
}

impl Assumptions {
    /// QEMU's defaults for a guest under TCG: RESUME follows QEMU's own
    /// downtime by 35 to 70 ms (measured, QEMU 10.0.2).
    pub fn tcg() -> Self {
        Self {
            rules: Rules::default(),
            costs: HostCosts::default(),
            destination_start: (Duration::from_millis(35), Duration::from_millis(70)),
            overhead: (Ratio(0.0), Ratio(0.1)),
            samples: 100,
        }
    }

    /// QEMU's defaults for a guest under KVM. The range of the destination's
    /// start is an estimate.
    pub fn kvm() -> Self {
        Self {
            rules: Rules {
                log_clear: LogClear::ChunkOnSend,
                ..Rules::default()
            },
            costs: HostCosts {
                zero_scan_rate: ByteRate(4e9),
                ..HostCosts::default()
            },
            destination_start: (Duration::from_millis(10), Duration::from_millis(30)),
            ..Self::tcg()
        }
    }

    /// By the guest's accelerator; KVM where it is unknown.
    pub fn for_guest(guest: &GuestInfo) -> Self {
        match guest.accelerator.as_deref() {
            Some("tcg") => Self::tcg(),
            _ => Self::kvm(),
        }
    }

    /// The rules with the operator's limits put in.
    pub(crate) fn rules_under(&self, limits: &MoveLimits) -> Rules {
        Rules {
            downtime_limit: limits
                .max_downtime_ms
                .map_or(self.rules.downtime_limit, |limit| limit.duration()),
            max_bandwidth: limits.max_bandwidth.or(self.rules.max_bandwidth),
            ..self.rules
        }
    }
}
