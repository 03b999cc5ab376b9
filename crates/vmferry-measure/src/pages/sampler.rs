//! The watch: looks at a steady pace, within a budget of processor time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vmferry_core::{PageHistory, Ratio};

use super::sample::Sample;
use super::watched::{FirstLooks, WatchedPages};
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
    /// Most of one core that watching may take, 0..1; 20 % by default. To stay within it, the pace
    /// is slowed up to four periods; then a small part of the pages is watched quickly and all of
    /// them slowly; where the window is too short for that, the sample is thinned.
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

/// The slowest pace, in periods, before the pages are watched at two paces instead.
const SLOWEST: f64 = 4.0;

/// The quick pace of two, in periods.
const QUICK: u32 = 2;

/// The quickest pace, beside one that is slower.
const FINE: Duration = Duration::from_millis(10);

/// Most pages that are looked at so quickly: they tell the shape of the dirty curve's first points.
const FINE_PAGES: usize = 256;

/// Most of the budget that goes into them.
const FINE_SHARE: f64 = 0.15;

/// Fewest looks within the window at the slow pace.
const SLOW_LOOKS: u32 = 16;

/// The fewest pages that still give a curve (a standard error of 6 % of the guest at worst).
const FEWEST_PAGES: usize = 64;

/// Share of a budget that is planned with; the rest covers waking up before a look and reading what
/// was seen in the end.
const KEPT: f64 = 0.97;

/// How far the pace may be slowed to make up for what was spent too much, and quickened.
const CORRECTION: (f64, f64) = (0.2, 1.1);

/// Below this part of the window there is too little left to correct anything.
const LAST_PART: f64 = 0.02;

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
    /// The same of more pages, drawn apart, at a slower pace; where the budget asked for it.
    pub slow_history: Option<PageHistory>,
    /// The same of a few pages, drawn apart, at the quickest pace; where the budget allows it.
    pub fine_history: Option<PageHistory>,
    /// What the non-zero sampled pages hold.
    pub content: Content,
    /// Looks at each page of [`Self::history`].
    pub looks: u64,
    /// Processor time used.
    pub cpu_time: Duration,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// Watches a sample of a guest's pages for a window. Those `rewritten`, by position in growing
