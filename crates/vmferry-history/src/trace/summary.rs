//! What a trace holds, in numbers.

use std::io::Read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{ByteRate, Bytes, Millis, PAGE_SIZE, Pages};

use super::{PageSet, TraceEnd, TraceError, TraceHeader, TraceReader};

/// What a trace holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceSummary {
    /// Version of the trace's format.
    pub format_version: u32,
    /// Version of vmferry that recorded it.
    pub recorded_by: String,
    /// What was recorded, and how.
    #[serde(flatten)]
    pub header: TraceHeader,
    /// Pages that were recorded.
    pub pages: Pages,
    /// Pages that they stand for.
    pub represented_pages: f64,
    /// Mean number of pages that a recorded one stands for; `None` of no pages.
    pub mean_weight: Option<f64>,
    /// Length of the recording, as far as it can be read.
    pub length_ms: Millis,
    /// Intervals.
    pub intervals: u64,
    /// Mean length of an interval; `None` of none.
    pub mean_interval_ms: Option<Millis>,
    /// Longest interval.
    pub longest_interval_ms: Option<Millis>,
    /// Intervals that were at least half as long again as asked for: looks were missed.
    pub long_intervals: u64,
    /// Mean dirty rate over intervals of that length; `None` of none. Within longer intervals the
    /// same guest dirties fewer unique pages per second.
    pub dirty_rate_bytes_per_s: Option<ByteRate>,
    /// Memory dirtied at least once over the whole length.
    pub working_set_bytes: Bytes,
    /// Standard error of the former from recording a subset; 0 for a whole guest. An upper bound:
    /// strata make it smaller.
    pub working_set_standard_error_bytes: Bytes,
    /// Length of the file, as far as it was read.
    pub file_bytes: Bytes,
    /// How it ends.
    pub end: TraceEnd,
}

/// Reads a trace to its end. One that is cut off or damaged is summed up to there, and `end` says
/// so.
///
/// # Errors
/// [`TraceError::Read`].
pub fn summarise<R: Read>(reader: &mut TraceReader<R>) -> Result<TraceSummary, TraceError> {
    let mut seen = Seen::new(reader.pages());
    let asked_us = reader.header().interval_ms.duration().as_micros() as f64;
    let end = loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                for interval in frame.intervals() {
                    let length = interval.end_us - interval.start_us;
                    seen.intervals += 1;
                    seen.longest_us = seen.longest_us.max(length);
                    seen.long += u64::from(length as f64 >= asked_us * 1.5);
                    for position in interval.dirty.iter() {
                        seen.add(position, reader.pages());
                    }
                }
            }
            Ok(None) => match reader.end() {
                Some(end) => break end.clone(),
                // Only a reader that failed before it was handed over has no end.
                None => {
                    break TraceEnd::CutOff {
                        at_byte: reader.bytes(),
                        whole_bytes: reader.bytes(),
                    };
                }
            },
            Err(
                error @ (TraceError::Damaged { at_byte, .. }
                | TraceError::ClockBack { at_byte, .. }),
            ) => {
                break TraceEnd::Damaged {
                    at_byte,
                    sound_until_ms: millis(reader.end_us()),
                    problem: error.to_string(),
                };
            }
            Err(error) => return Err(error),
        }
    };
    let pages = reader.pages();
    let (length_us, represented) = (reader.end_us(), pages.represented_pages());
    let some = seen.intervals > 0;
    Ok(TraceSummary {
        format_version: reader.format_version(),
        recorded_by: reader.recorded_by().to_owned(),
        header: reader.header().clone(),
        pages: Pages(pages.len()),
        represented_pages: represented,
        mean_weight: (!pages.is_empty()).then(|| represented / pages.len() as f64),
        length_ms: millis(length_us),
        intervals: seen.intervals,
        mean_interval_ms: some.then(|| Millis(length_us as f64 / 1e3 / seen.intervals as f64)),
        longest_interval_ms: some.then(|| millis(seen.longest_us)),
        long_intervals: seen.long,
        dirty_rate_bytes_per_s: some
            .then(|| ByteRate(seen.dirtied_pages * PAGE_SIZE.0 as f64 / (length_us as f64 / 1e6))),
        working_set_bytes: bytes(seen.touched_pages),
        working_set_standard_error_bytes: bytes(seen.standard_error(pages)),
        file_bytes: Bytes(reader.bytes()),
        end,
    })
}

fn millis(us: u64) -> Millis {
    Millis(us as f64 / 1e3)
}

fn bytes(pages: f64) -> Bytes {
    Bytes((pages * PAGE_SIZE.0 as f64).round() as u64)
}

/// Sums over the intervals.
struct Seen {
    intervals: u64,
    longest_us: u64,
    long: u64,
    /// Pages dirtied, once an interval.
    dirtied_pages: f64,
    /// Pages dirtied, once.
    touched_pages: f64,
    touched: Vec<u64>,
}

impl Seen {
    fn new(pages: &PageSet) -> Self {
        Self {
            intervals: 0,
            longest_us: 0,
            long: 0,
            dirtied_pages: 0.0,
            touched_pages: 0.0,
            touched: vec![0; pages.len().div_ceil(64) as usize],
        }
    }

    fn add(&mut self, position: u64, pages: &PageSet) {
        let weight = pages.at(position).map_or(0.0, |page| page.weight);
        self.dirtied_pages += weight;
        let word = &mut self.touched[(position / 64) as usize];
        let bit = 1 << (position % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.touched_pages += weight;
        }
    }

    /// Of the touched pages, as in a simple random sample without replacement.
    fn standard_error(&self, pages: &PageSet) -> f64 {
        let (all, sample) = (pages.represented_pages(), pages.len() as f64);
        if sample == 0.0 {
            return 0.0;
        }
        let share = (self.touched_pages / all).clamp(0.0, 1.0);
        let left_out = (1.0 - sample / all).max(0.0);
        all * (share * (1.0 - share) / sample * left_out).sqrt()
    }
}
