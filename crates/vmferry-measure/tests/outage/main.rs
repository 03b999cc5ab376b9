//! Probes against servers of this process, over loopback.

mod requests;
mod sockets;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use vmferry_measure::outage::{ProbeKind, ProbeSamples, ProbeTarget, ReachProbe};

/// How long the machine may take for what should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(kind: ProbeKind) -> ReachProbe {
    ReachProbe::start(kind, &ProbeTarget::new(Ipv4Addr::LOCALHOST)).expect("the probe starts")
}

/// Waits for something to become true.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Waits until the probe was answered after this moment.
fn until_answered(probe: &ReachProbe) {
    let now = vmferry_measure::outage::monotonic_ns();
    until("the probe is answered", || {
        probe.last_answered_ns().is_some_and(|at| at > now)
    });
}

fn downtime_ms(samples: &ProbeSamples) -> f64 {
    samples.downtime(0..u64::MAX).expect("it came back").0
}
