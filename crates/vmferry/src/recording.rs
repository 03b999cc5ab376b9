//! Records which pages a guest dirties into a trace, and reads traces.

use std::fs::{File, OpenOptions};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vmferry_core::{GuestInfo, GuestUri, HostInfo, Millis, PageHistory, Ratio};
pub use vmferry_history::trace::export::ExportFormat;
pub use vmferry_history::trace::{EndReason, HistoryBounds, TraceEnd, TraceError};
use vmferry_history::trace::{
    PageSet, PageSource, TraceBlock, TraceFooter, TraceHeader, TraceReader, TraceWriter,
    export::export as export_trace, summarise,
};
use vmferry_hypervisor::qmp::{ConnectOptions, Guest};
pub use vmferry_measure::recording::{PageChoice, RecordOptions};
use vmferry_measure::recording::{PageSink, RecordEnd, RecordedPages, record as record_pages};

use crate::Error;
use crate::document::{TraceReport, Versions};

/// What to record, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordRequest {
    /// The guest.
    pub guest: GuestUri,
    /// The trace.
    pub file: PathBuf,
    /// Whether a file that exists is overwritten.
    pub overwrite: bool,
    /// Pages, interval, length and budget.
    pub options: RecordOptions,
}

/// Records a guest until the time is over or `stop` is set, and says what the trace holds. A guest
/// that exits on the way ends the trace in order: [`TraceReport`] says so. `began` is told how many
/// pages are recorded, of how many.
///
/// # Errors
/// When the guest cannot be reached or read, and when the trace cannot be written; what was
/// written by then can be read.
pub async fn record(
    request: &RecordRequest,
    stop: Arc<AtomicBool>,
    began: impl FnOnce(u64, f64) + Send + 'static,
) -> Result<TraceReport, Error> {
    let trace = request.file.display().to_string();
    // Looked at first, since reaching the guest may take a while; what counts is the look when the
    // file is made.
    if !request.overwrite && request.file.exists() {
        return Err(TraceError::Exists { trace }.into());
    }
    let guest = Guest::connect(&request.guest, ConnectOptions::default()).await?;
    let sink = TraceSink {
        trace,
        info: guest.info().await?,
        host: guest.host_info(),
        request: request.clone(),
        began: Some(began),
        writer: None,
        error: None,
    };
    let recorded = record_pages(&guest, &request.options, stop, sink).await?;
    let TraceSink { writer, error, .. } = recorded.sink;
    if let Some(error) = error {
        return Err(error.into());
    }
    let Some(writer) = writer else {
        return Err(Error::Internal("a recording ended before it began".into()));
    };
    let mut notes = recorded.notes;
    let (reason, failure) = match recorded.end {
        RecordEnd::Complete => (EndReason::Complete, None),
        RecordEnd::Stopped | RecordEnd::SinkClosed => (EndReason::Stopped, None),
        RecordEnd::Failed(error) => {
            notes.push(error.to_string());
            match error {
                vmferry_measure::MeasureError::GuestExited { .. } => (EndReason::GuestExited, None),
                error => (EndReason::Failed, Some(error)),
            }
        }
    };
    let footer = TraceFooter {
        reason,
        cpu: recorded.cpu,
        notes,
    };
    let (file, recorded_ms) = (request.file.clone(), writer.end_us() / 1000);
    let report = tokio::task::spawn_blocking(move || {
        let written = writer.end(&footer)?;
        // Devices and pipes cannot be synced; they hold nothing that could be lost.
        if written.metadata().is_ok_and(|meta| meta.is_file()) {
            written.sync_all().map_err(|source| TraceError::Write {
                trace: file.display().to_string(),
                recorded_ms,
                source,
            })?;
        }
        info(&file)
    });
    let report = joined(report.await)?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(report),
    }
}

/// Says what a trace holds. One that is cut off or damaged is read up to there.
///
/// # Errors
/// When it cannot be opened, is no trace, or of another version.
pub fn info(file: &Path) -> Result<TraceReport, Error> {
    let mut reader = TraceReader::open(file)?;
    Ok(TraceReport {
        versions: Versions::default(),
        summary: summarise(&mut reader)?,
    })
}

