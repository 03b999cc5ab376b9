//! A guest that behaves as recorded.

use std::ops::Range;
use std::sync::OnceLock;

use vmferry_core::set_bits;

use super::even_time::EvenTime;
use super::{Recording, Unit, UnitDirt};

/// A guest that behaves as recorded, from a chosen instant on.
#[derive(Clone, Debug)]
pub struct RecordedDirt<'a> {
    recording: &'a Recording<'a>,
    offset: f64,
    speed: f64,
    even: EvenTime<'a>,
    /// Pages written in each interval, without those written all the time.
    amounts: Vec<f64>,
    /// Beside each changed unit the pages written before it in its interval,
    /// with half of its own: made when first asked for.
    middles: OnceLock<Vec<f64>>,
    units: Vec<Unit>,
    cold_pages: f64,
    ever_pages: f64,
}

impl<'a> RecordedDirt<'a> {
    /// `start` is the offset into the window and the speed of the guest.
    pub(super) fn new(
        recording: &'a Recording<'a>,
        start: (f64, f64),
        even: EvenTime<'a>,
        amounts: Vec<f64>,
        units: Vec<Unit>,
    ) -> Self {
        let cold_pages = recording.cold.iter().map(|i| units[*i].pages).sum();
        let ever_pages = units.iter().map(|u| u.pages).sum::<f64>() - cold_pages;
        Self {
            recording,
            offset: start.0,
            speed: start.1,
            even,
            amounts,
            middles: OnceLock::new(),
            units,
            cold_pages,
            ever_pages,
        }
    }

    /// Adds what was written between two positions of one window.
    ///
    /// A look tells that a page changed since the look before, not when. So
    /// the pages of an interval are written one after the other in an order
    /// drawn once: of an interval reached in part, pages are found in
    /// proportion, and each is found once. (Were all to change at one instant,
    /// a pass shorter than the interval would find all or nothing, and nothing
    /// lets QEMU switch over.) Pages that change in every interval count in any
    /// part of one.
    fn gather(&self, from: f64, to: f64, words: &Range<usize>, into: &mut [u64]) {
        let recording = self.recording;
        let (from, to) = (self.even.recorded_at(from), self.even.recorded_at(to));
        let (first, last) = (recording.interval_at(from), recording.interval_at(to));
        let width = recording.ever.len();
        for k in first..=last {
            let (start, end) = (recording.looks[k], recording.looks[k + 1]);
            if end <= from || start >= to {
                continue;
            }
            if from <= start && to >= end {
                let row = &recording.history.row(k)[words.clone()];
                into.iter_mut()
                    .zip(row)
                    .for_each(|(sum, word)| *sum |= word);
                continue;
            }
            let always = &recording.steady[k * width..(k + 1) * width][words.clone()];
            into.iter_mut()
                .zip(always)
                .for_each(|(sum, word)| *sum |= word);
            let part = |at: f64| ((at - start) / (end - start)).clamp(0.0, 1.0) * self.amounts[k];
            let (low, high) = (part(from), part(to));
            let mut before = 0.0;
            for unit in recording.changed(k) {
                let unit = *unit as usize;
                let middle = before + self.units[unit].pages / 2.0;
                before += self.units[unit].pages;
                if middle >= high {
                    break;
                }
                if middle >= low && words.contains(&(unit / 64)) {
                    into[unit / 64 - words.start] |= 1 << (unit % 64);
                }
            }
        }
    }

    fn middles(&self) -> &[f64] {
        self.middles.get_or_init(|| {
            let recording = self.recording;
            let mut middles = Vec::with_capacity(recording.changed.len());
            for k in 0..self.amounts.len() {
                let mut before = 0.0;
                for unit in recording.changed(k) {
                    let pages = self.units[*unit as usize].pages;
                    middles.push(before + pages / 2.0);
                    before += pages;
                }
            }
            middles
        })
    }

    /// Whether a unit was written between two positions of one window: what
    /// [`Self::gather`] would find.
    fn is_written(&self, unit: usize, from: f64, to: f64) -> bool {
        let recording = self.recording;
        let (from, to) = (self.even.recorded_at(from), self.even.recorded_at(to));
        let intervals = recording.interval_at(from)..recording.interval_at(to) + 1;
        let mut written = recording.by_unit().written(unit, intervals).iter();
        written.any(|written| {
            let k = written.interval();
            let (start, end) = (recording.looks[k], recording.looks[k + 1]);
            if end <= from || start >= to {
                return false;
            }
            let Some(place) = written.place() else {
                return true;
            };
            let part = |at: f64| ((at - start) / (end - start)).clamp(0.0, 1.0) * self.amounts[k];
            from <= start && to >= end || (part(from)..part(to)).contains(&self.middles()[place])
        })
    }

    /// Units never written within the window, the first in their scattered
    /// order, that a span longer than the window reaches.
    fn cold_reached(&self, length: f64) -> usize {
        let recording = self.recording;
        if length <= recording.window() || self.cold_pages <= 0.0 {
            return 0;
        }
        let growth = recording.growth(length) - 1.0;
        let share = (self.ever_pages * growth / self.cold_pages).min(1.0);
        (share * recording.cold.len() as f64).round() as usize
    }
}

impl UnitDirt for RecordedDirt<'_> {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn dirtied_share(&self, unit: usize, since: f64, until: f64) -> f64 {
        let length = (until - since) * self.speed;
        if length <= 0.0 {
            return 0.0;
        }
        let recording = self.recording;
        let window = recording.window();
        let written = if length >= window {
            let ever = recording.ever[unit / 64] >> (unit % 64) & 1 == 1;
            ever || recording.by_unit().cold_place(unit) < self.cold_reached(length)
        } else {
            let from = recording.place(self.offset + since * self.speed);
            let to = from + length;
            self.is_written(unit, from, to.min(window))
                || to > window && self.is_written(unit, 0.0, to - window)
        };
        f64::from(u8::from(written))
    }

    fn visit_dirtied(
        &self,
        units: Range<usize>,
        since: f64,
        until: f64,
        mark: &mut impl FnMut(usize, f64),
    ) {
        // A guest that stands still writes nothing, not even what it writes all the time.
        let length = (until - since) * self.speed;
        if units.is_empty() || length <= 0.0 {
            return;
        }
        let recording = self.recording;
        let window = recording.window();
        let words = units.start / 64..units.end.div_ceil(64);
        let mut found = vec![0u64; words.len()];
        if length >= window {
            found.copy_from_slice(&recording.ever[words.clone()]);
        } else {
            let from = recording.place(self.offset + since * self.speed);
            let to = from + length;
            self.gather(from, to.min(window), &words, &mut found);
            if to > window {
                self.gather(0.0, to - window, &words, &mut found);
            }
        }
        for unit in &recording.cold[..self.cold_reached(length)] {
            if words.contains(&(unit / 64)) {
                found[unit / 64 - words.start] |= 1 << (unit % 64);
            }
        }
        let first = words.start * 64;
        for bit in set_bits(found) {
            if units.contains(&(first + bit)) {
                mark(first + bit, 1.0);
            }
        }
    }
}
