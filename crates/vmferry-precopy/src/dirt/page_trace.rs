//! The whole guest, recorded: every page of it, interval by interval.

use std::ops::Range;

use super::{TraceDirt, UnitSet};

/// Which pages of a guest were written in each interval between two looks.
///
/// Made for long records of large guests: an interval in which little was
/// written is a sorted list of pages, one in which much was written a bitset.
/// For every listed page the interval is kept in which it was listed last
/// before, so that the unique pages of a span are counted by reading its lists
/// once, without a set; see [`Self::dirtied_pages`]. 10 minutes of a 64 GiB
/// guest with 500 pages per 100 ms take some 33 MiB.
///
/// A look tells that a page was written since the look before, not when. So
/// every page has an instant of its own within each interval, drawn once: of an
/// interval reached in part, pages are found in proportion, and each is found
/// once. Pages written in the intervals before and after as well count in any
/// part of one: these are written all the time. Beyond its end a trace begins
/// again; a single span longer than all of it follows the power tail
/// U(t) = U(W) (t/W)^b of [`super::Recording`].
#[derive(Clone, Debug)]
pub struct PageTrace {
    /// Pages of the guest.
    pub(super) total: usize,
    /// Zero pages that were never written, as a bitset.
    pub(super) zero: Vec<u64>,
    /// Pages written within the trace, as a bitset.
    pub(super) ever: Vec<u64>,
    pub(super) ever_pages: usize,
    pub(super) zero_pages: usize,
    pub(super) tail_exponent: f64,
    /// Instants of the looks in seconds.
    pub(super) looks: Vec<f64>,
    pub(super) intervals: Vec<Stored>,
    /// Pages of the lists, and whether each is written all the time.
    pub(super) listed: Vec<u32>,
    /// Beside each listed page: 1 + the interval that listed it last before (0:
    /// none), and whether it was written all the time then.
    pub(super) before: Vec<u32>,
    /// Beside each listed page: its instant within the interval.
    pub(super) instants: Vec<u16>,
    /// Bitsets of the dense intervals, one after the other.
    pub(super) rows: Vec<u64>,
}

/// Mark on a listed page or a reference to one: written all the time.
pub(super) const STEADY: u32 = 1 << 31;

/// Seconds that are nothing: what sums of instants are off by.
pub(super) const ROUNDING: f64 = 1e-9;

/// How an interval is kept.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// Range of the lists.
    Listed(Range<usize>),
    /// Number of the row.
    Row(usize),
}

/// Parts of an interval that are told apart.
const INSTANTS: f64 = 65_536.0;

