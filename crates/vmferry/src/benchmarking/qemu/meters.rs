//! What a migration uses: processor time at both ends, bytes on the link, and this program's own.

use std::time::{Duration, Instant};

use vmferry_bench::platform::Fault;
use vmferry_bench::record::MigrationCpu;
use vmferry_core::{Bytes, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{Sent, WireCounter, process_cpu_time, stream_address};
use vmferry_testbed::{Side, TestGuest};

use super::cpu_time;

/// The meters of one guest's migrations.
///
/// At the destination the migration's processor time is what QEMU uses beside its virtual CPUs:
/// nobody else has work for it until the guest resumes. At the source it is that of the threads
/// that send, since QEMU works for the guest's devices beside.
#[derive(Debug)]
pub(super) struct Meters {
    source_pid: u32,
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
    pub(super) at: Instant,
    destination: Option<Duration>,
    own: Duration,
}

/// What was used from one reading to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    pub(super) cpu: MigrationCpu,
    /// Of this program and all its threads: the driver of the move, its observers and the probes.
    pub(super) own: Ratio,
}

impl Meters {
    pub(super) async fn open(guest: &TestGuest, destination: &Guest) -> Result<Self, Fault> {
        let pid = |side: Side| {
            let ended = move || format!("QEMU at the {side} has ended");
            guest.pid(side).ok_or_else(ended)
        };
        let (source_pid, there) = (pid(Side::Source)?, pid(Side::Destination)?);
        let vcpus = destination.vcpus().await?;
        Ok(Self {
            wire: WireCounter::open(source_pid, stream_address(&guest.via())?)?,
            source_pid,
            destination: Process {
                pid: there,
                vcpus: vcpus.iter().filter_map(|vcpu| vcpu.thread_id).collect(),
            },
        })
    }

    /// Process number of QEMU at the source.
    pub(super) fn source_pid(&self) -> u32 {
        self.source_pid
    }

    pub(super) fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            destination: self.destination.beside_vcpus(),
            own: process_cpu_time(),
        }
    }

    /// What the migration link's interface has sent so far.
    pub(super) fn sent(&self) -> Option<Sent> {
        self.wire.sent().ok()
    }

    /// What the migration's TCP connections carried since a reading from before the command: nobody
    /// else sends anything over that link.
    pub(super) fn carried_since(&self, before: Option<Sent>) -> Option<Bytes> {
        Some(self.wire.tcp_payload(&before?, &self.sent()?))
    }
}

impl Process {
    fn beside_vcpus(&self) -> Option<Duration> {
        let all = cpu_time::of_process(self.pid)?;
        Some(all.saturating_sub(cpu_time::of_threads(self.pid, &self.vcpus)?))
    }
}

impl Used {
    /// From the command to the end; the sending threads were looked at beside.
    pub(super) fn between(begin: &Reading, end: &Reading, sent_s: Option<f64>) -> Self {
        let during = (end.at - begin.at).as_secs_f64().max(1e-3);
        let used = |of: fn(&Reading) -> Option<Duration>| {
            Some(of(end)?.saturating_sub(of(begin)?).as_secs_f64())
        };
        Self {
            cpu: MigrationCpu {
                source_s: sent_s,
                destination_s: used(|reading| reading.destination),
            },
            own: Ratio(end.own.saturating_sub(begin.own).as_secs_f64() / during),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_from_the_command_to_the_end() {
        let start = Instant::now();
        let reading = |at_s: u64, loaded_ms: Option<u64>| Reading {
            at: start + Duration::from_secs(at_s),
            destination: loaded_ms.map(Duration::from_millis),
            own: Duration::from_millis(at_s * 20),
        };
        let used = Used::between(&reading(10, Some(500)), &reading(14, Some(2700)), Some(1.5));
        assert_eq!(used.cpu.source_s, Some(1.5));
        assert_eq!(used.cpu.destination_s, Some(2.2));
        assert!((used.own.0 - 0.02).abs() < 1e-9);
        let gone = Used::between(&reading(10, Some(500)), &reading(14, None), None);
        assert_eq!(gone.cpu, MigrationCpu::default());
    }
}
