//! Benchmarks on disk, so that one that was interrupted can go on and one that ended be compared.
//!
//! ```text
//! ~/.local/share/vmferry/bench/ID/   (VMFERRY_BENCH)
//!   benchmark.json   plan, machine, subjects, images: written before the first run
//!   runs.jsonl       a line for every run, on disk when the run has ended
//!   lock             held (flock) by whoever runs it
//!   reserve          room for a last run when the disk is full
//! ```

mod entry;
mod kept;
mod log;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::BenchError;
use crate::record::BenchRecord;

pub use entry::{BenchEntry, BenchState};
pub use kept::OpenBench;

/// The directory of all benchmarks.
#[derive(Clone, Debug)]
pub struct BenchStore {
    root: PathBuf,
}

impl BenchStore {
    /// `VMFERRY_BENCH`, else `$XDG_DATA_HOME/vmferry/bench`, else `~/.local/share/vmferry/bench`.
    /// Nothing is created.
    ///
    /// # Errors
    /// [`BenchError::NoPlace`] where neither of the variables nor `HOME` is set.
    pub fn usual() -> Result<Self, BenchError> {
        root(|name| env::var_os(name))
            .map(Self::at)
            .ok_or(BenchError::NoPlace)
    }

    /// In this directory; nothing is created.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a benchmark is.
    pub fn path(&self, id: Uuid) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Keeps a benchmark that begins: its plan and all that is known before its first run.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn begin(&self, record: BenchRecord) -> Result<OpenBench, BenchError> {
        OpenBench::begin(&self.root, record)
    }

    /// Takes a benchmark to go on with it.
    ///
    /// # Errors
    /// When there is none of that name, it is under way elsewhere, is damaged, or its disk is full.
    pub fn open(&self, id: Uuid) -> Result<OpenBench, BenchError> {
        OpenBench::open(&self.path(id), id)
    }

    /// What a benchmark measured so far, also while it is under way.
    ///
    /// # Errors
    /// When there is none of that name, or it is damaged.
    pub fn read(&self, id: Uuid) -> Result<BenchRecord, BenchError> {
        let path = self.path(id);
        let mut record = log::header(&path)?;
        log::read(&path)?.fill(&mut record);
        Ok(record)
    }

    /// The benchmark whose identifier begins so.
    ///
    /// # Errors
    /// [`BenchError::NotFound`] when there is none, or several.
    pub fn find(&self, beginning: &str) -> Result<Uuid, BenchError> {
        let found: Vec<Uuid> = self
            .ids()?
            .into_iter()
            .filter(|id| id.to_string().starts_with(&beginning.to_lowercase()))
            .collect();
        match found[..] {
            [one] => Ok(one),
            [] => Err(BenchError::NotFound(format!(
                "no benchmark `{beginning}` in {}; `vmferry bench list` names those there are",
                self.root.display()
            ))),
            _ => Err(BenchError::NotFound(format!(
                "`{beginning}` begins {} benchmarks; give more of the identifier",
                found.len()
            ))),
        }
    }

    /// The latest benchmark that was interrupted.
    ///
    /// # Errors
    /// [`BenchError::NotFound`] when there is none.
    pub fn interrupted(&self) -> Result<Uuid, BenchError> {
        let (entries, _) = self.list()?;
        let last = entries
            .iter()
            .find(|entry| entry.state == BenchState::Interrupted);
        last.map(|entry| entry.id).ok_or_else(|| {
            BenchError::NotFound(format!(
                "no interrupted benchmark in {}; `vmferry bench list` names those there are",
                self.root.display()
            ))
        })
    }

    /// The benchmarks, latest first, and what is wrong with those that cannot be read.
    ///
    /// # Errors
    /// When the directory cannot be read. One that is not there holds none.
    pub fn list(&self) -> Result<(Vec<BenchEntry>, Vec<String>), BenchError> {
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            match entry::read(&self.path(id)) {
                Ok(entry) => entries.push(entry),
                Err(error) => problems.push(error.to_string()),
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.started_at, entry.id)));
        Ok((entries, problems))
    }

    fn ids(&self) -> Result<Vec<Uuid>, BenchError> {
        let fail = |source| io_error(&self.root, source);
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name();
            // Anything else is not ours, or was never begun.
            ids.extend(name.to_str().and_then(|name| Uuid::parse_str(name).ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

fn root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = set("VMFERRY_BENCH") {
        let path = PathBuf::from(path);
        return Some(std::path::absolute(&path).unwrap_or(path));
    }
    // The XDG specification has relative paths ignored.
    set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map(|data| data.join("vmferry/bench"))
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> BenchError {
    BenchError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes the names in a directory last.
fn sync_directory(path: &Path) -> Result<(), BenchError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io_error(path, source))
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::plan::BenchPlan;
    use crate::record::{MachineRecord, RunKey, RunRecord};
    use vmferry_core::Bytes;

    /// A benchmark of which nothing was run.
    pub(crate) fn begun(plan: BenchPlan) -> BenchRecord {
        BenchRecord {
            schema_version: 1,
            tool_version: "0.1.0".into(),
            id: Uuid::now_v7(),
            started_at: jiff::Timestamp::now(),
            ended_at: None,
            plan,
            machine: MachineRecord {
                cpu: "a processor".into(),
                cpus: 2,
                memory_bytes: Bytes::from_mib(8192),
                kernel: "6.1".into(),
                accelerator: "tcg".into(),
                note: "made up".into(),
            },
            subjects: Vec::new(),
            images: Vec::new(),
            heavy: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// A run that measured nothing.
    pub(crate) fn run(key: &RunKey, failure: Option<&str>) -> RunRecord {
        RunRecord {
            key: key.clone(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            background_guests: 0,
            reference: None,
            reference_of: None,
            migrated: None,
            points: Vec::new(),
            failure: failure.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::BenchPlan;

    #[test]
    fn the_nearest_setting_wins() {
        let at = |set: &[(&str, &str)]| {
            root(|name| {
                let found = set.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| value.into())
            })
            .map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/a");
        let expect = |set: &[_], want: Option<&str>| assert_eq!(at(set).as_deref(), want);
        expect(&[home], Some("/home/a/.local/share/vmferry/bench"));
        expect(
            &[home, ("XDG_DATA_HOME", "/data")],
            Some("/data/vmferry/bench"),
        );
        expect(&[home, ("VMFERRY_BENCH", "/b")], Some("/b"));
        expect(&[("VMFERRY_BENCH", "")], None);
    }

    #[test]
    fn benchmarks_are_found_by_their_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let store = BenchStore::at(dir.path().join("bench"));
        assert_eq!(store.list().unwrap().0, []);
        assert!(store.interrupted().is_err());
        let begin = || {
            let record = sample::begun(BenchPlan::quick());
            let id = record.id;
            drop(store.begin(record).unwrap());
            id
        };
        let (first, last) = (begin(), begin());
        // Not ours, and one that is damaged.
        fs::write(dir.path().join("bench/notes.txt"), "").unwrap();
        let damaged = Uuid::now_v7();
        fs::create_dir(store.path(damaged)).unwrap();

        let (entries, problems) = store.list().unwrap();
        let ids: Vec<Uuid> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [last, first]);
        assert!(problems[0].contains(&damaged.to_string()), "{problems:?}");
        assert_eq!(store.interrupted().unwrap(), last);
        assert_eq!(store.find(&first.to_string()).unwrap(), first);
        let several = store.find("0").unwrap_err().to_string();
        assert!(several.contains("begins 3 benchmarks"), "{several}");
        assert!(store.find("zz").is_err());
        assert!(store.open(Uuid::nil()).is_err());
    }
}
