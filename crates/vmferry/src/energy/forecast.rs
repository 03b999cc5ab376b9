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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earlier::tests::sample;
    use jiff::Timestamp;
    use vmferry_core::Bytes;

    /// A profile on a line through `alpha` J/MB and `beta`, of 100 to 900 MB.
    fn profile(
        side: ProfiledSide,
        hosts: [Option<&str>; 2],
        alpha: f64,
        beta: f64,
    ) -> EnergyProfile {
        let points: Vec<_> = (1..=9u64)
            .map(|n| {
                let off = (n % 3) as f64 - 1.0;
                let energy = alpha * n as f64 * 100.0 + beta + off;
                (Bytes(n * 100_000_000), Joules(energy))
            })
            .collect();
        let [source_host, destination_host] = hosts.map(|name| name.map(str::to_owned));
        EnergyProfile {
            side,
            source_host,
            destination_host,
            meters: vec![format!("meter of the {}", side.name())],
            made_at: Timestamp::UNIX_EPOCH,
            fit: EnergyFit::of(&points).unwrap(),
        }
    }

    fn forecast(mb: Option<u64>) -> Forecast {
        let mut forecast = sample::plain(&sample::observed("web", sample::SHARE));
        forecast.transferred_bytes = mb.map(|mb| Interval {
            p5: Bytes(mb * 900_000),
            p50: Bytes(mb * 1_000_000),
            p95: Bytes(mb * 1_100_000),
        });
        forecast
    }

    fn of(
        profiles: &[EnergyProfile],
        destination: Option<&str>,
        mb: Option<u64>,
    ) -> Option<EnergyForecast> {
        let hosts = HostNames {
            source: "a".to_owned(),
            destination: destination.map(str::to_owned),
        };
        of_profiles(profiles, &hosts, &forecast(mb))
    }

    #[test]
    fn a_pair_goes_before_its_hosts_and_both_before_one() {
        use ProfiledSide::{Destination, Pair, Source};
        let source = profile(Source, [Some("a"), None], 0.3, 10.0);
        let destination = profile(Destination, [None, Some("b")], 0.2, 5.0);
        let pair = profile(Pair, [Some("a"), Some("b")], 0.6, 20.0);
        let all = [source.clone(), destination.clone(), pair];
        let middle = |found: Option<EnergyForecast>| {
            let found = found.unwrap();
            let energy = found.energy_j.unwrap().p50.0;
            (found.hosts, energy.round(), found.meters.len())
        };
        let both = MeteredHosts::Both;
        assert_eq!(middle(of(&all, Some("b"), Some(500))), (both, 320.0, 1));
        assert_eq!(
            middle(of(&all[..2], Some("b"), Some(500))),
            (both, 265.0, 2)
        );
        let elsewhere = of(&all, Some("c"), Some(500));
        assert!(elsewhere.as_ref().unwrap().notes[0].contains("the source's alone"));
        assert_eq!(middle(elsewhere), (MeteredHosts::Source, 160.0, 1));
        assert_eq!(middle(of(&all, None, Some(500))).0, MeteredHosts::Source);
        let only = of(&[destination], Some("b"), Some(500));
        assert_eq!(middle(only).0, MeteredHosts::Destination);
        assert_eq!(of(&[], Some("b"), Some(500)), None);
        let strange = profile(Source, [Some("z"), None], 0.3, 10.0);
        assert_eq!(of(&[strange], None, Some(500)), None);
    }

    #[test]
    fn doubts_are_noted() {
        let source = [profile(ProfiledSide::Source, [Some("a"), None], 0.3, 10.0)];
        let notes = |found: Option<EnergyForecast>| found.unwrap().notes.join(" ");
        assert!(!notes(of(&source, None, Some(500))).contains("not measured"));
        assert!(notes(of(&source, None, Some(5000))).contains("were not measured"));
        let flat = profile(ProfiledSide::Source, [Some("a"), None], 0.0, 10.0);
        assert!(notes(of(&[flat], None, Some(500))).contains("do not show that more traffic"));
        // A move that is not expected to converge.
        assert_eq!(of(&source, None, None).unwrap().energy_j, None);
    }
}
