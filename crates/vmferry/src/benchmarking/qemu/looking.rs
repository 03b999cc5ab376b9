//! How a service is looked at from outside while its guest moves.

use std::ops::Range;
use std::time::Duration;

use vmferry_bench::record::{Downtimes, Latency, ProbeKind as Way, ProbeTrace};
use vmferry_core::Millis;
use vmferry_measure::MeasureError;
use vmferry_measure::outage::{
    ClockPair, Clocks, LatencySummary, ProbeKind, ProbeSamples, ProbeTarget, Protocol, ReachProbe,
    USUAL_PACE,
};
use vmferry_testbed::Service;

/// A port that no service listens at.
const CLOSED_PORT: u16 = 9;
/// Where the program inside guests sends datagrams back.
const ECHO_PORT: u16 = 7;

/// From connection to connection, and from request to request. An echo every [`USUAL_PACE`] takes
/// 1 % of a core and tells the downtime; a connection takes 0.015 % of a core each, for guest and
/// host alike, and 200 a second would be most of what the benchmark itself uses.
const CALM_PACE: Duration = Duration::from_millis(10);

fn pace(way: Way) -> Duration {
    match way {
        Way::Icmp => USUAL_PACE,
        Way::Tcp | Way::Service => CALM_PACE,
    }
}

/// The three ways to look at a service.
fn ways(service: Service) -> [(Way, ProbeKind); 3] {
    let refused = ProbeKind::TcpRefusal { port: CLOSED_PORT };
    let (protocol, spawns) = match service {
        // Tomcat says at `/` that there is nothing: an answer that is not the servlet's work.
        Service::Web | Service::Application => (Some(Protocol::Http), false),
        Service::Cache => (Some(Protocol::Redis), false),
        // A process or thread for every connection: 200 a second would be their work.
        Service::Postgres => (Some(Protocol::Postgres), true),
        Service::Mariadb => (Some(Protocol::Mariadb), true),
        Service::Mail => (Some(Protocol::Smtp), true),
        Service::Standby | Service::File => (None, false),
    };
    let (tcp, asked) = match (service.port(), protocol) {
        (Some(port), Some(protocol)) => {
            let connect = ProbeKind::TcpConnect { port };
            let request = ProbeKind::Request { protocol, port };
            (if spawns { refused } else { connect }, request)
        }
        _ => (refused, ProbeKind::UdpEcho { port: ECHO_PORT }),
    };
    [
        (Way::Icmp, ProbeKind::IcmpEcho),
        (Way::Tcp, tcp),
        (Way::Service, asked),
    ]
}

/// What a probe asks, in words for reports.
fn question(kind: ProbeKind) -> String {
    match kind {
        ProbeKind::IcmpEcho => "echo requests, which the guest's kernel answers".to_owned(),
        ProbeKind::UdpEcho { port } => {
            format!(
                "datagrams that the load's program in the guest sends back from UDP port {port}"
            )
        }
        ProbeKind::TcpConnect { port } => format!("connections to the service's port {port}"),
        ProbeKind::TcpRefusal { port } => format!(
            "connections to port {port}, where nobody listens and the guest's kernel refuses them"
        ),
        ProbeKind::Request { protocol, port } => {
            let request = match protocol {
                Protocol::Http => "HTTP's GET /",
                Protocol::Postgres => "PostgreSQL's SELECT 1",
                Protocol::Mariadb => "MariaDB's COM_PING",
                Protocol::Redis => "Redis's PING",
                Protocol::Smtp => "SMTP's NOOP",
                Protocol::Imap => "IMAP's NOOP",
            };
            format!("{request} at the service's port {port}")
        }
    }
}

/// Probes at work.
pub(super) struct Looking {
    probes: Vec<(Way, ReachProbe)>,
    clock: ClockPair,
}

/// What they saw.
pub(super) struct Seen {
    ways: Vec<(Way, ProbeSamples)>,
    pub(super) clocks: Clocks,
}

impl Looking {
    /// Starts to ask.
    pub(super) fn start(service: Service, target: &ProbeTarget) -> Result<Self, MeasureError> {
        let clock = ClockPair::now();
        let start = |(way, kind)| {
            let target = ProbeTarget {
                pace: pace(way),
                ..target.clone()
            };
            Ok((way, ReachProbe::start(kind, &target)?))
        };
        let probes = ways(service)
            .into_iter()
            .map(start)
            .collect::<Result<_, MeasureError>>()?;
        Ok(Self { probes, clock })
    }

    /// When each way had an answer last: the earliest of them, `CLOCK_MONOTONIC`. `None` while one
    /// had none.
    pub(super) fn last_answered_ns(&self) -> Option<u64> {
        let answered = self
            .probes
            .iter()
            .map(|(_, probe)| probe.last_answered_ns());
        answered.min().flatten()
    }

