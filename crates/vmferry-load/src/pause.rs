//! Pauses of the guest, by its own clock: how much too late a thread wakes that asks to wake every
//! millisecond. See `vmferry_load::report` for what this does not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::{self, MILLISECOND, Nanos};

/// Longest pauses, filled by the watching thread.
#[derive(Default)]
pub(crate) struct Pauses {
    recent: AtomicU64,
    longest: AtomicU64,
}

impl Pauses {
    /// Begins to watch, in a thread that never ends.
    pub(crate) fn watch() -> Arc<Self> {
        let pauses = Arc::new(Self::default());
        let filled = Arc::clone(&pauses);
        thread::spawn(move || {
            // Above the reporter, which has 1.
            clock::run_first(2);
            loop {
                let due = clock::now() + MILLISECOND;
                clock::sleep_until(due);
                filled.late(clock::now().saturating_sub(due));
            }
        });
        pauses
    }

    fn late(&self, by: Nanos) {
        self.recent.fetch_max(by, Ordering::Relaxed);
        self.longest.fetch_max(by, Ordering::Relaxed);
    }

    /// The longest since the last call.
    pub(crate) fn take_recent(&self) -> Duration {
        Duration::from_nanos(self.recent.swap(0, Ordering::Relaxed))
    }

    /// The longest since the begin.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_taken_longest_stays() {
        let pauses = Pauses::default();
        pauses.late(5);
        pauses.late(3);
        assert_eq!(pauses.take_recent(), Duration::from_nanos(5));
        pauses.late(2);
        assert_eq!(pauses.take_recent(), Duration::from_nanos(2));
        assert_eq!(pauses.take_recent(), Duration::ZERO);
        assert_eq!(pauses.longest(), Duration::from_nanos(5));
    }
}
