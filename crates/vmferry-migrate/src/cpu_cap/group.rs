//! A group of ours: threads in it, a quota on them.

use std::path::{Path, PathBuf};

use super::cgroup::CgroupVersion;
use super::cgroup::{LEAST_QUOTA_US, Quota, Throttling, optional, set};
use super::error::{CpuCapError, Loss};
use super::files::{Files, is_missing, libc_errno};
use super::hierarchy::{Home, lists};
use super::thread::{self, ThreadMark};
use super::{cgroup_v1, cgroup_v2};

/// A child of the group in which the threads were.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) home: Home,
    pub(crate) dir: PathBuf,
    pub(crate) vcpus: Vec<u64>,
    pub(crate) threads: Vec<ThreadMark>,
    /// The weight that its threads had one by one: a group of its own has as
    /// much as a single thread otherwise.
    pub(crate) own_weight: f64,
    /// What was written last.
    pub(crate) quota_text: Option<String>,
    pub(crate) weight_text: Option<String>,
}

impl Group {
    /// Makes the directory and readies it; nothing is in it yet.
    pub(crate) fn make(&mut self, files: &dyn Files, period_us: u64) -> Result<(), CpuCapError> {
        files
            .make_dir(&self.dir)
            .map_err(CpuCapError::file("making the group", &self.dir))?;
        if self.home.version == CgroupVersion::V2 {
            let kind = self.dir.join(cgroup_v2::TYPE);
            set(files, "making threaded", &kind, "threaded")?;
            give_cpu(files, &self.home.dir)?;
        } else if self.has(files, cgroup_v1::PERIOD) {
            let period = self.dir.join(cgroup_v1::PERIOD);
            set(files, "setting the period", &period, &period_us.to_string())?;
        }
        if self.has(files, self.home.version.weight_file()) {
            self.set_weight(files, self.own_weight)?;
        }
        Ok(())
    }

    /// Moves the threads in.
    pub(crate) fn fill(&self, files: &dyn Files, pid: u32) -> Result<(), CpuCapError> {
        for ThreadMark { tid, start_time } in &self.threads {
            // Its number may be another one's by now.
            let stat = thread::stat(files, pid, *tid)?;
            if stat.is_none_or(|stat| stat.start_time != *start_time) {
                return Err(CpuCapError::ThreadGone { pid, tid: *tid });
            }
            match move_thread(files, self.home.version, &self.dir, *tid) {
                Ok(()) => {}
                Err(error) if is_missing_thread(&error) => {
                    return Err(CpuCapError::ThreadGone { pid, tid: *tid });
                }
                Err(error) => return Err(error),
            }
        }
        let file = self.dir.join(self.home.version.threads_file());
        let listed = files
            .read(&file)
            .map_err(CpuCapError::file("reading", &file))?;
        match self.threads.iter().find(|t| !lists(&listed, t.tid)) {
            None => Ok(()),
            Some(ThreadMark { tid, .. }) if thread::stat(files, pid, *tid)?.is_none() => {
                Err(CpuCapError::ThreadGone { pid, tid: *tid })
            }
            Some(ThreadMark { tid, .. }) => Err(CpuCapError::ReadBack {
                file,
                wrote: tid.to_string(),
                reads: listed.split_whitespace().collect::<Vec<_>>().join(" "),
            }),
        }
    }

    /// Gives every thread so much of a CPU, or lifts the quota. Returns the
    /// share of a CPU that each may really use: a quota above binds too.
    pub(crate) fn set_quota(
        &mut self,
        files: &dyn Files,
        share: Option<f64>,
        period_us: u64,
    ) -> Result<f64, CpuCapError> {
        let version = self.home.version;
        let threads = self.threads.len() as f64;
        let above = self.quota_above(files)?;
        let quota = share.map(|share| {
            let wanted = (share * threads * period_us as f64).round() as u64;
            let wanted = Quota {
                quota_us: wanted.max(LEAST_QUOTA_US),
                period_us,
            };
            match above {
                Some(above) if above.cpus() < wanted.cpus() => above.over(period_us),
                _ => wanted,
            }
        });
        let text = version.quota_text(quota, period_us);
        let file = self.dir.join(version.quota_file());
        if self.quota_text.is_none() && !self.has(files, version.quota_file()) {
            return Err(self.unable(
                files,
                "CPU quota",
                "cap by weight instead, or use QEMU's own throttle",
            ));
        }
        set(files, "setting the quota", &file, &text)?;
        self.quota_text = Some(text);
        let bounds = [quota, above].into_iter().flatten().map(Quota::cpus);
        Ok(bounds.fold(threads, f64::min) / threads)
    }

    /// Sets the weight, in the scheduler's units.
    pub(crate) fn set_weight(
        &mut self,
        files: &dyn Files,
        weight: f64,
    ) -> Result<bool, CpuCapError> {
        let version = self.home.version;
        let text = version.weight_text(weight);
        if self.weight_text.as_ref() == Some(&text) {
            return Ok(false);
        }
        if !self.has(files, version.weight_file()) {
            return Err(self.unable(files, "CPU weight", "use QEMU's own throttle"));
        }
        let file = self.dir.join(version.weight_file());
        set(files, "setting the weight", &file, &text)?;
        self.weight_text = Some(text);
        Ok(true)
    }

