//! Makes one move, with a guest started for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use vmferry::HistoryPlace;
use vmferry::core::plan::MoveLimits;
use vmferry::core::{ByteRate, Bytes, Millis, MoveEvent, Outcome, Plan};
use vmferry::guard_command;
use vmferry::measure::{ObserveOptions, PageOptions, default_budget};
use vmferry::migrate::{DEFAULT_STALL_TIMEOUT, EventSink};
use vmferry::moving::{self, MoveOptions, PreparedMove};
use vmferry::testbed::{GuestSpec, Side, TestGuest, Testbed};

use crate::cells::{Cell, Part};
use crate::guest_work::{self, Before, Metered, Meters, Used};
use crate::onlooker::{Onlooker, Sight};
use crate::record::{Cost, Record};

pub(crate) type Fault = Box<dyn std::error::Error>;

/// How a guest is observed for those that plan: 15 s at 20 % of a core.
const WINDOW: Duration = Duration::from_secs(15);
/// What an observation takes in all: memory is counted first.
const OBSERVED_IN: Duration = Duration::from_secs(17);
/// A controller that minds its deadline gets this much longer before the bench ends the move: it
/// shall have done so itself.
const GRACE: Duration = Duration::from_secs(2);
/// `deadline` aims at its time; only a move that is far beyond is ended.
const DEADLINE_GRACE: f64 = 1.5;
/// A move that was made to end and does not is given up after this much more.
const AT_LAST: Duration = Duration::from_secs(120);

/// Makes the move of a cell.
pub(crate) async fn cell(cell: &Cell) -> Result<Record, Fault> {
    let rate = ByteRate::from_mbit_per_s(cell.link_mbit);
    let testbed = Testbed::builder().rate(rate).build().await?;
    let made = on(&testbed, cell).await;
    testbed.close().await?;
    made
}

async fn on(testbed: &Testbed, cell: &Cell) -> Result<Record, Fault> {
    let spec = GuestSpec::new("guest", &cell.load).memory(Bytes::from_mib(cell.memory_mib));
    let guest = testbed.start_guest(spec).await?;
    let meters = Meters::start(&guest).await?;
    let before = meters
        .unmoved(cell.period_s.map(Duration::from_secs_f64))
        .await?;
    let looked = Instant::now();
    let mut record = Record {
        cell: cell.clone(),
        command: cell.command(),
        qemu: guest_work::command_lines(&guest),
        observation: None,
        link: None,
        refused: None,
        promised: None,
        report: None,
        outcome: None,
        events: Vec::new(),
        qemu_shares: Vec::new(),
        forced_at_ms: None,
        unmoved_per_s: before.work.per_s(),
        unmoved_of_aim: before.of_aim,
        cost: None,
    };
    let prepared = match prepare(&guest, cell).await {
        Ok(prepared) => prepared,
        Err(refused) if cell.steering.plans() => {
            record.refused = Some(refused.to_string());
            return Ok(record);
        }
        Err(error) => return Err(error.into()),
    };
    record.observation = prepared.observation().cloned();
    record.link = prepared.link().cloned();
    record.promised = prepared.promise().cloned();
    if cell.ages {
        tokio::time::sleep(OBSERVED_IN.saturating_sub(looked.elapsed())).await;
    }
    let (told, began) = watch::channel(None);
    let onlooker = Onlooker::start(guest.watch(Side::Source).await?, began, force_after(cell));
    let moving = Moving::new(&meters);
    let went = go(prepared, cell, &moving.sink(told)).await;
    let sight = onlooker.end();
    let (outcome, report) = went?;
    record.cost = moving.cost(&before).await;
    guest.kill(Side::Source).await?;
    record.outcome = Some(outcome);
    record.report = Some(report);
    record.events = moving.kept_events();
    take_over(&mut record, sight);
    Ok(record)
}

fn take_over(record: &mut Record, sight: Sight) {
    record.forced_at_ms = sight.forced_at;
    // Full speed before the first step is no news.
    let steered = sight.shares.iter().any(|(_, share)| share.0 < 1.0);
    if steered {
        record.qemu_shares = sight.shares;
    }
    if let Some(trouble) = sight.trouble {
        record.events.push(MoveEvent::Warning {
            message: format!("the guest could not be stopped at the cap on time: {trouble}"),
        });
    }
}

/// When the bench ends the move itself.
fn force_after(cell: &Cell) -> Duration {
    let within = Duration::from_secs_f64(cell.within_s);
    match cell.part {
        Part::Deadline => within.mul_f64(DEADLINE_GRACE),
        _ if cell.steering.plans() => within + GRACE,
        _ => within,
    }
}

