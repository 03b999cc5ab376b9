//! A link that breaks while the guest is between both hosts.

use nix::sys::signal::Signal;
use vmferry::core::{OutcomeStatus, Place};
use vmferry::document::{MigrateReport, RecoverReport};
use vmferry::testbed::Side;

use super::{FAST, all_said, prepared, said, start, switch};
use crate::site::{self, run_state};

const BROKEN: &str = "the stream broke in post-copy";

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_made_anew_and_no_cancel_loses_the_guest() {
    let (site, guest) = prepared().await;
    let before = site.before(&guest).await;
    let running = start(&site, &guest);
    switch(&guest).await;
    running.process().signal(Signal::SIGINT);
    said(&site, "not cancelled: in `postcopy-active`").await;

    site.bed.cut_link().await.expect("the plug is pulled");
    said(&site, BROKEN).await;
    // Nobody runs it here again, whatever happens.
    assert_eq!(
        run_state(&guest, Side::Source).await.as_deref(),
        Some("finish-migrate")
    );
    said(&site, "postcopy-recover-setup").await;
    site.bed.mend_link().await.expect("the plug is back");
    said(&site, "the stream stands again").await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");

    let finished = running.finish().await;
    // The pause of 1 ms that was promised to keep pre-copy from ending is missed.
    assert_eq!(finished.code, Some(11), "{}", all_said(&site));
    let report: MigrateReport = finished.json();
    let outcome = report.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    assert!(outcome.downtime_ms < outcome.total_time_ms, "{outcome:?}");
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_trying_is_told_what_to_run_and_that_works() {
    let (site, guest) = prepared().await;
    let before = site.before(&guest).await;
    let running = start(&site, &guest);
    switch(&guest).await;
    site.bed.cut_link().await.expect("the plug is pulled");
    // The destination listens once the source tries.
    said(&site, "postcopy-recover-setup").await;
    running.process().signal(Signal::SIGINT);
    let finished = running.finish().await;
    assert_eq!(finished.code, Some(21), "{}", all_said(&site));
    for words in ["run `vmferry recover`", r#""resume":true"#] {
        assert!(all_said(&site).contains(words), "{}", all_said(&site));
    }
    let report: MigrateReport = finished.json();
    assert_eq!(report.place, Place::Uncertain);
    assert_eq!(
        run_state(&guest, Side::Source).await.as_deref(),
        Some("finish-migrate")
    );

    site.bed.mend_link().await.expect("the plug is back");
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    // The guard sees that it can do nothing, and makes room.
    site::wait_for("the guard's end", async || {
        let left = site.leftovers();
        left.iter().all(|left| left.contains("moves")).then_some(())
    })
    .await;
    let recovered = site.vmferry(&["recover", "-o", "json"]).run().await;
    let report: RecoverReport = recovered.expect(0, &[]).json();
    assert_eq!(report.moves.len(), 1, "{report:?}");
    assert_eq!(report.moves[0].place, Some(Place::RunningAtDestination));
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}
