//! Energies of the history's moves, from the logs of external meters.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use vmferry_core::{MoveRecord, OutcomeStatus, PowerSample};
use vmferry_history::{Cursor, History, MoveFilter, Route, Store as _, history_path};
use vmferry_measure::power::{MeterSpec, read_log};
use vmferry_model::energy::{EnergyError, MoveEnergy, Stability, energy_of_move};

use super::fitting::HostFilter;
use super::measurement::{EnergyMeasurement, HostEnergy};
use super::measuring::MeterPair;
use super::report::EnergyReport;
use crate::Error;

/// A log as a series of samples.
struct Log {
    name: String,
    began_at: Timestamp,
    samples: Vec<PowerSample>,
}

/// Measures every move of the history that lies within the logs of its hosts,
/// keeps what is new, and says what was left out.
///
/// # Errors
/// When a meter is no log or cannot be read, it is not clear which hosts'
/// logs they are, no move lies within them, or the history cannot be used.
pub async fn measure_logged_moves(
    meters: &MeterPair,
    hosts: &HostFilter,
    stability: &Stability,
) -> Result<EnergyReport, Error> {
    let source = meters.source.as_ref().map(log_of).transpose()?;
    let destination = meters.destination.as_ref().map(log_of).transpose()?;
    let history = History::open_existing(&history_path()?).await?;
    let moves = moves(&history, hosts).await?;
    let known = EnergyMeasurement::all(&history).await?;
    history.close().await?;
    one_host(&moves, hosts, source.is_some(), destination.is_some())?;
    let mut report = EnergyReport::default();
    for record in &moves {
        let energies = (
            source.as_ref().map(|log| log.energy(record, stability)),
            destination
                .as_ref()
                .map(|log| log.energy(record, stability)),
        );
        let found = match energies {
            // Other moves than the log is of are no news.
            (Some(None), _) | (_, Some(None)) => continue,
            (source, destination) => (
                source.flatten().transpose(),
                destination.flatten().transpose(),
            ),
        };
        let (source, destination) = match found {
            (Ok(source), Ok(destination)) => (source, destination),
            (Err(error), _) | (_, Err(error)) => {
                report
                    .left_out
                    .push(format!("move {}: {error}", record.move_id));
                continue;
            }
        };
        let Some(measured) = measurement(record, source, destination) else {
            continue;
        };
        if known.iter().any(|known| known.is_same(&measured)) {
            let id = record.move_id;
            report
                .left_out
                .push(format!("move {id}: was measured with these meters before"));
            continue;
        }
        measured.keep().await?;
        report.measured.push(measured);
    }
    if report.measured.is_empty() && report.left_out.is_empty() {
        return Err(Error::NothingMeasured(format!(
            "none of the {} completed moves in the history lies within the logs; check their times and hosts against `vmferry history list`",
            moves.len()
        )));
    }
    report.measurements = known.len() + report.measured.len();
    Ok(report)
}

fn log_of(spec: &MeterSpec) -> Result<Log, Error> {
    let MeterSpec::Csv(path) = spec else {
        return Err(Error::Usage(format!(
            "{spec} tells of now only; moves of the past take the log of an external meter, csv:FILE"
        )));
    };
    Log::read(path)
}

impl Log {
    fn read(path: &Path) -> Result<Self, Error> {
        let rows = read_log(path)?;
        let began_at = rows[0].at;
        let since = |at: Timestamp| since(began_at, at).unwrap_or_default();
        let samples = rows.windows(2).map(|pair| PowerSample {
            from: since(pair[0].at),
            until: since(pair[1].at),
            power: pair[1].power,
        });
        Ok(Self {
            name: format!("log {}", path.display()),
            began_at,
            samples: samples.collect(),
        })
    }

    /// What a move cost by this log; `None` where it lies outside.
    fn energy(
        &self,
        record: &MoveRecord,
        stability: &Stability,
    ) -> Option<Result<HostEnergy, EnergyError>> {
        let outcome = record.outcome.as_ref()?;
        let began = since(self.began_at, outcome.started_at)?;
        let ended = since(self.began_at, outcome.ended_at)?;
        let end = self.samples.last()?.until;
        (began < end).then(|| {
            let energy: MoveEnergy = energy_of_move(&self.samples, began, ended, stability)?;
            Ok(HostEnergy {
                meter: self.name.clone(),
                refused_readings: 0,
                energy,
            })
        })
    }
}

/// The time from one instant to a later one.
fn since(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

/// The completed moves that are meant, the oldest first.
async fn moves(history: &History, hosts: &HostFilter) -> Result<Vec<MoveRecord>, Error> {
    let mut found = Vec::new();
    let mut cursor = Cursor::start();
    loop {
        let page = history.page(&MoveFilter::default(), &cursor).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        cursor = Cursor::after(last);
        found.extend(page.into_iter().filter(|record| {
            let route = Route::of(record);
            let is_completed = record
                .outcome
                .as_ref()
                .is_some_and(|outcome| outcome.status == OutcomeStatus::Completed);
            is_completed && hosts.takes(&route.source_host, Some(&route.destination_host))
        }));
    }
}

/// A log is of one host: which one has to be clear.
fn one_host(
    moves: &[MoveRecord],
    hosts: &HostFilter,
    source: bool,
    destination: bool,
) -> Result<(), Error> {
    let routes: Vec<Route> = moves.iter().map(Route::of).collect();
    let names = |name: fn(&Route) -> &String| {
        let mut names: Vec<&str> = routes.iter().map(|route| name(route).as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    for (metered, named, names, option) in [
        (
            source,
            &hosts.source,
            names(|route| &route.source_host),
            "--source-host",
        ),
        (
            destination,
            &hosts.destination,
            names(|route| &route.destination_host),
            "--destination-host",
        ),
    ] {
        if metered && named.is_none() && names.contains(", ") {
            return Err(Error::Usage(format!(
                "the history has moves of several hosts ({names}), and a log is of one; name it by {option}"
            )));
        }
    }
    Ok(())
}

/// `None` of a move whose traffic is not known.
fn measurement(
    record: &MoveRecord,
    source: Option<HostEnergy>,
    destination: Option<HostEnergy>,
) -> Option<EnergyMeasurement> {
    let outcome = record.outcome.as_ref()?;
    let route = Route::of(record);
    Some(EnergyMeasurement {
        move_id: Some(record.move_id),
        guest: record.guest.label(),
        source_host: route.source_host,
        destination_host: Some(route.destination_host),
        began_at: outcome.started_at,
        ended_at: outcome.ended_at,
        transferred_bytes: outcome.transferred_bytes?,
        source,
        destination,
    })
}
