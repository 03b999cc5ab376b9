//! Weights as an alternative to quotas (`jin2011` eq. 10).

use super::cgroup::{CgroupVersion, optional};
use super::error::CpuCapError;
use super::files::Files;
use super::hierarchy::Home;
use super::thread;

/// The weight that gives a share `e` of the CPU, 0..1, against others with
/// weights that sum up to `others`: `w_0 = e / (1 - e) * sum(w_i)` (`jin2011`
/// eq. 10). Unit: whatever the others are in.
///
/// ```
/// use vmferry_migrate::cpu_cap::weight_for_share;
/// // A fifth against one guest at 1024: it gets four times as much.
/// assert_eq!(weight_for_share(0.2, 1024.0), 256.0);
/// ```
pub fn weight_for_share(e: f64, others: f64) -> f64 {
    e / (1.0 - e) * others
}

/// The weights, in the scheduler's units, of whatever competes with groups of
/// ours within a home: groups beside them with threads in them, and threads of
/// the home itself that want a CPU right now. (In the root group hundreds of
/// threads only sleep: they compete for nothing.)
pub(crate) fn competitors(
    files: &dyn Files,
    home: &Home,
    ours: &[&std::path::Path],
) -> Result<f64, CpuCapError> {
    let mut sum = 0.0;
    let folders = files
        .folders(&home.dir)
        .map_err(CpuCapError::file("listing", &home.dir))?;
    for group in folders {
        if ours.contains(&group.as_path()) || !is_populated(files, home.version, &group)? {
            continue;
        }
        sum += home.version.weight_of(files, &group)?.unwrap_or(0.0);
    }
    for tid in home
        .version
        .threads_of(files, &home.dir)?
        .unwrap_or_default()
    {
        if let Some(stat) = thread::stat_of_any(files, tid)?
            && stat.wants_cpu()
            && !stat.is_real_time()
        {
            sum += stat.weight();
        }
    }
    Ok(sum)
}

/// Whether threads are in a group or below it. For v1, whose kernel does not
/// tell, a group with children counts as populated.
fn is_populated(
    files: &dyn Files,
    version: CgroupVersion,
    group: &std::path::Path,
) -> Result<bool, CpuCapError> {
    match version {
        CgroupVersion::V1 => {
            let threads = version.threads_of(files, group)?;
            Ok(threads.is_some_and(|threads| !threads.is_empty())
                || files.folders(group).is_ok_and(|below| !below.is_empty()))
        }
        CgroupVersion::V2 => {
            let events = optional(files, &group.join("cgroup.events"))?.unwrap_or_default();
            Ok(events.lines().any(|line| line == "populated 1"))
        }
    }
}
