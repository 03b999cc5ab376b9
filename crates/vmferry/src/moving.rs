//! A move from the operator's side: check, forecast, ask, move, record.

mod ending;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;
use vmferry_core::plan::MoveLimits;
use vmferry_core::{
    ByteRate, Forecast, LinkSpeed, MoveEvent, MoveRecord, Observation, Outcome, OutcomeStatus,
    Place, Plan, PromiseForecast, SCHEMA_VERSION,
};
use vmferry_history::{History, HistoryError, Store as _};
use vmferry_measure::{ObserveOptions, observe};
use vmferry_migrate::event_log::{self, EventSink};
use vmferry_migrate::guard::{self, GuardHandle};
use vmferry_migrate::identity::Identity;
use vmferry_migrate::state_dir::{GuestLock, Lock};
use vmferry_migrate::takeover::{BASELINE_FILE, CANCEL_FILE, RECORD_FILE};
use vmferry_migrate::undo::{self, Connections, UndoWhen};
use vmferry_migrate::{Baseline, CheckedPlan, Ends, Journal, MoveDir, StateDir, finish, place};

use vmferry_model::Assumptions;

use crate::document::{MigrateReport, Versions};
use crate::earlier::Earlier;
use crate::energy::{EnergyForecast, HostNames, energy_forecast};
use crate::history_place::HistoryPlace;
use crate::link::{self, RouteEnd};
use crate::models::{self, Fitted};
use crate::predict::{self, Reforecaster};
use crate::promising::{self, Known};
use crate::{Error, TOOL_VERSION, profile, steering};

pub use ending::exit_code;
use ending::missed;

/// What a move needs beside its plan.
#[derive(Clone, Debug)]
pub struct MoveOptions {
    /// Name of the model that forecasts, one of
    /// [`models::NAMES`].
    pub model: String,
    /// The link's rate, where the operator knows it.
    pub bandwidth: Option<ByteRate>,
    /// How to observe the guest.
    pub observe: ObserveOptions,
    /// An observation in a file, instead of a new one.
    pub profile: Option<PathBuf>,
    /// Whether to forecast at all.
    pub forecast: bool,
    /// Whether the move is made as soon as it is forecast, unasked: a guest that goes round is then
    /// forecast from its place in the round.
    pub at_once: bool,
    /// How long the stream may stand still before the move is given up.
    pub stall_timeout: Duration,
    /// Where the move is kept, and whose earlier moves teach the forecast.
    pub history: HistoryPlace,
}

/// A move that was checked and forecast, and has changed nothing so far.
#[derive(Debug)]
pub struct PreparedMove {
    _lock: GuestLock,
    checked: CheckedPlan,
    observation: Option<Observation>,
    link: Option<LinkSpeed>,
    assumptions: Option<Assumptions>,
    /// The limits that were forecast under.
    limits: MoveLimits,
    forecast: Option<Forecast>,
    promise: Option<PromiseForecast>,
    energy: Option<EnergyForecast>,
    stall_timeout: Duration,
    history: HistoryPlace,
}

/// What was seen of a guest and of its link before a move was thought of.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The guest.
    pub observation: Observation,
    /// The link.
    pub link: LinkSpeed,
}

/// From the beginning of a forecast to the migration command: 0.2 s, or 1.7 s where remedies are
/// searched. A move that needs remedies is rarely made.
const UNTIL_COMMAND: Duration = Duration::from_millis(300);

/// Checks both ends and forecasts the move.
///
/// # Errors
/// When the model does not describe pre-copy, the promise contradicts itself or
/// cannot be throttled for, another vmferry moves the guest, an end cannot be
/// reached, a check fails, or no forecast is possible.
pub async fn prepare(
    plan: Plan,
    options: &MoveOptions,
    sink: &EventSink,
) -> Result<PreparedMove, Error> {
    prepare_with(plan, options, None, sink).await
}

/// As [`prepare`], with a forecast from what was seen before.
///
/// # Errors
/// As [`prepare`].
pub async fn prepare_observed(
    plan: Plan,
    options: &MoveOptions,
    known: Observed,
    sink: &EventSink,
) -> Result<PreparedMove, Error> {
    prepare_with(plan, options, Some(known), sink).await
}

