//! What can go wrong while a guest or its link is measured.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use vmferry_hypervisor::HypervisorError;

use crate::outage::ProbeKind;

/// Why a measurement failed. Every message names the guest or host and says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The kernel does not let this process read the guest's memory.
    #[error(
        "{guest}: permission denied to read the memory of its process (PID {pid}); run vmferry as \
         root or as the user who runs the guest (then kernel.yama.ptrace_scope must be 0), or give \
         it CAP_SYS_PTRACE"
    )]
    PermissionDenied {
        /// The guest.
        guest: String,
        /// Its process.
        pid: u32,
        /// The system's answer.
        source: io::Error,
    },
    /// The guest's process ended before the measurement did.
    #[error(
        "{guest}: the guest exited while it was measured (PID {pid}); start it and measure again"
    )]
    GuestExited {
        /// The guest.
        guest: String,
        /// The process it had.
        pid: u32,
    },
    /// The guest's process is not on this machine, or not known.
    #[error(
        "{guest}: its memory cannot be read, because {reason}; measure on the guest's own host, or \
         through QMP (method qmp), which sees less"
    )]
    NotReadable {
        /// The guest.
        guest: String,
        /// What is missing.
        reason: &'static str,
    },
    /// A page of the guest could not be read although its process lives.
    #[error(
        "{guest}: {block} cannot be read at {address:#x}: {source}; if memory was just unplugged, measure again"
    )]
    Memory {
        /// The guest.
        guest: String,
        /// The RAM block.
        block: String,
        /// The address in the guest's process.
        address: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// A guest that does not run dirties nothing: there is nothing to observe.
    #[error(
        "{guest}: the guest is {status}, and one that does not run dirties no memory; measure it where \
         and while it runs (QMP cont resumes a paused one)"
    )]
    NotRunning {
        /// The guest.
        guest: String,
        /// QEMU's word for its state, for example `paused`.
        status: String,
    },
    /// The caller cancelled.
    #[error("{guest}: the measurement was cancelled")]
    Cancelled {
        /// The guest.
        guest: String,
    },
    /// A file of the kernel could not be read or understood.
    #[error("cannot read {path}: {source}")]
    Kernel {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// An option has a value that makes no sense.
    #[error("{option}: {problem}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong, and what to give instead.
        problem: String,
    },
    /// The measuring thread could not be started, or died.
    #[error("the measuring thread failed: {source}; this host may be out of memory or threads")]
    Thread {
        /// The system's answer.
        source: io::Error,
    },
    /// QEMU's own dirty-rate measurement gave nothing.
    #[error(
        "{guest}: QEMU's calc-dirty-rate gave no result: {reason}; measure on the guest's own host instead"
    )]
    CalcDirtyRate {
        /// The guest.
        guest: String,
        /// What happened.
        reason: String,
    },
    /// A host name that has no address.
    #[error("{host} has no address: {source}; give the address itself (tcp:ADDRESS:PORT)")]
    Resolve {
        /// The name.
        host: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The source has no route to the destination.
    #[error(
        "the source's host (network of PID {pid}) has no route to {address}; add one, or give another address"
    )]
    NoRoute {
        /// The source's process.
        pid: u32,
        /// The destination's address.
        address: IpAddr,
    },
    /// An end of the link is on another machine.
    #[error(
        "the link cannot be measured, because the {end} is not on this machine; give its rate (--bandwidth 1Gbit/s)"
    )]
    LinkNotLocal {
        /// `source` or `destination`.
        end: &'static str,
    },
    /// The transfer that measures the link failed.
    #[error(
        "the link to {address} cannot be measured: {step}: {source}; mend the link, or give its rate (--bandwidth 1Gbit/s)"
    )]
    Link {
        /// The destination's address.
        address: IpAddr,
        /// What was done.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A guest could not be asked for outages.
    #[error(
        "{guest} cannot be probed ({kind}): {source}; probing from another network, and ICMP, need root"
    )]
    Probe {
        /// What was asked.
        kind: ProbeKind,
        /// The guest's address.
        guest: Ipv4Addr,
        /// The system's answer.
        source: io::Error,
    },
    /// The hypervisor could not be asked.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
}

impl MeasureError {
    pub(crate) fn kernel(path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Kernel { path, source }
    }

    /// Whether the guest's memory is out of reach for this process, so that only QMP is left.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::PermissionDenied { .. } | Self::NotReadable { .. }
        )
    }
}
