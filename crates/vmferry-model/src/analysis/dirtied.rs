//! Which of the sampled pages changed, and how much memory that stands for.

use vmferry_core::{Bytes, PAGE_SIZE, PageHistory};

/// The pages that changed within some intervals of a history.
#[derive(Clone, Debug)]
pub(crate) struct Dirtied<'a> {
    history: &'a PageHistory,
    neighbours: Vec<(usize, usize)>,
    bits: Vec<u64>,
}

/// An amount of memory, estimated from sampled pages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The estimate, bytes.
    pub bytes: f64,
    /// Its standard error, bytes.
    pub standard_error: f64,
}

impl Estimate {
    /// The estimate in whole bytes.
    pub fn size(&self) -> Bytes {
        Bytes(self.bytes.round().max(0.0) as u64)
    }

    /// Its standard error in whole bytes.
    pub fn standard_error_size(&self) -> Bytes {
        Bytes(self.standard_error.round().max(0.0) as u64)
    }
}

impl<'a> Dirtied<'a> {
    /// No page yet.
    pub(crate) fn new(history: &'a PageHistory) -> Self {
        Self {
            history,
            neighbours: history.neighbours(),
            bits: vec![0; history.pages().len().div_ceil(64)],
        }
    }

    /// Adds the pages that changed in an interval.
    pub(crate) fn add(&mut self, interval: usize) {
        for (bits, row) in self.bits.iter_mut().zip(self.history.row(interval)) {
            *bits |= row;
        }
    }

    /// What they stand for. The standard error is that of a sample of one
    /// page a stratum, from differences between neighbours; a stratum of one
    /// page has none.
    pub(crate) fn estimate(&self) -> Estimate {
        let pages = self.history.pages();
        let dirty = |page: usize| self.bits[page / 64] >> (page % 64) & 1 == 1;
        let mut sum = 0.0;
        let mut variance = 0.0;
        for (at, page) in pages.iter().enumerate() {
            if dirty(at) {
                sum += page.weight;
            }
        }
        for (one, other) in &self.neighbours {
            if dirty(*one) != dirty(*other) {
                let weight = (pages[*one].weight + pages[*other].weight) / 2.0;
                variance += weight * (weight - 1.0).max(0.0) / 2.0;
            }
        }
        let page = PAGE_SIZE.0 as f64;
        Estimate {
            bytes: sum * page,
            standard_error: variance.sqrt() * page,
        }
    }
}

/// Bytes that one sampled page stands for on average; 0 of none.
pub(crate) fn bytes_per_page(history: &PageHistory) -> f64 {
    match history.pages().len() {
        0 => 0.0,
        pages => history.represented_pages() / pages as f64 * PAGE_SIZE.0 as f64,
    }
}

/// The look nearest to an instant, by its number; the first is 0.
pub(crate) fn nearest_look(history: &PageHistory, at_us: f64) -> usize {
    let (mut low, mut high) = (0, history.intervals());
    // The first look at or after the instant, or the last one.
    while low < high {
        let middle = (low + high) / 2;
        if look_us(history, middle) < at_us {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let before = low.saturating_sub(1);
    if low > 0 && at_us - look_us(history, before) < look_us(history, low) - at_us {
        before
    } else {
        low
    }
}

/// Instant of a look, microseconds from the first.
pub(crate) fn look_us(history: &PageHistory, look: usize) -> f64 {
    match look {
        0 => 0.0,
        _ => history.interval_us(look - 1).1 as f64,
    }
}