/// order ([`rewritten_pages`](crate::rewritten_pages)), are sampled more densely. Blocks its
/// thread: call it on one of its own. `cancel` is looked at before every look.
///
/// # Errors
/// [`MeasureError::BadOption`], [`MeasureError::Cancelled`], [`MeasureError::GuestExited`],
/// [`MeasureError::Memory`] and [`MeasureError::PermissionDenied`].
pub fn watch(
    memory: &GuestMemory,
    options: &PageOptions,
    rewritten: &[u64],
    cancel: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Result<PageWatch, MeasureError> {
    options.check()?;
    let (start, cpu_start) = (Instant::now(), thread_cpu_time());
    let mut content = Content::default();
    let Pages {
        mut quick,
        mut slow,
        mut fine,
        mut notes,
    } = choose(memory, options, rewritten, &mut content, cpu_start)?;

    let baseline = quick.baseline;
    // The budget is that of the whole watch, the first looks included, whatever a look may cost.
    let whole = (baseline - start) + options.window;
    let may_spend = KEPT * options.budget.0 * whole.as_secs_f64();
    let watched = [Some(&quick), slow.as_ref(), fine.as_ref()];
    let planned: f64 = watched.into_iter().flatten().map(WatchedPages::share).sum();
    let mut correction = 1.0;
    let mut looks = 1;
    let mut cpu_before = thread_cpu_time();
    while baseline.elapsed() < options.window {
        let mut next = &mut quick;
        for other in [&mut slow, &mut fine].into_iter().flatten() {
            if other.due < next.due {
                next = other;
            }
        }
        if let Some(wait) = next.due.checked_duration_since(Instant::now())
            && memory.process().exits_within(wait)
        {
            return Err(memory.process().exited());
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(MeasureError::Cancelled {
                guest: memory.process().guest().to_owned(),
            });
        }
        next.look(memory)?;
        let cpu = thread_cpu_time();
        let left = options.window.saturating_sub(baseline.elapsed());
        if left > options.window.mul_f64(LAST_PART) {
            let unspent = may_spend - (cpu - cpu_start).as_secs_f64();
            correction = (unspent / left.as_secs_f64() / planned).clamp(CORRECTION.0, CORRECTION.1);
        }
        next.looked(cpu - cpu_before, correction);
        cpu_before = cpu;
        if quick.history.intervals() as u64 == looks {
            looks += 1;
            progress(Progress {
                elapsed: Duration::from_micros(quick.history.window_us()),
                window: options.window,
                looks,
            });
        }
    }

    let budget = options.budget;
    if let Some(slow) = &slow {
        notes.push(format!(
            "looked at {} pages every {:.0} ms and at {} pages every {:.1} s, to stay within {budget} of a core",
            quick.history.pages().len(),
            quick.mean_pace().as_secs_f64() * 1e3,
            slow.history.pages().len(),
            slow.mean_pace().as_secs_f64(),
        ));
    } else if quick.mean_pace() > options.period.mul_f64(1.2) {
        notes.push(format!(
            "looked every {:.0} ms instead of every {:.0} ms, to stay within {budget} of a core",
            quick.mean_pace().as_secs_f64() * 1e3,
            options.period.as_secs_f64() * 1e3,
        ));
    }
    Ok(PageWatch {
        history: quick.history,
        slow_history: slow
            .map(|slow| slow.history)
            .filter(|history| history.intervals() > 0),
        fine_history: fine
            .map(|fine| fine.history)
            .filter(|history| history.intervals() > 0),
        content,
        looks,
        cpu_time: thread_cpu_time() - cpu_start,
        notes,
    })
}

/// What is watched, and at which paces.
struct Pages {
    quick: WatchedPages,
    slow: Option<WatchedPages>,
    fine: Option<WatchedPages>,
    notes: Vec<String>,
}

/// All pages at one pace where the budget allows it; else few quickly and many slowly, each for
/// half of it; else fewer pages.
fn choose(
    memory: &GuestMemory,
    options: &PageOptions,
    rewritten: &[u64],
    content: &mut Content,
    cpu_start: Duration,
) -> Result<Pages, MeasureError> {
    let take = |pages: usize, seed: u64, content: &mut Content| {
        let sample = Sample::draw(memory, pages, seed, rewritten);
        FirstLooks::take(memory, sample, content)
    };
    // What the first looks cost is saved on the later ones.
    let share = || {
        let spent = (thread_cpu_time() - cpu_start).as_secs_f64() / options.window.as_secs_f64();
        (options.budget.0 - spent).max(options.budget.0 / 2.0)
    };
    let all = take(options.pages, options.seed, content)?;
    let per_page = all.cost.as_secs_f64() / all.pages() as f64;
    let slowest = options.period.mul_f64(SLOWEST);
    let affordable = |pace: Duration, share: f64| (pace.as_secs_f64() * share / per_page) as usize;
    if all.pages() <= affordable(slowest, options.budget.0).max(FEWEST_PAGES) {
        // Another seed, so that the samples err independently.
        let pages = affordable(FINE, FINE_SHARE * options.budget.0).min(FINE_PAGES);
        let wanted = options.period > FINE && pages >= FEWEST_PAGES && pages < all.pages();
        let fine = if wanted {
            Some(take(pages, options.seed ^ 2, &mut Content::default())?)
        } else {
            None
        };
        let share = share();
        let of_fine = if fine.is_some() { FINE_SHARE } else { 0.0 };
        return Ok(Pages {
            quick: all.watch(options.period, (1.0 - of_fine) * share),
            slow: None,
            fine: fine.map(|fine| fine.watch(FINE, FINE_SHARE * share)),
            notes: Vec::new(),
        });
    }

    let half = KEPT * share() / 2.0;
    let pace = options.period * QUICK;
    let quick_pages = affordable(pace, half).max(FEWEST_PAGES);
    let slow_pages = affordable(options.window / SLOW_LOOKS, half).min(all.pages());
    // Another seed, so that the two samples err independently.
    let other = options.seed ^ 1;
    if slow_pages >= 2 * quick_pages {
        let slow = if slow_pages < all.pages() {
            take(slow_pages, options.seed, &mut Content::default())?
        } else {
            all
        };
        let quick = take(quick_pages, other, &mut Content::default())?;
        return Ok(Pages {
            slow: Some(slow.watch(pace, half)),
            quick: quick.watch(pace, half),
            fine: None,
            notes: Vec::new(),
        });
    }

    let pages = affordable(slowest, share()).max(FEWEST_PAGES);
    let note = format!(
        "watched {pages} pages instead of {}, to stay within {} of a core",
        all.pages(),
        options.budget
    );
    *content = Content::default();
    let few = take(pages, options.seed, content)?;
    Ok(Pages {
        quick: few.watch(options.period, share()),
        slow: None,
        fine: None,
        notes: vec![note],
    })
}

impl PageOptions {
    pub(crate) fn check(&self) -> Result<(), MeasureError> {
        let bad = |option, problem| Err(bad_option(option, problem));
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
        check_budget(self.budget)
    }
}

/// An option that makes no sense.
pub(crate) fn bad_option(option: &'static str, problem: &str) -> MeasureError {
    MeasureError::BadOption {
        option,
        problem: problem.to_owned(),
    }
}

/// Refuses a share of a core that is none.
pub(crate) fn check_budget(budget: Ratio) -> Result<(), MeasureError> {
    // Negated, so that not-a-number is refused too.
    if !(budget.0 >= 0.001 && budget.0 <= 1.0) {
        return Err(bad_option(
            "budget",
            "is not within 0.1 %..100 % of a core; 20 % is usual",
        ));
    }
    Ok(())
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
