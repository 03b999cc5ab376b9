//! Recorded page history of a guest, replayed by the time of day.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vmferry_core::{Bytes, Millis};
use vmferry_history::trace::{
    PartBounds, TraceEnd, TraceError, TraceHeader, TracePart, TraceReader,
};
use vmferry_model::Assumptions;
use vmferry_model::predictor::{CannotForecast, Case, Technique};
use vmferry_model::schedule::{DayClock, TimedMove, replayed};

use super::counted;
use super::moves::Settings;
use super::report::TraceUse;
use crate::Error;
use crate::traces::{open_before, sound_before, zero_share};

/// Moves replayed in every part of the day, of every trace.
const STARTS: u32 = 16;
/// Most pages that a replay tells apart; of a larger trace neighbours are put
/// together. As many as `measure` samples.
const PAGES: usize = 4096;
/// Most memory of one part.
const MOST: Bytes = Bytes::from_mib(128);
/// Longest piece beside a part that its moves go on in; longer moves go round.
const LONGEST_MARGIN: Duration = Duration::from_secs(600);
/// Seed of every replay: the same traces give the same answer.
const SEED: u64 = 1;

/// A trace that was found.
pub(super) struct Found {
    path: PathBuf,
    pub(super) header: TraceHeader,
    /// Whether it was found in a directory, and not named itself.
    pub(super) from_directory: bool,
}

impl Found {
    pub(super) fn file(&self) -> String {
        self.path.display().to_string()
    }
}

/// Opens the traces that were named, and those in directories that were; what
/// cannot be read there is left out with a note.
///
/// # Errors
/// When a file that was named itself cannot be read.
pub(super) fn find(paths: &[PathBuf], notes: &mut Vec<String>) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let header = |path: &Path| Ok(TraceReader::open(path)?.header().clone());
    for path in paths {
        if !path.is_dir() {
            found.push(Found {
                path: path.clone(),
                header: header(path)?,
                from_directory: false,
            });
            continue;
        }
        let listing = || -> std::io::Result<Vec<PathBuf>> {
            std::fs::read_dir(path)?
                .map(|entry| Ok(entry?.path()))
                .collect()
        };
        let fail = |source| TraceError::Open {
            trace: path.display().to_string(),
            source,
        };
        let mut files = listing().map_err(fail)?;
        files.sort();
        let mut passed = 0;
        for file in files.into_iter().filter(|file| file.is_file()) {
            match header(&file) {
                Ok(header) => found.push(Found {
                    path: file,
                    header,
                    from_directory: true,
                }),
                Err(TraceError::NotATrace { .. }) => passed += 1,
                // What ails one file is no reason to leave the others.
                Err(error) if error.is_bad_trace() => notes.push(format!("Left out: {error}.")),
                Err(error) => return Err(error.into()),
            }
        }
        if passed > 0 {
            let dir = path.display();
            let passed = counted(passed, "file");
            notes.push(format!("{dir}: {passed} passed over, no traces."));
        }
    }
    found.sort_by_key(|trace| trace.header.started_at);
    Ok(found)
}

/// What replays over traces gave.
#[derive(Default)]
pub(super) struct Replays {
    pub(super) moves: Vec<TimedMove>,
    pub(super) used: Vec<TraceUse>,
    /// Length of the longest trace that is too short, and of a first pass.
    pub(super) too_short: Option<(Duration, Duration)>,
}

