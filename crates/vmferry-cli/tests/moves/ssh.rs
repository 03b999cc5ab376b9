//! Both ends on other machines, reached through real ssh.

use nix::sys::signal::Signal;
use serde_json::Value;
use vmferry::core::{ByteRate, OutcomeStatus, Place};
use vmferry::document::MigrateReport;
use vmferry::testbed::{Side, TestGuest};

use super::{
    FAST, LIMITS, LOAD, MIDDLE, SLOW, all_gone, children, parameters, plain, put_back_in_time,
    recorded, text,
};
use crate::site::{self, Site, Vmferry, in_mid_move};

/// The ssh that knows the hosts of a site.
pub(super) async fn command(site: &Site) -> String {
    format!(
        "ssh -F {}",
        site.bed
            .ssh_config()
            .await
            .expect("sshd on both hosts")
            .display()
    )
}

async fn migrate(site: &Site, guest: &TestGuest, arguments: &[&str]) -> Vmferry {
    let (source, destination) = (
        text(guest.ssh_uri(Side::Source)),
        text(guest.ssh_uri(Side::Destination)),
    );
    site.migrate_between(&source, &destination, guest, arguments)
        .env("VMFERRY_SSH", command(site).await)
}

fn is_completed(report: &MigrateReport) {
    let outcome = report.outcome.as_ref().expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    assert_eq!(outcome.error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn forecast_by_the_hypervisor_and_moved() {
    let (site, guest) = Site::with_guest(
        ByteRate::from_mbit_per_s(400.0),
        "uniform:set=16M,rate=4M,fill=8M",
    )
    .await;
    let before = site.before(&guest).await;
    let arguments = [
        "--bandwidth",
        "400Mbit/s",
        "--window",
        "2s",
        "--max-downtime",
        "300ms",
        "-o",
        "json",
    ];
    let moved = migrate(&site, &guest, &arguments)
        .await
        .run()
        .await
        .moved(&[]);
    let document: Value = moved.json();
    assert!(
        document["observation"]["method"]
            .as_str()
            .is_some_and(|method| method != "page-hash"),
        "{document}"
    );
    let report: MigrateReport = moved.json();
    is_completed(&report);
    let forecast = report.forecast.expect("a forecast");
    let outcome = report.outcome.expect("an outcome");
    assert!(forecast.total_time_ms.is_some(), "{forecast:?}");
    // Nobody reads the counters of another machine.
    assert_eq!(outcome.wire_bytes, None);
    assert!(
        outcome.downtime_ms.is_some() && outcome.passes.is_some(),
        "{outcome:?}"
    );
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_made_again() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let running = migrate(&site, &guest, &plain(&LIMITS)).await.spawn();
    in_mid_move(&guest, MIDDLE).await;
    let first = children(running.process(), "-N");
    assert_eq!(first.len(), 2, "an ssh for each end");
    for ssh in &first {
        ssh.signal(Signal::SIGKILL);
    }
    site::wait_for("a new ssh for each end", async || {
        let now = children(running.process(), "-N");
        (now.len() == 2 && now.iter().all(|ssh| !first.contains(ssh))).then_some(())
    })
    .await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let moved = running.finish().await.moved(&[
        "was lost",
        "source/qmp.sock again",
        "destination/qmp.sock again",
    ]);
    let report: MigrateReport = moved.json();
    is_completed(&report);
    assert!(
        report
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.total_time_ms.is_some()),
        "{report:?}"
    );
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    assert_eq!(recorded(&site).await.outcome, report.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_exits_is_told_from_one_that_is_not_reached() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let running = migrate(&site, &guest, &plain(&LIMITS)).await.spawn();
    in_mid_move(&guest, MIDDLE).await;
    site::crash(&guest, Side::Source);
    let finished = running.finish().await.expect(21, &["exited in mid-move"]);
    assert_eq!(finished.json::<MigrateReport>().place, Place::Uncertain);
    site.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_comes_back_through_ssh_of_its_own() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let was = parameters(&guest, Side::Source).await;
    let running = migrate(&site, &guest, &plain(&LIMITS)).await.spawn();
    in_mid_move(&guest, MIDDLE).await;
    assert_ne!(parameters(&guest, Side::Source).await, was);
    running.process().signal(Signal::SIGKILL);
    let killed = std::time::Instant::now();
    assert_eq!(running.finish().await.code, None);
    put_back_in_time(&guest, &was, killed).await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    all_gone(&site).await;
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    let outcome = recorded(&site).await.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
}