    /// The tightest quota among the groups that ours is in: the host's own.
    fn quota_above(&self, files: &dyn Files) -> Result<Option<Quota>, CpuCapError> {
        let mut tightest: Option<Quota> = None;
        for dir in self.home.dir.ancestors() {
            if let Some(quota) = self.home.version.quota_of(files, dir)?
                && tightest.is_none_or(|known| quota.cpus() < known.cpus())
            {
                tightest = Some(quota);
            }
            if dir == self.home.mount {
                break;
            }
        }
        Ok(tightest)
    }

    /// How often it was held back; `None` where the kernel does not count.
    pub(crate) fn throttling(&self, files: &dyn Files) -> Result<Option<Throttling>, CpuCapError> {
        let stat = optional(files, &self.dir.join("cpu.stat"))?.unwrap_or_default();
        Ok(match self.home.version {
            CgroupVersion::V1 => cgroup_v1::throttling(&stat),
            CgroupVersion::V2 => cgroup_v2::throttling(&stat),
        })
    }

    /// Whether the cap is still in force; if not, how it was lost.
    pub(crate) fn loss(&self, files: &dyn Files, pid: u32) -> Result<Option<Loss>, CpuCapError> {
        let mut alive = Vec::new();
        for mark in &self.threads {
            if thread::stat(files, pid, mark.tid)?
                .is_some_and(|stat| stat.start_time == mark.start_time)
            {
                alive.push(mark.tid);
            }
        }
        if alive.is_empty() {
            return Ok(Some(Loss::GuestGone));
        }
        let group = self.dir.clone();
        let Some(inside) = self.home.version.threads_of(files, &self.dir)? else {
            return Ok(Some(Loss::GroupGone { group }));
        };
        let tids: Vec<u32> = alive
            .into_iter()
            .filter(|tid| !inside.contains(tid))
            .collect();
        if !tids.is_empty() {
            return Ok(Some(Loss::ThreadsMoved { group, tids }));
        }
        let version = self.home.version;
        for (name, ours) in [
            (version.quota_file(), &self.quota_text),
            (version.weight_file(), &self.weight_text),
        ] {
            let file = self.dir.join(name);
            let Some(ours) = ours else { continue };
            let reads = optional(files, &file)?.unwrap_or_default();
            if reads.trim() != ours {
                return Ok(Some(Loss::LimitChanged {
                    file,
                    ours: ours.clone(),
                    reads: reads.trim().to_owned(),
                }));
            }
        }
        Ok(None)
    }

    fn has(&self, files: &dyn Files, name: &str) -> bool {
        files.read(&self.dir.join(name)).is_ok()
    }

    /// Something that the kernel does not have, or a group that is not there.
    fn unable(&self, files: &dyn Files, what: &'static str, instead: &'static str) -> CpuCapError {
        let group = self.dir.clone();
        if self.has(files, self.home.version.threads_file()) {
            CpuCapError::Unable {
                group,
                what,
                instead,
            }
        } else {
            Loss::GroupGone { group }.into()
        }
    }
}

/// Gives the CPU controller to the children of a v2 group.
fn give_cpu(files: &dyn Files, home: &Path) -> Result<(), CpuCapError> {
    if cgroup_v2::gives_cpu(files, home)? {
        return Ok(());
    }
    let file = home.join(cgroup_v2::SUBTREE);
    files
        .write(&file, "+cpu")
        .map_err(CpuCapError::file("enabling the cpu controller in", &file))?;
    if cgroup_v2::gives_cpu(files, home)? {
        Ok(())
    } else {
        Err(CpuCapError::ReadBack {
            reads: files.read(&file).unwrap_or_default().trim().to_owned(),
            wrote: "+cpu".to_owned(),
            file,
        })
    }
}

/// Moves one thread, and no other one of its process.
pub(crate) fn move_thread(
    files: &dyn Files,
    version: CgroupVersion,
    to: &Path,
    tid: u32,
) -> Result<(), CpuCapError> {
    let file = to.join(version.threads_file());
    files
        .write(&file, &tid.to_string())
        .map_err(CpuCapError::file("moving a thread to", &file))
}

/// Whether a thread could not be moved because it has ended.
pub(crate) fn is_missing_thread(error: &CpuCapError) -> bool {
    matches!(error, CpuCapError::File { source, .. } if source.raw_os_error() == Some(libc_errno::ESRCH))
}

/// Whether a group could not be used because it is not there.
pub(crate) fn is_missing_group(error: &CpuCapError) -> bool {
    matches!(error, CpuCapError::File { source, .. } if is_missing(source) && source.raw_os_error() != Some(libc_errno::ESRCH))
}