/// When a page is written within an interval that has it.
pub(super) fn instant(page: u32, interval: usize) -> u16 {
    let key = u64::from(page) << 32 | interval as u64;
    let hash = (key ^ key >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((hash ^ hash >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 48) as u16
}

/// A part of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    low: u32,
    high: u32,
}

impl Part {
    const WHOLE: Self = Self {
        low: 0,
        high: INSTANTS as u32,
    };

    fn holds(self, instant: u16) -> bool {
        (self.low..self.high).contains(&u32::from(instant))
    }
}

impl PageTrace {
    /// Pages of the guest.
    pub fn pages(&self) -> usize {
        self.total
    }

    /// Number of intervals.
    pub fn intervals(&self) -> usize {
        self.intervals.len()
    }

    /// Length of the trace in seconds.
    pub fn window(&self) -> f64 {
        self.looks[self.looks.len() - 1]
    }

    /// Exponent b of the tail beyond the end, 0..1.
    pub fn tail_exponent(&self) -> f64 {
        self.tail_exponent
    }

    /// Bytes that the trace takes in memory.
    pub fn heap_size(&self) -> usize {
        8 * (self.zero.len() + self.ever.len() + self.rows.len() + self.looks.len())
            + 10 * self.listed.len()
            + size_of::<Stored>() * self.intervals.len()
    }

    /// The guest from `offset` seconds into the trace on, running at `speed` (1
    /// is as recorded). Takes no time: replays may start from many offsets.
    pub fn replayed(&self, offset: f64, speed: f64) -> TraceDirt<'_> {
        TraceDirt::new(self, offset, speed)
    }

    /// Unique pages written from `from` on for `length` seconds of the trace,
    /// going on at its beginning where it ends.
    pub fn dirtied_pages(&self, from: f64, length: f64) -> f64 {
        if length <= 0.0 {
            return 0.0;
        }
        let window = self.window();
        if length >= window {
            let grown = (length / window).powf(self.tail_exponent);
            return (self.ever_pages as f64 * grown).min(self.total as f64);
        }
        let from = from.rem_euclid(window);
        let to = from + length;
        let goes_round = to > window + ROUNDING;
        if !goes_round && self.is_listed(from, to.min(window)) {
            return self.count_listed(from, to.min(window)) as f64;
        }
        let mut found = UnitSet::empty(self.total);
        let all = 0..self.total;
        self.gather(from, to.min(window), all.clone(), &mut found);
        if goes_round {
            self.gather(0.0, to - window, all, &mut found);
        }
        found.len() as f64
    }

    /// Intervals that a span of the window touches, with the parts of the first
    /// and the last.
    fn spanned(&self, from: f64, to: f64) -> (Range<usize>, impl Fn(usize) -> Part) {
        let first = self.looks[1..].partition_point(|look| *look <= from);
        let end = self.looks[..self.intervals.len()].partition_point(|look| *look < to);
        let part = move |k: usize| {
            let (start, end) = (self.looks[k], self.looks[k + 1]);
            let place = |at: f64| {
                let share = ((at - start) / (end - start)).clamp(0.0, 1.0);
                (share * INSTANTS) as u32
            };
            Part {
                low: place(from),
                high: place(to),
            }
        };
        (first..end.max(first), part)
    }

    fn is_listed(&self, from: f64, to: f64) -> bool {
        let (span, _) = self.spanned(from, to);
        let mut intervals = self.intervals[span].iter();
        intervals.all(|interval| matches!(interval, Stored::Listed(_)))
    }

    /// Unique pages of a span of listed intervals: those not found before in
    /// the same span.
    fn count_listed(&self, from: f64, to: f64) -> usize {
        let (span, part_of) = self.spanned(from, to);
        let first = span.start;
        let opening = part_of(first);
        // 1 + the first interval: references up to it leave the span, and one
        // to it may have missed its part.
        let bound = first as u32 + 1;
        let missed = |listed: u32, before: u32| {
            before == bound && !opening.holds(instant(listed & !STEADY, first))
        };
        let mut count = 0;
        for k in span {
            let Stored::Listed(range) = &self.intervals[k] else {
                continue;
            };
            let (listed, before) = (&self.listed[range.clone()], &self.before[range.clone()]);
            let part = part_of(k);
            if part == Part::WHOLE && opening == Part::WHOLE {
                count += before.iter().filter(|b| **b & !STEADY < bound).count();
                continue;
            }
            let instants = &self.instants[range.clone()];
            for ((listed, before), instant) in listed.iter().zip(before).zip(instants) {
                let found = listed & STEADY != 0 || part.holds(*instant);
                if found && (before & !STEADY < bound || missed(*listed, *before)) {
                    count += 1;
                }
            }
        }
        count
    }

    /// Adds what was written between two instants of the window, within a range
    /// of pages, to a bitset of all pages.
    pub(super) fn gather(&self, from: f64, to: f64, pages: Range<usize>, into: &mut UnitSet) {
        let (span, part_of) = self.spanned(from, to);
        let mut whole_rows = Vec::new();
        for k in span {
            let part = part_of(k);
            match &self.intervals[k] {
                Stored::Listed(range) => {
                    let range = self.listed_within(range, &pages);
                    let instants = &self.instants[range.clone()];
                    for (listed, instant) in self.listed[range].iter().zip(instants) {
                        if listed & STEADY != 0 || part.holds(*instant) {
                            into.insert((listed & !STEADY) as usize);
                        }
                    }
                }
                Stored::Row(row) if part == Part::WHOLE => whole_rows.push(*row),
                Stored::Row(_) => self.gather_part_of_row(k, part, &pages, into),
            }
        }
        self.merge_rows(&whole_rows, &pages, into);
    }

    /// The part of a list whose pages lie in a range.
    fn listed_within(&self, range: &Range<usize>, pages: &Range<usize>) -> Range<usize> {
        if pages.start == 0 && pages.end >= self.total {
            return range.clone();
        }
        let list = &self.listed[range.clone()];
        let place = |page: usize| {
            range.start + list.partition_point(|listed| ((listed & !STEADY) as usize) < page)
        };
        place(pages.start)..place(pages.end)
    }

    fn row(&self, row: usize) -> &[u64] {
        let words = self.ever.len();
        &self.rows[row * words..(row + 1) * words]
    }

    /// Whole rows are merged block by block, so that what they are merged into
    /// stays in the cache while the rows stream past.
    fn merge_rows(&self, rows: &[usize], pages: &Range<usize>, into: &mut UnitSet) {
        const BLOCK: usize = 2048;
        if rows.is_empty() {
            return;
        }
        let words = pages.start / 64..pages.end.div_ceil(64);
        for begin in words.clone().step_by(BLOCK) {
            let block = begin..(begin + BLOCK).min(words.end);
            let mut sums = [0u64; BLOCK];
            let sums = &mut sums[..block.len()];
            for row in rows {
                for (sum, word) in sums.iter_mut().zip(&self.row(*row)[block.clone()]) {
                    *sum |= word;
                }
            }
            for (at, sum) in block.zip(sums) {
                into.merge(at, *sum & mask_of(at, pages));
            }
        }
    }

    fn gather_part_of_row(&self, k: usize, part: Part, pages: &Range<usize>, into: &mut UnitSet) {
        let Stored::Row(row) = self.intervals[k] else {
            return;
        };
        let (before, after) = (
            self.bits(k.saturating_sub(1)),
            self.bits((k + 1).min(self.intervals.len() - 1)),
        );
        for at in pages.start / 64..pages.end.div_ceil(64) {
            let word = self.row(row)[at] & mask_of(at, pages);
            let always = word & before[at] & after[at];
            let mut found = always;
            let mut rest = word & !always;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                if part.holds(instant(at as u32 * 64 + bit, k)) {
                    found |= 1 << bit;
                }
            }
            into.merge(at, found);
        }
    }

    /// One interval as a bitset.
    fn bits(&self, k: usize) -> std::borrow::Cow<'_, [u64]> {
        match &self.intervals[k] {
            Stored::Row(row) => self.row(*row).into(),
            Stored::Listed(range) => {
                let mut bits = vec![0u64; self.ever.len()];
                for listed in &self.listed[range.clone()] {
                    set(&mut bits, (listed & !STEADY) as usize);
                }
                bits.into()
            }
        }
    }
}

