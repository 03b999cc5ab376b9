//! One observation in a process of its own, which tells what it used.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use vmferry::core::{Bytes, GuestUri, Ratio};
use vmferry::measure::{Method, ObserveOptions, PageOptions};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};

use crate::Fault;

/// First argument of the process.
pub(crate) const COMMAND: &str = "observe";

/// Ticks per second in `/proc/PID/stat`: 100 on every Linux that QEMU's x86
/// guests run on, whatever the kernel's own clock (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// What one observation cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Share of a core by the observation's own account.
    pub(crate) own_account_core_share: Ratio,
    /// Processor time of the process, user and system, of all its threads,
    /// from its start until the observation was there.
    pub(crate) observing_cpu_s: f64,
    /// The same until its end: reading the observation included.
    pub(crate) cpu_s: f64,
    /// From the process's start until the observation was there.
    pub(crate) observing_s: f64,
    /// The same until its end.
    pub(crate) elapsed_s: f64,
    /// Resident memory before the observation.
    #[serde(rename = "resident_before_bytes")]
    pub(crate) resident_before: Bytes,
    /// Most resident memory.
    #[serde(rename = "resident_peak_bytes")]
    pub(crate) resident_peak: Bytes,
    /// Pages sampled, at the quicker pace.
    pub(crate) pages: u64,
    /// Looks at each of them.
    pub(crate) looks: u64,
    /// Version of the hypervisor.
    pub(crate) hypervisor_version: Option<String>,
    /// What the observation says of itself.
    pub(crate) notes: Vec<String>,
}

impl Cost {
    /// Share of a core that the whole process took.
    pub(crate) fn share(&self) -> f64 {
        self.cpu_s / self.elapsed_s
    }

    /// Share of a core that the process took while it observed.
    pub(crate) fn observing_share(&self) -> f64 {
        self.observing_cpu_s / self.observing_s
    }

    /// Resident memory that the observation added.
    pub(crate) fn growth(&self) -> Bytes {
        self.resident_peak.saturating_sub(self.resident_before)
    }
}

/// Observes in this process and reads what was seen, as `vmferry measure`
/// does. Returns the [`Cost`] as JSON.
pub(crate) fn observe(guest: &str, budget: &str, window_s: &str) -> Result<String, Fault> {
    let began = Instant::now();
    let guest: GuestUri = guest.parse()?;
    let options = ObserveOptions {
        pages: PageOptions {
            window: Duration::try_from_secs_f64(window_s.parse()?)?,
            budget: Ratio(budget.parse()?),
            ..PageOptions::default()
        },
        method: Method::Pages,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let resident_before = resident("VmRSS:")?;
    let observation = runtime.block_on(async {
        let guest = Guest::connect(&guest, ConnectOptions::default()).await?;
        Ok::<_, Fault>(vmferry_measure::observe(&guest, &options).await?)
    })?;
    let (observing_s, observing_cpu_s) = (began.elapsed().as_secs_f64(), cpu_s()?);
    let analysis = vmferry::model::analyse(&observation);
    std::hint::black_box(&analysis);
    let cost = Cost {
        own_account_core_share: observation.cost.cpu,
        observing_cpu_s,
        observing_s,
        resident_before,
        resident_peak: resident("VmHWM:")?,
        pages: observation.cost.pages.0,
        looks: observation.cost.looks,
        hypervisor_version: observation.host.hypervisor_version,
        notes: observation.notes,
        cpu_s: cpu_s()?,
        elapsed_s: began.elapsed().as_secs_f64(),
    };
    Ok(serde_json::to_string(&cost)?)
}

/// Has a process observe the guest, and returns when it has ended.
pub(crate) async fn observed(
    guest: &GuestUri,
    budget: Ratio,
    window: Duration,
) -> Result<Cost, Fault> {
    let output = Command::new(std::env::current_exe()?)
        .args([COMMAND, &guest.to_string(), &budget.0.to_string()])
        .arg(window.as_secs_f64().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        return Err(format!("the observing process failed: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Processor time of this process so far, ended threads included.
fn cpu_s() -> Result<f64, Fault> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold anything; user and system time are the
    // 12th and 13th word after it.
    let words: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().collect())
        .unwrap_or_default();
    let [user, system] = words
        .get(11..13)
        .ok_or("/proc/self/stat has too few words")?
    else {
        return Err("/proc/self/stat has too few words".into());
    };
    Ok((user.parse::<f64>()? + system.parse::<f64>()?) / TICKS_PER_S)
}

/// An amount of memory in `/proc/self/status`.
fn resident(key: &str) -> Result<Bytes, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB"))
        .ok_or_else(|| format!("/proc/self/status has no {key}"))?;
    Ok(Bytes(kib.trim().parse::<u64>()? << 10))
}
