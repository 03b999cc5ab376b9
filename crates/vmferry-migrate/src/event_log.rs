//! One event stream, many readers: whoever makes the move writes it to a file
//! of the move, `vmferry watch` reads it from there.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use vmferry_core::MoveEvent;

/// Where events go. Called from the driver, so it must not block for long.
pub type EventSink = Arc<dyn Fn(&MoveEvent) + Send + Sync>;

/// A sink that appends every event to a file, then hands it on. A file that
/// cannot be written never stops a move: the first failure is reported once
/// as a warning event.
pub fn tee(path: &Path, next: EventSink) -> EventSink {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let state = Mutex::new((file.ok(), false));
    let path = path.to_owned();
    Arc::new(move |event| {
        let warning = {
            let mut state = state
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let failed = match &mut state.0 {
                Some(file) => append(file, event).err(),
                None => Some(io::Error::other("it could not be opened")),
            };
            failed.filter(|_| !std::mem::replace(&mut state.1, true))
        };
        if let Some(error) = warning {
            next(&MoveEvent::Warning {
                message: format!(
                    "{}: {error}; the move goes on, but `vmferry watch` cannot follow it",
                    path.display()
                ),
            });
        }
        next(event);
    })
}

fn append(file: &mut File, event: &MoveEvent) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Follows the event file of a move from its beginning and calls `each` for
/// every event, until the move ended (`true`) or its directory vanished or
/// `abandoned` says that nobody writes any more (`false`).
///
/// # Errors
/// When the file cannot be read.
pub async fn follow(
    path: &Path,
    mut each: impl FnMut(MoveEvent),
    mut abandoned: impl FnMut() -> bool,
) -> io::Result<bool> {
    // Kept open: its last lines can be read after it was removed.
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut line = Vec::new();
    loop {
        let quiet_before = !path.exists() || abandoned();
        // A line that is not whole yet is kept until its rest comes.
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            if let Ok(event) = serde_json::from_slice::<MoveEvent>(&line) {
                let ended = matches!(event, MoveEvent::Ended { .. });
                each(event);
                if ended {
                    return Ok(true);
                }
            }
            line.clear();
        }
        if quiet_before {
            return Ok(false);
        }
        // Another process appends: there is nothing to wait on but the file.
        sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmferry_core::{MigrationStatus, Millis};

    #[tokio::test]
    async fn a_reader_sees_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let seen = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&seen);
        let sink = tee(&path, Arc::new(move |_| *counter.lock().unwrap() += 1));
        let event = MoveEvent::Phase {
            at_ms: Millis(1.0),
            status: MigrationStatus::Active,
        };
        sink(&event);
        sink(&event);
        let mut read = Vec::new();
        let ended = follow(&path, |e| read.push(e), || true).await.unwrap();
        assert!(!ended);
        assert_eq!(read, [event.clone(), event]);
        assert_eq!(*seen.lock().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_reader_sees_the_end_though_the_file_is_removed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let sink = tee(&path, Arc::new(|_| {}));
        let warning = |text: &str| MoveEvent::Warning {
            message: text.to_owned(),
        };
        sink(&warning("one"));
        let mut read = Vec::new();
        let mut looks = 0;
        let ended = follow(
            &path,
            |event| read.push(event),
            || {
                looks += 1;
                if looks == 2 {
                    // Between two looks of the reader.
                    sink(&warning("two"));
                    std::fs::remove_file(&path).unwrap();
                }
                false
            },
        );
        assert!(!ended.await.unwrap());
        assert_eq!(read, [warning("one"), warning("two")]);
    }

    #[test]
    fn a_full_disk_warns_once() {
        let warnings = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&warnings);
        let sink = tee(
            Path::new("/dev/full"),
            Arc::new(move |event| {
                if matches!(event, MoveEvent::Warning { .. }) {
                    *counter.lock().unwrap() += 1;
                }
            }),
        );
        let event = MoveEvent::Phase {
            at_ms: Millis(1.0),
            status: MigrationStatus::Active,
        };
        sink(&event);
        sink(&event);
        assert_eq!(*warnings.lock().unwrap(), 1);
    }
}
