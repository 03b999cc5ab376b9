//! What guests say on their serial consoles.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vmferry_core::Ratio;
use vmferry_load::report::{Message, Progress};

use crate::host::Side;

/// How often a console is looked at: the precision of the times of reports.
const POLL: Duration = Duration::from_millis(5);

/// Reads a console's file as it grows.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    offset: u64,
    /// The line that is still being written.
    partial: Vec<u8>,
}

impl Console {
    /// A console, from its first line on. The file need not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
            partial: Vec::new(),
        }
    }

    /// What the guest's program has said since the last call. Lines of the kernel, and lines cut
    /// off by a move, are skipped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_new(&mut self) -> io::Result<Vec<Message>> {
        Ok(self
            .new_lines()?
            .iter()
            .filter_map(|line| Message::find(line).ok().flatten())
            .collect())
    }

    fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        if file.metadata()?.len() < self.offset {
            // QEMU was started again, with a file of its own.
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.partial)?;
        self.offset += read as u64;
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(lines)
    }
}

/// The last lines of a text file, empty where there is none; for messages and diagnosis.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A guest's last progress report on a console; `None` where there is none.
pub(crate) fn last_progress(path: &Path) -> Option<Progress> {
    // Reports are shorter than 200 bytes and end every few lines.
    const ENOUGH: u64 = 16 << 10;
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(ENOUGH)))
        .ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    String::from_utf8_lossy(&text)
        .lines()
        .rev()
        .find_map(|line| match Message::find(line) {
            Ok(Some(Message::Progress(progress))) => Some(progress),
            _ => None,
        })
}

/// A guest reports every 100 ms; one that does not within this time is gone.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);

/// A progress report, with the time it arrived and the host it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedReport {
    /// When it arrived, by this machine's clock, to about 5 ms.
    pub at: Instant,
    /// The host whose console it came from.
    pub side: Side,
    /// What the guest reports.
    pub progress: Progress,
}

