//! The four quantities of a cost.

use std::fmt;
use std::ops::Add;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One quantity of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// T_down: STOP at the source to RESUME at the destination.
    Downtime,
    /// T_mig: total migration time.
    Time,
    /// V_mig: bytes of the stream.
    Traffic,
    /// E_mig: energy of both hosts.
    Energy,
}

impl Term {
    /// All of them, in the order of the paper's formula.
    pub const ALL: [Self; 4] = [Self::Downtime, Self::Time, Self::Traffic, Self::Energy];

    /// Its name on the command line and in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downtime => "downtime",
            Self::Time => "time",
            Self::Traffic => "traffic",
            Self::Energy => "energy",
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number for each quantity: weights, shares of the largest, or parts of a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Terms {
    /// Of the downtime.
    pub downtime: f64,
    /// Of the total migration time.
    pub time: f64,
    /// Of the traffic.
    pub traffic: f64,
    /// Of the energy.
    pub energy: f64,
}

impl Terms {
    /// One number for each.
    pub fn each(mut of: impl FnMut(Term) -> f64) -> Self {
        Self {
            downtime: of(Term::Downtime),
            time: of(Term::Time),
            traffic: of(Term::Traffic),
            energy: of(Term::Energy),
        }
    }

    /// The number of one.
    pub const fn of(&self, term: Term) -> f64 {
        match term {
            Term::Downtime => self.downtime,
            Term::Time => self.time,
            Term::Traffic => self.traffic,
            Term::Energy => self.energy,
        }
    }

    /// All added up.
    pub fn sum(&self) -> f64 {
        self.downtime + self.time + self.traffic + self.energy
    }
}

impl Add for Terms {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::each(|term| self.of(term) + other.of(term))
    }
}
