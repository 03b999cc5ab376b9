//! Faults of vmferry's own machine: privileges, disks, the history.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use vmferry::core::Bytes;
use vmferry::testbed::Side;

use super::{BLIND, IDLE, slow, usual};
use crate::site::{self, Disk, Site, in_mid_move, is_valid};

/// Every file of that name below a directory.
fn files(below: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below)
        .expect("a directory")
        .flatten()
        .map(|entry| entry.path());
    let found = entries.map(|path| match path.is_dir() {
        true => files(&path, name),
        false => Vec::from_iter(path.ends_with(name).then_some(path)),
    });
    found.flatten().collect()
}

/// A fresh history that another program keeps for itself, until dropped.
async fn exclusively(database: &Path) -> SqliteConnection {
    drop(
        vmferry::history::History::open(database)
            .await
            .expect("a history"),
    );
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", database.display()))
        .await
        .expect("a database");
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .expect("the lock");
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_may_not_be_read_is_asked_instead() {
    let (site, guest) = Site::with_guest(usual(), IDLE).await;
    let before = site.before(&guest).await;
    let source = guest.source_uri().to_string();
    // Root without any privilege may use the monitor, and not look into processes.
    let unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
    let measure = |method: &str| {
        let arguments = [
            "measure", &source, "--window", "1s", "-o", "json", "--method", method,
        ];
        site.vmferry(&arguments).through(unprivileged)
    };
    measure("pages").run().await.expect(
        40,
        &[
            "permission denied to read the memory",
            "PID",
            "run vmferry as",
        ],
    );
    for method in ["auto", "qmp"] {
        let report: Value = measure(method).run().await.expect(0, &[]).json();
        is_valid("measure", &report);
        assert_ne!(report["method"], "pages");
        let notes = report["notes"].to_string();
        assert_eq!(
            notes.contains("permission denied to read the memory"),
            method == "auto",
            "{notes}"
        );
    }
    // Another user may not even use the monitor.
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
    ];
    site.vmferry(&["measure", &source])
        .through(nobody)
        .run()
        .await
        .expect(
            40,
            &[
                &source,
                "permission denied; run vmferry as the user who owns the socket",
            ],
        );
    site.is_untouched(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_move_without_room_for_its_journal() {
    let (site, guest) = Site::with_guest(slow(), IDLE).await;
    let before = site.before(&guest).await;
    let disk = Disk::mount(&site.state(), 256 << 10);
    let moves = || std::fs::read_dir(disk.path().join("moves")).map_or(0, |moves| moves.count());
    let options = ["--no-forecast", "--max-downtime", "200ms"];
    let migrate = || site.migrate(&guest, &options).through(disk.through());

    disk.fill();
    migrate().run().await.expect(
        20,
        &[
            "No space left",
            "no guest is moved without its undo journal",
            "VMFERRY_STATE",
        ],
    );
    assert_eq!(moves(), 0);
    site.is_untouched(&guest, &before).await;
    disk.clear();

    // Full in mid-move: everything is put back all the same.
    let run = migrate().spawn();
    in_mid_move(&guest, Bytes::from_mib(2)).await;
    let journal = files(&disk.path(), "journal.jsonl")
        .pop()
        .expect("a journal");
    // Its next line needs a new block, which is not there.
    std::fs::File::options()
        .write(true)
        .open(journal)
        .and_then(|file| file.set_len(0))
        .expect("a cut");
    disk.fill();
    site.bed
        .set_rate(Some(usual()))
        .await
        .expect("a faster link");
    run.finish()
        .await
        .moved(&["ended: the guest runs at the destination"]);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    assert_eq!(moves(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_cannot_be_written_stops_no_move() {
    let (site, guest) = Site::with_guest(usual(), IDLE).await;
    let database = site.database();
    let moves = async |words: &[&str]| {
        let before = site.before(&guest).await;
        let warned = site.migrate(&guest, BLIND).run().await;
        let warned = warned.expect(
            0,
            &[
                "the forecast was not recorded",
                "the outcome was not recorded",
            ],
        );
        for word in words {
            assert!(
                warned.stderr.contains(word),
                "not said: {word}\n{}",
                warned.stderr
            );
        }
        site::runs_only_at(&guest, Side::Destination).await;
        site.is_put_back(&guest, &before).await;
    };
    let list = || site.vmferry(&["history", "list"]);

    std::fs::write(&database, "a grocery list, no history\n".repeat(400)).expect("a file");
    moves(&["is no history of vmferry", "VMFERRY_DB"]).await;
    list()
        .run()
        .await
        .expect(1, &["is no history of vmferry", "move it away"]);
    std::fs::remove_file(&database).expect("a file");

    guest.reset().await.expect("the guest boots again");
    let place = site.dir().join("small");
    let disk = Disk::mount(&place, 16 << 10);
    disk.fill();
    let before = site.before(&guest).await;
    site.migrate(&guest, BLIND)
        .through(disk.through())
        .env("VMFERRY_DB", place.join("history.db"))
        .run()
        .await
        .expect(
            0,
            &[
                "the forecast was not recorded",
                "the disk is full",
                "the outcome was not recorded",
            ],
        );
    site.is_put_back(&guest, &before).await;

    guest.reset().await.expect("the guest boots again");
    site.vmferry(&["history", "list"])
        .run()
        .await
        .expect(1, &["no history yet at"]);
    let _lock = exclusively(&database).await;
    moves(&["is locked by another program", "fuser"]).await;
}
