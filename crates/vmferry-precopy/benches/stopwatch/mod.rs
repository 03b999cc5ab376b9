//! Time and memory of this process, as the kernel counts them.

use std::fs;
use std::time::{Duration, Instant};

/// Time a thread took: by the clock, and on a CPU. On a machine that others use too, only the
/// second says how fast the code is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Runs something on this thread and tells the time it took.
pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> (T, Took) {
    let (began, cpu) = (Instant::now(), thread_cpu());
    let result = run();
    let took = Took {
        wall: began.elapsed(),
        cpu: thread_cpu().saturating_sub(cpu),
    };
    (result, took)
}

/// CPU time of this thread so far, to a few milliseconds.
fn thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a kernel with CONFIG_SCHED_INFO"))
}
