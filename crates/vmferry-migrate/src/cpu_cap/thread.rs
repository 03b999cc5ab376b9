//! Threads of a process, told from later ones of the same number.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::CpuCapError;
use super::files::{Files, is_missing};

/// A thread that no later one of the same number is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ThreadMark {
    /// Its number on this machine.
    pub tid: u32,
    /// When it started: clock ticks since boot.
    pub start_time: u64,
}

/// What `/proc/PID/task/TID/stat` says of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadStat {
    state: char,
    nice: i32,
    pub(crate) start_time: u64,
    policy: u32,
}

/// Scheduling policies as `sched.h` numbers them.
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_IDLE: u32 = 5;
const SCHED_DEADLINE: u32 = 6;

/// The scheduler's weight of a thread at nice 0; one step of nice is a factor
/// of 1.25 (`sched_prio_to_weight` in the kernel's `kernel/sched/core.c`).
pub(crate) const NICE_0_WEIGHT: f64 = 1024.0;
/// Its weight of a thread under `SCHED_IDLE`.
const IDLE_WEIGHT: f64 = 3.0;

impl ThreadStat {
    fn parse(text: &str) -> Option<Self> {
        // The name, in parentheses, may hold blanks and parentheses.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            nice: fields.get(16)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
            policy: fields.get(38)?.parse().ok()?,
        })
    }

    /// Whether it has ended, and only its entry is left.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it runs or waits for a processor.
    pub(crate) fn wants_cpu(&self) -> bool {
        self.state == 'R'
    }

    /// Whether neither quotas nor weights bind it.
    pub(crate) fn is_real_time(&self) -> bool {
        matches!(self.policy, SCHED_FIFO | SCHED_RR | SCHED_DEADLINE)
    }

    /// Its weight against others of its group.
    pub(crate) fn weight(&self) -> f64 {
        if self.policy == SCHED_IDLE {
            IDLE_WEIGHT
        } else {
            NICE_0_WEIGHT * 1.25_f64.powi(-self.nice)
        }
    }
}

/// What is known of a thread; `None` once it has ended.
pub(crate) fn stat(
    files: &dyn Files,
    pid: u32,
    tid: u32,
) -> Result<Option<ThreadStat>, CpuCapError> {
    stat_at(files, &task(pid, tid).join("stat"))
}

/// The same for a thread whose process is not known.
pub(crate) fn stat_of_any(files: &dyn Files, tid: u32) -> Result<Option<ThreadStat>, CpuCapError> {
    stat_at(files, &PathBuf::from(format!("/proc/{tid}/stat")))
}

fn stat_at(files: &dyn Files, file: &Path) -> Result<Option<ThreadStat>, CpuCapError> {
    match files.read(file) {
        Ok(text) => match ThreadStat::parse(&text) {
            Some(stat) => Ok(Some(stat).filter(|stat| !stat.has_ended())),
            None => Err(CpuCapError::file("reading", file)(io::Error::other(
                "it does not say what a thread's must",
            ))),
        },
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(CpuCapError::file("reading", file)(error)),
    }
}

/// The numbers on this machine of threads whose numbers were told by their own
/// process, which may live in a PID namespace of its own (a container).
pub(crate) fn on_this_machine(
    files: &dyn Files,
    pid: u32,
    told: &[u32],
) -> Result<Vec<u32>, CpuCapError> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let folders = match files.folders(&tasks) {
        Ok(folders) => folders,
        Err(error) if is_missing(&error) => return Err(CpuCapError::GuestGone { pid }),
        Err(error) => return Err(CpuCapError::file("reading", &tasks)(error)),
    };
    let known: Vec<(u32, u32)> = folders
        .iter()
        .filter_map(|folder| {
            let here = folder.file_name()?.to_str()?.parse().ok()?;
            let status = files.read(&folder.join("status")).unwrap_or_default();
            Some((innermost_number(&status).unwrap_or(here), here))
        })
        .collect();
    told.iter()
        .map(|&tid| {
            let found = known.iter().find(|(inner, _)| *inner == tid);
            found
                .map(|(_, here)| *here)
                .ok_or(CpuCapError::ThreadGone { pid, tid })
        })
        .collect()
}

/// The last number of `NSpid`: the one that the thread itself knows.
fn innermost_number(status: &str) -> Option<u32> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

/// The folder of a thread in `/proc`.
pub(crate) fn task(pid: u32, tid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_cap::files::KernelFiles;

    #[test]
    fn a_thread_of_our_own_is_known() {
        let pid = std::process::id();
        let tid = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
        let own = stat(&KernelFiles, pid, tid).unwrap().unwrap();
        assert_eq!(stat_of_any(&KernelFiles, tid).unwrap().unwrap(), own);
        assert!(own.wants_cpu() && !own.is_real_time() && own.start_time > 0);
        assert_eq!(
            on_this_machine(&KernelFiles, pid, &[tid, pid]).unwrap(),
            [tid, pid]
        );
        assert!(matches!(
            on_this_machine(&KernelFiles, pid, &[1]),
            Err(CpuCapError::ThreadGone { tid: 1, .. })
        ));
        assert!(matches!(
            on_this_machine(&KernelFiles, u32::MAX, &[1]),
            Err(CpuCapError::GuestGone { .. })
        ));
    }

    #[test]
    fn weights_are_the_scheduler_s() {
        let of = |nice, policy| ThreadStat {
            state: 'R',
            nice,
            start_time: 1,
            policy,
        };
        // From the kernel's table.
        for (nice, weight) in [(0, 1024.0), (5, 335.0), (19, 15.0), (-10, 9548.0)] {
            let ours = of(nice, 0).weight();
            assert!(
                (ours - weight).abs() / weight < 0.03,
                "nice {nice}: {ours} for {weight}"
            );
        }
        assert_eq!(of(0, SCHED_IDLE).weight(), 3.0);
        assert!(of(0, SCHED_FIFO).is_real_time());
    }

    #[test]
    fn a_namespace_s_own_numbers_are_found() {
        let status = "Name:\tqemu\nNSpid:\t31337\t14\nNSpgid:\t1\t1\n";
        assert_eq!(innermost_number(status), Some(14));
        assert_eq!(innermost_number("Name:\tx\n"), None);
        assert_eq!(ThreadStat::parse("42 (x) S 1"), None);
    }
}
