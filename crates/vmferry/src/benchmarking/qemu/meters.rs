//! What a migration uses: processor time at both ends, bytes on the link, and this program's own.

use std::time::{Duration, Instant};

use vmferry_bench::platform::Fault;
use vmferry_bench::record::MigrationCpu;
use vmferry_core::{Bytes, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{WireCounter, stream_address};
use vmferry_testbed::{Side, TestGuest};

use super::cpu_time;

/// The meters of one guest's migrations.
///
/// The migration's processor time is what QEMU uses beside its virtual CPUs, less what it used
/// before the command (the guest's devices): migration threads come and go, and the kernel keeps
/// the time of ended ones for the process only.
#[derive(Debug)]
pub(super) struct Meters {
    source: Process,
    destination: Process,
    wire: WireCounter,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    vcpus: Vec<u32>,
}

/// What the meters show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at: Instant,
    source: Option<Duration>,
    destination: Option<Duration>,
    own: Option<Duration>,
    wire: Option<Bytes>,
}

/// What was used from one reading to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    pub(super) cpu: MigrationCpu,
    pub(super) own: Option<Ratio>,
    pub(super) wire: Option<Bytes>,
}

impl Meters {
    pub(super) async fn open(
        guest: &TestGuest,
        source: &Guest,
        destination: &Guest,
    ) -> Result<Self, Fault> {
        let of = async |side: Side, end: &Guest| -> Result<Process, Fault> {
            let vcpus = end.vcpus().await?;
            Ok(Process {
                pid: guest
                    .pid(side)
                    .ok_or_else(|| format!("QEMU at the {side} has ended"))?,
                vcpus: vcpus.iter().filter_map(|vcpu| vcpu.thread_id).collect(),
            })
        };
        let (source, destination) = (
            of(Side::Source, source).await?,
            of(Side::Destination, destination).await?,
        );
        Ok(Self {
            wire: WireCounter::open(source.pid, stream_address(&guest.via())?)?,
            source,
            destination,
        })
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            source: self.source.beside_vcpus(),
            destination: self.destination.beside_vcpus(),
            own: cpu_time::own(),
            wire: self.wire.tx_bytes().ok(),
        }
    }
}

impl Process {
    fn beside_vcpus(&self) -> Option<Duration> {
        let all = cpu_time::of_process(self.pid)?;
        Some(all.saturating_sub(cpu_time::of_threads(self.pid, &self.vcpus)?))
    }
}

impl Used {
    /// From the command to the end; `early` was read some seconds before the command.
    pub(super) fn between(early: &Reading, begin: &Reading, end: &Reading) -> Self {
        let (before, during) = (begin.at - early.at, end.at - begin.at);
        let beyond_usual = |of: fn(&Reading) -> Option<Duration>| {
            let usual = of(begin)?.saturating_sub(of(early)?).as_secs_f64()
                / before.as_secs_f64().max(1e-3);
            let used = of(end)?.saturating_sub(of(begin)?).as_secs_f64();
            Some((used - usual * during.as_secs_f64()).max(0.0))
        };
        let own = || {
            let used = end.own?.saturating_sub(begin.own?);
            Some(Ratio(used.as_secs_f64() / during.as_secs_f64().max(1e-3)))
        };
        Self {
            cpu: MigrationCpu {
                source_s: beyond_usual(|reading| reading.source),
                destination_s: beyond_usual(|reading| reading.destination),
            },
            own: own(),
            wire: begin
                .wire
                .zip(end.wire)
                .map(|(from, to)| to.saturating_sub(from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_use_anyway_is_not_the_migrations() {
        let start = Instant::now();
        let reading = |at_s: u64, source_ms: u64, wire: u64| Reading {
            at: start + Duration::from_secs(at_s),
            source: Some(Duration::from_millis(source_ms)),
            destination: None,
            own: Some(Duration::from_millis(at_s * 20)),
            wire: Some(Bytes(wire)),
        };
        let used = Used::between(
            &reading(0, 0, 0),
            &reading(10, 500, 7),
            &reading(14, 2700, 1007),
        );
        assert!(
            (used.cpu.source_s.expect("metered") - 2.0).abs() < 1e-9,
            "{used:?}"
        );
        assert_eq!(used.cpu.destination_s, None);
        assert!((used.own.expect("metered").0 - 0.02).abs() < 1e-9);
        assert_eq!(used.wire, Some(Bytes(1000)));
    }
}
