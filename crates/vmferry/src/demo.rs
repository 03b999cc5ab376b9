//! The main job on real QEMU: five different guests on a testbed of their own,
//! forecast beside outcome. One of them does not converge: it is moved under a
//! promise, by a cap on its CPU.

use std::pin::pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use vmferry_core::plan::{DEFAULT_DEADLINE, MoveLimits};
use vmferry_core::{
    ByteRate, Bytes, Forecast, Millis, MoveEvent, Outcome, Plan, Preset, Promise, PromiseForecast,
    Ratio, Throttle,
};
use vmferry_measure::ObserveOptions;
use vmferry_migrate::event_log::EventSink;
use vmferry_migrate::{DEFAULT_STALL_TIMEOUT, MoveDir};
use vmferry_testbed::{ConsoleWatch, GuestSpec, Side, TestGuest, Testbed};

use crate::Error;
use crate::HistoryPlace;
use crate::document::Versions;
use crate::moving::{self, MoveOptions, PreparedMove};

/// The answer of the demonstration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DemoReport {
    /// Versions.
    #[serde(flatten)]
    pub versions: Versions,
    /// Rate of the link between the hosts, bytes per second.
    pub rate_bytes_per_s: f64,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// One row a forecast, in order.
    pub rows: Vec<DemoRow>,
}

/// One forecast, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DemoRow {
    /// The guest.
    pub guest: String,
    /// What it does.
    pub load: String,
    /// Its memory.
    pub memory_bytes: Bytes,
    /// The downtime limit asked for.
    pub max_downtime_ms: Millis,
    /// What was promised, and what trials of that said, if this is a second
    /// attempt.
    #[serde(default)]
    pub promise: Option<PromiseForecast>,
    /// The forecast.
    pub forecast: Forecast,
    /// What was measured; `None` where the move was advised against.
    pub outcome: Option<Outcome>,
    /// Work lost as the guest itself counted it.
    pub guest_slowdown: Option<Ratio>,
}

/// What the demonstration says on its way.
#[derive(Clone, Debug)]
pub enum DemoStep {
    /// Something begins.
    Doing(String),
    /// A promise was judged.
    Promised(Box<PromiseForecast>),
    /// Something happened in a promised move.
    Event(Box<MoveEvent>),
    /// A row is complete.
    Row(Box<DemoRow>),
}

/// The guests, from quiet to hopeless. Sets and rates are bytes.
fn guests() -> [GuestSpec; 5] {
    let guest =
        |name: &str, load: &str, mib: u64| GuestSpec::new(name, load).memory(Bytes::from_mib(mib));
    [
        guest("idle", "idle:fill=64M", 256),
        guest("writer", "sequential:set=24M,rate=8M+idle:fill=96M", 256),
        guest(
            "database",
            "hotcold:set=8M,rate=16M,cold-set=128M,cold-rate=2M,write=word",
            384,
        ),
        guest("cyclic", "phases:3s@uniform:set=48M,rate=24M/3s@idle", 256),
        guest("busy", "uniform:set=128M,rate=100M", 256),
    ]
}

/// The limit of every move in the demonstration.
const MAX_DOWNTIME: Millis = Millis(300.0);
/// By when a promised move is over.
const DEADLINE: Millis = Millis(60_000.0);

/// Runs the demonstration. `guard` is the command that runs a guard.
///
/// # Errors
/// When the testbed cannot be made, or a move fails.
pub async fn run(
    rate: ByteRate,
    guard: fn(&MoveDir) -> Command,
    mut tell: impl FnMut(DemoStep),
) -> Result<DemoReport, Error> {
    tell(DemoStep::Doing(format!("two hosts with a link of {rate}")));
    let testbed = Testbed::builder().rate(rate).build().await?;
    let mut report = DemoReport {
        versions: Versions::default(),
        rate_bytes_per_s: rate.0,
        accelerator: format!("{:?}", testbed.accelerator()).to_lowercase(),
        rows: Vec::new(),
    };
    for spec in guests() {
        tell(DemoStep::Doing(format!(
            "{}: booting, {}",
            spec.name, spec.load
        )));
        let guest = testbed.start_guest(spec).await?;
        let mut demo = GuestDemo {
            guest: &guest,
            console: guest.console_watch(),
            rate,
            guard,
            tell: &mut tell,
        };
        report.rows.extend(demo.run().await?);
        for side in Side::BOTH {
            guest.kill(side).await?;
        }
    }
    testbed.close().await?;
    Ok(report)
}

struct GuestDemo<'a, F> {
    guest: &'a TestGuest,
    console: ConsoleWatch,
    rate: ByteRate,
    guard: fn(&MoveDir) -> Command,
    tell: &'a mut F,
}

