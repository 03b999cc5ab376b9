//! What the tests of moves share.

mod blocked;
mod contract;
mod interrupted;
mod killed;
mod orphaned;
mod side_by_side;
mod ssh;
mod tls;
mod watched;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmferry::core::{ByteRate, Bytes, GuestUri, MoveRecord};
use vmferry::document::MoveList;
use vmferry::testbed::{Process, Side, TestGuest};

use crate::site::{self, Running, Site, wait_for};

/// A link on which a guest with [`LOAD`] moves for more than 10 s.
const SLOW: ByteRate = ByteRate::from_mbit_per_s(50.0);
/// A link on which what is left moves at once.
const FAST: ByteRate = ByteRate::from_mbit_per_s(2000.0);
/// Memory that must be sent, and that does not change.
const LOAD: &str = "idle:fill=40M";
/// Enough sent to be in the middle of a move.
const MIDDLE: Bytes = Bytes::from_mib(6);
/// What vmferry promises for putting a host back when it dies.
const PROMISE: Duration = Duration::from_secs(5);
/// Limits that differ from QEMU's own.
const LIMITS: [&str; 4] = ["--max-bandwidth", "90MiB/s", "--max-downtime", "777ms"];

/// `--no-forecast`, JSON, and limits of its own: the move that most tests make.
fn plain<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--no-forecast", "-o", "json"];
    arguments.extend(more);
    arguments
}

/// The only move in the history of a site.
async fn recorded(site: &Site) -> MoveRecord {
    let list: MoveList = site
        .vmferry(&["history", "list", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    assert_eq!(list.moves.len(), 1, "{list:?}");
    let id = list.moves[0].move_id.to_string();
    site.vmferry(&["history", "show", &id, "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json()
}

/// The migration parameters of the source, over the second monitor.
async fn parameters(guest: &TestGuest, side: Side) -> Value {
    site::settings(guest, side).await.expect("a QEMU that runs")["query-migrate-parameters"].clone()
}

/// The source's parameters are what they were, within what is promised.
async fn put_back_in_time(guest: &TestGuest, was: &Value, since: Instant) {
    wait_for("parameters put back", async || {
        let is = parameters(guest, Side::Source).await;
        assert!(
            since.elapsed() < PROMISE || is == *was,
            "not put back within {PROMISE:?}: {is}"
        );
        (is == *was).then_some(())
    })
    .await;
}

/// A monitor's URI as text.
fn text(uri: GuestUri) -> String {
    uri.to_string()
}

/// The living children of a process whose command line holds a word.
fn children(of: Process, word: &str) -> Vec<Process> {
    let tasks = fs::read_dir(format!("/proc/{}/task", of.pid)).expect("a living process");
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let all: String = lists.collect();
    all.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words)
                .split('\0')
                .any(|w| w == word)
        })
        .filter_map(Process::of)
        .collect()
}

/// The guard of a move under way.
fn guard(of: &Running) -> Process {
    let guards = children(of.process(), "guard");
    assert_eq!(guards.len(), 1, "one guard");
    guards[0]
}

/// Waits until nothing of any vmferry of a site is left: the guard has brought
/// the move to its end.
async fn all_gone(site: &Site) {
    wait_for("the end of everything that vmferry started", async || {
        site.leftovers().is_empty().then_some(())
    })
    .await;
}

/// A client gets answers from the guest.
async fn is_reached(site: &Site, guest: &TestGuest) {
    wait_for("an answer to a client", async || {
        let probe = site
            .bed
            .probe(guest, Duration::from_millis(20))
            .expect("a probe");
        // The probe listens this long after its last question.
        tokio::task::spawn_blocking(|| probe.finish())
            .await
            .ok()?
            .ok()?
            .ends_reachable()
            .then_some(())
    })
    .await;
}