/// The bits of a word that lie in a range of pages.
pub(super) fn mask_of(word: usize, pages: &Range<usize>) -> u64 {
    let (start, end) = (word * 64, word * 64 + 64);
    let low = u64::MAX << pages.start.saturating_sub(start).min(63);
    let high = if pages.end >= end {
        u64::MAX
    } else {
        (1 << (pages.end - start)) - 1
    };
    low & high
}

/// Sets one bit.
pub(super) fn set(bits: &mut [u64], page: usize) {
    bits[page / 64] |= 1 << (page % 64);
}

/// Tells one bit.
pub(super) fn is_set(bits: &[u64], page: usize) -> bool {
    bits[page / 64] >> (page % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirt::PageTraceBuilder;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use vmferry_core::Pages;

    type Intervals = Vec<BTreeSet<u64>>;

    const TOTAL: u64 = 1000;

    /// Intervals of 100 ms, some of a few pages, some of many: above 15 a bitset.
    fn intervals() -> impl Strategy<Value = Intervals> {
        let few = prop::collection::btree_set(0..TOTAL, 0..12);
        let hot = prop::collection::btree_set(0..20u64, 0..12);
        let many = prop::collection::btree_set(0..TOTAL, 16..200);
        prop::collection::vec(prop_oneof![3 => few, 3 => hot, 1 => many], 1..12)
    }

    fn trace(intervals: &Intervals) -> PageTrace {
        let mut builder = PageTraceBuilder::new(Pages(TOTAL)).unwrap();
        for (k, pages) in intervals.iter().enumerate() {
            let look = (k as u64 + 1) * 100_000;
            if k % 2 == 0 {
                builder.push(look, pages.iter().copied()).unwrap();
            } else {
                let mut bits = vec![0u64; TOTAL.div_ceil(64) as usize];
                pages.iter().for_each(|p| set(&mut bits, *p as usize));
                builder.push_bits(look, &bits).unwrap();
            }
        }
        builder.finish().unwrap()
    }

    fn gathered(trace: &PageTrace, from: f64, to: f64, pages: Range<usize>) -> BTreeSet<u64> {
        let mut found = UnitSet::empty(trace.total);
        trace.gather(from, to, pages, &mut found);
        let pages = 0..trace.total;
        pages
            .filter(|p| found.contains(*p))
            .map(|p| p as u64)
            .collect()
    }

    proptest! {
        /// Whole intervals hold what was recorded, wherever the span begins.
        #[test]
        fn whole_intervals_are_found(intervals in intervals(), first in 0usize..12, count in 1usize..12) {
            let trace = trace(&intervals);
            let first = first % intervals.len();
            let count = count.min(intervals.len());
            let union: BTreeSet<u64> = (first..first + count)
                .flat_map(|k| intervals[k % intervals.len()].iter().copied())
                .collect();
            let looks = |k: usize| trace.looks[k];
            if first + count <= intervals.len() {
                let (from, to) = (looks(first), looks(first + count));
                prop_assert_eq!(gathered(&trace, from, to, 0..1000), union.clone());
                let some: BTreeSet<u64> = union.range(100..650).copied().collect();
                prop_assert_eq!(gathered(&trace, from, to, 100..650), some);
                prop_assert_eq!(trace.dirtied_pages(from, to - from), union.len() as f64);
            } else if count < intervals.len() {
                let rest = trace.window() - looks(first) + looks(first + count - intervals.len());
                let found = trace.dirtied_pages(looks(first), rest);
                // The end of the span is not exactly a look.
                prop_assert!((found - union.len() as f64).abs() <= 1.0, "{found} {}", union.len());
            }
        }

        /// The fast count is the size of the set, in any part of any intervals.
        #[test]
        fn the_count_is_that_of_the_set(intervals in intervals(), from in 0f64..1.2, length in 0f64..1.2) {
            let trace = trace(&intervals);
            let from = from % trace.window();
            let to = (from + length).min(trace.window());
            if to - from < trace.window() {
                let set = gathered(&trace, from, to, 0..1000).len() as f64;
                prop_assert_eq!(trace.dirtied_pages(from, to - from), set);
            }
        }

        /// Parts of a span find what the span finds, and pages written once are
        /// found in one part only.
        #[test]
        fn parts_add_up(intervals in intervals(), cuts in prop::collection::vec(0f64..1.2, 2..6)) {
            let trace = trace(&intervals);
            let mut cuts: Vec<f64> = cuts.iter().map(|c| c % trace.window()).collect();
            cuts.sort_by(f64::total_cmp);
            let parts: Vec<BTreeSet<u64>> =
                cuts.windows(2).map(|c| gathered(&trace, c[0], c[1], 0..1000)).collect();
            let whole = gathered(&trace, cuts[0], cuts[cuts.len() - 1], 0..1000);
            let union: BTreeSet<u64> = parts.iter().flatten().copied().collect();
            prop_assert_eq!(&union, &whole);
            for page in &whole {
                let times = intervals.iter().filter(|pages| pages.contains(page)).count();
                let found = parts.iter().filter(|part| part.contains(page)).count();
                prop_assert!(times > 1 || found == 1 || intervals.len() == 1, "{page}");
            }
        }
    }

    #[test]
    fn longer_than_the_trace_follows_the_tail() {
        // Page 0 in every interval, another one in each: nearly linear.
        let intervals = (0..10u64).map(|k| BTreeSet::from([0, k + 1])).collect();
        let trace = trace(&intervals);
        assert!((trace.tail_exponent() - (11f64 / 6.0).log2()).abs() < 1e-9);
        let expected = 11.0 * 3f64.powf(trace.tail_exponent());
        assert!((trace.dirtied_pages(0.4, 3.0) - expected).abs() < 1e-9);
        assert_eq!(trace.dirtied_pages(0.4, 1e9), 1000.0);
    }

    #[test]
    fn bad_traces_are_refused() {
        let error =
            |result: Result<(), crate::dirt::PageTraceError>| result.unwrap_err().to_string();
        let mut builder = PageTraceBuilder::new(Pages(100)).unwrap();
        builder.push(100, [1]).unwrap();
        assert!(error(builder.push(100, [1])).contains("clock goes back: look 2 is at 100 us"));
        assert!(error(builder.push(200, [100])).contains("page 100 of a guest that has 100"));
        assert!(error(builder.push_bits(200, &[u64::MAX, u64::MAX])).contains("page 127"));
        assert_eq!(builder.finish().unwrap().intervals(), 1);
        let empty = PageTraceBuilder::new(Pages(100)).unwrap().finish();
        assert!(empty.unwrap_err().to_string().contains("empty"));
        assert!(PageTraceBuilder::new(Pages(1 << 31)).is_err());
    }
}
