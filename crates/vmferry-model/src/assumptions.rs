//! What a forecast takes for granted of hypervisor and hosts.

use std::time::Duration;

use vmferry_core::plan::MoveLimits;
use vmferry_core::{ByteRate, Bytes, GuestInfo, Ratio};
use vmferry_precopy::HostCosts;
use vmferry_precopy::qemu::{LogClear, Rules};

/// What a forecast takes for granted. Start from [`Assumptions::for_guest`]
/// and put in what the hypervisor says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// QEMU's settings as read from it. Where the operator's [`MoveLimits`]
    /// set a limit, that holds instead.
    pub rules: Rules,
    /// Costs of the hosts; [`HostCosts::destination_start`] and
    /// [`HostCosts::socket_buffer`] are drawn from the ranges below.
    pub costs: HostCosts,
    /// Shortest and longest time from the last byte's arrival to RESUME at
    /// the destination.
    pub destination_start: (Duration, Duration),
    /// Least and greatest fill of the sockets' buffers at a link slower than the
    /// hosts. What they hold at the switchover lengthens the downtime.
    pub socket_buffer: (Bytes, Bytes),
    /// Least and greatest share of the guest's speed that a running migration
    /// takes (faults of the dirty log, CPU of the migration thread), 0..1.
    pub overhead: (Ratio, Ratio),
    /// Number of replays behind a forecast.
    pub samples: u32,
}

impl Assumptions {
    /// QEMU's defaults for a guest under TCG.
    ///
    /// RESUME followed QEMU's own downtime by 35 to 78 ms over 400 Mbit/s and by
    /// 225 ms over 100 Mbit/s (measured, QEMU 10.0.2, BBR and tbf): mostly the
    /// sockets' buffers, which held 1.4 MB at 100 Mbit/s and 2.9 to 3.5 MB at
    /// 400 Mbit/s; 48 ms with `max-bandwidth` below the link, where they are
    /// nearly empty.
    pub fn tcg() -> Self {
        Self {
            rules: Rules::default(),
            costs: HostCosts::default(),
            destination_start: (Duration::from_millis(15), Duration::from_millis(50)),
            socket_buffer: (Bytes(1_000_000), Bytes(3_000_000)),
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
            destination_start: (Duration::from_millis(5), Duration::from_millis(25)),
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
