//! `vmferry watch`, of moves and of migrations that others started.

use vmferry::hypervisor::qmp::MigrationAddress;
use vmferry::testbed::{Side, TestGuest};

use super::{FAST, LOAD, MIDDLE, SLOW, plain, text};
use crate::site::{self, Finished, Running, Site, in_mid_move, wait_for};

fn watch(site: &Site, uri: &str) -> Running {
    site.vmferry(&["watch", uri, "-o", "jsonl"]).spawn()
}

/// The statuses that a watcher saw.
fn phases(seen: &Finished) -> Vec<String> {
    let lines = seen.lines();
    lines
        .iter()
        .filter(|line| line["event"] == "phase")
        .map(|line| line["status"].as_str().unwrap_or("").to_owned())
        .collect()
}

/// Starts a migration without vmferry, over the second monitors.
async fn by_hand(guest: &TestGuest) {
    let address = MigrationAddress::from(&guest.via());
    let destination = guest.watch(Side::Destination).await.expect("a monitor");
    destination
        .migrate_incoming(&address)
        .await
        .expect("it listens");
    let source = guest.watch(Side::Source).await.expect("a monitor");
    source.migrate(&address).await.expect("it starts");
}

/// Waits until a watcher holds the first monitor, which serves one at a time.
async fn holds_the_monitor(guest: &TestGuest) {
    let path = guest.record().end(Side::Source).qmp.clone();
    wait_for("a watcher at the monitor", async || {
        let table = std::fs::read_to_string("/proc/net/unix").ok()?;
        // State 03 is connected; a listener is 01.
        let connected = |line: &&str| {
            line.ends_with(&path.display().to_string())
                && line.split_whitespace().nth(5) == Some("03")
        };
        table.lines().find(connected).map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_started_by_hand() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let source = text(guest.source_uri());
    site.vmferry(&["watch", &source])
        .run()
        .await
        .expect(40, &["no migration", "vmferry migrate"]);

    by_hand(&guest).await;
    let watching = watch(&site, &source);
    in_mid_move(&guest, MIDDLE).await;
    holds_the_monitor(&guest).await;
    let monitor = guest.watch(Side::Source).await.expect("a monitor");
    monitor.migrate_cancel().await.expect("cancelled");
    drop(monitor);
    let seen = watching.finish().await.expect(22, &[]);
    assert_eq!(
        phases(&seen).last().map(String::as_str),
        Some("cancelled"),
        "{seen:?}"
    );

    guest.restart_destination().await.expect("a destination");
    by_hand(&guest).await;
    let watching = watch(&site, &source);
    in_mid_move(&guest, MIDDLE).await;
    holds_the_monitor(&guest).await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let seen = watching.finish().await.expect(0, &[]);
    assert_eq!(
        phases(&seen).last().map(String::as_str),
        Some("completed"),
        "{seen:?}"
    );
    assert!(
        seen.lines().iter().any(|line| line["event"] == "pass"),
        "{seen:?}"
    );
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_by_either_end() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let running = site.migrate(&guest, &plain(&[])).spawn();
    in_mid_move(&guest, MIDDLE).await;
    let watchers =
        [guest.source_uri(), guest.destination_uri()].map(|uri| watch(&site, &text(uri)));
    let relative = site.vmferry(&["watch", "qmp:no/such.sock"]).run().await;
    relative.expect(40, &["no such socket"]);
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let moved: serde_json::Value = running.finish().await.expect(0, &[]).json();
    for watcher in watchers {
        let seen = watcher.finish().await.expect(0, &[]);
        let lines = seen.lines();
        let last = lines.last().expect("lines");
        assert_eq!(
            (&last["event"], &last["outcome"]),
            (&"ended".into(), &moved["outcome"])
        );
        assert!(
            lines.iter().any(|line| line["event"] == "started"),
            "from the beginning: {lines:?}"
        );
    }
    site.is_put_back(&guest, &before).await;
}
