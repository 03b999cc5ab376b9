//! `pgbench`: PostgreSQL.

use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use vmferry_core::Millis;

use super::{Output, Run, behind, count_behind, words};
use crate::client::tally::Counts;
use crate::client::tools::ClientLoad;

/// It ends well when its time is up, which is told by an alarm: that also asks it to end earlier.
pub(super) fn run(guest: Ipv4Addr, load: &ClientLoad) -> Run {
    let connections = load.connections;
    let rate = load
        .rate_per_s
        .map_or(String::new(), |rate| format!("--rate {rate}"));
    Run {
        name: "pgbench",
        package: "postgresql-15",
        program: "usr/lib/postgresql/15/bin/pgbench",
        arguments: words(&format!(
            "-h {guest} -p 5432 -U postgres -n -c {connections} -j 1 -T 10000000 -P 1 {rate} postgres"
        )),
        environment: Vec::new(),
        end: Signal::SIGALRM,
        output: Box::new(Pgbench::default()),
    }
}

#[derive(Default)]
struct Pgbench {
    /// Its own time of the last report, in seconds.
    reported: f64,
    /// Transactions so far, from rates with one decimal.
    done: f64,
    failed: f64,
}

impl Output for Pgbench {
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
        let line = line.trim();
        if let Some(report) = line.strip_prefix("progress: ") {
            let (Some(time), Some(rate)) = (behind(report, ""), behind(report, " s,")) else {
                return;
            };
            let span = (time - self.reported).max(0.0);
            self.reported = time;
            self.done += rate * span;
            counts.done(at_ns, self.done.round() as u64);
            self.failed += report
                .rsplit_once(',')
                .and_then(|(_, failed)| behind(failed, ""))
                .unwrap_or(0.0);
            counts.errors = self.failed as u64;
        } else if let Some(all) = count_behind(line, "transactions actually processed:") {
            counts.done(at_ns, all);
            counts.settle(all);
        } else if let Some(failed) = count_behind(line, "number of failed transactions:") {
            counts.errors = failed;
        } else if line.starts_with("pgbench: error:") {
            // A connection that broke: its client is gone, the others go on.
            counts.errors += 1;
        } else if let Some(mean) = behind(line, "latency average =") {
            counts.latency.mean_ms = Some(Millis(mean));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn its_reports_and_its_summary_are_read() {
        let mut pgbench = Pgbench::default();
        let counts = said(
            &mut pgbench,
            "0.0|pgbench (15.20 (Debian 15.20-0+deb12u1), server 15.18 (Debian 15.18-0+deb12u1))
            1.0|progress: 1.0 s, 376.5 tps, lat 9.722 ms stddev 5.645, 0 failed
            2.0|progress: 2.0 s, 471.5 tps, lat 8.517 ms stddev 5.044, 0 failed
            3.0|progress: 3.0 s, 0.0 tps, lat 0.000 ms stddev 0.000, 1 failed",
        );
        assert_eq!((counts.operations, counts.errors), (848, 1));
        assert_eq!(counts.progressed_ns, Some(2_000_000_000));
        let counts = said(
            &mut pgbench,
            "4.0|progress: 4.0 s, 475.2 tps, lat 8.375 ms stddev 4.650, 0 failed
            4.2|number of transactions actually processed: 1420
            4.2|number of failed transactions: 2 (0.000%)
            4.2|latency average = 8.821 ms
            4.2|tps = 451.873988 (without initial connection time)",
        );
        assert_eq!((counts.operations, counts.errors), (1420, 2));
        assert_eq!(counts.latency.mean_ms, Some(Millis(8.821)));
    }
}
