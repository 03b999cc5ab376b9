//! A trace as an observation, within bounds of memory.
//!
//! A trace may hold 16 million pages over many hours. Two forms of it are kept:
//! a sample of its pages as a history, which every model reads, and, of a whole
//! guest, all pages as a [`PageTrace`] where that fits.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use vmferry_core::{
    Bytes, Millis, Observation, ObservationCost, ObservationMethod, PageHistory, PageMix, Pages,
    Ratio,
};
use vmferry_history::trace::{
    HistoryBounds, PageSet, TraceEnd, TraceReader, TraceSummary, summarise,
};
use vmferry_measure::dirty_curve;
use vmferry_precopy::dirt::{PageTrace, PageTraceBuilder};

use super::reading::Seen;
use crate::Error;
use crate::document::SourceKind;

/// Most pages of the sample. More take longer and tell little more.
const MOST_PAGES: u64 = 32_768;
/// Most bits of its history: 128 MiB.
const MOST_BITS: u64 = 1 << 30;
/// Most intervals of it: 29 hours of 100 ms.
const MOST_INTERVALS: u64 = 1 << 20;
/// The same of the history that the dirty curve is made from, which takes twenty
/// times its size meanwhile.
const CURVE_PAGES: u64 = 4096;
const CURVE_BITS: u64 = 1 << 26;
const CURVE_INTERVALS: u64 = 36_000;
/// Most memory that a trace of all pages may take.
const MOST_WHOLE: Bytes = Bytes::from_mib(512);
/// Bytes that a page written in an interval takes there, as [`PageTrace`] keeps
/// it; and those of an interval, a page of the guest, in which many are.
const BYTES_LISTED: f64 = 10.0;
const BYTES_DENSE: f64 = 0.16;

/// Reads a trace, up to where it is cut off.
///
/// # Errors
/// When it cannot be read, is damaged, of another version, or holds nothing.
pub(super) fn read(path: &Path, seed: u64) -> Result<Seen, Error> {
    let mut reader = TraceReader::open(path)?;
    let summary = summarise(&mut reader)?;
    let mut notes = Vec::new();
    if let TraceEnd::CutOff { at_byte, .. } = summary.end {
        notes.push(format!(
            "{} is cut off at byte {at_byte}: the {} before that are used.",
            path.display(),
            summary.length_ms
        ));
    }
    let sample = Part::of(&summary, MOST_PAGES, MOST_BITS, MOST_INTERVALS);
    let history = sample.history(path, seed)?;
    if sample.intervals < summary.intervals {
        notes.push(format!(
            "Of {} of trace the last {} are used.",
            summary.length_ms,
            Millis(history.window_us() as f64 / 1e3)
        ));
    }
    let brief = Part::of(&summary, CURVE_PAGES, CURVE_BITS, CURVE_INTERVALS);
    let curve = if brief == sample {
        dirty_curve(&history)
    } else {
        dirty_curve(&brief.history(path, seed)?)
    };
    let whole = if sample.intervals == summary.intervals && fits(&summary) {
        Some(whole(path)?)
    } else {
        None
    };
    if whole.is_none() && sample.pages < summary.pages.0 {
        notes.push(format!(
            "Of the {} pages recorded {} are replayed, drawn at random: each stands for {}.",
            summary.pages.0,
            history.pages().len(),
            Bytes((summary.represented_pages / history.pages().len() as f64 * 4096.0) as u64)
        ));
    }
    let header = &summary.header;
    let footer_notes = match &summary.end {
        TraceEnd::Ended { footer } => footer.notes.clone(),
        TraceEnd::CutOff { .. } | TraceEnd::Damaged { .. } => Vec::new(),
    };
    let observation = Observation {
        started_at: header.started_at,
        method: ObservationMethod::PageHash,
        guest: header.guest.clone(),
        host: header.host.clone(),
        window_ms: Millis(history.window_us() as f64 / 1e3),
        dirty_curve: curve,
        page_mix: page_mix(&summary, reader.pages()),
        page_history: Some(history),
        slow_page_history: None,
        vcpu_use: None,
        cost: ObservationCost {
            pages: summary.pages,
            looks: summary.intervals + 1,
            cpu: header.budget,
        },
        notes: footer_notes,
    };
    Ok(Seen {
        kind: SourceKind::Trace,
        observation,
        whole,
        notes,
    })
}

