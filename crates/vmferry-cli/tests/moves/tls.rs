//! Moves over TLS with real certificates.

use std::fs;
use std::process::Command;

use vmferry::core::{ByteRate, OutcomeStatus, Place};
use vmferry::document::{MigrateReport, MoveList};
use vmferry::testbed::{Side, Testbed};

use super::{FAST, LOAD, MIDDLE, SLOW, parameters, plain, text};
use crate::site::{self, Site, in_mid_move};

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_encrypted() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let certificates = site
        .bed
        .tls_directory()
        .await
        .expect("certificates")
        .display()
        .to_string();
    let running = site
        .migrate(&guest, &plain(&["--tls-dir", &certificates]))
        .spawn();
    in_mid_move(&guest, MIDDLE).await;
    for side in Side::BOTH {
        let credentials = parameters(&guest, side).await["tls-creds"].clone();
        assert!(
            credentials.as_str().is_some_and(|id| !id.is_empty()),
            "{side}: {credentials}"
        );
    }
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let report: MigrateReport = running.finish().await.expect(0, &[]).json();
    assert_eq!(report.place, Place::RunningAtDestination);
    site::runs_only_at(&guest, Side::Destination).await;
    // Objects are among what is compared.
    site.is_put_back(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_certificates_move_nothing() {
    let (site, guest) = Site::with_guest(ByteRate::from_mbit_per_s(400.0), LOAD).await;
    let before = site.before(&guest).await;
    let certificates = site.bed.tls_directory().await.expect("certificates");

    // The client's certificate is of another authority.
    let other = Testbed::builder().build().await.expect("another testbed");
    let others = other.tls_directory().await.expect("certificates of others");
    let mixed = site.dir().join("mixed");
    fs::create_dir(&mixed).expect("a directory");
    for (from, names) in [
        (
            &certificates,
            ["ca-cert.pem", "server-cert.pem", "server-key.pem"].as_slice(),
        ),
        (&others, &["client-cert.pem", "client-key.pem"]),
    ] {
        for name in names {
            fs::copy(from.join(name), mixed.join(name)).expect("copied");
        }
    }
    other.close().await.expect("closed");
    let failed = site
        .migrate(&guest, &plain(&["--tls-dir", &mixed.display().to_string()]))
        .run()
        .await;
    failed.expect(20, &["certificate", "the guest runs at the source"]);
    site.is_untouched(&guest, &before).await;

    // The server's certificate is not for the address it is reached at.
    if guest.pid(Side::Destination).is_none() {
        guest.restart_destination().await.expect("a destination");
    }
    let before = site.before(&guest).await;
    let namespace = site.bed.host(Side::Destination).path();
    let added = Command::new("nsenter")
        .arg(format!("--net={}", namespace.display()))
        .args(["ip", "address", "add", "10.77.0.3/24", "dev", "migration"])
        .status()
        .expect("ip");
    assert!(added.success());
    let (source, destination) = (text(guest.source_uri()), text(guest.destination_uri()));
    let certificates = certificates.display().to_string();
    let via = format!("tcp:10.77.0.3:{}", guest.via().port);
    let failed = site
        .vmferry(&[
            "migrate",
            &source,
            "--to",
            &destination,
            "--via",
            &via,
            "--yes",
            "--tls-dir",
            &certificates,
        ])
        .args(&plain(&[]))
        .run()
        .await
        .expect(20, &["ertificate"]);
    let report: MigrateReport = failed.json();
    let outcome = report.outcome.expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Failed, Place::RunningAtSource)
    );
    site.is_untouched(&guest, &before).await;
    // Both failures are remembered, the one that did not even start too.
    let list: MoveList = site
        .vmferry(&["history", "list", "-o", "json"])
        .run()
        .await
        .expect(0, &[])
        .json();
    let ends: Vec<_> = list
        .moves
        .iter()
        .map(|one| (one.status, one.place))
        .collect();
    let failed = (Some(OutcomeStatus::Failed), Some(Place::RunningAtSource));
    assert_eq!(ends, [failed, failed]);
}
