//! The refined model of `liu2011` (eq. 11-13): the base model at a dirty rate
//! learned from the guest's own moves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vmferry_core::ByteRate;

use super::base::Base;
use super::{
    CannotForecast, Case, Fit, Past, Predicted, Predictor, RuleSet, Technique, TooLittleData,
};

/// mu: weight of the latest move. The paper asks for more than 0.5.
const MU: f64 = 0.6;
/// phi before any move told better (`liu2011`).
const PHI: f64 = 0.5;
/// Range of phi: the paper asks for 0 < phi < 1.
const PHI_RANGE: (f64, f64) = (0.05, 0.95);
/// How firmly phi stays at its default: as if moves had told so with sample
/// and memory 10 % apart.
const PHI_PRIOR: f64 = 0.01;
/// Weight of what earlier moves said of phi, from move to move.
const PHI_MEMORY: f64 = 0.8;

/// What a guest's moves tell of its dirty rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestRate {
    /// D-hat: mean dirty rates of its moves, the latest weighing most (eq. 12).
    #[serde(rename = "dirty_rate_bytes_per_s")]
    pub remembered: ByteRate,
    /// Moves behind it; above 0.
    pub moves: u32,
    /// Sums over its moves, both relative to the rate that was right: (sample
    /// - memory) x (right - memory), and (sample - memory) squared.
    tuning: (f64, f64),
}

impl GuestRate {
    /// After the first move, of mean dirty rate D-bar (eq. 11).
    pub fn first(mean: ByteRate) -> Self {
        Self {
            remembered: mean,
            moves: 1,
            tuning: (0.0, 0.0),
        }
    }

    /// After another move. `sampled` is S_m, the rate sampled before it; where
    /// it is unknown, nothing is learned of phi.
    #[must_use]
    pub fn after(mut self, sampled: Option<ByteRate>, mean: ByteRate) -> Self {
        if let Some(sampled) = sampled
            && mean.0 > 0.0
        {
            let apart = (sampled.0 - self.remembered.0) / mean.0;
            let right = (mean.0 - self.remembered.0) / mean.0;
            self.tuning.0 = PHI_MEMORY * self.tuning.0 + apart * right;
            self.tuning.1 = PHI_MEMORY * self.tuning.1 + apart * apart;
        }
        self.remembered = ByteRate(MU * mean.0 + (1.0 - MU) * self.remembered.0);
        self.moves += 1;
        self
    }

    /// phi, self-tuned: the weight of the sample with which eq. 13 would have
    /// been least wrong over the moves so far, drawn towards 0.5.
    pub fn phi(&self) -> f64 {
        let (with, squared) = self.tuning;
        let best = (with + PHI_PRIOR * PHI) / (squared + PHI_PRIOR);
        best.clamp(PHI_RANGE.0, PHI_RANGE.1)
    }

    /// D-tilde = phi S + (1 - phi) D-hat (eq. 13); what is remembered alone
    /// where nothing was sampled.
    pub fn refined(&self, sampled: Option<ByteRate>) -> ByteRate {
        let phi = self.phi();
        sampled.map_or(self.remembered, |sampled| {
            ByteRate(phi * sampled.0 + (1.0 - phi) * self.remembered.0)
        })
    }
}

/// The refined model before it has learned.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefinedFit {
    /// The model that runs at the refined rate.
    pub base: Base,
}

/// The refined model. It can be stored and read again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Refined {
    /// What each guest's moves tell, by the guest's identity.
    pub guests: BTreeMap<String, GuestRate>,
    #[serde(skip)]
    base: Base,
}

impl Refined {
    /// After another move; one whose guest or dirty rate nobody knows teaches
    /// nothing.
    #[must_use]
    pub fn after(mut self, past: &Past<'_>) -> Self {
        let mean = past.measured.mean_dirty_rate;
        let mean = mean.filter(|rate| rate.0.is_finite() && rate.0 >= 0.0);
        if let (Some(guest), Some(mean)) = (past.case.guest, mean) {
            let now = match self.guests.get(guest) {
                Some(before) => before.after(past.case.dirty_rate, mean),
                None => GuestRate::first(mean),
            };
            self.guests.insert(guest.to_owned(), now);
        }
        self
    }

