//! Somebody dies while the guest is between both hosts.

use nix::sys::signal::Signal;
use vmferry::core::Place;
use vmferry::document::{MigrateReport, MoveList, RecoverReport};
use vmferry::testbed::Side;

use super::{FAST, all_gone, all_said, prepared, said, start, switch};
use crate::site::{self, crash, run_state};

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_of_a_dead_vmferry_brings_it_to_its_end() {
    let (site, guest) = prepared().await;
    let before = site.before(&guest).await;
    let running = start(&site, &guest);
    switch(&guest).await;
    running.process().signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    all_gone(&site).await;
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    let listed = site.vmferry(&["history", "list", "-o", "json"]).run().await;
    let list: MoveList = listed.expect(0, &[]).json();
    assert_eq!(list.moves.len(), 1, "{list:?}");
}

/// The one case in which a guest is lost, and said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_dies_takes_the_guest_with_it() {
    let (site, guest) = prepared().await;
    let running = start(&site, &guest);
    switch(&guest).await;
    crash(&guest, Side::Destination);
    let finished = running.finish().await;
    assert_eq!(finished.code, Some(21), "{}", all_said(&site));
    said(&site, "the guest is lost").await;
    let report: MigrateReport = finished.json();
    assert_eq!(report.place, Place::Uncertain);
    let error = report.outcome.and_then(|o| o.error).expect("a reason");
    assert!(error.contains("do not resume it there"), "{error}");
    // What is at the source is older than what the world has seen.
    assert_eq!(
        run_state(&guest, Side::Source).await.as_deref(),
        Some("finish-migrate")
    );

    // As advised: its QEMU is ended, and nothing of the move stays.
    site::wait_for("the guard's end", async || {
        let left = site.leftovers();
        left.iter().all(|left| left.contains("moves")).then_some(())
    })
    .await;
    crash(&guest, Side::Source);
    let recovered = site.vmferry(&["recover", "-o", "json"]).run().await;
    let report: RecoverReport = recovered.expect(21, &[]).json();
    assert!(report.moves[0].failed.is_empty(), "{report:?}");
    site.is_clean().await;
}
