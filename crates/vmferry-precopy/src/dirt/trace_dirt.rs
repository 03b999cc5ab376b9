//! A guest that behaves as traced, from a chosen instant on.

use std::borrow::Cow;
use std::ops::Range;

use vmferry_core::{Pages, scattered};

use super::page_trace::{PageTrace, ROUNDING, mask_of};
use super::{AggregateDirt, Dirt, PageCount, Piece, UnitSet, Unsent};

/// Most words in one piece of memory that is all alike: 2 Ki pages, two of
/// Xen's batches.
const PIECE_WORDS: usize = 32;
/// Words looked at together for pages written again.
const SKIP_WORDS: usize = 32;
/// Most words in a piece with zero pages among others: 1 MiB. Where a burst
/// ends within it, which of them were sent is not told apart.
const MIXED_WORDS: usize = 4;
/// Less than a byte of a page is nothing.
const NEGLIGIBLE_PAGES: f64 = 1e-4;

/// A [`PageTrace`] from an offset on, at a speed.
#[derive(Clone, Copy, Debug)]
pub struct TraceDirt<'a> {
    trace: &'a PageTrace,
    offset: f64,
    speed: f64,
}

impl<'a> TraceDirt<'a> {
    pub(super) fn new(trace: &'a PageTrace, offset: f64, speed: f64) -> Self {
        Self {
            trace,
            offset,
            speed,
        }
    }

    /// Adds what is written in `since..until` of the replay, within a range of
    /// pages, to a bitset of all pages. Tells whether pages are among it that
    /// the trace never saw written.
    fn gather(&self, since: f64, until: f64, pages: Range<usize>, into: &mut UnitSet) -> bool {
        let trace = self.trace;
        let (length, window) = ((until - since) * self.speed, trace.window());
        if length <= 0.0 || pages.is_empty() {
            return false;
        }
        if length < window {
            let from = (self.offset + since * self.speed).rem_euclid(window);
            let to = from + length;
            trace.gather(from, to.min(window), pages.clone(), into);
            if to > window + ROUNDING {
                trace.gather(0.0, to - window, pages, into);
            }
            return false;
        }
        for word in pages.start / 64..pages.end.div_ceil(64) {
            into.merge(word, &[trace.ever[word] & mask_of(word, &pages)]);
        }
        let cold = trace.total - trace.ever_pages;
        let reached = trace.dirtied_pages(0.0, length) - trace.ever_pages as f64;
        if cold == 0 || reached <= 0.0 {
            return false;
        }
        // Pages never seen written, in a scattered order.
        let bound = (reached / cold as f64 * u64::MAX as f64) as u64;
        for page in pages {
            if scattered(page as u64, 0) < bound {
                into.insert(page);
            }
        }
        true
    }

    /// The interval of the trace that is under way at `now`.
    fn under_way(&self, now: f64) -> UnderWay {
        let window = self.trace.window();
        let guest_time = self.offset + now * self.speed;
        let place = (guest_time - (guest_time / window).floor() * window).clamp(0.0, window);
        let interval = self.trace.interval_at(place);
        let passed = place - self.trace.looks[interval];
        UnderWay {
            interval,
            place,
            began: now - passed / self.speed.max(f64::MIN_POSITIVE),
        }
    }
}

/// An interval of the trace at some instant of the replay.
struct UnderWay {
    interval: usize,
    /// The instant, in the window.
    place: f64,
    /// When the interval began, on the replay's clock.
    began: f64,
}

impl AggregateDirt for TraceDirt<'_> {
    fn total(&self) -> PageCount {
        let zero = self.trace.zero_pages as f64;
        PageCount {
            normal: self.trace.total as f64 - zero,
            zero,
        }
    }

    fn dirtied(&self, since: f64, until: f64) -> PageCount {
        let from = self.offset + since * self.speed;
        let length = (until - since) * self.speed;
        PageCount {
            normal: self.trace.dirtied_pages(from, length),
            zero: 0.0,
        }
    }
}

