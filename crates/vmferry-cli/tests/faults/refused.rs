//! Guests and destinations that do not fit: refused with the reason.

use std::net::TcpListener;

use serde_json::Value;
use vmferry::core::{ByteRate, Bytes};
use vmferry::hypervisor::qmp::MigrationAddress;
use vmferry::testbed::{GuestSpec, Side};

use super::{BLIND, IDLE, slow, usual};
use crate::site::{self, Site, crash, in_mid_move, is_valid, small};

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_cannot_move_are_refused() {
    let (site, guest) = Site::with_guest(slow(), IDLE).await;
    let before = site.before(&guest).await;
    let source = guest.source_uri().to_string();
    let monitor = async |side| site::monitor(&guest, side).await.expect("a monitor");

    monitor(Side::Source)
        .await
        .stop()
        .await
        .expect("the guest pauses");
    site.migrate(&guest, BLIND)
        .run()
        .await
        .expect(20, &["the guest is paused", "resume it"]);
    site.vmferry(&["measure", &source, "--window", "1s"])
        .run()
        .await
        .expect(40, &["the guest is paused"]);
    monitor(Side::Source)
        .await
        .cont()
        .await
        .expect("the guest resumes");

    let port = guest.via().port;
    let namespace = site.bed.host(Side::Destination);
    let taken = namespace
        .inside(|| TcpListener::bind(("0.0.0.0", port)))
        .expect("entered")
        .expect("a free port");
    site.migrate(&guest, BLIND).run().await.expect(
        20,
        &[
            &format!("already listens on port {port}"),
            "choose another one in --via",
        ],
    );
    drop(taken);
    site.is_untouched(&guest, &before).await;

    // Somebody else's migration: left alone.
    let address = MigrationAddress::from(&guest.via());
    monitor(Side::Destination)
        .await
        .migrate_incoming(&address)
        .await
        .expect("it listens");
    monitor(Side::Source)
        .await
        .migrate(&address)
        .await
        .expect("it starts");
    in_mid_move(&guest, Bytes::from_mib(1)).await;
    site.migrate(&guest, BLIND)
        .run()
        .await
        .expect(20, &["a migration is already under way", "vmferry watch"]);
    assert_eq!(
        monitor(Side::Source)
            .await
            .migration()
            .await
            .expect("an answer")
            .status
            .to_string(),
        "active"
    );
    monitor(Side::Source)
        .await
        .migrate_cancel()
        .await
        .expect("it is cancelled");

    crash(&guest, Side::Destination);
    site.migrate(&guest, BLIND)
        .run()
        .await
        .expect(40, &["destination", "connection refused", "has exited"]);
    site.is_untouched(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unlike_destinations_are_refused() {
    let site = Site::open(usual()).await;
    let memory = GuestSpec {
        destination_memory: Some(Bytes::from_mib(256)),
        ..small("memory", IDLE)
    };
    let machine = GuestSpec {
        destination_machine: Some("pc".to_owned()),
        ..small("machine", IDLE)
    };
    for (spec, words) in [
        (
            memory,
            [
                "memory sizes differ: 128 MiB at the source, 256 MiB at the destination",
                "source's -m",
            ],
        ),
        (machine, ["machine types differ", "source's -machine"]),
    ] {
        let guest = site.start(spec).await;
        let before = site.before(&guest).await;
        let refused = site
            .migrate(&guest, &["--no-forecast", "-o", "jsonl"])
            .run()
            .await
            .expect(20, &words);
        let events = refused.lines();
        assert!(
            events
                .iter()
                .any(|event| event["event"] == "check" && event["passed"] == false),
            "{events:?}"
        );
        for event in &events {
            is_valid("event", event);
        }
        site.is_untouched(&guest, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_converge_is_not_moved_unless_forced() {
    let rate = ByteRate::from_mbit_per_s(100.0);
    let (site, guest) = Site::with_guest(rate, "uniform:set=40M,rate=60M").await;
    let before = site.before(&guest).await;
    let source = guest.source_uri().to_string();
    let common = ["--bandwidth", "100Mbit/s", "--window", "2s", "-o", "json"];
    let predicted = site
        .vmferry(&["predict", &source])
        .args(&common)
        .run()
        .await
        .expect(10, &[]);
    let report: Value = predicted.json();
    is_valid("predict", &report);
    assert!(
        report["converges_probability"]
            .as_f64()
            .is_some_and(|p| p < 0.05),
        "{report}"
    );
    assert_eq!(report["total_time_ms"], Value::Null);
    assert!(
        report["remedies"]
            .as_array()
            .is_some_and(|remedies| !remedies.is_empty()),
        "{report}"
    );

    let refused = site.migrate(&guest, &common).run().await;
    let refused = refused.expect(
        10,
        &[
            "advised against",
            "it would with",
            "--force",
            "nothing was moved",
        ],
    );
    let report: Value = refused.json();
    is_valid("migrate", &report);
    assert_eq!(report["outcome"], Value::Null);
    site.is_untouched(&guest, &before).await;

    // It converges with a longer pause, which costs more than is promised.
    let costly = [
        "--max-downtime",
        "20s",
        "--max-slowdown",
        "1%",
        "--throttle",
        "off",
    ];
    site.migrate(&guest, &common)
        .args(&costly)
        .run()
        .await
        .expect(10, &["refused", "work lost", "--force"]);
    let moved = site
        .migrate(&guest, &common)
        .args(&costly)
        .args(&["--force"])
        .run()
        .await
        .moved(&["started"]);
    is_valid("migrate", &moved.json());
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;

    let record: Value = site
        .vmferry(&["history", "export"])
        .run()
        .await
        .expect(0, &[])
        .json();
    is_valid("record", &record);
}
