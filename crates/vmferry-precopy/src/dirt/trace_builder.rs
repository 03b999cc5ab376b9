//! A page trace, put together interval by interval.

use thiserror::Error;
use vmferry_core::Pages;

use super::interval_part::instant;
use super::page_trace::{PageTrace, STEADY, Stored, is_set, set};

/// An interval with more than one page in so many is kept as a bitset: there
/// its list would be larger (10 bytes a page against one bit of all pages), and
/// slower to read.
const DENSE_ONE_IN: usize = 64;

/// Why there is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PageTraceError {
    /// No interval was recorded, or the guest has no page.
    #[error("the page trace is empty; record the guest for at least one interval")]
    Empty,
    /// Too many pages for page numbers of 31 bits.
    #[error("a guest of {pages} pages is too large for a page trace: 8 TiB at most")]
    TooLarge {
        /// Pages of the guest.
        pages: u64,
    },
    /// A look is not after the one before.
    #[error(
        "the page trace's clock goes back: look {look} is at {at_us} us, the one before at \
         {before_us} us; record the guest again"
    )]
    ClockWentBack {
        /// Number of the look, from 1.
        look: usize,
        /// Its instant.
        at_us: u64,
        /// Instant of the one before.
        before_us: u64,
    },
    /// A page beyond the end of memory.
    #[error(
        "the page trace names page {page} of a guest that has {pages}: it is of another guest, or \
         damaged"
    )]
    NoSuchPage {
        /// The page.
        page: u64,
        /// Pages of the guest.
        pages: u64,
    },
}

/// Takes intervals in order and makes a [`PageTrace`] of them.
#[derive(Clone, Debug)]
pub struct PageTraceBuilder {
    trace: PageTrace,
    last_look_us: u64,
    /// 1 + the interval that listed a page last; 0 for none.
    listed_last: Vec<u32>,
    sorted: Vec<u32>,
}

impl PageTraceBuilder {
    /// A trace of a guest of `total` pages, none of them a zero page, whose
    /// first look is at time zero.
    ///
    /// # Errors
    /// For a guest of no pages or of more than 2^31 - 1.
    pub fn new(total: Pages) -> Result<Self, PageTraceError> {
        if total.0 == 0 {
            return Err(PageTraceError::Empty);
        }
        if total.0 >= u64::from(STEADY) {
            return Err(PageTraceError::TooLarge { pages: total.0 });
        }
        let pages = total.0 as usize;
        let words = pages.div_ceil(64);
        Ok(Self {
            trace: PageTrace {
                total: pages,
                zero: vec![0; words],
                ever: vec![0; words],
                ever_pages: 0,
                zero_pages: 0,
                tail_exponent: 0.0,
                looks: vec![0.0],
                intervals: Vec::new(),
                listed: Vec::new(),
                before: Vec::new(),
                instants: Vec::new(),
                rows: Vec::new(),
            },
            last_look_us: 0,
            listed_last: vec![0; pages],
            sorted: Vec::new(),
        })
    }

    /// Marks pages that were zero pages when the trace began, in any order.
    ///
    /// # Errors
    /// For a page beyond the end of memory.
    pub fn zero_pages(
        mut self,
        pages: impl IntoIterator<Item = u64>,
    ) -> Result<Self, PageTraceError> {
        for page in pages {
            let page = self.checked(page)?;
            set(&mut self.trace.zero, page as usize);
        }
        Ok(self)
    }

    /// Adds the interval that ends with a look at `look_us` microseconds from
    /// the first; `dirty` are the pages written in it, in any order.
    ///
    /// # Errors
    /// When time does not grow, or for a page beyond the end of memory; the
    /// interval is then left out.
    pub fn push(
        &mut self,
        look_us: u64,
        dirty: impl IntoIterator<Item = u64>,
    ) -> Result<(), PageTraceError> {
        self.check_clock(look_us)?;
        let mut pages = std::mem::take(&mut self.sorted);
        pages.clear();
        for page in dirty {
            pages.push(self.checked(page)?);
        }
        pages.sort_unstable();
        pages.dedup();
        if pages.len() > self.trace.total / DENSE_ONE_IN {
            let mut row = vec![0; self.trace.ever.len()];
            for page in &pages {
                set(&mut row, *page as usize);
            }
            self.push_row(&row);
        } else {
            self.push_list(&pages);
        }
        self.sorted = pages;
        self.looked(look_us);
        Ok(())
    }

