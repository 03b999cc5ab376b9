//! Hand-made sessions: a QEMU of a version to come, or one that misbehaves. Nothing here was
//! recorded.

use std::time::Duration;

use serde_json::{Value, json};
use vmferry_core::MigrationStatus;
use vmferry_hypervisor::HypervisorError;

use crate::server::{Server, Step, answer, expect, greeted, say};

#[tokio::test]
async fn unknown_statuses_fields_and_events_pass() {
    let mut steps = greeted();
    steps.extend([
        expect("query-status", 2),
        answer(2, json!({ "status": "dreaming", "depth": 3 })),
        say(json!({ "event": "WARP", "data": { "factor": 9 }, "engine": "new" })),
        say(
            json!({ "event": "MIGRATION", "data": { "status": "warping" },
                    "timestamp": { "seconds": -1, "microseconds": -1 } }),
        ),
        say(json!({ "event": "MIGRATION", "data": { "state": 7 } })),
        say(json!({ "hologram": true })),
        expect("query-migrate", 3),
        answer(
            3,
            json!({ "status": "warping", "total-time": "soon", "downtime": -4,
                    "ram": { "transferred": 1.5e9, "remaining": null, "dilithium": 5 } }),
        ),
    ]);
    let server = Server::start(steps);
    let guest = server.connect().await;
    let mut events = guest.events();
    let state = guest.run_state().await.unwrap();
    assert_eq!(state.running, None);
    assert_eq!(state.status.as_deref(), Some("dreaming"));
    assert_eq!(state.raw["depth"], 3);

    let event = events.next().await.unwrap();
    assert_eq!(
        (event.name.as_str(), &event.raw["engine"]),
        ("WARP", &json!("new"))
    );
    assert_eq!(event.migration_status(), None);
    let event = events.next().await.unwrap();
    let warping = MigrationStatus::Unknown("warping".to_owned());
    assert_eq!(event.migration_status(), Some(warping.clone()));
    assert_eq!(event.timestamp_us, None);
    assert_eq!(events.next().await.unwrap().migration_status(), None);

    let info = guest.migration().await.unwrap();
    assert_eq!(info.status, warping);
    assert_eq!((info.total_time_ms, info.downtime_ms), (None, None));
    assert_eq!(info.ram.transferred_bytes, Some(1_500_000_000));
    assert_eq!(info.ram.remaining_bytes, None);
    assert_eq!(info.raw["ram"]["dilithium"], 5);
    server.finished().await;
    assert_eq!(events.next().await.map(|event| event.name), None);
}

#[tokio::test]
async fn lines_that_are_no_qmp_are_passed_over() {
    let mut steps = greeted();
    let garbage = [
        "}{",
        "[]",
        "\u{0}\u{1}",
        "{\"id\": 77, \"return\": {}}",
        "{\"error\": {}}",
    ];
    steps.push(expect("query-uuid", 2));
    steps.extend(garbage.map(|line| Step::Say(line.to_owned())));
    steps.push(answer(2, json!({ "UUID": "x" })));
    let server = Server::start(steps);
    assert_eq!(
        server.connect().await.uuid().await.unwrap().as_deref(),
        Some("x")
    );
    server.finished().await;
}

#[tokio::test]
async fn late_replies_are_not_mistaken_for_others() {
    let mut steps = greeted();
    steps.extend([
        expect("slow", 2),
        expect("query-name", 3),
        answer(2, json!({ "name": "of the late one" })),
        answer(3, json!({ "name": "right" })),
    ]);
    let server = Server::start(steps);
    let guest = server.connect().await;
    let error = guest
        .request_within("slow", None, Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(matches!(error, HypervisorError::Timeout { .. }), "{error}");
    assert_eq!(guest.name().await.unwrap().as_deref(), Some("right"));
    server.finished().await;
}

#[tokio::test]
async fn replies_in_any_order_find_their_request() {
    let mut steps = greeted();
    steps.extend([
        expect("first", 2),
        expect("second", 3),
        answer(3, json!("for the second")),
        answer(2, json!("for the first")),
    ]);
    let server = Server::start(steps);
    let guest = server.connect().await;
    let (first, second) = tokio::join!(guest.request("first", None), guest.request("second", None));
    assert_eq!(first.unwrap(), "for the first");
    assert_eq!(second.unwrap(), "for the second");
    server.finished().await;
}

#[tokio::test]
async fn answers_without_anything_are_read_as_unknown() {
    let mut steps = greeted();
    steps.extend([
        expect("query-migrate", 2),
        answer(2, Value::Null),
        expect("query-cpus-fast", 3),
        answer(3, json!([{}, 7])),
        expect("broken", 4),
        say(json!({ "id": 4, "error": "not even an object" })),
    ]);
    let server = Server::start(steps);
    let guest = server.connect().await;
    let info = guest.migration().await.unwrap();
    assert_eq!(info.status, MigrationStatus::None);
    assert_eq!(info.ram, vmferry_hypervisor::qmp::RamProgress::default());
    let vcpus = guest.vcpus().await.unwrap();
    assert!(vcpus.iter().all(|vcpu| vcpu.thread_id.is_none()));
    assert_eq!(vcpus.len(), 2);
    let error = guest.request("broken", None).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Refused { .. }), "{error}");
    server.finished().await;
}

#[tokio::test]
async fn an_end_in_mid_line_fails_what_waits() {
    let mut steps = greeted();
    steps.push(expect("query-migrate", 2));
    steps.push(say(json!({ "id": 2 })));
    let server = Server::start(steps);
    let guest = server.connect().await;
    let error = guest.migration().await.unwrap_err();
    assert!(error.is_closed(), "{error}");
    assert!(guest.events().next().await.is_none());
    server.finished().await;
}

/// What a future QEMU without the `uri` form would be told.
#[tokio::test]
async fn channels_are_used_where_the_older_form_is_gone() {
    let mut steps = greeted();
    steps.extend([
        expect("query-qmp-schema", 2),
        answer(
            2,
            json!([
                { "name": "migrate", "meta-type": "command", "arg-type": "0" },
                { "name": "0", "meta-type": "object",
                  "members": [{ "name": "channels", "type": "1" }] },
            ]),
        ),
        Step::Expect(json!({ "execute": "migrate", "id": 3, "arguments": { "channels": 0 } })),
        answer(3, json!({})),
    ]);
    let server = Server::start(steps);
    let address = vmferry_hypervisor::qmp::MigrationAddress::Tcp {
        host: "::1".to_owned(),
        port: 4444,
    };
    server.connect().await.migrate(&address).await.unwrap();
    server.finished().await;
}
