use serde_json::json;
use vmferry_core::{ByteRate, LinkSource, MoveRecord, OutcomeStatus};
use vmferry_history::{Closed, History, HistoryError, MoveFilter, Route, Store, export, import};

use crate::sample::{message, outcome, place, record};

#[tokio::test]
async fn a_move_is_opened_closed_and_read_back() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let mut written = record(1, "web");
    history.open_move(&written).await.unwrap();
    history.open_move(&written).await.unwrap();
    assert_eq!(history.get("00000001").await.unwrap(), written);
    assert_eq!(
        history.list(&MoveFilter::default()).await.unwrap()[0].status,
        None
    );

    let raw = json!({"status": "completed", "x-new-in-11": [1, 2]});
    let end = outcome(OutcomeStatus::Completed, 500);
    let closed = history.close_move(written.move_id, &end, Some(&raw)).await;
    assert_eq!(closed.unwrap(), Closed::Recorded);
    history.close().await.unwrap();

    let history = History::open_existing(&path).await.unwrap();
    written.outcome = Some(end);
    written.raw_statistics = Some(raw);
    let read = history.get(&written.move_id.to_string()).await.unwrap();
    assert_eq!(read, written);
    let summary = &history.list(&MoveFilter::default()).await.unwrap()[0];
    assert_eq!(summary.status, Some(OutcomeStatus::Completed));
    assert_eq!(summary.wire_bytes.unwrap().0, 500_000_000);
}

#[tokio::test]
async fn the_first_outcome_stays_but_a_real_one_replaces_unknown() {
    use OutcomeStatus::{Completed, Failed, Unknown};
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let written = record(1, "web");
    history.open_move(&written).await.unwrap();
    for (status, closed, stays) in [
        (Unknown, Closed::Recorded, Unknown),
        (Unknown, Closed::Before, Unknown),
        (Completed, Closed::Recorded, Completed),
        (Failed, Closed::Before, Completed),
        (Unknown, Closed::Before, Completed),
    ] {
        let end = outcome(status, 1);
        let got = history
            .close_move(written.move_id, &end, None)
            .await
            .unwrap();
        assert_eq!(got, closed);
        let read = history.get("00000001").await.unwrap();
        assert_eq!(read.outcome.unwrap().status, stays);
    }
    let other = record(2, "web");
    let end = outcome(Completed, 1);
    let closed = history.close_move(other.move_id, &end, None).await;
    assert!(matches!(closed, Err(HistoryError::NoSuchMove { .. })));
}

#[tokio::test]
async fn lists_filter_and_identifiers_may_be_cut() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    for n in 0x11..0x19 {
        let guest = if n % 2 == 0 { "web" } else { "db" };
        history.open_move(&record(n, guest)).await.unwrap();
    }
    let names = |filter: MoveFilter| {
        let history = &history;
        async move {
            let found = history.list(&filter).await.unwrap();
            found
                .iter()
                .map(|m| (m.move_id.as_u128() >> 96) as u64)
                .collect::<Vec<_>>()
        }
    };
    let all = MoveFilter::default();
    assert_eq!(
        names(all.clone()).await,
        (0x11..0x19).rev().collect::<Vec<_>>()
    );
    for guest in ["web", "uuid-of-web"] {
        let filter = MoveFilter {
            guest: Some(guest.into()),
            limit: Some(3),
            ..all.clone()
        };
        assert_eq!(names(filter).await, [0x18, 0x16, 0x14]);
    }
    let filter = MoveFilter {
        since: Some(record(0x17, "").started_at),
        ..all
    };
    assert_eq!(names(filter).await, [0x18, 0x17]);
    let moves = history.guest_history("db", 2).await.unwrap();
    assert_eq!(moves, [record(0x17, "db"), record(0x15, "db")]);

    assert_eq!(history.get("00000012-").await.unwrap(), record(0x12, "web"));
    let ambiguous = history.get("0000001").await.unwrap_err();
    assert!(matches!(ambiguous, HistoryError::Ambiguous { .. }));
    let wrong = history.get("%").await.unwrap_err();
    assert!(matches!(wrong, HistoryError::NoIdentifier { .. }));
    assert!(!wrong.is_unavailable());
}

