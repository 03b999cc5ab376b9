//! `sysbench oltp_read_write`: MariaDB.

use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::Signal;

use super::{Output, Run, behind, words};
use crate::client::tally::Counts;
use crate::client::tools::ClientLoad;

/// It says nothing at an end that it did not set itself, so it is only told to end.
pub(super) fn run(root: &Path, guest: Ipv4Addr, load: &ClientLoad) -> Run {
    let scripts = root.join("usr/share/sysbench");
    let rate = load.rate_per_s.unwrap_or(0.0).round();
    let mut arguments = vec![scripts.join("oltp_read_write.lua").into()];
    arguments.extend(words(&format!(
        "--db-driver=mysql --mysql-host={guest} --mysql-port=3306 --mysql-user=bench \
         --mysql-db=sbtest --tables=1 --table-size={rows} --threads={threads} --time=0 --rate={rate} \
         --report-interval=1 --percentile=99 --mysql-ignore-errors=all run",
        rows = load.rows(),
        threads = load.connections,
    )));
    Run {
        name: "sysbench oltp_read_write",
        package: "sysbench",
        program: "usr/bin/sysbench",
        arguments,
        environment: vec![("LUA_PATH", scripts.join("?.lua").into())],
        end: Signal::SIGTERM,
        output: Box::new(Sysbench::default()),
    }
}

#[derive(Default)]
struct Sysbench {
    /// Its own time of the last report, in seconds.
    reported: f64,
    done: f64,
    failed: f64,
}

impl Output for Sysbench {
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
        let Some(report) = line.trim().strip_prefix("[ ") else {
            if line.starts_with("FATAL:") || line.starts_with("Error") {
                counts.errors += 1;
            }
            return;
        };
        let (Some(time), Some(rate)) = (behind(report, ""), behind(report, " tps:")) else {
            return;
        };
        let span = (time - self.reported).max(0.0);
        self.reported = time;
        self.done += rate * span;
        counts.done(at_ns, self.done.round() as u64);
        let failed = behind(report, "err/s:").unwrap_or(0.0);
        let broken = behind(report, "reconn/s:").unwrap_or(0.0);
        self.failed += (failed + broken) * span;
        counts.errors = self.failed.round() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;
    use crate::client::work::ClientLatency;

    #[test]
    fn its_reports_are_read() {
        let counts = said(
            &mut Sysbench::default(),
            "0.0|Threads started!
            1.0|[ 1s ] thds: 4 tps: 247.45 qps: 4997.84 (r/w/o: 3507.17/991.79/498.89) lat (ms,99%): 30.81 err/s: 0.00 reconn/s: 0.00
            2.0|[ 2s ] thds: 4 tps: 272.85 qps: 5450.02 (r/w/o: 3815.92/1089.40/544.70) lat (ms,99%): 25.28 err/s: 1.00 reconn/s: 2.00
            3.0|[ 3s ] thds: 4 tps: 0.00 qps: 0.00 (r/w/o: 0.00/0.00/0.00) lat (ms,99%): 0.00 err/s: 0.00 reconn/s: 0.00",
        );
        assert_eq!((counts.operations, counts.errors), (520, 3));
        assert_eq!(counts.progressed_ns, Some(2_000_000_000));
        assert_eq!(
            counts.latency,
            ClientLatency::default(),
            "of single seconds only"
        );
        assert_eq!(counts.series.len(), 3);
    }
}
