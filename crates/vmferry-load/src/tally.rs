//! What a part of the load has done so far, read by the reporter while the part runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const UNLIMITED: u64 = u64::MAX;

/// Counters of one part. Relaxed: each number stands for itself.
#[derive(Default)]
pub(crate) struct Tally {
    work: AtomicU64,
    bytes: AtomicU64,
    aim: AtomicU64,
    failure: OnceLock<String>,
}

impl Tally {
    /// Adds work units and bytes.
    pub(crate) fn add(&self, work: u64, bytes: u64) {
        self.work.fetch_add(work, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says what rate is aimed at from now on; none is without a limit.
    pub(crate) fn set_aim(&self, aim: Option<u64>) {
        self.aim.store(aim.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    /// Says that the part does nothing any more, and why. The first reason counts.
    pub(crate) fn fail(&self, problem: String) {
        self.failure.get_or_init(|| problem);
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn work(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn aim(&self) -> Option<u64> {
        Some(self.aim.load(Ordering::Relaxed)).filter(|aim| *aim != UNLIMITED)
    }
}
