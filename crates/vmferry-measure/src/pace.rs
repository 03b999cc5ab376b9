//! Long readings of a guest's memory within a share of one core.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vmferry_core::Ratio;

use crate::MeasureError;
use crate::cpu_clock::thread_cpu_time;
use crate::process::Process;

/// Keeps this thread within its budget.
pub(crate) struct Pace<'a> {
    cancel: &'a AtomicBool,
    budget: Ratio,
    start: Instant,
    cpu_start: Duration,
}

impl<'a> Pace<'a> {
    /// From now on, no more than `budget` of one core.
    pub(crate) fn start(budget: Ratio, cancel: &'a AtomicBool) -> Self {
        Self {
            cancel,
            budget,
            start: Instant::now(),
            cpu_start: thread_cpu_time(),
        }
    }

    /// Processor time used since the start.
    pub(crate) fn cpu_time(&self) -> Duration {
        thread_cpu_time() - self.cpu_start
    }

    /// Rests until the budget is kept, and notices a cancellation or the guest's exit.
    pub(crate) fn keep(&self, process: &Process) -> Result<(), MeasureError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(MeasureError::Cancelled {
                guest: process.guest().to_owned(),
            });
        }
        let allowed = self.cpu_time().div_f64(self.budget.0);
        let rest = allowed.saturating_sub(self.start.elapsed());
        if process.exits_within(rest) {
            return Err(process.exited());
        }
        Ok(())
    }
}
