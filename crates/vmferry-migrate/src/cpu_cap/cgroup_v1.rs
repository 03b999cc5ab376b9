//! `cpu.cfs_quota_us`, `cpu.cfs_period_us` and `cpu.shares` of a v1 hierarchy
//! (Linux, `Documentation/scheduler/sched-bwc.rst`).

use std::path::Path;
use std::time::Duration;

use super::cgroup::{Quota, Throttling, counter, optional};
use super::error::CpuCapError;
use super::files::Files;

pub(crate) const QUOTA: &str = "cpu.cfs_quota_us";
pub(crate) const PERIOD: &str = "cpu.cfs_period_us";
pub(crate) const SHARES: &str = "cpu.shares";

/// The shares that the kernel takes.
const SHARES_RANGE: (f64, f64) = (2.0, 262_144.0);

pub(crate) fn quota_text(quota: Option<Quota>) -> String {
    quota.map_or_else(|| "-1".to_owned(), |quota| quota.quota_us.to_string())
}

/// Shares are the scheduler's own units.
pub(crate) fn shares_text(weight: f64) -> String {
    let (least, most) = SHARES_RANGE;
    (weight.round().clamp(least, most) as u64).to_string()
}

pub(crate) fn quota_of(files: &dyn Files, dir: &Path) -> Result<Option<Quota>, CpuCapError> {
    let quota = optional(files, &dir.join(QUOTA))?;
    let period = optional(files, &dir.join(PERIOD))?;
    // -1 stands for no quota.
    let number = |text: Option<String>| text?.trim().parse::<u64>().ok();
    Ok(number(quota)
        .zip(number(period))
        .map(|(quota_us, period_us)| Quota {
            quota_us,
            period_us,
        }))
}

pub(crate) fn throttling(stat: &str) -> Option<Throttling> {
    Some(Throttling {
        periods: counter(stat, "nr_periods")?,
        throttled_periods: counter(stat, "nr_throttled")?,
        throttled: Duration::from_nanos(counter(stat, "throttled_time")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_counters_are_v1_s() {
        let quota = Quota {
            quota_us: 20_000,
            period_us: 100_000,
        };
        assert_eq!(quota_text(Some(quota)), "20000");
        assert_eq!(quota_text(None), "-1");
        assert_eq!(shares_text(1024.4), "1024");
        assert_eq!(shares_text(0.1), "2");
        assert_eq!(shares_text(1e9), "262144");
        let stat = "nr_periods 9\nnr_throttled 4\nthrottled_time 320000000\nnr_bursts 0\n";
        assert_eq!(
            throttling(stat),
            Some(Throttling {
                periods: 9,
                throttled_periods: 4,
                throttled: Duration::from_millis(320),
            })
        );
        assert_eq!(throttling(""), None);
    }
}
