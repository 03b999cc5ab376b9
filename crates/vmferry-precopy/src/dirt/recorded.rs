//! Dirt as it was recorded: HIST of `akoush2010`, page by page.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use vmferry_core::{COUNTED_WEIGHT, FittedCurve, PageHistory, scattered, set_bits};

use super::even_time::EvenTime;
use super::unit_intervals::UnitIntervals;
use super::{RecordedDirt, Unit};

/// A page history made ready for many replays.
///
/// # Beyond the window
/// Guest time past the end of the window starts again at its beginning. That
/// is right for guests that go round, and for rates; it can never find more
/// unique pages than the window held. So where a single interval is longer
/// than the window W, unwritten pages are added along the fitted curve given by
/// [`Recording::extended_by`], else along a power tail U(t) = U(W) (t/W)^b, its
/// exponent taken from the second half of the window.
/// A guest that changes its habits after the window is beyond any record.
#[derive(Clone, Debug)]
pub struct Recording<'a> {
    pub(super) history: Cow<'a, PageHistory>,
    pub(super) units: Vec<Unit>,
    /// Instants of the looks in seconds.
    pub(super) looks: Vec<f64>,
    /// Rows as in the history, of pages written in the interval and in both
    /// its neighbours: these are written all the time.
    pub(super) steady: Vec<u64>,
    /// Pages written within the window at all.
    pub(super) ever: Vec<u64>,
    /// Units never written within the window, in a scattered order.
    pub(super) cold: Vec<usize>,
    /// Exponent b of the tail, 0..1.
    pub(super) tail_exponent: f64,
    /// The curve fitted to the window, which tells the tail better.
    pub(super) fitted: Option<FittedCurve>,
    /// The other pages written in each interval, in a scattered order.
    pub(super) changed: Vec<u32>,
    /// Where those of an interval begin in it; one more than there are
    /// intervals.
    pub(super) changed_from: Vec<usize>,
    /// The same by unit: made when first asked for.
    pub(super) by_unit: OnceLock<UnitIntervals>,
}

/// Longest time to either side over which the amount of dirt is evened out, seconds.
const EVEN_OVER: f64 = 0.2;
/// Sampled pages of equal weight in that time that make evening out more of no use: their number
/// is known to a tenth.
const ENOUGH_PAGES: f64 = 100.0;
impl<'a> Recording<'a> {
    /// Prepares a history; `None` when it holds no page or no interval.
    pub fn new(history: &'a PageHistory) -> Option<Self> {
        Self::of(Cow::Borrowed(history))
    }

