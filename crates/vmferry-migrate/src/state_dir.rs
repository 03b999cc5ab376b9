//! Where a move keeps its journal while it runs:
//! `$VMFERRY_STATE`, else `$XDG_STATE_HOME/vmferry`, else `~/.local/state/vmferry`.
//!
//! ```text
//! moves/<move id>/
//!   lock            held (flock) by the guard as long as it lives
//!   owner.lock      the same by vmferry; whoever recovers the move holds both
//!   journal.jsonl   what was changed on the hosts, and how to undo it
//!   record.json     the record with its frozen forecast, and the baseline of the meters
//!   events.jsonl    the event stream, for `vmferry watch`
//!   guard.log       what the guard has to say
//! guests/<hash>.lock  held while a move of that guest is under way
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use uuid::Uuid;

use crate::error::MigrateError;

/// Held by a move's guard.
const GUARD_LOCK: &str = "lock";
/// Held by the vmferry that makes a move.
const OWNER_LOCK: &str = "owner.lock";

/// The directory of vmferry's running state.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The directory that the environment names.
    ///
    /// # Errors
    /// When neither `VMFERRY_STATE`, `XDG_STATE_HOME` nor `HOME` is set.
    pub fn from_env() -> Result<Self, MigrateError> {
        let var = |name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let root = var("VMFERRY_STATE")
            .or_else(|| var("XDG_STATE_HOME").map(|d| d.join("vmferry")))
            .or_else(|| var("HOME").map(|d| d.join(".local/state/vmferry")))
            .ok_or(MigrateError::NoStateDir)?;
        // A guard runs in another directory.
        let root = std::path::absolute(&root)
            .map_err(|source| MigrateError::State { path: root, source })?;
        Ok(Self { root })
    }

    /// A state directory at a path of one's own.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directory of a new move, and takes the lock that vmferry
    /// holds as long as it makes the move.
    ///
    /// # Errors
    /// When it cannot be written: no move starts without its undo journal.
    pub fn create_move(&self, move_id: Uuid) -> Result<(MoveDir, Lock), MigrateError> {
        let moves = self.root.join("moves");
        let path = moves.join(move_id.to_string());
        // Under another name until it is locked: a recovery would take it for
        // abandoned.
        let partial = moves.join(format!("{move_id}.new"));
        let make = || -> io::Result<Lock> {
            private_dir(&partial)?;
            let lock = Lock::try_take(&partial.join(OWNER_LOCK))?;
            let lock = lock.ok_or(io::ErrorKind::WouldBlock)?;
            fs::rename(&partial, &path)?;
            Ok(lock)
        };
        match make() {
            Ok(lock) => Ok((MoveDir { move_id, path }, lock)),
            Err(source) => {
                // Whatever is there is empty.
                let _ = fs::remove_dir_all(&partial);
                Err(MigrateError::State { path, source })
            }
        }
    }

    /// The directory of a move that exists already.
    pub fn open_move(&self, move_id: Uuid) -> MoveDir {
        MoveDir {
            move_id,
            path: self.root.join("moves").join(move_id.to_string()),
        }
    }

    /// Every move with a directory left, oldest first.
    ///
    /// # Errors
    /// When the directory exists but cannot be read.
    pub fn moves(&self) -> Result<Vec<MoveDir>, MigrateError> {
        let path = self.root.join("moves");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(MigrateError::State { path, source }),
        };
        let mut moves: Vec<_> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let move_id = entry.file_name().to_str()?.parse().ok()?;
                Some(MoveDir {
                    move_id,
                    path: entry.path(),
                })
            })
            .collect();
        moves.sort_by_key(|m| m.move_id);
        Ok(moves)
    }

    /// Takes the lock of a guest, so that no second vmferry moves it.
    ///
    /// # Errors
    /// [`MigrateError::Busy`] when another vmferry holds it.
    pub fn lock_guest(&self, guest: &str) -> Result<GuestLock, MigrateError> {
        let dir = self.root.join("guests");
        let hash = xxhash_rust::xxh3::xxh3_128(guest.as_bytes());
        let path = dir.join(format!("{hash:032x}.lock"));
        private_dir(&dir).map_err(|source| MigrateError::State {
            path: dir.clone(),
            source,
        })?;
        match GuestLock::try_take(&path).map_err(|source| MigrateError::State { path, source })? {
            Some(lock) => Ok(lock),
            None => Err(MigrateError::Busy {
                guest: guest.to_owned(),
            }),
        }
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// The directory of one move.
#[derive(Clone, Debug)]
pub struct MoveDir {
    move_id: Uuid,
    path: PathBuf,
}

impl MoveDir {
    /// The move's identifier.
    pub fn move_id(&self) -> Uuid {
        self.move_id
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The undo journal.
    pub fn journal_path(&self) -> PathBuf {
        self.file("journal.jsonl")
    }

    /// The event stream.
    pub fn events_path(&self) -> PathBuf {
        self.file("events.jsonl")
    }

    /// Takes the lock of the move's guard; `None` when it has one.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn try_guard(&self) -> Result<Option<Lock>, MigrateError> {
        self.try_take(GUARD_LOCK)
    }

    /// Takes both locks of the move, to bring it to its end; `None` when its
    /// guard or its vmferry lives.
    ///
    /// # Errors
    /// When a lock file cannot be opened.
    pub fn try_recover(&self) -> Result<Option<[Lock; 2]>, MigrateError> {
        let Some(owner) = self.try_take(OWNER_LOCK)? else {
            return Ok(None);
        };
        Ok(self.try_guard()?.map(|guard| [owner, guard]))
    }

    /// Whether the move's guard or its vmferry lives, or somebody recovers it.
    pub fn is_supervised(&self) -> bool {
        matches!(self.try_recover(), Ok(None))
    }

    fn try_take(&self, name: &str) -> Result<Option<Lock>, MigrateError> {
        let path = self.file(name);
        Lock::try_take(&path).map_err(|source| MigrateError::State { path, source })
    }

    /// Removes the directory once nothing is left to undo.
    ///
    /// # Errors
    /// When files cannot be removed.
    pub fn remove(self) -> Result<(), MigrateError> {
        fs::remove_dir_all(&self.path).map_err(|source| MigrateError::State {
            path: self.path,
            source,
        })
    }

    /// Writes a JSON file of the move at once and for good.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json<T: serde::Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), MigrateError> {
        let path = self.file(name);
        let partial = self.file(&format!("{name}.partial"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&partial)?;
            serde_json::to_writer(&mut file, value)?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(|source| MigrateError::State {
            path: path.clone(),
            source,
        })
    }

    /// Reads a JSON file of the move.
    ///
    /// # Errors
    /// When it is missing or no such document.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, MigrateError> {
        let path = self.file(name);
        let read = || -> io::Result<T> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
        read().map_err(|source| MigrateError::State {
            path: path.clone(),
            source,
        })
    }
}

