//! The threads of a guest's virtual CPUs, and the groups that they are in.

use std::fs;

use vmferry_hypervisor::qmp::Guest;

use super::cgroup::CgroupVersion;
use super::error::CpuCapError;
use super::files::{Files, KernelFiles};
use super::hierarchy::{Home, home_of};
use super::thread::{self, ThreadMark};
use crate::error::{End, MigrateError};

/// The threads of a guest's virtual CPUs, each with the group that it is in;
/// [`StreamThreads`](crate::migration_threads::StreamThreads) are capped the
/// same way.
#[derive(Clone, Debug)]
pub struct VcpuThreads {
    pid: u32,
    pub(crate) threads: Vec<VcpuThread>,
    /// Tells groups of one move apart: the end of their names.
    pub(crate) purpose: &'static str,
}

/// A thread that runs virtual CPUs: one of them, or several under TCG without
/// multi-threading.
#[derive(Clone, Debug)]
pub(crate) struct VcpuThread {
    /// QEMU's numbers.
    pub(crate) vcpus: Vec<u64>,
    pub(crate) mark: ThreadMark,
    /// Its scheduling weight, 1024 at nice 0.
    pub(crate) weight: f64,
    pub(crate) home: Home,
}

impl VcpuThreads {
    /// Asks a guest for the threads of its virtual CPUs (`query-cpus-fast`, so
    /// thread names do not matter) and looks up their groups. Changes nothing.
    ///
    /// # Errors
    /// [`CpuCapError`] where QEMU is not on this machine, or a thread has no
    /// CPU controller; [`MigrateError::End`] where QEMU does not answer.
    pub async fn of(guest: &Guest, end: End) -> Result<Self, MigrateError> {
        let Some(pid) = guest.pid() else {
            let guest = Box::new(guest.uri().clone());
            return Err(CpuCapError::NotOnThisMachine { guest }.into());
        };
        let vcpus = guest.vcpus().await.map_err(MigrateError::at(end))?;
        let threads: Vec<(u64, u32)> = (0..)
            .zip(&vcpus)
            .filter_map(|(nth, vcpu)| Some((vcpu.index.unwrap_or(nth), vcpu.thread_id?)))
            .collect();
        Ok(Self::in_process(pid, &threads)?)
    }

    /// The same where the threads are known: pairs of a virtual CPU's number
    /// and its thread's, as the process itself knows it.
    ///
    /// # Errors
    /// Where none is given, a thread is gone, of a real-time policy, or has no
    /// CPU controller.
    pub fn in_process(pid: u32, vcpus: &[(u64, u32)]) -> Result<Self, CpuCapError> {
        Self::look_up(&KernelFiles, pid, vcpus)
    }

    pub(crate) fn look_up(
        files: &dyn Files,
        pid: u32,
        vcpus: &[(u64, u32)],
    ) -> Result<Self, CpuCapError> {
        if vcpus.is_empty() {
            return Err(CpuCapError::NoThreads { pid });
        }
        let told: Vec<u32> = vcpus.iter().map(|(_, tid)| *tid).collect();
        let tids = thread::on_this_machine(files, pid, &told)?;
        let mut threads: Vec<VcpuThread> = Vec::new();
        for ((vcpu, _), tid) in vcpus.iter().zip(tids) {
            if let Some(known) = threads.iter_mut().find(|known| known.mark.tid == tid) {
                known.vcpus.push(*vcpu);
                continue;
            }
            let stat =
                thread::stat(files, pid, tid)?.ok_or(CpuCapError::ThreadGone { pid, tid })?;
            if stat.is_real_time() {
                return Err(CpuCapError::RealTime { pid, tid });
            }
            threads.push(VcpuThread {
                vcpus: vec![*vcpu],
                mark: ThreadMark {
                    tid,
                    start_time: stat.start_time,
                },
                weight: stat.weight(),
                home: home_of(files, pid, tid)?,
            });
        }
        Ok(Self {
            pid,
            threads,
            purpose: "",
        })
    }

    /// Threads that run no virtual CPU.
    pub(crate) fn of_stream(
        pid: u32,
        tids: &[u32],
        purpose: &'static str,
    ) -> Result<Self, CpuCapError> {
        let told: Vec<(u64, u32)> = tids.iter().map(|tid| (0, *tid)).collect();
        let mut found = Self::look_up(&KernelFiles, pid, &told)?;
        for thread in &mut found.threads {
            thread.vcpus.clear();
        }
        found.purpose = purpose;
        Ok(found)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Numbers of the virtual CPUs and of their threads on this machine, for
    /// meters that tell the busy ones.
    pub fn vcpus(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let of = |thread: &VcpuThread| {
            let tid = thread.mark.tid;
            let vcpus = thread.vcpus.clone();
            vcpus.into_iter().map(move |vcpu| (vcpu, tid))
        };
        self.threads.iter().flat_map(of)
    }

    /// Which controller caps them; all threads of a process have the same.
    pub fn controller(&self) -> Option<CgroupVersion> {
        self.threads.first().map(|thread| thread.home.version)
    }
}

/// What divides CPU time between threads and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// The kernel's own (CFS, EEVDF): enforces quotas and weights.
    Fair,
    /// One loaded from outside (`sched_ext`), which may ignore both: whether a
    /// cap bites is then seen from [`super::CpuCap::throttling`] only.
    Extensible,
}

impl Scheduler {
    /// The one in use now.
    pub fn in_use() -> Self {
        let state = fs::read_to_string("/sys/kernel/sched_ext/state").unwrap_or_default();
        if state.trim() == "enabled" {
            Self::Extensible
        } else {
            Self::Fair
        }
    }
}
