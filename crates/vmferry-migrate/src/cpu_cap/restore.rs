//! Puts threads back and removes groups of ours, from the undo journal. Needs
//! no monitor, and no QEMU that lives.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cgroup::CgroupVersion;
use super::cgroup_v2;
use super::error::CpuCapError;
use super::files::{Files, is_missing, libc_errno};
use super::group::{is_missing_group, is_missing_thread, move_thread};
use super::thread::{self, ThreadMark};

/// A group whose threads start others while it is emptied is emptied again,
/// this often.
const ROUNDS: u32 = 20;

/// How to undo a part of a cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum CpuUndo {
    /// Puts threads back that we moved into a group of our own.
    MoveThreads {
        /// Kind of the group.
        version: CgroupVersion,
        /// The directory of our group.
        group: PathBuf,
        /// The directory of the group that they were in.
        home: PathBuf,
        /// The threads.
        threads: Vec<ThreadMark>,
    },
    /// Removes a group that we made.
    RemoveGroup {
        /// Kind of the group.
        version: CgroupVersion,
        /// Its directory.
        group: PathBuf,
    },
    /// Takes the CPU controller back from the children of a cgroup v2 group,
    /// which did not have it before.
    TakeController {
        /// The directory of the group.
        group: PathBuf,
    },
}

/// Undoes a part of a cap; `Ok(false)` where it was gone already.
pub(crate) fn undo(files: &dyn Files, undo: &CpuUndo) -> Result<bool, CpuCapError> {
    match undo {
        CpuUndo::MoveThreads {
            version,
            group,
            home,
            threads,
        } => move_back(files, *version, group, home, threads),
        CpuUndo::RemoveGroup { version, group } => remove_group(files, *version, group),
        CpuUndo::TakeController { group } => take_cpu_back(files, group),
    }
}

/// Puts those threads back into `home` that are in `group` still. Threads that
/// have ended are no business any more, and those that somebody else has
/// moved elsewhere meanwhile stay there. Where `home` is gone they get into
/// the nearest group above that is left. `Ok(false)` when `group` is gone.
fn move_back(
    files: &dyn Files,
    version: CgroupVersion,
    group: &Path,
    home: &Path,
    threads: &[ThreadMark],
) -> Result<bool, CpuCapError> {
    let Some(inside) = version.threads_of(files, group)? else {
        return Ok(false);
    };
    for mark in threads.iter().filter(|mark| inside.contains(&mark.tid)) {
        let same = thread::stat_of_any(files, mark.tid)?
            .is_some_and(|stat| stat.start_time == mark.start_time);
        if same {
            put(files, version, home, mark.tid)?;
        }
    }
    Ok(true)
}

/// Removes a group of ours. Whatever is in it, started by threads of ours,
/// gets into the group above first. `Ok(false)` when it is gone.
fn remove_group(
    files: &dyn Files,
    version: CgroupVersion,
    group: &Path,
) -> Result<bool, CpuCapError> {
    let above = group.parent().unwrap_or(group);
    let mut round = 1;
    loop {
        let Some(inside) = version.threads_of(files, group)? else {
            // A group that was made, but never got its files, is an empty folder.
            return match files.remove_dir(group) {
                Ok(()) => Ok(true),
                Err(error) if is_missing(&error) => Ok(false),
                // A hierarchy that is read-only says so first, also of what was never made.
                Err(_) if files.folders(group).is_err_and(|e| is_missing(&e)) => Ok(false),
                Err(error) => Err(CpuCapError::file("removing the group", group)(error)),
            };
        };
        for tid in inside {
            put(files, version, above, tid)?;
        }
        match files.remove_dir(group) {
            Ok(()) => return Ok(true),
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) if error.raw_os_error() == Some(libc_errno::EBUSY) && round < ROUNDS => {
                round += 1;
            }
            Err(error) => return Err(CpuCapError::file("removing the group", group)(error)),
        }
    }
}

/// Takes the CPU controller from the children of a v2 group, which did not
/// have it before us; not where somebody has begun to use it meanwhile.
fn take_cpu_back(files: &dyn Files, group: &Path) -> Result<bool, CpuCapError> {
    if !cgroup_v2::gives_cpu(files, group)? || cgroup_v2::is_used_by_children(files, group)? {
        return Ok(false);
    }
    let file = group.join(cgroup_v2::SUBTREE);
    match files.write(&file, "-cpu") {
        Ok(()) => Ok(true),
        // A child hands it down further.
        Err(error) if error.raw_os_error() == Some(libc_errno::EBUSY) => Ok(false),
        Err(error) => Err(CpuCapError::file("disabling the cpu controller in", &file)(
            error,
        )),
    }
}

/// Moves a thread into a group, or the nearest one above that is left.
fn put(
    files: &dyn Files,
    version: CgroupVersion,
    group: &Path,
    tid: u32,
) -> Result<(), CpuCapError> {
    let mut last = None;
    for group in group.ancestors() {
        match move_thread(files, version, group, tid) {
            Ok(()) => return Ok(()),
            Err(error) if is_missing_thread(&error) => return Ok(()),
            Err(error) if is_missing_group(&error) => last = last.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    last.map_or(Ok(()), Err)
}
