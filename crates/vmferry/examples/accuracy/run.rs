//! Makes the migration of one cell.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vmferry::HistoryPlace;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{
    ByteRate, Bytes, LinkSpeed, Millis, MoveEvent, Observation, Outcome, Plan, Ratio, Remedy,
    RemedyKind,
};
use vmferry::guard_command;
use vmferry::measure::{ObserveOptions, PageOptions, default_budget, measure, observe};
use vmferry::migrate::{DEFAULT_STALL_TIMEOUT, EventSink};
use vmferry::model::{Assumptions, forecast};
use vmferry::moving::{self, MoveOptions, PreparedMove};
use vmferry::testbed::{GuestSpec, Side, TestGuest, Testbed};

use crate::cells::{Cell, Set};
use crate::record::{Background, Record};

type Fault = Box<dyn std::error::Error>;

/// Time within which a move must converge.
const DEADLINE: Duration = Duration::from_secs(60);
/// The burst budget: 15 s at 20 % of a core.
const WINDOW: Duration = Duration::from_secs(15);

/// The background budget: 30 s at 1 % of a core.
const BACKGROUND_WINDOW: Duration = Duration::from_secs(30);

/// From the beginning of the background to that of the burst. The background counts zero pages for
/// up to half of its window first, and both shall end together: the command follows the burst.
const BURST_AFTER: Duration = Duration::from_secs(28);

/// Makes the migration of a cell, and again where it is repeated and came to its end.
pub(crate) async fn cell(cell: &Cell) -> Result<Record, Fault> {
    let (testbed, guest) = start(cell).await?;
    let made = forecast_and_move(cell, &testbed, &guest, Instant::now()).await;
    testbed.close().await?;
    let mut record = made?;
    if cell.repeated && record.converged() {
        let (testbed, guest) = start(cell).await?;
        let made = move_again(&record, &testbed, &guest, Instant::now()).await;
        testbed.close().await?;
        record.repeat = Some(made?);
    }
    Ok(record)
}

async fn start(cell: &Cell) -> Result<(Testbed, TestGuest), Fault> {
    let rate = ByteRate::from_mbit_per_s(cell.rate_mbit);
    let testbed = Testbed::builder().rate(rate).build().await?;
    let mut spec = GuestSpec::new("guest", &cell.load).memory(Bytes::from_mib(cell.memory_mib));
    if cell.pattern == "disk" {
        spec = spec.disk(Bytes::from_mib(256));
    }
    let guest = testbed.start_guest(spec).await?;
    Ok((testbed, guest))
}

const fn limits(cell: &Cell) -> MoveLimits {
    MoveLimits {
        max_downtime_ms: Some(Millis(cell.limit_ms)),
        max_bandwidth: Some(ByteRate(1e9)),
        deadline_ms: Millis(DEADLINE.as_millis() as f64),
    }
}

fn within(window: Duration) -> ObserveOptions {
    ObserveOptions {
        pages: PageOptions {
            window,
            budget: default_budget(window),
            ..PageOptions::default()
        },
        ..ObserveOptions::default()
    }
}

async fn forecast_and_move(
    cell: &Cell,
    testbed: &Testbed,
    guest: &TestGuest,
    started: Instant,
) -> Result<Record, Fault> {
    let console = guest.console_watch();
    let limits = limits(cell);
    let background_began = Instant::now();
    let background = match cell.set {
        Set::Series => None,
        // In the background, over a monitor of its own, while the burst looks at the same guest.
        Set::Tuning | Set::Held => {
            let monitor = guest.watch(Side::Source).await?;
            let observing = async move { observe(&monitor, &within(BACKGROUND_WINDOW)).await };
            Some(tokio::spawn(observing))
        }
    };

    let mut rate = ByteRate::from_mbit_per_s(cell.rate_mbit);
    if let Some(share) = cell.of_boundary {
        let seen = measure(&guest.source_uri(), &within(WINDOW)).await?;
        rate = boundary(&seen.observation, &limits)? * Ratio(share);
        testbed.set_rate(Some(rate)).await?;
    }
    if background.is_some() {
        tokio::time::sleep(BURST_AFTER.saturating_sub(background_began.elapsed())).await;
    }
    let began = Instant::now();
    let prepared = prepare(guest, limits, rate, true).await?;
    let observed = (began + WINDOW / 10, began + WINDOW);
    let link = prepared.link().ok_or("no link")?.clone();
    let background = match background {
        Some(observing) => {
            let seen = observing.await??;
            let assumptions = Assumptions::for_guest(&seen.guest);
            Some(Background {
                forecast: forecast(&seen, &link, &limits, &assumptions, 1)?,
                observation: seen,
            })
        }
        None => None,
    };
    let moved_after_ms = started.elapsed().as_secs_f64() * 1e3;
    let observation = prepared.observation().ok_or("no observation")?.clone();
    let forecast = prepared.forecast().ok_or("no forecast")?.clone();
    let (outcome, times) = go(prepared).await?;
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
        background,
        boundary_mbit: cell.of_boundary.map(|share| rate.mbit_per_s() / share),
        moved_after_ms,
        repeat: None,
        learned: None,
    })
}

/// The rate from which on the guest converges, by the forecast.
fn boundary(seen: &Observation, limits: &MoveLimits) -> Result<ByteRate, Fault> {
    let slow = LinkSpeed::given(ByteRate::from_mbit_per_s(1.0));
    let hopeless = forecast(seen, &slow, limits, &Assumptions::for_guest(&seen.guest), 1)?;
    let bandwidth = |remedy: &Remedy| match remedy.kind {
        RemedyKind::Bandwidth { bandwidth } => Some(bandwidth),
        _ => None,
    };
    let found = hopeless.remedies.iter().find_map(bandwidth);
    Ok(found.ok_or("the forecast knows no bandwidth at which this guest converges")?)
}

/// Moves a guest over the same link, under the same limits and as long after its start as another
/// was.
async fn move_again(
    record: &Record,
    testbed: &Testbed,
    guest: &TestGuest,
    started: Instant,
) -> Result<Outcome, Fault> {
    testbed.set_rate(Some(record.link.wire_rate)).await?;
    let due = Duration::from_secs_f64(record.moved_after_ms / 1e3);
    tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    let prepared = prepare(guest, record.limits, record.link.wire_rate, false).await?;
    let (outcome, _) = go(prepared).await?;
    guest.kill(Side::Source).await?;
    Ok(outcome)
}

async fn prepare(
    guest: &TestGuest,
    limits: MoveLimits,
    rate: ByteRate,
    forecast: bool,
) -> Result<PreparedMove, Fault> {
    let plan = Plan {
        source: guest.source_uri(),
        destination: guest.destination_uri(),
        via: guest.via(),
        limits,
        tls_dir: None,
        promise: None,
    };
    let options = MoveOptions {
        history: HistoryPlace::Usual,
        // As it is by itself: what is judged must not depend on a history.
        model: "pages".to_owned(),
        bandwidth: Some(rate),
        observe: within(WINDOW),
        profile: None,
        forecast,
        at_once: true,
        stall_timeout: DEFAULT_STALL_TIMEOUT,
    };
    let quiet: EventSink = Arc::new(|_: &MoveEvent| ());
    Ok(moving::prepare(plan, &options, &quiet).await?)
}

/// Moves, giving up at the deadline, and tells when the command was given and the end was seen.
async fn go(prepared: PreparedMove) -> Result<(Outcome, Vec<Instant>), Fault> {
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
    Ok((outcome, times))
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