/// An exclusive lock on a file, released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    held: Flock<File>,
}

impl Lock {
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { held })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }
}

/// The lock of a guest; its file is removed when it is released.
#[derive(Debug)]
pub struct GuestLock {
    path: PathBuf,
    _lock: Lock,
}

impl GuestLock {
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let Some(lock) = Lock::try_take(path)? else {
                return Ok(None);
            };
            // Its last holder may have removed the file before we locked it:
            // then others lock the new file, and ours protects nothing.
            let locked = lock.held.metadata()?;
            match fs::metadata(path) {
                Ok(there) if there.ino() == locked.ino() => {
                    return Ok(Some(Self {
                        path: path.to_owned(),
                        _lock: lock,
                    }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for GuestLock {
    fn drop(&mut self) {
        // Still locked: whoever opened it meanwhile looks again. A file that
        // cannot be removed is a lock that nobody holds.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let held = state.lock_guest("qmp:/run/a.qmp").unwrap();
        assert!(matches!(
            state.lock_guest("qmp:/run/a.qmp"),
            Err(MigrateError::Busy { .. })
        ));
        assert!(state.lock_guest("qmp:/run/b.qmp").is_ok());
        drop(held);
        assert!(state.lock_guest("qmp:/run/a.qmp").is_ok());
        let left = fs::read_dir(dir.path().join("guests")).unwrap().count();
        assert_eq!(left, 0, "released locks leave no files");
    }

    #[test]
    fn a_guest_has_one_holder_however_many_want_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let holders = std::sync::atomic::AtomicU32::new(0);
        let taken = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Ok(_lock) = state.lock_guest("qmp:/run/a.qmp") else {
                            continue;
                        };
                        let order = std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(holders.fetch_add(1, order), 0);
                        taken.fetch_add(1, order);
                        holders.fetch_sub(1, order);
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }

    #[test]
    fn moves_are_listed_until_removed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        assert!(state.moves().unwrap().is_empty());
        let (first, _owner) = state.create_move(Uuid::now_v7()).unwrap();
        first.write_json("record.json", &42).unwrap();
        assert_eq!(first.read_json::<u32>("record.json").unwrap(), 42);
        assert_eq!(state.moves().unwrap().len(), 1);
        first.remove().unwrap();
        assert!(state.moves().unwrap().is_empty());
    }

    #[test]
    fn guests_with_similar_or_long_paths_are_different_guests() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let long = format!("qmp:/{}", "d/".repeat(2000));
        let guests = ["qmp:/run/a.b", "qmp:/run/a_b", &long];
        let _held = guests.map(|guest| state.lock_guest(guest).unwrap());
    }

    #[test]
    fn a_move_is_supervised_as_long_as_either_lives() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let (made, owner) = state.create_move(Uuid::now_v7()).unwrap();
        let guard = made.try_guard().unwrap().unwrap();
        assert!(made.try_guard().unwrap().is_none());
        assert!(made.is_supervised());
        drop(guard);
        assert!(made.is_supervised(), "vmferry lives");
        let guard = made.try_guard().unwrap();
        drop(owner);
        assert!(made.is_supervised(), "the guard lives");
        drop(guard);
        let recovering = made.try_recover().unwrap().unwrap();
        assert!(made.is_supervised(), "somebody recovers it");
        drop(recovering);
        assert!(!made.is_supervised());
    }
}
