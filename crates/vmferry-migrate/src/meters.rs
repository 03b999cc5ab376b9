//! What is measured beside the hypervisor's own statistics: bytes on the wire
//! and the guest's CPU time, from the migration command on.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vmferry_core::{Bytes, Plan, Ratio};
use vmferry_hypervisor::qmp::Guest;
use vmferry_measure::{VcpuMeter, WireCounter, stream_address};

/// Where the meters stood when the command was given. It is kept beside the
/// journal, so that a guard can go on counting.
#[derive(Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// When the command was given, or the move prepared.
    pub started_at: Timestamp,
    /// Share of its virtual CPUs that the guest used before the move.
    pub vcpu_use: Option<Ratio>,
    command_given: bool,
    wire: Option<WireStart>,
    #[serde(skip)]
    counter: Option<WireCounter>,
    #[serde(skip)]
    threads: Option<(u32, Vec<u32>)>,
    #[serde(skip)]
    vcpu: Option<VcpuMeter>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct WireStart {
    pid: u32,
    address: IpAddr,
    tx_bytes: Bytes,
}

/// CPU time of a guest between the command and its stop.
#[derive(Clone, Copy, Debug)]
pub struct VcpuReading {
    /// CPU time used, seconds.
    pub cpu_s: f64,
    /// Time since the command, seconds.
    pub elapsed_s: f64,
    /// Number of virtual CPUs.
    pub vcpus: u32,
}

impl Baseline {
    /// Opens the meters; those that a remote guest does not allow stay closed.
    pub async fn prepare(source: &Guest, plan: &Plan, vcpu_use: Option<Ratio>) -> Self {
        let mut baseline = Self::bare(Timestamp::now());
        baseline.vcpu_use = vcpu_use;
        let Some(pid) = source.pid() else {
            return baseline;
        };
        if let Ok(address) = stream_address(&plan.via)
            && let Ok(counter) = WireCounter::open(pid, address)
        {
            baseline.wire = Some(WireStart {
                pid,
                address,
                tx_bytes: Bytes(0),
            });
            baseline.counter = Some(counter);
        }
        if let Ok(vcpus) = source.vcpus().await {
            let threads: Option<Vec<u32>> = vcpus.iter().map(|vcpu| vcpu.thread_id).collect();
            baseline.threads = threads.filter(|t| !t.is_empty()).map(|t| (pid, t));
        }
        baseline
    }

    /// A baseline without meters.
    pub fn bare(started_at: Timestamp) -> Self {
        Self {
            started_at,
            vcpu_use: None,
            command_given: false,
            wire: None,
            counter: None,
            threads: None,
            vcpu: None,
        }
    }

    /// Takes the first reading: the command is given next.
    pub fn begin(mut self) -> Self {
        self.started_at = Timestamp::now();
        self.command_given = true;
        let sent = self
            .counter
            .as_ref()
            .and_then(|counter| counter.tx_bytes().ok());
        self.wire = self
            .wire
            .zip(sent)
            .map(|(wire, tx_bytes)| WireStart { tx_bytes, ..wire });
        self.vcpu = self
            .threads
            .as_ref()
            .and_then(|(pid, threads)| VcpuMeter::start(*pid, threads).ok());
        self
    }

    /// Whether the migration command was about to be given.
    pub fn command_given(&self) -> bool {
        self.command_given
    }

    /// The instant of the command by this process's clock; `None` when the
    /// wall clock was set back since.
    pub fn began_instant(&self) -> Option<Instant> {
        let ago = Duration::try_from(Timestamp::now().duration_since(self.started_at)).ok()?;
        Instant::now().checked_sub(ago)
    }

    /// Bytes sent on the interface of the route since the command.
    pub fn wire_since_start(&self) -> Option<Bytes> {
        let start = self.wire.filter(|_| self.command_given)?;
        let now = match &self.counter {
            Some(counter) => counter.tx_bytes().ok()?,
            None => WireCounter::open(start.pid, start.address)
                .ok()?
                .tx_bytes()
                .ok()?,
        };
        Some(now.saturating_sub(start.tx_bytes))
    }

    /// CPU time of the guest since the command.
    pub(crate) fn vcpu_now(&self) -> Option<VcpuReading> {
        let used = self.vcpu.as_ref()?.now().ok()?;
        let vcpus = u32::try_from(self.threads.as_ref()?.1.len()).ok()?;
        Some(VcpuReading {
            cpu_s: used.cpu_time.as_secs_f64(),
            elapsed_s: used.elapsed.as_secs_f64(),
            vcpus,
        })
    }
}