    /// The ways that had no answer yet, in words.
    pub(super) fn unanswered(&self) -> Vec<&'static str> {
        let words = |way: &Way| match way {
            Way::Icmp => "ICMP echo",
            Way::Tcp => "TCP",
            Way::Service => "the service's own requests",
        };
        let probes = self.probes.iter();
        let silent = probes.filter(|(_, probe)| probe.last_answered_ns().is_none());
        silent.map(|(way, _)| words(way)).collect()
    }

    /// Whether each way had an answer since then.
    pub(super) fn answered_since(&self, monotonic_ns: u64) -> bool {
        self.last_answered_ns() > Some(monotonic_ns)
    }

    /// Stops asking.
    pub(super) fn stop(self) -> Result<Seen, MeasureError> {
        let stop = |(way, probe): (Way, ReachProbe)| Ok((way, probe.stop()?));
        let ways = self
            .probes
            .into_iter()
            .map(stop)
            .collect::<Result<_, MeasureError>>()?;
        Ok(Seen {
            ways,
            clocks: Clocks {
                start: self.clock,
                end: ClockPair::now(),
            },
        })
    }
}

impl Seen {
    fn way(&self, wanted: Way) -> Option<&ProbeSamples> {
        let mut ways = self.ways.iter();
        ways.find(|(way, _)| *way == wanted).map(|(_, seen)| seen)
    }

    /// Downtimes within a window of `CLOCK_MONOTONIC`, ns.
    pub(super) fn downtimes(&self, window: &Range<u64>) -> Downtimes {
        let of = |way| self.way(way)?.downtime(window.clone());
        Downtimes {
            icmp_ms: of(Way::Icmp),
            tcp_ms: of(Way::Tcp),
            service_ms: of(Way::Service),
        }
    }

    /// The longest a request took, or its client was without an answer.
    pub(super) fn longest_stall(&self, window: &Range<u64>) -> Option<Millis> {
        let seen = self.way(Way::Service)?;
        let (stall, down) = (
            seen.longest_stall(window.clone()),
            seen.downtime(window.clone()),
        );
        [stall, down]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Latency of the service's own requests; `None` where none was answered.
    pub(super) fn latency(&self, window: Range<u64>) -> Option<Latency> {
        summary(self.way(Way::Service)?.latency(window))
    }

    /// When the first answer to ICMP came after this moment.
    pub(super) fn first_answer_after(&self, monotonic_ns: u64) -> Option<u64> {
        let samples = &self.way(Way::Icmp)?.samples;
        let answers = samples.iter().filter_map(|sample| sample.answered_ns());
        answers.filter(|answer| *answer >= monotonic_ns).min()
    }

    /// Every question within a window; times since `zero_ns`.
    pub(super) fn traces(&self, window: &Range<u64>, zero_ns: u64) -> Vec<ProbeTrace> {
        let since = |at_ns: u64| (at_ns as f64 - zero_ns as f64) / 1e6;
        let trace = |(way, seen): &(Way, ProbeSamples)| {
            let samples = seen.within(window);
            ProbeTrace {
                kind: *way,
                pace_ms: None,
                asked_ms: samples
                    .iter()
                    .map(|one| rounded(since(one.asked_ns)))
                    .collect(),
                latency_ms: samples
                    .iter()
                    .map(|one| one.latency_ms.map(|ms| rounded(ms.0)))
                    .collect(),
                question: Some(question(seen.kind)),
            }
        };
        self.ways.iter().map(trace).collect()
    }
}

/// To microseconds: what is beyond is noise, and takes room in every report.
fn rounded(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn summary(of: LatencySummary) -> Option<Latency> {
    Some(Latency {
        count: of.answered as u64,
        p50_ms: of.p50_ms?,
        p95_ms: of.p95_ms?,
        p99_ms: of.p99_ms?,
        max_ms: of.max_ms?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_say_what_was_asked() {
        let asked = |service| ways(service).map(|(_, kind)| question(kind)).join("\n");
        insta::assert_snapshot!(asked(Service::Web), @"
        echo requests, which the guest's kernel answers
        connections to the service's port 80
        HTTP's GET / at the service's port 80
        ");
        insta::assert_snapshot!(asked(Service::Postgres), @"
        echo requests, which the guest's kernel answers
        connections to port 9, where nobody listens and the guest's kernel refuses them
        PostgreSQL's SELECT 1 at the service's port 5432
        ");
        insta::assert_snapshot!(asked(Service::Standby), @"
        echo requests, which the guest's kernel answers
        connections to port 9, where nobody listens and the guest's kernel refuses them
        datagrams that the load's program in the guest sends back from UDP port 7
        ");
    }
}