impl<F: FnMut(DemoStep)> GuestDemo<'_, F> {
    async fn run(&mut self) -> Result<Vec<DemoRow>, Error> {
        let first = self.prepare(None).await?;
        if !first.0.is_advised_against() {
            return Ok(vec![self.carry_out(first).await?]);
        }
        let forecast = first.0.forecast().cloned();
        let forecast = forecast.ok_or_else(|| Error::Internal("advice without forecast".into()))?;
        drop(first);
        let refused = self.row(forecast);
        (self.tell)(DemoStep::Row(Box::new(refused.clone())));
        let promise = Promise {
            max_downtime_ms: Some(MAX_DOWNTIME),
            deadline_ms: Some(DEADLINE),
            throttle: Throttle::Auto,
            policy: Preset::Urgent,
            ..Promise::default()
        };
        (self.tell)(DemoStep::Doing(format!(
            "{}: again with --max-downtime {:.0}ms --deadline {:.0}s --policy {}",
            self.guest.name(),
            MAX_DOWNTIME.0,
            DEADLINE.0 / 1e3,
            promise.policy
        )));
        let second = self.prepare(Some(promise)).await?;
        let promised = second.0.promise().cloned();
        let promised = promised.ok_or_else(|| Error::Internal("nothing was promised".into()))?;
        (self.tell)(DemoStep::Promised(Box::new(promised.clone())));
        if !promised.accepted {
            return Ok(vec![refused]);
        }
        let row = self.carry_out(second).await?;
        Ok(vec![refused, row])
    }

    /// A forecast, and the time during which the guest was observed for it.
    async fn prepare(
        &mut self,
        promise: Option<Promise>,
    ) -> Result<(PreparedMove, (Instant, Instant)), Error> {
        (self.tell)(DemoStep::Doing(format!("{}: observing", self.guest.name())));
        let plan = Plan {
            source: self.guest.source_uri(),
            destination: self.guest.destination_uri(),
            via: self.guest.via(),
            limits: MoveLimits {
                max_downtime_ms: Some(MAX_DOWNTIME),
                ..MoveLimits::default()
            },
            tls_dir: None,
            promise,
        };
        let options = MoveOptions {
            history: HistoryPlace::Usual,
            model: crate::models::DEFAULT.to_owned(),
            bandwidth: Some(self.rate),
            observe: ObserveOptions::default(),
            profile: None,
            forecast: true,
            at_once: true,
            stall_timeout: DEFAULT_STALL_TIMEOUT,
        };
        let began = Instant::now();
        let prepared = moving::prepare(plan, &options, &quiet()).await?;
        // The console has been followed since the boot ended; its first report
        // is a moment away.
        let from = began + options.observe.pages.window / 10;
        Ok((prepared, (from, began + options.observe.pages.window)))
    }

    async fn carry_out(
        &mut self,
        (prepared, observed): (PreparedMove, (Instant, Instant)),
    ) -> Result<DemoRow, Error> {
        (self.tell)(DemoStep::Doing(format!("{}: moving", self.guest.name())));
        let forecast = prepared.forecast().cloned();
        let promise = prepared.promise().cloned();
        let span = Span::default();
        let (give_up, cancel) = watch::channel(false);
        let deadline = tokio::spawn(async move {
            tokio::time::sleep(DEFAULT_DEADLINE).await;
            give_up.send(true)
        });
        let (steered, mut told) = mpsc::unbounded_channel();
        let sink = span.sink(steered);
        let mut going = pin!(prepared.go(self.guard, cancel, sink));
        let report = loop {
            tokio::select! {
                report = &mut going => break report,
                Some(event) = told.recv() => (self.tell)(DemoStep::Event(Box::new(event))),
            }
        };
        deadline.abort();
        let report = report?;
        let guest_slowdown = self.lost(observed, span).await;
        let forecast =
            forecast.ok_or_else(|| Error::Internal("a demonstration without forecast".into()))?;
        let row = DemoRow {
            promise,
            outcome: report.outcome,
            guest_slowdown,
            ..self.row(forecast)
        };
        (self.tell)(DemoStep::Row(Box::new(row.clone())));
        Ok(row)
    }

    /// A forecast that nothing has come of yet.
    fn row(&self, forecast: Forecast) -> DemoRow {
        let spec = self.guest.record().spec;
        DemoRow {
            guest: spec.name,
            load: spec.load,
            memory_bytes: spec.memory,
            max_downtime_ms: MAX_DOWNTIME,
            promise: None,
            forecast,
            outcome: None,
            guest_slowdown: None,
        }
    }

    /// Work lost during the move by the guest's own count, against its speed
    /// while it was observed.
    async fn lost(&self, observed: (Instant, Instant), span: Span) -> Option<Ratio> {
        let lost = self
            .console
            .slowdown_reported(observed, span.get()?)
            .await?;
        Some(Ratio(lost.0.max(0.0)))
    }
}

/// From the command to the end of a move.
#[derive(Clone, Default)]
struct Span(Arc<Mutex<(Option<Instant>, Option<Instant>)>>);

impl Span {
    /// Notes both ends, and passes on what steering does.
    fn sink(&self, steered: mpsc::UnboundedSender<MoveEvent>) -> EventSink {
        let this = self.clone();
        Arc::new(move |event| {
            if matches!(event, MoveEvent::Steered { .. }) {
                // Nobody listens any more once the move is over.
                let _ = steered.send(event.clone());
            }
            let mut times = this.0.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                MoveEvent::Started { .. } => times.0 = Some(Instant::now()),
                MoveEvent::Ended { .. } => times.1 = Some(Instant::now()),
                _ => {}
            }
        })
    }

    fn get(&self) -> Option<(Instant, Instant)> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.0.zip(times.1)
    }
}

/// The demonstration shows rows, not events.
fn quiet() -> EventSink {
    Arc::new(|_| ())
}
