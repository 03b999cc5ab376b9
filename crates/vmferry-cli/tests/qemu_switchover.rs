//! Around the switchover, where QEMU itself would run a guest twice (a cancel
//! that comes late) or nowhere (a destination that dies of what it loads).

mod site;

use std::fs;

use nix::sys::signal::Signal;
use vmferry::core::{ByteRate, Place};
use vmferry::document::MigrateReport;
use vmferry::testbed::Side;

use site::{Site, run_state, runs_only_at, wait_for};

/// A link on which the last pass takes most of a second.
const RATE: ByteRate = ByteRate::from_mbit_per_s(400.0);
/// Leaves about as much for the last pass as the limit below allows.
const LOAD: &str = "uniform:set=40M,rate=20M";

/// Whether the hand-over has begun, by the event file of the running move.
fn handing_over(site: &Site) -> Option<()> {
    let moves = fs::read_dir(site.state().join("moves")).ok()?;
    let begun = moves.filter_map(Result::ok).any(|entry| {
        let events = fs::read_to_string(entry.path().join("events.jsonl")).unwrap_or_default();
        events.contains(r#""status":"device""#)
    });
    begun.then_some(())
}

/// Most of these cancels reach QEMU when the destination has everything or
/// nearly so: without a fence one in four runs the guest at both ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_guest_is_handed_over_never_runs_it_twice() {
    let (site, guest) = Site::with_guest(RATE, LOAD).await;
    for _ in 0..3 {
        let before = site.before(&guest).await;
        let limit = ["--no-forecast", "--max-downtime", "1s", "-o", "json"];
        let running = site.migrate(&guest, &limit).spawn();
        wait_for("the hand-over", async || handing_over(&site)).await;
        running.process().signal(Signal::SIGINT);
        let finished = running.finish().await;
        let report: MigrateReport = finished.json();
        match report.place {
            Place::RunningAtSource => {
                finished.expect(22, &["cancelling"]);
                runs_only_at(&guest, Side::Source).await;
                site.is_put_back(&guest, &before).await;
                guest.restart_destination().await.expect("a destination");
            }
            Place::RunningAtDestination => {
                finished.moved(&[]);
                runs_only_at(&guest, Side::Destination).await;
                guest.reset().await.expect("the guest again");
            }
            Place::Uncertain => panic!("{report:?}"),
        }
    }
    site.is_clean().await;
}

/// The destination dies while the last pass is on its way: the source, which
/// has stopped the guest, keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_dies_while_loading_leaves_the_guest_at_the_source() {
    let (site, guest) = Site::with_guest(RATE, LOAD).await;
    let limit = ["--no-forecast", "--max-downtime", "1s", "-o", "json"];
    let running = site.migrate(&guest, &limit).spawn();
    wait_for("the hand-over", async || handing_over(&site)).await;
    site::crash(&guest, Side::Destination);
    let report: MigrateReport = running.finish().await.expect(20, &[]).json();
    assert_eq!(report.place, Place::RunningAtSource);
    assert_eq!(
        run_state(&guest, Side::Source).await.as_deref(),
        Some("running")
    );
    site.is_clean().await;
}