/// How much of a trace is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    pages: u64,
    /// The last ones.
    intervals: u64,
    from: Duration,
}

impl Part {
    fn of(trace: &TraceSummary, pages: u64, bits: u64, intervals: u64) -> Self {
        let kept = trace.intervals.min(intervals);
        let share = 1.0 - kept as f64 / trace.intervals.max(1) as f64;
        Self {
            pages: trace.pages.0.min(pages).min(bits / kept.max(1)),
            intervals: kept,
            from: trace.length_ms.duration().mul_f64(share),
        }
    }

    fn history(&self, path: &Path, seed: u64) -> Result<PageHistory, Error> {
        let bounds = HistoryBounds {
            from: self.from,
            pages: usize::try_from(self.pages).ok(),
            seed,
            ..HistoryBounds::default()
        };
        Ok(TraceReader::open(path)?.page_history(&bounds)?)
    }
}

/// Zero and other pages when the recording began.
fn page_mix(trace: &TraceSummary, pages: &PageSet) -> PageMix {
    let zero: f64 = pages.iter().filter(|p| p.zero).map(|p| p.weight).sum();
    let share = zero / trace.represented_pages.max(1.0);
    let whole = trace.header.whole_guest;
    let error = (share * (1.0 - share) / trace.pages.0.max(1) as f64).sqrt();
    let recorded = Pages(trace.represented_pages.round() as u64);
    PageMix {
        total_pages: trace
            .header
            .guest
            .migrated_bytes()
            .map_or(recorded, Bytes::pages),
        zero: Some(Ratio(share)),
        zero_standard_error: Some(Ratio(if whole { 0.0 } else { error })),
        duplicate: None,
        compressed: None,
        exact: whole,
    }
}

/// Whether a trace of all pages can be kept.
fn fits(trace: &TraceSummary) -> bool {
    let rate = trace.dirty_rate_bytes_per_s.map_or(0.0, |rate| rate.0);
    let written = rate * trace.length_ms.0 / 1e3 / 4096.0;
    let dense = trace.represented_pages * trace.intervals as f64 * BYTES_DENSE;
    trace.header.whole_guest && (written * BYTES_LISTED).min(dense) <= MOST_WHOLE.0 as f64
}

/// All pages of a trace of a whole guest.
fn whole(path: &Path) -> Result<PageTrace, Error> {
    let mut reader: TraceReader<BufReader<File>> = TraceReader::open(path)?;
    let bad = |error: vmferry_precopy::dirt::PageTraceError| {
        Error::Usage(format!("{}: {error}", path.display()))
    };
    let pages = reader.pages().clone();
    let last = pages.len().checked_sub(1).and_then(|last| pages.at(last));
    let recorded = last.map_or(0, |page| page.index.0 + 1);
    let guest = reader
        .header()
        .guest
        .migrated_bytes()
        .map_or(0, |b| b.pages().0);
    let zero = pages
        .iter()
        .filter(|page| page.zero)
        .map(|page| page.index.0);
    let mut builder = PageTraceBuilder::new(Pages(recorded.max(guest)))
        .and_then(|builder| builder.zero_pages(zero))
        .map_err(bad)?;
    while let Some(frame) = reader.next_frame()? {
        for interval in frame.intervals() {
            let dirty = interval.dirty.iter().filter_map(|at| pages.at(at));
            builder
                .push(interval.end_us, dirty.map(|page| page.index.0))
                .map_err(bad)?;
        }
    }
    builder.finish().map_err(bad)
}