    /// As [`Self::new`], keeping the history.
    pub fn owning(history: PageHistory) -> Option<Recording<'static>> {
        Recording::of(Cow::Owned(history))
    }

    fn of(history: Cow<'a, PageHistory>) -> Option<Self> {
        let intervals = history.intervals();
        let pages = history.pages().len();
        if intervals == 0 || pages == 0 {
            return None;
        }
        let looks: Vec<f64> = std::iter::once(0)
            .chain((0..intervals).map(|k| history.interval_us(k).1))
            .map(|us| us as f64 / 1e6)
            .collect();
        let words = history.row(0).len();
        let mut steady = Vec::with_capacity(intervals * words);
        for k in 0..intervals {
            // At the ends the one neighbour there is has to do.
            let before = history.row(k.saturating_sub(1));
            let after = history.row((k + 1).min(intervals - 1));
            let row = history.row(k);
            steady.extend((0..words).map(|w| before[w] & row[w] & after[w]));
        }
        let (mut changed, mut changed_from) = (Vec::new(), vec![0]);
        for k in 0..intervals {
            let begin = changed.len();
            let always = &steady[k * words..(k + 1) * words];
            let row = history.row(k).iter().zip(always);
            let written = set_bits(row.map(|(row, always)| row & !always));
            changed.extend(written.map(|unit| unit as u32));
            changed[begin..].sort_unstable_by_key(|unit| scattered(u64::from(*unit), k as u64));
            changed_from.push(changed.len());
        }
        let union = |range: Range<usize>| {
            let mut all = vec![0u64; words];
            for k in range {
                for (sum, word) in all.iter_mut().zip(history.row(k)) {
                    *sum |= word;
                }
            }
            all
        };
        let weight = |bits: &[u64]| -> f64 {
            let page = |i: &usize| bits[i / 64] >> (i % 64) & 1 == 1;
            (0..pages)
                .filter(page)
                .map(|i| history.pages()[i].weight)
                .sum()
        };
        let ever = union(0..intervals);
        let half = intervals / 2;
        let halves = (weight(&union(0..half)) + weight(&union(half..intervals))) / 2.0;
        let whole = weight(&ever);
        let tail_exponent = if half > 0 && halves > 0.0 {
            (whole / halves).log2().clamp(0.0, 1.0)
        } else {
            0.0
        };
        let units: Vec<Unit> = history
            .pages()
            .iter()
            .enumerate()
            .map(|(i, page)| Unit {
                index: page.index,
                pages: page.weight,
                // A zero page that was written since is none by now.
                zero: f64::from(u8::from(page.zero && ever[i / 64] >> (i % 64) & 1 == 0)),
            })
            .collect();
        let mut cold: Vec<usize> = (0..pages)
            .filter(|i| ever[i / 64] >> (i % 64) & 1 == 0)
            .collect();
        cold.sort_by_key(|unit| scattered(*unit as u64, 0));
        Some(Self {
            history,
            units,
            looks,
            steady,
            ever,
            cold,
            tail_exponent,
            fitted: None,
            changed,
            changed_from,
            by_unit: OnceLock::new(),
        })
    }

    /// Goes on beyond the window along a curve fitted to it, instead of a power.
    #[must_use]
    pub fn extended_by(self, fitted: Option<FittedCurve>) -> Self {
        Self { fitted, ..self }
    }

    /// Unique pages of so many seconds, longer than the window, over those of the window.
    pub(super) fn growth(&self, seconds: f64) -> f64 {
        let window = self.window();
        let by_power = || (seconds / window).powf(self.tail_exponent);
        let by_fit = self.fitted.as_ref().and_then(|curve| {
            let at = |s| curve.dirtied_in(Duration::from_secs_f64(s)).0 as f64;
            let seen = at(window);
            (seen > 0.0).then(|| at(seconds) / seen)
        });
        by_fit.unwrap_or_else(by_power).max(1.0)
    }

    /// The units as recorded: what a replay may weigh anew.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Positions of the units that were never written within the window, in no
    /// order.
    pub fn never_written(&self) -> &[usize] {
        &self.cold
    }

    /// The history behind it.
    pub fn history(&self) -> &PageHistory {
        &self.history
    }

    /// Length of the window in seconds.
    pub fn window(&self) -> f64 {
        self.looks[self.looks.len() - 1]
    }

    /// Exponent b of the tail U(t) = U(W) (t/W)^b beyond the window, 0..1.
    pub fn tail_exponent(&self) -> f64 {
        self.tail_exponent
    }

    /// The guest from `offset` seconds into the window on, running at `speed`
    /// (1 is as recorded; a guest slowed down by a share s dirties in t as it
    /// did in (1-s) t). `units` are [`Self::units`], perhaps weighed anew.
    ///
    /// # Panics
    /// When there are more or fewer units than recorded.
    pub fn replayed(&self, offset: f64, speed: f64, units: Vec<Unit>) -> RecordedDirt<'_> {
        assert_eq!(units.len(), self.units.len(), "units do not match");
        let amounts = (0..self.history.intervals())
            .map(|k| {
                let written = self.changed(k).iter();
                written.map(|u| units[*u as usize].pages).sum()
            })
            .collect::<Vec<f64>>();
        let even = EvenTime::new(&self.looks, &amounts, self.even_over(&units));
        RecordedDirt::new(self, (offset, speed), even, amounts, units)
    }

    /// Time to either side over which as many pages are written, were they of equal weight, as tell
    /// their amount to a tenth. 0 where every page was watched.
    fn even_over(&self, units: &[Unit]) -> f64 {
        let written = || self.changed.iter().map(|unit| units[*unit as usize].pages);
        let (sum, squares) = (
            written().sum::<f64>(),
            written().map(|w| w * w).sum::<f64>(),
        );
        let sampled = units.iter().any(|unit| unit.pages > COUNTED_WEIGHT);
        if sum <= 0.0 || !sampled {
            return 0.0;
        }
        let alike_per_second = sum * sum / squares / self.window();
        (ENOUGH_PAGES / alike_per_second / 2.0).min(EVEN_OVER)
    }

    /// The intervals of each unit.
    pub(super) fn by_unit(&self) -> &UnitIntervals {
        self.by_unit.get_or_init(|| {
            UnitIntervals::new(&self.history, &self.changed, &self.changed_from, &self.cold)
        })
    }

    /// Units written in an interval, without those written all the time.
    pub(super) fn changed(&self, interval: usize) -> &[u32] {
        &self.changed[self.changed_from[interval]..self.changed_from[interval + 1]]
    }

    /// Position in the window of an instant of guest time.
    pub(super) fn place(&self, guest_time: f64) -> f64 {
        guest_time.rem_euclid(self.window())
    }

    /// Interval that holds a position in the window.
    pub(super) fn interval_at(&self, position: f64) -> usize {
        self.looks
            .partition_point(|look| *look <= position)
            .clamp(1, self.history.intervals())
            - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirt::UnitDirt;
    use vmferry_core::{Pages, SampledPage};

    /// 100 pages, 10 looks of 100 ms: page 0 in every one, page k in the k-th.
    fn history() -> PageHistory {
        let pages = (0..100)
            .map(|i| SampledPage {
                index: Pages(i * 10),
                weight: 10.0,
                zero: i >= 50,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        for k in 0..10 {
            history.push((k + 1) * 100_000, [0, k as usize + 1]);
        }
        history
    }

    fn dirtied(dirt: &RecordedDirt<'_>, since: f64, until: f64) -> Vec<usize> {
        dirtied_of(100, dirt, since, until)
    }

    fn dirtied_of(units: usize, dirt: &RecordedDirt<'_>, since: f64, until: f64) -> Vec<usize> {
        let mut found = Vec::new();
        dirt.visit_dirtied(0..units, since, until, &mut |unit, _| found.push(unit));
        found
    }

    #[test]
    fn whole_intervals_are_found_wherever_the_replay_starts() {
        let history = history();
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.25, 1.0, recording.units().to_vec());
        assert_eq!(dirtied(&dirt, 0.05, 0.25), [0, 4, 5]);
        // Past the end it starts again.
        assert_eq!(dirtied(&dirt, 0.65, 0.95), [0, 1, 2, 10]);
        // Half as fast, half as much.
        let slow = recording.replayed(0.3, 0.5, recording.units().to_vec());
        assert_eq!(dirtied(&slow, 0.0, 0.4), [0, 4, 5]);
    }

    #[test]
    fn parts_of_an_interval_hold_what_is_written_all_the_time() {
        let history = history();
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
        // Page 4 is written once between 0.3 and 0.4: some part holds it, one only.
        let parts = [(0.3, 0.32), (0.32, 0.34), (0.34, 0.37), (0.37, 0.4)];
        let found: Vec<_> = parts.iter().map(|(a, b)| dirtied(&dirt, *a, *b)).collect();
        assert!(found.iter().all(|pages| pages[0] == 0), "{found:?}");
        assert_eq!(
            found.concat().iter().filter(|p| **p == 4).count(),
            1,
            "{found:?}"
        );
    }

    #[test]
    fn a_part_of_an_interval_holds_its_share() {
        let pages = (0..4096)
            .map(|i| SampledPage {
                index: Pages(i),
                weight: 1.0,
                zero: false,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        for k in 0..8 {
            history.push((k + 1) * 100_000, (k as usize..4096).step_by(8));
        }
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
        let count = |from, to| dirtied_of(4096, &dirt, from, to).len();
        for (from, to) in [(0.125, 0.175), (0.375, 0.425), (0.101, 0.151)] {
            assert!((250..263).contains(&count(from, to)), "{}", count(from, to));
        }
    }

    #[test]
    fn dirt_is_evened_out_but_comes_in_its_order() {
        // One look in four finds everything that was written.
        let pages = (0..400)
            .map(|i| SampledPage {
                index: Pages(i * 10),
                weight: 10.0,
                zero: false,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        for k in 0..40u64 {
            let written = if k % 4 == 3 {
                (k as usize / 4 * 40)..(k as usize / 4 * 40 + 40)
            } else {
                0..0
            };
            history.push((k + 1) * 25_000, written);
        }
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
        let mut all = Vec::new();
        for k in 0..40 {
            let at = f64::from(k) * 0.025;
            let found = dirtied_of(400, &dirt, at, at + 0.025);
            assert!((6..15).contains(&found.len()), "{k}: {found:?}");
            all.extend(found);
        }
        assert_eq!(all.len(), 400);
        // Within one look the order is drawn; between looks it is kept.
        assert!(all.chunks(40).enumerate().all(|(k, part)| {
            part.iter()
                .all(|page| page / 40 == k || (page / 40).abs_diff(k) <= 1)
        }));
    }

    #[test]
    fn what_was_watched_whole_keeps_its_troughs() {
        let pages = (0..400)
            .map(|i| SampledPage {
                index: Pages(i),
                weight: 1.0,
                zero: false,
            })
            .collect();
        let mut history = PageHistory::new(pages);
        for k in 0..40u64 {
            let written = if k % 10 == 3 { 0..400 } else { 0..0 };
            history.push((k + 1) * 25_000, written);
        }
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
        assert_eq!(dirtied_of(400, &dirt, 0.11, 0.31), [] as [usize; 0]);
        assert_eq!(dirtied_of(400, &dirt, 0.3, 0.36).len(), 400);
    }

    #[test]
    fn longer_than_the_window_follows_the_tail() {
        let history = history();
        let recording = Recording::new(&history).unwrap();
        // Halves find 6 pages each, the whole 11: nearly linear.
        assert!((recording.tail_exponent() - (11f64 / 6.0).log2()).abs() < 1e-9);
        let dirt = recording.replayed(0.0, 1.0, recording.units().to_vec());
        let expected = 11.0 * 3f64.powf(recording.tail_exponent());
        assert_eq!(dirtied(&dirt, 0.0, 3.0).len(), expected.round() as usize);
        assert_eq!(dirtied(&dirt, 0.0, 1e6).len(), 100);
    }

    #[test]
    fn one_unit_is_told_as_among_all() {
        let mut history = history();
        for k in 10..14 {
            history.push(
                (k + 1) * 100_000,
                (0..100).filter(|i| i % 7 == 0 || i % 4 == k as usize % 4),
            );
        }
        let recording = Recording::new(&history).unwrap();
        let units = || {
            let weights = recording.units().iter().enumerate();
            let weights = weights.map(|(i, unit)| Unit {
                pages: unit.pages + i as f64,
                ..*unit
            });
            weights.collect::<Vec<_>>()
        };
        for (offset, speed) in [(0.0, 1.0), (0.73, 0.9), (1.2, 1.3)] {
            let dirt = recording.replayed(offset, speed, units());
            for (since, length) in [
                (0.0, 0.1),
                (0.11, 0.03),
                (0.4, 0.55),
                (0.9, 1.0),
                (2.0, 9.0),
            ] {
                let all = dirtied(&dirt, since, since + length);
                let alone = |unit: &usize| dirt.dirtied_share(*unit, since, since + length) > 0.0;
                let each: Vec<usize> = (0..100).filter(alone).collect();
                assert_eq!(each, all, "{offset} {speed} {since} {length}");
            }
        }
    }

    #[test]
    fn a_guest_that_stands_still_writes_nothing() {
        let history = history();
        let recording = Recording::new(&history).unwrap();
        let dirt = recording.replayed(0.35, 0.0, recording.units().to_vec());
        assert_eq!(dirtied(&dirt, 0.0, 1e3), [] as [usize; 0]);
        let mut cold = recording.never_written().to_vec();
        cold.sort_unstable();
        assert_eq!(cold, (11..100).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_history_is_no_recording() {
        assert!(Recording::new(&PageHistory::new(Vec::new())).is_none());
    }
}