async fn prepare_with(
    plan: Plan,
    options: &MoveOptions,
    known: Option<Observed>,
    sink: &EventSink,
) -> Result<PreparedMove, Error> {
    if options.forecast {
        models::describes_our_moves(&options.model)?;
    }
    if let Some(promise) = &plan.promise {
        promising::check(promise, options.forecast)?;
    }
    // Before anything is asked: a monitor held by the other vmferry would only look busy.
    let lock = StateDir::from_env()?.lock_guest(&plan.source.to_string())?;
    let ends = Ends::connect(&plan).await?;
    let checked = CheckedPlan::check(plan, ends).await.inspect_err(|error| {
        if let vmferry_migrate::MigrateError::Preflight(failure) = error {
            tell_checks(&failure.checks, sink);
        }
    })?;
    tell_checks(checked.checks(), sink);
    let promise = checked.plan().promise.as_ref();
    promising::dirty_limit_is_possible(&checked.ends().source, promise).await?;
    let mut prepared = PreparedMove {
        _lock: lock,
        limits: checked.plan().limits,
        checked,
        observation: None,
        link: None,
        assumptions: None,
        forecast: None,
        promise: None,
        energy: None,
        stall_timeout: options.stall_timeout,
        history: options.history.clone(),
    };
    if options.forecast {
        prepared.look_ahead(options, known).await?;
    }
    Ok(prepared)
}

fn tell_checks(checks: &[vmferry_migrate::Check], sink: &EventSink) {
    for check in checks {
        sink(&MoveEvent::Check {
            name: check.name.clone(),
            detail: check.detail.clone(),
            passed: check.passed,
        });
    }
}

impl PreparedMove {
    async fn look_ahead(
        &mut self,
        options: &MoveOptions,
        known: Option<Observed>,
    ) -> Result<(), Error> {
        let ends = self.checked.ends();
        let plan = self.checked.plan();
        let end = RouteEnd {
            destination: &ends.destination,
            via: &plan.via,
        };
        let link = match &known {
            Some(known) => known.link.clone(),
            None => link::speed(options.bandwidth, &ends.source, Some(end)).await?,
        };
        let guest = &self.checked.source().guest;
        let route = Some(end.route_from(&ends.source));
        let earlier = Earlier::kept_at(&self.history, guest, route, &options.model).await;
        let mut assumptions = predict::assumptions(&ends.source, guest, &earlier).await?;
        let model = Fitted::new(&options.model, &earlier, guest)?;
        let observation = match (known, &options.profile) {
            (Some(known), _) => known.observation,
            (None, Some(path)) => {
                let observation = profile::read(path)?;
                profile::fits(path, &observation, guest)?;
                observation
            }
            (None, None) => observe(&ends.source, &options.observe).await?,
        };
        if options.at_once {
            assumptions.command_at = Some(jiff::Timestamp::now() + UNTIL_COMMAND);
        }
        let known = Known {
            observation: &observation,
            link: &link,
            assumptions: &assumptions,
        };
        let promise = plan.promise.as_ref();
        let limits = known.limits(&plan.limits, promise)?;
        let (forecast, promise) = tokio::try_join!(
            model.forecast(&assumptions, &observation, &link, &limits),
            known.promised(promise),
        )?;
        self.promise = promise;
        self.limits = limits;
        self.assumptions = Some(assumptions);
        self.observation = Some(observation);
        self.link = Some(link);
        if let Some(route) = earlier.route() {
            self.energy = energy_forecast(&HostNames::of(route), &forecast).await;
        }
        self.forecast = Some(forecast);
        Ok(())
    }

    /// The forecast.
    pub fn forecast(&self) -> Option<&Forecast> {
        self.forecast.as_ref()
    }

    /// The energy of the move, where its hosts have an energy profile.
    pub fn energy(&self) -> Option<&EnergyForecast> {
        self.energy.as_ref()
    }

    /// What the forecast is based on.
    pub fn observation(&self) -> Option<&Observation> {
        self.observation.as_ref()
    }

    /// The link as the forecast assumes it.
    pub fn link(&self) -> Option<&LinkSpeed> {
        self.link.as_ref()
    }

    /// What becomes of the promise, where one was made.
    pub fn promise(&self) -> Option<&PromiseForecast> {
        self.promise.as_ref()
    }

    /// Whether the forecast advises against the move: its promise cannot be kept,
    /// or without one it hardly converges.
    pub fn is_advised_against(&self) -> bool {
        let converges = self.forecast.as_ref().map(|f| f.converges_probability);
        promising::is_advised_against(converges, self.promise.as_ref())
    }

    /// The report of a move that is not made.
    pub fn dry_report(&self) -> MigrateReport {
        self.report(Uuid::now_v7(), None, Place::RunningAtSource)
    }

    fn report(&self, move_id: Uuid, outcome: Option<Outcome>, place: Place) -> MigrateReport {
        let (source, destination) = (self.checked.source(), self.checked.destination());
        MigrateReport {
            versions: Versions::default(),
            move_id,
            plan: self.checked.plan().clone(),
            guest: source.guest.clone(),
            source_host: source.host.clone(),
            destination_host: destination.host.clone(),
            link: self.link.clone(),
            checks: self.checked.checks().to_vec(),
            forecast: self.forecast.clone(),
            promise: self.promise.clone(),
            missed: missed(self.checked.plan(), outcome.as_ref()),
            energy: self.energy.clone(),
            outcome,
            place,
        }
    }

