//! What a benchmark measured: every raw sample, from which all else is computed again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vmferry_core::{Bytes, Forecast, HostInfo, Millis, Outcome, Ratio};
use vmferry_model::energy::MoveEnergy;

use crate::plan::{BenchPlan, Load};

/// A benchmark, whole or under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchRecord {
    /// 1.
    pub schema_version: u32,
    /// Version of vmferry.
    pub tool_version: String,
    /// Names it, also on disk.
    pub id: Uuid,
    /// When it was begun.
    pub started_at: jiff::Timestamp,
    /// When its last run ended; absent while it is under way.
    pub ended_at: Option<jiff::Timestamp>,
    /// What was asked for.
    pub plan: BenchPlan,
    /// The machine or machines.
    pub machine: MachineRecord,
    /// What the subjects are, in the order of the plan.
    pub subjects: Vec<SubjectRecord>,
    /// What is in the images of the workloads and in the tools of the clients.
    pub images: Vec<ImageRecord>,
    /// What heavy load means, of each workload that was run under it.
    #[serde(default)]
    pub heavy: Vec<HeavyLoad>,
    /// The runs that ended, in the order in which they were made.
    pub runs: Vec<RunRecord>,
}

/// Where a benchmark ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineRecord {
    /// The processor's own name.
    pub cpu: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Memory of the machine.
    pub memory_bytes: Bytes,
    /// The host's kernel.
    pub kernel: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// What differs from two real hosts, in words: "two namespaces on one machine".
    pub note: String,
}

/// What a subject turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectRecord {
    /// Its name in the plan.
    pub name: String,
    /// The hypervisor, asked.
    pub host: HostInfo,
}

/// An image or a set of tools, and the packages in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRecord {
    /// `web`, or `clients`.
    pub name: String,
    /// Name and version of every package, sorted.
    pub packages: Vec<(String, String)>,
}

/// Which run of a benchmark.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct RunKey {
    /// The subject's name.
    pub subject: String,
    /// The workload's name.
    pub workload: String,
    /// The load around it.
    pub load: Load,
    /// From 1 on.
    pub repeat: u32,
}

/// One run of a cell: the service without migrations, then with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Which one.
    pub key: RunKey,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// Guests beside the one that is migrated.
    pub background_guests: u32,
    /// The run without migrations; absent where it failed.
    pub reference: Option<ServiceRun>,
    /// The subject in whose run the reference was made, where that was not this run: subjects
    /// that differ only in how they migrate share it, within a repeat.
    #[serde(default)]
    pub reference_of: Option<String>,
    /// The run with a migration at every point; absent where it failed.
    pub migrated: Option<ServiceRun>,
    /// The migrations, in order; fewer than planned only where the run failed.
    pub points: Vec<PointRecord>,
    /// Why the run did not get to its end, in words.
    pub failure: Option<String>,
}

/// How many guests stand beside the migrated one under heavy load. Found with the plan's first
/// subject and then kept for all, so that they are judged under the same load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeavyLoad {
    /// The workload.
    pub workload: String,
    /// Guests beside the migrated one.
    pub background_guests: u32,
    /// What was measured on the way there.
    pub steps: Vec<HeavyStep>,
    /// Why it is not one more.
    pub because: HeavyEnd,
}

/// How the guests did with so many beside the one that is migrated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeavyStep {
    /// Guests beside it.
    pub background_guests: u32,
    /// Median over all guests of their operations per second.
    pub rate_per_s: f64,
}

/// Why no more guests were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum HeavyEnd {
    /// With the last one the median rate fell below 80 % of that of a guest alone.
    Hurts,
    /// The platform has no room for more.
    NoRoom,
    /// With one more a service did not come up or stalled.
    Fault {
        /// Why, in words.
        message: String,
    },
    /// Nobody counts what the guests do, so that nothing shows when they hurt: as many as there is
    /// room for.
    Uncounted,
    /// The plan says how many.
    Given,
}

/// How a service did over its running time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRun {
    /// What the clients count: `requests`, `transactions`.
    pub unit: String,
    /// The program that made the load, with its version.
    pub client: String,
    /// Running time, seconds, without the ways back.
    pub seconds: f64,
    /// Operations in that time.
    pub operations: u64,
    /// Operations that failed in that time.
    pub errors: u64,
    /// Operations of every sector, and its length in seconds without the way back.
    pub sectors: Vec<SectorWork>,
    /// Operations done since the begin of the running time, about once a second.
    pub series: Vec<WorkSample>,
}

