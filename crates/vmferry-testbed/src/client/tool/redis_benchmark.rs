//! `redis-benchmark`: Redis. It does one command at a time, so two of them run side by side.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use vmferry_core::Millis;

use super::{Output, Run, behind, words};
use crate::client::tally::Counts;
use crate::client::tools::ClientLoad;

/// As many as it can count.
const REQUESTS: u32 = 2_000_000_000;

/// The size of the values that the service is filled with.
const VALUE_BYTES: u32 = 960;

/// One connection of four sets values, the others get them.
pub(super) fn runs(guest: Ipv4Addr, load: &ClientLoad) -> Vec<Run> {
    let setting = (load.connections / 4).max(1);
    let getting = load.connections.saturating_sub(setting).max(1);
    [
        ("redis-benchmark get", "get", getting),
        ("redis-benchmark set", "set", setting),
    ]
    .map(|(name, command, connections)| Run {
        name,
        package: "redis-tools",
        program: "usr/bin/redis-benchmark",
        arguments: words(&format!(
            "-h {guest} -p 6379 -t {command} -c {connections} -n {REQUESTS} -r {keys} -d {VALUE_BYTES}",
            keys = load.keys(),
        )),
        environment: Vec::new(),
        end: Signal::SIGTERM,
        output: Box::new(RedisBenchmark::default()),
    })
    .into()
}

#[derive(Default)]
struct RedisBenchmark {
    began_ns: Option<u64>,
}

impl Output for RedisBenchmark {
    /// `SET: rps=5498.0 (overall: 5470.6) avg_msec=0.652 (overall: 0.655)`, four times a second. Its
    /// own mean is the more exact count: requests done over the time since its first report.
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
        if line.contains("Could not connect") || line.contains("Error") {
            counts.errors += 1;
            return;
        }
        let (Some(rate), Some(mean)) = (behind(line, "rps="), behind(line, "(overall:")) else {
            return;
        };
        let began = *self.began_ns.get_or_insert(at_ns);
        let seconds = at_ns.saturating_sub(began) as f64 / 1e9;
        // A mean times a time wavers by some operations: that is no progress.
        let done = if rate > 0.0 {
            ((mean * seconds) as u64).max(counts.operations)
        } else {
            counts.operations
        };
        counts.done(at_ns, done);
        if let Some(latency) = line
            .split_once("avg_msec=")
            .and_then(|(_, l)| behind(l, "(overall:"))
        {
            counts.latency.mean_ms = Some(Millis(latency));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn its_reports_are_read() {
        let counts = said(
            &mut RedisBenchmark::default(),
            "5.0|SET: rps=0.0 (overall: 2000.0) avg_msec=1.514 (overall: 1.514)
            5.2|
            6.0|SET: rps=1000.0 (overall: 1000.0) avg_msec=0.652 (overall: 0.655)
            7.0|SET: rps=0.0 (overall: 500.3) avg_msec=nan (overall: 0.656)
            8.0|SET: rps=0.0 (overall: 333.6) avg_msec=nan (overall: 0.656)",
        );
        assert_eq!((counts.operations, counts.errors), (1000, 0));
        assert_eq!(counts.progressed_ns, Some(6_000_000_000));
        assert_eq!(counts.latency.mean_ms, Some(Millis(0.656)));
        assert_eq!(counts.series.last().expect("one").at_ns, 8_000_000_000);
    }
}
