//! A benchmark that is being made.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use uuid::Uuid;

use super::log::{self, Line};
use super::{io_error, sync_directory};
use crate::error::BenchError;
use crate::record::{BenchRecord, HeavyLoad, RunRecord};

/// Room for one more run: three points with every probe are about 3 MB.
const RESERVE_BYTES: usize = 16 << 20;

/// A benchmark that nobody else works on.
#[derive(Debug)]
pub struct OpenBench {
    path: PathBuf,
    runs: File,
    /// Length of the runs on disk.
    length: u64,
    record: BenchRecord,
    _lock: File,
}

impl OpenBench {
    pub(super) fn begin(root: &Path, record: BenchRecord) -> Result<Self, BenchError> {
        fs::create_dir_all(root).map_err(|source| io_error(root, source))?;
        // It gets its name when it is whole; what begins with a dot is not listed.
        let unborn = root.join(format!(".{}", record.id));
        let path = root.join(record.id.to_string());
        let made = Self::make(&unborn, &record).and_then(|(lock, runs)| {
            fs::rename(&unborn, &path).map_err(|source| io_error(&path, source))?;
            sync_directory(root)?;
            Ok((lock, runs))
        });
        match made {
            Ok((lock, runs)) => Ok(Self {
                path,
                runs,
                length: 0,
                record,
                _lock: lock,
            }),
            Err(error) => {
                // The first error tells more than that of tidying up.
                let _ = fs::remove_dir_all(&unborn);
                Err(error)
            }
        }
    }

    /// Makes the files of a benchmark: its lock and its runs.
    fn make(path: &Path, record: &BenchRecord) -> Result<(File, File), BenchError> {
        fs::create_dir(path).map_err(|source| io_error(path, source))?;
        let lock = lock(path, record.id)?;
        let header = log::header_path(path);
        let text = serde_json::to_vec_pretty(record).map_err(|error| BenchError::Unkeepable {
            run: "the plan".into(),
            problem: error.to_string(),
        })?;
        File::create(&header)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .map_err(|source| io_error(&header, source))?;
        reserve(path, record.id)?;
        let runs = runs(path)?;
        sync_directory(path)?;
        Ok((lock, runs))
    }

    pub(super) fn open(path: &Path, id: Uuid) -> Result<Self, BenchError> {
        let mut record = log::header(path)?;
        let lock = lock(path, id)?;
        let lines = log::read(path)?;
        let length = lines.length;
        lines.fill(&mut record);
        reserve(path, id)?;
        let runs = runs(path)?;
        runs.set_len(length)
            .map_err(|source| io_error(&log::runs_path(path), source))?;
        Ok(Self {
            path: path.to_owned(),
            runs,
            length,
            record,
            _lock: lock,
        })
    }

    /// What was measured so far.
    pub fn record(&self) -> &BenchRecord {
        &self.record
    }

    /// The same, when nothing more is to be added.
    pub fn into_record(self) -> BenchRecord {
        self.record
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds what heavy load means for a workload, on disk when this returns.
    ///
    /// # Errors
    /// As [`OpenBench::add_run`].
    pub fn add_heavy(&mut self, heavy: HeavyLoad) -> Result<(), BenchError> {
        self.add(Line::Heavy(heavy))
    }

    /// Adds a run, on disk when this returns. One of the same key is replaced.
    ///
    /// # Errors
    /// When it cannot be written. With [`BenchError::DiskFull`] it was, into the room kept for
    /// that, and is the last for which there is room.
    pub fn add_run(&mut self, run: RunRecord) -> Result<(), BenchError> {
        self.add(Line::Run(Box::new(run)))
    }

    /// Says that all runs have been made.
    ///
    /// # Errors
    /// As [`OpenBench::add_run`].
    pub fn end(&mut self, at: Timestamp) -> Result<(), BenchError> {
        self.add(Line::Ended { at })?;
        let reserve = reserve_path(&self.path);
        fs::remove_file(&reserve).map_err(|source| io_error(&reserve, source))
    }

    fn add(&mut self, line: Line) -> Result<(), BenchError> {
        let text = text(&line)?;
        let written = self.append(&text);
        let full = match written {
            Ok(()) => false,
            Err(error) if is_full(&error) && fs::remove_file(reserve_path(&self.path)).is_ok() => {
                self.append(&text).map_err(|source| self.fail(source))?;
                true
            }
            Err(error) => return Err(self.fail(error)),
        };
        self.length += text.len() as u64;
        log::add(&mut self.record, line);
        if full {
            return Err(BenchError::DiskFull {
                path: self.path.clone(),
                id: self.record.id,
            });
        }
        Ok(())
    }

    /// Writes a line, or nothing.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = self
            .runs
            .write_all(text)
            .and_then(|()| self.runs.sync_data());
        if written.is_err() {
            // A part of a line must not stay before the next one.
            self.runs.set_len(self.length)?;
        }
        written
    }

