//! The processor time of the calling thread: what a measurement costs.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time this thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
