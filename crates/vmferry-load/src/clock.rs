//! The guest's monotonic clock, in nanoseconds, and sleeping by it.

use std::time::Duration;

/// A point of `CLOCK_MONOTONIC`, or a distance on it, nanoseconds.
pub(crate) type Nanos = u64;

pub(crate) const MILLISECOND: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Now, by `CLOCK_MONOTONIC`.
pub(crate) fn now() -> Nanos {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the call to write to.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(failed, 0, "CLOCK_MONOTONIC exists on every Linux");
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

/// Sleeps until this point of `CLOCK_MONOTONIC`; returns at once if it is past.
pub(crate) fn sleep_until(due: Nanos) {
    let time = libc::timespec {
        tv_sec: (due / SECOND) as libc::time_t,
        tv_nsec: (due % SECOND) as libc::c_long,
    };
    loop {
        // SAFETY: `time` is valid, and the call may get no place to write what remains for absolute times.
        let result = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const time,
                std::ptr::null_mut(),
            )
        };
        if result != libc::EINTR {
            return;
        }
    }
}

/// Length of a duration.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    duration.as_nanos() as Nanos
}

/// Gives this thread real-time priority, so that the load itself does not delay it. Not being allowed
/// to (an ordinary user) only makes measured pauses include waiting for a CPU.
pub(crate) fn run_first(priority: libc::c_int) {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: 0 is this thread and `parameters` is valid.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
}
