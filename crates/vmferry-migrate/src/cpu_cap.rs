//! Caps the CPU of a guest's virtual CPUs on this machine, from outside of
//! QEMU: their threads are moved into a control group of our own below the
//! one that they are in, and that group gets a quota (or a weight). Other
//! threads of QEMU, the migration's above all, stay where they are.
//!
//! ```text
//! machine.slice/guest.scope      whatever the host gives the guest, untouched
//!   ├─ QEMU's main thread, migration threads
//!   └─ vmferry-MOVE              cpu.cfs_quota_us or cpu.max
//!        └─ threads of virtual CPUs
//! ```
//!
//! Cgroup v1 and v2 are found out by where the threads are. How to undo each
//! step is in the [`Journal`] before it is made: vmferry, its guard or
//! `vmferry recover` put the threads back and remove the groups, without a
//! monitor, and even while the migration runs. The page
//! `docs/adr/0009-cpu-caps.md` says why it is done this way.
//!
//! A cap that somebody else takes off (a removed group, threads moved
//! elsewhere, another quota) is not fought for: [`CpuCap::look`] and the next
//! change report it as lost ([`Loss`]), and whoever steers goes on without.
//!
//! Calls block: for some microseconds to change a cap, for some milliseconds
//! per thread to move threads (the kernel waits for all of a process's forks).

mod cgroup;
mod cgroup_v1;
mod cgroup_v2;
mod error;
#[cfg(test)]
mod fake;
mod files;
mod group;
mod hierarchy;
mod restore;
#[cfg(test)]
mod tests;
mod thread;
mod vcpu_threads;
mod weight;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use vmferry_core::{GuestUri, Ratio};

pub use cgroup::{CgroupVersion, Throttling};
pub use error::{CpuCapError, Loss};
use files::{Files, KernelFiles};
use group::Group;
pub use restore::CpuUndo;
pub use thread::ThreadMark;
pub use vcpu_threads::{Scheduler, VcpuThreads};
pub use weight::weight_for_share;

use crate::error::MigrateError;
use crate::journal::{Journal, UndoAction};

/// Whether virtual CPUs are capped together or one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// One group with one quota: a busy virtual CPU may use what idle ones
    /// leave. A change is one write.
    #[default]
    Together,
    /// A group for each thread, so that the busy ones alone can be capped. A
    /// change is one write per thread.
    Apart,
}

/// How to cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCapOptions {
    /// Together or one by one.
    pub grouping: Grouping,
    /// How often the quota is filled up, 1 ms to 1 s. Within it a capped
    /// guest runs until the quota is used up, and then stands still.
    pub period: Duration,
}

impl Default for CpuCapOptions {
    /// Together, and the kernel's own period of 100 ms.
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            period: Duration::from_millis(100),
        }
    }
}

/// A guest's virtual CPUs in groups of ours. Dropped without a word it stays
/// on: the journal knows how to undo it.
#[derive(Debug)]
pub struct CpuCap {
    files: Arc<dyn Files>,
    uri: GuestUri,
    pid: u32,
    period_us: u64,
    groups: Vec<Group>,
    share_by_weight: Option<f64>,
}

impl CpuCap {
    /// Makes the groups and moves the threads in, without any limit yet: each
    /// group gets the weight that its threads had before. Every step is in the
    /// journal first; what was done of an installation that fails is undone.
    ///
    /// # Errors
    /// [`MigrateError::State`] where the journal cannot be written, and
    /// [`MigrateError::CpuCap`] where the kernel refuses, or a thread is gone.
    pub fn install(
        journal: &mut Journal,
        uri: &GuestUri,
        move_id: Uuid,
        threads: VcpuThreads,
        options: CpuCapOptions,
    ) -> Result<Self, MigrateError> {
        Self::install_with(
            Arc::new(KernelFiles),
            journal,
            uri,
            move_id,
            threads,
            options,
        )
    }

    fn install_with(
        files: Arc<dyn Files>,
        journal: &mut Journal,
        uri: &GuestUri,
        move_id: Uuid,
        threads: VcpuThreads,
        options: CpuCapOptions,
    ) -> Result<Self, MigrateError> {
        let period = options
            .period
            .clamp(Duration::from_millis(1), Duration::from_secs(1));
        let mut cap = Self {
            files,
            uri: uri.clone(),
            pid: threads.pid(),
            period_us: u64::try_from(period.as_micros()).unwrap_or(u64::MAX),
            groups: plan_groups(threads, move_id, options.grouping),
            share_by_weight: None,
        };
        match cap.put_on(journal) {
            Ok(()) => Ok(cap),
            Err(error) => {
                if let Err(left) = cap.release(journal) {
                    tracing::warn!(error = %left, "a cap that failed is left to the guard");
                }
                Err(error)
            }
        }
    }

