//! Several guests alike, moved at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::ByteRate;
use vmferry_model::cpu_profile::{
    Concurrency, Cpus, Demand, GuestProfile, ParallelEstimate, Shared, best_concurrency, estimate,
};

/// What moving several guests like one takes, by sharing the hosts' CPUs and the
/// link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Several {
    /// How many guests.
    pub guests: usize,
    /// How many to move at once; `None` where, however many, some never
    /// converge.
    pub concurrency: Option<Concurrency>,
    /// All of them at once; `None` where some never converge then.
    pub all_at_once: Option<ParallelEstimate>,
}

impl Several {
    /// What `guests` moves take, each of which alone takes `time_at` its rate,
    /// on hosts with these CPUs; `None` where the profile does not say how much
    /// CPU a byte takes at both ends (no cap was low enough to bind).
    pub(crate) fn of(
        guests: usize,
        profile: &GuestProfile,
        link: ByteRate,
        cpus: Cpus,
        time_at: impl Fn(ByteRate) -> Option<Duration>,
    ) -> Option<Self> {
        let (Some(sending), Some(loading)) = profile.cpu_s_per_byte else {
            return None;
        };
        // Guests alike meet the same few rates again and again; a replay takes a tenth of a second.
        let known: RefCell<HashMap<u64, Option<Duration>>> = RefCell::default();
        let remembered = |rate: ByteRate| {
            let kbytes = (rate.0 / 1e3).round();
            if let Some(time) = known.borrow().get(&(kbytes as u64)) {
                return *time;
            }
            let time = time_at(ByteRate(kbytes * 1e3));
            known.borrow_mut().insert(kbytes as u64, time);
            time
        };
        let demand = Demand {
            most: profile.rate.uncapped()?,
            source_cpu_s_per_byte: sending,
            destination_cpu_s_per_byte: loading,
            time_at: &remembered,
        };
        let demands = vec![demand; guests];
        let shared = Shared { link, cpus };
        Some(Self {
            guests,
            concurrency: best_concurrency(&demands, shared),
            all_at_once: estimate(&demands, shared, guests),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{Bytes, Millis, Ratio};
    use vmferry_model::cpu_profile::{CapPoint, Caps, CpuProfile, Intensive};

    /// A CPU sends 1 GB/s and loads 500 MB/s.
    fn profile() -> GuestProfile {
        let point = |caps: Caps| {
            let share = |cap: Option<Ratio>| cap.map_or(1.0, |cap| cap.0);
            let rate = (share(caps.source) * 1e9).min(share(caps.destination) * 5e8);
            CapPoint {
                guest: Intensive::Cpu,
                intensity: Ratio(1.0),
                caps,
                capped_after_ms: None,
                total_time_ms: Some(Millis(1e12 / rate)),
                downtime_ms: None,
                transferred_bytes: Some(Bytes(1_000_000_000)),
                source_use: Some(Ratio(rate / 1e9)),
                destination_use: Some(Ratio(rate / 5e8)),
            }
        };
        let shares = [0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0].map(Ratio);
        let mut points: Vec<CapPoint> = shares.iter().map(|s| point(Caps::at_source(*s))).collect();
        points.extend(shares.iter().map(|s| point(Caps::at_destination(*s))));
        CpuProfile::fit(&points).guests.remove(0)
    }

    const CPUS: Cpus = Cpus::Apart(2.0, 2.0);

    #[test]
    fn two_cpus_load_two_guests_at_once() {
        let asked = RefCell::new(0);
        let time = |rate: ByteRate| {
            *asked.borrow_mut() += 1;
            Some(Duration::from_secs_f64(1e9 / rate.0))
        };
        let several = Several::of(6, &profile(), ByteRate(1e10), CPUS, time).unwrap();
        let concurrency = several.concurrency.unwrap();
        assert_eq!(concurrency.best, 2);
        let all = several.all_at_once.unwrap();
        assert!((all.makespan_ms.0 / 6000.0 - 1.0).abs() < 0.05, "{all:?}");
        assert!(
            (all.least_makespan_ms.0 / 2000.0 - 1.0).abs() < 0.05,
            "{all:?}"
        );
        // Six loaders at full speed would take six CPUs.
        assert!((all.least_cpus.1 / 6.0 - 1.0).abs() < 0.05, "{all:?}");
        assert!(*asked.borrow() < 10, "{asked:?} replays");
    }

    #[test]
    fn what_was_not_measured_is_not_estimated() {
        let mut profile = profile();
        profile.cpu_s_per_byte.0 = None;
        assert_eq!(
            Several::of(2, &profile, ByteRate(1e9), CPUS, |_| None),
            None
        );
    }
}
