//! Processor time of this program: what a measurement costs.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Processor time that all threads of this process, ended ones too, have used, in user mode and in
/// the kernel, to the nanosecond. Processes that it started do not count.
#[must_use]
pub fn process_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
