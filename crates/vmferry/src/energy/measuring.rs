//! Meters at work: a look at them, or a whole move under them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;
use vmferry_core::{Bytes, GuestUri, MigrationStatus, MoveEvent, MoveRecord, OutcomeStatus};
use vmferry_history::{History, Route, Store as _, history_path, host_name};
use vmferry_hypervisor::HypervisorError;
use vmferry_hypervisor::qmp::{ConnectOptions, Guest, MigrationInfo};
use vmferry_measure::power::{MeterSpec, PowerSeries, SampleOptions, sample};
use vmferry_migrate::EndKind;
use vmferry_model::energy::{Background, Stability, energy_of_move};

use super::fitting::HostFilter;
use super::measurement::{EnergyMeasurement, HostEnergy};
use super::profile::ProfiledSide;
use super::report::{EnergyReport, MeterCheck};
use crate::Error;
use crate::watching::{self, WatchEnd};

/// How often the guest is asked whether its migration began.
const LOOK: Duration = Duration::from_millis(250);

/// How long a monitor is left alone that another client holds; also how often
/// one on another machine is asked.
const BACK_OFF: Duration = Duration::from_secs(2);

/// Meters of a move's hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterPair {
    /// Of the source.
    pub source: Option<MeterSpec>,
    /// Of the destination.
    pub destination: Option<MeterSpec>,
}

/// How hosts are metered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeterOptions {
    /// What counts as a stable background.
    pub stability: Stability,
    /// How meters are sampled.
    pub sampling: SampleOptions,
}

/// Of source and destination.
pub(crate) type Series = (Option<PowerSeries>, Option<PowerSeries>);

impl MeterPair {
    /// Samples both until `stop` turns true.
    pub(crate) async fn sampled(
        &self,
        options: &SampleOptions,
        stop: &watch::Receiver<bool>,
    ) -> Result<Series, Error> {
        let one = async |spec: &Option<MeterSpec>| match spec {
            Some(spec) => Ok::<_, Error>(Some(sample(spec.open()?, options, stop.clone()).await?)),
            None => Ok(None),
        };
        tokio::try_join!(one(&self.source), one(&self.destination))
    }
}

/// Reads meters for the time that a background takes, and says what they tell.
///
/// # Errors
/// When a meter fails, or the hosts are not quiet.
pub async fn check_meters(
    meters: &MeterPair,
    options: &MeterOptions,
) -> Result<EnergyReport, Error> {
    let (stop, stopped) = watch::channel(false);
    let enough = tokio::time::Instant::now() + options.stability.window;
    let end = async {
        sleep_until(enough).await;
        stop.send_replace(true);
        Ok(())
    };
    let ((source, destination), ()) =
        tokio::try_join!(meters.sampled(&options.sampling, &stopped), end)?;
    let mut report = EnergyReport::default();
    for (side, series) in [
        (ProfiledSide::Source, source),
        (ProfiledSide::Destination, destination),
    ] {
        if let Some(series) = series {
            report.meters.push(MeterCheck {
                side,
                background: Background::of(&series.samples, &options.stability)?,
                meter: series.meter,
                refused_readings: series.refused,
            });
        }
    }
    Ok(report)
}

/// A migration that was seen from its begin to its end.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    move_id: Option<Uuid>,
    began_at: Timestamp,
    ended_at: Timestamp,
    transferred_bytes: Option<Bytes>,
}

/// Meters the next migration of a guest as [`meter_next_move`] does, and keeps
/// what it cost in the history.
///
/// # Errors
/// As [`meter_next_move`], and when the history cannot be used. Nothing is kept
/// then.
pub async fn measure_next_move(
    guest: &GuestUri,
    meters: &MeterPair,
    hosts: &HostFilter,
    options: &MeterOptions,
    say: impl Fn(&str),
) -> Result<EnergyReport, Error> {
    let measured = meter_next_move(guest, meters, hosts, options, say).await?;
    measured.keep().await?;
    Ok(EnergyReport {
        measured: vec![measured],
        ..super::report::list().await?
    })
}

/// Meters the hosts, waits for the next migration of a guest, whoever starts
/// it, and meters it to its end. `say` is told what happens, a line at a time.
///
/// The guest's monitor serves one client: it is asked for a moment now and
/// then, so that `vmferry migrate` gets to it.
///
/// # Errors
/// When the guest cannot be reached, a meter fails, the migration began too
/// early, the background is not stable, or the migration did not complete.
pub async fn meter_next_move(
    guest: &GuestUri,
    meters: &MeterPair,
    hosts: &HostFilter,
    options: &MeterOptions,
    say: impl Fn(&str),
) -> Result<EnergyMeasurement, Error> {
    let (label, source_host, before) = {
        let monitor = Guest::connect(guest, ConnectOptions::default()).await?;
        let info = monitor.info().await?;
        let name = host_name(&monitor.host_info(), guest);
        (info.label(), name, monitor.migration().await?)
    };
    let source_host = hosts.source.clone().unwrap_or(source_host);
    if before.status.is_under_way() {
        return Err(Error::NothingMeasured(format!(
            "{label} is being migrated already; begin to meter before its migration does"
        )));
    }
    say(&format!(
        "metering; let {:.0} s go by without other changes, then migrate {label}",
        options.stability.window.as_secs_f64()
    ));
    let (stop, stopped) = watch::channel(false);
    let follow = async {
        let seen = follow(guest, &before, &say).await;
        // Whatever became of it: the meters stop.
        stop.send_replace(true);
        seen
    };
    let (series, seen) = tokio::try_join!(meters.sampled(&options.sampling, &stopped), follow)?;
    Ok(EnergyMeasurement {
        move_id: seen.move_id,
        guest: label,
        source_host,
        destination_host: hosts.destination.clone().or(destination_of(&seen).await),
        began_at: seen.began_at,
        ended_at: seen.ended_at,
        transferred_bytes: seen.transferred_bytes.ok_or_else(|| {
            Error::NothingMeasured("the hypervisor did not say what the migration sent".to_owned())
        })?,
        source: energy(series.0, &seen, &options.stability)?,
        destination: energy(series.1, &seen, &options.stability)?,
    })
}

