//! Wrong ends and wrong options: found before anything is changed.

use std::os::unix::net::UnixListener;

use serde_json::Value;
use vmferry::hypervisor::qmp::{ConnectOptions, Guest};

use super::{BLIND, IDLE, usual};
use crate::site::{Site, is_valid};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ends_are_named() {
    let (site, guest) = Site::with_guest(usual(), IDLE).await;
    let before = site.before(&guest).await;
    let (source, destination) = (
        guest.source_uri().to_string(),
        guest.destination_uri().to_string(),
    );
    let from = |uri: &str| site.migrate_between(uri, &destination, &guest, BLIND);
    let to = |uri: &str| site.migrate_between(&source, uri, &guest, BLIND);

    let missing = "there is no such socket; is the guest running";
    from("qmp:/nowhere.sock")
        .run()
        .await
        .expect(40, &["source: qmp:/nowhere.sock", missing]);
    to("qmp:/nowhere.sock")
        .run()
        .await
        .expect(40, &["destination: qmp:/nowhere.sock", missing]);
    from("qmp:/etc/passwd").run().await.expect(
        40,
        &["not a QMP monitor: got a regular file", "-qmp option"],
    );

    // A socket of something else, and one whose owner has exited.
    let other = site.dir().join("other.sock");
    let listener = UnixListener::bind(&other).expect("a socket");
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        std::io::Write::write_all(&mut client, b"SSH-2.0-OpenSSH\r\n").expect("its greeting");
    });
    let other = format!("qmp:{}", other.display());
    from(&other)
        .run()
        .await
        .expect(40, &["is not a QMP monitor: got \"SSH-2.0-OpenSSH\""]);
    server.join().expect("a server that ended");
    from(&other).run().await.expect(
        40,
        &["connection refused", "has exited, so start the guest again"],
    );

    let ssh = "ssh -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oConnectTimeout=5";
    from("qmp+ssh://nobody@127.0.0.1:1/x")
        .env("VMFERRY_SSH", ssh)
        .run()
        .await
        .expect(
            40,
            &[
                "ssh to nobody@127.0.0.1:1 failed",
                "Connection refused",
                "try: ssh",
            ],
        );
    to("qmp+ssh://host/x")
        .env("VMFERRY_SSH", "/no/ssh")
        .run()
        .await
        .expect(40, &["cannot start \"/no/ssh\"", "OpenSSH"]);

    // One QEMU at both ends, by the same monitor and by two.
    to(&source).run().await.expect(
        2,
        &["source and destination are the same", "-incoming defer"],
    );
    let second = format!("qmp:{}", guest.record().source.watch.display());
    to(&second)
        .run()
        .await
        .expect(20, &["source and destination are the same QEMU"]);
    site.migrate_between(&destination, &source, &guest, BLIND)
        .run()
        .await
        .expect(
            20,
            &[
                "are source and destination swapped?",
                "start it with -incoming defer",
            ],
        );

    // A monitor serves one client at a time.
    let held = Guest::connect(&guest.source_uri(), ConnectOptions::default())
        .await
        .expect("a free monitor");
    from(&source).run().await.expect(
        40,
        &[
            "another client probably holds this monitor",
            "qemu-system-x86_64",
        ],
    );
    drop(held);

    site.is_untouched(&guest, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_named() {
    let (site, guest) = Site::with_guest(usual(), IDLE).await;
    let before = site.before(&guest).await;
    let source = guest.source_uri().to_string();

    let (to, via) = (guest.destination_uri().to_string(), guest.via().to_string());
    site.vmferry(&[
        "migrate",
        &source,
        "--to",
        &to,
        "--via",
        &via,
        "--no-forecast",
    ])
    .run()
    .await
    .expect(2, &["nobody can be asked here", "--yes", "--dry-run"]);
    let dir = site.dir().display().to_string();
    site.migrate(&guest, &["--no-forecast", "--output-file", &dir])
        .run()
        .await
        .expect(2, &[&dir, "Is a directory", "--output-file"]);
    site.migrate(&guest, &["--window", "1us", "--bandwidth", "1Gbit/s"])
        .run()
        .await
        .expect(2, &["window"]);
    for option in ["--max-downtime", "--stall-timeout"] {
        site.migrate(&guest, &[option, "1us"])
            .run()
            .await
            .expect(2, &["`1us`", option, "at least"]);
    }
    site.migrate(&guest, &["--max-downtime", "1h"])
        .run()
        .await
        .expect(2, &["--max-downtime", "2000 s"]);
    // An address that is not the destination's.
    let via = |address: &str| {
        site.vmferry(&["migrate", &source, "--to", &to, "--via", address, "--yes"])
            .args(BLIND)
            .args(&["--max-downtime", "50ms"])
    };
    via("tcp:10.77.0.99:4444")
        .run()
        .await
        .expect(20, &["stream address", "10.77.0.99", "10.77.0.2"]);
    site.is_untouched(&guest, &before).await;
    // One that is, but that the source does not reach: found when it tries.
    via("tcp:127.0.0.1:4444").run().await.expect(
        20,
        &[
            "Connection refused",
            "the guest runs at the source",
            "start the destination again",
        ],
    );
    site.is_put_back(&guest, &before).await;
    // After that QEMU refuses to listen for good.
    site.migrate(&guest, BLIND).run().await.expect(
        20,
        &["tried to and failed", "start it again with -incoming defer"],
    );
    guest
        .restart_destination()
        .await
        .expect("a new destination");

    // Profiles: a real one, another guest's, a damaged one, none at all.
    let profile = site.dir().join("guest.json");
    let path = profile.display().to_string();
    site.vmferry(&[
        "measure",
        &source,
        "--window",
        "1s",
        "-o",
        "json",
        "--output-file",
        &path,
    ])
    .run()
    .await
    .expect(0, &["observing"]);
    let text = std::fs::read_to_string(&profile).expect("a profile");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    is_valid("measure", &document);
    let dry = ["--bandwidth", "400Mbit/s", "--dry-run", "--profile"];
    let dry_run = |profile: &str| {
        site.migrate(&guest, &dry)
            .args(&[profile])
            .args(&["-o", "json"])
    };
    let report: Value = dry_run(&path).run().await.expect(0, &[]).json();
    is_valid("migrate", &report);
    assert!(
        report["total_time_ms"]["p50"]
            .as_f64()
            .is_some_and(|ms| ms > 0.0),
        "{report}"
    );

    let uuid = guest.record().uuid.to_string();
    let stranger = text.replace(&uuid, "11111111-2222-3333-4444-555555555555");
    assert_ne!(stranger, text);
    for (text, word) in [
        (stranger.as_str(), "another guest (UUID 1111"),
        (&text[..text.len() / 2], "no JSON document"),
        ("{}", "no vmferry document"),
    ] {
        std::fs::write(&profile, text).expect("a profile");
        dry_run(&path)
            .run()
            .await
            .expect(2, &[&path, word, "vmferry measure GUEST -o json"]);
    }
    dry_run("/nowhere.json")
        .run()
        .await
        .expect(2, &["/nowhere.json", "No such file"]);
    site.is_untouched(&guest, &before).await;
}
