//! Recordings of real guests through the real command: what they hold, how they end, and what is
//! left when the recorder is killed or the disk full.

mod site;

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use vmferry::core::{ByteRate, Bytes, PAGE_SIZE};
use vmferry::document::TraceReport;
use vmferry::recording::{self, EndReason, HistoryBounds, TraceEnd};
use vmferry::testbed::{Side, TestGuest};

use site::{Finished, Running, Site, is_valid, wait_for};

/// Writes 8 MiB again and again, all of it within two seconds.
const LOAD: &str = "uniform:set=8M,rate=8M";

async fn site() -> (Site, TestGuest) {
    Site::with_guest(ByteRate::from_mbit_per_s(400.0), LOAD).await
}

/// `vmferry record GUEST --output-file FILE -o json ARGUMENTS`.
fn record(site: &Site, guest: &TestGuest, file: &Path, arguments: &[&str]) -> site::Vmferry {
    let (guest, file) = (guest.source_uri().to_string(), file.display().to_string());
    site.vmferry(&["record", &guest, "--output-file", &file, "-o", "json"])
        .args(arguments)
}

/// A recording under way of which some is in the file.
async fn under_way(running: Running, file: &Path) -> Running {
    wait_for("intervals in the file", async || {
        let seen = recording::info(file).ok()?;
        (seen.summary.intervals > 0).then_some(())
    })
    .await;
    running
}

fn report(finished: &Finished) -> TraceReport {
    is_valid("trace-info", &finished.json::<Value>());
    finished.json()
}

fn reason(report: &TraceReport) -> Option<EndReason> {
    match &report.summary.end {
        TraceEnd::Ended { footer } => Some(footer.reason),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_summed_up_and_exported() {
    let (site, guest) = site().await;
    let file = site.dir().join("web.trace");
    let name = file.display().to_string();
    let arguments = ["--duration", "4s", "--pages", "all", "--budget", "90%"];
    let recorded = record(&site, &guest, &file, &arguments)
        .run()
        .await
        .expect(0, &["recording", "within 90.0 % of a core"]);
    let seen = report(&recorded);
    let trace = &seen.summary;
    assert_eq!(reason(&seen), Some(EndReason::Complete));
    assert!(trace.header.whole_guest);
    assert_eq!(trace.header.guest.name.as_deref(), Some("web"));
    let migrated = trace.header.guest.migrated_bytes().expect("RAM blocks");
    assert_eq!(trace.pages.bytes(), migrated);
    assert!((4000.0..8000.0).contains(&trace.length_ms.0), "{trace:?}");
    let set = trace.working_set_bytes;
    assert!(
        set >= Bytes::from_mib(7) && set < Bytes::from_mib(64),
        "{set}"
    );
    assert_eq!(
        trace.file_bytes.0,
        std::fs::metadata(&file).expect("the trace").len()
    );

    let again = site
        .vmferry(&["trace", "info", &name, "-o", "json"])
        .run()
        .await;
    assert_eq!(report(&again.expect(0, &[])).summary, *trace);
    let table = site
        .vmferry(&["trace", "info", &name])
        .run()
        .await
        .expect(0, &[]);
    for words in [
        "guest        web",
        "(the whole guest)",
        "working set",
        "end          whole;",
    ] {
        assert!(table.stdout.contains(words), "{words}: {}", table.stdout);
    }

    let csv = site
        .vmferry(&["trace", "export", &name])
        .run()
        .await
        .expect(0, &[]);
    let rows = csv.stdout.lines().count() as u64 - 1;
    let rate = trace.dirty_rate_bytes_per_s.expect("intervals").0;
    let dirtied = rate * trace.length_ms.duration().as_secs_f64() / PAGE_SIZE.0 as f64;
    assert!(
        rows as f64 >= dirtied.floor(),
        "{rows} rows of {dirtied} pages"
    );
    let history =
        recording::page_history(&file, Some(&trace.header.guest), &HistoryBounds::default());
    assert_eq!(
        history.expect("a history").intervals() as u64,
        trace.intervals
    );

    let kept = std::fs::read(&file).expect("the trace");
    record(&site, &guest, &file, &[])
        .run()
        .await
        .expect(2, &["exists", "--force"]);
    assert_eq!(std::fs::read(&file).expect("the trace"), kept);
    let few = ["--force", "--duration", "500ms", "--pages", "1000"];
    let subset = report(
        &record(&site, &guest, &file, &few)
            .run()
            .await
            .expect(0, &[]),
    );
    assert!(!subset.summary.header.whole_guest);
    assert_eq!(subset.summary.represented_pages, trace.pages.0 as f64);
    site.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_by_hand_killed_and_left_by_its_guest() {
    let (site, guest) = site().await;
    let start = |name: &str| {
        let file = site.dir().join(name);
        let running = record(
            &site,
            &guest,
            &file,
            &["--duration", "1h", "--pages", "2000"],
        );
        (file, running.spawn())
    };
    let (file, running) = start("stopped.trace");
    let running = under_way(running, &file).await;
    running.process().signal(Signal::SIGINT);
    let finished = running.finish().await.expect(0, &["ending the recording"]);
    assert_eq!(reason(&report(&finished)), Some(EndReason::Stopped));

    let (file, running) = start("killed.trace");
    let running = under_way(running, &file).await;
    running.process().signal(Signal::SIGKILL);
    running.finish().await;
    let left = recording::info(&file).expect("a trace");
    assert!(
        matches!(left.summary.end, TraceEnd::CutOff { .. }),
        "{left:?}"
    );
    assert!(left.summary.intervals > 0);

    let (file, running) = start("exited.trace");
    let running = under_way(running, &file).await;
    site::crash(&guest, Side::Source);
    let finished = running.finish().await.expect(40, &[]);
    assert_eq!(reason(&report(&finished)), Some(EndReason::GuestExited));
    site.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_what_was_recorded() {
    let (site, guest) = site().await;
    let place = site.dir().join("small");
    let disk = site::Disk::mount(&place, 64 << 10);
    let file = place.join("web.trace");
    record(
        &site,
        &guest,
        &file,
        &["--duration", "1h", "--pages", "20000"],
    )
    .through(disk.through())
    .run()
    .await
    .expect(1, &["the disk is full", "can be read"]);
    let left = recording::info(&disk.path().join("web.trace")).expect("a trace");
    assert!(
        matches!(left.summary.end, TraceEnd::CutOff { .. }),
        "{left:?}"
    );
    assert!(left.summary.intervals > 0);
    site.is_clean().await;
}
