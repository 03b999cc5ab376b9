//! What every guest really costs: the mean of its moves.

use std::collections::BTreeMap;

use vmferry::choosing::report::GuestReport;
use vmferry::core::{Bytes, Joules, Millis};
use vmferry::model::choice::{MoveCost, Preset, Profile, Ranked, Ranking, Terms, rank};
use vmferry::model::schedule::{EnergyModel, LIU2011_ENERGY};

use crate::Fault;
use crate::record::Records;

/// What every guest really costs, ranked as `choose` ranks forecasts.
pub(crate) struct Real {
    pub(crate) guests: Vec<Profile>,
    /// Moves behind each.
    pub(crate) moves: Vec<usize>,
    pub(crate) ranking: Ranking,
}

impl Real {
    pub(crate) fn of(records: &Records) -> Result<Self, Fault> {
        let mut costs: BTreeMap<&str, Vec<MoveCost>> = BTreeMap::new();
        for moved in records.moves() {
            costs.entry(&moved.guest).or_default().push(moved.cost());
        }
        let guests: Vec<Profile> = costs
            .iter()
            .map(|(name, costs)| Profile {
                name: (*name).to_owned(),
                memory: None,
                cpu: None,
                converges_probability: 1.0,
                cost: Some(mean(costs)),
            })
            .collect();
        Ok(Self {
            ranking: rank(&guests, Preset::Balanced.weights().without_energy())?,
            moves: costs.values().map(Vec::len).collect(),
            guests,
        })
    }

    /// The guest that is really the cheapest.
    pub(crate) fn best(&self) -> Option<&str> {
        let best = self.ranking.ranked.first()?;
        Some(&self.guests[best.index].name)
    }

    /// The parts of a forecast cost, on the scale of what is real.
    pub(crate) fn parts_forecast(&self, guest: &GuestReport) -> Option<Terms> {
        let said = MoveCost {
            downtime: guest.downtime_ms?.p50,
            total_time: guest.total_time_ms?.p50,
            transferred: guest.transferred_bytes?.p50,
            energy: None,
        };
        let (weights, scale) = (&self.ranking.weights, &self.ranking.scale);
        Some(Terms::each(|term| match said.of(term) {
            Some(value) if scale.of(term) > 0.0 => weights.of(term) * value / scale.of(term),
            _ => 0.0,
        }))
    }

    /// What a guest really costs, 0..1.
    pub(crate) fn cost(&self, name: &str) -> Option<&Ranked> {
        let ranked = &self.ranking.ranked;
        ranked
            .iter()
            .find(|ranked| self.guests[ranked.index].name == name)
    }
}

/// The mean of every quantity.
pub(crate) fn mean(costs: &[MoveCost]) -> MoveCost {
    let mean = |of: fn(&MoveCost) -> f64| costs.iter().map(of).sum::<f64>() / costs.len() as f64;
    MoveCost {
        downtime: Millis(mean(|cost| cost.downtime.0)),
        total_time: Millis(mean(|cost| cost.total_time.0)),
        transferred: Bytes(mean(|cost| cost.transferred.0 as f64) as u64),
        energy: None,
    }
}

/// Energy by the paper's own fit (`liu2011` eq. 17).
pub(crate) fn energy(transferred: Bytes) -> Joules {
    match LIU2011_ENERGY {
        EnergyModel::Traffic {
            per_megabyte,
            per_move,
        } => Joules(per_megabyte * transferred.0 as f64 / 1e6) + per_move,
        EnergyModel::Power(_) => Joules(f64::NAN),
    }
}
