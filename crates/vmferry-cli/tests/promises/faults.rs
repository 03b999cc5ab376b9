//! What happens to a capped guest when something fails.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use vmferry::core::Bytes;
use vmferry::testbed::Side;

use super::{CAPPED, COURTEOUS, busy_site, capped_groups, is_capped, warnings};
use crate::site::{self, Proxy, Site, in_mid_move, wait_for};

/// What vmferry promises for letting a guest go when it dies.
const PROMISE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_of_a_killed_vmferry_lets_the_guest_go() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &CAPPED).spawn();
    let group = is_capped(&guest).await;
    running.process().signal(Signal::SIGKILL);
    let killed = Instant::now();
    assert_eq!(running.finish().await.code, None);
    wait_for("the guest's own group", async || {
        let capped = !capped_groups(&guest).is_empty() || group.is_dir();
        assert!(!capped || killed.elapsed() < PROMISE, "still in {group:?}");
        (!capped).then_some(())
    })
    .await;
    // The move itself goes on; a faster link brings it to its end.
    site.bed.set_rate(None).await.expect("a link without limit");
    wait_for("the guard's end", async || {
        site.leftovers().is_empty().then_some(())
    })
    .await;
    site.is_put_back(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_vmferry_leaves_the_capped_guest_alone() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &CAPPED).spawn();
    let group = is_capped(&guest).await;
    site.migrate(&guest, &CAPPED)
        .run()
        .await
        .expect(20, &["another vmferry is moving"]);
    assert!(group.is_dir(), "the other's cap is gone");
    running.process().signal(Signal::SIGINT);
    running.finish().await.expect(22, &[]);
    site.is_untouched(&guest, &before).await;
    assert!(!group.exists());
}

/// Threads that somebody else moves elsewhere are not moved back.
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_others_take_off_is_not_fought_for() {
    let (site, guest) = busy_site().await;
    let mut arguments = CAPPED.to_vec();
    arguments.extend(["-o", "jsonl"]);
    let running = site.migrate(&guest, &arguments).spawn();
    let group = is_capped(&guest).await;
    let home = group.parent().expect("a group above");
    let threads = fs::read_to_string(group.join("tasks")).expect("its threads");
    for thread in threads.lines() {
        fs::write(home.join("tasks"), thread).expect("a thread moved");
    }
    site.bed.set_rate(None).await.expect("a link without limit");
    let finished = running.finish().await.moved(&[]);
    let warned = warnings(&finished.lines());
    let told = warned.iter().filter(|w| w.contains("without a cap"));
    assert_eq!(told.count(), 1, "{warned:?}");
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_clean().await;
    assert!(!group.exists(), "{group:?} is left");
}

/// A host that lets nobody touch its control groups.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_caps_is_told_of_and_the_promise_given_up() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let mut arguments = CAPPED.to_vec();
    arguments.extend(["-o", "jsonl"]);
    let read_only = "for m in /sys/fs/cgroup/*; do mount -o remount,bind,ro $m 2>/dev/null; done; \
                     mount -o remount,bind,ro /sys/fs/cgroup; exec \"$@\"";
    let finished = site
        .migrate(&guest, &arguments)
        .through(["unshare", "--mount", "sh", "-c", read_only, "sh"])
        .run()
        .await;
    assert_eq!(finished.code, Some(20), "{finished:?}");
    let lines = finished.lines();
    let warned = warnings(&lines);
    assert!(
        warned.iter().any(|w| w.contains("without a cap")),
        "{warned:?}"
    );
    let report = lines.last().expect("a report");
    let why = report["outcome"]["error"].as_str().unwrap_or_default();
    assert!(why.contains("given up"), "{report}");
    site.is_untouched(&guest, &before).await;
}

/// Whether the hypervisor behind the proxy refuses parameters: from the first
/// answer on that finds it sending.
static REFUSES: AtomicBool = AtomicBool::new(false);

fn refusing(line: &str) -> String {
    if line.contains("\"status\": \"active\"") {
        REFUSES.store(true, Ordering::Relaxed);
    }
    let id = line
        .strip_prefix("{\"return\": {}, \"id\": ")
        .and_then(|rest| rest.strip_suffix('}'));
    match id {
        Some(id) if REFUSES.load(Ordering::Relaxed) => format!(
            "{{\"id\": {id}, \"error\": {{\"class\": \"GenericError\", \"desc\": \"not now\"}}}}"
        ),
        _ => line.to_owned(),
    }
}

/// Parameters that the hypervisor refuses are told, and the move goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_parameter_is_told_and_the_move_goes_on() {
    let (site, guest) = Site::with_guest(super::LINK, "idle:fill=40M").await;
    let monitor = guest.record().end(Side::Source).watch.clone();
    let proxy = Proxy::start(&site.dir().join("proxy.sock"), &monitor, refusing);
    let to = guest.destination_uri().to_string();
    let running = site
        .migrate_between(&proxy.uri(), &to, &guest, &COURTEOUS)
        .spawn();
    let finished = running.finish().await.moved(&[]);
    let warned = warnings(&finished.lines());
    assert!(
        warned
            .iter()
            .any(|w| w.contains("max-bandwidth could not be set") && w.contains("not now")),
        "{warned:?}"
    );
    site::runs_only_at(&guest, Side::Destination).await;
}

/// Ctrl-C while the guest is capped.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_move_leaves_the_guest_at_full_speed() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &CAPPED).spawn();
    in_mid_move(&guest, Bytes::from_mib(1)).await;
    let group = is_capped(&guest).await;
    running.process().signal(Signal::SIGINT);
    running.finish().await.expect(22, &[]);
    assert!(!group.exists(), "{group:?} is left");
    site.is_untouched(&guest, &before).await;
}