async fn prepare(guest: &TestGuest, cell: &Cell) -> Result<PreparedMove, vmferry::Error> {
    let (pause, within) = (Millis(cell.max_downtime_ms), Millis(cell.within_s * 1e3));
    let promise = cell.steering.promise(pause, within);
    let plan = Plan {
        source: guest.source_uri(),
        destination: guest.destination_uri(),
        via: guest.via(),
        limits: MoveLimits {
            max_downtime_ms: Some(pause),
            max_bandwidth: Some(ByteRate(1e9)),
            deadline_ms: within,
        },
        tls_dir: None,
        promise: Some(promise),
    };
    let options = MoveOptions {
        history: HistoryPlace::Usual,
        // As it is by itself: what is judged must not depend on a history.
        model: "pages".to_owned(),
        bandwidth: Some(ByteRate::from_mbit_per_s(cell.link_mbit)),
        observe: ObserveOptions {
            pages: PageOptions {
                window: WINDOW,
                budget: default_budget(WINDOW),
                ..PageOptions::default()
            },
            ..ObserveOptions::default()
        },
        profile: None,
        forecast: cell.steering.observes(),
        at_once: true,
        stall_timeout: DEFAULT_STALL_TIMEOUT,
    };
    let quiet: EventSink = Arc::new(|_: &MoveEvent| ());
    moving::prepare(plan, &options, &quiet).await
}

async fn go(
    prepared: PreparedMove,
    cell: &Cell,
    sink: &EventSink,
) -> Result<(Outcome, Value), Fault> {
    let (give_up, cancel) = watch::channel(false);
    let at_last = force_after(cell) + AT_LAST;
    let watchdog = tokio::spawn(async move {
        tokio::time::sleep(at_last).await;
        give_up.send(true)
    });
    let report = prepared.go(guard_command, cancel, Arc::clone(sink)).await;
    watchdog.abort();
    let report = report?;
    let outcome = report.outcome.clone().ok_or("a move without an outcome")?;
    let mut report = serde_json::to_value(&report)?;
    if let Some(fields) = report.as_object_mut() {
        // These stand beside.
        fields.remove("outcome");
        fields.remove("remedies");
        fields.remove("promise");
    }
    Ok((outcome, report))
}

/// A move under way: when what happened, and what was used from the command to the end.
struct Moving<'a> {
    meters: &'a Meters,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    events: Vec<(Instant, MoveEvent)>,
    metered: Option<Metered>,
    used: Option<Used>,
}

impl<'a> Moving<'a> {
    fn new(meters: &'a Meters) -> Self {
        Self {
            meters,
            seen: Arc::default(),
        }
    }

    /// Keeps events, and tells the instant of the command.
    fn sink(&self, told: watch::Sender<Option<Instant>>) -> EventSink {
        let seen = Arc::clone(&self.seen);
        let threads = self.meters.threads();
        Arc::new(move |event| {
            let now = Instant::now();
            let mut seen = lock(&seen);
            match event {
                MoveEvent::Started { .. } => {
                    told.send_replace(Some(now));
                    seen.metered = threads.begin().ok();
                }
                MoveEvent::Ended { .. } => seen.used = seen.metered.as_ref().map(Metered::end),
                _ => {}
            }
            seen.events.push((now, event.clone()));
        })
    }

    /// From the command to its end.
    fn span(&self) -> Option<(Instant, Instant)> {
        let seen = lock(&self.seen);
        let when =
            |of: fn(&MoveEvent) -> bool| seen.events.iter().find(|(_, e)| of(e)).map(|(at, _)| *at);
        when(|e| matches!(e, MoveEvent::Started { .. }))
            .zip(when(|e| matches!(e, MoveEvent::Ended { .. })))
    }

    async fn cost(&self, before: &Before) -> Option<Cost> {
        let span = self.span()?;
        let used = lock(&self.seen).used;
        Some(self.meters.cost(before, span, used).await)
    }

    fn kept_events(&self) -> Vec<MoveEvent> {
        let kept = |event: &MoveEvent| {
            matches!(
                event,
                MoveEvent::Steered { .. } | MoveEvent::Warning { .. } | MoveEvent::Phase { .. }
            )
        };
        let seen = lock(&self.seen);
        let events = seen.events.iter().map(|(_, event)| event);
        events.filter(|event| kept(event)).cloned().collect()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
