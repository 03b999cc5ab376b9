//! Guards and recoveries under bad conditions: a dead guard, a full disk, a
//! history that cannot be used, a journal that cannot be read.

use std::fs;

use nix::sys::signal::Signal;
use vmferry::core::{OutcomeStatus, Place};
use vmferry::document::RecoverReport;
use vmferry::testbed::Side;

use super::{FAST, LIMITS, LOAD, MIDDLE, SLOW, all_gone, guard, parameters, plain, recorded};
use crate::site::{self, Disk, Site, in_mid_move, wait_for};

const MOVED: (OutcomeStatus, Place) = (OutcomeStatus::Completed, Place::RunningAtDestination);

async fn has_moved(site: &Site) {
    let outcome = recorded(site).await.outcome.expect("an outcome");
    assert_eq!((outcome.status, outcome.place), MOVED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_guard_is_told_at_once_and_its_move_left_alone() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let was = parameters(&guest, Side::Source).await;
    let said = site.dir().join("said");
    let running = site
        .migrate(&guest, &plain(&LIMITS))
        .through(["sh", "-c", "exec \"$0\" \"$@\" 2> said"])
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    let changed = parameters(&guest, Side::Source).await;
    assert_ne!(changed, was);
    guard(&running).signal(Signal::SIGKILL);
    wait_for("a word on the guard's death", async || {
        fs::read_to_string(&said)
            .ok()?
            .contains("warning: the guard process died")
            .then_some(())
    })
    .await;
    let recover = || site.vmferry(&["recover", "-v", "-o", "json"]);
    let report: RecoverReport = recover().run().await.expect(0, &[]).json();
    assert!(
        report.moves.len() == 1 && report.moves[0].supervised,
        "{report:?}"
    );
    assert_eq!(parameters(&guest, Side::Source).await, changed);

    running.process().signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let report: RecoverReport = recover().run().await.expect(0, &[" INFO ", "Ended"]).json();
    assert_eq!(report.moves[0].place, Some(Place::RunningAtDestination));
    site.is_put_back(&guest, &before).await;
    has_moved(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_records_with_a_full_disk() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let disk = Disk::mount(&site.state(), 256 << 10);
    let running = site
        .migrate(&guest, &plain(&LIMITS))
        .through(disk.through())
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    disk.fill();
    running.process().signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    all_gone(&site).await;
    site.is_put_back(&guest, &before).await;
    has_moved(&site).await;
    let left = fs::read_dir(disk.path().join("moves")).expect("the state directory");
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guard_cannot_record_recovery_does() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let running = site
        .migrate(&guest, &plain(&LIMITS))
        // The guard runs in another directory.
        .env("VMFERRY_STATE", "state")
        .env("VMFERRY_DB", "history.db")
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    fs::write(site.database(), "a grocery list, no history\n".repeat(400)).expect("a file");
    let guard = guard(&running);
    running.process().signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    wait_for("the guard's end", async || {
        (!guard.is_alive()).then_some(())
    })
    .await;
    let moves = site.state().join("moves");
    let mut left = fs::read_dir(&moves).expect("the state directory").flatten();
    let log = left
        .next()
        .expect("the move's directory")
        .path()
        .join("guard.log");
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("the outcome was not recorded"), "{log}");

    // Another move's journal that cannot be read does not stop the recovery.
    let damaged = moves.join("0199a0a0-0000-7000-8000-000000000000");
    fs::create_dir(&damaged).expect("a directory");
    fs::write(damaged.join("journal.jsonl"), "a grocery list\n").expect("a file");
    fs::remove_file(site.database()).expect("a file");
    let recovered = site.vmferry(&["recover", "-o", "json"]).run().await;
    let report: RecoverReport = recovered.expect(40, &[]).json();
    assert_eq!(report.moves.len(), 2, "{report:?}");
    assert!(
        report.moves[0].failed[0].contains("line 1 cannot be read"),
        "{report:?}"
    );
    assert!(report.moves[1].failed.is_empty(), "{report:?}");
    assert_eq!(report.moves[1].place, Some(Place::RunningAtDestination));
    fs::remove_dir_all(&damaged).expect("a directory");
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    has_moved(&site).await;
}
