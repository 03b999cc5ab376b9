//! What keeps the CPU of a guest from being capped, or put back.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vmferry_core::GuestUri;

use super::files::libc_errno::{EBUSY, EINVAL, EOPNOTSUPP, EROFS};

/// Why a cap could not be put on, changed or taken off.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CpuCapError {
    /// The guest's QEMU is on another machine, or cannot be told.
    #[error(
        "the CPU of {guest} cannot be capped from here: its QEMU is on another machine, or another \
         program made its monitor's socket; run vmferry where the guest runs"
    )]
    NotOnThisMachine {
        /// The guest.
        guest: Box<GuestUri>,
    },
    /// QEMU names no threads of virtual CPUs.
    #[error("the CPU of PID {pid} cannot be capped: it names no threads of virtual CPUs")]
    NoThreads {
        /// The process.
        pid: u32,
    },
    /// No thread that sends a migration stream.
    #[error(
        "PID {pid} shows no thread that sends a migration stream: the migration may be over already, or QEMU names no threads; start QEMU with -name GUEST,debug-threads=on"
    )]
    NoStreamThread {
        /// The process.
        pid: u32,
    },
    /// The threads of a migration stream ended before they were capped.
    #[error(
        "the threads of PID {pid} that carry the migration stream have ended; the migration is over"
    )]
    StreamGone {
        /// The process.
        pid: u32,
    },
    /// The guest's process is gone.
    #[error("PID {pid}: the guest's QEMU has exited")]
    GuestGone {
        /// The process.
        pid: u32,
    },
    /// A thread ended before it was capped.
    #[error(
        "PID {pid} has no thread {tid} any more; ask the guest for its virtual CPUs again (one may have been unplugged)"
    )]
    ThreadGone {
        /// The process.
        pid: u32,
        /// The thread, by the number that the process gave.
        tid: u32,
    },
    /// A thread that the scheduler does not cap.
    #[error(
        "thread {tid} of PID {pid} has a real-time scheduling policy, which no cap binds; give it SCHED_OTHER (chrt -o) first"
    )]
    RealTime {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
    },
    /// There is no CPU controller where the thread is.
    #[error("no CPU controller for thread {tid} of PID {pid}: {reason}")]
    NoController {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
        /// What was looked for and not found, and what to do.
        reason: String,
    },
    /// The controller lacks what is asked for.
    #[error("{group}: this kernel has no {what} there; {instead}", group = group.display())]
    Unable {
        /// The group.
        group: PathBuf,
        /// `CPU quota` or `CPU weight`.
        what: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// A share that is none.
    #[error("{share} is no share of a CPU: give more than 0, at most 1{beside}")]
    BadShare {
        /// The share asked for.
        share: f64,
        /// ` (a weight less than 1)`, or empty.
        beside: &'static str,
    },
    /// No such virtual CPU, or none with a group of its own.
    #[error("virtual CPU {vcpu} has no group of its own; put the caps on one by one")]
    NoSuchVcpu {
        /// QEMU's number of it.
        vcpu: u64,
    },
    /// The kernel refused a file or directory.
    #[error("{doing} {path}: {source}{hint}", path = path.display(), hint = Hint(source, doing))]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A value that was written reads back differently.
    #[error("{file}: wrote {wrote}, reads {reads}; somebody else may be setting it too", file = file.display())]
    ReadBack {
        /// The file.
        file: PathBuf,
        /// What was written.
        wrote: String,
        /// What it reads.
        reads: String,
    },
    /// A cap that was on is not in force any more, by somebody else's doing.
    #[error(transparent)]
    Lost(#[from] Loss),
}

/// How a cap was lost. The guest runs on without it, or not as meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Loss {
    /// The group was removed.
    #[error("the CPU cap is lost: {group} was removed by somebody else; the guest runs uncapped", group = group.display())]
    GroupGone {
        /// The group.
        group: PathBuf,
    },
    /// Threads were moved out of it.
    #[error("the CPU cap is lost: somebody else moved threads {tids:?} out of {group}; they run uncapped", group = group.display())]
    ThreadsMoved {
        /// The group.
        group: PathBuf,
        /// The threads that are elsewhere now.
        tids: Vec<u32>,
    },
    /// The limit was changed.
    #[error("the CPU cap is lost: somebody else set {file} to {reads}, ours was {ours}", file = file.display())]
    LimitChanged {
        /// The file.
        file: PathBuf,
        /// What was set last.
        ours: String,
        /// What it reads.
        reads: String,
    },
    /// The guest's threads have ended.
    #[error("the CPU cap is lost: the threads of the guest's virtual CPUs have ended")]
    GuestGone,
}

impl CpuCapError {
    /// An answer of the kernel on one file.
    pub(crate) fn file<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// What to do about an answer of the kernel.
struct Hint<'a>(&'a io::Error, &'a str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error, doing) = self;
        let hint = match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::PermissionDenied => {
                "; run vmferry as root, or have the group delegated to this user"
            }
            _ if error.kind() == io::ErrorKind::AlreadyExists => {
                "; an earlier cap of this move left it: run `vmferry recover`"
            }
            Some(EROFS) => {
                "; the control groups are mounted read-only here (a container?): run vmferry on the host"
            }
            Some(EINVAL) if doing.contains("quota") => {
                "; a group above it may have a lower quota, which no child may exceed"
            }
            Some(EINVAL) if doing.contains("thread") => {
                "; a group without `cpu.rt_runtime_us` takes no real-time threads"
            }
            Some(EOPNOTSUPP) => {
                "; cgroup v2 lets threads into groups of their own only where the group above has no other \
                 groups with processes in it: give the guest a group of its own"
            }
            Some(EBUSY) => "; somebody else uses it still",
            _ => "",
        };
        f.write_str(hint)
    }
}
