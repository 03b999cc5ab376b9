//! Guests that move under a promise.

use serde_json::Value;
use vmferry::testbed::Side;

use super::{
    BUSY, CAPPED, COURTEOUS, FORECAST, LINK, busy_site, capped_groups, deepest_cap, events,
};
use crate::site::{self, Site};

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_outruns_the_link_is_capped_and_moved() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let mut arguments = CAPPED.to_vec();
    arguments.extend(["-o", "jsonl"]);
    let finished = site.migrate(&guest, &arguments).run().await.moved(&[]);
    let lines = finished.lines();
    let share = deepest_cap(&lines);
    assert!(share < 0.9, "held to {share}: {}", finished.stdout);
    let planned = events(&lines, "steered")
        .iter()
        .any(|event| event["ends_at_ms"].is_number());
    assert!(planned, "no end was planned: {}", finished.stdout);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
    assert_eq!(capped_groups(&guest), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_promised_is_refused_and_nothing_moves() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let mut arguments = FORECAST.to_vec();
    arguments.extend([
        "--max-downtime",
        "800ms",
        "--policy",
        "urgent",
        "--max-slowdown",
        "1%",
        "-o",
        "json",
    ]);
    let refused = site.migrate(&guest, &arguments).run().await.expect(10, &[]);
    let report: Value = refused.json();
    assert!(report["outcome"].is_null(), "{report}");
    let relaxations = report["promise"]["relaxations"].as_array();
    assert!(
        relaxations.is_some_and(|all| !all.is_empty()),
        "nothing is proposed: {report}"
    );
    site.is_untouched(&guest, &before).await;
}

/// QEMU's own throttle and the published algorithm steer as well.
#[tokio::test(flavor = "multi_thread")]
async fn others_steer_too() {
    for throttle in [
        &["--throttle", "qemu"][..],
        &["--throttle", "jin", "--expectant-ratio", "0.6"],
    ] {
        let (site, guest) = Site::with_guest(LINK, BUSY).await;
        let before = site.before(&guest).await;
        let mut arguments = vec!["--no-forecast", "--max-downtime", "1500ms", "-o", "jsonl"];
        arguments.extend(throttle);
        let finished = site.migrate(&guest, &arguments).run().await.moved(&[]);
        let lines = finished.lines();
        assert!(
            deepest_cap(&lines) < 0.95,
            "{throttle:?}: {}",
            finished.stdout
        );
        site::runs_only_at(&guest, Side::Destination).await;
        site.is_put_back(&guest, &before).await;
    }
}

/// R = D + delta between two rates: an idle guest's stream stays near the least.
#[tokio::test(flavor = "multi_thread")]
async fn a_courteous_stream_keeps_to_its_rates() {
    let (site, guest) = Site::with_guest(LINK, "idle:fill=40M").await;
    let before = site.before(&guest).await;
    let finished = site.migrate(&guest, &COURTEOUS).run().await.moved(&[]);
    let lines = finished.lines();
    let rates: Vec<f64> = events(&lines, "steered")
        .iter()
        .filter_map(|event| event["max_bandwidth_bytes_per_s"].as_f64())
        .collect();
    let (least, most) = (5.0 * 1048576.0, 15.0 * 1048576.0);
    assert!(
        !rates.is_empty() && rates.iter().all(|rate| (least..=most).contains(rate)),
        "{rates:?}"
    );
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}

/// The guest keeps its speed until it moves, and its memory follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_may_go_by_post_copy_does() {
    let (site, guest) = busy_site().await;
    let before = site.before(&guest).await;
    let mut arguments = FORECAST.to_vec();
    arguments.extend(["--deadline", "60s", "--allow-postcopy", "-o", "jsonl"]);
    let finished = site.migrate(&guest, &arguments).run().await.moved(&[]);
    let lines = finished.lines();
    let post_copy = events(&lines, "phase")
        .iter()
        .any(|event| event["status"] == "postcopy-active");
    assert!(post_copy, "no post-copy: {}", finished.stdout);
    assert!(deepest_cap(&lines) > 0.99, "{}", finished.stdout);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}