    fn fail(&self, source: io::Error) -> BenchError {
        io_error(&log::runs_path(&self.path), source)
    }
}

/// A line as it is written. JSON has no numbers that are none: they would not be read again.
fn text(line: &Line) -> Result<Vec<u8>, BenchError> {
    let checked = serde_json::to_vec(line).and_then(|text| {
        serde_json::from_slice::<Line>(&text)?;
        Ok(text)
    });
    let mut text = checked.map_err(|error| BenchError::Unkeepable {
        run: match line {
            Line::Run(run) => format!(
                "{} of {} under {} load, repeat {}",
                run.key.subject, run.key.workload, run.key.load, run.key.repeat
            ),
            Line::Heavy(heavy) => format!("the search for heavy load of {}", heavy.workload),
            Line::Ended { .. } => "the end".into(),
        },
        problem: error.to_string(),
    })?;
    text.push(b'\n');
    Ok(text)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn reserve_path(directory: &Path) -> PathBuf {
    directory.join("reserve")
}

/// Takes the room for a last run, so that it is not lost when the disk gets full.
fn reserve(directory: &Path, id: Uuid) -> Result<(), BenchError> {
    let path = reserve_path(directory);
    let there = fs::metadata(&path).map_or(0, |found| found.len());
    if there == RESERVE_BYTES as u64 {
        return Ok(());
    }
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0xa5; RESERVE_BYTES])?;
        file.sync_all()
    });
    written.map_err(|source| {
        // Half of it would take the room that others need.
        let _ = fs::remove_file(&path);
        if is_full(&source) {
            BenchError::DiskFull {
                path: directory.to_owned(),
                id,
            }
        } else {
            io_error(&path, source)
        }
    })
}

fn runs(directory: &Path) -> Result<File, BenchError> {
    let path = log::runs_path(directory);
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|source| io_error(&path, source))
}

pub(super) fn lock_file(directory: &Path) -> Result<File, BenchError> {
    let path = directory.join("lock");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|source| io_error(&path, source))
}