/// What was done in a sector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SectorWork {
    /// Length, seconds, without the way back. Every sector but the first begins with observation
    /// and migration, and is longer than planned where those took longer.
    pub seconds: f64,
    /// Operations.
    pub operations: u64,
}

/// How far a service was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkSample {
    /// Since the begin of the running time, seconds, ways back included.
    pub at_s: f64,
    /// Operations done by then.
    pub operations: u64,
}

/// One migration at one point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointRecord {
    /// From 1 on; at the end of the sector of that number.
    pub point: u32,
    /// When the migration was commanded, seconds since the begin of the running time, ways back
    /// included. The guest is observed first, from the end of the sector on.
    pub at_s: f64,
    /// How it ended. What did not complete counts in the scores with the plan's deadline as total
    /// time and as downtime, and with the data sent until it was given up. What was refused has no
    /// data.
    pub status: PointStatus,
    /// Why it did not complete, in words.
    pub failure: Option<String>,
    /// What was forecast before it was commanded, never touched after; absent where no forecast
    /// could be made (see `forecast_failure`).
    pub forecast: Option<Forecast>,
    /// Why there is no forecast, in words.
    pub forecast_failure: Option<String>,
    /// What vmferry itself recorded of the move.
    pub outcome: Option<Outcome>,
    /// From the command to its end.
    pub total_time_ms: Option<Millis>,
    /// The guest's absence as seen from outside, by each way of looking.
    pub downtime: Downtimes,
    /// The longest time that one request of the service took, or a client waited for the next.
    pub longest_stall_ms: Option<Millis>,
    /// Latency of the service's own requests.
    pub latency: Phases<Option<Latency>>,
    /// What the migration's TCP connections carried, source to destination: payload, without the
    /// headers of packets, and what was sent twice counted twice. What the link carried, headers
    /// included, is `outcome.wire_bytes`.
    pub migrated_bytes: Option<Bytes>,
    /// CPU time of the migration's own threads.
    pub migration_cpu: MigrationCpu,
    /// CPU of the benchmark itself, all its threads (procedure, driver of the move, probes), not the
    /// load's clients, from the command to the migration's end, as a share of one core.
    pub bench_cpu: Option<Ratio>,
    /// Energy of the migration, joules: the sum over the hosts that the plan names meters of.
    pub energy_j: Option<f64>,
    /// The same of each of them, and what it was told by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub energy: Vec<HostEnergy>,
    /// Why it is not told although a meter is named, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_failure: Option<String>,
    /// Parts of the blackout.
    pub blackout: Blackout,
    /// The way back.
    pub back: Option<WayBack>,
    /// Every answer and every silence from some seconds before the command to some seconds after
    /// the end.
    pub probes: Vec<ProbeTrace>,
}

impl PointRecord {
    /// A migration of which nothing was measured but how it ended.
    #[must_use]
    pub fn unmeasured(status: PointStatus) -> Self {
        Self {
            point: 0,
            at_s: 0.0,
            status,
            failure: None,
            forecast: None,
            forecast_failure: None,
            outcome: None,
            total_time_ms: None,
            downtime: Downtimes::default(),
            longest_stall_ms: None,
            latency: Phases::default(),
            migrated_bytes: None,
            migration_cpu: MigrationCpu::default(),
            bench_cpu: None,
            energy_j: None,
            energy: Vec::new(),
            energy_failure: None,
            blackout: Blackout::default(),
            back: None,
            probes: Vec::new(),
        }
    }
}

/// How a migration of a benchmark ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PointStatus {
    /// The guest runs at the destination.
    Completed,
    /// It had not converged by the plan's deadline and was cancelled.
    NotConverged,
    /// It failed: the guest runs at the source, or was lost, which ends its run.
    Failed,
    /// It was advised against, or refused, before it began.
    Refused,
}

/// Downtime by who looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Downtimes {
    /// ICMP echo every 5 ms.
    pub icmp_ms: Option<Millis>,
    /// TCP connections every 10 ms, which is also how exact it is: to the service's port, or to a
    /// closed one where connections would be the service's work.
    pub tcp_ms: Option<Millis>,
    /// Requests, one after the other, 10 ms apart at least: the service's own, or echoes by a
    /// program in the guest where that serves nobody over the network.
    pub service_ms: Option<Millis>,
}

