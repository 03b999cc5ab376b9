//! The windows, one after the other, on one guest.

use std::time::{Duration, Instant};

use serde::Serialize;
use vmferry::core::{Bytes, PAGE_SIZE};
use vmferry::testbed::{ConsoleWatch, GuestSpec, TestGuest, Testbed};

use crate::Fault;
use crate::observer::{self, Cost};
use crate::schedule::{Kind, Schedule};

/// The guest's memory, and the most a testbed gives.
const MEMORY: Bytes = Bytes::from_mib(4096);
/// Half of it holds something, and a writer rewrites a part of that as fast as
/// it can: a writer with a limit would make up for what it loses.
const LOAD: &str = "uniform:set=256M,rate=max,fill=2G";
/// A guest reports every 100 ms.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// How often its console is looked at for a report to come.
const POLL: Duration = Duration::from_millis(50);

/// One window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Window {
    pub(crate) kind: Kind,
    pub(crate) seconds: f64,
    /// What the guest wrote, by its own count.
    pub(crate) rate_bytes_per_s: f64,
    /// What the observation in it cost.
    pub(crate) cost: Option<Cost>,
}

/// All windows and what they were made with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) schedule: Schedule,
    pub(crate) memory_bytes: Bytes,
    pub(crate) load: String,
    pub(crate) accelerator: String,
    pub(crate) cores: usize,
    /// `/proc/loadavg` as it began: what else ran here.
    pub(crate) load_average: String,
    pub(crate) windows: Vec<Window>,
}

impl Series {
    /// Windows of a kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |w| w.kind == kind)
    }

    /// Rates in the windows of a kind over the mean rate in the two windows
    /// without observation around each: those next to it, or those two further
    /// on for a window without observation itself.
    pub(crate) fn ratios(&self, kind: Kind) -> Vec<f64> {
        let distance = if kind == Kind::Alone { 2 } else { 1 };
        let rate = |i: usize| Some(self.windows.get(i)?.rate_bytes_per_s);
        self.windows
            .iter()
            .enumerate()
            .filter(|(_, window)| window.kind == kind)
            .filter_map(|(i, window)| {
                let before = rate(i.checked_sub(distance)?)?;
                let after = rate(i + distance)?;
                Some(window.rate_bytes_per_s / ((before + after) / 2.0))
            })
            .collect()
    }
}

/// Boots the guest, goes through the windows and removes the guest.
pub(crate) async fn run(schedule: &Schedule) -> Result<Series, Fault> {
    let load_average = std::fs::read_to_string("/proc/loadavg")?;
    let testbed = Testbed::builder().build().await?;
    let spec = GuestSpec::new("guest", LOAD).memory(MEMORY);
    println!("Booting a guest of {MEMORY} with the load {LOAD}");
    let guest = testbed.start_guest(spec).await?;
    let windows = windows(schedule, &guest).await;
    let accelerator = testbed.accelerator().to_string();
    testbed.close().await?;
    Ok(Series {
        schedule: *schedule,
        memory_bytes: MEMORY,
        load: LOAD.to_owned(),
        accelerator,
        cores: std::thread::available_parallelism()?.get(),
        load_average: load_average.trim().to_owned(),
        windows: windows?,
    })
}

async fn windows(schedule: &Schedule, guest: &TestGuest) -> Result<Vec<Window>, Fault> {
    let console = guest.console_watch();
    tokio::time::sleep(schedule.settle()).await;
    let kinds = schedule.windows();
    let mut windows = Vec::with_capacity(kinds.len());
    for (number, kind) in kinds.iter().enumerate() {
        let length = schedule.window(*kind);
        let began = Instant::now();
        let cost = match kind.budget() {
            None => {
                tokio::time::sleep(length).await;
                None
            }
            Some(budget) => Some(observer::observed(&guest.source_uri(), budget, length).await?),
        };
        let ended = Instant::now();
        let window = Window {
            kind: *kind,
            seconds: (ended - began).as_secs_f64(),
            rate_bytes_per_s: rate(&console, began, ended).await?,
            cost,
        };
        println!("[{}/{}] {}", number + 1, kinds.len(), window.line());
        windows.push(window);
    }
    Ok(windows)
}

/// Bytes per second that the guest wrote by its own count.
async fn rate(console: &ConsoleWatch, from: Instant, to: Instant) -> Result<f64, Fault> {
    let deadline = Instant::now() + REPORT_PATIENCE;
    loop {
        if let Some(pages) = console.work_between(from, to) {
            let bytes = pages.iter().sum::<f64>() * PAGE_SIZE.0 as f64;
            return Ok(bytes / (to - from).as_secs_f64());
        }
        if Instant::now() > deadline {
            return Err("the guest reports no more; is the machine overloaded?".into());
        }
        // The console is a file: nothing tells that it has grown.
        tokio::time::sleep(POLL).await;
    }
}

impl Window {
    fn line(&self) -> String {
        let cost = self.cost.as_ref().map_or_else(String::new, |cost| {
            format!(
                "; {:.2} % of a core by its own account, {:.2} % by /proc; {} at most",
                cost.own_account_core_share.percent(),
                cost.share() * 100.0,
                cost.resident_peak,
            )
        });
        format!(
            "{:?}, {:.1} s: the guest wrote {:.1} MiB/s{cost}",
            self.kind,
            self.seconds,
            self.rate_bytes_per_s / f64::from(1 << 20),
        )
    }
}
