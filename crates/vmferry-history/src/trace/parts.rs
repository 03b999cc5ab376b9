//! A long trace in parts, each a [`PageHistory`], read in one go.

use std::collections::VecDeque;
use std::io::Read;
use std::ops::Range;
use std::time::Duration;

use vmferry_core::{Bytes, PageHistory, SampledPage};

use super::page_history::{Kept, keep, kept_of};
use super::{TraceError, TraceReader};

/// How a trace is cut into parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartBounds {
    /// Recorded beside each part, on either side, where it was: what a replay that begins in the
    /// part goes on with.
    pub margin: Duration,
    /// Most pages: neighbours are put together, as in [`super::HistoryBounds::pages`].
    pub pages: usize,
    /// Draws them.
    pub seed: u64,
    /// Most memory that the history of one part may take; more is an error.
    pub most: Bytes,
}

/// A part of a trace.
#[derive(Clone, Debug)]
pub struct TracePart {
    /// The part itself, in microseconds from the first look of the recording.
    pub span_us: Range<u64>,
    /// The first look of the history, on the same clock: the part's start less its margin.
    pub from_us: u64,
    /// What was dirtied in the part and its margins.
    pub history: PageHistory,
}

/// A part that is being read.
struct Open {
    span_us: Range<u64>,
    from_us: u64,
    rows: u64,
    history: PageHistory,
}

impl<R: Read> TraceReader<R> {
    /// Hands over the trace part by part, read from where the reader stands: ask a reader that was
    /// just opened. `next_end` says where the part ends that begins at an instant (microseconds
    /// from the first look); parts follow each other without a gap, and the last ends with the
    /// trace. Memory is bounded by the parts whose margins overlap. A trace that is cut off gives
    /// what there is; [`TraceReader::end`] then says so.
    ///
    /// # Errors
    /// [`TraceError::Empty`] where there is no interval, [`TraceError::TooLarge`], what
    /// [`TraceReader::next_frame`] and `each` say; parts handed over before are then of no use.
    pub fn parts<E: From<TraceError>>(
        &mut self,
        bounds: &PartBounds,
        next_end: impl Fn(u64) -> u64,
        mut each: impl FnMut(TracePart) -> Result<(), E>,
    ) -> Result<(), E> {
        let recorded = usize::try_from(self.pages().len()).unwrap_or(usize::MAX);
        let count = bounds.pages.clamp(1, recorded.max(1));
        let row_bytes = count.div_ceil(64) as u64 * 8 + 8;
        let page_bytes = (count * size_of::<SampledPage>()) as u64;
        let most_rows = bounds.most.0.saturating_sub(page_bytes) / row_bytes;
        let margin = u64::try_from(bounds.margin.as_micros()).unwrap_or(u64::MAX);
        let Kept {
            positions,
            mut pages,
        } = keep(self, recorded, count, bounds.seed);
        let mut open: VecDeque<Open> = VecDeque::new();
        let mut begin = 0;
        let mut dirty: Vec<usize> = Vec::new();
        while let Some(frame) = self.next_frame()? {
            for interval in frame.intervals() {
                while interval.start_us.saturating_add(margin) >= begin {
                    // Time goes on even where the caller's does not.
                    let end = next_end(begin).max(begin + 1);
                    open.push_back(Open {
                        span_us: begin..end,
                        from_us: interval.start_us,
                        rows: 0,
                        history: PageHistory::new(pages.clone()),
                    });
                    begin = end;
                }
                dirty.clear();
                dirty.extend(kept_of(&positions, interval.dirty.iter()));
                for part in &mut open {
                    part.rows += 1;
                    if part.rows > most_rows {
                        return Err(TraceError::TooLarge {
                            trace: self.name().to_owned(),
                            most: bounds.most,
                        }
                        .into());
                    }
                    let at = interval.end_us - part.from_us;
                    part.history.push(at, dirty.iter().copied());
                }
                // What was written before a part is no zero page any more, as far as known.
                dirty.iter().for_each(|page| pages[*page].zero = false);
                while let Some(part) = open
                    .pop_front_if(|part| interval.end_us >= part.span_us.end.saturating_add(margin))
                {
                    each(part.finished(interval.end_us))?;
                }
            }
        }
        let end_us = self.end_us();
        if end_us == 0 {
            return Err(TraceError::Empty {
                trace: self.name().to_owned(),
                length_ms: 0,
            }
            .into());
        }
        for part in open {
            if part.span_us.start < end_us {
                each(part.finished(end_us))?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn finished(self, end_us: u64) -> TracePart {
        TracePart {
            span_us: self.span_us.start..self.span_us.end.min(end_us),
            from_us: self.from_us,
            history: self.history,
        }
    }
}
