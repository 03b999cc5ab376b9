//! Profiles of what was measured.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use vmferry_core::{Bytes, Joules};
use vmferry_history::{History, HistoryError, history_path};
use vmferry_model::energy::{EnergyError, EnergyFit};

use super::measurement::EnergyMeasurement;
use super::profile::{EnergyProfile, ProfiledSide};
use super::report::EnergyReport;
use super::table::read_table;
use crate::Error;

/// Which hosts; one that is not named may be any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFilter {
    /// Name of the source host.
    pub source: Option<String>,
    /// Name of the destination host.
    pub destination: Option<String>,
}

impl HostFilter {
    /// Whether a move between these hosts is meant.
    pub fn takes(&self, source: &str, destination: Option<&str>) -> bool {
        let is = |wanted: &Option<String>, name: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == name
        };
        is(&self.source, Some(source)) && is(&self.destination, destination)
    }
}

/// What the moves of a fit have in common. Meters see different things: what
/// several of them told makes no line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    side: ProfiledSide,
    source: Option<String>,
    destination: Option<String>,
    meters: Vec<String>,
}

type Points = Vec<(Bytes, Joules)>;

/// Fits a profile to the measured moves of every host and pair, and keeps those
/// that can be fitted.
///
/// # Errors
/// When nothing was measured, none of it tells a line, or the history cannot
/// be used.
pub async fn fit(hosts: &HostFilter) -> Result<EnergyReport, Error> {
    let history = match History::open_existing(&history_path()?).await {
        Ok(history) => history,
        Err(HistoryError::Missing { .. }) => return Err(EnergyError::TooFew { found: 0 }.into()),
        Err(error) => return Err(error.into()),
    };
    let all = EnergyMeasurement::all(&history).await?;
    history.close().await?;
    let wanted =
        |m: &&EnergyMeasurement| hosts.takes(&m.source_host, m.destination_host.as_deref());
    let mut groups: BTreeMap<Group, Points> = BTreeMap::new();
    for measured in all.iter().filter(wanted) {
        for (group, energy) in parts(measured) {
            let points = groups.entry(group).or_default();
            points.push((measured.transferred_bytes, energy));
        }
    }
    fitted(groups, all.len()).await
}

/// The energies of a measurement by what they are of.
fn parts(measured: &EnergyMeasurement) -> Vec<(Group, Joules)> {
    let mut parts = Vec::new();
    let (source, destination) = (&measured.source, &measured.destination);
    let source_host = Some(measured.source_host.clone());
    if let Some(host) = source {
        let group = Group {
            side: ProfiledSide::Source,
            source: source_host.clone(),
            destination: None,
            meters: vec![host.meter.clone()],
        };
        parts.push((group, host.energy.energy_j));
    }
    let (Some(host), Some(name)) = (destination, &measured.destination_host) else {
        return parts;
    };
    let group = Group {
        side: ProfiledSide::Destination,
        source: None,
        destination: Some(name.clone()),
        meters: vec![host.meter.clone()],
    };
    parts.push((group, host.energy.energy_j));
    if let Some(first) = source {
        let group = Group {
            side: ProfiledSide::Pair,
            source: source_host,
            destination: Some(name.clone()),
            meters: vec![first.meter.clone(), host.meter.clone()],
        };
        parts.push((group, first.energy.energy_j + host.energy.energy_j));
    }
    parts
}

/// Fits profiles to a CSV that others measured, and keeps them: a column
/// `transferred_bytes` or `transferred_mb`, and `energy_j` of both hosts
/// together, `source_energy_j` or `destination_energy_j`.
///
/// # Errors
/// When a row makes no sense, the hosts that a column is about are not named,
/// no column tells a line, or the history cannot be used.
pub async fn fit_table(path: &Path, hosts: &HostFilter) -> Result<EnergyReport, Error> {
    let table = read_table(path)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let meter = format!("measurements in {}", name.to_string_lossy());
    let mut groups = BTreeMap::new();
    for (side, points) in table {
        let (of_source, of_destination) = match side {
            ProfiledSide::Source => (true, false),
            ProfiledSide::Destination => (false, true),
            ProfiledSide::Pair => (true, true),
        };
        let host = |needed: bool, name: &Option<String>, option: &str| match (needed, name) {
            (false, _) => Ok(None),
            (true, Some(name)) => Ok(Some(name.clone())),
            (true, None) => Err(Error::Usage(format!(
                "{}: whose energy is that of the {}? name it by {option} NAME, as `vmferry history list` does",
                path.display(),
                side.name()
            ))),
        };
        let group = Group {
            side,
            source: host(of_source, &hosts.source, "--source-host")?,
            destination: host(of_destination, &hosts.destination, "--destination-host")?,
            meters: vec![meter.clone()],
        };
        groups.insert(group, points);
    }
    fitted(groups, 0).await
}

/// Fits and keeps; the first reason why not, where nothing can be fitted.
async fn fitted(
    groups: BTreeMap<Group, Points>,
    measurements: usize,
) -> Result<EnergyReport, Error> {
    let mut report = EnergyReport {
        measurements,
        ..EnergyReport::default()
    };
    let made_at = Timestamp::now();
    let mut refused = None;
    for (group, points) in groups {
        match EnergyFit::of(&points) {
            Ok(fit) => report.profiles.push(EnergyProfile {
                side: group.side,
                source_host: group.source,
                destination_host: group.destination,
                meters: group.meters,
                made_at,
                fit,
            }),
            Err(error) => {
                let hosts = [group.source, group.destination];
                let hosts: Vec<String> = hosts.into_iter().flatten().collect();
                report.left_out.push(format!(
                    "{} {} by {}: {error}",
                    group.side.name(),
                    hosts.join(" > "),
                    group.meters.join(" and ")
                ));
                refused.get_or_insert(error);
            }
        }
    }
    if report.profiles.is_empty() {
        return Err(refused.unwrap_or(EnergyError::TooFew { found: 0 }).into());
    }
    let history = History::open(&history_path()?).await?;
    for profile in &report.profiles {
        profile.keep(&history).await?;
    }
    history.close().await?;
    Ok(report)
}
