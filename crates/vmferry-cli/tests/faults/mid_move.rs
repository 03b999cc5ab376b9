//! Faults in the middle of a move.

use std::time::Duration;

use serde_json::Value;
use vmferry::core::Bytes;
use vmferry::testbed::Side;

use super::{IDLE, slow, usual};
use crate::site::{self, Proxy, Site, crash, in_mid_move, is_valid};

/// What a QEMU of another version might say.
fn dialect(line: &str) -> String {
    let odd = line
        .replace(r#""status": "setup""#, r#""status": "warming-up""#)
        .replace(r#""status": "active""#, r#""status": "hyper-active""#)
        .replace(r#""status": "device""#, r#""status": "device-2""#)
        .replace(
            r#""ram": {"#,
            r#""entanglement": [null, {}], "ram": {"qubits": {"spin": -1}, "#,
        );
    if line.contains(r#""event": "MIGRATION"#) {
        let event = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION_ODDITY", "data": {"status": 7}}"#;
        return format!("{event}\r\n{odd}");
    }
    odd
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_ends_in_a_move_given_up() {
    let (site, guest) = Site::with_guest(slow(), IDLE).await;
    let before = site.before(&guest).await;
    let limits = [
        "--max-downtime",
        "50ms",
        "--max-bandwidth",
        "1Gbit/s",
        "-o",
        "json",
    ];
    let run = site
        .migrate(&guest, &["--no-forecast", "--stall-timeout", "6s"])
        .args(&limits)
        .spawn();
    in_mid_move(&guest, Bytes::from_mib(2)).await;
    site.bed.cut_link().await.expect("the plug is pulled");
    let ended = run.finish().await.expect(
        20,
        &[
            "is the link up?",
            "given up: nothing was sent over tcp:",
            "for 6 s",
        ],
    );
    let report: Value = ended.json();
    is_valid("migrate", &report);
    assert_eq!(report["place"], "running-at-source");
    assert_eq!(report["outcome"]["status"], "failed");
    assert!(!ended.stderr.contains("put back"), "{}", ended.stderr);
    site.is_untouched(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_dies_in_mid_move_is_noticed() {
    let (site, guest) = Site::with_guest(slow(), IDLE).await;
    let before = site.before(&guest).await;
    let start = || {
        site.migrate(&guest, &["--no-forecast", "-o", "json"])
            .args(&["--max-downtime", "50ms"])
            .spawn()
    };

    let run = start();
    in_mid_move(&guest, Bytes::from_mib(2)).await;
    crash(&guest, Side::Destination);
    let report: Value = run
        .finish()
        .await
        .expect(20, &["ended: the guest runs at the source"])
        .json();
    is_valid("migrate", &report);
    let error = report["outcome"]["error"].as_str().expect("a reason");
    assert!(
        error.contains("destination: its QEMU has exited"),
        "{error}"
    );
    site.is_untouched(&guest, &before).await;

    guest
        .restart_destination()
        .await
        .expect("a new destination");
    let run = start();
    in_mid_move(&guest, Bytes::from_mib(2)).await;
    crash(&guest, Side::Source);
    let ended = run.finish().await.expect(
        21,
        &[
            "the guest's place is uncertain",
            "source: its QEMU has exited",
        ],
    );
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    let report: Value = ended.json();
    is_valid("migrate", &report);
    assert_eq!(report["place"], "uncertain");
    site.is_clean().await;

    let list: Value = site
        .vmferry(&["history", "list", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    assert_eq!(
        list["moves"].as_array().map(Vec::len),
        Some(2),
        "both are recorded: {list}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sockets_the_move_goes_on() {
    let (site, guest) = Site::with_guest(slow(), IDLE).await;
    let before = site.before(&guest).await;
    let run = site
        .migrate(&guest, &["--no-forecast", "--max-downtime", "200ms"])
        .spawn();
    in_mid_move(&guest, Bytes::from_mib(2)).await;
    for side in Side::BOTH {
        std::fs::remove_file(&guest.record().end(side).qmp).expect("a socket");
    }
    site.bed
        .set_rate(Some(usual()))
        .await
        .expect("a faster link");
    run.finish()
        .await
        .moved(&["ended: the guest runs at the destination"]);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_statuses_and_fields_do_not_stop_a_move() {
    let (site, guest) = Site::with_guest(usual(), IDLE).await;
    let before = site.before(&guest).await;
    let proxy = Proxy::start(
        &site.dir().join("proxy.sock"),
        &guest.record().source.qmp,
        dialect,
    );
    let destination = guest.destination_uri().to_string();
    let options = ["--no-forecast", "--max-downtime", "200ms", "-o", "jsonl"];
    let moved = site
        .migrate_between(&proxy.uri(), &destination, &guest, &options)
        .run()
        .await
        .moved(&[]);
    let mut lines = moved.lines();
    let report = lines.pop().expect("the report");
    is_valid("migrate", &report);
    for event in &lines {
        is_valid("event", event);
    }
    assert!(
        lines.iter().any(|event| event["status"] == "hyper-active"),
        "the proxy did rewrite: {lines:?}"
    );
    assert_eq!(report["place"], "running-at-destination");
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}