impl Dirt for TraceDirt<'_> {
    type Unsent<'b>
        = TraceUnsent<'b>
    where
        Self: 'b;

    fn unsent(&self) -> TraceUnsent<'_> {
        TraceUnsent {
            dirt: *self,
            pending: UnitSet::full(self.trace.total),
            zero: Cow::Borrowed(&self.trace.zero),
            cursor: 0,
            part: 0.0,
            piece: 0..0,
            peeked: None,
        }
    }
}

/// What is known of pages written again since the last look of a migration.
#[derive(Clone, Debug)]
struct Peeked {
    cleaned: f64,
    /// Pages written up to here are known: up to a look of the trace. Those of
    /// an interval under way are asked for only where the scan goes, since
    /// there are far more peeks than intervals.
    until: f64,
    pages: UnitSet,
}

/// Which pages are yet to be sent, one bit each.
#[derive(Clone, Debug)]
pub struct TraceUnsent<'a> {
    dirt: TraceDirt<'a>,
    pending: UnitSet,
    zero: Cow<'a, [u64]>,
    /// Page at which the scan stands.
    cursor: usize,
    /// Share of the first page from the cursor on that has been sent.
    part: f64,
    /// Words of the piece found last.
    piece: Range<usize>,
    peeked: Option<Peeked>,
}

impl TraceUnsent<'_> {
    /// The pages of a word from the scan's place on.
    fn ahead(&self, word: usize) -> u64 {
        let bits = self.pending.words()[word];
        if word == self.cursor / 64 {
            bits & u64::MAX << (self.cursor % 64)
        } else {
            bits
        }
    }

    /// Moves the scan to the next page to be sent.
    fn advance(&mut self) -> bool {
        let next = self.pending.next_cyclic(self.cursor);
        self.cursor = next.unwrap_or(self.cursor);
        next.is_some()
    }
}

/// A word without its `count` lowest ones.
fn without_lowest(mut word: u64, count: usize) -> u64 {
    if count >= word.count_ones() as usize {
        return 0;
    }
    for _ in 0..count {
        word &= word - 1;
    }
    word
}