    /// What is known of a case's guest.
    pub fn guest(&self, case: &Case<'_>) -> Option<&GuestRate> {
        self.guests.get(case.guest?)
    }
}

impl Fit for RefinedFit {
    fn name(&self) -> &'static str {
        "refined"
    }

    fn fit(&self, past: &[Past<'_>]) -> Result<Box<dyn Predictor>, TooLittleData> {
        let start = Refined {
            base: self.base,
            ..Refined::default()
        };
        let refined = past.iter().fold(start, Refined::after);
        if refined.guests.is_empty() {
            return Err(TooLittleData {
                model: self.name(),
                what: "a known guest and its dirty rate per pass",
                found: 0,
                needed: 1,
            });
        }
        Ok(Box::new(refined))
    }
}

impl Predictor for Refined {
    fn name(&self) -> &'static str {
        "refined"
    }

    fn rules(&self) -> RuleSet {
        self.base.rules
    }

    fn forecast(&self, case: &Case<'_>, seed: u64) -> Result<Predicted, CannotForecast> {
        case.check(self.name(), &[Technique::PreCopy])?;
        let sampled = match case.dirty_rate {
            Some(_) => Some(case.known_dirty_rate(self.name())?),
            None => None,
        };
        let (rate, note) = match self.guest(case) {
            Some(guest) => (
                guest.refined(sampled),
                format!(
                    "Dirty rate learned from {} of this guest, {:.0} % of it from the sample taken now.",
                    moves(guest.moves),
                    sampled.map_or(0.0, |_| guest.phi() * 100.0)
                ),
            ),
            None => (
                case.known_dirty_rate(self.name())?,
                "This guest has not moved yet: the dirty rate is the sample taken now.".to_owned(),
            ),
        };
        let said = self.base.at(case, rate, seed);
        Ok(said.by(self.name()).noted(note))
    }
}

/// `no move`, `one move`, `3 moves`.
pub(crate) fn moves(n: u32) -> String {
    match n {
        0 => "no move".to_owned(),
        1 => "one move".to_owned(),
        n => format!("{n} moves"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_move_weighs_most() {
        let guest = GuestRate::first(ByteRate(10e6)).after(None, ByteRate(20e6));
        assert_eq!((guest.remembered, guest.phi()), (ByteRate(16e6), PHI));
        // Half of the sample and half of the memory.
        assert_eq!(guest.refined(Some(ByteRate(26e6))), ByteRate(21e6));
        assert_eq!(guest.refined(None), ByteRate(16e6));
    }

    #[test]
    fn phi_follows_whoever_was_right() {
        let moved = |right: fn(f64, f64) -> f64| {
            let mut guest = GuestRate::first(ByteRate(10e6));
            for k in 0..8 {
                let sampled = ByteRate([5e6, 30e6][k % 2]);
                guest = guest.after(
                    Some(sampled),
                    ByteRate(right(sampled.0, guest.remembered.0)),
                );
            }
            guest.phi()
        };
        assert!(moved(|sample, _| sample) > 0.9);
        assert!(moved(|_, memory| memory) < 0.1);
        let between = moved(|sample, memory| 0.3 * sample + 0.7 * memory);
        assert!((between - 0.3).abs() < 0.03, "{between}");
    }

    #[test]
    fn is_stored_and_read_again() {
        let mut refined = Refined::default();
        let rate = GuestRate::first(ByteRate(10e6)).after(Some(ByteRate(9e6)), ByteRate(12e6));
        refined.guests.insert("db".into(), rate);
        let text = serde_json::to_string(&refined).unwrap();
        assert_eq!(serde_json::from_str::<Refined>(&text).unwrap(), refined);
    }
}
