//! What real versions of QEMU said, read by this client.

use serde_json::{Value, json};
use vmferry_core::MigrationStatus;
use vmferry_hypervisor::qmp::MigrationAddress;

use crate::server::Server;
use crate::tour;

const VERSIONS: [&str; 4] = ["qemu-5.2.0", "qemu-7.2.22", "qemu-10.0.2", "qemu-11.1.3"];

#[tokio::test]
async fn every_version_tells_what_it_is() {
    for version in VERSIONS {
        let server = Server::recorded(version, "guest.jsonl");
        let guest = server.connect().await;
        let told = tour::ask_everything(&guest).await.unwrap();
        let text = serde_json::to_string_pretty(&told).unwrap();
        insta::assert_snapshot!(format!("{version}-guest"), text);
        drop(guest);
        server.finished().await;
    }
}

#[tokio::test]
async fn every_version_moves_a_guest() {
    let stream = MigrationAddress::Unix {
        path: "/anywhere".into(),
    };
    for version in VERSIONS {
        let server = Server::recorded(version, "source.jsonl");
        let guest = server.connect().await;
        let (events, infos) = tour::follow_source(&guest, &stream).await.unwrap();
        let last = infos.last().unwrap();
        assert_eq!(last.status, MigrationStatus::Completed, "{version}");
        // Counters only grow, and the last answer holds the totals.
        let sent = infos.iter().filter_map(|i| i.ram.transferred_bytes);
        assert!(sent.is_sorted(), "{version}");
        assert!(last.downtime_ms.is_some() && last.total_time_ms.is_some());
        drop(guest);
        server.finished().await;

        let server = Server::recorded(version, "destination.jsonl");
        let guest = server.connect().await;
        let (prepared, received) = tokio::join!(
            tour::prepare_destination(&guest, &stream),
            tour::follow_destination(&guest)
        );
        prepared.unwrap();
        drop(guest);
        server.finished().await;

        let mut last = serde_json::to_value(last).unwrap();
        last.as_object_mut().unwrap().remove("raw");
        let told = json!({
            "source": events,
            "destination": received.unwrap(),
            "at the end": last,
        });
        let text = serde_json::to_string_pretty::<Value>(&told).unwrap();
        insta::assert_snapshot!(format!("{version}-move"), text);
    }
}