/// Replays moves at every time of day that the traces hold before `now`. Of a
/// trace that is cut off or damaged what lies before is used, with a note; one
/// in a directory of which nothing can be used is left out.
///
/// # Errors
/// When a trace that was named cannot be read, a disk fails, or two traces
/// contradict each other.
pub(super) fn replay(
    traces: &[Found],
    settings: &Settings,
    assumptions: &Assumptions,
    clock: &DayClock,
    now: Timestamp,
    notes: &mut Vec<String>,
) -> Result<Replays, Error> {
    let mut replays = Replays::default();
    let mut read: Vec<Span> = Vec::new();
    let mut ahead = 0;
    let memory = traces
        .last()
        .and_then(|trace| trace.header.guest.memory_bytes);
    for trace in traces {
        let header = &trace.header;
        let (file, started_at) = (trace.file(), header.started_at);
        if started_at > now && trace.from_directory {
            ahead += 1;
            continue;
        }
        if started_at > now {
            return Err(Error::Usage(format!(
                "{file} was recorded at {started_at}, which is after {now}: the host's clock was \
                 ahead or has jumped back; correct --now, or leave the trace out"
            )));
        }
        let same = |span: &&Span| span.is_of(header);
        if let Some(first) = read.iter().find(same) {
            let first = &first.file;
            notes.push(format!(
                "{file} holds the same recording as {first}; counted once."
            ));
            continue;
        }
        if memory.is_some() && header.guest.memory_bytes.is_some_and(|m| Some(m) != memory) {
            notes.push(format!(
                "{file}: left out, the guest had another memory size then."
            ));
            continue;
        }
        let before = replays.moves.len();
        let mut over = Over {
            header,
            settings,
            assumptions,
            now,
            replays: &mut replays,
        };
        let Extent { length, early_end } = match over.trace(&trace.path, clock) {
            Ok(extent) => extent,
            Err(Error::Trace(error)) if trace.from_directory && nothing_in(&error) => {
                notes.push(format!("Left out: {error}."));
                continue;
            }
            Err(error) => return Err(error),
        };
        let cut_off = early_end.is_some();
        if let Some(early_end) = early_end {
            let length = Millis::from(length);
            notes.push(format!("{early_end}; its first {length} were used."));
        }
        let span = Span::of(file.clone(), header, length);
        if let Some(other) = read.iter().find(|other| other.contradicts(&span)) {
            return Err(Error::Usage(format!(
                "{file} and {} were recorded one after the other, yet the clock of {} says at the \
                 same time: it has jumped back; leave one of them out",
                other.file,
                header.host.hostname.as_deref().unwrap_or("the host"),
            )));
        }
        read.push(span);
        let count = (replays.moves.len() - before) as u64;
        if count > 0 {
            replays.used.push(TraceUse {
                file,
                started_at,
                length_ms: length.into(),
                replays: count,
                cut_off,
            });
        }
    }
    if ahead > 0 {
        let ahead = counted(ahead, "trace");
        notes.push(format!("Left out: {ahead} recorded after now."));
    }
    Ok(replays)
}

/// Whether it is the trace in which nothing can be used, and not the disk or
/// what was asked for.
fn nothing_in(error: &TraceError) -> bool {
    error.is_bad_trace() && !matches!(error, TraceError::TooLarge { .. })
}

/// How far a trace can be read.
struct Extent {
    length: Duration,
    /// Why it ends early, where it does.
    early_end: Option<String>,
}

/// Moves over one trace.
struct Over<'a> {
    header: &'a TraceHeader,
    settings: &'a Settings,
    assumptions: &'a Assumptions,
    now: Timestamp,
    replays: &'a mut Replays,
}