    /// Makes the move. `guard` is the command that runs
    /// [`guarding::guard`](crate::guarding::guard); a `true` on `cancel`
    /// cancels the move.
    ///
    /// # Errors
    /// When the move could not be started; everything is undone then, and the
    /// guest runs at the source unless the error says otherwise. A move that
    /// started always gives a report, whatever became of it.
    pub async fn go(
        self,
        guard: impl FnOnce(&MoveDir) -> Command,
        cancel: watch::Receiver<bool>,
        sink: EventSink,
    ) -> Result<MigrateReport, Error> {
        let state = StateDir::from_env()?;
        let move_id = Uuid::now_v7();
        let steersman = steering::steersman(
            self.checked.plan(),
            self.observation.as_ref(),
            self.link.as_ref(),
            self.assumptions.as_ref(),
        )?;
        let report = self.report(move_id, None, Place::Uncertain);
        let record = self.record(move_id);
        let vcpu_use = self.observation.as_ref().and_then(|o| o.vcpu_use);
        let ends = self.checked.ends().clone();
        let (dir, owner) = state.create_move(move_id)?;
        let known = (&record, self.observation.as_ref());
        let history = self.history.clone();
        let mut site = match Site::open((dir, owner), known, &ends, (guard, history), &sink).await {
            Ok(site) => site,
            Err(error) => {
                // Nothing was changed on any host yet.
                let _ = state.open_move(move_id).remove();
                return Err(error);
            }
        };

        let mut connections = Connections::from([
            (ends.source.uri().clone(), ends.source.clone()),
            (ends.destination.uri().clone(), ends.destination.clone()),
        ]);
        let baseline = Baseline::prepare(&ends.source, self.checked.plan(), vcpu_use).await;
        let dir = site.dir.clone();
        let keep = |baseline: &Baseline| dir.write_json(BASELINE_FILE, baseline);
        let beginning = steersman
            .as_ref()
            .map(|steersman| steering::beginning(&record.plan, steersman));
        let started = self
            .checked
            .begun_with(beginning.unwrap_or_default())
            .start(&mut site.journal, baseline, self.stall_timeout, keep)
            .await;
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                let place = place::find(
                    (ends.source.uri(), Some(&ends.source)),
                    (ends.destination.uri(), Some(&ends.destination)),
                    Duration::from_secs(5),
                )
                .await
                .place();
                let outcome = finish::unmeasured(
                    OutcomeStatus::Failed,
                    place,
                    error.to_string(),
                    record.started_at,
                );
                let record = MoveRecord {
                    outcome: Some(outcome),
                    ..record
                };
                site.close(record, &mut connections).await;
                return Err(error.into());
            }
        };
        (site.sink)(&MoveEvent::Started { move_id });
        // Replays of the rest know nothing of caps: who plans tells where the plan leads.
        let plans = steersman.as_ref().is_some_and(|s| s.throttle.plans());
        let sink = match (self.observation, self.link, self.assumptions) {
            (Some(observation), Some(link), Some(assumptions)) if !plans => {
                Reforecaster::new(observation, link, self.limits, assumptions)
                    .listen(Arc::clone(&site.sink))
            }
            _ => Arc::clone(&site.sink),
        };
        let noting = tokio::spawn(note_cancel(cancel.clone(), site.dir.file(CANCEL_FILE)));
        let ended = match steersman {
            Some(steersman) => {
                let steering = steering::steering(steersman, move_id, vcpu_use);
                running
                    .supervise_steered(cancel, sink, steering, &mut site.journal)
                    .await
                    .0
            }
            None => running.supervise(cancel, sink).await,
        };
        noting.abort();
        for guest in [&ended.ends.source, &ended.ends.destination] {
            connections.insert(guest.uri().clone(), guest.clone());
        }
        let outcome = finish::outcome(&ended, &record.plan);
        let record = MoveRecord {
            outcome: Some(outcome.clone()),
            raw_statistics: ended.raw(),
            ..record
        };
        (site.sink)(&MoveEvent::Ended {
            outcome: Box::new(outcome.clone()),
        });
        site.close(record, &mut connections).await;
        Ok(MigrateReport {
            place: outcome.place,
            missed: missed(&report.plan, Some(&outcome)),
            outcome: Some(outcome),
            ..report
        })
    }

    fn record(&self, move_id: Uuid) -> MoveRecord {
        let (source, destination) = (self.checked.source(), self.checked.destination());
        MoveRecord {
            schema_version: SCHEMA_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            move_id,
            started_at: jiff::Timestamp::now(),
            plan: self.checked.plan().clone(),
            guest: source.guest.clone(),
            source_host: source.host.clone(),
            destination_host: destination.host.clone(),
            link: self.link.clone(),
            forecast: self.forecast.clone(),
            outcome: None,
            raw_statistics: None,
        }
    }
}

