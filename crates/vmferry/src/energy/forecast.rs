//! The energy of a move to come, from what its hosts' profiles say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmferry_core::{Forecast, Interval, Joules};
use vmferry_history::{History, Route, history_path};
use vmferry_model::energy::{self, EnergyFit};

use super::profile::{EnergyProfile, ProfiledSide};

/// The hosts of a move, as the history names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostNames {
    pub(crate) source: String,
    pub(crate) destination: Option<String>,
}

impl HostNames {
    pub(crate) fn of(route: &Route) -> Self {
        Self {
            source: route.source_host.clone(),
            destination: Some(route.destination_host.clone()),
        }
    }
}

/// What a move will cost in energy beyond what its hosts draw anyway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyForecast {
    /// The energy; `None` where the forecast says nothing of the traffic.
    pub energy_j: Option<Interval<Joules>>,
    /// Whose energy that is.
    pub hosts: MeteredHosts,
    /// The meters that told the profiles; what they do not see is not in it.
    pub meters: Vec<String>,
    /// Measured moves behind it; of two profiles those of the smaller one.
    pub measurements: usize,
    /// What the reader should know, each a sentence.
    pub notes: Vec<String>,
}

/// Whose energy a forecast holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeteredHosts {
    /// The source's alone: nothing is known of the destination's.
    Source,
    /// The destination's alone: nothing is known of the source's.
    Destination,
    /// Both hosts'.
    Both,
}

/// What a move between these hosts will cost; `None` without a profile of
/// them. A history that cannot be read has none.
pub(crate) async fn energy_forecast(
    hosts: &HostNames,
    forecast: &Forecast,
) -> Option<EnergyForecast> {
    let read = async {
        let history = History::open_existing(&history_path()?).await?;
        EnergyProfile::all(&history).await
    };
    match read.await {
        Ok(profiles) => of_profiles(&profiles, hosts, forecast),
        Err(error) => {
            tracing::debug!(%error, "no energy profile can be read");
            None
        }
    }
}

/// From profiles, the newest first: that of the pair, else those of the two
/// hosts, else that of one.
fn of_profiles(
    profiles: &[EnergyProfile],
    hosts: &HostNames,
    forecast: &Forecast,
) -> Option<EnergyForecast> {
    let source = Some(&hosts.source);
    let destination = hosts.destination.as_ref();
    let newest = |side: ProfiledSide| {
        profiles.iter().find(|profile| {
            profile.side == side
                && match side {
                    ProfiledSide::Source => profile.source_host.as_ref() == source,
                    ProfiledSide::Destination => {
                        destination.is_some() && profile.destination_host.as_ref() == destination
                    }
                    ProfiledSide::Pair => {
                        profile.source_host.as_ref() == source
                            && destination.is_some()
                            && profile.destination_host.as_ref() == destination
                    }
                }
        })
    };
    let (used, of) = match newest(ProfiledSide::Pair) {
        Some(pair) => (vec![pair], MeteredHosts::Both),
        None => match (
            newest(ProfiledSide::Source),
            newest(ProfiledSide::Destination),
        ) {
            (Some(source), Some(destination)) => (vec![source, destination], MeteredHosts::Both),
            (Some(source), None) => (vec![source], MeteredHosts::Source),
            (None, Some(destination)) => (vec![destination], MeteredHosts::Destination),
            (None, None) => return None,
        },
    };
    let fits: Vec<&EnergyFit> = used.iter().map(|profile| &profile.fit).collect();
    let mut notes = Vec::new();
    match of {
        MeteredHosts::Both => {}
        MeteredHosts::Source => {
            notes.push("The energy is the source's alone: there is no profile of the destination.");
        }
        MeteredHosts::Destination => {
            notes.push("The energy is the destination's alone: there is no profile of the source.");
        }
    }
    if let Some(traffic) = forecast.transferred_bytes
        && !fits
            .iter()
            .all(|fit| fit.covers(traffic.p5) && fit.covers(traffic.p95))
    {
        notes.push(
            "Moves of so much traffic were not measured: the energy follows the line beyond them.",
        );
    }
    if fits.iter().any(|fit| !fit.grows()) {
        notes.push("The measured moves do not show that more traffic takes more energy; measure more of them.");
    }
    let meters = used.iter().flat_map(|profile| profile.meters.clone());
    Some(EnergyForecast {
        energy_j: forecast
            .transferred_bytes
            .and_then(|traffic| energy::forecast(&fits, traffic)),
        hosts: of,
        meters: meters.collect(),
        measurements: fits.iter().map(|fit| fit.points.len()).min().unwrap_or(0),
        notes: notes.into_iter().map(str::to_owned).collect(),
    })
}