impl Over<'_> {
    /// All that is sound of a trace.
    fn trace(&mut self, path: &Path, clock: &DayClock) -> Result<Extent, Error> {
        let before = self.replays.moves.len();
        let mut reader = open_before(path, None)?;
        let damage = match self.parts(&mut reader, clock) {
            Ok(()) => None,
            Err(Error::Trace(error)) => match sound_before(&error) {
                Some(at_byte) => Some((error, at_byte)),
                None => return Err(error.into()),
            },
            Err(error) => return Err(error),
        };
        let Some((error, at_byte)) = damage else {
            let cut_off = matches!(reader.end(), Some(TraceEnd::CutOff { .. }));
            return Ok(Extent {
                length: Duration::from_micros(reader.end_us()),
                early_end: cut_off.then(|| format!("{} is cut off", path.display())),
            });
        };
        // Anew, since the part that was being read when it broke was not replayed.
        self.replays.moves.truncate(before);
        let mut reader = open_before(path, Some(at_byte))?;
        self.parts(&mut reader, clock)?;
        Ok(Extent {
            length: Duration::from_micros(reader.end_us()),
            early_end: Some(error.to_string()),
        })
    }

    fn parts<R: std::io::Read>(
        &mut self,
        reader: &mut TraceReader<R>,
        clock: &DayClock,
    ) -> Result<(), Error> {
        let began = self.header.started_at;
        let deadline = self.settings.limits.deadline_ms.duration();
        let bounds = PartBounds {
            margin: deadline.min(LONGEST_MARGIN),
            pages: PAGES,
            seed: SEED,
            most: MOST,
        };
        let next_end = |us: u64| {
            let next = clock.next(after(began, us)).duration_since(began);
            u64::try_from(next.as_micros()).unwrap_or(u64::MAX)
        };
        reader.parts(&bounds, next_end, |part| self.part(&part))
    }

    fn part(&mut self, part: &TracePart) -> Result<(), Error> {
        let case = self.case(part);
        let rate = case.stream_rate().map_err(refused)?;
        let first_pass =
            Duration::try_from_secs_f64(case.first_pass() / rate.0).unwrap_or(Duration::MAX);
        let window = Duration::from_micros(part.history.window_us());
        if window < first_pass {
            let longest = self
                .replays
                .too_short
                .map_or(window, |(w, _)| w.max(window));
            self.replays.too_short = Some((longest, first_pass));
            return Ok(());
        }
        let offset = |us: u64| Duration::from_micros(us.saturating_sub(part.from_us));
        let starts = offset(part.span_us.start)..offset(part.span_us.end);
        let began = after(self.header.started_at, part.from_us);
        let moves = replayed(&case, &part.history, began, starts, STARTS, SEED);
        // What lies ahead of now is not yet known.
        let known = |timed: &TimedMove| timed.at < self.now;
        let moves = moves.map_err(refused)?;
        self.replays.moves.extend(moves.into_iter().filter(known));
        Ok(())
    }

    fn case(&self, part: &TracePart) -> Case<'_> {
        let guest = &self.header.guest;
        let blocks = &self.header.blocks;
        let recorded = || blocks.iter().map(|block| block.pages.bytes()).sum();
        Case {
            memory: guest.migrated_bytes().unwrap_or_else(recorded),
            zero: zero_share(part.history.pages()),
            dirty_rate: None,
            observation: None,
            link: self.settings.link.clone(),
            limits: self.settings.limits,
            assumptions: *self.assumptions,
            technique: Technique::PreCopy,
            workload: None,
            guest: guest.name.as_deref().or(guest.uuid.as_deref()),
            route: None,
            at: None,
        }
    }
}

fn after(began: Timestamp, us: u64) -> Timestamp {
    let us = SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX));
    began.checked_add(us).unwrap_or(Timestamp::MAX)
}

fn refused(error: CannotForecast) -> Error {
    match error {
        CannotForecast::Model(error) => error.into(),
        other => Error::Usage(other.to_string()),
    }
}

/// When a trace was recorded, by both clocks of its host.
struct Span {
    file: String,
    host: Option<String>,
    started_at: Timestamp,
    ended_at: Timestamp,
    /// By the monotonic clock, microseconds.
    started_us: u64,
    ended_us: u64,
}

impl Span {
    fn of(file: String, header: &TraceHeader, length: Duration) -> Self {
        let length_us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let started_us = header.started_monotonic_ns / 1000;
        Self {
            file,
            host: header.host.hostname.clone(),
            started_at: header.started_at,
            ended_at: after(header.started_at, length_us),
            started_us,
            ended_us: started_us.saturating_add(length_us),
        }
    }

    /// Whether it is the same recording.
    fn is_of(&self, header: &TraceHeader) -> bool {
        self.host == header.host.hostname
            && self.started_at == header.started_at
            && self.started_us == header.started_monotonic_ns / 1000
    }

    /// Whether two recordings of one host overlap by the wall clock alone. A
    /// host that was started anew has a later wall clock, so it is no excuse.
    fn contradicts(&self, other: &Self) -> bool {
        let apart = |a: (u64, u64), b: (u64, u64)| a.1 <= b.0 || b.1 <= a.0;
        let by_wall = self.started_at < other.ended_at && other.started_at < self.ended_at;
        self.host.is_some()
            && self.host == other.host
            && by_wall
            && apart(
                (self.started_us, self.ended_us),
                (other.started_us, other.ended_us),
            )
    }
}