#[tokio::test]
async fn what_is_exported_can_be_imported_again_and_again() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    // More than one page of them.
    for n in 0..150 {
        let written = record(n, "web");
        history.open_move(&written).await.unwrap();
        if n % 3 == 0 {
            let end = outcome(OutcomeStatus::Completed, n);
            let raw = json!({ "n": n });
            history
                .close_move(written.move_id, &end, Some(&raw))
                .await
                .unwrap();
        }
    }
    let mut lines = Vec::new();
    let all = MoveFilter::default();
    assert_eq!(export(&history, &all, &mut lines).await.unwrap(), 150);
    let limited = MoveFilter {
        limit: Some(70),
        ..all.clone()
    };
    assert_eq!(
        export(&history, &limited, &mut Vec::new()).await.unwrap(),
        70
    );

    let (_dir, path) = place();
    let copy = History::open(&path).await.unwrap();
    for closed in [50, 0] {
        let done = import(&copy, &mut &lines[..]).await.unwrap();
        assert_eq!((done.read, done.closed), (150, closed));
    }
    let mut again = Vec::new();
    export(&copy, &all, &mut again).await.unwrap();
    assert_eq!(lines, again);

    let wrong = import(&copy, &mut &b"\n{\"schema_version\":1}\n"[..])
        .await
        .unwrap_err();
    assert!(message(&wrong).contains("on line 2"), "{}", message(&wrong));
}

#[tokio::test]
async fn records_of_other_versions_say_so() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    for (version, want) in [
        (99, "too new: schema_version 99 (written by vmferry 9.9)"),
        (0, "too old"),
    ] {
        let other = MoveRecord {
            schema_version: version,
            tool_version: "9.9".into(),
            ..record(1, "web")
        };
        let line = serde_json::to_vec(&other).unwrap();
        let error = import(&history, &mut &line[..]).await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert!(!error.is_unavailable());
    }
}

#[tokio::test]
async fn a_record_that_could_not_be_read_again_is_refused() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let mut broken = record(1, "web");
    broken.plan.limits.deadline_ms.0 = f64::INFINITY;
    let error = history.open_move(&broken).await.unwrap_err();
    assert!(matches!(error, HistoryError::BadDocument { .. }));
    assert_eq!(history.list(&MoveFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn moves_held_by_a_limit_teach_no_rate() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let mut next = 0;
    // The rate learned from three moves at this rate (MB/s on the wire) below this limit.
    let mut learned = async |wire_rate: u64, limit: Option<f64>| {
        let mut route = None;
        let via = format!("10.1.{next}.2");
        for _ in 0..3 {
            next += 1;
            let mut written = record(next, "web");
            written.plan.via.host.clone_from(&via);
            written.plan.limits.max_bandwidth = limit.map(ByteRate);
            history.open_move(&written).await.unwrap();
            let end = outcome(OutcomeStatus::Completed, wire_rate * 10);
            history
                .close_move(written.move_id, &end, None)
                .await
                .unwrap();
            route = Some(Route::of(&written));
        }
        let link = history.route_rate(&route.unwrap()).await.unwrap();
        link.map(|link| (link.wire_rate.0 / 1e6).round())
    };
    // QEMU's own 128 MiB/s of stream are 140 MB/s on the wire.
    assert_eq!(learned(140, None).await, None);
    assert_eq!(learned(130, None).await, None);
    // 1 Gbit/s, and a link whose hypervisor was plainly set otherwise.
    assert_eq!(learned(125, None).await, Some(125.0));
    assert_eq!(learned(1250, None).await, Some(1250.0));
    // A limit of the plan counts as far as it was reached.
    assert_eq!(learned(140, Some(1e9)).await, Some(140.0));
    assert_eq!(learned(50, Some(50e6)).await, None);
    assert_eq!(learned(60, Some(50e6)).await, None);
}

#[tokio::test]
async fn a_route_teaches_its_rate() {
    let (_dir, path) = place();
    let history = History::open(&path).await.unwrap();
    let route = Route::of(&record(0, "web"));
    assert_eq!(history.route_rate(&route).await.unwrap(), None);
    for (n, mb) in [(1, 490), (2, 500), (3, 510), (4, 495), (5, 505)] {
        let written = record(n, "web");
        history.open_move(&written).await.unwrap();
        let end = outcome(OutcomeStatus::Completed, mb);
        history
            .close_move(written.move_id, &end, None)
            .await
            .unwrap();
    }
    // None of these says anything about that link.
    let mut capped = record(6, "web");
    capped.plan.limits.max_bandwidth = Some(ByteRate(1e6));
    let mut elsewhere = record(7, "web");
    elsewhere.plan.via.host = "10.99.0.2".into();
    let failed = record(8, "web");
    for (other, status) in [
        (&capped, OutcomeStatus::Completed),
        (&elsewhere, OutcomeStatus::Completed),
        (&failed, OutcomeStatus::Failed),
    ] {
        history.open_move(other).await.unwrap();
        let end = outcome(status, 10);
        history.close_move(other.move_id, &end, None).await.unwrap();
    }
    let link = history.route_rate(&route).await.unwrap().unwrap();
    assert_eq!(link.wire_rate, ByteRate(50e6));
    assert_eq!(link.source, LinkSource::History);
    assert!((0.01..0.03).contains(&link.relative_sd.0), "{link:?}");
}