    fn put_on(&mut self, journal: &mut Journal) -> Result<(), MigrateError> {
        let files = Arc::clone(&self.files);
        let mut about_to = |undo| journal.about_to_change(&self.uri, UndoAction::CpuCap(undo));
        for nth in 0..self.groups.len() {
            let (before, rest) = self.groups.split_at_mut(nth);
            let group = &mut rest[0];
            let (home, version) = (&group.home, group.home.version);
            if version == CgroupVersion::V2
                && !before.iter().any(|other| other.home == *home)
                && !cgroup_v2::gives_cpu(&*files, &home.dir)?
            {
                let group = home.dir.clone();
                about_to(CpuUndo::TakeController { group })?;
            }
            about_to(CpuUndo::RemoveGroup {
                version,
                group: group.dir.clone(),
            })?;
            group.make(&*files, self.period_us)?;
            about_to(CpuUndo::MoveThreads {
                version,
                group: group.dir.clone(),
                home: group.home.dir.clone(),
                threads: group.threads.clone(),
            })?;
            group.fill(&*files, self.pid)?;
        }
        Ok(())
    }

    /// Caps every virtual CPU at this share of a CPU, 0..1 (together: at so
    /// much on average); `None` lifts the cap. Returns the share that is in
    /// force on average: the host's own quota on a group above may be lower,
    /// and the kernel takes no quota below 1 ms.
    ///
    /// # Errors
    /// [`CpuCapError::Lost`] where a group is gone, [`CpuCapError::Unable`]
    /// where the kernel has no quotas, and where it refuses or reads back
    /// something else.
    pub fn set(&mut self, share: Option<Ratio>) -> Result<Ratio, CpuCapError> {
        let share = checked(share, 1.0, "")?;
        let (mut used, mut threads) = (0.0, 0.0);
        let mut first = None;
        for group in &mut self.groups {
            let of_group = group.threads.len() as f64;
            match group.set_quota(&*self.files, share, self.period_us) {
                Ok(in_force) => used += in_force * of_group,
                // A group that is lost must not keep the others capped.
                Err(error) if share.is_none() => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
            threads += of_group;
        }
        first.map_or(Ok(Ratio(used / threads)), Err)
    }

    /// Caps one virtual CPU alone, or lifts its cap; returns the share in
    /// force. Under TCG without multi-threading all virtual CPUs share one
    /// thread, and its cap.
    ///
    /// # Errors
    /// As [`Self::set`]; [`CpuCapError::NoSuchVcpu`] where there is none with
    /// a group of its own.
    pub fn set_vcpu(&mut self, vcpu: u64, share: Option<Ratio>) -> Result<Ratio, CpuCapError> {
        let share = checked(share, 1.0, "")?;
        let mut groups = self.groups.iter_mut();
        let group = groups.find(|group| group.threads.len() == 1 && group.vcpus.contains(&vcpu));
        let group = group.ok_or(CpuCapError::NoSuchVcpu { vcpu })?;
        Ok(Ratio(group.set_quota(
            &*self.files,
            share,
            self.period_us,
        )?))
    }

    /// Gives all virtual CPUs together a share of the CPU time of their home
    /// group, by weight, 0..1 exclusive (`jin2011` eq. 10); `None` gives back
    /// the weight that they had. Unlike a quota this binds only where others in
    /// that group want the CPU: groups beside ours, QEMU's other threads.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_weight(&mut self, share: Option<Ratio>) -> Result<(), CpuCapError> {
        self.share_by_weight = checked(share, 1.0 - f64::EPSILON, " (a weight: less than 1)")?;
        self.follow_neighbours().map(drop)
    }

