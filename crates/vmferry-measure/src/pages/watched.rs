//! A set of pages that is looked at again and again at its own pace.

use std::time::{Duration, Instant};

use vmferry_core::PageHistory;

use super::look::{Looker, ZERO};
use super::sample::Sample;
use crate::MeasureError;
use crate::content::Content;
use crate::cpu_clock::thread_cpu_time;
use crate::memory::GuestMemory;

/// Pages that were looked at twice: the first look meets pages never read before, so only the
/// second tells what a look costs.
pub(crate) struct FirstLooks {
    sample: Sample,
    looker: Looker,
    baseline: Instant,
    /// Processor time of one look.
    pub(crate) cost: Duration,
}

impl FirstLooks {
    /// Takes them, and puts what the pages hold into `content`.
    pub(crate) fn take(
        memory: &GuestMemory,
        sample: Sample,
        content: &mut Content,
    ) -> Result<Self, MeasureError> {
        let mut looker = Looker::new(sample.len());
        looker.look(memory, &sample.addresses, |_, page| content.add(page))?;
        let (baseline, cpu) = (Instant::now(), thread_cpu_time());
        looker.look(memory, &sample.addresses, |_, _| ())?;
        let cost = thread_cpu_time() - cpu;
        content.set_hashes(looker.hashes());
        Ok(Self {
            sample,
            looker,
            baseline,
            cost,
        })
    }

    /// Number of pages.
    pub(crate) fn pages(&self) -> usize {
        self.sample.len()
    }

    /// Begins to watch them: every `period`, or more slowly to stay within `share` of a core.
    pub(crate) fn watch(self, period: Duration, share: f64) -> WatchedPages {
        let hashes = self.looker.hashes();
        let addresses = self.sample.addresses.clone();
        let history = PageHistory::new(self.sample.into_pages(|page| hashes[page] == ZERO));
        let mut watched = WatchedPages {
            addresses,
            looker: self.looker,
            history,
            baseline: self.baseline,
            due: self.baseline,
            period,
            share,
            cost: self.cost,
            last_us: 0,
        };
        watched.due += watched.pace(1.0);
        watched
    }
}

/// The pages, what was seen of them, and when the next look is due.
pub(crate) struct WatchedPages {
    addresses: Vec<u64>,
    looker: Looker,
    pub(crate) history: PageHistory,
    pub(crate) baseline: Instant,
    pub(crate) due: Instant,
    period: Duration,
    share: f64,
    cost: Duration,
    last_us: u64,
}

impl WatchedPages {
    /// Looks now.
    pub(crate) fn look(&mut self, memory: &GuestMemory) -> Result<(), MeasureError> {
        let at = Instant::now();
        let changed = self.looker.look(memory, &self.addresses, |_, _| ())?;
        let since = (at - self.baseline).as_micros();
        self.last_us = u64::try_from(since)
            .unwrap_or(u64::MAX)
            .max(self.last_us + 1);
        self.history.push(self.last_us, changed);
        Ok(())
    }

    /// Sets the time of the next look, after one that cost this much processor time with all that
    /// went on around it. Costs are smoothed, so that a single interrupted look does not leave a
    /// gap; `correction` times the share may be used, to keep to what is left of the budget.
    pub(crate) fn looked(&mut self, cost: Duration, correction: f64) {
        self.cost = self.cost.mul_f64(0.9) + cost.mul_f64(0.1);
        // Late: the looks that were missed are not made up for.
        self.due = (self.due + self.pace(correction)).max(Instant::now());
    }

    fn pace(&self, correction: f64) -> Duration {
        self.period.max(self.cost.div_f64(self.share * correction))
    }

    /// Share of a core that was planned for these looks.
    pub(crate) const fn share(&self) -> f64 {
        self.share
    }

    /// Mean time from look to look.
    pub(crate) fn mean_pace(&self) -> Duration {
        let looks = u32::try_from(self.history.intervals()).unwrap_or(u32::MAX);
        Duration::from_micros(self.history.window_us()) / looks.max(1)
    }
}
