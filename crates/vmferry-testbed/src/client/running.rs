//! The clients of a guest's service while they run.

use std::net::Ipv4Addr;
use std::time::Duration;

use vmferry_core::Millis;

use super::imap;
use super::part::Part;
use super::series::{self, ClientPoint, now_ns};
use super::tool::Run;
use super::tools::{ClientLoad, ClientTools};
use super::work::{ClientLatency, ClientWork};
use crate::Service;
use crate::error::TestbedError;
use crate::netns::Namespace;

/// Clients that run. Dropping them ends them at once.
#[derive(Debug)]
pub struct ServiceClient {
    service: Service,
    connections: u16,
    started_ns: u64,
    parts: Vec<Part>,
}

/// What clients have done so far.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientProgress {
    /// Operations so far.
    pub operations: u64,
    /// When their number grew last, by `CLOCK_MONOTONIC`, of the client that waits longest; `None`
    /// before the first. Tools say it once a second, so it is up to a second behind.
    pub progressed_ns: Option<u64>,
    /// Failed operations and broken connections so far.
    pub errors: u64,
    /// Operations over time.
    pub series: Vec<ClientPoint>,
    /// Why a tool ended although nobody asked it to.
    pub fault: Option<String>,
}

/// A client makes no progress although its service answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientStall {
    /// Since when, by `CLOCK_MONOTONIC`.
    pub since_ns: u64,
    /// For how long.
    pub lasting_ms: Millis,
}

impl ServiceClient {
    pub(super) fn start(
        tools: &ClientTools,
        network: &Namespace,
        service: Service,
        guest: Ipv4Addr,
        load: &ClientLoad,
        runs: Vec<Run>,
    ) -> Result<Self, TestbedError> {
        let started_ns = now_ns();
        let mut parts = Vec::new();
        for run in runs {
            let mut command = tools.command(network, run.program)?;
            command.args(&run.arguments);
            command.envs(run.environment.iter().cloned());
            let version = tools.version(run.package);
            parts.push(Part::tool(run, version, command)?);
        }
        let mut connections = load.connections;
        if service == Service::Mail {
            let (network, rate) = (network.clone(), load.rate_per_s);
            parts.push(Part::own(imap::NAME, move |tally, stop| {
                imap::run(&network, guest, rate, tally, stop);
            })?);
            connections += 1;
        }
        Ok(Self {
            service,
            connections,
            started_ns,
            parts,
        })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// What they have done so far.
    #[must_use]
    pub fn progress(&self) -> ClientProgress {
        let counts: Vec<_> = self
            .parts
            .iter()
            .map(|part| part.tally.lock().clone())
            .collect();
        let series: Vec<_> = counts
            .iter()
            .map(|counts| counts.series.as_slice())
            .collect();
        ClientProgress {
            operations: counts.iter().map(|counts| counts.operations).sum(),
            progressed_ns: counts
                .iter()
                .map(|counts| counts.progressed_ns)
                .min()
                .flatten(),
            errors: counts.iter().map(|counts| counts.errors).sum(),
            series: series::sum(&series),
            fault: counts.iter().find_map(|counts| counts.fault.clone()),
        }
    }

    /// Whether they make no progress for `limit` (some seconds at least: tools speak once a second)
    /// while the service answers, which a probe knows: it gives when it was answered last. A guest
    /// that is away stalls nobody.
    #[must_use]
    pub fn stall(&self, probe_answered_ns: Option<u64>, limit: Duration) -> Option<ClientStall> {
        let since_ns = self.progress().progressed_ns.unwrap_or(self.started_ns);
        stall(since_ns, probe_answered_ns, now_ns(), limit)
    }

    /// Ends them and gives all they have done. Tools take up to some seconds for their last words;
    /// one that does not end within 10 s is killed.
    #[must_use]
    pub fn stop(mut self) -> ClientWork {
        for part in &self.parts {
            part.ask_to_end();
        }
        let seconds = now_ns().saturating_sub(self.started_ns) as f64 / 1e9;
        for part in &mut self.parts {
            part.end();
        }
        let progress = self.progress();
        let parts: Vec<_> = self.parts.iter().map(Part::work).collect();
        let joined = |name: fn(&super::PartWork) -> &str| {
            let mut names: Vec<&str> = parts.iter().map(name).collect();
            names.dedup();
            names.join(", ")
        };
        ClientWork {
            service: self.service,
            tool: joined(|part| &part.tool),
            version: joined(|part| &part.version),
            connections: self.connections,
            operations: progress.operations,
            seconds,
            operations_per_s: progress.operations as f64 / seconds.max(1e-9),
            errors: progress.errors,
            series: progress.series,
            latency: match parts.as_slice() {
                [only] => only.latency,
                _ => ClientLatency::default(),
            },
            parts,
        }
    }
}

/// From when the last operation was, and when the last answer to a probe.
fn stall(
    since_ns: u64,
    probe_answered_ns: Option<u64>,
    now_ns: u64,
    limit: Duration,
) -> Option<ClientStall> {
    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let stalled = now_ns.saturating_sub(since_ns) >= limit;
    // It answered within that time, and not only at its beginning.
    let answers = probe_answered_ns?.saturating_sub(since_ns) >= limit / 2;
    (stalled && answers).then(|| ClientStall {
        since_ns,
        lasting_ms: Millis((now_ns - since_ns) as f64 / 1e6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stalls_only_while_its_service_answers() {
        const S: u64 = 1_000_000_000;
        let of = |answered, now| stall(10 * S, answered, now, Duration::from_secs(4));
        assert_eq!(of(Some(12 * S), 13 * S), None, "not long enough");
        let stalled = of(Some(14 * S), 14 * S).expect("it stalls");
        assert_eq!(stalled.lasting_ms, Millis(4000.0));
        assert_eq!(of(Some(10 * S), 30 * S), None, "the guest is away");
        assert_eq!(of(None, 30 * S), None, "nobody knows");
    }
}
