//! Without faults.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vmferry::core::promise::Promise;
use vmferry::core::{MoveEvent, OutcomeStatus, Place, Plan};
use vmferry::migrate::undo::{self, Connections, UndoWhen};
use vmferry::migrate::{Baseline, CheckedPlan, Ends, Journal, finish};
use vmferry::testbed::Side;

use super::{FAST, LOAD, SLOW, switch};
use crate::site::{self, Site};

/// Prepared by vmferry itself, and put back by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_guest_is_moved_and_both_ends_put_back() {
    let (site, guest) = Site::with_guest(SLOW, LOAD).await;
    let before = site.before(&guest).await;
    let plan = Plan {
        source: guest.source_uri(),
        destination: guest.destination_uri(),
        via: guest.via(),
        limits: Default::default(),
        tls_dir: None,
        promise: Some(Promise {
            allow_postcopy: true,
            ..Promise::default()
        }),
    };
    let ends = Ends::connect(&plan).await.expect("both ends");
    let connections = [&ends.source, &ends.destination].map(|g| (g.uri().clone(), g.clone()));
    let baseline = Baseline::prepare(&ends.source, &plan, None).await;
    let checked = CheckedPlan::check(plan.clone(), ends)
        .await
        .expect("checks");
    assert!(
        checked
            .checks()
            .iter()
            .any(|check| check.name == "post-copy")
    );
    let mut journal = Journal::create(&site.dir().join("journal")).expect("a journal");
    let running = checked
        .start(&mut journal, baseline, Duration::from_secs(30), |_| Ok(()))
        .await
        .expect("a move that starts");
    let (cancel, cancelled) = watch::channel(false);
    let sink = Arc::new(|event: &MoveEvent| {
        if let MoveEvent::Warning { message } = event {
            panic!("{message}");
        }
    });
    let following = tokio::spawn(running.supervise(cancelled, sink));
    switch(&guest).await;
    site.bed.set_rate(Some(FAST)).await.expect("a faster link");
    let ended = following.await.expect("no panic");
    drop(cancel);

    let outcome = finish::outcome(&ended, &plan);
    assert_eq!(
        (outcome.status, outcome.place),
        (OutcomeStatus::Completed, Place::RunningAtDestination)
    );
    let (down, total) = (
        outcome.downtime_ms.expect("measured").0,
        outcome.total_time_ms.expect("measured").0,
    );
    assert!(down > 0.0 && down < total, "{down} ms of {total} ms");
    let mut connections = Connections::from(connections);
    let report = undo::undo(&mut journal, &mut connections, UndoWhen::AfterMigration).await;
    assert_eq!(report.failed, [""; 0]);
    drop((ended, connections));
    site::runs_only_at(&guest, Side::Destination).await;
    site.is_put_back(&guest, &before).await;
}
