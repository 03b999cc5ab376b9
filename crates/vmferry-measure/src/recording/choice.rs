//! Which pages are recorded, and the first looks at them.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use vmferry_core::SampledPage;

use super::{PageChoice, RecordOptions};
use crate::MeasureError;
use crate::cpu_clock::thread_cpu_time;
use crate::memory::GuestMemory;
use crate::pages::look::{Looker, ZERO};
use crate::pages::sample::Sample;

/// Pages that tell what a look costs.
const PROBED_PAGES: usize = 4096;

/// The fewest pages that still tell something (a standard error of 6 % of the guest at worst).
const FEWEST_PAGES: usize = 64;

/// Share of the budget that a subset is sized for. The rest covers writing what was seen, and
/// looks that cost more than the probe.
const PLANNED: f64 = 0.8;

/// The recorded pages, as they were at the first look.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedPages {
    /// The pages, in sending order. Positions count in this list.
    pub pages: Vec<SampledPage>,
    /// Whether they are all pages of the guest whose address is known.
    pub whole_guest: bool,
    /// The first look by the wall clock.
    pub started_at: jiff::Timestamp,
    /// The same instant by `CLOCK_MONOTONIC`.
    pub started_monotonic: Duration,
}

/// Pages ready to be looked at again and again.
pub(super) struct Chosen {
    pub(super) looker: Looker,
    pub(super) addresses: Vec<u64>,
    /// Instant of the first look.
    pub(super) baseline: Instant,
    /// Processor time of one look.
    pub(super) cost: Duration,
}

/// Chooses pages and looks at them for the first time.
pub(super) fn choose(
    memory: &GuestMemory,
    options: &RecordOptions,
) -> Result<(Chosen, RecordedPages), MeasureError> {
    let all = usize::try_from(memory.pages()).unwrap_or(usize::MAX);
    let wanted = match options.pages {
        PageChoice::All => all,
        PageChoice::Count(pages) => usize::try_from(pages).unwrap_or(usize::MAX),
        PageChoice::Affordable => affordable(memory, options)?,
    };
    let sample = Sample::draw(memory, wanted.min(all), options.seed, &[]);
    let whole_guest = sample.len() == all;
    let addresses = sample.addresses.clone();
    let mut looker = Looker::new(addresses.len());
    // The first look meets pages never read before: only the second tells what a look costs.
    looker.look(memory, &addresses, |_, _| ())?;
    let (baseline, cpu) = (Instant::now(), thread_cpu_time());
    let started_at = jiff::Timestamp::now();
    let started_monotonic =
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    looker.look(memory, &addresses, |_, _| ())?;
    let cost = thread_cpu_time() - cpu;
    let hashes = looker.hashes();
    let pages = sample.into_pages(|page| hashes[page] == ZERO);
    Ok((
        Chosen {
            looker,
            addresses,
            baseline,
            cost,
        },
        RecordedPages {
            pages,
            whole_guest,
            started_at,
            started_monotonic,
        },
    ))
}

/// How many pages can be looked at every interval within the budget.
fn affordable(memory: &GuestMemory, options: &RecordOptions) -> Result<usize, MeasureError> {
    let probe = Sample::draw(memory, PROBED_PAGES, options.seed, &[]);
    let mut looker = Looker::new(probe.len());
    looker.look(memory, &probe.addresses, |_, _| ())?;
    let before = thread_cpu_time();
    looker.look(memory, &probe.addresses, |_, _| ())?;
    let cost = (thread_cpu_time() - before).max(Duration::from_nanos(1));
    let share = options.interval.mul_f64(options.budget.0 * PLANNED);
    let pages = share.as_secs_f64() / cost.as_secs_f64() * probe.len() as f64;
    Ok((pages as usize).max(FEWEST_PAGES))
}