/// The same before, during and after a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phases<T> {
    /// Some seconds before the command.
    pub before: T,
    /// From the command to the end.
    pub during: T,
    /// Some seconds after the end.
    pub after: T,
}

/// Latency of requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Requests answered.
    pub count: u64,
    /// Median.
    pub p50_ms: Millis,
    /// 95th percentile.
    pub p95_ms: Millis,
    /// 99th percentile.
    pub p99_ms: Millis,
    /// Longest.
    pub max_ms: Millis,
}

/// CPU time of a migration's threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationCpu {
    /// Of the threads that send, seconds.
    pub source_s: Option<f64>,
    /// Of the thread that loads, until the guest resumes, seconds.
    pub destination_s: Option<f64>,
}

/// What a migration cost one host: the power above that of the same run before its first migration,
/// under the same load, over the readings that span the migration from command to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostEnergy {
    /// Which host.
    pub host: MeteredHost,
    /// Name of the meter.
    pub meter: String,
    /// Readings that did not come or made no sense, since the meter was read last.
    pub refused_readings: usize,
    /// The energy, its error, and the background that it is above.
    #[serde(flatten)]
    pub energy: MoveEnergy,
}

/// A host with a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeteredHost {
    /// The system under test.
    Source,
    /// The target of migrations.
    Destination,
}

/// Parts of the time in which nobody answers, in order. Their sum is the downtime by ICMP, to the
/// pace of the probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blackout {
    /// Guest stopped to last page sent.
    pub last_pass_ms: Option<Millis>,
    /// State of devices, until the source has sent everything.
    pub device_state_ms: Option<Millis>,
    /// Until the destination lets the guest run.
    pub destination_start_ms: Option<Millis>,
    /// Until the first answer comes back over the network.
    pub network_return_ms: Option<Millis>,
}

/// The static migration after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WayBack {
    /// How long the guest was stopped for it.
    pub stopped_ms: Millis,
    /// Whether the service answered again, and went on where it was.
    pub checked: bool,
}

/// What probes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// ICMP echo.
    Icmp,
    /// TCP connections, made or refused.
    Tcp,
    /// The service's own requests, or echoes where it has none over the network.
    Service,
}

/// What a probe saw, in columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeTrace {
    /// How it asked.
    pub kind: ProbeKind,
    /// The usual time from question to question, milliseconds; only where the questions themselves
    /// are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace_ms: Option<Millis>,
    /// When it asked, milliseconds since the command.
    pub asked_ms: Vec<f64>,
    /// How long the answer took, milliseconds; `None` where none came.
    pub latency_ms: Vec<Option<f64>>,
    /// What it asked, in words: "connections to port 80". Absent where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
}

impl ProbeTrace {
    /// The usual time from question to question: how exact a downtime is. `None` of fewer than two
    /// questions.
    pub fn pace(&self) -> Option<Millis> {
        if self.pace_ms.is_some() {
            return self.pace_ms;
        }
        let pairs = self.asked_ms.windows(2);
        let mut gaps: Vec<f64> = pairs.map(|pair| pair[1] - pair[0]).collect();
        gaps.retain(|gap| gap.is_finite());
        gaps.sort_by(f64::total_cmp);
        let last = gaps.len().checked_sub(1)?;
        let median = f64::midpoint(gaps[last / 2], gaps[last.div_ceil(2)]);
        Some(Millis(median))
    }

    /// The same without its questions and answers; the pace stays.
    pub(crate) fn empty(&mut self) {
        self.pace_ms = self.pace();
        self.asked_ms.clear();
        self.latency_ms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_its_pace_when_it_is_emptied() {
        let read = |text: &str| serde_json::from_str::<ProbeTrace>(text).unwrap();
        let mut trace = read(
            r#"{"kind":"tcp","asked_ms":[-20,-10,0,35,45],"latency_ms":[0.4,0.4,null,0.4,0.4]}"#,
        );
        assert_eq!(trace.pace(), Some(Millis(10.0)));
        trace.empty();
        assert!(trace.asked_ms.is_empty() && trace.latency_ms.is_empty());
        assert_eq!(trace.pace(), Some(Millis(10.0)));
        // Of older records nothing is known.
        let old = read(r#"{"kind":"icmp","asked_ms":[],"latency_ms":[]}"#);
        assert_eq!(old.pace(), None);
        let mut alone = old.clone();
        alone.asked_ms = vec![0.0];
        alone.empty();
        assert_eq!(alone, old);
    }
}
