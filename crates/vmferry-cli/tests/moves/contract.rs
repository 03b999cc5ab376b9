//! The contract of the command line, also for scripts.

use std::time::Instant;

use serde_json::Value;
use vmferry::core::{ByteRate, Forecast, OutcomeStatus, Place};
use vmferry::document::{MigrateReport, PredictReport};
use vmferry::history::{History, Store as _};
use vmferry::testbed::Side;

use super::{LOAD, is_reached, plain, recorded, text};
use crate::site::{self, Site, is_valid, wait_for};

/// The fields of a forecast that are intervals.
const INTERVALS: [&str; 7] = [
    "total_time_ms",
    "downtime_ms",
    "qemu_downtime_ms",
    "transferred_bytes",
    "wire_bytes",
    "slowdown",
    "passes",
];

fn is_forecast(document: &Value) {
    for field in INTERVALS {
        for percentile in ["p5", "p50", "p95"] {
            assert!(
                document[field][percentile].is_number(),
                "{field}.{percentile}: {document}"
            );
        }
    }
    for field in [
        "schema_version",
        "converges_probability",
        "remedies",
        "observation",
        "model",
    ] {
        assert!(!document[field].is_null(), "{field}: {document}");
    }
    for field in ["window_ms", "pages", "cost"] {
        assert!(
            !document["observation"][field].is_null(),
            "{field}: {document}"
        );
    }
}