impl Unsent for TraceUnsent<'_> {
    fn positions(&self) -> usize {
        self.dirt.trace.total
    }

    fn chunks(&self, chunk: Pages) -> Vec<Range<usize>> {
        let (chunk, total) = (chunk.0.max(1) as usize, self.positions());
        (0..total)
            .step_by(chunk)
            .map(|begin| begin..(begin + chunk).min(total))
            .collect()
    }

    fn pages(&self) -> f64 {
        self.pending.len() as f64 - self.part
    }

    fn resume(&mut self, pending: &[f64], cursor: usize, never_sent: bool) {
        for (page, share) in pending.iter().enumerate().take(self.positions()) {
            // A page is sent or it is not.
            if *share < 0.5 {
                self.pending.remove(page);
            }
        }
        self.cursor = cursor;
        if !never_sent {
            self.zero = Cow::Owned(vec![0; self.zero.len()]);
        }
    }

    fn look(&mut self, positions: Range<usize>, since: f64, until: f64) -> f64 {
        let before = self.pages();
        // A page under way is taken out, to see whether it is written again.
        let under_way = self.part > 0.0 && positions.contains(&self.cursor);
        if under_way {
            self.pending.remove(self.cursor);
        }
        let cold = self
            .dirt
            .gather(since, until, positions.clone(), &mut self.pending);
        if under_way {
            if self.pending.contains(self.cursor) {
                self.part = 0.0;
            }
            self.pending.insert(self.cursor);
        }
        if cold {
            // What was written holds something now.
            let mut written = UnitSet::empty(self.positions());
            self.dirt.gather(since, until, positions, &mut written);
            for (zero, written) in self.zero.to_mut().iter_mut().zip(written.words()) {
                *zero &= !written;
            }
        }
        self.peeked = None;
        self.pages() - before
    }

    fn next(&mut self) -> Option<Piece> {
        if !self.advance() {
            return None;
        }
        let word = self.cursor / 64;
        let bits = self.ahead(word);
        let first = self.zero[word];
        let (mut zeros, mut end) = ((bits & first).count_ones(), word + 1);
        if bits == u64::MAX {
            // Memory that is to be sent as a whole goes in one piece.
            let alike = first == 0 || first == u64::MAX;
            let most = word + if alike { PIECE_WORDS } else { MIXED_WORDS };
            let pending = self.pending.words();
            while end < most.min(pending.len())
                && pending[end] == u64::MAX
                && (!alike || self.zero[end] == first)
            {
                if !alike {
                    zeros += self.zero[end].count_ones();
                }
                end += 1;
            }
            if alike {
                zeros *= (end - word) as u32;
            }
        }
        self.piece = word..end;
        let pages = f64::from(bits.count_ones()) + ((end - word - 1) * 64) as f64;
        Some(Piece {
            position: self.cursor,
            pages: pages - self.part,
            zero: f64::from(zeros) / pages,
        })
    }

    fn coming_unit(&self) -> Option<Piece> {
        None
    }

    fn take(&mut self, pages: f64) {
        let through = self.part + pages;
        let mut whole = (through + NEGLIGIBLE_PAGES) as usize;
        self.part = (through - whole as f64).max(0.0);
        if self.part <= NEGLIGIBLE_PAGES {
            self.part = 0.0;
        }
        for word in self.piece.clone() {
            let ahead = self.ahead(word);
            if ahead == u64::MAX && whole >= 64 {
                self.pending.drop_full(word);
                whole -= 64;
                self.cursor = (word + 1) * 64;
                continue;
            }
            let ones = ahead.count_ones() as usize;
            let gone = whole.min(ones);
            let left = without_lowest(ahead, gone);
            self.pending.drop_from(word, ahead & !left);
            whole -= gone;
            if left != 0 {
                self.cursor = word * 64 + left.trailing_zeros() as usize;
                return;
            }
            self.cursor = (word + 1) * 64;
        }
    }

    fn skip_redirtied(&mut self, cleaned: f64, now: f64, batch: f64) -> (f64, f64) {
        if !self.advance() {
            return (0.0, 0.0);
        }
        let mut peeked = match self.peeked.take() {
            Some(peeked) if peeked.cleaned == cleaned => peeked,
            _ => Peeked {
                cleaned,
                until: cleaned,
                pages: UnitSet::empty(self.positions()),
            },
        };
        let under_way = self.dirt.under_way(now);
        if under_way.began > peeked.until {
            let all = 0..self.positions();
            let looked = under_way.began.min(now);
            self.dirt
                .gather(peeked.until, looked, all, &mut peeked.pages);
            peeked.until = looked;
        }
        let trace = self.dirt.trace;
        let since = under_way.place - (now - peeked.until) * self.dirt.speed;
        let part = trace.part(under_way.interval, since, under_way.place);
        let has_part = since < under_way.place;
        let before = self.pages();
        let (mut passed, mut place) = (0.0, self.cursor);
        'scan: while let Some(next) = self.pending.next_from(place) {
            let first = next / 64;
            let end = (first + SKIP_WORDS).min(self.pending.words().len());
            let mut again = [0; SKIP_WORDS];
            let again = &mut again[..end - first];
            again.copy_from_slice(&peeked.pages.words()[first..end]);
            if has_part {
                trace.gather_words(under_way.interval, part, first, again);
            }
            if self.part > 0.0 && next == self.cursor && again[0] >> (next % 64) & 1 == 1 {
                // The rest of a page under way is given up with it.
                self.part = 0.0;
            }
            for (word, again) in (first..end).zip(again) {
                let ahead = self.ahead(word);
                if ahead == 0 {
                    continue;
                }
                let again = ahead & *again;
                if again != 0 {
                    self.pending.drop_from(word, again);
                }
                let left = ahead & !again;
                passed += if left == u64::MAX {
                    64.0
                } else {
                    f64::from(left.count_ones())
                };
                if passed >= batch {
                    break 'scan;
                }
            }
            place = end * 64;
        }
        self.peeked = Some(peeked);
        (before - self.pages(), passed)
    }
}