/// Leaves word for the guard that the operator wants the move cancelled.
async fn note_cancel(mut cancel: watch::Receiver<bool>, path: PathBuf) {
    if cancel.wait_for(|wanted| *wanted).await.is_ok()
        && let Err(error) = std::fs::write(&path, b"")
    {
        tracing::warn!(%error, path = %path.display(), "the guard will not know of the cancel");
    }
}

/// What stands around a move: its directory, journal and guard.
struct Site {
    dir: MoveDir,
    /// Keeps others from recovering the move, also when its guard is dead.
    _owner: Lock,
    journal: Journal,
    guard: GuardHandle,
    /// Tells at once when the guard dies.
    mourning: JoinHandle<()>,
    history: HistoryPlace,
    sink: EventSink,
}

impl Site {
    async fn open(
        (dir, owner): (MoveDir, Lock),
        (record, observation): (&MoveRecord, Option<&Observation>),
        ends: &Ends,
        (guard, history): (impl FnOnce(&MoveDir) -> Command, HistoryPlace),
        sink: &EventSink,
    ) -> Result<Self, Error> {
        let sink = event_log::tee(&dir.events_path(), Arc::clone(sink));
        dir.write_json(RECORD_FILE, record)?;
        let mut journal = Journal::create(&dir.journal_path())?;
        for end in [&ends.source, &ends.destination] {
            journal.belongs_to(end.uri(), Identity::of(end).await)?;
        }
        let mut command = guard(&dir);
        // A relative path means another place where the guard runs.
        if let Ok(path) = history.path() {
            command.env("VMFERRY_DB", path);
        }
        let guard = guard::spawn(command, &dir).await?;
        tracing::info!(pid = guard.pid(), dir = %dir.path().display(), "the guard watches");
        let mourning = tokio::spawn(mourn(guard.death(), Arc::clone(&sink)));
        if let Err((what, error)) = remember(&history, record, observation).await {
            sink(&MoveEvent::Warning {
                message: format!("{what} was not recorded: {error}; the move goes on"),
            });
        }
        Ok(Self {
            dir,
            _owner: owner,
            journal,
            guard,
            mourning,
            history,
            sink,
        })
    }

    /// Undoes every change, records the outcome and sends the guard away, or
    /// leaves it what could not be undone. A failure to record, or to undo, is
    /// told and never hides the outcome.
    async fn close(mut self, record: MoveRecord, connections: &mut Connections) {
        let warn = |message: String| (self.sink)(&MoveEvent::Warning { message });
        let report = undo::undo(&mut self.journal, connections, UndoWhen::AfterMigration).await;
        if record.outcome.is_some()
            && let Err(error) = crate::guarding::close(&self.history, &record).await
        {
            warn(format!("the outcome was not recorded: {error}"));
        }
        self.mourning.abort();
        if report.failed.is_empty() {
            self.guard.dismiss().await;
            if let Err(error) = self.dir.clone().remove() {
                warn(error.to_string());
            }
            return;
        }
        // Whoever goes on needs not find the outcome out again.
        if let Err(error) = self.dir.write_json(RECORD_FILE, &record) {
            tracing::warn!(%error, "the guard will look for the outcome itself");
        }
        let next = if self.guard.is_dead() {
            "run `vmferry recover` to try again"
        } else {
            "the guard goes on trying for a minute; then `vmferry recover` tries again"
        };
        warn(format!(
            "not everything could be put back: {}; {next}",
            report.failed.join("; ")
        ));
        // The guard needs the monitors, and is not dismissed: it takes over.
        connections.clear();
    }
}

/// Says that the guard is dead, once it is.
async fn mourn(death: impl Future<Output = ()>, sink: EventSink) {
    death.await;
    sink(&MoveEvent::Warning {
        message: "the guard process died during the move; the move goes on, but should vmferry die too, run `vmferry recover`"
            .into(),
    });
}

/// Records the forecast and what it is based on; says what of it failed.
async fn remember(
    place: &HistoryPlace,
    record: &MoveRecord,
    observation: Option<&Observation>,
) -> Result<(), (&'static str, HistoryError)> {
    let opened = async {
        let history = History::open(&place.path()?).await?;
        history.open_move(record).await?;
        Ok(history)
    };
    let history = opened.await.map_err(|error| ("the forecast", error))?;
    if let Some(observation) = observation {
        let kept = history.keep_observation(record.move_id, observation).await;
        kept.map_err(|error| ("the observation", error))?;
    }
    Ok(())
}