fn within_a_factor_of_two(what: &str, forecast: f64, outcome: f64) {
    assert!(
        outcome > forecast / 2.0 && outcome < forecast * 2.0,
        "{what}: forecast {forecast}, was {outcome}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn measured_predicted_moved_and_remembered() {
    let (site, guest) = Site::with_guest(
        ByteRate::from_mbit_per_s(400.0),
        "uniform:set=16M,rate=4M,fill=8M",
    )
    .await;
    let before = site.before(&guest).await;
    let source = text(guest.source_uri());

    let measured = site
        .vmferry(&["measure", &source, "--window", "3s", "-o", "json"])
        .run()
        .await
        .expect(0, &[]);
    std::fs::write(site.dir().join("guest.json"), &measured.stdout).expect("a profile");
    let limits = ["--bandwidth", "400Mbit/s", "--max-downtime", "300ms"];
    let predicted = site
        .vmferry(&[
            "predict",
            &source,
            "--deadline",
            "120s",
            "--profile",
            "guest.json",
            "-o",
            "json",
        ])
        .args(&limits)
        .run()
        .await
        .expect(0, &[]);
    is_forecast(&predicted.json());
    let forecast = predicted.json::<PredictReport>().forecast;
    assert!(forecast.converges_probability > 0.9, "{forecast:?}");
    let auto = &forecast.model.notes;
    assert!(auto[0].starts_with("Model `pages`"), "{auto:?}");
    for model in ["avg", "hist", "textbook"] {
        let asked = [
            "predict",
            &source,
            "--profile",
            "guest.json",
            "--model",
            model,
        ];
        let answer = site.vmferry(&asked).args(&["-o", "json"]).args(&limits);
        let answer = answer.run().await.expect(0, &[]);
        is_valid("predict", &answer.json());
        let other = answer.json::<PredictReport>().forecast;
        assert_eq!((&*other.model.name, other.slowdown), (model, None));
        let median = |f: &Forecast| f.total_time_ms.expect("converges").p50.0;
        within_a_factor_of_two(model, median(&other), median(&forecast));
    }
    site.vmferry(&["predict", &source, "--profile", "guest.json"])
        .args(&["--model", "refined"])
        .args(&limits)
        .run()
        .await
        .expect(
            50,
            &[
                "the model `refined` learns from earlier moves",
                "there are 0",
            ],
        );
    site.is_untouched(&guest, &before).await;

    let probe = site
        .bed
        .probe(&guest, std::time::Duration::from_millis(20))
        .expect("a probe");
    let consoles = guest.console_watch();
    let moved = site
        .migrate(&guest, &["--window", "3s", "-o", "json"])
        .args(&limits)
        .run()
        .await
        .moved(&[]);
    let ended = Instant::now();
    let document: Value = moved.json();
    is_forecast(&document);
    for field in INTERVALS {
        assert!(
            document["outcome"][field].is_number(),
            "outcome.{field}: {document}"
        );
    }
    assert_eq!(document["place"], "running-at-destination");
    let report: MigrateReport = moved.json();
    let outcome = report.outcome.as_ref().expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    assert_eq!(outcome.error, None);

    let sent = outcome.transferred_bytes.expect("transferred").0 as f64;
    let wire = outcome.wire_bytes.expect("counted").0 as f64;
    assert!(
        wire >= sent && wire <= 1.15 * sent,
        "{wire} bytes on the wire for {sent}"
    );
    let total = outcome.total_time_ms.expect("a total time").0;
    within_a_factor_of_two(
        "total time",
        forecast.total_time_ms.expect("converges").p50.0,
        total,
    );
    let forecast_sent = forecast.transferred_bytes.expect("converges").p50.0 as f64;
    within_a_factor_of_two("traffic", forecast_sent, sent);
    let passes = outcome.passes.expect("passes");
    assert!(
        passes >= 2 && outcome.pass_list.len() as u64 <= passes,
        "{outcome:?}"
    );

    site::runs_only_at(&guest, Side::Destination).await;
    wait_for("the console at the destination", async || {
        let reports = consoles.reports();
        reports
            .iter()
            .any(|report| report.side == Side::Destination && report.at > ended)
            .then_some(())
    })
    .await;
    is_reached(&site, &guest).await;
    let seen = tokio::task::spawn_blocking(|| probe.finish())
        .await
        .expect("joined")
        .expect("a report");
    assert!(
        seen.ends_reachable() && !seen.outages.is_empty(),
        "{seen:?}"
    );
    site.is_put_back(&guest, &before).await;

    let record = recorded(&site).await;
    assert_eq!(
        (record.move_id, &record.outcome, &record.forecast),
        (report.move_id, &report.outcome, &report.forecast)
    );
    let raw = record.raw_statistics.expect("QEMU's own statistics");
    assert_eq!(raw["total-time"].as_f64(), Some(total));
    let history = History::open_existing(&site.database()).await;
    let kept = history
        .expect("a history")
        .observation(report.move_id)
        .await;
    let kept = kept.expect("it can be read").expect("an observation");
    let summary = record.forecast.expect("a forecast").observation;
    assert_eq!(
        (kept.started_at, kept.cost),
        (summary.started_at, summary.cost)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_then_events_as_lines() {
    let (site, guest) = Site::with_guest(ByteRate::from_mbit_per_s(1000.0), LOAD).await;
    let before = site.before(&guest).await;
    let dry = [
        "--dry-run",
        "--window",
        "2s",
        "--bandwidth",
        "1Gbit/s",
        "--max-downtime",
        "100ms",
        "-o",
        "json",
    ];
    let report: Value = site.migrate(&guest, &dry).run().await.expect(0, &[]).json();
    is_forecast(&report);
    assert_eq!(
        (&report["outcome"], &report["place"]),
        (&Value::Null, &Value::from("running-at-source"))
    );
    site.is_untouched(&guest, &before).await;
    assert!(!site.database().exists(), "a dry run is not remembered");

    let arguments = ["--no-forecast", "-o", "jsonl", "--progress", "json"];
    let moved = site.migrate(&guest, &arguments).run().await.expect(0, &[]);
    let lines = moved.lines();
    let (report, events) = lines.split_last().expect("lines");
    assert_eq!(report["place"], "running-at-destination");
    assert!(
        report["event"].is_null() && report["outcome"]["status"] == "completed",
        "{report}"
    );
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        (names.first(), names.last()),
        (Some(&"check"), Some(&"ended")),
        "{names:?}"
    );
    for name in ["started", "phase", "pass", "progress"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert_eq!(events.last().expect("events")["outcome"], report["outcome"]);
    // The same events, and nothing else, are the progress.
    let progress: Vec<Value> = moved
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert_eq!(progress, events);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;

    // It has left: the same command again finds out before anything is changed.
    site.migrate(&guest, &plain(&[]))
        .run()
        .await
        .expect(20, &["moved away", "waits for no migration"]);
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}
