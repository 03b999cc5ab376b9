//! `vmferry choose` on real QEMU: guests found in a directory of monitors, here
//! and through ssh; the cheapest chosen, explained and moved.

mod site;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use serde_json::Value;
use vmferry::choosing::report::ChooseReport;
use vmferry::core::{ByteRate, Place};
use vmferry::document::MoveList;
use vmferry::model::choice::{Term, Verdict};
use vmferry::testbed::{Side, TestGuest};

use site::{Site, Vmferry, is_valid, small};

const LINK: ByteRate = ByteRate::from_mbit_per_s(400.0);

/// A directory of monitors for each host.
fn moor(site: &Site, guests: &[&TestGuest]) {
    for side in Side::BOTH {
        let directory = site.dir().join(side.name());
        fs::create_dir(&directory).expect("a directory");
        for guest in guests {
            symlink(guest.uri(side).path(), directory.join(guest.name())).expect("a link");
        }
    }
}

/// `vmferry choose` from one directory to the other.
fn choose(site: &Site, via: &TestGuest, arguments: &[&str]) -> Vmferry {
    let (from, to) = (site.dir().join("source"), site.dir().join("destination"));
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let via = via.via().to_string();
    site.vmferry(&["choose", "--from", &from, "--to", &to, "--via", &via])
        .args(&["--bandwidth", "400Mbit/s", "--window", "3s"])
        .args(&["--budget", "40%", "-o", "json"])
        .args(arguments)
}

async fn two_guests() -> (Site, TestGuest, TestGuest) {
    let site = Site::open(LINK).await;
    let quiet = site.start(small("quiet", "idle:fill=4M")).await;
    let busy = site.start(small("busy", "uniform:set=32M,rate=12M")).await;
    moor(&site, &[&quiet, &busy]);
    (site, quiet, busy)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_guest_is_found_chosen_and_moved() {
    let (site, quiet, busy) = two_guests().await;
    let (before_quiet, before_busy) = (site.before(&quiet).await, site.before(&busy).await);
    let from = site.dir().join("source");
    drop(UnixListener::bind(from.join("stale")).expect("a socket"));
    let watch = quiet.record().source.watch;
    symlink(&watch, from.join("watch")).expect("a link");

    let held = quiet.watch(Side::Source).await.expect("a monitor");
    let answer = choose(&site, &quiet, &[]).run().await.expect(0, &[]);
    drop(held);
    let document: Value = answer.json();
    is_valid("choose", &document);
    let report: ChooseReport = answer.json();
    let names: Vec<&str> = report.guests.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["quiet", "busy"], "{document:#}");
    assert_eq!(report.choice.option.guests, ["quiet"]);
    assert_eq!(report.choice.verdict, Verdict::Move);
    let second = report.choice.runner_up.as_ref().expect("another guest");
    assert_eq!(second.guests, ["busy"]);
    assert!(report.choice.forecast_change.is_some(), "{document:#}");
    let parts = report.guests[0].parts.expect("parts of the cost");
    assert!((parts.sum() - report.guests[0].cost.expect("a cost")).abs() < 1e-9);
    assert_eq!(report.weights.of(Term::Energy), 0.0);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("energy profile"))
    );
    for (monitor, reason) in [("stale", "refused"), ("watch.sock", "holds this monitor")] {
        let told = report.skipped.iter().any(|skipped| {
            skipped.monitor.to_string().ends_with(monitor) && skipped.reason.contains(reason)
        });
        assert!(told, "{monitor}: {:?}", report.skipped);
    }
    site.is_untouched(&quiet, &before_quiet).await;
    site.is_untouched(&busy, &before_busy).await;

    // Moving nothing: no three guests run there, and no move is worth a millisecond.
    let answer = choose(&site, &quiet, &["--count", "3"]).run().await;
    let report: ChooseReport = answer.expect(10, &[]).json();
    assert_eq!(report.choice.verdict, Verdict::NotEnough { most: 2.0 });
    let worth = "downtime=1ms,time=1ms,traffic=1MiB";
    let answer = choose(&site, &quiet, &["--worth", worth, "--execute", "--yes"]);
    let report: ChooseReport = answer.run().await.expect(10, &[]).json();
    assert!(matches!(report.choice.verdict, Verdict::NotWorth { .. }));
    assert!(report.moves.is_empty());
    site.is_untouched(&quiet, &before_quiet).await;

    let answer = choose(&site, &quiet, &["--execute", "--yes"]).run().await;
    let report: ChooseReport = answer.expect(0, &["moving quiet to"]).json();
    let moved = &report.moves[0];
    assert_eq!(
        (report.moves.len(), moved.place),
        (1, Place::RunningAtDestination)
    );
    assert!(moved.forecast.is_some() && moved.outcome.is_some());
    site::runs_only_at(&quiet, Side::Destination).await;
    site::runs_only_at(&busy, Side::Source).await;
    site.is_put_back(&quiet, &before_quiet).await;
    let list: MoveList = site
        .vmferry(&["history", "list", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    assert_eq!(list.moves.len(), 1, "the history learned of it");

    // Who has moved is passed over, and who is left is chosen.
    let answer = choose(&site, &quiet, &[]).run().await.expect(0, &[]);
    let report: ChooseReport = answer.json();
    assert_eq!(report.choice.option.guests, ["busy"]);
    let told = |skipped: &vmferry::choosing::Skipped| skipped.reason.contains("`postmigrate`");
    assert!(report.skipped.iter().any(told), "{:?}", report.skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_reached_through_ssh() {
    let (site, quiet, busy) = two_guests().await;
    let config = site.bed.ssh_config().await.expect("sshd on both hosts");
    let host = |side: Side| format!("qmp+ssh://{side}{}/{side}", site.dir().display());
    let via = quiet.via().to_string();
    let (from, to) = (host(Side::Source), host(Side::Destination));
    let arguments = [
        "choose",
        "--from",
        &from,
        "--to",
        &to,
        "--via",
        &via,
        "--bandwidth",
        "400Mbit/s",
        "--window",
        "2s",
        "--free-memory",
        "200MiB",
        "--execute",
        "--yes",
        "-o",
        "json",
    ];
    let answer = site
        .vmferry(&arguments)
        .env("VMFERRY_SSH", format!("ssh -F {}", config.display()))
        .run()
        .await
        .expect(0, &[]);
    let report: ChooseReport = answer.json();
    // Two guests of 128 MiB are needed.
    assert_eq!(report.choice.option.guests.len(), 2, "{report:?}");
    assert_eq!(report.moves.len(), 2);
    for guest in [&quiet, &busy] {
        site::runs_only_at(guest, Side::Destination).await;
    }
    site.is_clean().await;
}
