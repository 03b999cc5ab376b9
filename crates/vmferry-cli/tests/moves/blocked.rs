//! Nobody reads what vmferry says (`| less`, Ctrl-S).

use serde_json::Value;
use vmferry::testbed::Side;

use super::{FAST, LOAD};
use crate::site::{self, Site, wait_for};

/// Runs its arguments with both outputs into one pipe that is full already, and that is read only
/// once the file `$0` exists.
const INTO_FULL_PIPE: &str = r#"
{ head -c 65536 /dev/zero | tr '\0' '\n'; exec "$@"; } 2>&1 |
{ until test -e "$0"; do sleep 0.05; done; cat; }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_does_not_hold_up_the_move() {
    let (site, guest) = Site::with_guest(FAST, LOAD).await;
    let read = site.dir().join("read");
    let file = read.display().to_string();
    let running = site
        .migrate(&guest, &["--no-forecast", "-o", "jsonl"])
        .through(["bash", "-o", "pipefail", "-c", INTO_FULL_PIPE, &file])
        .spawn();
    wait_for("the guest at the destination", async || {
        let state = site::run_state(&guest, Side::Destination).await;
        (state.as_deref() == Some("running")).then_some(())
    })
    .await;
    wait_for("the end of supervision", async || {
        let moves = std::fs::read_dir(site.state().join("moves")).ok()?;
        (moves.count() == 0).then_some(())
    })
    .await;
    std::fs::write(&read, "").expect("a file");
    let finished = running.finish().await.expect(0, &[]);
    let lines: Vec<Value> = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (report, events) = lines.split_last().expect("lines");
    assert_eq!(report["place"], "running-at-destination");
    for name in ["check", "started", "pass", "ended"] {
        assert!(
            events.iter().any(|event| event["event"] == name),
            "{name}: {events:?}"
        );
    }
    for words in [
        "check ok",
        " started",
        "ended: the guest runs at the destination",
    ] {
        assert!(
            finished.stdout.contains(words),
            "{words}: {}",
            finished.stdout
        );
    }
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_clean().await;
}
