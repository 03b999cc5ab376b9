//! When the guest stopped and resumed, by two clocks.

use std::time::Instant;

use vmferry_core::{DowntimeClock, Millis};
use vmferry_hypervisor::qmp::QmpEvent;

/// One moment by the hypervisor's clock and by ours.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    hypervisor_us: Option<u64>,
    arrived: Instant,
}

/// STOP at the source and RESUME at the destination.
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    stop: Option<Stamp>,
    resume: Option<Stamp>,
}

impl Stamps {
    pub(crate) fn stopped(&mut self, event: &QmpEvent) {
        self.stop = Some(Stamp {
            hypervisor_us: event.timestamp_us,
            arrived: event.received,
        });
    }

    pub(crate) fn resumed(&mut self, event: &QmpEvent) {
        self.resume.get_or_insert(Stamp {
            hypervisor_us: event.timestamp_us,
            arrived: event.received,
        });
    }

    pub(crate) fn resume_missing(&self) -> bool {
        self.resume.is_none()
    }

    /// The downtime and the clock it was read from. Two hosts' event stamps
    /// are comparable only when they are one machine's.
    pub fn downtime(&self, one_machine: bool) -> Option<(Millis, DowntimeClock)> {
        let (stop, resume) = (self.stop?, self.resume?);
        if one_machine
            && let (Some(from), Some(to)) = (stop.hypervisor_us, resume.hypervisor_us)
            && to >= from
        {
            return Some((
                Millis((to - from) as f64 / 1e3),
                DowntimeClock::HypervisorEvents,
            ));
        }
        let span = resume.arrived.checked_duration_since(stop.arrived)?;
        Some((span.into(), DowntimeClock::Arrival))
    }
}