    /// Computes the weights anew, as eq. 10 asks whenever a neighbour's weight
    /// changes; says whether any had to be changed. Does nothing where no
    /// weight was set.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn follow_neighbours(&mut self) -> Result<bool, CpuCapError> {
        let mut changed = false;
        let all = self.groups.clone();
        for group in &mut self.groups {
            let ours: Vec<&Group> = all.iter().filter(|g| g.home == group.home).collect();
            let wanted = match self.share_by_weight {
                None if group.weight_text.is_none() => continue,
                None => group.own_weight,
                Some(share) => {
                    let dirs: Vec<&Path> = ours.iter().map(|g| g.dir.as_path()).collect();
                    let others = weight::competitors(&*self.files, &group.home, &dirs)?;
                    let threads: usize = ours.iter().map(|g| g.threads.len()).sum();
                    let part = group.threads.len() as f64 / threads as f64;
                    if others > 0.0 {
                        weight_for_share(share, others) * part
                    } else {
                        group.own_weight
                    }
                }
            };
            changed |= group.set_weight(&*self.files, wanted)?;
        }
        Ok(changed)
    }

    /// Whether everything is still as set; if not, how it was lost.
    ///
    /// # Errors
    /// Where the kernel's files cannot be read for another reason.
    pub fn look(&self) -> Result<Option<Loss>, CpuCapError> {
        for group in &self.groups {
            let loss = group.loss(&*self.files, self.pid)?;
            if loss.is_some() {
                return Ok(loss);
            }
        }
        Ok(None)
    }

    /// How often the kernel held the virtual CPUs back since the installation,
    /// all groups together. It counts only periods with a quota.
    ///
    /// # Errors
    /// Where the kernel's files cannot be read.
    pub fn throttling(&self) -> Result<Throttling, CpuCapError> {
        let mut all = Throttling::default();
        for group in &self.groups {
            let one = group.throttling(&*self.files)?.unwrap_or_default();
            all.periods += one.periods;
            all.throttled_periods += one.throttled_periods;
            all.throttled += one.throttled;
        }
        Ok(all)
    }

    /// Puts the threads back and removes the groups, in mid-move for example;
    /// at the end of a move the undoing of its journal does the same.
    ///
    /// # Errors
    /// The first thing that could not be undone; it stays in the journal.
    pub fn release(self, journal: &mut Journal) -> Result<(), MigrateError> {
        let mut first = None;
        for change in journal.pending() {
            let UndoAction::CpuCap(undo) = &change.undo else {
                continue;
            };
            if change.uri != self.uri || !self.made(undo) {
                continue;
            }
            match restore::undo(&*self.files, undo) {
                Ok(_) => journal.undone(change.seq)?,
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), |error| Err(error.into()))
    }

    fn made(&self, undo: &CpuUndo) -> bool {
        match undo {
            CpuUndo::MoveThreads { group, .. } | CpuUndo::RemoveGroup { group, .. } => {
                self.groups.iter().any(|ours| ours.dir == *group)
            }
            CpuUndo::TakeController { group } => {
                self.groups.iter().any(|ours| ours.home.dir == *group)
            }
        }
    }
}

/// Undoes a part of a cap; `Ok(false)` where it was gone already.
pub(crate) fn undo(undo: &CpuUndo) -> Result<bool, CpuCapError> {
    restore::undo(&KernelFiles, undo)
}

/// Which groups there must be: at least one for each group that threads are
/// in now, which libvirt makes one a virtual CPU.
fn plan_groups(threads: VcpuThreads, move_id: Uuid, grouping: Grouping) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let purpose = threads.purpose;
    for thread in threads.threads {
        let shared = groups
            .iter_mut()
            .find(|group| grouping == Grouping::Together && group.home == thread.home);
        if let Some(group) = shared {
            group.vcpus.extend(thread.vcpus);
            group.threads.push(thread.mark);
            group.own_weight += thread.weight;
            continue;
        }
        let name = match grouping {
            Grouping::Together => format!("vmferry-{move_id}{purpose}"),
            Grouping::Apart => format!("vmferry-{move_id}{purpose}-thread{}", thread.mark.tid),
        };
        groups.push(Group {
            dir: thread.home.dir.join(name),
            home: thread.home,
            vcpus: thread.vcpus,
            threads: vec![thread.mark],
            own_weight: thread.weight,
            quota_text: None,
            weight_text: None,
        });
    }
    groups
}

fn checked(
    share: Option<Ratio>,
    most: f64,
    beside: &'static str,
) -> Result<Option<f64>, CpuCapError> {
    match share {
        None => Ok(None),
        Some(Ratio(share)) if share > 0.0 && share <= most => Ok(Some(share)),
        Some(Ratio(share)) => Err(CpuCapError::BadShare { share, beside }),
    }
}
