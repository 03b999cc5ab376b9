//! How much each quantity counts.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ChoiceError;
use super::terms::{Term, Terms};

/// How far from 1 a sum of weights may be: what decimal fractions lose in binary.
const ROUNDING: f64 = 1e-6;

/// The weights a, b, c, d of `liu2011` eq. 18 (the first of two so numbered):
/// none negative, all together 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Terms", into = "Terms")]
#[schemars(with = "Terms")]
pub struct Weights(Terms);

impl Weights {
    /// Checks weights.
    ///
    /// # Errors
    /// [`ChoiceError::Weight`] of one that is negative or no number,
    /// [`ChoiceError::WeightSum`] of those that do not add up to 1.
    pub fn new(weights: Terms) -> Result<Self, ChoiceError> {
        for term in Term::ALL {
            let weight = weights.of(term);
            let problem = if !weight.is_finite() {
                "is no number"
            } else if weight < 0.0 {
                "is negative"
            } else {
                continue;
            };
            return Err(ChoiceError::Weight {
                text: format!("{term}={weight}"),
                problem,
            });
        }
        let sum = weights.sum();
        if (sum - 1.0).abs() <= ROUNDING {
            return Ok(Self(weights));
        }
        if sum == 0.0 {
            return Err(ChoiceError::Weight {
                text: "0".to_owned(),
                problem: "is that of every quantity, so that nothing counts",
            });
        }
        Err(ChoiceError::WeightSum {
            sum,
            scaled: written(&scaled(&weights)),
        })
    }

    /// The weight of one quantity, 0..1.
    pub const fn of(&self, term: Term) -> f64 {
        self.0.of(term)
    }

    /// The weights where no energy is known: that of energy is 0, the others
    /// keep their proportions. Weights on energy alone go to the traffic, which
    /// orders guests alike: between one pair of hosts energy grows with traffic
    /// alone (`liu2011` eq. 14).
    #[must_use]
    pub fn without_energy(&self) -> Self {
        let others = Terms {
            energy: 0.0,
            ..self.0
        };
        if others.sum() > 0.0 {
            Self(scaled(&others))
        } else {
            Self(Terms {
                traffic: 1.0,
                ..Terms::default()
            })
        }
    }
}

fn scaled(weights: &Terms) -> Terms {
    let sum = weights.sum();
    Terms::each(|term| weights.of(term) / sum)
}

fn written(weights: &Terms) -> String {
    let counted = Term::ALL.into_iter().filter(|term| weights.of(*term) > 0.0);
    counted
        .map(|term| {
            let digits = format!("{:.4}", weights.of(term));
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            format!("{term}={digits}")
        })
        .collect::<Vec<_>>()
        .join(",")
}

impl From<Weights> for Terms {
    fn from(weights: Weights) -> Self {
        weights.0
    }
}

impl TryFrom<Terms> for Weights {
    type Error = ChoiceError;
    fn try_from(terms: Terms) -> Result<Self, ChoiceError> {
        Self::new(terms)
    }
}

/// As [`Weights::from_str`] reads them.
impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.0))
    }
}

/// Reads `downtime=0.5,time=0.3,traffic=0.2`; what is not named weighs nothing.
impl FromStr for Weights {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let mut given = [None; Term::ALL.len()];
        for part in text.split(',') {
            let fail = |problem| ChoiceError::Weight {
                text: part.trim().to_owned(),
                problem,
            };
            let (name, number) = part.split_once('=').ok_or_else(|| fail("has no `=`"))?;
            let place = Term::ALL
                .iter()
                .position(|term| term.name() == name.trim())
                .ok_or_else(|| {
                    fail("is of no quantity: they are downtime, time, traffic and energy")
                })?;
            let number: f64 = number.trim().parse().map_err(|_| fail("is no number"))?;
            if given[place].replace(number).is_some() {
                return Err(fail("is given twice"));
            }
        }
        let [downtime, time, traffic, energy] = given.map(Option::unwrap_or_default);
        Self::new(Terms {
            downtime,
            time,
            traffic,
            energy,
        })
    }
}

/// Weights by name. The paper leaves them to the operator; these are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A quarter each.
    #[default]
    Balanced,
    /// Downtime above all: 0.7, and 0.1 for each other.
    Downtime,
    /// Total time above all.
    Time,
    /// Traffic above all.
    Traffic,
    /// Energy above all.
    Energy,
}

impl Preset {
    /// Its weights.
    pub fn weights(self) -> Weights {
        let first = match self {
            Self::Balanced => return Weights(Terms::each(|_| 0.25)),
            Self::Downtime => Term::Downtime,
            Self::Time => Term::Time,
            Self::Traffic => Term::Traffic,
            Self::Energy => Term::Energy,
        };
        Weights(Terms::each(|term| if term == first { 0.7 } else { 0.1 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "downtime=0.5,time=0.3,traffic=0.2",
            "energy=1",
            "time=0.25,traffic=0.75",
        ] {
            assert_eq!(text.parse::<Weights>().unwrap().to_string(), text);
        }
        for preset in [
            Preset::Balanced,
            Preset::Downtime,
            Preset::Time,
            Preset::Traffic,
            Preset::Energy,
        ] {
            let weights = preset.weights();
            assert_eq!(weights.to_string().parse::<Weights>(), Ok(weights));
        }
    }

    #[test]
    fn weights_that_make_no_sense_are_refused() {
        let said: Vec<String> = [
            "",
            "downtime",
            "downtime=lots",
            "uptime=1",
            "time=0.5,time=0.5",
            "downtime=-0.5,time=1.5",
            "downtime=nan",
            "downtime=0",
            "downtime=0.5,time=0.4",
            "downtime=2,time=1,traffic=1",
        ]
        .into_iter()
        .map(|text| text.parse::<Weights>().unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        the weight `` has no `=`; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `downtime` has no `=`; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `downtime=lots` is no number; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `uptime=1` is of no quantity: they are downtime, time, traffic and energy; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `time=0.5` is given twice; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `downtime=-0.5` is negative; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `downtime=NaN` is no number; write for example downtime=0.5,time=0.3,traffic=0.2
        the weight `0` is that of every quantity, so that nothing counts; write for example downtime=0.5,time=0.3,traffic=0.2
        the weights add up to 0.9000, not to 1; in the same proportions they are downtime=0.5556,time=0.4444
        the weights add up to 4.0000, not to 1; in the same proportions they are downtime=0.5,time=0.25,traffic=0.25
        ");
    }

    #[test]
    fn without_energy_the_others_keep_their_proportions() {
        let weights: Weights = "downtime=0.4,time=0.1,energy=0.5".parse().unwrap();
        assert_eq!(
            weights.without_energy().to_string(),
            "downtime=0.8,time=0.2"
        );
        let energy: Weights = "energy=1".parse().unwrap();
        assert_eq!(energy.without_energy().to_string(), "traffic=1");
    }
}
