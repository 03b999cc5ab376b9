//! Ctrl-C in mid-move.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use vmferry::core::{OutcomeStatus, Place};
use vmferry::document::MigrateReport;
use vmferry::testbed::Side;

use super::{LIMITS, LOAD, MIDDLE, SLOW, all_gone, children, plain, recorded};
use crate::site::{self, Finished, PATIENCE, Site, in_mid_move, wait_for};

async fn is_cancelled(site: &Site, finished: Finished) {
    let report: MigrateReport = finished.expect(22, &["cancelling"]).json();
    let outcome = report.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Cancelled, Place::RunningAtSource)
    );
    assert_eq!(recorded(site).await.outcome, Some(outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_cancels() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &plain(&LIMITS)).spawn();
    in_mid_move(&guest, MIDDLE).await;
    running.process().signal(Signal::SIGINT);
    is_cancelled(&site, running.finish().await).await;
    site.is_untouched(&guest, &before).await;
}

/// A terminal sends Ctrl-C to all of its foreground group: ssh and guard must
/// not die of it.
#[tokio::test(flavor = "multi_thread")]
async fn once_to_the_whole_group_cancels_through_ssh() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let (source, destination) = (
        super::text(guest.ssh_uri(Side::Source)),
        super::text(guest.ssh_uri(Side::Destination)),
    );
    let ssh = super::ssh::command(&site).await;
    // Leads a group of its own, as a command of a shell does.
    let running = site
        .migrate_between(&source, &destination, &guest, &plain(&LIMITS))
        .env("VMFERRY_SSH", ssh)
        .through(["setsid"])
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    assert_eq!(
        children(running.process(), "-N").len(),
        2,
        "an ssh for each end"
    );
    let group = Pid::from_raw(running.process().pid.cast_signed());
    killpg(group, Signal::SIGINT).expect("a group of its own");
    let finished = running.finish().await;
    assert!(!finished.stderr.contains("was lost"), "{}", finished.stderr);
    is_cancelled(&site, finished).await;
    site.is_untouched(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_leaves_the_rest_to_the_guard() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let said = site.dir().join("said");
    let running = site
        .migrate(&guest, &plain(&LIMITS))
        .through(["sh", "-c", "exec \"$0\" \"$@\" 2> said"])
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    // A source that does not answer: the first Ctrl-C has no effect yet.
    let qemu = vmferry::testbed::Process::of(guest.pid(Side::Source).expect("a source"))
        .expect("a source");
    qemu.signal(Signal::SIGSTOP);
    running.process().signal(Signal::SIGINT);
    wait_for("the answer to the first Ctrl-C", async || {
        std::fs::read_to_string(&said)
            .ok()?
            .contains("cancelling")
            .then_some(())
    })
    .await;
    let guard = super::guard(&running);
    running.process().signal(Signal::SIGINT);
    let finished = running.finish().await;
    assert_eq!(
        finished.code,
        Some(21),
        "{}",
        std::fs::read_to_string(&said).unwrap_or_default()
    );
    assert!(finished.took < PATIENCE && guard.is_alive());
    qemu.signal(Signal::SIGCONT);
    all_gone(&site).await;
    site.is_untouched(&guest, &before).await;
    let outcome = recorded(&site).await.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Cancelled, Place::RunningAtSource)
    );
    site::runs_only_at(&guest, Side::Source).await;
}
