//! A recording turned round: for each page, the intervals that have it.

use std::ops::Range;

use vmferry_core::{PageHistory, set_bits};

/// When each unit was written, to be asked for one unit at a time.
#[derive(Clone, Debug)]
pub(super) struct UnitIntervals {
    /// Where the intervals of a unit begin; one more than there are units.
    from: Vec<u32>,
    written: Vec<Written>,
    /// Of a unit that was never written, its place among these.
    cold_place: Vec<u32>,
}

/// An interval that has a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    interval: u32,
    /// Its place in [`super::Recording`]'s list of changed units, or [`STEADY`].
    place: u32,
}

/// Instead of a place: written all the time.
const STEADY: u32 = u32::MAX;

impl Written {
    pub(super) fn interval(self) -> usize {
        self.interval as usize
    }

    /// Place in the list of changed units; `None` for one that is written all the time.
    pub(super) fn place(self) -> Option<usize> {
        (self.place != STEADY).then_some(self.place as usize)
    }
}

impl UnitIntervals {
    /// `changed` are the units of each interval that are not written all the time, one interval
    /// after the other.
    pub(super) fn new(
        history: &PageHistory,
        changed: &[u32],
        changed_from: &[usize],
        cold: &[usize],
    ) -> Self {
        let units = history.pages().len();
        let rows = || (0..history.intervals()).map(|k| set_bits(history.row(k).iter().copied()));
        let mut from = vec![0u32; units + 1];
        for unit in rows().flatten() {
            from[unit + 1] += 1;
        }
        for unit in 0..units {
            from[unit + 1] += from[unit];
        }
        let mut next = from.clone();
        let nothing = Written {
            interval: 0,
            place: STEADY,
        };
        let mut written = vec![nothing; from[units] as usize];
        for (interval, row) in rows().enumerate() {
            for unit in row {
                written[next[unit] as usize].interval = interval as u32;
                next[unit] += 1;
            }
            for place in changed_from[interval]..changed_from[interval + 1] {
                // The entry just made.
                let last = next[changed[place] as usize] - 1;
                written[last as usize].place = place as u32;
            }
        }
        let mut cold_place = vec![0; units];
        for (place, unit) in cold.iter().enumerate() {
            cold_place[*unit] = place as u32;
        }
        Self {
            from,
            written,
            cold_place,
        }
    }

    /// The intervals of some that have a unit, in order.
    pub(super) fn written(&self, unit: usize, intervals: Range<usize>) -> &[Written] {
        let all = &self.written[self.from[unit] as usize..self.from[unit + 1] as usize];
        let begin = all.partition_point(|written| written.interval() < intervals.start);
        let end = all.partition_point(|written| written.interval() < intervals.end);
        &all[begin..end]
    }

    /// Place of a unit among those never written.
    pub(super) fn cold_place(&self, unit: usize) -> usize {
        self.cold_place[unit] as usize
    }
}
