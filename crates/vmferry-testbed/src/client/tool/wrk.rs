//! `wrk`: HTTP.

use std::net::Ipv4Addr;
use std::path::Path;

use nix::sys::signal::Signal;
use vmferry_core::Millis;

use super::{Output, Run, count_behind, leading, words};
use crate::client::tally::Counts;
use crate::client::tools::{ClientLoad, SCRIPT};

/// Asks for one page again and again. One thread is enough for one guest. Requests may hang for a
/// minute before they count as errors.
pub(super) fn run(
    root: &Path,
    guest: Ipv4Addr,
    port: u16,
    page: &'static str,
    load: &ClientLoad,
) -> Run {
    let connections = load.connections;
    // Each connection rests between requests.
    let pause = load.rate_per_s.map_or(0, |rate| {
        (1e3 * f64::from(connections) / rate).round() as u64
    });
    let mut arguments = words(&format!(
        "-t1 -c{connections} -d10000h --timeout 60s --latency -s"
    ));
    arguments.push(root.join(SCRIPT).into());
    arguments.extend(words(&format!("http://{guest}:{port}{page} -- {pause}")));
    Run {
        name: "wrk",
        package: "wrk",
        program: "usr/bin/wrk",
        arguments,
        environment: Vec::new(),
        end: Signal::SIGINT,
        output: Box::new(Wrk {
            connections: u64::from(connections),
        }),
    }
}

struct Wrk {
    connections: u64,
}

impl Output for Wrk {
    fn line(&mut self, line: &str, at_ns: u64, counts: &mut Counts) {
        let line = line.trim();
        if let Some(asked) = line.strip_prefix("vmferry ") {
            // As many as there are connections are not answered yet.
            if let Ok(asked) = asked.trim().parse::<u64>() {
                counts.done(at_ns, asked.saturating_sub(self.connections));
            }
        } else if let Some(rest) = line.strip_prefix("Latency ") {
            // The line of the distribution's heading has no numbers.
            let mut words = rest.split_whitespace();
            counts.latency.mean_ms = words.next().and_then(time).or(counts.latency.mean_ms);
            counts.latency.max_ms = words.nth(1).and_then(time).or(counts.latency.max_ms);
        } else if let Some((share, value)) = line.split_once("% ") {
            let value = time(value.trim());
            match share {
                "50" => counts.latency.p50_ms = value,
                "90" => counts.latency.p90_ms = value,
                "99" => counts.latency.p99_ms = value,
                _ => {}
            }
        } else if line.contains(" requests in ") {
            if let Some(requests) = leading(line) {
                counts.done(at_ns, requests as u64);
                counts.settle(requests as u64);
            }
        } else if line.starts_with("Socket errors:") {
            let kinds = ["connect", "read", "write", "timeout"];
            let errors = kinds.map(|kind| count_behind(line, kind).unwrap_or(0));
            counts.errors += errors.iter().copied().fold(0, u64::saturating_add);
        } else if let Some(bad) = count_behind(line, "Non-2xx or 3xx responses:") {
            counts.errors += bad;
        }
    }
}

/// A time with its unit.
fn time(text: &str) -> Option<Millis> {
    let number = leading(text)?;
    let scale = match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        _ => return None,
    };
    Some(Millis(number * scale))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn its_reports_and_its_summary_are_read() {
        let mut wrk = Wrk { connections: 4 };
        let counts = said(
            &mut wrk,
            "0.1|vmferry 1
            0.1|Running 60000m test @ http://127.0.0.1:80/
            0.1|  1 threads and 4 connections
            1.0|vmferry 2643
            2.0|vmferry 5489
            3.3|  Thread Stats   Avg      Stdev     Max   +/- Stdev
            3.3|    Latency     1.87ms    2.16ms  15.89ms   87.06%
            3.3|    Req/Sec     2.88k   411.44     3.94k    75.76%
            3.3|  Latency Distribution
            3.3|     50%    1.14ms
            3.3|     75%    2.55ms
            3.3|     90%  461.00us
            3.3|     99%    1.05s
            3.3|  9549 requests in 3.33s, 39.49MB read
            3.3|  Socket errors: connect 0, read 3, write 0, timeout 2
            3.3|  Non-2xx or 3xx responses: 7
            3.3|Requests/sec:   2864.73",
        );
        assert_eq!((counts.operations, counts.errors), (9549, 12));
        let latency = counts.latency;
        assert_eq!(latency.mean_ms, Some(Millis(1.87)));
        assert_eq!(latency.p50_ms, Some(Millis(1.14)));
        assert_eq!(latency.p90_ms, Some(Millis(0.461)));
        assert_eq!(latency.p99_ms, Some(Millis(1050.0)));
        assert_eq!(latency.max_ms, Some(Millis(15.89)));
        let done: Vec<u64> = counts.series.iter().map(|point| point.operations).collect();
        assert_eq!(done, [0, 2639, 5485, 9549]);
        assert_eq!(counts.progressed_ns, Some(3_300_000_000));
    }
}
