//! A part of a trace as the [`PageHistory`] that replays read.

use std::io::Read;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use vmferry_core::{Bytes, PageHistory, SampledPage};

use super::{TraceError, TraceReader};

/// Which part of a trace, and how much memory it may take. By default all of it, within 256 MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryBounds {
    /// Start of the part, from the start of the recording.
    pub from: Duration,
    /// Its length; all that follows where `None`.
    pub length: Option<Duration>,
    /// Most pages: neighbours are put together, and one of them, drawn at random, stands for
    /// all. All recorded pages where `None`.
    pub pages: Option<usize>,
    /// Draws them: the same seed draws the same.
    pub seed: u64,
    /// Most memory that the history may take; more is an error.
    pub most: Bytes,
}

impl Default for HistoryBounds {
    fn default() -> Self {
        Self {
            from: Duration::ZERO,
            length: None,
            pages: None,
            seed: 1,
            most: Bytes::from_mib(256),
        }
    }
}

impl<R: Read> TraceReader<R> {
    /// The intervals that lie wholly within the bounds, read from where the reader stands: ask a
    /// reader that was just opened. Time counts from the first of them. A trace that is cut off
    /// gives what there is; [`TraceReader::end`] then says so.
    ///
    /// # Errors
    /// [`TraceError::Empty`] where there is no such interval, [`TraceError::TooLarge`], and as
    /// [`TraceReader::next_frame`].
    pub fn page_history(&mut self, bounds: &HistoryBounds) -> Result<PageHistory, TraceError> {
        let too_large = |trace: &str| TraceError::TooLarge {
            trace: trace.to_owned(),
            most: bounds.most,
        };
        let recorded = usize::try_from(self.pages().len()).unwrap_or(usize::MAX);
        let count = bounds
            .pages
            .map_or(recorded, |most| most.clamp(1, recorded.max(1)));
        let words = count.div_ceil(64) as u64;
        let page_bytes = (count * (size_of::<SampledPage>() + size_of::<u64>())) as u64;
        if page_bytes > bounds.most.0 {
            return Err(too_large(self.name()));
        }
        let most_rows = (bounds.most.0 - page_bytes) / (words * 8 + 8);

        let Kept {
            positions,
            mut pages,
        } = keep(self, recorded, count, bounds.seed);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let from_us = micros(bounds.from);
        let to_us = bounds
            .length
            .map_or(u64::MAX, |length| from_us.saturating_add(micros(length)));
        let mut history = None;
        let mut rows = 0;
        let mut first_us = 0;
        'frames: while let Some(frame) = self.next_frame()? {
            for interval in frame.intervals() {
                if interval.end_us > to_us {
                    break 'frames;
                }
                let dirty = kept_of(&positions, interval.dirty.iter());
                if interval.start_us < from_us {
                    // What was written before the part is no zero page any more, as far as known.
                    dirty.for_each(|page| pages[page].zero = false);
                    continue;
                }
                rows += 1;
                if rows > most_rows {
                    return Err(too_large(self.name()));
                }
                let history = history.get_or_insert_with(|| {
                    first_us = interval.start_us;
                    PageHistory::new(std::mem::take(&mut pages))
                });
                history.push(interval.end_us - first_us, dirty);
            }
        }
        history.ok_or_else(|| TraceError::Empty {
            trace: self.name().to_owned(),
            length_ms: self.end_us() / 1000,
        })
    }
}

/// The pages of a history, and where they stand among the recorded ones.
pub(super) struct Kept {
    pub(super) positions: Vec<u64>,
    pub(super) pages: Vec<SampledPage>,
}

/// Of each of `count` groups of neighbours one page, drawn with its weight as its chance, so that
/// nothing is favoured.
pub(super) fn keep<R: Read>(
    reader: &TraceReader<R>,
    recorded: usize,
    count: usize,
    seed: u64,
) -> Kept {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut kept = Kept {
        positions: Vec::with_capacity(count),
        pages: Vec::with_capacity(count),
    };
    let mut group = 0;
    for (position, page) in reader.pages().iter().enumerate() {
        let wanted = (position as u128 * count as u128 / recorded as u128) as usize;
        match kept.pages.last_mut() {
            Some(last) if wanted < group => {
                let weight = last.weight + page.weight;
                if random.random_bool(page.weight / weight) {
                    *last = page;
                    kept.positions.pop();
                    kept.positions.push(position as u64);
                }
                last.weight = weight;
            }
            _ => {
                kept.positions.push(position as u64);
                kept.pages.push(page);
                group = wanted + 1;
            }
        }
    }
    kept
}

/// Of the dirtied positions those that are kept, as places among the kept ones; both grow.
pub(super) fn kept_of(
    kept: &[u64],
    dirty: impl Iterator<Item = u64>,
) -> impl Iterator<Item = usize> {
    let mut from = 0;
    dirty.filter_map(move |position| {
        // Where all are kept, and most often else, the next one is near.
        while kept.get(from).is_some_and(|known| *known < position) {
            from += 1;
        }
        (kept.get(from) == Some(&position)).then_some(from)
    })
}
