//! The watch: looks at a steady pace, within a budget of processor time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vmferry_core::{PageHistory, Ratio};

use super::look::{Looker, ZERO};
use super::sample::Sample;
use crate::MeasureError;
use crate::content::Content;
use crate::cpu_clock::thread_cpu_time;
use crate::memory::GuestMemory;

/// How pages are watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageOptions {
    /// How long; above 0. 10 s by default.
    pub window: Duration,
    /// How many pages; 4096 by default.
    pub pages: usize,
    /// Time from look to look; 25 ms by default, half of the 50 ms that one burst of QEMU's
    /// migration loop lasts.
    pub period: Duration,
    /// Most of one core that watching may take, 0..1; 20 % by default. The pace is slowed, then
    /// the sample thinned, to stay within it.
    pub budget: Ratio,
    /// Draws the pages: the same seed draws the same.
    pub seed: u64,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            pages: 4096,
            period: Duration::from_millis(25),
            budget: Ratio(0.2),
            seed: 0x766d_6665_7272_7921,
        }
    }
}

/// The slowest pace, in periods, before the sample is thinned instead.
const SLOWEST: f64 = 4.0;

/// The fewest pages that still give a curve (a standard error of 6 % of the guest at worst).
const FEWEST_PAGES: usize = 64;

/// How far a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Since the first look.
    pub elapsed: Duration,
    /// Length of the whole window.
    pub window: Duration,
    /// Looks so far.
    pub looks: u64,
}

/// What a watch saw.
#[derive(Debug)]
pub struct PageWatch {
    /// Which pages were dirtied when.
    pub history: PageHistory,
    /// What the non-zero sampled pages hold.
    pub content: Content,
    /// Looks at each page.
    pub looks: u64,
    /// Processor time used.
    pub cpu_time: Duration,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// Watches a sample of a guest's pages for a window. Blocks its thread: call it on one of its own.
/// `cancel` is looked at before every look.
///
/// # Errors
/// [`MeasureError::BadOption`], [`MeasureError::Cancelled`], [`MeasureError::GuestExited`],
/// [`MeasureError::Memory`] and [`MeasureError::PermissionDenied`].
pub fn watch(
    memory: &GuestMemory,
    options: &PageOptions,
    cancel: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<PageWatch, MeasureError> {
    options.check()?;
    let cpu_start = thread_cpu_time();
    let mut notes = Vec::new();

    // The first look meets pages never read before, so only the second tells what a look costs.
    let mut sample = Sample::draw(memory, options.pages, options.seed);
    let mut looker = Looker::new(sample.len());
    let mut content = Content::default();
    looker.look(memory, &sample.addresses, |_, page| content.add(page))?;
    let (_, mut baseline, mut cost) = timed_look(&mut looker, memory, &sample)?;

    let affordable = options.period.mul_f64(SLOWEST * options.budget.0);
    if cost > affordable {
        let share = affordable.as_secs_f64() / cost.as_secs_f64();
        let pages = ((sample.len() as f64 * share) as usize).max(FEWEST_PAGES);
        if pages < sample.len() {
            notes.push(format!(
                "watched {pages} pages instead of {}, to stay within {} of a core",
                sample.len(),
                options.budget
            ));
            sample = Sample::draw(memory, pages, options.seed);
            looker = Looker::new(sample.len());
            content = Content::default();
            looker.look(memory, &sample.addresses, |_, page| content.add(page))?;
            (_, baseline, cost) = timed_look(&mut looker, memory, &sample)?;
        }
    }
    content.set_hashes(looker.hashes());

    let addresses = sample.addresses.clone();
    let hashes = looker.hashes();
    let mut history = PageHistory::new(sample.clone().into_pages(|page| hashes[page] == ZERO));
    let mut looks = 1;
    let mut due = baseline;
    let mut last_us = 0;
    while baseline.elapsed() < options.window {
        // Costs are smoothed, so that a single interrupted look does not leave a gap.
        let pace = options.period.max(cost.div_f64(options.budget.0));
        due += pace;
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            if memory.process().exits_within(wait) {
                return Err(memory.process().exited());
            }
        } else {
            // Late: the looks that were missed are not made up for.
            due = Instant::now();
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(MeasureError::Cancelled {
                guest: memory.process().guest().to_owned(),
            });
        }
        let cpu_before = thread_cpu_time();
        let at = Instant::now();
        let changed = looker.look(memory, &addresses, |_, _| ())?;
        cost = cost.mul_f64(0.9) + (thread_cpu_time() - cpu_before).mul_f64(0.1);
        last_us = micros(at - baseline).max(last_us + 1);
        history.push(last_us, changed);
        looks += 1;
        progress(Progress {
            elapsed: at - baseline,
            window: options.window,
            looks,
        });
    }

    let mean = Duration::from_micros(history.window_us()) / history.intervals().max(1) as u32;
    if mean > options.period.mul_f64(1.2) {
        notes.push(format!(
            "looked every {:.0} ms instead of every {:.0} ms, to stay within {} of a core",
            mean.as_secs_f64() * 1e3,
            options.period.as_secs_f64() * 1e3,
            options.budget
        ));
    }
    Ok(PageWatch {
        history,
        content,
        looks,
        cpu_time: thread_cpu_time() - cpu_start,
        notes,
    })
}

fn timed_look(
    looker: &mut Looker,
    memory: &GuestMemory,
    sample: &Sample,
) -> Result<(Vec<usize>, Instant, Duration), MeasureError> {
    let (at, cpu) = (Instant::now(), thread_cpu_time());
    let changed = looker.look(memory, &sample.addresses, |_, _| ())?;
    Ok((changed, at, thread_cpu_time() - cpu))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl PageOptions {
    pub(crate) fn check(&self) -> Result<(), MeasureError> {
        let bad = |option, problem: &str| {
            Err(MeasureError::BadOption {
                option,
                problem: problem.to_owned(),
            })
        };
        if self.period < Duration::from_millis(1) {
            return bad(
                "period",
                "is below 1 ms; a look at 4096 pages takes about 5 ms",
            );
        }
        if self.window < self.period * 4 {
            return bad("window", "is shorter than four looks; 10 s is usual");
        }
        if self.pages == 0 || self.pages > 1 << 20 {
            return bad("pages", "is not within 1..1048576; 4096 is usual");
        }
        // Negated, so that not-a-number is refused too.
        if !(self.budget.0 >= 0.001 && self.budget.0 <= 1.0) {
            return bad(
                "budget",
                "is not within 0.1 %..100 % of a core; 20 % is usual",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_options_are_refused() {
        let good = PageOptions::default();
        good.check().unwrap();
        for (bad, option) in [
            (
                PageOptions {
                    window: Duration::ZERO,
                    ..good
                },
                "window",
            ),
            (
                PageOptions {
                    period: Duration::ZERO,
                    ..good
                },
                "period",
            ),
            (PageOptions { pages: 0, ..good }, "pages"),
            (
                PageOptions {
                    budget: Ratio(f64::NAN),
                    ..good
                },
                "budget",
            ),
        ] {
            let text = bad.check().unwrap_err().to_string();
            assert!(text.starts_with(option), "{text}");
        }
    }
}