fn lock(directory: &Path, id: Uuid) -> Result<File, BenchError> {
    let file = lock_file(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BenchError::UnderWay { id }),
        Err(TryLockError::Error(source)) => Err(io_error(&directory.join("lock"), source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::BenchPlan;
    use crate::record::ServiceRun;
    use crate::store::{BenchState, BenchStore, sample};

    #[test]
    fn goes_on_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let store = BenchStore::at(dir.path().to_owned());
        let begun = sample::begun(BenchPlan::quick());
        let (id, keys) = (begun.id, begun.plan.runs());
        let mut bench = store.begin(begun.clone()).unwrap();
        bench.add_run(sample::run(&keys[0], None)).unwrap();
        // Nobody else works on it meanwhile, but all may read.
        assert!(matches!(store.open(id), Err(BenchError::UnderWay { .. })));
        assert_eq!(store.list().unwrap().0[0].state, BenchState::UnderWay);
        assert_eq!(store.read(id).unwrap(), *bench.record());
        drop(bench);

        // Killed while it wrote the second.
        let path = log::runs_path(&store.path(id));
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"run\",\"key").unwrap();
        assert_eq!(store.read(id).unwrap().runs.len(), 1);
        let mut bench = store.open(id).unwrap();
        assert_eq!(bench.record().runs, [sample::run(&keys[0], None)]);
        bench.add_run(sample::run(&keys[1], Some("lost"))).unwrap();
        let entry = &store.list().unwrap().0[0];
        assert_eq!((entry.runs_done, entry.runs_failed), (2, 1));
        // The failed one is made again.
        bench.add_run(sample::run(&keys[1], None)).unwrap();
        bench.end(Timestamp::now()).unwrap();
        let record = bench.into_record();
        assert_eq!(store.read(id).unwrap(), record);
        let entry = &store.list().unwrap().0[0];
        assert_eq!(entry.state, BenchState::Ended);
        assert_eq!((entry.runs_done, entry.runs_failed), (2, 0));
        assert!(!reserve_path(&store.path(id)).exists());
    }

    #[test]
    fn what_cannot_be_read_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = BenchStore::at(dir.path().to_owned());
        let begun = sample::begun(BenchPlan::quick());
        let (id, keys) = (begun.id, begun.plan.runs());
        let mut bench = store.begin(begun).unwrap();
        let mut run = sample::run(&keys[0], None);
        run.migrated = Some(ServiceRun {
            unit: "requests".into(),
            client: "wrk".into(),
            seconds: f64::NAN,
            operations: 0,
            errors: 0,
            sectors: Vec::new(),
            series: Vec::new(),
        });
        let error = bench.add_run(run).unwrap_err().to_string();
        assert!(error.contains("default of web under light load"), "{error}");
        assert!(store.read(id).unwrap().runs.is_empty());
    }

    #[test]
    fn a_damaged_or_newer_benchmark_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = BenchStore::at(dir.path().to_owned());
        let begun = sample::begun(BenchPlan::quick());
        let id = begun.id;
        drop(store.begin(begun).unwrap());
        fs::write(log::runs_path(&store.path(id)), "hello\n").unwrap();
        let error = store.open(id).unwrap_err().to_string();
        assert!(error.contains("runs.jsonl: line 1 is no run"), "{error}");
        fs::write(
            log::header_path(&store.path(id)),
            r#"{"schema_version": 9}"#,
        )
        .unwrap();
        let error = store.open(id).unwrap_err().to_string();
        assert!(error.contains("too new: version 9"), "{error}");
    }

    /// A small disk of its own.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        /// `None` where this user cannot mount.
        fn new(size: &str) -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let mounted = std::process::Command::new("mount")
                .args(["-t", "tmpfs", "-o", size, "tmpfs"])
                .arg(dir.path())
                .output();
            mounted
                .is_ok_and(|made| made.status.success())
                .then_some(Self(dir))
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let unmount = std::process::Command::new("umount")
                .arg("-l")
                .arg(self.0.path())
                .status();
            assert!(unmount.is_ok_and(|status| status.success()));
        }
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn a_full_disk_is_said_and_loses_no_run() {
        let Some(disk) = SmallDisk::new("size=18m") else {
            eprintln!("skipped: only root can mount a small disk");
            return;
        };
        let store = BenchStore::at(disk.0.path().join("bench"));
        let mut begun = sample::begun(BenchPlan::quick());
        begun.plan.repeats = 100;
        let (id, keys) = (begun.id, begun.plan.runs());
        let mut bench = store.begin(begun).unwrap();
        let long = "x".repeat(300_000);
        let mut kept = 0;
        let error = loop {
            let added = bench.add_run(sample::run(&keys[kept], Some(&long)));
            kept += 1;
            if let Err(error) = added {
                break error;
            }
        };
        assert!(matches!(error, BenchError::DiskFull { .. }), "{error}");
        assert!(kept > 3, "{kept}");
        drop(bench);
        // The last one is there too.
        assert_eq!(store.read(id).unwrap().runs.len(), kept);
        // There is no room to go on, and what is there stays.
        assert!(matches!(store.open(id), Err(BenchError::DiskFull { .. })));
        assert!(store.begin(sample::begun(BenchPlan::quick())).is_err());
        assert_eq!(store.read(id).unwrap().runs.len(), kept);
        assert_eq!(store.list().unwrap().0.len(), 1);
    }
}
