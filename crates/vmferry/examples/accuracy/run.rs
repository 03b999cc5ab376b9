//! Makes the migration of one cell.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{ByteRate, Bytes, LinkSpeed, Millis, MoveEvent, Plan, Ratio, RemedyKind};
use vmferry::guard_command;
use vmferry::measure::{ObserveOptions, PageOptions, measure};
use vmferry::migrate::{DEFAULT_STALL_TIMEOUT, EventSink};
use vmferry::model::{Assumptions, forecast};
use vmferry::moving::{self, MoveOptions};
use vmferry::testbed::{GuestSpec, Side, TestGuest, Testbed};

use crate::cells::Cell;
use crate::record::Record;

type Fault = Box<dyn std::error::Error>;

/// Time within which a move must converge.
const DEADLINE: Duration = Duration::from_secs(60);
/// The burst budget: 15 s at 20 % of a core.
const WINDOW: Duration = Duration::from_secs(15);

pub(crate) async fn cell(cell: &Cell) -> Result<Record, Fault> {
    let rate = ByteRate::from_mbit_per_s(cell.rate_mbit);
    let testbed = Testbed::builder().rate(rate).build().await?;
    let mut spec = GuestSpec::new("guest", &cell.load).memory(Bytes::from_mib(cell.memory_mib));
    if cell.pattern == "disk" {
        spec = spec.disk(Bytes::from_mib(256));
    }
    let guest = testbed.start_guest(spec).await?;
    let result = move_guest(cell, &testbed, &guest).await;
    testbed.close().await?;
    result
}

async fn move_guest(cell: &Cell, testbed: &Testbed, guest: &TestGuest) -> Result<Record, Fault> {
    let console = guest.console_watch();
    let limits = MoveLimits {
        max_downtime_ms: Some(Millis(cell.limit_ms)),
        max_bandwidth: Some(ByteRate(1e9)),
        deadline_ms: DEADLINE.into(),
    };
    let observe = ObserveOptions {
        pages: PageOptions {
            window: WINDOW,
            ..PageOptions::default()
        },
        ..ObserveOptions::default()
    };
    let mut rate = ByteRate::from_mbit_per_s(cell.rate_mbit);
    if let Some(share) = cell.of_boundary {
        let seen = measure(&guest.source_uri(), &observe).await?.observation;
        let assumptions = Assumptions::for_guest(&seen.guest);
        let slow = LinkSpeed::given(ByteRate::from_mbit_per_s(1.0));
        let hopeless = forecast(&seen, &slow, &limits, &assumptions, 1)?;
        let boundary = hopeless
            .remedies
            .iter()
            .find_map(|remedy| match remedy.kind {
                RemedyKind::Bandwidth { bandwidth } => Some(bandwidth),
                _ => None,
            });
        rate = boundary.ok_or("the forecast knows no bandwidth at which this guest converges")?
            * Ratio(share);
        testbed.set_rate(Some(rate)).await?;
    }
    let plan = Plan {
        source: guest.source_uri(),
        destination: guest.destination_uri(),
        via: guest.via(),
        limits,
        tls_dir: None,
    };
    let options = MoveOptions {
        bandwidth: Some(rate),
        observe,
        profile: None,
        forecast: true,
        stall_timeout: DEFAULT_STALL_TIMEOUT,
    };
    let began = Instant::now();
    let prepared =
        moving::prepare(plan, &options, &(Arc::new(|_: &MoveEvent| ()) as EventSink)).await?;
    let observed = (began + WINDOW / 10, began + WINDOW);
    let forecast = prepared.forecast().ok_or("no forecast")?.clone();
    let observation = prepared.observation().ok_or("no observation")?.clone();
    let link = prepared.link().ok_or("no link")?.clone();

    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let sink = stopwatch(&times);
    let (give_up, cancel) = watch::channel(false);
    let deadline = tokio::spawn(async move {
        tokio::time::sleep(DEADLINE).await;
        give_up.send(true)
    });
    let report = prepared.go(guard_command, cancel, sink).await;
    deadline.abort();
    let outcome = report?.outcome.ok_or("no outcome")?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let guest_slowdown = match times.as_slice() {
        [from, to] => console.slowdown_reported(observed, (*from, *to)).await,
        _ => None,
    };
    guest.kill(Side::Source).await?;
    Ok(Record {
        cell: cell.clone(),
        link,
        limits,
        observation,
        forecast,
        outcome,
        guest_slowdown,
    })
}

/// Notes when the command was given and when the end was seen.
fn stopwatch(times: &Arc<Mutex<Vec<Instant>>>) -> EventSink {
    let times = Arc::clone(times);
    Arc::new(move |event| {
        if matches!(event, MoveEvent::Started { .. } | MoveEvent::Ended { .. }) {
            times
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Instant::now());
        }
    })
}
