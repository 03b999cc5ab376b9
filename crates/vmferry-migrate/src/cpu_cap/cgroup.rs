//! The two kinds of control groups, and a group that is ours.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cgroup_v1;
use super::cgroup_v2;
use super::error::{CpuCapError, Loss};
use super::files::{Files, is_missing};
use super::hierarchy::numbers;

/// Version of the control group interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// A hierarchy a controller: `cpu.cfs_quota_us`, `cpu.shares`, `tasks`.
    V1,
    /// One hierarchy: `cpu.max`, `cpu.weight`, `cgroup.threads`.
    V2,
}

/// A bound on CPU time: so many microseconds in every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) quota_us: u64,
    pub(crate) period_us: u64,
}

/// The kernel refuses smaller quotas (`min_cfs_quota_period`).
pub(crate) const LEAST_QUOTA_US: u64 = 1_000;

impl Quota {
    /// Processors' worth of CPU time.
    pub(crate) fn cpus(self) -> f64 {
        self.quota_us as f64 / self.period_us as f64
    }

    /// As much with another period, rounded down.
    pub(crate) fn over(self, period_us: u64) -> Self {
        let scaled =
            u128::from(self.quota_us) * u128::from(period_us) / u128::from(self.period_us.max(1));
        Self {
            quota_us: u64::try_from(scaled).unwrap_or(u64::MAX),
            period_us,
        }
    }
}

/// How often the kernel held a group back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which the group ran.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// How long, over all of its processors.
    pub throttled: std::time::Duration,
}

impl CgroupVersion {
    /// The file that lists a group's threads, and takes new ones.
    pub(crate) fn threads_file(self) -> &'static str {
        match self {
            Self::V1 => "tasks",
            Self::V2 => "cgroup.threads",
        }
    }

    /// The file with the quota.
    pub(crate) fn quota_file(self) -> &'static str {
        match self {
            Self::V1 => cgroup_v1::QUOTA,
            Self::V2 => cgroup_v2::MAX,
        }
    }

    /// The file with the weight.
    pub(crate) fn weight_file(self) -> &'static str {
        match self {
            Self::V1 => cgroup_v1::SHARES,
            Self::V2 => cgroup_v2::WEIGHT,
        }
    }

    /// What is written there for a quota, or for none; the period of v1 has a
    /// file of its own.
    pub(crate) fn quota_text(self, quota: Option<Quota>, period_us: u64) -> String {
        match self {
            Self::V1 => cgroup_v1::quota_text(quota),
            Self::V2 => cgroup_v2::max_text(quota, period_us),
        }
    }

    /// What is written for a weight in the scheduler's units, in which a
    /// thread at nice 0 has 1024; clamped to what the kernel takes.
    pub(crate) fn weight_text(self, weight: f64) -> String {
        match self {
            Self::V1 => cgroup_v1::shares_text(weight),
            Self::V2 => cgroup_v2::weight_text(weight),
        }
    }

    /// The quota of a group; `None` where it has none, the root for example.
    pub(crate) fn quota_of(
        self,
        files: &dyn Files,
        dir: &Path,
    ) -> Result<Option<Quota>, CpuCapError> {
        match self {
            Self::V1 => cgroup_v1::quota_of(files, dir),
            Self::V2 => cgroup_v2::quota_of(files, dir),
        }
    }

    /// The weight of a group in the scheduler's units.
    pub(crate) fn weight_of(
        self,
        files: &dyn Files,
        dir: &Path,
    ) -> Result<Option<f64>, CpuCapError> {
        let unit = match self {
            Self::V1 => 1.0,
            Self::V2 => cgroup_v2::WEIGHT_UNIT,
        };
        let text = optional(files, &dir.join(self.weight_file()))?;
        Ok(text.and_then(|text| Some(text.trim().parse::<f64>().ok()? * unit)))
    }

    /// The threads directly in a group; `None` where it is gone.
    pub(crate) fn threads_of(
        self,
        files: &dyn Files,
        dir: &Path,
    ) -> Result<Option<Vec<u32>>, CpuCapError> {
        let text = optional(files, &dir.join(self.threads_file()))?;
        Ok(text.map(|text| numbers(&text).collect()))
    }
}

/// A file's text; `None` where it, or its group, is not there.
pub(crate) fn optional(files: &dyn Files, file: &Path) -> Result<Option<String>, CpuCapError> {
    match files.read(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(CpuCapError::file("reading", file)(error)),
    }
}

/// Writes a setting of a group and reads it back.
pub(crate) fn set(
    files: &dyn Files,
    doing: &'static str,
    file: &Path,
    text: &str,
) -> Result<(), CpuCapError> {
    let group = || file.parent().map_or_else(PathBuf::new, Path::to_owned);
    let gone = |error: io::Error| {
        if is_missing(&error) {
            CpuCapError::Lost(Loss::GroupGone { group: group() })
        } else {
            CpuCapError::file(doing, file)(error)
        }
    };
    files.write(file, text).map_err(gone)?;
    let reads = files.read(file).map_err(gone)?;
    if reads.trim() == text {
        Ok(())
    } else {
        Err(CpuCapError::ReadBack {
            file: file.to_owned(),
            wrote: text.to_owned(),
            reads: reads.trim().to_owned(),
        })
    }
}

/// The number after a word of `cpu.stat`.
pub(crate) fn counter(stat: &str, word: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix(word))?;
    line.strip_prefix(' ')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_keep_below_what_they_are_measured_by() {
        let third = Quota {
            quota_us: 10_000,
            period_us: 30_000,
        };
        let ours = third.over(100_000);
        assert_eq!(ours.quota_us, 33_333);
        assert!(ours.cpus() <= third.cpus());
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let stat = "nr_periods 12\nnr_throttled 3\nthrottled_time 4500\n";
        assert_eq!(counter(stat, "nr_throttled"), Some(3));
        assert_eq!(counter(stat, "nr_period"), None);
        assert_eq!(counter(stat, "usage_usec"), None);
    }
}
