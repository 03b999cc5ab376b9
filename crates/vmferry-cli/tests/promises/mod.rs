//! What the tests of promised moves share.

mod faults;
mod kept;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vmferry::core::ByteRate;
use vmferry::testbed::{Side, TestGuest};

use crate::site::{Site, wait_for};

/// A link that the guest of [`BUSY`] outruns.
const LINK: ByteRate = ByteRate::from_mbit_per_s(200.0);
/// A set that is written over and over, faster than the link carries it.
const BUSY: &str = "uniform:set=48M,rate=80M";
/// A promise that this guest keeps under a cap only. Other tests keep the
/// machine busy: the deadline is far.
const CAPPED: [&str; 12] = [
    "--bandwidth",
    "200Mbit/s",
    "--window",
    "4s",
    "--max-downtime",
    "500ms",
    "--deadline",
    "80s",
    "--throttle",
    "curve",
    "--policy",
    "urgent",
];
/// A link and a watch as in [`CAPPED`], for promises of other kinds.
const FORECAST: [&str; 4] = ["--bandwidth", "200Mbit/s", "--window", "4s"];
/// A stream between two rates, whatever the guest.
const COURTEOUS: [&str; 9] = [
    "--no-forecast",
    "--min-bandwidth",
    "5MiB/s",
    "--max-bandwidth",
    "15MiB/s",
    "--throttle",
    "courtesy",
    "-o",
    "jsonl",
];

/// The events of a run with `-o jsonl`, without its report.
fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    let named = |line: &&Value| line["event"] == name;
    lines.iter().filter(named).collect()
}

/// The warnings of a run.
fn warnings(lines: &[Value]) -> Vec<String> {
    let message = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
    events(lines, "warning").into_iter().map(message).collect()
}

/// The lowest share of its CPU that the guest was held to.
fn deepest_cap(lines: &[Value]) -> f64 {
    let shares = events(lines, "steered");
    let shares = shares
        .iter()
        .filter_map(|event| event["cpu_share"].as_f64());
    shares.fold(1.0, f64::min)
}

/// The groups of caps around the threads of a guest's virtual CPUs.
fn capped_groups(guest: &TestGuest) -> Vec<PathBuf> {
    let Some(pid) = guest.pid(Side::Source) else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
    {
        let Ok(task) = task else { continue };
        let listed = fs::read_to_string(task.path().join("cgroup")).unwrap_or_default();
        let paths = listed.lines().filter(|line| line.contains("vmferry-"));
        groups.extend(paths.filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let mount = controllers
                .split(',')
                .map(|name| Path::new("/sys/fs/cgroup").join(name))
                .find(|mount| mount.join(path.trim_start_matches('/')).is_dir())?;
            Some(mount.join(path.trim_start_matches('/')))
        }));
    }
    groups.sort();
    groups.dedup();
    groups
}

/// Waits until the guest is capped; returns the group.
async fn is_capped(guest: &TestGuest) -> PathBuf {
    wait_for("a cap on the guest", async || {
        let group = capped_groups(guest).pop()?;
        let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
        (quota.trim() != "-1").then_some(group)
    })
    .await
}

/// A site with a guest that does not converge by itself.
async fn busy_site() -> (Site, TestGuest) {
    Site::with_guest(LINK, BUSY).await
}