fn energy(
    series: Option<PowerSeries>,
    seen: &Seen,
    stability: &Stability,
) -> Result<Option<HostEnergy>, Error> {
    let Some(series) = series else {
        return Ok(None);
    };
    let at = |instant: Timestamp| {
        Duration::try_from(instant.duration_since(series.began_at)).unwrap_or_default()
    };
    let energy = energy_of_move(
        &series.samples,
        at(seen.began_at),
        at(seen.ended_at),
        stability,
    )?;
    Ok(Some(HostEnergy {
        meter: series.meter,
        refused_readings: series.refused,
        energy,
    }))
}

/// What the history knows of a move.
async fn recorded(move_id: Uuid) -> Option<MoveRecord> {
    let history = History::open_existing(&history_path().ok()?).await.ok()?;
    history.get(&move_id.to_string()).await.ok()
}

/// The destination's name, of a move that the history knows.
async fn destination_of(seen: &Seen) -> Option<String> {
    let record = recorded(seen.move_id?).await?;
    Some(Route::of(&record).destination_host)
}

/// Waits for a migration and follows it.
async fn follow(
    guest: &GuestUri,
    before: &MigrationInfo,
    say: &impl Fn(&str),
) -> Result<Seen, Error> {
    // On another machine every look is a login.
    let pace = guest.destination().map_or(LOOK, |_| BACK_OFF);
    let mut looks = interval(pace);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut busy_since: Option<Instant> = None;
    loop {
        looks.tick().await;
        if let Some(move_id) = watching::own_move_id(guest)? {
            say("the migration began");
            return follow_ours(guest, move_id).await;
        }
        if busy_since.is_some_and(|since| since.elapsed() < BACK_OFF) {
            continue;
        }
        let options = ConnectOptions {
            greeting_timeout: LOOK,
            ..ConnectOptions::default()
        };
        let now = match Guest::connect(guest, options).await {
            Ok(monitor) => monitor.migration().await?,
            // Another vmferry looks at the guest before it moves it. Who waits there stands in
            // its way.
            Err(HypervisorError::MonitorBusy { .. }) => {
                busy_since = Some(Instant::now());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if now.status.is_under_way() {
            say("the migration began");
            return follow_theirs(guest).await;
        }
        // One that took less than a look.
        if now.status != MigrationStatus::None && now.raw != before.raw {
            return theirs(now.status == MigrationStatus::Completed, Some(&now));
        }
    }
}

async fn follow_ours(guest: &GuestUri, move_id: Uuid) -> Result<Seen, Error> {
    let ended = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&ended);
    let sink: vmferry_migrate::EventSink = Arc::new(move |event| {
        if let MoveEvent::Ended { outcome } = event {
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.clone());
        }
    });
    let end = watching::watch(guest, sink).await;
    let outcome = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outcome = match outcome {
        Some(outcome) => Some(*outcome),
        // It ended before it could be followed.
        None => recorded(move_id).await.and_then(|record| record.outcome),
    };
    match (outcome, end) {
        (Some(outcome), _) if outcome.status == OutcomeStatus::Completed => Ok(Seen {
            move_id: Some(move_id),
            began_at: outcome.started_at,
            ended_at: outcome.ended_at,
            transferred_bytes: outcome.transferred_bytes,
        }),
        (None, Err(error)) => Err(error),
        _ => Err(not_completed()),
    }
}

async fn follow_theirs(guest: &GuestUri) -> Result<Seen, Error> {
    let watched = match watching::watch(guest, Arc::new(|_: &MoveEvent| {})).await? {
        WatchEnd::Theirs(watched) => watched,
        WatchEnd::Ours | WatchEnd::Abandoned => return Err(not_completed()),
    };
    theirs(
        watched.kind == Some(EndKind::Completed),
        watched.info.as_ref(),
    )
}

/// A migration that was just seen to have ended.
fn theirs(completed: bool, info: Option<&MigrationInfo>) -> Result<Seen, Error> {
    let info = info.filter(|_| completed).ok_or_else(not_completed)?;
    let ended_at = Timestamp::now();
    let took = info.total_time_ms.map(Duration::from_millis);
    let began_at = took.and_then(|took| ended_at.checked_sub(took).ok());
    Ok(Seen {
        move_id: None,
        began_at: began_at.ok_or_else(|| {
            Error::NothingMeasured("the hypervisor did not say how long the migration took".into())
        })?,
        ended_at,
        transferred_bytes: info.ram.transferred_bytes.map(Bytes),
    })
}

fn not_completed() -> Error {
    Error::NothingMeasured(
        "the migration did not complete, and tells nothing of a whole one; meter another"
            .to_owned(),
    )
}