/// Whether a file is a trace that can be read.
///
/// # Errors
/// As [`info`].
pub fn check(file: &Path) -> Result<(), Error> {
    TraceReader::open(file)?;
    Ok(())
}

/// Writes a trace as a table, a row for every page dirtied in every interval; returns how the trace
/// ends. `name` names the output in errors.
///
/// # Errors
/// When the trace cannot be read to its end or its cut, or the table not be written.
pub fn export(
    file: &Path,
    format: ExportFormat,
    output: impl std::io::Write + Send,
    name: &str,
) -> Result<TraceEnd, Error> {
    let mut reader = TraceReader::open(file)?;
    export_trace(&mut reader, format, output, name)?;
    reader
        .end()
        .cloned()
        .ok_or_else(|| Error::Internal(format!("{} has no end", file.display())))
}

/// A part of a trace, for replays; where `guest` is given, it must have been recorded of it.
///
/// # Errors
/// When the trace cannot be read, is of another guest, has nothing within the bounds or too much.
pub fn page_history(
    file: &Path,
    guest: Option<&GuestInfo>,
    bounds: &HistoryBounds,
) -> Result<PageHistory, Error> {
    let mut reader = TraceReader::open(file)?;
    if let Some(guest) = guest {
        reader.header().require_guest(reader.name(), guest)?;
    }
    Ok(reader.page_history(bounds)?)
}

fn joined<T>(result: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    result.unwrap_or_else(|error| Err(Error::Internal(format!("writing failed: {error}"))))
}

/// Puts what is recorded into a file, on the recorder's own thread: writing counts for its budget.
struct TraceSink<B> {
    trace: String,
    info: GuestInfo,
    host: HostInfo,
    request: RecordRequest,
    began: Option<B>,
    writer: Option<TraceWriter<File>>,
    error: Option<TraceError>,
}

impl<B: FnOnce(u64, f64) + Send + 'static> TraceSink<B> {
    fn open(&self) -> Result<File, TraceError> {
        let mut options = OpenOptions::new();
        options.write(true);
        if self.request.overwrite {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        options.open(&self.request.file).map_err(|source| {
            let trace = self.trace.clone();
            match source.kind() {
                std::io::ErrorKind::AlreadyExists => TraceError::Exists { trace },
                _ => TraceError::Open { trace, source },
            }
        })
    }

    fn start(&mut self, recorded: RecordedPages) -> Result<(), TraceError> {
        let options = &self.request.options;
        let header = TraceHeader {
            blocks: TraceBlock::of_guest(&self.info),
            guest: self.info.clone(),
            host: self.host.clone(),
            source: PageSource::PageHash,
            whole_guest: recorded.whole_guest,
            interval_ms: Millis::from(options.interval),
            budget: Ratio(options.budget.0),
            started_at: recorded.started_at,
            started_monotonic_ns: u64::try_from(recorded.started_monotonic.as_nanos())
                .unwrap_or(u64::MAX),
            seed: options.seed,
        };
        let pages = PageSet::new(&self.trace, recorded.pages)?;
        let file = self.open()?;
        self.writer = Some(TraceWriter::begin(file, &self.trace, &header, &pages)?);
        if let Some(began) = self.began.take() {
            began(pages.len(), pages.represented_pages());
        }
        Ok(())
    }

    fn keep(&mut self, result: Result<(), TraceError>) -> ControlFlow<()> {
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl<B: FnOnce(u64, f64) + Send + 'static> PageSink for TraceSink<B> {
    fn begin(&mut self, pages: RecordedPages) -> ControlFlow<()> {
        let started = self.start(pages);
        self.keep(started)
    }

    fn interval(&mut self, end_us: u64, dirty: &[usize]) -> ControlFlow<()> {
        let pushed = match &mut self.writer {
            Some(writer) => writer.push(end_us, dirty),
            None => Ok(()),
        };
        self.keep(pushed)
    }
}
