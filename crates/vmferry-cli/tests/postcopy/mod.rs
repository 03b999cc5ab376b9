//! What the tests of post-copy share.

mod broken;
mod died;
mod moved;

use std::fs;

use tokio::time::timeout;
use vmferry::core::{ByteRate, Bytes};
use vmferry::testbed::{Side, TestGuest};

use crate::site::{self, PATIENCE, Site, in_mid_move, wait_for};

/// A link on which the memory of a guest with [`LOAD`] arrives for a quarter of
/// a minute after the guest itself.
const SLOW: ByteRate = ByteRate::from_mbit_per_s(50.0);
/// A link on which what is left comes at once.
const FAST: ByteRate = ByteRate::from_mbit_per_s(2000.0);
/// Needs pages all over its memory from the moment it runs.
const LOAD: &str = "uniform:set=40M,rate=20M";
/// A move that never switches over by itself.
const PLAIN: &[&str] = &["--no-forecast", "-o", "json", "--max-downtime", "1ms"];

/// A guest both ends of which are ready for post-copy, whoever starts it.
async fn prepared() -> (Site, TestGuest) {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    for side in Side::BOTH {
        let monitor = site::monitor(&guest, side).await.expect("a QEMU that runs");
        monitor
            .set_capabilities(&[("postcopy-ram", true)])
            .await
            .expect("a host that can do post-copy");
    }
    (site, guest)
}

/// Brings a move that is under way into post-copy, through the second monitor;
/// returns once the guest runs at the destination. That one's monitor does not
/// answer while it waits for a page, but tells events.
async fn switch(guest: &TestGuest) {
    in_mid_move(guest, Bytes::from_mib(6)).await;
    let monitor = site::monitor(guest, Side::Destination).await;
    let mut there = monitor.as_ref().expect("a destination").events();
    let source = site::monitor(guest, Side::Source).await.expect("a source");
    source.migrate_start_postcopy().await.expect("post-copy");
    loop {
        let event = timeout(PATIENCE, there.next()).await.expect("in time");
        if event.expect("a destination that lives").name == "RESUME" {
            break;
        }
    }
}

/// Waits until the vmferry started by [`start`] has said something.
async fn said(site: &Site, words: &str) {
    wait_for(words, async || {
        fs::read_to_string(site.dir().join("said"))
            .ok()?
            .contains(words)
            .then_some(())
    })
    .await;
}

/// Everything that the vmferry started by [`start`] has said.
fn all_said(site: &Site) -> String {
    fs::read_to_string(site.dir().join("said")).unwrap_or_default()
}

/// A move whose messages can be read while it runs.
fn start(site: &Site, guest: &TestGuest) -> site::Running {
    site.migrate(guest, PLAIN)
        .through(["sh", "-c", "exec \"$0\" \"$@\" 2> said"])
        .spawn()
}

/// Waits until nothing of any vmferry of a site is left.
async fn all_gone(site: &Site) {
    wait_for("the end of everything that vmferry started", async || {
        site.leftovers().is_empty().then_some(())
    })
    .await;
}
