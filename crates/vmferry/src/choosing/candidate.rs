//! A guest with all that is known of it, as an option.

use std::collections::{HashMap, VecDeque};

use vmferry_core::{ByteRate, Forecast, GuestUri, Observation};
use vmferry_model::SUFFICIENT_PROBABILITY;
use vmferry_model::choice::{Cores, Exclusion, MoveCost, Profile, Ranking};

use super::found::Seen;
use super::report::GuestReport;
use crate::energy::EnergyForecast;

/// A guest as an option.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Unlike all others.
    pub(super) name: String,
    pub(super) seen: Seen,
    /// The destination host by its place, and the hypervisors there that take it.
    pub(super) berth: Option<Berth>,
    /// Where else it may go, the best first; not checked yet.
    pub(super) elsewhere: VecDeque<Berth>,
    pub(super) observation: Option<Observation>,
    pub(super) max_bandwidth: Option<ByteRate>,
    pub(super) forecast: Option<Forecast>,
    /// Of both hosts; `None` where that is not known.
    pub(super) energy: Option<EnergyForecast>,
    /// Why it cannot move, whatever it costs.
    pub(super) lack: Option<String>,
}

/// Where a guest may go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Berth {
    /// The destination host by its place.
    pub(super) host: usize,
    /// The hypervisors that take it, the best fit first.
    pub(super) monitors: Vec<GuestUri>,
}

/// A name for each guest: its own, or its monitor where two share one.
pub(super) fn names(guests: &[Seen]) -> Vec<String> {
    let mut count: HashMap<String, usize> = HashMap::new();
    for guest in guests {
        *count.entry(guest.info.label()).or_default() += 1;
    }
    let name = |guest: &Seen| match count.get(&guest.info.label()) {
        Some(1) => guest.info.label(),
        _ => guest.info.uri.to_string(),
    };
    guests.iter().map(name).collect()
}

impl Candidate {
    pub(super) fn new(name: String, seen: Seen) -> Self {
        Self {
            name,
            seen,
            berth: None,
            elsewhere: VecDeque::new(),
            observation: None,
            max_bandwidth: None,
            forecast: None,
            energy: None,
            lack: None,
        }
    }

    /// Processor time its host would get back: what its virtual CPUs use.
    fn cpu(&self) -> Option<Cores> {
        let share = self.observation.as_ref()?.vcpu_use?;
        Some(Cores(share.0 * f64::from(self.seen.info.vcpus?)))
    }

    /// Whether a choice can have it.
    pub(super) fn may_move(&self) -> bool {
        let converges = |f: &Forecast| f.converges_probability >= SUFFICIENT_PROBABILITY;
        self.lack.is_none() && self.forecast.as_ref().is_some_and(converges)
    }

    /// What the choice needs of it. One that lacks something never moves.
    pub(super) fn profile(&self) -> Profile {
        let forecast = self.forecast.as_ref().filter(|_| self.lack.is_none());
        let info = &self.seen.info;
        Profile {
            name: self.name.clone(),
            memory: info.memory_bytes.or_else(|| info.migrated_bytes()),
            cpu: self.cpu(),
            converges_probability: forecast.map_or(0.0, |f| f.converges_probability),
            cost: forecast.and_then(|f| {
                let energy = self.energy.as_ref().and_then(|energy| energy.energy_j);
                MoveCost::forecast(f, energy.map(|energy| energy.p50))
            }),
        }
    }

    /// Why it may not move.
    fn why_excluded(&self, why: Exclusion) -> String {
        if let Some(lack) = &self.lack {
            return lack.clone();
        }
        match why {
            Exclusion::NotConverging {
                converges_probability,
            } => format!(
                "converges within its limits with probability {:.0} % only",
                converges_probability * 100.0
            ),
            Exclusion::CostUnknown => "the forecast does not say what the move costs".to_owned(),
        }
    }

    /// As an option of a ranking, in which it has this place.
    pub(super) fn report(&self, place: usize, ranking: &Ranking, chosen: &[usize]) -> GuestReport {
        let ranked = ranking.ranked.iter().find(|ranked| ranked.index == place);
        let excluded = ranking.excluded.iter().find(|(index, _)| *index == place);
        let (info, forecast) = (&self.seen.info, self.forecast.as_ref());
        let profile = self.profile();
        GuestReport {
            name: self.name.clone(),
            monitor: info.uri.clone(),
            uuid: info.uuid.clone(),
            memory_bytes: profile.memory,
            cpu_cores: profile.cpu,
            dirty_rate_1s_bytes_per_s: self
                .observation
                .as_ref()
                .map(|seen| seen.summary().dirty_rate_1s_bytes_per_s),
            to: self
                .berth
                .as_ref()
                .and_then(|b| b.monitors.first().cloned()),
            max_bandwidth: self.max_bandwidth,
            converges_probability: forecast.map(|f| f.converges_probability),
            total_time_ms: forecast.and_then(|f| f.total_time_ms),
            downtime_ms: forecast.and_then(|f| f.downtime_ms),
            transferred_bytes: forecast.and_then(|f| f.transferred_bytes),
            energy_j: self.energy.as_ref().and_then(|energy| energy.energy_j),
            energy_meters: self
                .energy
                .as_ref()
                .map(|energy| energy.meters.clone())
                .unwrap_or_default(),
            cost: ranked.map(|ranked| ranked.cost),
            parts: ranked.map(|ranked| ranked.parts),
            chosen: chosen.contains(&place),
            excluded: excluded.map(|(_, why)| self.why_excluded(*why)),
        }
    }
}
