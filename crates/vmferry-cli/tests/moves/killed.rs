//! vmferry dies in mid-move, alone or with its guard.

use std::time::Instant;

use nix::sys::signal::Signal;
use vmferry::core::{OutcomeStatus, Place};
use vmferry::document::RecoverReport;
use vmferry::testbed::Side;

use super::{
    FAST, LIMITS, LOAD, MIDDLE, SLOW, all_gone, guard, parameters, plain, put_back_in_time,
    recorded,
};
use crate::site::{self, Site, in_mid_move};

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_puts_back_and_records() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let was = parameters(&guest, Side::Source).await;
    let running = site.migrate(&guest, &plain(&LIMITS)).spawn();
    in_mid_move(&guest, MIDDLE).await;
    let changed = parameters(&guest, Side::Source).await;
    assert_eq!(changed["max-bandwidth"].as_u64(), Some(90 << 20));
    // A promised pause is longer than what the hypervisor plans for.
    let limit = changed["downtime-limit"].as_u64();
    assert!(
        limit.is_some_and(|ms| (600..=777).contains(&ms)),
        "{limit:?}"
    );

    // A recovery has nothing to do with a move that is supervised.
    let report: RecoverReport = site
        .vmferry(&["recover", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    assert!(
        report.moves.len() == 1 && report.moves[0].supervised && report.moves[0].undone == 0,
        "{report:?}"
    );
    assert_eq!(parameters(&guest, Side::Source).await, changed);

    let guard = guard(&running);
    running.process().signal(Signal::SIGKILL);
    let killed = Instant::now();
    assert_eq!(running.finish().await.code, None);
    put_back_in_time(&guest, &was, killed).await;
    assert!(guard.is_alive(), "the guard follows the move");
    let monitor = site::monitor(&guest, Side::Source).await.expect("a source");
    assert_eq!(
        monitor
            .migration()
            .await
            .expect("query-migrate")
            .status
            .to_string(),
        "active"
    );
    drop(monitor);

    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    all_gone(&site).await;
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    let outcome = recorded(&site).await.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    let (sent, wire) = (
        outcome.transferred_bytes.expect("sent").0,
        outcome.wire_bytes.expect("counted").0,
    );
    assert!(
        wire >= sent && outcome.total_time_ms.is_some() && outcome.passes.is_some(),
        "{outcome:?}"
    );
    assert!(
        !outcome.pass_list.is_empty() && outcome.downtime_ms.is_some(),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_does_what_a_killed_guard_would() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let was = parameters(&guest, Side::Source).await;
    let running = site.migrate(&guest, &plain(&LIMITS)).spawn();
    in_mid_move(&guest, MIDDLE).await;
    let (guard, vmferry) = (guard(&running), running.process());
    guard.signal(Signal::SIGKILL);
    vmferry.signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site::wait_for("the guard's end", async || {
        (!guard.is_alive()).then_some(())
    })
    .await;
    assert_ne!(
        parameters(&guest, Side::Source).await,
        was,
        "nobody is left to put it back"
    );

    let began = Instant::now();
    let recovering = site.vmferry(&["recover", "-o", "json"]).spawn();
    put_back_in_time(&guest, &was, began).await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let report: RecoverReport = recovering.finish().await.expect(0, &[]).json();
    assert_eq!(report.moves.len(), 1, "{report:?}");
    let found = &report.moves[0];
    assert!(
        !found.supervised && found.undone > 0 && found.failed.is_empty(),
        "{found:?}"
    );
    assert_eq!(found.place, Some(Place::RunningAtDestination));
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    let outcome = recorded(&site).await.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    let report: RecoverReport = site
        .vmferry(&["recover", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    assert_eq!(report.moves, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_after_the_move_has_ended_finds_its_outcome() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &plain(&LIMITS)).spawn();
    in_mid_move(&guest, MIDDLE).await;
    let guard = guard(&running);
    guard.signal(Signal::SIGKILL);
    running.process().signal(Signal::SIGKILL);
    assert_eq!(running.finish().await.code, None);
    site::wait_for("the guard's end", async || {
        (!guard.is_alive()).then_some(())
    })
    .await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    site::wait_for("the guest at the destination", async || {
        (site::run_state(&guest, Side::Destination).await.as_deref() == Some("running"))
            .then_some(())
    })
    .await;
    let began = Instant::now();
    site.vmferry(&["recover"]).run().await.expect(0, &[]);
    assert!(
        began.elapsed() < super::PROMISE,
        "an end that is there is not waited for"
    );
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    let outcome = recorded(&site).await.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
}
