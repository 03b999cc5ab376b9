//! A trace as an observation, within bounds of memory.
//!
//! A trace may hold 16 million pages over many hours. Two forms of it are kept:
//! a sample of its pages as a history, which every model reads, and, of a whole
//! guest, all pages as a [`PageTrace`] where that fits.

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
use crate::traces::{open_before, zero_share};

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

/// Reads a trace, up to where it is cut off or damaged.
///
/// # Errors
/// When it cannot be read, is of another version, or holds nothing before it is
/// damaged.
pub(super) fn read(path: &Path, seed: u64) -> Result<Seen, Error> {
    let mut reader = TraceReader::open(path)?;
    let summary = summarise(&mut reader)?;
    let mut notes = Vec::new();
    let length = summary.length_ms;
    let damage = match &summary.end {
        TraceEnd::Ended { .. } => None,
        TraceEnd::CutOff { at_byte, .. } => {
            notes.push(format!(
                "{} is cut off at byte {at_byte}: the {length} before that are used.",
                path.display(),
            ));
            None
        }
        TraceEnd::Damaged { problem, .. } if summary.intervals == 0 => {
            return Err(Error::Usage(problem.clone()));
        }
        TraceEnd::Damaged {
            at_byte, problem, ..
        } => {
            notes.push(format!("{problem}; its first {length} are used."));
            Some(*at_byte)
        }
    };
    let sample = Part::of(&summary, MOST_PAGES, MOST_BITS, MOST_INTERVALS);
    let history = sample.history(path, damage, seed)?;
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
        dirty_curve(&brief.history(path, damage, seed)?)
    };
    let whole = if sample.intervals == summary.intervals && fits(&summary) {
        Some(whole(path, damage)?)
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
        window_ended_at: None,
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

    fn history(&self, path: &Path, damage: Option<u64>, seed: u64) -> Result<PageHistory, Error> {
        let bounds = HistoryBounds {
            from: self.from,
            pages: usize::try_from(self.pages).ok(),
            seed,
            ..HistoryBounds::default()
        };
        Ok(open_before(path, damage)?.page_history(&bounds)?)
    }
}

/// Zero and other pages when the recording began.
fn page_mix(trace: &TraceSummary, pages: &PageSet) -> PageMix {
    let zero = zero_share(pages.iter());
    let whole = trace.header.whole_guest;
    let error = |Ratio(share): Ratio| match whole {
        true => Ratio(0.0),
        false => Ratio((share * (1.0 - share) / trace.pages.0.max(1) as f64).sqrt()),
    };
    let recorded = Pages(trace.represented_pages.round() as u64);
    PageMix {
        total_pages: trace
            .header
            .guest
            .migrated_bytes()
            .map_or(recorded, Bytes::pages),
        zero,
        zero_standard_error: zero.map(error),
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
fn whole(path: &Path, damage: Option<u64>) -> Result<PageTrace, Error> {
    let mut reader = open_before(path, damage)?;
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use vmferry_core::{ByteRate, GuestInfo, GuestUri, HostInfo, SampledPage};
    use vmferry_history::trace::{
        EndReason, PageSource, TraceBlock, TraceFooter, TraceHeader, TraceWriter,
    };

    use super::*;

    /// 640 pages, of which 200 are written in turn within 2 s.
    fn written(path: &Path) -> TraceSummary {
        let guest = GuestInfo {
            uri: GuestUri::local("/run/a.qmp"),
            name: None,
            uuid: None,
            memory_bytes: None,
            ram_blocks: Vec::new(),
            vcpus: None,
            machine: None,
            accelerator: None,
        };
        let header = TraceHeader {
            guest,
            host: HostInfo::default(),
            blocks: vec![TraceBlock {
                name: "pc.ram".to_owned(),
                first_page: Pages(0),
                pages: Pages(640),
            }],
            source: PageSource::PageHash,
            whole_guest: true,
            interval_ms: Millis(100.0),
            budget: Ratio(0.2),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            started_monotonic_ns: 0,
            seed: 1,
        };
        let page = |index: u64| SampledPage {
            index: Pages(index),
            weight: 1.0,
            zero: index >= 480,
        };
        let pages = PageSet::new("t", (0..640).map(page)).unwrap();
        let file = File::create(path).unwrap();
        let mut writer = TraceWriter::begin(file, "t", &header, &pages).unwrap();
        for look in 1..=20u64 {
            let first = (look as usize - 1) * 10;
            let dirty: Vec<usize> = (first..first + 10).collect();
            writer.push(look * 100_000, &dirty).unwrap();
        }
        let footer = TraceFooter {
            reason: EndReason::Complete,
            cpu: Ratio(0.1),
            notes: vec!["all is well".to_owned()],
        };
        writer.end(&footer).unwrap();
        summarise(&mut TraceReader::open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_trace_is_an_observation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.trace");
        written(&path);
        let seen = read(&path, 1).unwrap();
        let observation = &seen.observation;
        assert_eq!(observation.window_ms, Millis(2000.0));
        assert_eq!(observation.page_mix.total_pages, Pages(640));
        assert_eq!(observation.page_mix.zero, Some(Ratio(0.25)));
        assert!(observation.page_mix.exact);
        let curve = &observation.dirty_curve;
        assert_eq!(
            curve.dirtied_in(Duration::from_millis(500)).pages(),
            Pages(50)
        );
        assert_eq!(observation.notes, ["all is well"]);
        assert_eq!(seen.notes, [] as [&str; 0]);
        let whole = seen.whole.unwrap();
        assert_eq!((whole.pages(), whole.intervals()), (640, 20));
    }

    #[test]
    fn what_is_kept_of_a_large_trace_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut trace = written(&dir.path().join("a.trace"));
        let part = |trace: &TraceSummary| Part::of(trace, MOST_PAGES, MOST_BITS, MOST_INTERVALS);
        assert_eq!(
            (part(&trace).pages, part(&trace).from),
            (640, Duration::ZERO)
        );
        assert!(fits(&trace));
        // 64 GiB for 58 hours.
        trace.pages = Pages(1 << 24);
        trace.represented_pages = f64::from(1 << 24);
        trace.intervals = 2 * MOST_INTERVALS;
        trace.length_ms = Millis(trace.intervals as f64 * 100.0);
        let kept = part(&trace);
        assert_eq!((kept.pages, kept.intervals), (1024, MOST_INTERVALS));
        assert_eq!(Millis::from(kept.from).0, trace.length_ms.0 / 2.0);
        trace.dirty_rate_bytes_per_s = Some(ByteRate(4096.0 * 5000.0));
        assert!(!fits(&trace));
        // Ten minutes of it fit.
        trace.length_ms = Millis(600_000.0);
        assert!(fits(&trace));
        trace.header.whole_guest = false;
        assert!(!fits(&trace));
    }
}