/// Follows a guest's console at the source and then at the destination, from now on.
#[derive(Debug)]
pub struct ConsoleWatch {
    reports: Arc<Mutex<Vec<TimedReport>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ConsoleWatch {
    /// Begins to follow; what was said before is left out.
    #[must_use]
    pub fn start(source: &Path, destination: &Path) -> Self {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut consoles = [
            (Side::Source, Console::at(source)),
            (Side::Destination, Console::at(destination)),
        ];
        for (_, console) in &mut consoles {
            // Skips what is old. An unreadable file is tried again below.
            let _ = console.new_lines();
        }
        let (to, stopped) = (Arc::clone(&reports), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (side, console) in &mut consoles {
                    let messages = console.read_new().unwrap_or_default();
                    let at = Instant::now();
                    lock(&to).extend(messages.into_iter().filter_map(|message| match message {
                        Message::Progress(progress) => Some(TimedReport {
                            at,
                            side: *side,
                            progress,
                        }),
                        _ => None,
                    }));
                }
                thread::sleep(POLL);
            }
        });
        Self {
            reports,
            stop,
            thread: Some(thread),
        }
    }

    /// All reports so far, in the order of arrival.
    #[must_use]
    pub fn reports(&self) -> Vec<TimedReport> {
        lock(&self.reports).clone()
    }

    /// Work done between two moments, one number a part of the load; `None` where the reports do
    /// not reach over the whole span.
    #[must_use]
    pub fn work_between(&self, from: Instant, to: Instant) -> Option<Vec<f64>> {
        work_between(&lock(&self.reports), from, to)
    }

    /// The longest time without a report between two moments. Reports come every 100 ms, so that
    /// is what an undisturbed guest shows.
    #[must_use]
    pub fn longest_silence(&self, from: Instant, to: Instant) -> Option<Duration> {
        longest_silence(&lock(&self.reports), from, to)
    }

    /// Share of the guest's work lost in the second span, measured by the first: 0 is none, 1 all.
    /// `None` where the reports do not reach, or no work was done in the first.
    #[must_use]
    pub fn slowdown(
        &self,
        before: (Instant, Instant),
        during: (Instant, Instant),
    ) -> Option<Ratio> {
        slowdown(&lock(&self.reports), before, during)
    }

    /// The same at the end of the second span: waits for the report after it, up to 5 s.
    pub async fn slowdown_reported(
        &self,
        before: (Instant, Instant),
        during: (Instant, Instant),
    ) -> Option<Ratio> {
        let deadline = Instant::now() + REPORT_PATIENCE;
        loop {
            let slowdown = self.slowdown(before, during);
            if slowdown.is_some() || Instant::now() > deadline {
                return slowdown;
            }
            // The console is a file: nothing tells that it has grown.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for ConsoleWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work_between(reports: &[TimedReport], from: Instant, to: Instant) -> Option<Vec<f64>> {
    let (begin, end) = (work_at(reports, from)?, work_at(reports, to)?);
    Some(
        begin
            .iter()
            .zip(end)
            .map(|(begin, end)| end - begin)
            .collect(),
    )
}

/// The counters at a moment, on a straight line between the two reports around it.
fn work_at(reports: &[TimedReport], at: Instant) -> Option<Vec<f64>> {
    let after = reports.iter().position(|report| report.at >= at)?;
    let next = &reports[after];
    if next.at == at {
        return Some(next.progress.work.iter().map(|work| *work as f64).collect());
    }
    let previous = &reports[after.checked_sub(1)?];
    let share = (at - previous.at).as_secs_f64() / (next.at - previous.at).as_secs_f64();
    let pairs = previous.progress.work.iter().zip(&next.progress.work);
    Some(
        pairs
            .map(|(a, b)| *a as f64 + (*b as f64 - *a as f64) * share)
            .collect(),
    )
}

fn longest_silence(reports: &[TimedReport], from: Instant, to: Instant) -> Option<Duration> {
    let times: Vec<Instant> = reports
        .iter()
        .map(|report| report.at)
        .filter(|at| (from..=to).contains(at))
        .collect();
    let inner = times.windows(2).map(|pair| pair[1] - pair[0]).max()?;
    Some(inner.max(times[0] - from).max(to - times[times.len() - 1]))
}

fn slowdown(
    reports: &[TimedReport],
    before: (Instant, Instant),
    during: (Instant, Instant),
) -> Option<Ratio> {
    let rates = |(from, to): (Instant, Instant)| {
        let seconds = (to - from).as_secs_f64();
        let work = work_between(reports, from, to)?;
        Some(
            work.into_iter()
                .map(|work| work / seconds)
                .collect::<Vec<f64>>(),
        )
    };
    // Every part counts alike, whatever its unit; parts that do nothing do not count.
    let lost: Vec<f64> = rates(before)?
        .into_iter()
        .zip(rates(during)?)
        .filter(|(before, _)| *before > 0.0)
        .map(|(before, during)| 1.0 - during / before)
        .collect();
    (!lost.is_empty()).then(|| Ratio(lost.iter().sum::<f64>() / lost.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn progress(work: u64) -> Progress {
        Progress {
            time: Duration::from_millis(work),
            work: vec![work],
            bytes: work * 4096,
            pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            rate: 0,
            aim: None,
        }
    }

    #[test]
    fn lines_are_read_once_and_only_when_whole() {
        let mut file = tempfile::NamedTempFile::new().expect("scratch");
        let mut console = Console::at(file.path());
        let line = progress(7).to_string();
        write!(file, "[ 0.1] kernel\r\n{line}\r\n{}", &line[..20]).expect("write");
        assert_eq!(
            console.read_new().expect("read"),
            [Message::Progress(progress(7))]
        );
        writeln!(file, "{}", &line[20..]).expect("write");
        assert_eq!(
            console.read_new().expect("read"),
            [Message::Progress(progress(7))]
        );
        assert_eq!(console.read_new().expect("read"), []);
        assert_eq!(last_progress(file.path()), Some(progress(7)));
        assert_eq!(tail(file.path(), 1), line);
    }

    #[test]
    fn a_console_that_was_made_anew_is_read_from_its_begin() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("console");
        let lines = format!("{}\n{}\nhalf a li", progress(7), progress(8));
        fs::write(&path, lines).expect("write");
        let mut console = Console::at(&path);
        assert_eq!(console.read_new().expect("read").len(), 2);
        fs::remove_file(&path).expect("removed");
        assert_eq!(console.read_new().expect("read"), []);
        fs::write(&path, "").expect("made");
        assert_eq!(console.read_new().expect("read"), []);
        fs::write(&path, format!("{}\n", progress(9))).expect("write");
        let message = Message::Progress(progress(9));
        assert_eq!(console.read_new().expect("read"), [message]);
    }

    #[test]
    fn a_console_that_does_not_exist_yet_says_nothing() {
        assert_eq!(
            Console::at(Path::new("/no/such")).read_new().expect("read"),
            []
        );
        assert_eq!(tail(Path::new("/no/such"), 3), "");
    }

    #[test]
    fn work_and_slowdown_across_a_pause() {
        let zero = Instant::now();
        let ms = |n: u64| zero + Duration::from_millis(n);
        // 1 unit a millisecond, a stop from 200 to 500, then half the speed.
        let reports: Vec<TimedReport> = [
            (0, 0),
            (100, 100),
            (200, 200),
            (500, 200),
            (600, 250),
            (700, 300),
        ]
        .map(|(at, work)| TimedReport {
            at: ms(at),
            side: if at < 300 {
                Side::Source
            } else {
                Side::Destination
            },
            progress: progress(work),
        })
        .into();
        assert_eq!(work_between(&reports, ms(50), ms(150)), Some(vec![100.0]));
        assert_eq!(work_between(&reports, ms(200), ms(700)), Some(vec![100.0]));
        assert_eq!(
            work_between(&reports, ms(200), ms(800)),
            None,
            "beyond the last report"
        );
        assert_eq!(
            longest_silence(&reports, ms(0), ms(700)),
            Some(Duration::from_millis(300))
        );
        let lost = slowdown(&reports, (ms(0), ms(200)), (ms(200), ms(700))).expect("a slowdown");
        assert!((lost.0 - 0.8).abs() < 1e-9, "{lost:?}");
    }
}
