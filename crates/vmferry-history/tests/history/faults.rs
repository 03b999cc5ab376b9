use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use sqlx::{Connection as _, SqliteConnection};
use vmferry_core::OutcomeStatus;
use vmferry_history::{History, HistoryError, MoveFilter, Store};

use crate::older::write_layout_1;
use crate::sample::{message, outcome, place, record, refused};

async fn filled(path: &Path, moves: u64) {
    let history = History::open(path).await.unwrap();
    for n in 0..moves {
        history.open_move(&record(n, "web")).await.unwrap();
    }
    history.close().await.unwrap();
}

async fn sql(path: &Path, statement: &'static str) {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn reading_creates_nothing() {
    let (dir, path) = place();
    let error = refused(History::open_existing(&path).await);
    assert!(error.is_unavailable());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("no history yet at {}", path.display())),
        "{text}"
    );
    assert!(text.contains("written by `vmferry migrate`"), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_made_is_for_the_user_alone_and_a_reader_cannot_write() {
    let (_dir, path) = place();
    filled(&path, 1).await;
    let mode = path
        .parent()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let history = History::open_existing(&path).await.unwrap();
    let error = history.open_move(&record(2, "web")).await.unwrap_err();
    assert!(
        matches!(error, HistoryError::ReadOnly { .. }),
        "{}",
        message(&error)
    );
    history.close().await.unwrap();
    let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(files, 1, "the log stayed behind");
}

#[tokio::test]
async fn a_directory_and_other_files_are_refused_and_kept() {
    let (dir, path) = place();
    fs::create_dir_all(&path).unwrap();
    for opened in [
        History::open(&path).await,
        History::open_existing(&path).await,
    ] {
        assert!(matches!(refused(opened), HistoryError::IsDirectory { .. }));
    }

    let below_a_file = dir.path().join("file");
    fs::write(&below_a_file, "x").unwrap();
    let below_a_file = below_a_file.join("history.db");
    for opened in [
        History::open(&below_a_file).await,
        History::open_existing(&below_a_file).await,
    ] {
        let error = refused(opened);
        assert!(
            matches!(error, HistoryError::CannotOpen { .. }),
            "{error:?}"
        );
    }

    for content in ["hello", &"no database\n".repeat(1000)] {
        let path = dir.path().join("notes.txt");
        fs::write(&path, content).unwrap();
        for opened in [
            History::open(&path).await,
            History::open_existing(&path).await,
        ] {
            let error = refused(opened);
            assert!(
                error.to_string().contains("no SQLite database"),
                "{}",
                message(&error)
            );
            assert!(error.is_unavailable());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }

    let other = dir.path().join("places.sqlite");
    sql(&other, "CREATE TABLE bookmarks (url TEXT)").await;
    let before = fs::read(&other).unwrap();
    for opened in [
        History::open(&other).await,
        History::open_existing(&other).await,
    ] {
        let error = refused(opened);
        assert!(error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(fs::read(&other).unwrap(), before);

    let empty = dir.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let error = refused(History::open_existing(&empty).await);
    assert!(matches!(error, HistoryError::Missing { .. }), "{error}");
    filled(&empty, 1).await;
}

#[tokio::test]
async fn a_damaged_file_is_reported_and_kept() {
    let (_dir, path) = place();
    filled(&path, 200).await;
    let mut bytes = fs::read(&path).unwrap();
    // All but the first page, which holds the layout.
    bytes[4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let error = match History::open(&path).await {
        Ok(history) => history.open_move(&record(500, "web")).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(error, HistoryError::Corrupt { .. }),
        "{}",
        message(&error)
    );
    assert!(error.is_unavailable());
    assert!(error.to_string().contains("keep a copy"), "{error}");
    let error = match History::open_existing(&path).await {
        Ok(history) => history.list(&MoveFilter::default()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(error, HistoryError::Corrupt { .. }),
        "{}",
        message(&error)
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn other_layouts_say_which() {
    let (_dir, path) = place();
    filled(&path, 1).await;
    sql(
        &path,
        "UPDATE _sqlx_migrations SET version = 77 WHERE version = 3",
    )
    .await;
    for opened in [
        History::open(&path).await,
        History::open_existing(&path).await,
    ] {
        let text = refused(opened).to_string();
        assert!(text.contains("too new: it has layout 77"), "{text}");
    }
    sql(&path, "DELETE FROM _sqlx_migrations").await;
    let text = refused(History::open_existing(&path).await).to_string();
    assert!(text.contains("too old: it has layout 0"), "{text}");
}

#[tokio::test]
async fn a_locked_history_is_waited_for_and_then_reported() {
    let (_dir, path) = place();
    filled(&path, 1).await;
    let url = format!("sqlite://{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let lock = other.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let history = History::open(&path).await.unwrap();
    let error = history.open_move(&record(2, "web")).await.unwrap_err();
    assert!(
        matches!(error, HistoryError::Locked { .. }),
        "{}",
        message(&error)
    );
    assert!(error.to_string().contains("for more than 5 s"), "{error}");
    // Reading goes on beside a writer.
    assert_eq!(history.list(&MoveFilter::default()).await.unwrap().len(), 1);
    lock.rollback().await.unwrap();
    history.open_move(&record(2, "web")).await.unwrap();
}

/// Runs one test of this program again in a mount namespace of its own, so
/// that what it mounts goes away with it. Returns whether this is that run.
fn in_own_namespace(test: &str) -> bool {
    const MARK: &str = "VMFERRY_TEST_OWN_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("unshare (util-linux) runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// A small disk that goes away, also when its test fails.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(options: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&["-t", "tmpfs", "-o", options, "tmpfs"]);
        disk
    }

    fn remount(&self, options: &str) {
        self.mount(&["-o", &format!("remount,{options}")]);
    }

    fn mount(&self, arguments: &[&str]) {
        let status = Command::new("mount")
            .args(arguments)
            .arg(self.0.path())
            .status()
            .unwrap();
        assert!(status.success(), "mount {arguments:?}");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a history on it may still be open.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_keeps_what_was_written() {
    if !in_own_namespace("faults::a_full_disk_is_reported_and_keeps_what_was_written") {
        return;
    }
    let tiny = Disk::new("size=32k");
    let path = tiny.path().join("history.db");
    let error = refused(History::open(&path).await);
    assert!(
        matches!(error, HistoryError::Full { .. }),
        "{}",
        message(&error)
    );
    assert!(error.is_unavailable());

    let disk = Disk::new("size=512k");
    let path = disk.path().join("history.db");
    let history = History::open(&path).await.unwrap();
    let mut written = 0;
    let error = loop {
        match history.open_move(&record(written, "web")).await {
            Ok(()) if written == 10_000 => panic!("more was written than the disk holds"),
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, HistoryError::Full { .. }),
        "{}",
        message(&error)
    );
    assert!(written > 0);
    let count = history.list(&MoveFilter::default()).await.unwrap().len();
    assert_eq!(count as u64, written);

    disk.remount("size=4m");
    history.open_move(&record(written, "web")).await.unwrap();
}

#[tokio::test]
async fn a_read_only_disk_can_be_read() {
    if !in_own_namespace("faults::a_read_only_disk_can_be_read") {
        return;
    }
    let disk = Disk::new("size=4m");
    let path = disk.path().join("history.db");
    filled(&path, 2).await;
    disk.remount("ro");
    let reader = History::open_existing(&path).await.unwrap();
    assert_eq!(reader.list(&MoveFilter::default()).await.unwrap().len(), 2);
    let error = match History::open(&path).await {
        Ok(history) => history
            .close_move(
                record(1, "web").move_id,
                &outcome(OutcomeStatus::Completed, 1),
                None,
            )
            .await
            .unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(
            error,
            HistoryError::ReadOnly { .. } | HistoryError::CannotOpen { .. }
        ),
        "{}",
        message(&error)
    );
    let old = Disk::new("size=4m");
    let path = old.path().join("history.db");
    write_layout_1(&path).await;
    old.remount("ro");
    let error = refused(History::open_existing(&path).await);
    let text = error.to_string();
    assert!(
        matches!(error, HistoryError::LayoutTooOld { found: 1, .. }),
        "{}",
        message(&error)
    );
    assert!(text.contains("where it can be written"), "{text}");
    let missing = disk.path().join("below/history.db");
    let error = refused(History::open(&missing).await);
    assert!(
        matches!(error, HistoryError::ReadOnly { .. }),
        "{}",
        message(&error)
    );
}
