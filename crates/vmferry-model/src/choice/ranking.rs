//! Guests in the order of what moving them costs.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ChoiceError;
use super::profile::{Profile, Worth};
use super::terms::{Term, Terms};
use super::weights::Weights;
use crate::remedies::SUFFICIENT_PROBABILITY;

/// Guests in the order of what moving them costs, the cheapest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The weights.
    pub weights: Weights,
    /// The largest value of each quantity over the guests that may move, in
    /// milliseconds, bytes and joules: what each is divided by.
    pub scale: Terms,
    /// The guests that may move.
    pub ranked: Vec<Ranked>,
    /// Those that may not, by index, and why.
    pub excluded: Vec<(usize, Exclusion)>,
}

/// One guest that may move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Its index among the profiles.
    pub index: usize,
    /// Its quantities as shares of the largest, 0..1.
    pub shares: Terms,
    /// The parts of its cost: shares by weights.
    pub parts: Terms,
    /// Its cost, 0..1.
    pub cost: f64,
}

/// Why a guest is never chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusion {
    /// Its move converges within its limits with this probability only, and
    /// [`SUFFICIENT_PROBABILITY`] is asked for.
    NotConverging {
        /// The probability.
        converges_probability: f64,
    },
    /// What its move costs is unknown.
    CostUnknown,
}

/// Ranks guests. The order depends on names and costs alone, never on the order
/// in which they are given; guests of one cost follow by name.
///
/// # Errors
/// [`ChoiceError::SameName`]; [`ChoiceError::NoEnergy`] where energy has a
/// weight and is unknown of a guest that may move.
pub fn rank(profiles: &[Profile], weights: Weights) -> Result<Ranking, ChoiceError> {
    let mut names = HashSet::with_capacity(profiles.len());
    let mut eligible = Vec::with_capacity(profiles.len());
    let mut excluded = Vec::new();
    for (index, profile) in profiles.iter().enumerate() {
        if !names.insert(profile.name.as_str()) {
            return Err(ChoiceError::SameName {
                name: profile.name.clone(),
            });
        }
        let probability = profile.converges_probability;
        if probability.is_nan() || probability < SUFFICIENT_PROBABILITY {
            let why = Exclusion::NotConverging {
                converges_probability: probability,
            };
            excluded.push((index, why));
            continue;
        }
        match profile.cost.filter(|cost| cost.makes_sense()) {
            Some(cost) if cost.energy.is_none() && weights.of(Term::Energy) > 0.0 => {
                return Err(ChoiceError::NoEnergy {
                    guest: profile.name.clone(),
                });
            }
            Some(cost) => eligible.push((index, cost)),
            None => excluded.push((index, Exclusion::CostUnknown)),
        }
    }
    let value = |cost: &super::profile::MoveCost, term| cost.of(term).unwrap_or(0.0);
    let scale = Terms::each(|term| {
        let values = eligible.iter().map(|(_, cost)| value(cost, term));
        values.fold(0.0, f64::max)
    });
    let mut ranked: Vec<Ranked> = eligible
        .iter()
        .map(|(index, cost)| {
            let shares = Terms::each(|term| share(value(cost, term), scale.of(term)));
            let parts = Terms::each(|term| weights.of(term) * shares.of(term));
            Ranked {
                index: *index,
                shares,
                parts,
                cost: parts.sum(),
            }
        })
        .collect();
    ranked.sort_by(|a, b| {
        let names = || profiles[a.index].name.cmp(&profiles[b.index].name);
        a.cost.total_cmp(&b.cost).then_with(names)
    });
    excluded.sort_by(|(a, _), (b, _)| profiles[*a].name.cmp(&profiles[*b].name));
    Ok(Ranking {
        weights,
        scale,
        ranked,
        excluded,
    })
}

/// A share of the largest; where nobody has any, nobody differs.
fn share(value: f64, largest: f64) -> f64 {
    if largest > 0.0 { value / largest } else { 0.0 }
}

impl Ranking {
    /// What staying costs on the scale of this ranking, part by part.
    ///
    /// # Errors
    /// [`ChoiceError::Worth`] where a quantity that has a weight is left open.
    pub(super) fn cost_of_staying(&self, worth: &Worth) -> Result<Terms, ChoiceError> {
        if let Some(term) = worth.lacks(&self.weights) {
            return Err(ChoiceError::Worth { term });
        }
        Ok(Terms::each(|term| {
            let value = worth.of(term).unwrap_or(0.0);
            self.weights.of(term) * share(value, self.scale.of(term))
        }))
    }
}
