//! `cpu.max`, `cpu.weight` and threaded groups of the v2 hierarchy (Linux,
//! `Documentation/admin-guide/cgroup-v2.rst`).

use std::path::Path;
use std::time::Duration;

use super::cgroup::{Quota, Throttling, counter, optional};
use super::error::CpuCapError;
use super::files::Files;
use super::thread::NICE_0_WEIGHT;

pub(crate) const MAX: &str = "cpu.max";
pub(crate) const WEIGHT: &str = "cpu.weight";
/// Says what kind a group is; ours are `threaded`.
pub(crate) const TYPE: &str = "cgroup.type";
/// Lists the controllers that a group's children have.
pub(crate) const SUBTREE: &str = "cgroup.subtree_control";

/// A weight of 100 is the scheduler's 1024.
pub(crate) const WEIGHT_UNIT: f64 = NICE_0_WEIGHT / 100.0;
/// The weights that the kernel takes.
const WEIGHT_RANGE: (f64, f64) = (1.0, 10_000.0);

pub(crate) fn max_text(quota: Option<Quota>, period_us: u64) -> String {
    match quota {
        Some(quota) => format!("{} {}", quota.quota_us, quota.period_us),
        None => format!("max {period_us}"),
    }
}

pub(crate) fn weight_text(weight: f64) -> String {
    let (least, most) = WEIGHT_RANGE;
    let units = (weight / WEIGHT_UNIT).round().clamp(least, most);
    (units as u64).to_string()
}

pub(crate) fn quota_of(files: &dyn Files, dir: &Path) -> Result<Option<Quota>, CpuCapError> {
    let text = optional(files, &dir.join(MAX))?.unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    // `max` stands for no quota.
    let mut number = || words.next()?.parse::<u64>().ok();
    Ok(number().zip(number()).map(|(quota_us, period_us)| Quota {
        quota_us,
        period_us,
    }))
}

pub(crate) fn throttling(stat: &str) -> Option<Throttling> {
    Some(Throttling {
        periods: counter(stat, "nr_periods")?,
        throttled_periods: counter(stat, "nr_throttled")?,
        throttled: Duration::from_micros(counter(stat, "throttled_usec")?),
    })
}

/// Whether a group's children have the CPU controller.
pub(crate) fn gives_cpu(files: &dyn Files, dir: &Path) -> Result<bool, CpuCapError> {
    let given = optional(files, &dir.join(SUBTREE))?.unwrap_or_default();
    Ok(given.split_ascii_whitespace().any(|c| c == "cpu"))
}

/// Whether somebody has set a quota or weight for a child of this group.
pub(crate) fn is_used_by_children(files: &dyn Files, dir: &Path) -> Result<bool, CpuCapError> {
    let folders = files
        .folders(dir)
        .map_err(CpuCapError::file("listing", dir))?;
    for child in folders {
        let max = optional(files, &child.join(MAX))?;
        let weight = optional(files, &child.join(WEIGHT))?;
        let capped = max.is_some_and(|max| !max.starts_with("max "));
        if capped || weight.is_some_and(|weight| weight.trim() != "100") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_counters_are_v2_s() {
        let quota = Quota {
            quota_us: 20_000,
            period_us: 50_000,
        };
        assert_eq!(max_text(Some(quota), 50_000), "20000 50000");
        assert_eq!(max_text(None, 50_000), "max 50000");
        assert_eq!(weight_text(1024.0), "100");
        assert_eq!(weight_text(0.0), "1");
        assert_eq!(weight_text(1e9), "10000");
        let stat =
            "usage_usec 5\nnr_periods 9\nnr_throttled 4\nthrottled_usec 320000\nnr_bursts 0\n";
        let read = throttling(stat).unwrap();
        assert_eq!(
            (read.throttled_periods, read.throttled),
            (4, Duration::from_millis(320))
        );
    }
}