    /// The same from a bitset: page 0 in the lowest bit of the first word;
    /// words that are missing at the end are empty.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_bits(&mut self, look_us: u64, dirty: &[u64]) -> Result<(), PageTraceError> {
        let pages = dirty
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum::<usize>();
        if pages <= self.trace.total / DENSE_ONE_IN {
            let ones = dirty.iter().enumerate().flat_map(|(at, word)| {
                let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
                bits.map(move |bit| at as u64 * 64 + bit)
            });
            return self.push(look_us, ones);
        }
        self.check_clock(look_us)?;
        if let Some(at) = dirty.iter().rposition(|word| *word != 0) {
            let highest = 63 - dirty[at].leading_zeros();
            self.checked(at as u64 * 64 + u64::from(highest))?;
        }
        let words = dirty.len().min(self.trace.ever.len());
        self.push_row(&dirty[..words]);
        self.looked(look_us);
        Ok(())
    }

    /// The trace, ready for replays.
    ///
    /// # Errors
    /// When no interval was added.
    pub fn finish(mut self) -> Result<PageTrace, PageTraceError> {
        if self.trace.intervals.is_empty() {
            return Err(PageTraceError::Empty);
        }
        self.listed_last = Vec::new();
        mark_steady(&mut self.trace);
        let trace = &mut self.trace;
        for (zero, ever) in trace.zero.iter_mut().zip(&trace.ever) {
            // A zero page that was written since is none by now.
            *zero &= !ever;
        }
        let ones = |bits: &[u64]| bits.iter().map(|word| word.count_ones() as usize).sum();
        trace.ever_pages = ones(&trace.ever);
        trace.zero_pages = ones(&trace.zero);
        trace.tail_exponent = tail_exponent(trace);
        trace.listed.shrink_to_fit();
        trace.before.shrink_to_fit();
        trace.instants.shrink_to_fit();
        Ok(self.trace)
    }

    fn checked(&self, page: u64) -> Result<u32, PageTraceError> {
        let pages = self.trace.total as u64;
        if page < pages {
            Ok(page as u32)
        } else {
            Err(PageTraceError::NoSuchPage { page, pages })
        }
    }

    fn check_clock(&self, at_us: u64) -> Result<(), PageTraceError> {
        if at_us > self.last_look_us {
            return Ok(());
        }
        Err(PageTraceError::ClockWentBack {
            look: self.trace.looks.len(),
            at_us,
            before_us: self.last_look_us,
        })
    }

    fn looked(&mut self, look_us: u64) {
        self.last_look_us = look_us;
        self.trace.looks.push(look_us as f64 / 1e6);
    }

    fn push_list(&mut self, pages: &[u32]) {
        let trace = &mut self.trace;
        let begin = trace.listed.len();
        let interval = trace.intervals.len();
        let number = interval as u32 + 1;
        for page in pages {
            let last = &mut self.listed_last[*page as usize];
            trace.listed.push(*page);
            trace.before.push(*last);
            trace.instants.push(instant(*page, interval));
            *last = number;
            set(&mut trace.ever, *page as usize);
        }
        let range = begin..trace.listed.len();
        trace.intervals.push(Stored::Listed(range));
    }

    fn push_row(&mut self, row: &[u64]) {
        let trace = &mut self.trace;
        let words = trace.ever.len();
        trace.intervals.push(Stored::Row(trace.rows.len() / words));
        trace.rows.extend_from_slice(row);
        let whole = trace.rows.len().next_multiple_of(words);
        trace.rows.resize(whole, 0);
        for (ever, word) in trace.ever.iter_mut().zip(row) {
            *ever |= word;
        }
    }
}

/// Marks listed pages that were written in both neighbouring intervals as well;
/// at the ends the one neighbour there is has to do.
fn mark_steady(trace: &mut PageTrace) {
    let words = trace.ever.len();
    let last = trace.intervals.len() - 1;
    let mut lists = [vec![0u64; words], vec![0u64; words]];
    let mut steady_last = vec![0u64; words];
    for k in 0..=last {
        let Stored::Listed(range) = trace.intervals[k].clone() else {
            continue;
        };
        let neighbours = [k.saturating_sub(1), (k + 1).min(last)];
        for (bits, near) in lists.iter_mut().zip(neighbours) {
            if let Stored::Listed(range) = &trace.intervals[near] {
                for listed in &trace.listed[range.clone()] {
                    set(bits, (listed & !STEADY) as usize);
                }
            }
        }
        for i in range {
            let page = trace.listed[i] as usize;
            let written = |side: usize| match trace.intervals[neighbours[side]] {
                Stored::Listed(_) => is_set(&lists[side], page),
                Stored::Row(row) => is_set(&trace.rows[row * words..(row + 1) * words], page),
            };
            let steady = written(0) && written(1);
            if is_set(&steady_last, page) {
                trace.before[i] |= STEADY;
            }
            let bit = 1 << (page % 64);
            if steady {
                trace.listed[i] |= STEADY;
                steady_last[page / 64] |= bit;
            } else {
                steady_last[page / 64] &= !bit;
            }
        }
        for (bits, near) in lists.iter_mut().zip(neighbours) {
            if let Stored::Listed(range) = &trace.intervals[near] {
                for listed in &trace.listed[range.clone()] {
                    bits[(listed & !STEADY) as usize / 64] = 0;
                }
            }
        }
    }
}

/// log2 of what the whole found to what its halves found, 0..1.
fn tail_exponent(trace: &PageTrace) -> f64 {
    let half = trace.intervals.len() / 2;
    if half == 0 || trace.ever_pages == 0 {
        return 0.0;
    }
    let middle = trace.looks[half];
    let first = trace.dirtied_pages(0.0, middle);
    let second = trace.dirtied_pages(middle, trace.window() - middle);
    (2.0 * trace.ever_pages as f64 / (first + second))
        .log2()
        .clamp(0.0, 1.0)
}
