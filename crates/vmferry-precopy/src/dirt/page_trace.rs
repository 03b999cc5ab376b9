//! The whole guest, recorded: every page of it, interval by interval.

use std::ops::Range;

use super::interval_part::{Part, instant};
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

/// Words that are gone through at a time: what is gathered stays in the cache while bitmaps stream
/// past.
const BLOCK: usize = 2048;
/// The same where a word takes three bitmaps.
const SMALL_BLOCK: usize = 256;

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
        let part = move |k: usize| self.part(k, from, to);
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
        let missed = |listed: u32| !opening.holds(instant(listed & !STEADY, first));
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
                // No branch where nobody can guess.
                count += usize::from(found & (before & !STEADY < bound));
                if *before == bound {
                    count += usize::from(found & missed(*listed));
                }
            }
        }
        count
    }

    /// Adds what was written between two instants of the window, within a range
    /// of pages, to a bitset of all pages.
    pub(super) fn gather(&self, from: f64, to: f64, pages: Range<usize>, into: &mut UnitSet) {
        let (span, part_of) = self.spanned(from, to);
        let (mut rows, mut parts) = (Vec::new(), Vec::new());
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
                Stored::Row(row) if part == Part::WHOLE => rows.push(*row),
                Stored::Row(row) => parts.push((k, *row, part)),
            }
        }
        if !(rows.is_empty() && parts.is_empty()) {
            self.merge_rows(&rows, &parts, &pages, into);
        }
    }

    /// Adds what was written in a part of one interval to words that stand for the pages from word
    /// `first` on; [`SMALL_BLOCK`] of them at most.
    pub(super) fn gather_words(&self, k: usize, part: Part, first: usize, into: &mut [u64]) {
        match &self.intervals[k] {
            Stored::Listed(range) => {
                let pages = pages_of(first, into.len());
                let begin = self.place_in_list(range, pages.start);
                let instants = &self.instants[begin..range.end];
                for (listed, instant) in self.listed[begin..range.end].iter().zip(instants) {
                    let page = (listed & !STEADY) as usize;
                    if page >= pages.end {
                        break;
                    }
                    if listed & STEADY != 0 || part.holds(*instant) {
                        set(into, page - pages.start);
                    }
                }
            }
            Stored::Row(row) => self.part_of_row(k, *row, part, first, into),
        }
    }

    /// Interval that holds an instant of the window.
    pub(super) fn interval_at(&self, at: f64) -> usize {
        let next = self.looks.partition_point(|look| *look <= at);
        next.clamp(1, self.intervals.len()) - 1
    }

    /// The part of an interval that lies between two instants.
    pub(super) fn part(&self, k: usize, from: f64, to: f64) -> Part {
        Part::between(self.looks[k]..self.looks[k + 1], from, to)
    }

    /// The part of a list whose pages lie in a range.
    fn listed_within(&self, range: &Range<usize>, pages: &Range<usize>) -> Range<usize> {
        if pages.start == 0 && pages.end >= self.total {
            return range.clone();
        }
        self.place_in_list(range, pages.start)..self.place_in_list(range, pages.end)
    }

    /// Where in a list the pages from one on begin.
    fn place_in_list(&self, range: &Range<usize>, page: usize) -> usize {
        let list = &self.listed[range.clone()];
        range.start + list.partition_point(|listed| ((listed & !STEADY) as usize) < page)
    }

    fn row(&self, row: usize) -> &[u64] {
        let words = self.ever.len();
        &self.rows[row * words..(row + 1) * words]
    }

    fn merge_rows(
        &self,
        rows: &[usize],
        parts: &[(usize, usize, Part)],
        pages: &Range<usize>,
        into: &mut UnitSet,
    ) {
        let (fours, rest) = rows.as_chunks::<4>();
        for block in blocks(pages, BLOCK) {
            let words = |row: &usize| &self.row(*row)[block.clone()];
            let mut sums = [0u64; BLOCK];
            let sums = &mut sums[..block.len()];
            for (k, row, part) in parts {
                let begins = block.clone().step_by(SMALL_BLOCK);
                for (first, sums) in begins.zip(sums.chunks_mut(SMALL_BLOCK)) {
                    self.part_of_row(*k, *row, *part, first, sums);
                }
            }
            for four in fours {
                let [a, b, c, d] = four.each_ref().map(words);
                let bits = a.iter().zip(b).zip(c.iter().zip(d));
                for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(bits) {
                    *sum |= a | b | c | d;
                }
            }
            for row in rest {
                for (sum, bits) in sums.iter_mut().zip(words(row)) {
                    *sum |= bits;
                }
            }
            into.merge(block.start, within(pages, block.start, sums));
        }
    }

    /// Adds a part of a row to words that stand for the pages from word `first` on: pages written in
    /// the intervals before and after as well, and those whose instant lies in the part.
    fn part_of_row(&self, k: usize, row: usize, part: Part, first: usize, into: &mut [u64]) {
        let (mut space, mut other_space) = ([0; SMALL_BLOCK], [0; SMALL_BLOCK]);
        let last = self.intervals.len() - 1;
        let length = into.len();
        let before = self.words(k.saturating_sub(1), first, &mut space[..length]);
        let after = self.words((k + 1).min(last), first, &mut other_space[..length]);
        let here = &self.row(row)[first..first + length];
        let mask = part.masks(k);
        let bits = here.iter().zip(before.iter().zip(after));
        for (word, (found, (here, (before, after)))) in (first..).zip(into.iter_mut().zip(bits)) {
            *found |= here & (before & after | mask(word));
        }
    }

    /// The pages of one interval from word `first` on, as many words as there is space for.
    fn words<'a>(&'a self, k: usize, first: usize, space: &'a mut [u64]) -> &'a [u64] {
        match &self.intervals[k] {
            Stored::Row(row) => &self.row(*row)[first..first + space.len()],
            Stored::Listed(range) => {
                let range = self.listed_within(range, &pages_of(first, space.len()));
                for listed in &self.listed[range] {
                    set(space, (listed & !STEADY) as usize - first * 64);
                }
                space
            }
        }
    }
}

/// The pages of some words.
fn pages_of(first: usize, words: usize) -> Range<usize> {
    first * 64..(first + words) * 64
}

/// The words that hold a range of pages, so many at a time.
fn blocks(pages: &Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let words = pages.start / 64..pages.end.div_ceil(64);
    let end = words.end;
    words
        .step_by(length)
        .map(move |begin| begin..(begin + length).min(end))
}

/// Words from `first` on, without what lies outside a range of pages that all of them touch.
fn within<'a>(pages: &Range<usize>, first: usize, words: &'a mut [u64]) -> &'a [u64] {
    let last = words.len() - 1;
    words[0] &= mask_of(first, pages);
    words[last] &= mask_of(first + last, pages);
    words
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
